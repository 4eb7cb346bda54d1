//! The end of a run: what became of messages that did not come, and whether it all adds up.

use std::collections::BTreeMap;

use super::batch::Failure;
use super::found::{Enumerated, Enumeration, Outcome, Planned};
use super::workers::Stage;
use crate::archive::format::Record;
use crate::backup::Request;
use crate::backup::side::Ground;
use crate::clock;
use crate::contact::{Stop, describe};
use crate::event::Event;
use crate::imap::{ImapError, Session};
use crate::model::{Checkpoint, MailboxId, RemoteId, Skip, Tally, UidSet};
use crate::report::{BackupReport, MailboxReport, SkippedMessage};
use crate::source::ImapSource;
use crate::store::Committed;

/// What became of messages that were to be fetched and did not come.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Proven gone, by mailbox.
    left: BTreeMap<MailboxId, u32>,
    /// Not archived, by mailbox.
    skipped: BTreeMap<MailboxId, Vec<(Option<u32>, String)>>,
    /// Skipped before and not tried again, by mailbox.
    untried: BTreeMap<MailboxId, Vec<(u32, String)>>,
}

/// A report with the numbers of the plan, before anything is fetched.
pub(super) fn planned_report(request: &Request, found: &Enumeration) -> BackupReport {
    let now = request.open.clock.now_unix();
    let mut mailboxes = Vec::new();
    let mut notes = Vec::new();
    for e in &found.mailboxes {
        let mut mailbox = MailboxReport::new(&e.seen.name);
        if let Some(before) = &e.renamed_from {
            notes.push(format!(
                "`{}` is what was `{before}`: its mail is held already",
                e.seen.name
            ));
        }
        match &e.outcome {
            Outcome::Unchanged { checkpoint } => {
                mailbox.unchanged = true;
                mailbox.tally.exists = checkpoint.messages;
                mailbox.tally.excluded = checkpoint.excluded;
                mailbox.tally.held = checkpoint.messages.saturating_sub(checkpoint.excluded);
            }
            Outcome::Planned(p) => {
                mailbox.tally = Tally {
                    exists: p.exists,
                    linked: healed(p),
                    held: p.plan.held,
                    excluded: p.plan.excluded,
                    left: p.plan.left,
                    ..Tally::default()
                };
                mailbox.doubtful = u32::try_from(p.doubtful.len()).unwrap_or(u32::MAX);
                mailbox.flags_as_of = flags_as_of(p, now);
                notes.extend(notes_on(e, p));
            }
            Outcome::Failed { vanished: true, .. } => {}
            Outcome::Failed { exists, reason, .. } => {
                mailbox.tally.exists = *exists;
                mailbox.tally.skipped = *exists;
                mailbox.problem = Some(reason.clone());
            }
        }
        mailboxes.push(mailbox);
    }
    let mut report = BackupReport::planned(&request.account, mailboxes);
    report.unlisted.clone_from(&found.unlisted);
    report.warnings.clone_from(&found.warnings);
    let old = report
        .mailboxes
        .iter()
        .filter_map(|m| m.flags_as_of.clone());
    if let Some(oldest) = old.min() {
        notes.push(format!(
            "the server does not tell which flags changed; some were last looked at on {oldest} (--flags always looks every time)"
        ));
    }
    report.notes = notes;
    report
}

/// When flags were last looked at, where that was before this run and the server does not tell
/// of changes.
fn flags_as_of(planned: &Planned, now: i64) -> Option<String> {
    let told = planned.status.highestmodseq.is_some() || !planned.by_changes;
    let before = planned.listed_at.filter(|at| !told && *at < now - 3600);
    before.map(clock::rfc3339)
}

/// Messages that were recognised and need no fetching.
fn healed(planned: &Planned) -> u32 {
    u32::try_from(planned.healed.len()).unwrap_or(u32::MAX)
}

/// What a person may want to know of how a mailbox was looked at.
fn notes_on(e: &Enumerated, planned: &Planned) -> Vec<String> {
    let name = &e.seen.name;
    let mut notes = Vec::new();
    let recognised = planned.healed.len();
    if recognised > 0 {
        notes.push(format!(
            "`{name}`: {recognised} messages have other numbers on the server than before; they were recognised by \
             size, date and header, and are proven by their bytes over the next nights"
        ));
    }
    if planned.goes_on {
        notes.push(format!(
            "`{name}`: went on where the last run stopped, without listing it again"
        ));
    }
    notes
}

/// Finds out what became of messages that did not come, and records skips and checkpoints.
///
/// A message that a fresh listing lacks has left. Everything else is a skip.
pub(super) async fn close(
    stage: &Stage<'_>,
    session: Option<Session>,
    enumerated: &[Enumerated],
) -> Closing {
    let Stage {
        ground,
        source,
        work,
        ..
    } = *stage;
    let mut closing = Closing::default();
    let mut by_mailbox: BTreeMap<usize, Vec<Failure>> = BTreeMap::new();
    for failure in work.failures() {
        by_mailbox.entry(failure.mailbox).or_default().push(failure);
    }
    let mut session = session;
    for (n, failures) in by_mailbox {
        let Some(target) = work.mailboxes.get(n) else {
            continue;
        };
        let uids: UidSet = failures.iter().map(|f| f.uid).collect();
        let listed = relist(
            source,
            &mut session,
            &target.mailbox.wire,
            target.uidvalidity,
            &uids,
            ground.stop,
        )
        .await;
        for failure in failures {
            if listed
                .as_ref()
                .is_some_and(|listed| !listed.contains(failure.uid))
            {
                *closing.left.entry(target.mailbox.id).or_default() += 1;
            } else {
                let skipped = closing.skipped.entry(target.mailbox.id).or_default();
                skipped.push((Some(failure.uid), failure.reason));
            }
        }
    }
    for Failure {
        mailbox,
        uid,
        reason,
    } in work.untried()
    {
        if let Some(target) = work.mailboxes.get(mailbox) {
            let untried = closing.untried.entry(target.mailbox.id).or_default();
            untried.push((uid, reason));
        }
    }
    for e in enumerated {
        let (Outcome::Planned(planned), Some(id)) = (&e.outcome, e.id) else {
            continue;
        };
        let unreadable = planned
            .unreadable
            .iter()
            .take(usize::try_from(planned.plan.unlisted).unwrap_or(usize::MAX));
        let named = u32::try_from(unreadable.len()).unwrap_or(u32::MAX);
        let skipped = unreadable.map(|(uid, reason)| (Some(*uid), reason.clone()));
        if named > 0 {
            closing.skipped.entry(id).or_default().extend(skipped);
        }
        for _ in named..planned.plan.unlisted {
            let reason = "the server counts this message but does not list it".to_owned();
            closing.skipped.entry(id).or_default().push((None, reason));
        }
    }
    if let Some(session) = session {
        session.logout().await;
    }
    record(stage, &closing, enumerated);
    closing
}

/// Which of these UIDs the server lists now; `None` when it cannot be asked.
async fn relist(
    source: &ImapSource,
    session: &mut Option<Session>,
    wire: &str,
    uidvalidity: u32,
    uids: &UidSet,
    stop: &Stop,
) -> Option<UidSet> {
    if stop.is_requested() {
        return None;
    }
    if session.is_none() {
        let spool = crate::spool::SpoolOptions::new(std::sync::Arc::new(|| {
            Err(std::io::Error::other("a listing needs no spool"))
        }));
        *session = source.connect(spool).await.ok();
    }
    let open = session.as_mut()?;
    let asked = async {
        let examined = open.examine(wire).await?;
        if examined.uidvalidity.unwrap_or(0) != uidvalidity {
            return Ok(None);
        }
        let mut listed = UidSet::new();
        let all: Vec<u32> = uids.iter().collect();
        for part in all.chunks(80) {
            let part: UidSet = part.iter().copied().collect();
            for message in open.list_messages(&part.to_string()).await?.messages {
                listed.push(message.uid);
            }
        }
        Ok::<_, ImapError>(Some(listed))
    };
    match asked.await {
        Ok(listed) => listed,
        // Deleted meanwhile, with all that was in it.
        Err(ImapError::MailboxGone { .. }) => Some(UidSet::new()),
        Err(error) => {
            tracing::debug!(error = describe(&error), "cannot list again");
            *session = None;
            None
        }
    }
}

fn record(stage: &Stage<'_>, closing: &Closing, enumerated: &[Enumerated]) {
    let Stage {
        ground,
        work,
        committer,
        ..
    } = *stage;
    let Ground { request, sink, .. } = ground;
    let Some(queue) = committer.queue() else {
        return;
    };
    let mut records = Vec::new();
    for e in enumerated {
        let (Outcome::Planned(planned), Some(mailbox)) = (&e.outcome, e.id) else {
            continue;
        };
        let skipped = closing.skipped.get(&mailbox).map_or(&[][..], Vec::as_slice);
        let nameless = skipped.iter().filter(|(uid, _)| uid.is_none()).count();
        let mut nameless = Some(u32::try_from(nameless).unwrap_or(u32::MAX));
        for (uid, reason) in skipped {
            let remote = uid.map(|uid| RemoteId::Imap {
                uidvalidity: planned.uidvalidity,
                uid,
            });
            sink.event(Event::Skipped {
                mailbox: e.seen.name.clone(),
                remote: remote
                    .as_ref()
                    .map_or_else(|| "?".to_owned(), ToString::to_string),
                reason: reason.clone(),
            });
            // One record stands for all that have no name.
            let count = if uid.is_some() {
                Some(1)
            } else {
                nameless.take()
            };
            records.extend(count.map(|count| {
                Record::Skip(Skip {
                    mailbox,
                    remote,
                    count,
                    reason: reason.clone(),
                    accepted: None,
                })
            }));
        }
        // A message that has left may be back, if the server was mistaken. A checkpoint that
        // counts it would leave the mailbox alone for ever.
        let left = planned.plan.left > 0 || closing.left.contains_key(&mailbox);
        let complete = !left
            && skipped.is_empty()
            && !closing.untried.contains_key(&mailbox)
            && planned.doubtful.is_empty();
        if complete && work.is_through_with(mailbox) {
            records.extend(checkpoint(request, planned, mailbox).map(Record::Checkpoint));
        }
    }
    for record in records {
        // A closed queue means the committer failed, and its error ends the run.
        if queue.record(record).is_err() {
            return;
        }
    }
}

fn checkpoint(request: &Request, planned: &Planned, mailbox: MailboxId) -> Option<Checkpoint> {
    let checkpoint = Checkpoint {
        mailbox,
        uidvalidity: planned.status.uidvalidity?,
        uidnext: planned.status.uidnext?,
        messages: planned.exists,
        highestmodseq: planned.status.highestmodseq,
        excluded: planned.plan.excluded,
        listed_at: planned.listed_at,
        by_changes: planned.previous.as_ref().is_some_and(|c| c.by_changes) && planned.by_changes,
        fingerprint: request.selection.fingerprint(),
    };
    let stands = planned.previous.as_ref() == Some(&checkpoint);
    let checkpoint = Checkpoint {
        by_changes: planned.by_changes,
        ..checkpoint
    };
    // Recorded only when it changed or settles skips, so that a quiet run adds nothing.
    (planned.open_skips && planned.plan.excluded == 0 || !stands).then_some(checkpoint)
}

/// Fills in what was stored, linked, left and skipped.
pub(super) fn tally(
    report: &mut BackupReport,
    enumerated: &[Enumerated],
    committed: &Committed,
    closing: &Closing,
) {
    for (mailbox, e) in report.mailboxes.iter_mut().zip(enumerated) {
        let Some(id) = &e.id else { continue };
        let (stored, linked) = committed.mailboxes.get(id).copied().unwrap_or_default();
        mailbox.tally.stored = stored;
        mailbox.tally.linked = linked;
        if let Outcome::Planned(planned) = &e.outcome {
            mailbox.tally.linked += healed(planned);
        }
        mailbox.tally.left += closing.left.get(id).copied().unwrap_or(0);
        let Outcome::Planned(planned) = &e.outcome else {
            continue;
        };
        let mut skip = |uid: Option<u32>, reason: &String, untried| {
            mailbox.tally.skipped += 1;
            let remote = uid.map_or_else(
                || "?".to_owned(),
                |uid| format!("{}:{uid}", planned.uidvalidity),
            );
            report.skipped.push(SkippedMessage {
                mailbox: e.seen.name.clone(),
                remote,
                reason: reason.clone(),
                untried,
            });
        };
        for (uid, reason) in closing.skipped.get(id).into_iter().flatten() {
            skip(*uid, reason, false);
        }
        for (uid, reason) in closing.untried.get(id).into_iter().flatten() {
            skip(Some(*uid), reason, true);
        }
    }
    report.add_up();
}
