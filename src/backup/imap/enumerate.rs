//! Enumerating: which mailboxes are there, what changed in them, what is to be fetched.

use std::collections::HashMap;

use super::base::Eye;
use super::found::{Enumerated, Enumeration, Outcome};
use super::list::{Listed, list};
use super::look::Look;
use super::missing::{Ground, judge};
use super::rename::former;
use crate::backup::{BackupError, Request};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::parse_rfc3339;
use crate::contact::Line;
use crate::event::{Event, Sink};
use crate::model::{Account, JobState, Mailbox, MailboxId, RunReport, UidSet};
use crate::source::{ImapSource, SeenMailbox};

/// Healed messages are proven by their bytes from the next night on, some every night: at least
/// this many …
const PROVE_AT_LEAST: u64 = 20;
/// … or this share of them, so that all are within a hundred nights.
const PROVE_SHARE: u64 = 100;
/// Seconds after which it is the next night.
const NEXT_NIGHT: i64 = 16 * 3600;
const DAY: i64 = 86_400;

/// Lists the account's mailboxes and plans each selected one. `known` are those of the account.
///
/// # Errors
/// The connection failed, the catalog failed, or a pattern matches nothing. A mailbox that
/// cannot be opened is no error but an [`Outcome::Failed`].
pub(super) async fn enumerate(
    source: &ImapSource,
    line: &mut Line<'_>,
    catalog: &Catalog,
    account: Option<&Account>,
    known: &[Mailbox],
    request: &Request,
    sink: &dyn Sink,
) -> Result<Enumeration, BackupError> {
    let selection = &request.selection;
    let listed = list(source, line, catalog, known, selection).await?;
    let Listed {
        mut chosen,
        lost,
        all,
    } = listed;
    let jobs = catalog.jobs()?;
    let eye = Eye {
        selection,
        fingerprint: selection.fingerprint(),
        flags: request.flags,
        now: request.open.clock.now_unix(),
        job: jobs.iter().find(|job| {
            let same = job.source == request.source_text && job.selection == *selection;
            let of_account = account.is_some_and(|a| a.id == job.account);
            of_account
                && job.state == JobState::Open
                && (same && request.job.is_none() || request.job == Some(job.id))
        }),
        prove: prove(catalog, account, request)?,
    };
    // INBOX first: it is what a person misses most if the run is cut short.
    chosen.sort_by(|a, b| (a.name != "INBOX", &a.name).cmp(&(b.name != "INBOX", &b.name)));
    let (former, lost) = recognise(line, catalog, known, (&chosen, &all), lost).await?;
    let total = u64::try_from(chosen.len()).unwrap_or(0);
    let mut mailboxes = Vec::with_capacity(chosen.len());
    for (done, (seen, former)) in (0..).zip(chosen.into_iter().zip(former)) {
        sink.event(Event::Enumerating { done, total });
        let look = Look {
            line,
            catalog,
            eye: &eye,
            known: former,
            lost: &lost,
            all: known,
            may_reuse: false,
        };
        let outcome = if seen.wire.contains(char::REPLACEMENT_CHARACTER) {
            // The server would say that there is no such mailbox, as if it had gone.
            let reason = "its name is no UTF-8, so the server cannot be asked for it".to_owned();
            Outcome::Failed {
                exists: 0,
                reason,
                vanished: false,
            }
        } else {
            look.look(&seen).await?
        };
        let renamed_from = former
            .filter(|m| m.wire != seen.wire)
            .map(|m| m.name.clone());
        mailboxes.push(Enumerated {
            id: former.map(|m| m.id),
            seen,
            renamed_from,
            outcome,
        });
    }
    sink.event(Event::Enumerating { done: total, total });
    let mut found = Enumeration {
        mailboxes,
        unlisted: lost.iter().map(|m| m.name.clone()).collect(),
        ..Enumeration::default()
    };
    let ground = Ground {
        catalog,
        known,
        lost: &lost,
        nothing_listed: all.is_empty(),
        believe: request.believe_deletions,
        now: eye.now,
    };
    judge(&mut found, account, &ground)?;
    Ok(found)
}

/// What each listed mailbox is in the archive, by its name or by its messages; and what is left
/// of the lost ones.
async fn recognise<'a>(
    line: &mut Line<'_>,
    catalog: &Catalog,
    known: &'a [Mailbox],
    (chosen, all): (&[SeenMailbox], &[SeenMailbox]),
    lost: Vec<Mailbox>,
) -> Result<(Vec<Option<&'a Mailbox>>, Vec<Mailbox>), BackupError> {
    let by_name = |seen: &SeenMailbox| known.iter().find(|m| m.wire == seen.wire);
    let mut renamed: HashMap<&str, &Mailbox> = HashMap::new();
    for seen in chosen.iter().filter(|seen| by_name(seen).is_none()) {
        if let Some(former) = former(line, catalog, known, (chosen, all), seen).await?
            && !renamed.values().any(|m| m.id == former.id)
        {
            renamed.insert(&seen.wire, former);
        }
    }
    let taken = |id: MailboxId| renamed.values().any(|m| m.id == id);
    let former = chosen
        .iter()
        .map(|seen| {
            let known = by_name(seen).filter(|m| !taken(m.id));
            known.or_else(|| renamed.get(seen.wire.as_str()).copied())
        })
        .collect();
    let lost = lost.into_iter().filter(|m| !taken(m.id)).collect();
    Ok((former, lost))
}

/// The healed messages that are to be proven in this run.
fn prove(
    catalog: &Catalog,
    account: Option<&Account>,
    request: &Request,
) -> Result<HashMap<(MailboxId, u32), UidSet>, CatalogError> {
    let mut prove: HashMap<(MailboxId, u32), UidSet> = HashMap::new();
    let Some(account) = account else {
        return Ok(prove);
    };
    let tonight = request.open.clock.now_unix() - NEXT_NIGHT;
    let share = |all: u64| PROVE_AT_LEAST.max(all / PROVE_SHARE);
    let healed = catalog.healed(account.id, tonight, share)?;
    if healed.is_empty() {
        return Ok(prove);
    }
    // The first run of a day does its share, however often there is one.
    let today = request.open.clock.now_unix() / DAY;
    let is_of_today = |run: &RunReport| {
        run.account == account.id
            && parse_rfc3339(&run.ended).is_some_and(|ended| ended / DAY == today)
    };
    if catalog.runs()?.iter().rev().any(is_of_today) {
        return Ok(prove);
    }
    for row in healed {
        let uids = prove.entry((row.mailbox, row.uidvalidity)).or_default();
        uids.push(row.uid);
    }
    Ok(prove)
}
