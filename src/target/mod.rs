//! Where messages go: local folders in forms that other programs read.
//!
//! A target knows its own form and nothing of archives. It gets messages one by one, each as
//! a function that writes the exact wire bytes; that function may fail half-way because the
//! bytes turn out to be lost, and then nothing of the message stays behind.
//!
//! Nothing that exists is ever written over: the folder must be new or empty, and every file
//! in it is created, not opened.

mod eml;
mod folder;
mod maildir;
mod maildir_names;
mod mbox;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::model::{Flags, InternalDate, Mailbox, StoredContent};

pub use eml::Eml;
pub use folder::{Folder, FolderError};
pub use maildir::Maildir;
pub use mbox::Mbox;

/// A form of local mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One mboxrd file per mailbox.
    Mbox,
    /// Maildir++: one folder per mailbox, one file per message, flags in its name.
    Maildir,
    /// One file per message, in a folder per mailbox.
    Eml,
}

/// Writing to a target failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to `{}`", path.display())]
pub struct TargetError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl TargetError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// Why the bytes of a message did not come.
#[derive(Debug)]
pub enum BodyError {
    /// They are lost, for this reason.
    Lost(String),
    /// They could not be written.
    Write(io::Error),
}

/// Writes the exact wire bytes of one message.
pub type Body<'a> = dyn FnMut(&mut dyn Write) -> Result<(), BodyError> + 'a;

/// A message on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its number in its mailbox, from 1, by date.
    pub number: u64,
    /// Its content; where that lies is of no account here.
    pub content: &'a StoredContent,
    /// Its flags and keywords.
    pub flags: &'a Flags,
    /// INTERNALDATE.
    pub date: Option<InternalDate>,
}

/// What became of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Put {
    /// It stands in this file, relative to the target's folder; in an mbox from this byte on.
    Written {
        /// The file.
        file: String,
        /// Where its `From ` line begins.
        at: Option<u64>,
    },
    /// Its bytes are lost, for this reason; nothing was left behind.
    Lost(String),
}

/// A local target.
pub trait Target {
    /// Begins a mailbox. `account` is the folder of its account, where there are several.
    ///
    /// # Errors
    /// The system's, likewise below: the export is over.
    fn begin(&mut self, account: Option<&str>, mailbox: &Mailbox) -> Result<(), TargetError>;

    /// Takes a message of the mailbox that was begun last.
    ///
    /// # Errors
    /// The system's; lost bytes are none.
    fn put(&mut self, message: &Outgoing<'_>, body: &mut Body<'_>) -> Result<Put, TargetError>;

    /// Ends that mailbox.
    ///
    /// # Errors
    /// The system's.
    fn end(&mut self) -> Result<(), TargetError>;

    /// Writes what is to be written at the very end, makes all of it durable, and gives the
    /// mailboxes that could not keep their names: true name, and name in the target.
    ///
    /// # Errors
    /// A failed sync: nothing of the export counts as written.
    fn finish(&mut self) -> Result<Vec<(String, String)>, TargetError>;

    /// The folder all of it lies in.
    fn folder(&mut self) -> &mut Folder;
}

/// Opens a target of this form in a folder made for it.
#[must_use]
pub fn open(format: Format, folder: Folder) -> Box<dyn Target> {
    match format {
        Format::Mbox => Box::new(Mbox::new(folder)),
        Format::Maildir => Box::new(Maildir::new(folder)),
        Format::Eml => Box::new(Eml::new(folder)),
    }
}
