//! What an old catalog says of a POP3 maildrop beside placements, as records again.

use std::collections::BTreeMap;

use crate::archive::format::Record;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{Judged, MailboxId, Removed, Verdict};

/// The records of the maildrop that `old` stands for in `catalog`, for the mailbox `new`.
pub(super) fn records(
    catalog: &Catalog,
    old: MailboxId,
    new: MailboxId,
) -> Result<Vec<Record>, CatalogError> {
    let rows = catalog.uidls(old)?;
    let mut records = Vec::new();
    if let Some(mut maildrop) = catalog.maildrop(old)? {
        let baseline = rows.iter().filter(|row| row.baseline);
        maildrop.baseline = baseline.map(|row| row.uidl.clone()).collect();
        maildrop.mailbox = new;
        records.push(Record::Maildrop(maildrop));
    }
    let mut judged: BTreeMap<(u8, Option<String>), Judged> = BTreeMap::new();
    let mut removed = Vec::new();
    for row in rows {
        if row.removed {
            removed.push(row.uidl.clone());
        }
        let before = row.before.then_some((0, Verdict::Before, None));
        let spam = row.spam.map(|spam| match spam {
            true => (1, Verdict::Spam, row.evidence.clone()),
            false => (2, Verdict::Clean, row.evidence.clone()),
        });
        for (order, verdict, evidence) in before.into_iter().chain(spam) {
            let entry = judged
                .entry((order, evidence.clone()))
                .or_insert_with(|| Judged {
                    mailbox: new,
                    verdict,
                    evidence,
                    uidls: Vec::new(),
                });
            entry.uidls.push(row.uidl.clone());
        }
    }
    records.extend(judged.into_values().map(Record::Judged));
    if !removed.is_empty() {
        records.push(Record::Removed(Removed {
            mailbox: new,
            uidls: removed,
        }));
    }
    Ok(records)
}
