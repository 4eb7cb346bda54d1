//! What is missing on the server, and what of it is believed to be gone.

use super::brake::{self, Missing, Whole};
use super::found::{Enumerated, Enumeration, Outcome, Planned};
use crate::archive::format::Doubted;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{Account, Mailbox, MailboxId, UidSet};

/// What is known of the account beside what was found.
pub(super) struct Ground<'a> {
    pub(super) catalog: &'a Catalog,
    /// The mailboxes of the archive.
    pub(super) known: &'a [Mailbox],
    /// Those of them that the server lists no more.
    pub(super) lost: &'a [Mailbox],
    /// The server lists no mailbox, selected or not.
    pub(super) nothing_listed: bool,
    pub(super) believe: bool,
    /// Unix seconds.
    pub(super) now: i64,
}

/// Decides, and takes what is doubtful out of the plans.
pub(super) fn judge(
    found: &mut Enumeration,
    account: Option<&Account>,
    ground: &Ground<'_>,
) -> Result<(), CatalogError> {
    let Ground { catalog, lost, .. } = *ground;
    let mut missing = Vec::new();
    let (mut held, mut new) = (0, 0);
    for e in &found.mailboxes {
        let exempt = is_exempt(e.seen.special_use.as_deref(), &e.seen.name);
        let Change {
            before,
            arrived,
            gone,
            missing: lost,
        } = change(ground, e)?;
        new += arrived;
        held += if exempt { 0 } else { before };
        if let (Some(mailbox), Some(uids)) = (e.id, gone) {
            missing.push(Missing {
                mailbox,
                name: e.seen.name.clone(),
                held: before,
                uids: vec![uids],
                lost,
                unlisted: false,
                exempt,
            });
        }
    }
    for mailbox in lost {
        let uids = catalog.present_epochs(mailbox.id, mailbox.uidvalidity)?;
        let exempt = is_exempt(mailbox.special_use.as_deref(), &mailbox.name);
        let there = uids.iter().map(|(_, uids)| uids.len()).sum();
        held += if exempt { 0 } else { there };
        missing.push(Missing {
            mailbox: mailbox.id,
            name: mailbox.name.clone(),
            held: there,
            uids,
            lost: there,
            unlisted: true,
            exempt,
        });
    }
    let doubts = match account {
        Some(account) => catalog.doubts(account.id)?,
        None => Vec::new(),
    };
    let whole = Whole {
        held,
        new,
        empty: ground.nothing_listed,
        believe: ground.believe,
        now: ground.now,
    };
    let verdict = brake::judge(&missing, whole, &doubts);
    found.warnings = verdict.warnings;
    if lost.len() > 1 && lost.len() >= found.mailboxes.len() && !verdict.doubtful.is_empty() {
        found.warnings.push(format!(
            "the server no longer lists {} mailboxes that hold mail in the archive; that is not believed at once",
            lost.len()
        ));
    }
    for e in &mut found.mailboxes {
        hold_back(e, &verdict.doubtful);
    }
    let is_lost = |id: MailboxId| lost.iter().any(|m| m.id == id);
    let gone = verdict.gone.into_iter();
    found.departed = gone.filter(|d| is_lost(d.mailbox)).collect();
    // What this run did not look at stays as it is.
    let looked_at = |id: MailboxId| {
        is_lost(id) || missing.iter().any(|m| m.mailbox == id) || found.has_looked_at(id)
    };
    let mut doubtful = verdict.doubtful;
    let elsewhere = doubts.iter().filter(|d| !looked_at(d.gone.mailbox));
    doubtful.extend(elsewhere.cloned());
    doubtful.sort_by_key(|d| (d.gone.mailbox, d.gone.uidvalidity, d.since));
    found.doubts = (doubtful != doubts).then_some(doubtful);
    Ok(())
}

/// Takes back what is not believed.
fn hold_back(e: &mut Enumerated, doubtful: &[Doubted]) {
    let Outcome::Planned(planned) = &mut e.outcome else {
        return;
    };
    let mut other_epoch = false;
    for doubt in doubtful.iter().filter(|d| Some(d.gone.mailbox) == e.id) {
        if doubt.gone.uidvalidity == planned.uidvalidity {
            planned.plan.gone = planned.plan.gone.difference(&doubt.gone.uids);
            planned.doubtful = planned.doubtful.union(&doubt.gone.uids);
        } else {
            other_epoch = true;
        }
    }
    if other_epoch {
        // Nothing may say that the mailbox has another UIDVALIDITY now: its messages would be
        // history, and not recognised when they are back.
        e.outcome = Outcome::Failed {
            exists: planned.exists,
            reason:
                "it has another UIDVALIDITY and most of its messages are missing, which is not \
                     believed until another night finds the same (or --believe-deletions says so)"
                    .to_owned(),
            vanished: false,
        };
    }
}

/// What became of a mailbox since the last run.
#[derive(Default)]
struct Change {
    /// Messages it held.
    before: u64,
    /// Messages that came since then, as far as that can be told.
    arrived: u64,
    /// What of it is gone, with its UIDVALIDITY.
    gone: Option<(u32, UidSet)>,
    /// How many messages that makes.
    missing: u64,
}

fn change(ground: &Ground<'_>, e: &Enumerated) -> Result<Change, CatalogError> {
    let (planned, id) = match (&e.outcome, e.id) {
        (Outcome::Planned(planned), Some(id)) => (planned, id),
        // A mailbox that nobody knew.
        (Outcome::Planned(planned), None) => {
            return Ok(Change {
                arrived: planned.plan.fetch.len() as u64,
                ..Change::default()
            });
        }
        (Outcome::Unchanged { checkpoint }, _) => {
            let held = checkpoint.messages.saturating_sub(checkpoint.excluded);
            return Ok(Change {
                before: held.into(),
                ..Change::default()
            });
        }
        (Outcome::Failed { exists, .. }, _) => {
            return Ok(Change {
                before: u64::from(*exists),
                ..Change::default()
            });
        }
    };
    let known = ground.known.iter().find(|m| m.id == id);
    let epoch = known.and_then(|m| m.uidvalidity).unwrap_or(0);
    if epoch > 0 && epoch != planned.uidvalidity && planned.plan.held == 0 {
        return renumbered(ground, id, epoch, planned);
    }
    // A skip that is gone was never held.
    let gone = ground
        .catalog
        .present_among(id, planned.uidvalidity, &planned.plan.gone)?;
    let missing = gone.len();
    Ok(Change {
        before: u64::from(planned.plan.held) + missing,
        arrived: arrived(planned),
        gone: (missing > 0).then_some((planned.uidvalidity, gone)),
        missing,
    })
}

/// A mailbox with new numbers: what it held before must be among what it has now.
fn renumbered(
    ground: &Ground<'_>,
    id: MailboxId,
    epoch: u32,
    planned: &Planned,
) -> Result<Change, CatalogError> {
    let Ground { catalog, known, .. } = *ground;
    let all = catalog.present_among(id, epoch, &UidSet::of_ranges([(1, u32::MAX)]))?;
    let before = all.len();
    // It has changed names with another mailbox: what it held is there.
    let moved = known
        .iter()
        .any(|m| m.id != id && m.uidvalidity == Some(planned.uidvalidity));
    let missing = before.saturating_sub(u64::from(planned.exists));
    let missing = if moved { 0 } else { missing };
    Ok(Change {
        before,
        arrived: 0,
        gone: (missing > 0).then_some((epoch, all)),
        missing,
    })
}

/// Messages that came after the last complete run: not what is fetched late, or once more.
fn arrived(planned: &Planned) -> u64 {
    let Some(previous) = &planned.previous else {
        return 0;
    };
    let later = |uid: u32| uid >= previous.uidnext && !previous.is_tombstone();
    let fetched = planned.plan.fetch.iter().filter(|m| later(m.uid));
    fetched.count() as u64
}

/// Trash and junk are emptied as a matter of course.
fn is_exempt(special_use: Option<&str>, name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "trash",
        "junk",
        "spam",
        "deleted",
        "deleted items",
        "deleted messages",
        "bin",
    ];
    let last = name.rsplit('/').next().unwrap_or_default().to_lowercase();
    matches!(special_use, Some("\\Trash" | "\\Junk")) || NAMES.contains(&last.as_str())
}
