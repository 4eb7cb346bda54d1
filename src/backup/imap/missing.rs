//! What is missing on the server, and what of it is believed to be gone.

use super::brake::{self, Missing, Whole};
use super::found::{Enumerated, Enumeration, Outcome};
use crate::archive::format::Departure;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{Account, Mailbox, MailboxId};

/// Decides, and takes what is doubtful out of the plans. `lost` are the known mailboxes that the
/// server lists no more.
pub(super) fn judge(
    found: &mut Enumeration,
    catalog: &Catalog,
    account: Option<&Account>,
    lost: &[Mailbox],
    believe: bool,
) -> Result<(), CatalogError> {
    let mut missing = Vec::new();
    let (mut held, mut new) = (0, 0);
    for e in &found.mailboxes {
        let exempt = is_exempt(e.seen.special_use.as_deref(), &e.seen.name);
        let (before, fetched, gone) = seen(catalog, e)?;
        new += fetched;
        held += if exempt { 0 } else { before };
        if let Some((id, uids)) = gone {
            missing.push(Missing {
                mailbox: id,
                name: e.seen.name.clone(),
                held: before,
                uids: vec![uids],
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
            unlisted: true,
            exempt,
        });
    }
    let doubts = match account {
        Some(account) => catalog.doubts(account.id)?,
        None => Vec::new(),
    };
    let listed = found.mailboxes.len();
    let whole = Whole {
        held,
        new,
        empty: listed == 0,
        believe,
    };
    let verdict = brake::judge(&missing, whole, &doubts);
    found.warnings = verdict.warnings;
    if lost.len() > 1 && lost.len() >= listed && !verdict.doubtful.is_empty() {
        found.warnings.push(format!(
            "the server no longer lists {} mailboxes that hold mail in the archive; that is not believed at once",
            lost.len()
        ));
    }
    for e in &mut found.mailboxes {
        let Outcome::Planned(planned) = &mut e.outcome else {
            continue;
        };
        let of_mailbox =
            |d: &&Departure| Some(d.mailbox) == e.id && d.uidvalidity == planned.uidvalidity;
        if let Some(doubt) = verdict.doubtful.iter().find(of_mailbox) {
            planned.plan.gone = planned.plan.gone.difference(&doubt.uids);
            planned.doubtful = doubt.uids.clone();
        }
    }
    let is_lost = |id: MailboxId| lost.iter().any(|m| m.id == id);
    found.departed = verdict
        .gone
        .into_iter()
        .filter(|d| is_lost(d.mailbox))
        .collect();
    // What this run did not look at stays as it is.
    let looked_at = |id: MailboxId| {
        let seen =
            |e: &Enumerated| e.id == Some(id) && !matches!(e.outcome, Outcome::Failed { .. });
        is_lost(id) || found.mailboxes.iter().any(seen)
    };
    let mut doubtful = verdict.doubtful;
    doubtful.extend(doubts.iter().filter(|d| !looked_at(d.mailbox)).cloned());
    doubtful.sort_by_key(|d| (d.mailbox, d.uidvalidity));
    found.doubts = (doubtful != doubts).then_some(doubtful);
    Ok(())
}

/// How many messages a mailbox held before this run, how many are new, and which are gone.
type Seen = (u64, u64, Option<(MailboxId, (u32, crate::model::UidSet))>);

fn seen(catalog: &Catalog, e: &Enumerated) -> Result<Seen, CatalogError> {
    Ok(match (&e.outcome, e.id) {
        (Outcome::Planned(planned), Some(id)) => {
            let (plan, v) = (&planned.plan, planned.uidvalidity);
            // A skip that is gone was never held.
            let gone = catalog.present_among(id, v, &plan.gone)?;
            let before = u64::from(plan.held) + gone.len();
            let gone = (!gone.is_empty()).then_some((id, (v, gone)));
            (before, plan.fetch.len() as u64, gone)
        }
        (Outcome::Planned(planned), None) => (0, planned.plan.fetch.len() as u64, None),
        (Outcome::Unchanged { checkpoint }, _) => {
            let held = checkpoint.messages.saturating_sub(checkpoint.excluded);
            (u64::from(held), 0, None)
        }
        (Outcome::Failed { exists, .. }, _) => (u64::from(*exists), 0, None),
    })
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
