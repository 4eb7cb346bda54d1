//! Names of Maildir++ folders.
//!
//! A mailbox below INBOX's Maildir is a folder called `.` + its levels joined by `.`, in
//! modified UTF-7 where the server wrote it so, as Dovecot and Courier keep it. What such a
//! name cannot hold is written as `%` and two hex digits, which can be undone, and listed.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use crate::model::Mailbox;

/// Most bytes of a file name.
const NAME_MAX: usize = 255;

/// The names given so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashMap<String, HashSet<String>>,
    changed: Vec<(String, String)>,
}

impl Names {
    /// The folder of a mailbox below its account's Maildir; `None` for INBOX, which is the
    /// Maildir itself.
    pub(super) fn folder(&mut self, account: Option<&str>, mailbox: &Mailbox) -> Option<String> {
        if mailbox.name.eq_ignore_ascii_case("INBOX") {
            return None;
        }
        // The wire name is modified UTF-7 already; a flat name space has one level.
        let levels: Vec<&str> = match mailbox.separator {
            _ if mailbox.wire.is_empty() => mailbox.name.split('/').collect(),
            Some(separator) => mailbox.wire.split(separator).collect(),
            None => vec![&mailbox.wire],
        };
        let plain = format!(".{}", levels.join("."));
        let mut safe = format!(
            ".{}",
            levels
                .iter()
                .map(|l| escape(l))
                .collect::<Vec<_>>()
                .join(".")
        );
        if safe.len() > NAME_MAX - 8 {
            let digest = blake3::hash(safe.as_bytes()).to_hex();
            let mut end = NAME_MAX - 40;
            while !safe.is_char_boundary(end) {
                end -= 1;
            }
            safe.truncate(end);
            safe.push_str("%-");
            safe.push_str(digest.as_str().get(..16).unwrap_or_default());
        }
        let taken = self
            .taken
            .entry(account.unwrap_or_default().to_owned())
            .or_default();
        let mut name = safe.clone();
        let mut n = 1u32;
        // Some file systems fold case.
        while !taken.insert(name.to_lowercase()) {
            n = n.saturating_add(1);
            name = format!("{safe}~{n}");
        }
        if name != plain {
            let folder = account.map_or_else(|| name.clone(), |a| format!("{a}/{name}"));
            self.changed.push((mailbox.name.clone(), folder));
        }
        Some(name)
    }

    /// Mailboxes that could not keep their names, with the folders they got.
    pub(super) fn changed(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changed)
    }
}

/// One level, without dots, slashes, control characters and the escape itself.
fn escape(level: &str) -> String {
    if level.is_empty() {
        return "%".to_owned();
    }
    let mut safe = String::new();
    for c in level.chars() {
        if c == '.' || c == '/' || c == '\\' || c == '%' || c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                write!(safe, "%{byte:02X}").unwrap_or_default();
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, MailboxId};

    fn mailbox(wire: &str, separator: Option<char>) -> Mailbox {
        Mailbox {
            id: MailboxId(1),
            account: AccountId(1),
            name: wire.to_owned(),
            wire: wire.to_owned(),
            separator,
            folder: String::new(),
            uidvalidity: None,
            special_use: None,
            subscribed: false,
        }
    }

    #[test]
    fn levels_become_dots_and_what_cannot_stand_in_a_name_is_escaped_and_listed() {
        let mut names = Names::default();
        let mut folder = |wire, separator| names.folder(None, &mailbox(wire, separator)).unwrap();
        assert_eq!(folder("Work/2024", Some('/')), ".Work.2024");
        assert_eq!(folder("work/2024", Some('/')), ".work.2024~2");
        assert_eq!(folder("v1.0/100%", Some('/')), ".v1%2E0.100%25");
        assert_eq!(folder("Work.2025", Some('.')), ".Work.2025");
        assert_eq!(folder("../../etc", Some('/')), ".%2E%2E.%2E%2E.etc");
        assert_eq!(folder("a//b", Some('/')), ".a.%.b");
        assert_eq!(folder("x\ny/z", None), ".x%0Ay%2Fz");
        assert!(folder(&"ж".repeat(400), None).len() <= NAME_MAX);
        assert_eq!(names.folder(None, &mailbox("inbox", None)), None);
        assert_eq!(names.changed().len(), 6);
    }
}
