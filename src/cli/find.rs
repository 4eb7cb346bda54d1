//! `mailstow find`.

use mailstow::catalog::Within;
use mailstow::event::Event;
use mailstow::find::{FindReport, FindRequest, Found, HeaderMatch, find};
use mailstow::store::{Reader, StoreError};
use serde_json::{Value, json};

use super::args::FindArgs;
use super::as_of;
use super::export::chosen;
use super::failure::{CommandError, exit};
use super::ls::{account, line, unreadable, value};
use super::output::Output;

/// So many of the messages that cannot be read are named one by one.
const NAMED: usize = 20;

pub(crate) fn run(args: &FindArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let account = account(&reader, args.within.account.as_deref())?;
    let as_of = as_of::resolve(&reader, account, &args.within.as_of, output)?;
    let mailboxes = as_of::mailboxes(&reader, account, as_of.as_ref())?;
    let several = mailboxes.iter().any(|(m, _)| {
        mailboxes
            .first()
            .is_some_and(|(f, _)| f.account != m.account)
    });
    let chosen = chosen(&mailboxes, &args.within.mailboxes, &args.within.exclude)?;
    let request = FindRequest {
        choose: &|_, mailbox| chosen.contains(&mailbox.id),
        within: Within {
            since: args.since,
            before: args.before,
            larger: args.larger,
            smaller: args.smaller,
        },
        header: HeaderMatch {
            from: args.from.clone(),
            subject: args.subject.clone(),
            text: args.text.clone(),
            message_id: args.message_id.clone(),
        },
        gone_too: args.within.all,
        as_of,
    };
    let mut lines = Vec::new();
    let sink = output.sink();
    let mut each = |found: Found<'_>| lines.push(listed(&found, several));
    let report = find(&reader, &request, &*sink, &mut each).map_err(StoreError::from)?;
    // The bars go before the lines come.
    drop(sink);
    let code = tell_unreadable(&report, output);
    for (value, line) in lines {
        output.result("message", &value, &line, code);
    }
    if output.is_json() {
        let unreadable: Vec<Value> = report
            .unreadable
            .iter()
            .map(|(id, reason)| json!({"content": id, "reason": reason}))
            .collect();
        let value = json!({"found": report.found, "unreadable": unreadable});
        output.result("find", &value, "", code);
    } else if report.found == 0 {
        let text = "no message found".to_owned();
        output.sink().event(Event::Note { text });
    }
    Ok(code)
}

fn listed(found: &Found<'_>, several: bool) -> (Value, String) {
    let lost;
    let summary = match found.summary {
        Ok(summary) => summary,
        Err(reason) => {
            lost = unreadable(reason);
            &lost
        }
    };
    let name = if several {
        format!("{}:{}", found.account.name, found.mailbox.name)
    } else {
        found.mailbox.name.clone()
    };
    let mut value = value(&found.row, summary);
    if let Some(object) = value.as_object_mut() {
        object.insert("account".to_owned(), json!(found.account.name));
        object.insert("mailbox".to_owned(), json!(found.mailbox.name));
    }
    (value, line(&found.row, summary, Some(&name)))
}

/// Says which messages cannot be read, so that nobody takes "not found" for "not there".
pub(crate) fn tell_unreadable(report: &FindReport, output: &Output) -> u8 {
    if report.unreadable.is_empty() {
        return 0;
    }
    if !output.is_json() {
        let sink = output.sink();
        for (_, reason) in report.unreadable.iter().take(NAMED) {
            let text = format!("not looked at: {reason}");
            sink.event(Event::Warning { text });
        }
        let more = report.unreadable.len().saturating_sub(NAMED);
        if more > 0 {
            let text = format!("not looked at: {more} more that cannot be read");
            sink.event(Event::Warning { text });
        }
    }
    exit::DAMAGED
}
