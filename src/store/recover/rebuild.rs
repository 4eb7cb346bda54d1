//! The new archive: accounts, mailboxes, messages, and then who was where.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;

use super::knowledge::Knowledge;
use super::{LostContent, RecoverError, RecoverReport};
use crate::archive::format::{ContentsHead, ContentsLine, Departure, Forgotten, Record};
use crate::archive::{Body, NewContent};
use crate::catalog::{Catalog, PlacementRow};
use crate::durable;
use crate::model::{
    Account, AccountId, ContentId, Evidence, Mailbox, MailboxId, Placement, RemoteId, RunReport,
    Skip, UidSet,
};
use crate::store::Writer;

/// What a lost message that may still be on the server is recorded with.
const LOST: &str = "its bytes were lost when the archive was damaged; a backup fetches it again if the server still has it";

/// A message whose bytes are whole.
pub(super) struct Saved<'a> {
    pub(super) line: &'a ContentsLine,
    pub(super) head: Option<String>,
    pub(super) body: Body,
    /// The segment it was found in.
    pub(super) segment: &'a str,
    /// Whose mail its pair holds; without names if nothing says so.
    pub(super) pair: &'a ContentsHead,
}

pub(super) struct Rebuild<'w> {
    writer: &'w mut Writer,
    /// New mailboxes by the old numbers.
    mailboxes: BTreeMap<MailboxId, MailboxId>,
    accounts: HashMap<String, Account>,
    /// How often a contents frame says that an old mailbox without a record is a new one.
    votes: BTreeMap<(MailboxId, MailboxId), u64>,
    known: Vec<Mailbox>,
    /// What contents frames describe and nobody has seen whole yet.
    missing: BTreeMap<ContentId, LostContent>,
    placed_by_contents: u64,
    spooled: u64,
}

impl<'w> Rebuild<'w> {
    /// Makes all accounts and mailboxes that are known of.
    pub(super) fn begin(
        writer: &'w mut Writer,
        knowledge: &Knowledge,
    ) -> Result<Self, RecoverError> {
        let mut rebuild = Self {
            writer,
            mailboxes: BTreeMap::new(),
            accounts: HashMap::new(),
            votes: BTreeMap::new(),
            known: Vec::new(),
            missing: BTreeMap::new(),
            placed_by_contents: 0,
            spooled: 0,
        };
        let mut numbers: BTreeMap<AccountId, AccountId> = BTreeMap::new();
        for old in knowledge.catalog.accounts()? {
            let aliases = if old.aliases.is_empty() {
                vec![old.name.clone()]
            } else {
                old.aliases
            };
            for alias in &aliases {
                let new = rebuild.account(&old.name, alias)?;
                numbers.insert(old.id, new.id);
                rebuild.accounts.insert(old.name.clone(), new);
            }
            let Some(account) = rebuild.accounts.get(&old.name).cloned() else {
                continue;
            };
            // In the order they were made, so that each gets its old folder again.
            let mut mailboxes = knowledge.catalog.mailboxes(Some(old.id))?;
            mailboxes.sort_by_key(|m| m.id);
            for mailbox in mailboxes {
                let number = mailbox.id;
                let new = rebuild
                    .writer
                    .mailbox(&account, mailbox, &mut rebuild.known);
                rebuild.mailboxes.insert(number, new.id);
            }
        }
        // What was erased is not saved, wherever a copy may be.
        for (id, reason) in knowledge.catalog.forgotten()? {
            rebuild
                .writer
                .record(Record::Forgotten(Forgotten { id, reason }));
        }
        for run in knowledge.catalog.runs()? {
            let Some(account) = numbers.get(&run.account) else {
                continue;
            };
            rebuild.writer.record(Record::Run(RunReport {
                account: *account,
                job: None,
                ..run
            }));
        }
        rebuild.commit()?;
        Ok(rebuild)
    }

    /// Whether a content is saved, or is not to be.
    fn settled(&self, id: ContentId) -> Result<bool, RecoverError> {
        let forgotten = self.writer.catalog().why_forgotten(id)?.is_some();
        Ok(forgotten || self.writer.holds(id)?)
    }

    /// Committed at once: the next account's number and folder depend on it.
    fn account(&mut self, name: &str, alias: &str) -> Result<Account, RecoverError> {
        let account = self.writer.account(name, alias)?;
        self.commit()?;
        Ok(account)
    }

    pub(super) fn commit(&mut self) -> Result<(), RecoverError> {
        self.writer.commit()?;
        Ok(())
    }

    pub(super) fn commit_if_due(&mut self) -> Result<(), RecoverError> {
        if self.writer.is_due() {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// A file for a message that is too large for memory; it has no name any more.
    pub(super) fn spool_file(&mut self) -> Result<File, RecoverError> {
        self.spooled += 1;
        let path = self
            .writer
            .dir()
            .tmp()
            .join(format!("recover-{}", self.spooled));
        let made =
            durable::create_new(&path).and_then(|file| durable::remove_file(&path).map(|()| file));
        made.map_err(|source| RecoverError::Io { path, source })
    }

    pub(super) fn spooled(&self, result: io::Result<()>) -> Result<(), RecoverError> {
        result.map_err(|source| RecoverError::Io {
            path: self.writer.dir().tmp(),
            source,
        })
    }

    /// Stores a message unless it is held. Where neither journal nor catalog places it, it
    /// is placed as its contents frame says.
    pub(super) fn keep(&mut self, saved: Saved<'_>, old: &Catalog) -> Result<bool, RecoverError> {
        let Saved {
            line,
            head,
            body,
            segment,
            pair,
        } = saved;
        if self.settled(line.id)? {
            return Ok(false);
        }
        self.missing.remove(&line.id);
        let placed = old.placements_of(line.id)?;
        let first = placed
            .iter()
            .find_map(|p| self.mailboxes.get(&p.mailbox))
            .copied();
        let described = !pair.account.is_empty();
        if described {
            self.learn(line, pair, &placed)?;
        }
        let home = match first {
            // Where it was first seen, if anything still says that.
            _ if described => self.mailbox(pair, &line.remote)?,
            Some(mailbox) => mailbox,
            None => self.by_path(segment, &line.remote)?,
        };
        let content = NewContent {
            id: line.id,
            len: line.len,
            eol: line.eol,
            head,
            date: line.date,
            remote: line.remote.clone(),
            flags: line.flags.clone(),
        };
        self.writer.keep(home, &content, body)?;
        if placed.is_empty() && described {
            self.placed_by_contents += 1;
            self.writer.record(Record::Place(Placement {
                content: line.id,
                mailbox: home,
                remote: line.remote.clone(),
                flags: line.flags.clone(),
                date: line.date,
                size: u32::try_from(line.len).unwrap_or(u32::MAX),
                evidence: Evidence::Bytes,
            }));
        }
        Ok(true)
    }

    /// Where the record of a mailbox is lost, the contents frame of a message placed in it
    /// under the same remote id says what it was. Other mailboxes may have the same message
    /// under the same number, so this is a vote.
    fn learn(
        &mut self,
        line: &ContentsLine,
        pair: &ContentsHead,
        placed: &[PlacementRow],
    ) -> Result<(), RecoverError> {
        let same = placed
            .iter()
            .filter(|p| p.remote == line.remote)
            .map(|p| p.mailbox);
        let unknown: Vec<MailboxId> = same
            .filter(|old| !self.mailboxes.contains_key(old))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let new = self.mailbox(pair, &line.remote)?;
        for old in unknown {
            *self.votes.entry((old, new)).or_default() += 1;
        }
        Ok(())
    }

    /// Counts the votes: two old mailboxes are never the same new one.
    fn elect(&mut self) {
        let mut votes: Vec<_> = std::mem::take(&mut self.votes).into_iter().collect();
        votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for ((old, new), _) in votes {
            if !self.mailboxes.contains_key(&old)
                && self.mailboxes.values().all(|taken| *taken != new)
            {
                self.mailboxes.insert(old, new);
            }
        }
    }

    /// A mailbox for placements of which nothing says any more where they were.
    fn nameless(&mut self, old: MailboxId) -> Result<MailboxId, RecoverError> {
        let account = self
            .accounts
            .keys()
            .min()
            .cloned()
            .unwrap_or_else(|| "recovered".to_owned());
        let name = format!("recovered mailbox {}", old.0);
        let pair = ContentsHead {
            archive: String::new(),
            account,
            mailbox: name.clone(),
            wire: name,
            separator: None,
            data: 0,
            text: 0,
        };
        self.mailbox(
            &pair,
            &RemoteId::Imap {
                uidvalidity: 0,
                uid: 0,
            },
        )
    }

    /// Notes a message that a contents frame describes and whose bytes are not there.
    pub(super) fn missing(&mut self, line: &ContentsLine, pair: &ContentsHead) {
        let lost = LostContent {
            mailbox: pair.mailbox.clone(),
            remote: Some(line.remote.clone()),
            content: line.id,
        };
        self.missing.entry(line.id).or_insert(lost);
    }

    /// The mailbox a contents frame names.
    fn mailbox(
        &mut self,
        pair: &ContentsHead,
        remote: &RemoteId,
    ) -> Result<MailboxId, RecoverError> {
        let account = match self.accounts.get(&pair.account) {
            Some(account) => account.clone(),
            None => {
                let made = self.account(&pair.account, &pair.account)?;
                self.accounts.insert(pair.account.clone(), made.clone());
                made
            }
        };
        let seen = match remote {
            RemoteId::Imap { uidvalidity, .. } if *uidvalidity > 0 => Some(*uidvalidity),
            _ => None,
        };
        let known = self
            .known
            .iter()
            .find(|m| m.account == account.id && m.wire == pair.wire);
        if let Some(known) =
            known.filter(|m| seen <= m.uidvalidity || self.mailboxes.values().any(|id| *id == m.id))
        {
            return Ok(known.id);
        }
        let mailbox = Mailbox {
            id: MailboxId(0),
            account: account.id,
            name: pair.mailbox.clone(),
            wire: pair.wire.clone(),
            separator: pair.separator,
            folder: String::new(),
            // UIDVALIDITY only grows (RFC 3501 §2.3.1.1), so the largest is the newest.
            uidvalidity: seen,
            special_use: None,
            subscribed: false,
        };
        Ok(self.writer.mailbox(&account, mailbox, &mut self.known).id)
    }

    /// A mailbox named after the folder a segment lies in, when nothing else says whose it was.
    fn by_path(&mut self, segment: &str, remote: &RemoteId) -> Result<MailboxId, RecoverError> {
        let folder = segment
            .rsplit_once('/')
            .map_or(segment, |(folder, _)| folder);
        let (account, mailbox) = folder.split_once('/').unwrap_or((folder, "INBOX"));
        let pair = ContentsHead {
            archive: String::new(),
            account: account.to_owned(),
            mailbox: mailbox.to_owned(),
            wire: mailbox.to_owned(),
            separator: Some('/'),
            data: 0,
            text: 0,
        };
        self.mailbox(&pair, remote)
    }

    /// Places everything journal and catalog placed, and says what of it is lost.
    pub(super) fn placements(
        mut self,
        knowledge: &Knowledge,
        report: &mut RecoverReport,
    ) -> Result<(), RecoverError> {
        self.elect();
        let mut placed = 0;
        for old in &knowledge.placed_in {
            let new = match self.mailboxes.get(old) {
                Some(new) => *new,
                None => self.nameless(*old)?,
            };
            let name = self
                .known
                .iter()
                .find(|m| m.id == new)
                .map_or_else(String::new, |m| m.name.clone());
            placed += self.place_all(
                &name,
                new,
                knowledge.catalog.placements(*old, true)?,
                report,
            )?;
        }
        for (old, new) in self.mailboxes.clone() {
            for record in super::maildrop::records(&knowledge.catalog, old, new)? {
                self.writer.record(record);
            }
        }
        for skip in knowledge.catalog.skips(true)? {
            if let Some(mailbox) = self.mailboxes.get(&skip.mailbox).copied() {
                let skip = Skip {
                    mailbox,
                    remote: skip.remote,
                    count: skip.count,
                    reason: skip.reason,
                    accepted: skip.accepted,
                };
                self.writer.record(Record::Skip(skip));
            }
        }
        self.commit()?;
        report.from_catalog = report.from_catalog.min(placed);
        report.from_journal = placed - report.from_catalog;
        report.from_contents = self.placed_by_contents;
        for (id, lost) in std::mem::take(&mut self.missing) {
            if !self.settled(id)? && !report.lost.iter().any(|l| l.content == id) {
                report.lost.push(lost);
            }
        }
        Ok(())
    }

    fn place_all(
        &mut self,
        name: &str,
        mailbox: MailboxId,
        rows: Vec<PlacementRow>,
        report: &mut RecoverReport,
    ) -> Result<u64, RecoverError> {
        let mut placed = 0;
        let mut gone: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for row in rows {
            if !self.settled(row.content.id)? {
                if !row.gone {
                    let reason = LOST.to_owned();
                    self.writer.record(Record::Skip(Skip {
                        mailbox,
                        remote: Some(row.remote.clone()),
                        count: 1,
                        reason,
                        accepted: None,
                    }));
                }
                self.missing.remove(&row.content.id);
                report.lost.push(LostContent {
                    mailbox: name.to_owned(),
                    remote: Some(row.remote),
                    content: row.content.id,
                });
                continue;
            }
            placed += 1;
            if let (true, RemoteId::Imap { uidvalidity, uid }) = (row.gone, &row.remote) {
                gone.entry(*uidvalidity).or_default().push(*uid);
            }
            self.writer.record(Record::Place(Placement {
                content: row.content.id,
                mailbox,
                remote: row.remote,
                flags: row.flags,
                date: row.date,
                size: row.size,
                evidence: row.evidence,
            }));
            self.commit_if_due()?;
        }
        for (uidvalidity, uids) in gone {
            let uids = uids.into_iter().collect::<UidSet>();
            self.writer.record(Record::Gone(Departure {
                mailbox,
                uidvalidity,
                uids,
            }));
        }
        self.commit()?;
        Ok(placed)
    }
}
