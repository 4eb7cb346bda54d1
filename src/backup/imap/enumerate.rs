//! Enumerating: which mailboxes are there, what changed in them, what is to be fetched.

use std::collections::HashMap;

use super::line::{Line, Trouble};
use super::parts::{Opened, open};
use super::plan::{Facts, Plan, plan};
use crate::backup::BackupError;
use crate::backup::side::describe;
use crate::catalog::{Catalog, CatalogError};
use crate::event::{Event, Sink};
use crate::imap::{ImapError, Session};
use crate::model::{Checkpoint, FlagTable, Mailbox, MailboxId, MailboxStatus, Selection, UidSet};
use crate::source::{ImapSource, SeenMailbox, select};

/// What enumeration found out about one mailbox.
#[derive(Debug)]
pub(super) struct Enumerated {
    /// Its number in the archive, once it has one.
    pub(super) id: Option<MailboxId>,
    /// The mailbox as it is seen now.
    pub(super) seen: SeenMailbox,
    /// How it looks.
    pub(super) outcome: Outcome,
}

/// How a mailbox looks.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing can have changed since its checkpoint; it was not examined.
    Unchanged {
        /// That checkpoint.
        checkpoint: Checkpoint,
    },
    /// Examined, listed and planned.
    Planned(Box<Planned>),
    /// Gone between LIST and EXAMINE, or the server refused to open it.
    Failed {
        /// Messages in it as far as anybody knows.
        exists: u32,
        /// The server's words.
        reason: String,
        /// It does not exist any more, which is no loss.
        vanished: bool,
    },
}

/// A planned mailbox.
#[derive(Debug)]
pub(super) struct Planned {
    /// What is to be done.
    pub(super) plan: Plan,
    /// EXISTS.
    pub(super) exists: u32,
    /// UIDVALIDITY, 0 where there is none.
    pub(super) uidvalidity: u32,
    /// The numbers a checkpoint would hold.
    pub(super) status: MailboxStatus,
    /// The flag sets the plan refers to.
    pub(super) flags: FlagTable,
    /// UIDs whose place in the listing nobody can read, with how the answer begins.
    pub(super) unreadable: Vec<(u32, String)>,
    /// The checkpoint there was.
    pub(super) previous: Option<Checkpoint>,
    /// There are skips, which a checkpoint would settle.
    pub(super) open_skips: bool,
}

/// An account as it was found.
#[derive(Debug, Default)]
pub(super) struct Enumeration {
    /// The selected mailboxes the server lists.
    pub(super) mailboxes: Vec<Enumerated>,
    /// Selected mailboxes that are known and that it does not list.
    pub(super) unlisted: Vec<String>,
    /// So many are missing that the listing is not believed.
    pub(super) doubtful: bool,
}

/// Lists the account's mailboxes and plans each selected one.
///
/// # Errors
/// The connection failed, the catalog failed, or a pattern matches nothing. A mailbox that
/// cannot be opened is no error but an [`Outcome::Failed`].
pub(super) async fn enumerate(
    source: &ImapSource,
    line: &mut Line<'_>,
    catalog: &Catalog,
    known: &[Mailbox],
    selection: &Selection,
    sink: &dyn Sink,
) -> Result<Enumeration, BackupError> {
    let (mut chosen, unlisted) = list(source, line, catalog, known, selection).await?;
    let doubtful = unlisted.len() > 1 && unlisted.len() >= chosen.len();
    let wires: Vec<String> = chosen.iter().map(|m| m.wire.clone()).collect();
    // QUIRK(several): a client that pipelines, as STATUS does, is cut off.
    match line
        .try_once(async |session| source.statuses(session, &wires).await)
        .await
    {
        Ok(statuses) => chosen
            .iter_mut()
            .zip(statuses)
            .for_each(|(mailbox, status)| mailbox.status = status),
        // A mailbox without STATUS is examined.
        Err(Trouble::Answer(error)) => {
            tracing::debug!(error = describe(&error), "no STATUS of any mailbox")
        }
        Err(Trouble::Server(error)) => return Err(BackupError::List(error.into())),
    }

    // INBOX first: it is what a person misses most if the run is cut short.
    chosen.sort_by(|a, b| (a.name != "INBOX", &a.name).cmp(&(b.name != "INBOX", &b.name)));
    let fingerprint = selection.fingerprint();
    let total = u64::try_from(chosen.len()).unwrap_or(0);
    let mut enumerated = Vec::with_capacity(chosen.len());
    for (done, seen) in (0..).zip(chosen) {
        sink.event(Event::Enumerating { done, total });
        let id = known.iter().find(|m| m.wire == seen.wire).map(|m| m.id);
        let outcome = match unchanged(catalog, id, &seen, &fingerprint)? {
            // The server would say that there is no such mailbox, as if it had gone.
            _ if seen.wire.contains(char::REPLACEMENT_CHARACTER) => {
                let reason =
                    "its name is no UTF-8, so the server cannot be asked for it".to_owned();
                Outcome::Failed {
                    exists: 0,
                    reason,
                    vanished: false,
                }
            }
            Some(checkpoint) => Outcome::Unchanged { checkpoint },
            None => examine(line, catalog, id, &seen, selection).await?,
        };
        enumerated.push(Enumerated { id, seen, outcome });
    }
    sink.event(Event::Enumerating { done: total, total });
    Ok(Enumeration {
        mailboxes: enumerated,
        unlisted,
        doubtful,
    })
}

/// The selected mailboxes the server lists, and the names of known ones that it does not.
async fn list(
    source: &ImapSource,
    line: &mut Line<'_>,
    catalog: &Catalog,
    known: &[Mailbox],
    selection: &Selection,
) -> Result<(Vec<SeenMailbox>, Vec<String>), BackupError> {
    let ask = async |session: &mut Session| source.mailboxes(session).await;
    let mut all = line.run(ask).await.map_err(listing_failed)?;
    let mut unlisted = missing(&all, catalog, known, selection)?;
    if all.is_empty() || !unlisted.is_empty() {
        // QUIRK(Zoho, IMAP4 Server, 2026-01): LIST now and then answers with nothing.
        all = line.run(ask).await.map_err(listing_failed)?;
        unlisted = missing(&all, catalog, known, selection)?;
    }
    let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
    let selected = select(&names, &selection.mailboxes, &selection.exclude);
    // A pattern for a mailbox that is known is no slip of the user's, listed or not.
    if !selected.idle.is_empty() && !all.is_empty() && unlisted.is_empty() {
        let mailboxes = names.iter().map(|&n| n.to_owned()).collect();
        return Err(BackupError::IdlePatterns {
            patterns: selected.idle,
            mailboxes,
        });
    }
    let chosen = all
        .into_iter()
        .zip(selected.chosen)
        .filter_map(|(m, yes)| yes.then_some(m))
        .collect();
    Ok((chosen, unlisted))
}

fn listing_failed(trouble: Trouble) -> BackupError {
    BackupError::List(trouble.into_error().into())
}

/// Selected mailboxes that hold mail in the archive and are not among those listed.
fn missing(
    listed: &[SeenMailbox],
    catalog: &Catalog,
    known: &[Mailbox],
    selection: &Selection,
) -> Result<Vec<String>, CatalogError> {
    let names: Vec<&str> = known.iter().map(|m| m.name.as_str()).collect();
    let selected = select(&names, &selection.mailboxes, &selection.exclude);
    let mut missing = Vec::new();
    for (mailbox, chosen) in known.iter().zip(selected.chosen) {
        let absent = chosen && !listed.iter().any(|m| m.wire == mailbox.wire);
        if absent && catalog.is_filled_by_imap(mailbox.id)? {
            missing.push(mailbox.name.clone());
        }
    }
    Ok(missing)
}

/// The checkpoint under which a mailbox can be left alone without EXAMINE.
fn unchanged(
    catalog: &Catalog,
    id: Option<MailboxId>,
    seen: &SeenMailbox,
    fingerprint: &str,
) -> Result<Option<Checkpoint>, CatalogError> {
    let (Some(id), Some(status)) = (id, seen.status.as_ref()) else {
        return Ok(None);
    };
    let checkpoint = catalog
        .checkpoint(id)?
        .filter(|c| c.stands_still(status, fingerprint));
    // An open skip is tried again, and a lost content fetched again, however still it stands.
    let settled =
        checkpoint.is_some() && catalog.open_skips(id)? == 0 && !catalog.has_damage(id)?;
    Ok(checkpoint.filter(|_| settled))
}

async fn examine(
    line: &mut Line<'_>,
    catalog: &Catalog,
    id: Option<MailboxId>,
    seen: &SeenMailbox,
    selection: &Selection,
) -> Result<Outcome, BackupError> {
    let mut previous = None;
    let mut open_skips = false;
    if let Some(id) = id {
        previous = catalog.checkpoint(id)?;
        open_skips = catalog.open_skips(id)? > 0;
    }
    // Twice at most: a listing that lacks messages the server counts is asked for once more.
    for last_try in [false, true] {
        let Opened {
            mut examined,
            listing,
            unreadable,
        } = match open(line, &seen.wire).await {
            Ok(opened) => opened,
            Err(Trouble::Answer(error)) => return Ok(failed(&error, seen)),
            Err(Trouble::Server(error)) => return Err(BackupError::List(error.into())),
        };
        if examined.uidnext.is_none() {
            // QUIRK(Courier): nothing tells which messages came after EXAMINE, so they count.
            examined.exists = examined
                .exists
                .max(u32::try_from(listing.messages.len()).unwrap_or(u32::MAX));
        }
        let uidvalidity = examined.uidvalidity.unwrap_or(0);
        let mut held = Vec::new();
        let mut accepted = UidSet::new();
        let mut skipped = UidSet::new();
        if let Some(id) = id {
            catalog.held(id, uidvalidity, |row| held.push(row))?;
            accepted = catalog.skipped_uids(id, uidvalidity, true)?;
            skipped = catalog.skipped_uids(id, uidvalidity, false)?;
        }
        let mut flag_numbers = HashMap::new();
        for message in &listing.messages {
            if let Some(flags) = listing.flags.get(message.flags)
                && !flag_numbers.contains_key(&message.flags)
            {
                flag_numbers.insert(message.flags, catalog.flag_set(flags)?);
            }
        }
        let plan = plan(&Facts {
            exists: examined.exists,
            uidvalidity,
            uidnext: examined.uidnext,
            listing: &listing,
            held: &held,
            accepted: &accepted,
            skipped: &skipped,
            unreadable: u32::try_from(unreadable.len()).unwrap_or(u32::MAX),
            flag_numbers: &flag_numbers,
            selection,
        });
        let known_to_lack = u32::try_from(unreadable.len()).unwrap_or(u32::MAX);
        if (plan.unlisted <= known_to_lack && plan.left == 0) || last_try {
            let status = MailboxStatus {
                uidvalidity: examined.uidvalidity,
                uidnext: examined.uidnext,
                messages: Some(examined.exists),
                highestmodseq: examined.highestmodseq,
            };
            let planned = Planned {
                plan,
                exists: examined.exists,
                uidvalidity,
                status,
                flags: listing.flags,
                unreadable,
                previous,
                open_skips,
            };
            return Ok(Outcome::Planned(Box::new(planned)));
        }
    }
    let exists = seen.status.and_then(|s| s.messages).unwrap_or(0);
    Ok(Outcome::Failed {
        exists,
        reason: "the listing does not add up".to_owned(),
        vanished: false,
    })
}

/// One mailbox never blocks the others, whatever the server says of it.
fn failed(error: &ImapError, seen: &SeenMailbox) -> Outcome {
    let exists = seen.status.and_then(|s| s.messages).unwrap_or(0);
    let vanished = matches!(error, ImapError::MailboxGone { .. });
    Outcome::Failed {
        exists,
        reason: describe(error),
        vanished,
    }
}
