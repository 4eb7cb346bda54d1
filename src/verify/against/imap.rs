//! Comparing over IMAP: LIST, then EXAMINE and one listing per mailbox, then the sample.

use std::collections::{BTreeSet, HashMap};

use super::bodies;
use super::choose::{Pool, draw, priority};
use super::compare::{Compared, Facts, compare, counterparts};
use super::fates::Names;
use super::proof::Proof;
use super::report::{MailboxComparison, State};
use super::{AgainstError, AgainstReport, Ground, Interrupted, Progress, Sample};
use crate::catalog::{Catalog, CatalogError};
use crate::contact::{Line, Opened, Trouble, describe, open};
use crate::event::Event;
use crate::imap::Session;
use crate::model::{Held, Mailbox, MailboxId, Selection, UidSet};
use crate::source::{ImapSource, SeenMailbox, select};

/// A mailbox of which messages can be fetched and compared.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) wire: String,
    pub(super) uidvalidity: u32,
    /// The mailbox whose placements say what its messages are; `None` where any content will do.
    pub(super) held_as: Option<MailboxId>,
    pub(super) healed: BTreeSet<u32>,
    uids: UidSet,
}

/// What of an account is compared.
struct Listed {
    chosen: Vec<SeenMailbox>,
    /// Selected mailboxes that hold mail and that the server does not list.
    unlisted: Vec<Mailbox>,
    /// All mailboxes of the account that IMAP has shown, by their wire name.
    known: HashMap<String, Mailbox>,
}

pub(super) async fn compare_with(
    ground: Ground<'_>,
    source: &ImapSource,
) -> Result<AgainstReport, AgainstError> {
    let Ground {
        spool, sink, stop, ..
    } = ground;
    let mut line = Line::open(source, spool.clone(), sink, stop)
        .await
        .map_err(|error| ground.connect_error(error.into()))?;
    let listed = list(&ground, source, &mut line).await?;
    let mut report = ground.report();
    report.warnings = doubts(&listed);
    let mut targets = Vec::new();
    if let Err(cause) = compare_all(&ground, &mut line, &listed, &mut report, &mut targets).await {
        ground.cut_short(&mut report, cause)?;
        for seen in listed.chosen.iter().skip(report.mailboxes.len()) {
            let row = MailboxComparison::new(&seen.name, State::NotReached);
            report.mailboxes.push(row);
        }
    }
    if is_foreign(&report.mailboxes) {
        report.warnings.push(
            "nothing that is held is on the server; it may be another account, and it is not believed at once"
                .to_owned(),
        );
    }
    for mailbox in &listed.unlisted {
        report.mailboxes.push(unlisted(&ground, mailbox)?);
    }
    let mut proof = Proof::new(ground.reader, ground.request.seed);
    if report.error.is_none() && !stop.is_requested() {
        let sampled = sample(&ground, &mut line, &targets, &mut proof).await;
        if let Err(cause) = sampled {
            ground.cut_short(&mut report, cause)?;
        }
    }
    report.sample = proof.finish();
    if let Some(session) = line.into_session() {
        session.logout().await;
    }
    Ok(report)
}

async fn list(
    ground: &Ground<'_>,
    source: &ImapSource,
    line: &mut Line<'_>,
) -> Result<Listed, AgainstError> {
    let catalog = ground.reader.catalog();
    let request = ground.request;
    let failed = |trouble: Trouble| AgainstError::List(trouble.into_error().into());
    let mut known = HashMap::new();
    for mailbox in catalog.mailboxes(Some(request.account.id))? {
        // What only POP3 has filled was never compared with a mailbox of IMAP's.
        let by_imap = mailbox.uidvalidity.is_some()
            || catalog.checkpoint(mailbox.id)?.is_some()
            || catalog.is_filled_by_imap(mailbox.id)?;
        if by_imap {
            known.insert(mailbox.wire.clone(), mailbox);
        }
    }
    let absent = |all: &[SeenMailbox]| -> Result<Vec<Mailbox>, CatalogError> {
        let mut absent = Vec::new();
        for mailbox in known.values() {
            let listed = all.iter().any(|m| m.wire == mailbox.wire);
            let chosen = select(&[&mailbox.name], request.mailboxes, request.exclude).chosen;
            if !listed && chosen == [true] && catalog.is_filled_by_imap(mailbox.id)? {
                absent.push(mailbox.clone());
            }
        }
        absent.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(absent)
    };
    let ask = async |session: &mut Session| source.mailboxes(session).await;
    let mut all = line.run(ask).await.map_err(failed)?;
    let mut unlisted = absent(&all)?;
    if all.is_empty() || !unlisted.is_empty() {
        // QUIRK(Zoho, IMAP4 Server, 2026-01): LIST now and then answers with nothing.
        all = line.run(ask).await.map_err(failed)?;
        unlisted = absent(&all)?;
    }
    let mut names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
    let chosen = select(&names, request.mailboxes, request.exclude).chosen;
    names.extend(known.values().map(|m| m.name.as_str()));
    let idle = select(&names, request.mailboxes, request.exclude).idle;
    if !idle.is_empty() && !names.is_empty() {
        let names: BTreeSet<&str> = names.into_iter().collect();
        return Err(AgainstError::IdlePatterns {
            patterns: idle,
            mailboxes: names.into_iter().map(str::to_owned).collect(),
        });
    }
    let mut chosen: Vec<SeenMailbox> = all
        .into_iter()
        .zip(chosen)
        .filter_map(|(mailbox, yes)| yes.then_some(mailbox))
        .collect();
    chosen.sort_by(|a, b| (a.name != "INBOX", &a.name).cmp(&(b.name != "INBOX", &b.name)));
    Ok(Listed {
        chosen,
        unlisted,
        known,
    })
}

/// A list that lacks so much is not believed, as in a backup.
fn doubts(listed: &Listed) -> Vec<String> {
    let Listed {
        chosen, unlisted, ..
    } = listed;
    if chosen.is_empty() {
        vec!["the server lists no mailbox that could be compared; that is not believed".to_owned()]
    } else if unlisted.len() > 1 && unlisted.len() >= chosen.len() {
        vec![format!(
            "the server no longer lists {} mailboxes that hold mail in the archive; that is not believed at once",
            unlisted.len()
        )]
    } else {
        Vec::new()
    }
}

/// Whether mailboxes were compared that hold mail, and not one message of it was there.
fn is_foreign(rows: &[MailboxComparison]) -> bool {
    let compared = || rows.iter().filter(|row| row.state == State::Compared);
    compared().any(|row| row.in_archive > 0) && compared().all(|row| row.fates.present.is_empty())
}

/// A mailbox that the server does not list.
fn unlisted(ground: &Ground<'_>, mailbox: &Mailbox) -> Result<MailboxComparison, CatalogError> {
    let mut row = MailboxComparison::new(&mailbox.name, State::Unlisted);
    let uidvalidity = mailbox.uidvalidity.unwrap_or(0);
    let count = |held: Held| row.in_archive += u32::from(!held.gone);
    ground
        .reader
        .catalog()
        .held(mailbox.id, uidvalidity, count)?;
    Ok(row)
}

async fn compare_all(
    ground: &Ground<'_>,
    line: &mut Line<'_>,
    listed: &Listed,
    report: &mut AgainstReport,
    targets: &mut Vec<Target>,
) -> Result<(), Interrupted> {
    let recorded = ground.recorded_selection()?;
    let total = u64::try_from(listed.chosen.len()).unwrap_or(0);
    for (done, seen) in (0..).zip(&listed.chosen) {
        ground.sink.event(Event::Enumerating { done, total });
        let known = listed.known.get(&seen.wire);
        let selected = select(&[&seen.name], &recorded.mailboxes, &recorded.exclude).chosen;
        if known.is_none() && selected == [false] {
            let row = MailboxComparison::new(&seen.name, State::LeftOut);
            report.mailboxes.push(row);
            continue;
        }
        let (row, target) = compare_one(ground, line, seen, known, &recorded).await?;
        report.mailboxes.push(row);
        targets.extend(target);
    }
    ground.sink.event(Event::Enumerating { done: total, total });
    Ok(())
}

async fn compare_one(
    ground: &Ground<'_>,
    line: &mut Line<'_>,
    seen: &SeenMailbox,
    known: Option<&Mailbox>,
    recorded: &Selection,
) -> Result<(MailboxComparison, Option<Target>), Interrupted> {
    let catalog = ground.reader.catalog();
    let failed = |problem: String| {
        let mut row = MailboxComparison::new(&seen.name, State::Failed);
        row.problem = Some(problem);
        Ok((row, None))
    };
    // The server would say that there is no such mailbox, as if it had gone.
    if seen.wire.contains(char::REPLACEMENT_CHARACTER) {
        return failed("its name is no UTF-8, so the server cannot be asked for it".to_owned());
    }
    // Twice at most: a listing that lacks messages the server counts is asked for once more.
    let mut last_try = false;
    loop {
        let mut opened = match open(line, &seen.wire).await {
            Ok(opened) => opened,
            Err(Trouble::Answer(error)) => return failed(describe(&error)),
            Err(Trouble::Server(error)) => return Err(Interrupted::Server(error.into())),
        };
        if opened.examined.uidnext.is_none() {
            // QUIRK(Courier): nothing tells which messages came after EXAMINE, so they count.
            let listed = u32::try_from(opened.listing.messages.len()).unwrap_or(u32::MAX);
            opened.examined.exists = opened.examined.exists.max(listed);
        }
        let (row, target) = compare_opened(catalog, seen, known, recorded, &opened)?;
        let lacks = u32::try_from(opened.unreadable.len()).unwrap_or(u32::MAX);
        // One that cannot be read will not be read the next time either.
        let expunged = lacks == 0 && !row.fates.unseen.is_empty();
        if last_try || row.unlisted <= lacks && !expunged {
            return Ok((row, Some(target)));
        }
        last_try = true;
    }
}

/// Compares a mailbox that was listed with what the archive has of it.
fn compare_opened(
    catalog: &Catalog,
    seen: &SeenMailbox,
    known: Option<&Mailbox>,
    recorded: &Selection,
    opened: &Opened,
) -> Result<(MailboxComparison, Target), CatalogError> {
    let Opened {
        examined,
        listing,
        unreadable,
    } = opened;
    let uidvalidity = examined.uidvalidity.unwrap_or(0);
    let mut row = MailboxComparison::new(&seen.name, State::Compared);
    row.on_server = examined.exists;
    if let Some((uid, reason)) = unreadable.first() {
        let n = unreadable.len();
        row.problem = Some(format!(
            "{n} of its messages cannot be listed, among them UID {uid}: {reason}"
        ));
    }
    let mut target = Target {
        name: seen.name.clone(),
        wire: seen.wire.clone(),
        uidvalidity,
        held_as: None,
        healed: BTreeSet::new(),
        uids: UidSet::new(),
    };
    let mut held = Vec::new();
    let before = known.map(|m| m.uidvalidity.unwrap_or(0));
    if let (Some(mailbox), Some(before)) = (known, before) {
        catalog.held(mailbox.id, before, |message| held.push(message))?;
        if before != uidvalidity {
            row.state = State::OtherEpoch;
            row.uidvalidity = Some((before, uidvalidity));
            row.in_archive = u32::try_from(held.iter().filter(|h| !h.gone).count()).unwrap_or(0);
            row.counterparts = Some(counterparts(listing, &held));
            target.uids = listing.messages.iter().map(|m| m.uid).collect();
            return Ok((row, target));
        }
    }
    let mut selection = recorded.clone();
    let (mut reach, mut accepted, mut skipped) = (None, UidSet::new(), UidSet::new());
    if let Some(mailbox) = known {
        let checkpoint = catalog.checkpoint(mailbox.id)?;
        if let Some(checkpoint) = checkpoint.filter(|c| c.uidvalidity == uidvalidity) {
            reach = Some(checkpoint.uidnext);
            selection = Selection::of_fingerprint(&checkpoint.fingerprint);
        }
        accepted = catalog.skipped_uids(mailbox.id, uidvalidity, true)?;
        skipped = catalog.skipped_uids(mailbox.id, uidvalidity, false)?;
        target.held_as = Some(mailbox.id);
        let healed = catalog.healed_uids(mailbox.id, uidvalidity)?;
        target.healed = healed.iter().collect();
    } else {
        row.state = State::Unknown;
    }
    let mut flag_numbers = HashMap::new();
    for message in &listing.messages {
        if let Some(flags) = listing.flags.get(message.flags)
            && !flag_numbers.contains_key(&message.flags)
        {
            flag_numbers.insert(message.flags, catalog.flag_set(flags)?);
        }
    }
    let Compared {
        fates,
        differs,
        in_archive,
        unlisted,
    } = compare(&Facts {
        exists: examined.exists,
        uidnext: examined.uidnext,
        listing,
        held: &held,
        reach,
        accepted: &accepted,
        skipped: &skipped,
        flag_numbers: &flag_numbers,
        selection: &selection,
    });
    target.uids = fates.present.clone();
    (row.in_archive, row.unlisted, row.differs) = (in_archive, unlisted, differs);
    row.emptied = is_emptied(seen, in_archive, fates.departed.len());
    row.fates = fates.map(Names::Uids);
    Ok((row, target))
}

/// Whether so much has left that nobody believes it at once. Some mailboxes are there to be
/// emptied.
fn is_emptied(seen: &SeenMailbox, in_archive: u32, departed: u64) -> bool {
    let special = seen.special_use.as_deref().unwrap_or_default();
    let exempt =
        ["\\Trash", "\\Junk"].contains(&special) || ["Trash", "Junk"].contains(&&*seen.name);
    !exempt && in_archive >= 20 && 2 * departed > u64::from(in_archive)
}

/// Chooses messages of all mailboxes, and fetches them.
async fn sample(
    ground: &Ground<'_>,
    line: &mut Line<'_>,
    targets: &[Target],
    proof: &mut Proof<'_>,
) -> Result<(), Interrupted> {
    let of = targets.iter().map(|t| t.uids.len()).sum();
    let n = ground.request.sample.size(of);
    let chosen = choose(ground, targets, n);
    let total = chosen.iter().map(UidSet::len).sum();
    proof.report.full = ground.request.sample == Sample::Full;
    (proof.report.of, proof.report.chosen) = (of, total);
    let mut progress = Progress {
        sink: ground.sink,
        done: 0,
        total,
    };
    for (target, uids) in targets.iter().zip(&chosen) {
        if !uids.is_empty() {
            let catalog = ground.reader.catalog();
            bodies::fetch(line, catalog, target, uids, proof, &mut progress).await?;
        }
    }
    Ok(())
}

fn choose(ground: &Ground<'_>, targets: &[Target], n: usize) -> Vec<UidSet> {
    if ground.request.sample == Sample::Full {
        return targets.iter().map(|t| t.uids.clone()).collect();
    }
    let pool = |target: &Target| {
        let mut pool = Pool::new(n);
        for uid in target.uids.iter() {
            let priority = priority(ground.request.seed, &target.wire, &uid.to_string());
            pool.push(priority, uid, target.healed.contains(&uid));
        }
        pool
    };
    let chosen = draw(targets.iter().map(pool).collect(), n);
    chosen
        .into_iter()
        .map(|uids| uids.into_iter().collect())
        .collect()
}
