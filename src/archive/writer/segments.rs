//! The segments mail is written to: which one a mailbox uses, opening, sealing, syncing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{LastSegment, WriteError};
use crate::archive::format::{ContentsHead, SEGMENT_BYTES, SEGMENT_SUFFIX, Seal};
use crate::archive::pack::Data;
use crate::archive::segment::SegmentReader;
use crate::durable::{self, AppendFile, FileSystem};
use crate::model::{Account, Mailbox, MailboxId};

/// Most segments open at once.
const OPEN_MAX: usize = 64;
/// From this many unsynced files on, one sync of the whole file system is cheaper.
const SYNCFS_FROM: usize = 8;

/// Where a mailbox's mail goes on.
#[derive(Debug, Clone)]
struct Place {
    head: ContentsHead,
    /// Path below `mail/`.
    folder: String,
    /// Number of the segment in use, 0 before the first.
    number: u32,
    /// The highest number there is.
    highest: u32,
    /// Whether that segment takes more.
    open: bool,
    /// Where its last pair begins, until somebody looked whether it ends with the file.
    unchecked: Option<u64>,
}

#[derive(Debug)]
struct OpenSegment {
    file: AppendFile,
    /// Length the journal knows of; what is behind it is cut off if the run fails.
    committed: u64,
    used: u64,
}

/// Where a pair was written.
pub(super) struct Written {
    /// The segment's path below `mail/`.
    pub(super) segment: String,
    /// Where the pair begins in it.
    pub(super) frame: u64,
    /// The data frame's buffer, to be used again.
    pub(super) room: Vec<u8>,
    /// The segment is full with this pair.
    pub(super) seal: Option<Seal>,
}

/// All segments of an archive, as far as they are written to.
#[derive(Debug)]
pub(super) struct Segments {
    archive: String,
    mail: PathBuf,
    file_system: FileSystem,
    places: BTreeMap<MailboxId, Place>,
    open: BTreeMap<String, OpenSegment>,
    unsynced_dirs: BTreeSet<PathBuf>,
    uses: u64,
    /// Appended to, and not sealed since.
    pub(super) written_to: BTreeSet<String>,
    /// A segment is sealed at this many bytes.
    pub(super) seal_at: u64,
}

impl Segments {
    pub(super) fn new(root: &Path, archive: &str) -> io::Result<Self> {
        Ok(Self {
            archive: archive.to_owned(),
            mail: root.join("mail"),
            file_system: FileSystem::open(&root.join("mail"))?,
            places: BTreeMap::new(),
            open: BTreeMap::new(),
            unsynced_dirs: BTreeSet::new(),
            uses: 0,
            written_to: BTreeSet::new(),
            seal_at: SEGMENT_BYTES,
        })
    }

    pub(super) fn register(
        &mut self,
        account: &Account,
        mailbox: &Mailbox,
        last: Option<LastSegment>,
    ) {
        let unchecked = last.and_then(|l| l.last_pair);
        let head = ContentsHead {
            archive: self.archive.clone(),
            account: account.name.clone(),
            mailbox: mailbox.name.clone(),
            wire: mailbox.wire.clone(),
            separator: mailbox.separator,
            data: 0,
            text: 0,
        };
        let place = Place {
            head,
            folder: format!("{}/{}", account.folder, mailbox.folder),
            number: last.map_or(0, |l| l.number),
            highest: last.map_or(0, |l| l.highest),
            open: unchecked.is_some(),
            unchecked,
        };
        self.places.insert(mailbox.id, place);
    }

    /// A mailbox goes by another name from now on; its folder stays.
    pub(super) fn rename(&mut self, mailbox: &Mailbox) {
        if let Some(place) = self.places.get_mut(&mailbox.id) {
            place.head.mailbox.clone_from(&mailbox.name);
            place.head.wire.clone_from(&mailbox.wire);
            place.head.separator = mailbox.separator;
        }
    }

    /// The head of a contents frame of this mailbox, its lengths still to be filled in.
    pub(super) fn head(&mut self, mailbox: MailboxId) -> Result<ContentsHead, WriteError> {
        Ok(self.place(mailbox)?.head.clone())
    }

    /// Appends a pair to its mailbox's segment.
    pub(super) fn append(
        &mut self,
        mailbox: MailboxId,
        contents: &[u8],
        data: Data,
    ) -> Result<Written, WriteError> {
        let relative = self.segment_for(mailbox)?;
        let path = self.mail.join(&relative);
        let Some(segment) = self.open.get_mut(&relative) else {
            let source = io::Error::other("the segment is not open");
            return Err(WriteError { path, source });
        };
        let frame = segment.file.len();
        let room = append(&mut segment.file, contents, data)
            .map_err(|source| WriteError { path, source })?;
        let len = segment.file.len();
        let mut seal = None;
        if len < self.seal_at {
            self.written_to.insert(relative.clone());
        } else {
            self.written_to.remove(&relative);
            self.place(mailbox)?.open = false;
            seal = Some(Seal {
                segment: relative.clone(),
                len,
            });
        }
        Ok(Written {
            segment: relative,
            frame,
            room,
            seal,
        })
    }

    /// Makes everything appended durable, the names of new files and folders included.
    pub(super) fn sync(&mut self) -> Result<(), WriteError> {
        let dirty = self.open.values().filter(|s| s.file.is_dirty()).count();
        if dirty + self.unsynced_dirs.len() >= SYNCFS_FROM && self.file_system.has_syncfs() {
            let synced = self.file_system.sync();
            synced.map_err(|source| WriteError {
                path: self.mail.clone(),
                source,
            })?;
            self.open.values_mut().for_each(|s| s.file.clean());
        } else {
            for segment in self.open.values_mut() {
                segment.sync()?;
            }
            for dir in &self.unsynced_dirs {
                durable::sync_dir(dir).map_err(|source| WriteError {
                    path: dir.clone(),
                    source,
                })?;
            }
        }
        self.unsynced_dirs.clear();
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        for segment in self.open.values_mut() {
            segment.committed = segment.file.len();
        }
        let full = self.seal_at;
        self.open.retain(|_, s| s.file.len() < full);
    }

    pub(super) fn release(&mut self, segment: &str) {
        self.open.remove(segment);
        self.written_to.remove(segment);
    }

    pub(super) fn abandon(mut self) {
        for segment in self
            .open
            .values_mut()
            .filter(|s| s.file.len() > s.committed)
        {
            if let Err(error) = segment.file.truncate(segment.committed) {
                let path = segment.file.path().display();
                tracing::debug!(%error, %path, "cannot cut uncommitted mail off");
            }
        }
    }

    fn place(&mut self, mailbox: MailboxId) -> Result<&mut Place, WriteError> {
        let path = self.mail.clone();
        self.places.get_mut(&mailbox).ok_or_else(|| {
            let source = io::Error::other(format!("mailbox {} was not registered", mailbox.0));
            WriteError { path, source }
        })
    }

    /// The path of the segment a mailbox writes to, opened or made.
    fn segment_for(&mut self, mailbox: MailboxId) -> Result<String, WriteError> {
        self.uses += 1;
        let uses = self.uses;
        let place = self.place(mailbox)?.clone();
        if place.open {
            let relative = segment_path(&place.folder, place.number);
            if let Some(segment) = self.open.get_mut(&relative) {
                segment.used = uses;
                return Ok(relative);
            }
            let path = self.mail.join(&relative);
            // Mail is never put behind anything but a whole pair: a segment that somebody cut
            // or lengthened since is left as it is, and verify reports it.
            if place
                .unchecked
                .is_none_or(|last| ends_with_pair(&path, last))
            {
                let file = AppendFile::open(&path).map_err(|source| WriteError { path, source })?;
                self.place(mailbox)?.unchecked = None;
                self.keep_open(relative.clone(), file)?;
                return Ok(relative);
            }
        }
        let (number, relative, file) = self.create(&place)?;
        let place = self.place(mailbox)?;
        (place.number, place.open, place.unchecked) = (number, true, None);
        self.keep_open(relative.clone(), file)?;
        Ok(relative)
    }

    /// Makes a mailbox's next segment.
    fn create(&mut self, place: &Place) -> Result<(u32, String, AppendFile), WriteError> {
        let folder = self.mail.join(&place.folder);
        let made = durable::ensure_dirs(
            &self.mail,
            Path::new(&place.folder),
            &mut self.unsynced_dirs,
        );
        made.map_err(|source| WriteError {
            path: folder.clone(),
            source,
        })?;
        self.unsynced_dirs.insert(folder);
        let mut number = place.number.max(place.highest) + 1;
        loop {
            let relative = segment_path(&place.folder, number);
            let path = self.mail.join(&relative);
            match AppendFile::create(&path) {
                Ok(file) => return Ok((number, relative, file)),
                // Something stands there that is not ours to write over.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(WriteError { path, source }),
            }
        }
    }

    fn keep_open(&mut self, relative: String, file: AppendFile) -> Result<(), WriteError> {
        let oldest = self
            .open
            .iter()
            .min_by_key(|(_, s)| s.used)
            .map(|(name, _)| name.clone());
        if self.open.len() >= OPEN_MAX
            && let Some(mut segment) = oldest.and_then(|oldest| self.open.remove(&oldest))
        {
            segment.sync()?;
        }
        let segment = OpenSegment {
            committed: file.len(),
            file,
            used: self.uses,
        };
        self.open.insert(relative, segment);
        Ok(())
    }
}

impl OpenSegment {
    fn sync(&mut self) -> Result<(), WriteError> {
        if self.file.is_dirty() {
            let synced = self.file.sync();
            synced.map_err(|source| WriteError {
                path: self.file.path().to_owned(),
                source,
            })?;
        }
        Ok(())
    }
}

fn segment_path(folder: &str, number: u32) -> String {
    format!("{folder}/{number:06}{SEGMENT_SUFFIX}")
}

/// Whether the pair at `last` is the end of its segment.
fn ends_with_pair(path: &Path, last: u64) -> bool {
    let Ok(mut reader) = SegmentReader::open(path, last) else {
        return false;
    };
    matches!(reader.next_pair(), Ok(Some(pair)) if pair.end() == reader.file_len())
}

/// Appends a pair; gives the buffer of the data frame back.
fn append(file: &mut AppendFile, contents: &[u8], data: Data) -> io::Result<Vec<u8>> {
    file.append(contents)?;
    match data {
        Data::Memory(data) => {
            file.append(&data)?;
            Ok(data)
        }
        Data::File {
            file: mut packed,
            path,
        } => {
            let mut chunk = vec![0; 1 << 20];
            loop {
                let n = packed.read(&mut chunk)?;
                if n == 0 {
                    break;
                }
                file.append(chunk.get(..n).unwrap_or_default())?;
            }
            drop(packed);
            durable::remove_file(&path)?;
            Ok(Vec::new())
        }
    }
}
