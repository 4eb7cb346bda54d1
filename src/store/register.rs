//! Accounts and mailboxes get their numbers and folders.

use super::{StoreError, Writer};
use crate::archive::folder_for;
use crate::archive::format::Record;
use crate::model::{Account, AccountId, Mailbox, MailboxId};

impl Writer {
    /// The account of this name or alias, or a new one; journaled with the next commit.
    ///
    /// # Errors
    /// The catalog's.
    pub fn account(&mut self, name: &str, alias: &str) -> Result<Account, StoreError> {
        let accounts = self.catalog.accounts()?;
        let known = accounts.iter().find(|a| a.name == name).or_else(|| {
            accounts
                .iter()
                .find(|a| a.aliases.iter().any(|x| x == alias))
        });
        if let Some(account) = known {
            let mut account = account.clone();
            if !account.aliases.iter().any(|a| a == alias) {
                account.aliases.push(alias.to_owned());
                self.record(Record::Account(account.clone()));
            }
            return Ok(account);
        }
        let taken: Vec<&str> = accounts.iter().map(|a| a.folder.as_str()).collect();
        let account = Account {
            id: AccountId(accounts.iter().map(|a| a.id.0).max().unwrap_or(0) + 1),
            name: name.to_owned(),
            aliases: vec![alias.to_owned()],
            // One level: an account's folder never lies inside another's.
            folder: folder_for(&name.replace('/', "_"), &taken),
        };
        self.record(Record::Account(account.clone()));
        Ok(account)
    }

    /// Records a mailbox as it is seen now: a new one gets a number and a folder, a known one
    /// keeps them. It is known by its number, or by its name where that is 0. `known` are the
    /// mailboxes of the archive, and gets what is new.
    pub fn mailbox(
        &mut self,
        account: &Account,
        seen: Mailbox,
        known: &mut Vec<Mailbox>,
    ) -> Mailbox {
        let found = known.iter_mut().find(|m| match seen.id {
            MailboxId(0) => m.account == account.id && m.wire == seen.wire,
            id => m.id == id,
        });
        if let Some(old) = found {
            let now = Mailbox {
                id: old.id,
                account: account.id,
                folder: old.folder.clone(),
                uidvalidity: seen.uidvalidity.or(old.uidvalidity),
                ..seen
            };
            if *old != now {
                if old.wire != now.wire {
                    self.mail.rename(&now);
                }
                *old = now.clone();
                self.record(Record::Mailbox(now.clone()));
            }
            return now;
        }
        let taken: Vec<&str> = known
            .iter()
            .filter(|m| m.account == account.id)
            .map(|m| m.folder.as_str())
            .collect();
        let now = Mailbox {
            id: MailboxId(known.iter().map(|m| m.id.0).max().unwrap_or(0) + 1),
            account: account.id,
            folder: folder_for(&seen.name, &taken),
            ..seen
        };
        self.mail.register(account, &now, None);
        known.push(now.clone());
        self.record(Record::Mailbox(now.clone()));
        now
    }

    /// A mailbox that is recorded only once a message is filed in it.
    pub fn mailbox_if_used(
        &mut self,
        account: &Account,
        seen: Mailbox,
        known: &mut Vec<Mailbox>,
    ) -> Mailbox {
        let before = self.pending.len();
        let mailbox = self.mailbox(account, seen, known);
        self.dormant.extend(self.pending.drain(before..));
        mailbox
    }

    /// Records a mailbox that lay dormant.
    pub(super) fn wake(&mut self, mailbox: MailboxId) {
        let is_it = |r: &Record| matches!(r, Record::Mailbox(m) if m.id == mailbox);
        if let Some(n) = self.dormant.iter().position(is_it) {
            let record = self.dormant.swap_remove(n);
            self.record(record);
        }
    }
}
