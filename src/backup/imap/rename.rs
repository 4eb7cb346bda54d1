//! A mailbox that goes by another name now.

use super::look::headers_of;
use crate::backup::BackupError;
use crate::catalog::{Catalog, CatalogError};
use crate::contact::{Line, Trouble};
use crate::model::{Held, Listing, Mailbox, UidSet};
use crate::source::SeenMailbox;

/// Messages by which a mailbox is recognised.
const SAMPLE: usize = 50;

/// The known mailbox that a listed one, whose name is new, was before. It has its UIDVALIDITY,
/// and a sample of messages has the same UID, size, date and header.
///
/// # Errors
/// The connection or the catalog.
pub(super) async fn former<'a>(
    line: &mut Line<'_>,
    catalog: &Catalog,
    known: &'a [Mailbox],
    (chosen, all): (&[SeenMailbox], &[SeenMailbox]),
    seen: &SeenMailbox,
) -> Result<Option<&'a Mailbox>, BackupError> {
    let Some(uidvalidity) = seen.status.and_then(|s| s.uidvalidity).filter(|v| *v > 1) else {
        return Ok(None);
    };
    for mailbox in known.iter().filter(|m| m.uidvalidity == Some(uidvalidity)) {
        if is_still_there(mailbox, chosen, all) || !catalog.is_filled_by_imap(mailbox.id)? {
            continue;
        }
        let held = sample(catalog, mailbox, uidvalidity)?;
        match is_the_same(line, catalog, mailbox, uidvalidity, &held, seen).await {
            Ok(true) => return Ok(Some(mailbox)),
            Ok(false) | Err(Asking::Trouble(Trouble::Answer(_))) => {}
            Err(Asking::Trouble(Trouble::Server(error))) => {
                return Err(BackupError::List(error.into()));
            }
            Err(Asking::Catalog(error)) => return Err(error.into()),
        }
    }
    Ok(None)
}

enum Asking {
    Trouble(Trouble),
    Catalog(CatalogError),
}

/// Whether a mailbox is listed under its name, and not seen to be another one.
fn is_still_there(mailbox: &Mailbox, chosen: &[SeenMailbox], all: &[SeenMailbox]) -> bool {
    // Those that were chosen come with their state in any case.
    let mut listed = chosen.iter().chain(all);
    let namesake = listed.find(|m| m.wire == mailbox.wire);
    namesake.is_some_and(|m| {
        let uidvalidity = m.status.and_then(|s| s.uidvalidity);
        uidvalidity.is_none() || uidvalidity == mailbox.uidvalidity
    })
}

/// Messages from all over the mailbox.
fn sample(
    catalog: &Catalog,
    mailbox: &Mailbox,
    uidvalidity: u32,
) -> Result<Vec<Held>, CatalogError> {
    let all = UidSet::of_ranges([(1, u32::MAX)]);
    let present = catalog.present_among(mailbox.id, uidvalidity, &all)?;
    let step = usize::try_from(present.len()).unwrap_or(usize::MAX) / SAMPLE + 1;
    let chosen: UidSet = present.iter().step_by(step).collect();
    let mut held = Vec::new();
    catalog.held_among(mailbox.id, uidvalidity, &chosen, |row| held.push(row))?;
    Ok(held)
}

async fn is_the_same(
    line: &mut Line<'_>,
    catalog: &Catalog,
    mailbox: &Mailbox,
    uidvalidity: u32,
    held: &[Held],
    seen: &SeenMailbox,
) -> Result<bool, Asking> {
    let uids: UidSet = held.iter().map(|h| h.uid).collect();
    let listing = line.run(async |session| {
        let examined = session.examine(&seen.wire).await?;
        if examined.exists == 0 || examined.uidvalidity != Some(uidvalidity) {
            return Ok(Listing::default());
        }
        session.list_uids(&uids).await
    });
    let listed = listing.await.map_err(Asking::Trouble)?.messages;
    // Some may have been deleted since.
    if listed.is_empty() || listed.len() * 2 < held.len() {
        return Ok(false);
    }
    let uids: UidSet = listed.iter().map(|m| m.uid).collect();
    let heads = headers_of(line, &seen.wire, uidvalidity, &uids);
    let heads = heads.await.map_err(Asking::Trouble)?;
    let mut proofs = 0;
    for message in &listed {
        let same = held.iter().any(|h| {
            h.uid == message.uid
                && h.size == message.size
                && h.date == message.date().map(|d| d.unix)
        });
        let head = catalog.head_of(mailbox.id, uidvalidity, message.uid);
        let head = head.map_err(Asking::Catalog)?;
        if !same || head != heads.get(&message.uid).copied() {
            return Ok(false);
        }
        proofs += u32::from(head.is_some());
    }
    Ok(proofs > 0)
}
