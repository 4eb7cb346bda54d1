//! Changes to messages that are there.

use imap_proto::Response;

use super::append::AppendUid;
use super::head::{flag_list, is_atom};
use super::session::TargetSession;
use crate::imap::command::Command;
use crate::imap::error::{ImapError, MOVE, STORE};
use crate::imap::listing::split;
use crate::imap::uid_code::UidCode;
use crate::imap::wire::Filter;
use crate::model::{Flags, UidSet};

/// What becomes of the flags a message has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreFlags {
    /// These come to them.
    Add,
    /// These go, and the others stay.
    Remove,
}

impl TargetSession {
    /// Adds or takes away flags of messages of the selected mailbox, without being told the outcome
    /// (`.SILENT`). Messages that are gone are passed over. A long set takes several commands;
    /// after an error those before it have been done.
    pub async fn store_flags(
        &mut self,
        uids: &UidSet,
        how: StoreFlags,
        flags: &Flags,
    ) -> Result<(), ImapError> {
        if flags.is_empty() {
            return Ok(());
        }
        let item = match how {
            StoreFlags::Add => "+FLAGS.SILENT",
            StoreFlags::Remove => "-FLAGS.SILENT",
        };
        let list = flag_list(flags)?;
        self.at_rest().await?;
        for set in split(uids) {
            let command = Command::new(STORE, &format!(" {set} {item} {list}"));
            self.session.wire.run_ok(command, |_, _| {}).await?;
        }
        Ok(())
    }

    /// Adds Gmail labels to messages of the selected mailbox (X-GM-EXT-1). A label is the wire
    /// name of a mailbox, or a system label such as `\Inbox`. As [`Self::store_flags`] otherwise.
    pub async fn store_labels(
        &mut self,
        uids: &UidSet,
        labels: &[String],
    ) -> Result<(), ImapError> {
        if labels.is_empty() {
            return Ok(());
        }
        self.at_rest().await?;
        for set in split(uids) {
            let mut command = Command::new(STORE, &format!(" {set} +X-GM-LABELS ("));
            for (n, label) in labels.iter().enumerate() {
                command = command.text(if n == 0 { "" } else { " " });
                // In quotes `\Inbox` would be a label of the user's own.
                let is_system = label.strip_prefix('\\').is_some_and(is_atom);
                command = if is_system {
                    command.text(label)
                } else {
                    command.bare_string(label)
                };
            }
            let command = command.text(")");
            self.session.wire.run_ok(command, |_, _| {}).await?;
        }
        Ok(())
    }

    /// Moves one message of the selected mailbox to another (RFC 6851), where the server
    /// announces MOVE. Returns where it is now, if the server says so of this message; a message
    /// that is gone is no error and is nowhere.
    pub async fn move_message(
        &mut self,
        uid: u32,
        to_wire: &str,
    ) -> Result<Option<AppendUid>, ImapError> {
        self.at_rest().await?;
        let command = Command::new(MOVE, &format!(" {uid}")).string(to_wire);
        let mut told = None;
        // RFC 6851 §4.3 has COPYUID in an untagged OK, ahead of the EXPUNGE.
        let on = |response: &Response<'_>, _: &mut Filter| {
            if let Response::Data { outcome, .. } = response {
                told = outcome.code.as_ref().and_then(UidCode::of).or(told.take());
            }
        };
        self.session.wire.run_ok(command, on).await?;
        Ok(match self.session.wire.uid_code.take().or(told) {
            Some(UidCode::Copy {
                uidvalidity,
                from,
                to,
            }) if from == [uid] && to.len() == 1 => Some(AppendUid {
                uidvalidity,
                uids: to,
            }),
            _ => None,
        })
    }
}
