//! EML: one file per message with its exact wire bytes, in a folder per mailbox.
//!
//! A file is called by its number in the mailbox, by date, and the beginning of its content
//! id, and has INTERNALDATE as its time. index.jsonl has the flags.

use std::fs::File;
use std::path::Path;

use super::mbox::{folders, no_mailbox};
use super::{Body, BodyError, Folder, Outgoing, Put, Target, TargetError};
use crate::model::Mailbox;

const SUFFIX: &str = ".eml";

/// Writes one file per message.
#[derive(Debug)]
pub struct Eml {
    folder: Folder,
    mailbox: Option<String>,
    renamed: Vec<(String, String)>,
}

impl Eml {
    pub(super) const fn new(folder: Folder) -> Self {
        Self {
            folder,
            mailbox: None,
            renamed: Vec::new(),
        }
    }
}

/// Hands a message to a new file. Lost bytes leave no file behind.
pub(super) fn write(
    folder: &Folder,
    name: &str,
    file: &mut File,
    writer: impl FnOnce(&mut File) -> Result<(), BodyError>,
) -> Result<Option<String>, TargetError> {
    match writer(file) {
        Ok(()) => Ok(None),
        Err(BodyError::Lost(reason)) => {
            folder.remove(name)?;
            Ok(Some(reason))
        }
        Err(BodyError::Write(source)) => Err(TargetError {
            path: folder.root().join(name),
            source,
        }),
    }
}

impl Target for Eml {
    fn begin(&mut self, account: Option<&str>, mailbox: &Mailbox) -> Result<(), TargetError> {
        let mut path = folders(&mailbox.folder, SUFFIX);
        if let Some(account) = account {
            path = format!("{}/{path}", folders(account, SUFFIX));
        } else if path != mailbox.name {
            self.renamed.push((mailbox.name.clone(), path.clone()));
        }
        self.folder.dirs(Path::new(&path))?;
        self.mailbox = Some(path);
        Ok(())
    }

    fn put(&mut self, message: &Outgoing<'_>, body: &mut Body<'_>) -> Result<Put, TargetError> {
        let Some(mailbox) = &self.mailbox else {
            return Err(no_mailbox(&self.folder));
        };
        let stem = format!(
            "{mailbox}/{:06}-{}",
            message.number,
            message.content.id.short()
        );
        let (name, mut file) = self.folder.create_numbered(&stem, SUFFIX)?;
        if let Some(reason) = write(&self.folder, &name, &mut file, |file| body(file))? {
            return Ok(Put::Lost(reason));
        }
        self.folder.close(&name, &file, message.date)?;
        Ok(Put::Written {
            file: name,
            at: None,
        })
    }

    fn end(&mut self) -> Result<(), TargetError> {
        self.mailbox = None;
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<(String, String)>, TargetError> {
        self.folder.sync()?;
        Ok(std::mem::take(&mut self.renamed))
    }

    fn folder(&mut self) -> &mut Folder {
        &mut self.folder
    }
}
