//! `--as-of`: which runs it comes down to.

use mailstow::catalog::AsOf;
use mailstow::event::Event;
use mailstow::model::{AccountId, Mailbox};
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::AsOfArgs;
use super::failure::CommandError;
use super::output::Output;

/// The runs that `--as-of` comes down to, which are told; `None` when it was not given.
pub(crate) fn resolve(
    reader: &Reader,
    account: Option<AccountId>,
    args: &AsOfArgs,
    output: &Output,
) -> Result<Option<AsOf>, CommandError> {
    let Some(date) = args.date else {
        return Ok(None);
    };
    let catalog = reader.catalog();
    let as_of = AsOf::find(catalog, account, date).map_err(StoreError::from)?;
    let accounts = catalog.accounts().map_err(StoreError::from)?;
    if as_of.is_empty() {
        return Err(none_by_then(reader, account, date)?);
    }
    for account in accounts
        .iter()
        .filter(|a| account.is_none_or(|id| id == a.id))
    {
        match as_of.moments().find(|m| m.run.account == account.id) {
            Some(moment) => {
                let run = &moment.run;
                let value = json!({"account": account.name, "run": run.id, "ended": run.ended, "run_exit": run.exit});
                let left_out = if run.exit == 0 {
                    String::new()
                } else {
                    format!(" (exit {})", run.exit)
                };
                let words = format!(
                    "{} as of the end of run {}, {}{left_out}",
                    account.name, run.id, run.ended
                );
                tell(output, &value, words);
            }
            None => tell(
                output,
                &json!({"account": account.name, "run": null}),
                format!("{} had no complete run by then", account.name),
            ),
        }
    }
    Ok(Some(as_of))
}

/// Beside the results, which may be piped on.
fn tell(output: &Output, value: &serde_json::Value, text: String) {
    if output.is_json() {
        output.result("as-of", value, "", 0);
    } else {
        output.sink().event(Event::Note { text });
    }
}

fn none_by_then(
    reader: &Reader,
    account: Option<AccountId>,
    date: i64,
) -> Result<CommandError, StoreError> {
    let moments = reader.catalog().moments()?;
    let first = moments
        .iter()
        .find(|m| account.is_none_or(|id| id == m.run.account));
    let hint = first.map_or_else(
        || "the archive has no complete run yet".to_owned(),
        |m| format!("the first is run {}, which ended {}", m.run.id, m.run.ended),
    );
    let by = mailstow::clock::rfc3339(date);
    let error = CommandError::usage(format!("no complete run had ended by {by}")).hint(hint);
    // `recover` cannot bring along what was where at the end of a run.
    let created = &reader.dir().manifest().created;
    let made_since = mailstow::clock::parse_rfc3339(created).is_some_and(|made| made > date);
    Ok(if made_since {
        error.hint(format!(
            "this archive was made {created}; what was before is not in it"
        ))
    } else {
        error
    })
}

/// The mailboxes of an account, or of all, each with the commit at whose end it is to be shown.
pub(crate) fn mailboxes(
    reader: &Reader,
    account: Option<AccountId>,
    as_of: Option<&AsOf>,
) -> Result<Vec<(Mailbox, u64)>, StoreError> {
    let catalog = reader.catalog();
    let mut all = Vec::new();
    for found in catalog.accounts()? {
        if account.is_none_or(|id| id == found.id) {
            all.extend(catalog.mailboxes_as_of(found.id, as_of)?);
        }
    }
    Ok(all)
}
