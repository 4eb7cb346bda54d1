//! Which mailboxes the server lists.

use crate::backup::BackupError;
use crate::catalog::{Catalog, CatalogError};
use crate::contact::{Line, Trouble, describe};
use crate::imap::Session;
use crate::model::{Mailbox, Selection};
use crate::source::{ImapSource, SeenMailbox, select};

/// The selected mailboxes the server lists, and the known ones with mail that it does not.
pub(super) struct Listed {
    pub(super) chosen: Vec<SeenMailbox>,
    pub(super) lost: Vec<Mailbox>,
    /// All the server lists, selected or not; with their state only where that came along.
    pub(super) all: Vec<SeenMailbox>,
}

/// Asks the server which mailboxes there are, and chooses.
///
/// # Errors
/// The connection failed, or a pattern matches nothing.
pub(super) async fn list(
    source: &ImapSource,
    line: &mut Line<'_>,
    catalog: &Catalog,
    known: &[Mailbox],
    selection: &Selection,
) -> Result<Listed, BackupError> {
    let mut all = ask(source, line).await?;
    let mut lost = missing(&all, catalog, known, selection)?;
    if all.is_empty() || !lost.is_empty() {
        // QUIRK(Zoho, IMAP4 Server, 2026-01): LIST now and then answers with nothing.
        all = ask(source, line).await?;
        lost = missing(&all, catalog, known, selection)?;
    }
    let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
    let selected = select(&names, &selection.mailboxes, &selection.exclude);
    // A pattern for a mailbox that is known is no slip of the user's, listed or not.
    if !selected.idle.is_empty() && !all.is_empty() && lost.is_empty() {
        let mailboxes = names.iter().map(|&n| n.to_owned()).collect();
        return Err(BackupError::IdlePatterns {
            patterns: selected.idle,
            mailboxes,
        });
    }
    let mut chosen: Vec<SeenMailbox> = all
        .iter()
        .cloned()
        .zip(selected.chosen)
        .filter_map(|(m, yes)| yes.then_some(m))
        .collect();
    if chosen.iter().all(|m| m.status.is_none()) {
        add_status(source, line, &mut chosen).await?;
    }
    Ok(Listed { chosen, lost, all })
}

/// All mailboxes: with their state where one question brings that.
async fn ask(source: &ImapSource, line: &mut Line<'_>) -> Result<Vec<SeenMailbox>, BackupError> {
    let together = line.try_once(async |session| source.mailboxes_with_status(session).await);
    match together.await {
        Ok(Some(all)) => return Ok(all),
        Ok(None) => {}
        Err(Trouble::Answer(error)) => {
            tracing::debug!(error = describe(&error), "no LIST with STATUS");
        }
        Err(Trouble::Server(error)) => return Err(BackupError::List(error.into())),
    }
    let ask = async |session: &mut Session| source.mailboxes(session).await;
    line.run(ask)
        .await
        .map_err(|trouble| BackupError::List(trouble.into_error().into()))
}

async fn add_status(
    source: &ImapSource,
    line: &mut Line<'_>,
    chosen: &mut [SeenMailbox],
) -> Result<(), BackupError> {
    let wires: Vec<String> = chosen.iter().map(|m| m.wire.clone()).collect();
    // QUIRK(several): a client that pipelines, as STATUS does, is cut off.
    match line
        .try_once(async |session| source.statuses(session, &wires).await)
        .await
    {
        Ok(statuses) => {
            for (mailbox, status) in chosen.iter_mut().zip(statuses) {
                mailbox.status = status;
            }
            Ok(())
        }
        // A mailbox without STATUS is examined.
        Err(Trouble::Answer(error)) => {
            tracing::debug!(error = describe(&error), "no STATUS of any mailbox");
            Ok(())
        }
        Err(Trouble::Server(error)) => Err(BackupError::List(error.into())),
    }
}

/// Selected mailboxes that hold mail in the archive and are not among those listed.
fn missing(
    listed: &[SeenMailbox],
    catalog: &Catalog,
    known: &[Mailbox],
    selection: &Selection,
) -> Result<Vec<Mailbox>, CatalogError> {
    let names: Vec<&str> = known.iter().map(|m| m.name.as_str()).collect();
    let selected = select(&names, &selection.mailboxes, &selection.exclude);
    let mut missing = Vec::new();
    for (mailbox, chosen) in known.iter().zip(selected.chosen) {
        let absent = chosen && !listed.iter().any(|m| m.wire == mailbox.wire);
        if absent && catalog.is_filled_by_imap(mailbox.id)? {
            missing.push(mailbox.clone());
        }
    }
    Ok(missing)
}
