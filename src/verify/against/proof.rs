//! Bytes against bytes: what came from the server is hashed, and what the archive has is read back.

use std::collections::HashMap;
use std::io;

use super::AgainstError;
use super::report::{BytesDiffer, NotProven, SampleReport, Sampled};
use crate::archive::ReadError;
use crate::catalog::Catalog;
use crate::model::{ContentId, StoredContent};
use crate::spool::{Body, SpoolError};
use crate::store::{HeldMail, Reader};

/// Messages that wait to be read back. Read in the order in which they lie, neighbours cost one
/// decompression.
const PENDING: usize = 1024;

/// What a message has to be.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// One of these contents; none at all where any does that the archive holds.
    pub(super) contents: Vec<ContentId>,
    /// Recognised by its header only.
    pub(super) healed: bool,
}

/// What is to be done about a message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is judged.
    Done,
    /// Its bytes are others: it is to be fetched once more.
    Again,
    /// Nothing came, where there ought to be something.
    Nothing,
}

/// Compares bodies as they come.
pub(super) struct Proof<'a> {
    catalog: &'a Catalog,
    mail: HeldMail,
    pending: Vec<(Sampled, StoredContent)>,
    /// What came first of messages that are fetched once more.
    first: HashMap<Sampled, ContentId>,
    pub(super) report: SampleReport,
}

impl<'a> Proof<'a> {
    pub(super) fn new(reader: &'a Reader, seed: u64) -> Self {
        Self {
            catalog: reader.catalog(),
            mail: reader.mail(),
            pending: Vec::new(),
            first: HashMap::new(),
            report: SampleReport {
                seed,
                ..SampleReport::default()
            },
        }
    }

    /// Judges a message that came.
    pub(super) fn judge(
        &mut self,
        message: Sampled,
        expected: &Expected,
        body: Body,
    ) -> Result<Next, AgainstError> {
        let (id, len) = (hash(&body)?, body.len());
        let as_archived = if expected.contents.is_empty() {
            self.catalog.holds(id)?
        } else {
            expected.contents.contains(&id)
        };
        // Nothing is no message, unless that is what the archive has.
        if len == 0 && !as_archived {
            return Ok(Next::Nothing);
        }
        let Some(first) = self.first.remove(&message) else {
            if as_archived {
                return self.same(message, expected, id).map(|()| Next::Done);
            }
            self.first.insert(message, id);
            return Ok(Next::Again);
        };
        self.report.differ.push(BytesDiffer {
            message,
            archive: expected.contents.first().copied(),
            server: first,
            again: id,
        });
        Ok(Next::Done)
    }

    fn same(
        &mut self,
        message: Sampled,
        expected: &Expected,
        id: ContentId,
    ) -> Result<(), AgainstError> {
        self.report.same += 1;
        self.report.healed += u64::from(expected.healed);
        if let Some(content) = self.catalog.content(id)? {
            self.report.bytes += content.len;
            self.pending.push((message, content));
        }
        if self.pending.len() >= PENDING {
            self.read_back();
        }
        Ok(())
    }

    /// Names a message that could not be had.
    pub(super) fn not_sent(&mut self, message: Sampled, mut reason: String) {
        if self.first.remove(&message).is_some() {
            reason.insert_str(0, "its bytes differ, and asked for again it did not come: ");
        }
        self.report.not_sent.push(NotProven { message, reason });
    }

    /// Ends it: whatever waits still is read back.
    pub(super) fn finish(mut self) -> SampleReport {
        self.read_back();
        let sorted = &mut self.report.unreadable;
        sorted.sort_by(|a, b| a.message.cmp(&b.message));
        self.report
    }

    fn read_back(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by(|(_, a), (_, b)| {
            let place = |c: &StoredContent| (c.at.frame, c.at.pos);
            a.at.segment
                .cmp(&b.at.segment)
                .then(place(a).cmp(&place(b)))
        });
        for (message, content) in pending {
            match self.mail.read(&content, &mut io::sink()) {
                Ok(()) => self.report.read_back += 1,
                // Erased on request: the server's bytes are those that were, and that is all.
                Err(ReadError::Forgotten { .. }) => {}
                Err(error @ (ReadError::Damaged { .. } | ReadError::Sink(_))) => {
                    let reason = error.to_string();
                    self.report.unreadable.push(NotProven { message, reason });
                }
            }
        }
    }
}

/// Who a message is. A large one is read through without being held.
fn hash(body: &Body) -> Result<ContentId, SpoolError> {
    match body {
        Body::Memory(bytes) => Ok(ContentId::of(bytes)),
        Body::Spooled(spooled) => {
            let failed = |source| SpoolError {
                path: Some(spooled.path().to_owned()),
                source,
            };
            let file = crate::durable::open_read(spooled.path()).map_err(failed)?;
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(file).map_err(failed)?;
            Ok(ContentId::from_bytes(*hasher.finalize().as_bytes()))
        }
    }
}
