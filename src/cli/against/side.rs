//! Whether the server that was named is where the mail came from, or where it was replayed to.

use mailstow::model::{Account, MailboxId};
use mailstow::replay::ledger::{LedgerPlace, LedgerState};
use mailstow::store::{Reader, StoreError};

use crate::cli::args::AgainstArgs;
use crate::cli::failure::CommandError;
use crate::cli::source_arg::{Protocol, SourceUrl};

/// The account that was replayed to this server, and its ledger; `None` where the server is the
/// source. Where it is both, it is the source unless the user says otherwise.
pub(super) fn target(
    reader: &Reader,
    given: &AgainstArgs,
    url: &SourceUrl,
) -> Result<Option<(Account, LedgerState)>, CommandError> {
    let named = super::super::ls::account(reader, given.account.as_deref())?;
    let mut accounts = reader.catalog().accounts().map_err(StoreError::from)?;
    accounts.retain(|a| named.is_none_or(|id| a.id == id));
    let address = format!("{}@{}", url.user, url.endpoint.host);
    let fetched = accounts.iter().any(|a| a.aliases.contains(&address));
    if given.as_source || fetched && !given.as_target || url.protocol == Protocol::Pop3 {
        return source(given);
    }
    let base = given.ledger.clone();
    let place = LedgerPlace {
        base: base.unwrap_or_else(|| reader.dir().root().join("replay")),
        archive: reader.dir().id().to_owned(),
        address: match url.endpoint.port {
            143 | 993 => address.clone(),
            port => format!("{address}:{port}"),
        },
    };
    let ledger = place.read()?;
    if ledger.address().is_none() {
        if given.as_target {
            return Err(
                CommandError::usage(format!("nothing was ever replayed to {address}")).hint(
                    "mailstow replay ARCHIVE --to TARGET; a ledger that is not kept in the archive is named with --ledger",
                ),
            );
        }
        return source(given);
    }
    Ok(Some((
        account(reader, accounts, &ledger, &address)?,
        ledger,
    )))
}

/// Options that are about targets only are a mistake here.
fn source<T>(given: &AgainstArgs) -> Result<Option<T>, CommandError> {
    let what = if given.as_target {
        "--as-target"
    } else if given.collapse_duplicates {
        "--collapse-duplicates"
    } else {
        return Ok(None);
    };
    Err(
        CommandError::usage(format!("{what} is for servers that mail was replayed to"))
            .hint("this one is compared as the source of the mail"),
    )
}

/// The one account of which something was sent there.
fn account(
    reader: &Reader,
    mut accounts: Vec<Account>,
    ledger: &LedgerState,
    address: &str,
) -> Result<Account, CommandError> {
    if accounts.len() > 1 {
        let mailboxes = reader.catalog().mailboxes(None).map_err(StoreError::from)?;
        let is_sent = |id: MailboxId| {
            ledger.recorded(id).is_some() || ledger.pieces().any(|p| p.origin.mailbox == id)
        };
        accounts.retain(|a| {
            let mut theirs = mailboxes.iter().filter(|m| m.account == a.id);
            theirs.any(|m| is_sent(m.id))
        });
    }
    let names: Vec<String> = accounts.iter().map(|a| format!("`{}`", a.name)).collect();
    match <[Account; 1]>::try_from(accounts) {
        Ok([account]) => Ok(account),
        Err(_) if names.is_empty() => Err(CommandError::usage(format!(
            "nothing of any account of the archive was replayed to {address}"
        ))
        .hint("mailstow replay ARCHIVE --to TARGET")),
        Err(_) => Err(CommandError::usage(format!(
            "several accounts of the archive were replayed to {address}"
        ))
        .hint(format!(
            "name one with --account; there are {}",
            names.join(", ")
        ))),
    }
}
