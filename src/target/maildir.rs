//! Maildir++: one folder per mailbox, one file per message, flags in the file's name.
//!
//! The account's INBOX is the Maildir itself, every other mailbox a `.Sub.Folder` in it. A
//! file holds the exact wire bytes, CRLF where the server sent CRLF: Dovecot, mutt and
//! notmuch read both, and what comes out of the archive is not rewritten. `S=` is its size,
//! `W=` its size with every line end as CRLF, and the file's time is INTERNALDATE, as Dovecot
//! has it. Keywords are letters in the name, listed in `dovecot-keywords`; there is room for
//! 26 in a mailbox, and index.jsonl has all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::eml::write;
use super::maildir_names::Names;
use super::mbox::no_mailbox;
use super::{Body, Folder, Outgoing, Put, Target, TargetError};
use crate::model::{Flags, Mailbox};

/// Where the names that had to be changed are listed.
const NAMES: &str = "mailstow-names.tsv";

/// Writes Maildir++ folders.
#[derive(Debug)]
pub struct Maildir {
    folder: Folder,
    names: Names,
    mailbox: Option<Open>,
    number: u64,
}

#[derive(Debug)]
struct Open {
    /// With a `/` at its end unless it is empty.
    path: String,
    keywords: Vec<String>,
}

impl Maildir {
    pub(super) fn new(folder: Folder) -> Self {
        Self {
            folder,
            names: Names::default(),
            mailbox: None,
            number: 0,
        }
    }
}

impl Target for Maildir {
    fn begin(&mut self, account: Option<&str>, mailbox: &Mailbox) -> Result<(), TargetError> {
        let name = self.names.folder(account, mailbox);
        let mut path = String::new();
        for part in account.into_iter().chain(name.as_deref()) {
            path.push_str(part);
            path.push('/');
        }
        for part in ["cur", "new", "tmp"] {
            self.folder.dirs(Path::new(&format!("{path}{part}")))?;
        }
        if name.is_some() {
            // Tells a Maildir++ reader that this is a folder and not an account of its own.
            let file = format!("{path}maildirfolder");
            if let Some(made) = self.folder.create_file(&file)? {
                self.folder.close(&file, &made, None)?;
            }
        }
        self.mailbox = Some(Open {
            path,
            keywords: Vec::new(),
        });
        Ok(())
    }

    fn put(&mut self, message: &Outgoing<'_>, body: &mut Body<'_>) -> Result<Put, TargetError> {
        let Some(open) = self.mailbox.as_mut() else {
            return Err(no_mailbox(&self.folder));
        };
        self.number += 1;
        // A name must not begin with `-`; the file's time has the true date.
        let base = format!(
            "{}.P{}.mailstow",
            message.date.map_or(0, |d| d.unix.max(0)),
            self.number
        );
        let path = &open.path;
        let temporary = format!("{path}tmp/{base}");
        let Some(mut file) = self.folder.create_file(&temporary)? else {
            return Err(TargetError {
                path: self.folder.root().join(&temporary),
                source: io::ErrorKind::AlreadyExists.into(),
            });
        };
        let mut virtual_size = 0;
        let lost = write(&self.folder, &temporary, &mut file, |file| {
            let mut counted = Counted {
                file,
                bytes: 0,
                bare: 0,
                last: 0,
            };
            body(&mut counted)?;
            virtual_size = counted.bytes + counted.bare;
            Ok(())
        })?;
        if let Some(reason) = lost {
            return Ok(Put::Lost(reason));
        }
        let flags = letters(message.flags, &mut open.keywords);
        let name = format!(
            "{path}cur/{base},S={},W={virtual_size}:2,{flags}",
            message.content.len
        );
        self.folder.close(&temporary, &file, message.date)?;
        self.folder.rename(&temporary, &name)?;
        Ok(Put::Written {
            file: name,
            at: None,
        })
    }

    fn end(&mut self) -> Result<(), TargetError> {
        let Some(open) = self.mailbox.take().filter(|o| !o.keywords.is_empty()) else {
            return Ok(());
        };
        let lines: Vec<String> = open
            .keywords
            .iter()
            .enumerate()
            .map(|(n, k)| format!("{n} {k}\n"))
            .collect();
        self.small_file(&format!("{}dovecot-keywords", open.path), &lines.concat())
    }

    fn finish(&mut self) -> Result<Vec<(String, String)>, TargetError> {
        let changed = self.names.changed();
        if !changed.is_empty() {
            let mut text = String::from("name\tfolder\n");
            for (name, folder) in &changed {
                text.push_str(
                    &name
                        .replace('\\', "\\\\")
                        .replace('\t', "\\t")
                        .replace('\n', "\\n")
                        .replace('\r', "\\r"),
                );
                text.push('\t');
                text.push_str(folder);
                text.push('\n');
            }
            self.small_file(NAMES, &text)?;
        }
        self.folder.sync()?;
        Ok(changed)
    }

    fn folder(&mut self) -> &mut Folder {
        &mut self.folder
    }
}

impl Maildir {
    fn small_file(&mut self, name: &str, text: &str) -> Result<(), TargetError> {
        let path = self.folder.root().join(name);
        let Some(mut file) = self.folder.create_file(name)? else {
            return Err(TargetError {
                path,
                source: io::ErrorKind::AlreadyExists.into(),
            });
        };
        file.write_all(text.as_bytes())
            .map_err(TargetError::of(&path))?;
        self.folder.close(name, &file, None)
    }
}

/// The letters of a message's flags: capitals in ASCII order, then keywords.
fn letters(flags: &Flags, keywords: &mut Vec<String>) -> String {
    let system = [
        ("\\Draft", 'D'),
        ("\\Flagged", 'F'),
        ("$Forwarded", 'P'),
        ("\\Answered", 'R'),
        ("\\Seen", 'S'),
        ("\\Deleted", 'T'),
    ];
    let mut text: String = system
        .iter()
        .filter(|(flag, _)| flags.contains(flag))
        .map(|(_, letter)| letter)
        .collect();
    let mut small: Vec<char> = Vec::new();
    for keyword in flags
        .iter()
        .filter(|f| !f.starts_with('\\') && f.chars().all(|c| c.is_ascii_graphic()))
    {
        let known = keywords.iter().position(|k| k == keyword);
        let at = known.unwrap_or_else(|| {
            keywords.push(keyword.to_owned());
            keywords.len() - 1
        });
        small.extend(('a'..='z').nth(at));
    }
    keywords.truncate(26);
    small.sort_unstable();
    text.extend(small);
    text
}

/// Counts bytes, and line ends that are no CRLF.
struct Counted<'a> {
    file: &'a mut File,
    bytes: u64,
    bare: u64,
    last: u8,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        let written = bytes.get(..n).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', written) {
            let before = at
                .checked_sub(1)
                .map_or(Some(&self.last), |i| written.get(i));
            self.bare += u64::from(before != Some(&b'\r'));
        }
        self.last = written.last().copied().unwrap_or(self.last);
        self.bytes += u64::try_from(n).unwrap_or(0);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_in_order_then_keywords_and_no_more_than_there_are_letters() {
        let mut keywords = Vec::new();
        let flags = Flags::from_wire([
            "\\Seen",
            "\\Answered",
            "$Forwarded",
            "work",
            "\\Deleted",
            "\\Draft",
            "\\Flagged",
        ]);
        assert_eq!(letters(&flags, &mut keywords), "DFPRSTab");
        assert_eq!(keywords, ["$Forwarded", "work"]);
        assert_eq!(
            letters(
                &Flags::from_wire(["work", "bad\nword", "\\Odd"]),
                &mut keywords
            ),
            "b"
        );
        let many: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
        assert_eq!(
            letters(&Flags::from_wire(many), &mut keywords),
            "cdefghijklmnopqrstuvwxyz"
        );
        assert_eq!(keywords.len(), 26);
    }
}
