//! Comparing over POP3: UIDL and LIST of one session, then RETR for the sample, over as many
//! sessions as it takes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::choose::{Pool, draw, priority};
use super::fates::Names;
use super::maildrop::{Compared, Decided, Kept, Known, compare};
use super::proof::{Expected, Next, Proof};
use super::report::{MailboxComparison, Sampled, State};
use super::{AgainstError, AgainstReport, Ground, Interrupted, Progress, Sample};
use crate::catalog::CatalogError;
use crate::contact::{Door, Interrupted as Cause, Open};
use crate::event::Event;
use crate::model::split_uidl;
use crate::net::{Disposition, Scope};
use crate::pop3::{Ask, Listing, Offered, Outcome, Pop3Error};
use crate::source::Pop3Source;

/// The name of a maildrop in a report.
const MAILDROP: &str = "maildrop";
/// The longest a maildrop is kept locked for others.
const SESSION: Duration = Duration::from_secs(10 * 60);
/// Sessions that may be lost over one message.
const LOSSES: u32 = 3;

/// A message to fetch.
#[derive(Debug)]
struct Wanted {
    /// Its number in the open session.
    number: u32,
    /// Its UIDL, if it has one of its own.
    uidl: Option<String>,
    size: u64,
    expected: Expected,
    tries: u32,
}

impl Wanted {
    fn message(&self) -> Sampled {
        let number = || format!("message {}", self.number);
        Sampled {
            mailbox: MAILDROP.to_owned(),
            remote: self.uidl.clone().unwrap_or_else(number),
        }
    }
}

impl From<Cause> for Interrupted {
    fn from(cause: Cause) -> Self {
        match cause.into_error() {
            Pop3Error::Spool(error) => error.into(),
            error => Self::Server(error.into()),
        }
    }
}

pub(super) async fn compare_with(
    ground: Ground<'_>,
    source: &Pop3Source,
) -> Result<AgainstReport, AgainstError> {
    let Ground {
        spool, sink, stop, ..
    } = ground;
    let mut door = Door::new(source, spool, sink, stop, true);
    let opened = door.open().await;
    let (open, listing) =
        opened.map_err(|cause| ground.connect_error(cause.into_error().into()))?;
    let mut report = ground.report();
    let known = known(&ground)?;
    let selection = ground.recorded_selection()?;
    let done = compare(&listing.messages, &known, &selection);
    let chosen = choose(&ground, &listing.messages, &done, &known);
    let mut proof = Proof::new(ground.reader, ground.request.seed);
    proof.report.full = ground.request.sample == Sample::Full;
    proof.report.of = (done.fates.present.len() + done.nameless.len()) as u64;
    proof.report.chosen = chosen.len() as u64;
    report.notes.extend(note(&listing, &done));
    report.mailboxes.push(row(&listing, done));
    let mut progress = Progress {
        sink,
        done: 0,
        total: chosen.len() as u64,
    };
    let fetched = fetch(&ground, door, open, chosen, &mut proof, &mut progress).await;
    if let Err(cause) = fetched {
        ground.cut_short(&mut report, cause)?;
    }
    report.sample = proof.finish();
    Ok(report)
}

/// What the archive knows of the account's maildrop.
fn known(ground: &Ground<'_>) -> Result<Known, CatalogError> {
    let catalog = ground.reader.catalog();
    let mut known = Known::default();
    for mailbox in catalog.mailboxes(Some(ground.request.account.id))? {
        catalog.pop_places_in(mailbox.id, |place, healed| {
            let (uidl, shared) = split_uidl(&place.key);
            let kept = Kept {
                content: place.content,
                size: place.size,
                damaged: place.damaged,
                healed,
                shared,
            };
            known.kept.entry(uidl.to_owned()).or_default().push(kept);
        })?;
        known
            .accepted
            .extend(catalog.skipped_over_pop(mailbox.id, true)?);
        known
            .skipped
            .extend(catalog.skipped_over_pop(mailbox.id, false)?);
        for row in catalog.uidls(mailbox.id)? {
            let decided = Decided {
                before: row.before,
                spam: row.spam,
                removed: row.removed,
            };
            known.decided.insert(row.uidl, decided);
        }
    }
    Ok(known)
}

/// What a person should know to read the numbers.
fn note(listing: &Listing, done: &Compared) -> Option<String> {
    if !listing.uidl && !listing.messages.is_empty() {
        return Some(
            "the server has no UIDL, so only bytes can tell which messages are held: --full compares those of all"
                .to_owned(),
        );
    }
    let strangers = done.fates.present.is_empty() && !done.fates.not_offered.is_empty();
    (strangers && !done.fates.missing.is_empty()).then(|| {
        "none of the UIDLs is known: the server may have renamed its messages, or it is another server. A backup recognises them by their headers"
            .to_owned()
    })
}

fn row(listing: &Listing, done: Compared) -> MailboxComparison {
    let mut row = MailboxComparison::new(MAILDROP, State::Compared);
    row.on_server = u32::try_from(listing.messages.len()).unwrap_or(u32::MAX);
    row.in_archive = done.in_archive;
    row.nameless = u32::try_from(done.nameless.len()).unwrap_or(u32::MAX);
    row.differs = done.differs;
    row.fates = done.fates.map(Names::Uidls);
    row
}

/// Chooses messages by their UIDL, so that the same seed chooses the same in another session.
/// Those without one are fetched only with all others.
fn choose(
    ground: &Ground<'_>,
    offered: &[Offered],
    done: &Compared,
    known: &Known,
) -> VecDeque<Wanted> {
    let by_uidl: HashMap<&str, &Offered> = offered
        .iter()
        .filter_map(|m| Some((m.uidl.as_deref()?, m)))
        .collect();
    let present: Vec<&Offered> = done
        .fates
        .present
        .iter()
        .filter_map(|uidl| by_uidl.get(uidl.as_str()).copied())
        .collect();
    let full = ground.request.sample == Sample::Full;
    let n = ground.request.sample.size(present.len() as u64);
    let mut pool = Pool::new(n);
    for (message, index) in present.iter().zip(0u32..) {
        let uidl = message.uidl.as_deref().unwrap_or_default();
        let priority = priority(ground.request.seed, MAILDROP, uidl);
        pool.push(priority, index, known.is_healed(uidl));
    }
    let numbers: BTreeMap<u32, &Offered> = offered.iter().map(|m| (m.number, m)).collect();
    let nameless = done.nameless.iter().filter(|_| full);
    let nameless = nameless.filter_map(|number| numbers.get(number).copied());
    let named = draw(vec![pool], n).into_iter().flatten();
    let named = named.filter_map(|index| present.get(usize::try_from(index).ok()?).copied());
    let named = named.map(|message| {
        let uidl = message.uidl.as_deref().unwrap_or_default();
        let expected = Expected {
            contents: known.contents(uidl, message.size),
            healed: known.is_healed(uidl),
        };
        (message, message.uidl.clone(), expected)
    });
    let nameless = nameless.map(|message| {
        let any = Expected {
            contents: Vec::new(),
            healed: false,
        };
        (message, None, any)
    });
    named
        .chain(nameless)
        .map(|(message, uidl, expected)| Wanted {
            number: message.number,
            uidl,
            size: message.size.unwrap_or(0).min(u64::from(u32::MAX)),
            expected,
            tries: 0,
        })
        .collect()
}

/// Fetches what was chosen, from session to session.
async fn fetch(
    ground: &Ground<'_>,
    mut door: Door<'_>,
    open: Open,
    mut wanted: VecDeque<Wanted>,
    proof: &mut Proof<'_>,
    progress: &mut Progress<'_>,
) -> Result<(), Interrupted> {
    if !wanted.is_empty() {
        ground.sink.event(Event::Note {
            text: "fetching over POP3 may mark messages as read on the server; it has no way to be told not to (--sample 0 fetches none)".to_owned(),
        });
    }
    let mut session = Some(open);
    loop {
        let mut open = match session.take() {
            Some(open) => open,
            None => {
                let (open, listing) = door.open().await?;
                renumber(&mut wanted, &listing, proof, progress);
                open
            }
        };
        match drain(ground, &mut door, &mut open, &mut wanted, proof, progress).await {
            Ok(()) => {
                if let Err(error) = open.quit().await {
                    tracing::debug!(%error, "the session was not ended in good order");
                }
                if wanted.is_empty() {
                    return Ok(());
                }
            }
            Err(Interrupted::Server(crate::contact::ServerError::Pop3(error)))
                if !ground.stop.is_requested() =>
            {
                drop(open);
                door.wait(error).await?;
            }
            Err(other) => return Err(other),
        }
    }
}

/// Gives what is wanted still its numbers in another session.
fn renumber(
    wanted: &mut VecDeque<Wanted>,
    listing: &Listing,
    proof: &mut Proof<'_>,
    progress: &mut Progress<'_>,
) {
    let numbers: HashMap<&str, u32> = listing
        .messages
        .iter()
        .filter_map(|m| Some((m.uidl.as_deref()?, m.number)))
        .collect();
    wanted.retain_mut(|message| {
        let number = message.uidl.as_deref().map(|uidl| numbers.get(uidl));
        let reason = match number {
            Some(Some(number)) => {
                message.number = *number;
                return true;
            }
            Some(None) => "another session does not offer it",
            None => "the session was lost, and it has no name by which another could find it",
        };
        proof.not_sent(message.message(), reason.to_owned());
        progress.one_more();
        false
    });
}

/// One session's fetching, until nothing is wanted or it has lasted long enough.
async fn drain(
    ground: &Ground<'_>,
    door: &mut Door<'_>,
    open: &mut Open,
    wanted: &mut VecDeque<Wanted>,
    proof: &mut Proof<'_>,
    progress: &mut Progress<'_>,
) -> Result<(), Interrupted> {
    let mut asked: HashMap<usize, Wanted> = HashMap::new();
    let mut next = 0;
    loop {
        let enough = open.since.elapsed() > SESSION;
        while !enough
            && wanted.front().is_some_and(|w| open.has_room(w.size))
            && let Some(message) = wanted.pop_front()
        {
            open.ask(Ask::Retr(message.number), next, message.size);
            asked.insert(next, message);
            next += 1;
        }
        let answer = match open.answer(ground.stop.requested()).await {
            Ok(answer) => answer,
            Err(cause) => {
                put_back(door, open, asked, wanted, &cause, proof, progress);
                return Err(cause.into());
            }
        };
        let Some((index, outcome)) = answer else {
            return Ok(());
        };
        let Some(mut message) = asked.remove(&index) else {
            continue;
        };
        open.came += 1;
        let reason = match outcome {
            Outcome::Message(body) => {
                door.gained();
                match proof.judge(message.message(), &message.expected, body)? {
                    Next::Done => {
                        progress.one_more();
                        continue;
                    }
                    Next::Again => {
                        wanted.push_back(message);
                        continue;
                    }
                    Next::Nothing => "the server sent nothing".to_owned(),
                }
            }
            Outcome::Refused { words } => {
                let error = Pop3Error::Refused {
                    command: "RETR",
                    words,
                };
                let busy = matches!(error.disposition().1, Disposition::RetryAfter(_));
                if busy && message.tries + 1 < LOSSES {
                    message.tries += 1;
                    wanted.push_front(message);
                    put_back_all(open, asked, wanted);
                    return Err(Interrupted::Server(error.into()));
                }
                error.to_string()
            }
            Outcome::Done => continue,
        };
        proof.not_sent(message.message(), reason);
        progress.one_more();
    }
}

/// What was asked for and not answered is wanted still, unless it is what sessions are lost over.
fn put_back(
    door: &mut Door<'_>,
    open: &Open,
    asked: HashMap<usize, Wanted>,
    wanted: &mut VecDeque<Wanted>,
    cause: &Cause,
    proof: &mut Proof<'_>,
    progress: &mut Progress<'_>,
) {
    let several = asked.len() > 1;
    put_back_all(open, asked, wanted);
    let Cause::Server(error) = cause else { return };
    if several {
        door.go_shallow();
    }
    let (scope, disposition) = error.disposition();
    let skip = scope == Scope::Message && disposition == Disposition::Skip;
    let blamed = skip || scope == Scope::Message || !several && open.came == 0;
    let Some(first) = wanted.front_mut().filter(|_| blamed) else {
        return;
    };
    first.tries += 1;
    if (skip || first.tries >= LOSSES)
        && let Some(culprit) = wanted.pop_front()
    {
        proof.not_sent(culprit.message(), crate::contact::describe(error));
        progress.one_more();
        // Whoever is found guilty no longer stands in the way.
        door.gained();
    }
}

fn put_back_all(open: &Open, mut asked: HashMap<usize, Wanted>, wanted: &mut VecDeque<Wanted>) {
    for index in open.unanswered().iter().rev() {
        if let Some(message) = asked.remove(index) {
            wanted.push_front(message);
        }
    }
}
