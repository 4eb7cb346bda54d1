//! Looking for messages: first by what the catalog knows, then by headers, which only the mail
//! itself has.
//!
//! Headers are read in the order in which the mail lies, each once, however many mailboxes it is
//! in: each data frame is decompressed once.

mod header_match;

use std::collections::HashMap;

use crate::catalog::{AsOf, Candidate, CatalogError, PlacementRow, Within};
use crate::event::{Event, Sink};
use crate::header::{self, Summary};
use crate::model::{Account, ContentId, Mailbox};
use crate::store::Reader;

pub use header_match::HeaderMatch;

/// Progress is told after so many headers.
const PROGRESS_EVERY: usize = 256;

/// What is looked for, and where. Everything that is given has to hold.
pub struct FindRequest<'a> {
    /// In which mailboxes.
    pub choose: &'a dyn Fn(&Account, &Mailbox) -> bool,
    /// Date and size.
    pub within: Within,
    /// What the header says.
    pub header: HeaderMatch,
    /// Also messages that are no longer in the mailbox.
    pub gone_too: bool,
    /// The mailboxes as they were; `None` as they are.
    pub as_of: Option<AsOf>,
}

impl std::fmt::Debug for FindRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FindRequest")
            .field("within", &self.within)
            .field("header", &self.header)
            .field("gone_too", &self.gone_too)
            .field("as_of", &self.as_of)
            .finish_non_exhaustive()
    }
}

/// A message that was found.
#[derive(Debug)]
pub struct Found<'a> {
    /// Its account.
    pub account: &'a Account,
    /// Its mailbox.
    pub mailbox: &'a Mailbox,
    /// Its placement.
    pub row: PlacementRow,
    /// What its header says; what is wrong where it cannot be read.
    pub summary: Result<&'a Summary, &'a str>,
}

/// What a search did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FindReport {
    /// Placements found.
    pub found: u64,
    /// Contents whose header cannot be read, and why. Whether they are what was looked for is
    /// not known where it depends on the header.
    pub unreadable: Vec<(ContentId, String)>,
}

/// Looks for messages, and hands each placement of one to `each`: by account, mailbox and date.
///
/// Memory grows with what is found, and by 32 bytes for each message that is looked at.
///
/// # Errors
/// The catalog's. A message that cannot be read is none: it stands in the report.
pub fn find(
    reader: &Reader,
    request: &FindRequest<'_>,
    sink: &dyn Sink,
    each: &mut dyn FnMut(Found<'_>),
) -> Result<FindReport, CatalogError> {
    let catalog = reader.catalog();
    let accounts = catalog.accounts()?;
    let mut places = Vec::new();
    for account in &accounts {
        let found = catalog.mailboxes_as_of(account.id, request.as_of.as_ref())?;
        let wanted = found
            .into_iter()
            .filter(|(mailbox, _)| (request.choose)(account, mailbox));
        places.extend(wanted.map(|(mailbox, commit)| (account, mailbox, commit)));
    }
    let mut candidates = Vec::new();
    for (_, mailbox, commit) in &places {
        let (gone_too, within) = (request.gone_too, &request.within);
        candidates.extend(catalog.candidates(mailbox.id, *commit, gone_too, within)?);
    }
    let headers = read_headers(reader, candidates, &request.header, sink)?;
    let mut report = FindReport::default();
    for (account, mailbox, commit) in &places {
        let hand_on = |row: PlacementRow| {
            let summary = match headers.get(&row.content.id) {
                Some(Ok(summary)) => Ok(summary),
                Some(Err(reason)) if request.header.is_empty() => Err(reason.as_str()),
                _ => return,
            };
            report.found += 1;
            each(Found {
                account,
                mailbox,
                row,
                summary,
            });
        };
        let (gone_too, within) = (request.gone_too, &request.within);
        catalog.shown_at(mailbox.id, *commit, gone_too, within, hand_on)?;
    }
    report.unreadable = unreadable(headers);
    Ok(report)
}

/// Looks through the headers of all contents, placed or not, for a Message-ID.
///
/// # Errors
/// The catalog's.
pub fn find_message_id(
    reader: &Reader,
    message_id: &str,
    sink: &dyn Sink,
) -> Result<(Vec<ContentId>, FindReport), CatalogError> {
    let wanted = HeaderMatch {
        message_id: Some(message_id.to_owned()),
        ..HeaderMatch::default()
    };
    let headers = read_headers(reader, reader.catalog().all_candidates()?, &wanted, sink)?;
    let mut found: Vec<ContentId> = headers
        .iter()
        .filter(|(_, header)| header.is_ok())
        .map(|(id, _)| *id)
        .collect();
    found.sort();
    let report = FindReport {
        found: found.len() as u64,
        unreadable: unreadable(headers),
    };
    Ok((found, report))
}

type Headers = HashMap<ContentId, Result<Summary, String>>;

fn unreadable(headers: Headers) -> Vec<(ContentId, String)> {
    let mut unreadable: Vec<_> = headers
        .into_iter()
        .filter_map(|(id, header)| Some((id, header.err()?)))
        .collect();
    unreadable.sort();
    unreadable
}

/// The summaries of all candidates whose header matches, and what is wrong with those that
/// cannot be read.
fn read_headers(
    reader: &Reader,
    mut candidates: Vec<Candidate>,
    wanted: &HeaderMatch,
    sink: &dyn Sink,
) -> Result<Headers, CatalogError> {
    candidates.sort_unstable();
    candidates.dedup();
    let total = candidates.len() as u64;
    let mut mail = reader.mail();
    let mut headers = HashMap::new();
    for (n, candidate) in candidates.into_iter().enumerate() {
        if n % PROGRESS_EVERY == 0 {
            let done = n as u64;
            sink.event(Event::Looking { done, total });
        }
        let Some(content) = reader.catalog().content_numbered(candidate.content)? else {
            continue;
        };
        match mail.read_header(&content) {
            Ok(header) if wanted.matches(&header) => {
                headers.insert(content.id, Ok(header::summary(&header)));
            }
            Ok(_) => {}
            Err(error) => {
                headers.insert(content.id, Err(error.to_string()));
            }
        }
    }
    Ok(headers)
}
