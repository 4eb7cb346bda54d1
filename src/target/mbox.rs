//! mbox: one mboxrd file per mailbox.
//!
//! The `From ` line carries INTERNALDATE in UTC. A message whose line ends are all CRLF gets
//! LF, as every reader of mbox expects; any other is kept verbatim. Messages come in the
//! order in which they lie in the archive, which is near enough the order of arrival; every
//! mail program sorts by date. Flags have no place in an mbox: index.jsonl has them.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::{Body, BodyError, Folder, Outgoing, Put, Target, TargetError};
use crate::archive::mboxrd::{Encoder, separator};
use crate::model::Mailbox;

const SUFFIX: &str = ".mbox";

/// Writes mboxrd files.
#[derive(Debug)]
pub struct Mbox {
    folder: Folder,
    open: Option<Open>,
    renamed: Vec<(String, String)>,
}

#[derive(Debug)]
struct Open {
    name: String,
    file: BufWriter<File>,
    len: u64,
}

impl Mbox {
    pub(super) const fn new(folder: Folder) -> Self {
        Self {
            folder,
            open: None,
            renamed: Vec::new(),
        }
    }
}

/// A folder's name must not be what the file of another mailbox is called.
pub(super) fn folders(path: &str, suffix: &str) -> String {
    let apart = |name: &str| {
        if name.to_lowercase().ends_with(suffix) {
            format!("{name}_")
        } else {
            name.to_owned()
        }
    };
    path.split('/').map(apart).collect::<Vec<_>>().join("/")
}

impl Target for Mbox {
    fn begin(&mut self, account: Option<&str>, mailbox: &Mailbox) -> Result<(), TargetError> {
        let (above, name) = mailbox
            .folder
            .rsplit_once('/')
            .unwrap_or(("", &mailbox.folder));
        let mut parts: Vec<String> = account.into_iter().map(|a| folders(a, SUFFIX)).collect();
        if !above.is_empty() {
            parts.push(folders(above, SUFFIX));
        }
        self.folder.dirs(parts.join("/").as_ref())?;
        parts.push(name.to_owned());
        let (name, file) = self.folder.create_numbered(&parts.join("/"), SUFFIX)?;
        if name != format!("{}{SUFFIX}", mailbox.name) && account.is_none() {
            self.renamed.push((mailbox.name.clone(), name.clone()));
        }
        self.open = Some(Open {
            name,
            file: BufWriter::with_capacity(1 << 18, file),
            len: 0,
        });
        Ok(())
    }

    fn put(&mut self, message: &Outgoing<'_>, body: &mut Body<'_>) -> Result<Put, TargetError> {
        let Some(open) = self.open.as_mut() else {
            return Err(no_mailbox(&self.folder));
        };
        let path = self.folder.root().join(&open.name);
        let error = |source| TargetError {
            path: path.clone(),
            source,
        };
        let at = open.len;
        let mut text = Text {
            encoder: Encoder::new(message.content.eol),
            file: &mut open.file,
            buffer: Vec::new(),
            len: 0,
        };
        text.buffer
            .extend_from_slice(separator(message.date).as_bytes());
        match body(&mut text) {
            Ok(()) => {
                open.len += text.finish().map_err(error)?;
                Ok(Put::Written {
                    file: open.name.clone(),
                    at: Some(at),
                })
            }
            Err(BodyError::Lost(reason)) => {
                open.file.flush().map_err(error)?;
                let file = open.file.get_mut();
                file.set_len(at)
                    .and_then(|()| file.seek(SeekFrom::Start(at)))
                    .map_err(error)?;
                Ok(Put::Lost(reason))
            }
            Err(BodyError::Write(source)) => Err(error(source)),
        }
    }

    fn end(&mut self) -> Result<(), TargetError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let path = self.folder.root().join(&open.name);
        open.file.flush().map_err(TargetError::of(&path))?;
        self.folder.close(&open.name, open.file.get_ref(), None)
    }

    fn finish(&mut self) -> Result<Vec<(String, String)>, TargetError> {
        self.folder.sync()?;
        Ok(std::mem::take(&mut self.renamed))
    }

    fn folder(&mut self) -> &mut Folder {
        &mut self.folder
    }
}

/// A caller's mistake, told instead of a panic.
pub(super) fn no_mailbox(folder: &Folder) -> TargetError {
    TargetError {
        path: folder.root().to_owned(),
        source: io::Error::other("no mailbox was begun"),
    }
}

/// Encodes wire bytes into the file.
struct Text<'a> {
    encoder: Encoder,
    file: &'a mut BufWriter<File>,
    buffer: Vec<u8>,
    len: u64,
}

impl Text<'_> {
    fn drain(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.len += u64::try_from(self.buffer.len()).unwrap_or(0);
        self.buffer.clear();
        Ok(())
    }

    /// Ends the message; gives the bytes it takes.
    fn finish(mut self) -> io::Result<u64> {
        let encoder =
            std::mem::replace(&mut self.encoder, Encoder::new(crate::model::LineEnds::Raw));
        encoder.finish(&mut self.buffer);
        self.drain()?;
        Ok(self.len)
    }
}

impl Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A message may come in one piece of many MiB; its text need not lie in memory as well.
        let part = bytes.get(..bytes.len().min(1 << 18)).unwrap_or_default();
        self.encoder.push(part, &mut self.buffer);
        self.drain()?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
