//! Where UIDLs do not mean what they meant, after a server was changed or gave all its messages
//! new ones: messages matched by size and header, so that they are not fetched again.
//!
//! Size and a digest of four fields nominate; a match needs the whole header that TOP showed to be
//! that of the held message, byte for byte, re-read from the archive. Where one nomination fits
//! several messages, on either side, nobody can tell which is which.

use std::collections::HashMap;

use super::known::Known;
use crate::archive::MailReader;
use crate::catalog::{Catalog, CatalogError, PopHeld};
use crate::header::header_of;
use crate::model::{ContentId, MailboxId, StoredContent, shared_uidl, split_uidl};

/// What is held, for messages to be matched with.
#[derive(Debug)]
pub(super) struct Candidates {
    all: Vec<Candidate>,
    nominated: HashMap<(u32, String), Vec<usize>>,
    /// Everything that is held, by what claims a UIDL.
    claims: Vec<Claim>,
    reader: MailReader,
}

/// What is held under a UIDL.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) mailbox: MailboxId,
    pub(super) uidl: String,
    pub(super) key: String,
    pub(super) content: ContentId,
}

#[derive(Debug)]
struct Candidate {
    held: PopHeld,
    key: String,
    content: StoredContent,
    taken: bool,
}

/// A message whose header was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) uidl: String,
    pub(super) size: u32,
    pub(super) digest: Option<String>,
    /// [`header_id`] of what TOP showed.
    pub(super) header: [u8; 32],
}

/// What it turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// What is held under its UIDL.
    Same,
    /// What was held under this other key.
    Renamed(PopHeld, String, StoredContent),
    /// Neither, or nobody can tell.
    Unknown,
}

/// A hash of a whole header.
pub(super) fn header_id(message: &[u8]) -> [u8; 32] {
    *blake3::hash(header_of(message)).as_bytes()
}

impl Candidates {
    /// Everything that is held of a maildrop.
    pub(super) fn of(
        known: &Known,
        catalog: &Catalog,
        reader: MailReader,
    ) -> Result<Self, CatalogError> {
        let mut candidates = Self {
            all: Vec::new(),
            nominated: HashMap::new(),
            claims: Vec::new(),
            reader,
        };
        for (uidl, entries) in &known.held {
            for entry in entries.iter().filter(|e| !e.held.damaged) {
                let Some(content) = catalog.content_numbered(entry.held.content)? else {
                    continue;
                };
                let key = if entry.shared {
                    shared_uidl(uidl, content.id)
                } else {
                    uidl.clone()
                };
                candidates.claims.push(Claim {
                    mailbox: entry.held.mailbox,
                    uidl: uidl.clone(),
                    key: key.clone(),
                    content: content.id,
                });
                candidates.add(entry.held, key, content);
            }
        }
        Ok(candidates)
    }

    /// What claims UIDLs that are not among those listed.
    pub(super) fn unlisted(&self, listed: impl Fn(&str) -> bool) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |c| !listed(&c.uidl))
    }

    fn add(&mut self, held: PopHeld, key: String, content: StoredContent) {
        if let Some(head) = content.head.clone() {
            let nominated = self.nominated.entry((held.size, head)).or_default();
            nominated.push(self.all.len());
            self.all.push(Candidate {
                held,
                key,
                content,
                taken: false,
            });
        }
    }

    /// Matches all that were looked at, in order.
    pub(super) fn matched(&mut self, looked: &[Looked]) -> Vec<Match> {
        let mut nominations = self.nominations(looked);
        // In the order in which they lie, so that each frame is read once.
        nominations.sort_by_key(|(_, n)| self.all.get(*n).map(|c| place(&c.content)));
        let mut matches = vec![Match::Unknown; looked.len()];
        for (l, n) in nominations {
            let (Some(looked), Some(candidate)) = (looked.get(l), self.all.get_mut(n)) else {
                continue;
            };
            let Ok(held) = self.reader.read_header(&candidate.content) else {
                continue;
            };
            if candidate.taken || header_id(&held) != looked.header {
                continue;
            }
            candidate.taken = true;
            if let Some(found) = matches.get_mut(l) {
                *found = if split_uidl(&candidate.key).0 == looked.uidl {
                    Match::Same
                } else {
                    let Candidate {
                        held, key, content, ..
                    } = candidate;
                    Match::Renamed(*held, key.clone(), content.clone())
                };
            }
        }
        matches
    }

    /// Which candidate each message may be: what is held under its UIDL, or the only one there is.
    fn nominations(&self, looked: &[Looked]) -> Vec<(usize, usize)> {
        let mut claims: HashMap<(u32, &str), u32> = HashMap::new();
        for l in looked {
            if let Some(digest) = &l.digest {
                *claims.entry((l.size, digest)).or_default() += 1;
            }
        }
        let mut nominations = Vec::new();
        for (l, message) in looked.iter().enumerate() {
            let Some(digest) = &message.digest else {
                continue;
            };
            let nominated = self.nominated.get(&(message.size, digest.clone()));
            let free: Vec<usize> = nominated
                .into_iter()
                .flatten()
                .copied()
                .filter(|&n| self.all.get(n).is_some_and(|c| !c.taken))
                .collect();
            let under_it = |n: &&usize| {
                self.all
                    .get(**n)
                    .is_some_and(|c| split_uidl(&c.key).0 == message.uidl)
            };
            let alone = claims.get(&(message.size, digest.as_str())) == Some(&1);
            let found = match (free.iter().find(under_it), free.as_slice()) {
                (Some(n), _) => Some(*n),
                (None, [n]) if alone => Some(*n),
                _ => None,
            };
            nominations.extend(found.map(|n| (l, n)));
        }
        nominations
    }
}

/// Where a content lies, for reading in order.
pub(super) fn place(content: &StoredContent) -> (String, u64, u64) {
    (content.at.segment.clone(), content.at.frame, content.at.pos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LineEnds, Location};

    fn candidates(held: &[(&str, u32, &str)]) -> Candidates {
        let mut candidates = Candidates {
            all: Vec::new(),
            nominated: HashMap::new(),
            claims: Vec::new(),
            reader: MailReader::new(std::path::Path::new("/nowhere")),
        };
        for (key, size, digest) in held {
            let content = StoredContent {
                id: ContentId::of(key.as_bytes()),
                len: 1,
                eol: LineEnds::Crlf,
                head: Some((*digest).to_owned()),
                at: Location {
                    segment: "none".to_owned(),
                    frame: 0,
                    pos: 0,
                    size: 0,
                },
            };
            let held = PopHeld {
                mailbox: MailboxId(1),
                content: 1,
                size: *size,
                damaged: false,
            };
            candidates.add(held, (*key).to_owned(), content);
        }
        candidates
    }

    fn looked(uidl: &str, size: u32, digest: &str) -> Looked {
        Looked {
            uidl: uidl.to_owned(),
            size,
            digest: (!digest.is_empty()).then(|| digest.to_owned()),
            header: [0; 32],
        }
    }

    #[test]
    fn one_digest_and_size_on_either_side_is_a_nomination() {
        let held = candidates(&[("old-a", 10, "a"), ("old-b", 10, "b"), ("x", 99, "c")]);
        let all = [
            looked("new-a", 10, "a"),
            looked("new-b", 11, "b"),
            looked("x", 99, "c"),
            looked("y", 10, ""),
        ];
        assert_eq!(held.nominations(&all), [(0, 0), (2, 2)]);
    }

    #[test]
    fn what_is_ambiguous_on_either_side_is_not_nominated_but_for_its_own_uidl() {
        let held = candidates(&[("1", 10, "a"), ("2", 10, "a"), ("3", 10, "b")]);
        let all = [
            looked("p", 10, "a"),
            looked("q", 10, "b"),
            looked("r", 10, "b"),
        ];
        assert_eq!(held.nominations(&all), []);
        let own = [looked("2", 10, "a"), looked("1", 10, "a")];
        assert_eq!(held.nominations(&own), [(0, 1), (1, 0)]);
    }

    #[test]
    fn without_the_message_itself_there_is_no_match() {
        let mut held = candidates(&[("1", 10, "a")]);
        assert_eq!(held.matched(&[looked("1", 10, "a")]), [Match::Unknown]);
    }
}
