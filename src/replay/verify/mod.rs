//! Comparing what is on a target with what is to be there. Nothing is changed on either side: the
//! archive and the ledger are read without a lock, and the target is asked to show, never to do.
//!
//! ```text
//! ledger ── places ─┐
//! archive ─ wanted ─┼─ assign ─ compare ─► header fields of all ─► bytes of some ─► report
//! target ─ listing ─┘
//! ```
//!
//! `places` says where mailboxes went, `compare` where each message stands, `likeness` whether two
//! messages are one; all three are pure. `fetch` asks the target, `bodies` holds whole messages
//! against those of the archive.

mod bodies;
mod compare;
mod fetch;
mod likeness;
mod mailbox;
mod places;
mod report;

use std::collections::HashSet;
use std::sync::atomic::Ordering;

pub use report::{BodiesReport, Lack, LackNote, PlaceState, TargetMailbox, TargetReport};

use super::ReplayError;
use super::ledger::LedgerState;
use super::recognise::Failed;
use super::wanted::{Item, Shared};
use crate::catalog::{CatalogError, NOW, Within};
use crate::contact::{Line, ServerError, Stop, Trouble, describe, spool_into};
use crate::event::{Event, Sink};
use crate::imap::{ListedMailbox, Session, utf7};
use crate::model::{Account, ContentId};
use crate::report::Ending;
use crate::source::{ImapSource, decoded_name, select};
use crate::store::Reader;
use crate::verify::against::Sample;
use mailbox::Candidates;
use places::{Place, Places, Went, places};

/// What to compare with what.
#[derive(Debug, Clone)]
pub struct VerifyRequest<'a> {
    /// The account on its new server.
    pub target: &'a ImapSource,
    /// The account in the archive.
    pub account: &'a Account,
    /// What was sent to that target.
    pub ledger: &'a LedgerState,
    /// Globs of mailboxes of the archive to compare; empty means all.
    pub mailboxes: &'a [String],
    /// Globs of mailboxes to leave out.
    pub exclude: &'a [String],
    /// Copies of one content in one mailbox are wanted once.
    pub collapse: bool,
    /// How many messages to fetch whole.
    pub sample: Sample,
    /// Which: the same seed draws the same sample from the same mail.
    pub seed: u64,
}

/// Compares an account of the archive, as it is now, with a target it was replayed to.
///
/// What counts as there is what the ledger says is there, and what the target lists under that
/// UID; where the UID is not known, what the matching ladder recognises. Header fields of all of
/// these are fetched and compared, whole messages of a sample, and of those whose header fields
/// leave it open. Mail too large for memory passes through the temporary folder. Connections that
/// break are dialled again as a backup does. Asked to stop, or when the target is lost for good, it
/// reports what it has found so far and says so. Safe to drop at any await.
///
/// # Errors
/// The target cannot be had at all, or this machine failed.
pub async fn verify(
    reader: &Reader,
    request: &VerifyRequest<'_>,
    sink: &dyn Sink,
    stop: &Stop,
) -> Result<TargetReport, ReplayError> {
    let mut verifying = Verifying {
        reader,
        request,
        sink,
        stop,
        shared: Shared::default(),
        candidates: Vec::new(),
        compared: (0, 0),
        report: empty_report(request),
    };
    let found = verifying.find_places()?;
    let spool = spool_into(&std::env::temp_dir());
    let mut line = Line::<Session>::open(request.target, spool, sink, stop)
        .await
        .map_err(|error| {
            let endpoint = &request.target.endpoint;
            ReplayError::Connect {
                server: format!("{}:{}", endpoint.host, endpoint.port),
                source: Box::new(error.into()),
            }
        })?;
    verifying.work(&mut line, found).await?;
    line.hang_up().await;
    let mut report = verifying.report;
    report.damaged = reader.catalog().damaged()?.len() as u64;
    let counters = &request.target.net.counters;
    report.received = counters.received.load(Ordering::Relaxed);
    Ok(report)
}

fn empty_report(request: &VerifyRequest<'_>) -> TargetReport {
    TargetReport {
        account: request.account.name.clone(),
        server: request.target.alias(),
        ending: Ending::Complete,
        error: None,
        mailboxes: Vec::new(),
        headers: 0,
        bodies: BodiesReport {
            seed: request.seed,
            full: request.sample == Sample::Full,
            ..BodiesReport::default()
        },
        messages: Vec::new(),
        noted: Vec::new(),
        damaged: 0,
        received: 0,
    }
}

/// A comparison under way.
struct Verifying<'a> {
    reader: &'a Reader,
    request: &'a VerifyRequest<'a>,
    sink: &'a dyn Sink,
    stop: &'a Stop,
    shared: Shared,
    /// Messages of which a sample is drawn, by mailbox.
    candidates: Vec<Candidates>,
    /// Messages whose bytes were compared, and of how many.
    compared: (u64, u64),
    report: TargetReport,
}

impl Verifying<'_> {
    /// The mailboxes of the account that are to be compared, and where they went.
    fn find_places(&self) -> Result<Places, ReplayError> {
        let request = self.request;
        let all = self.reader.catalog().mailboxes(Some(request.account.id))?;
        let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
        let selected = select(&names, request.mailboxes, request.exclude);
        if !selected.idle.is_empty() {
            return Err(ReplayError::IdlePatterns {
                patterns: selected.idle,
                mailboxes: names.into_iter().map(str::to_owned).collect(),
            });
        }
        let mut mailboxes: Vec<_> = all.into_iter().zip(selected.chosen).collect();
        mailboxes.sort_by(|(a, _), (b, _)| {
            (a.name != "INBOX", &a.name).cmp(&(b.name != "INBOX", &b.name))
        });
        Ok(places(request.ledger, mailboxes))
    }

    async fn work(
        &mut self,
        line: &mut Line<'_, Session>,
        found: Places,
    ) -> Result<(), ReplayError> {
        let failed = |trouble: Trouble| ReplayError::List(trouble.into_error().into());
        let list = async |session: &mut Session| session.list().await;
        let mut listed = line.run(list).await.map_err(failed)?;
        if listed.is_empty() {
            // QUIRK(Zoho, IMAP4 Server, 2026-01): LIST now and then answers with nothing.
            listed = line.run(list).await.map_err(failed)?;
        }
        self.count_all(&found.places)?;
        for place in &found.places {
            let asked = place.sources.iter().filter(|s| s.asked);
            let sources = asked.map(|s| s.mailbox.name.clone()).collect();
            let row = TargetMailbox::new(
                name_of(&place.wire, &listed),
                sources,
                PlaceState::NotReached,
            );
            self.report.mailboxes.push(row);
        }
        let elsewhere = self.contents_elsewhere(&found)?;
        let looked = self.look_at_all(line, &found.places, &elsewhere).await;
        self.went_well(looked)?;
        for row in &mut self.report.mailboxes {
            if row.state == PlaceState::NotReached {
                row.forget(PlaceState::NotReached);
            }
        }
        for went in &found.nowhere {
            self.went_nowhere(went, &elsewhere)?;
        }
        for mailbox in &found.left_out {
            let (name, sources) = (mailbox.name.clone(), vec![mailbox.name.clone()]);
            let row = TargetMailbox::new(name, sources, PlaceState::LeftOut);
            self.report.mailboxes.push(row);
        }
        if self.report.ending == Ending::Complete {
            let sampled = self.sample(line).await;
            self.went_well(sampled)?;
        }
        Ok(())
    }

    async fn look_at_all(
        &mut self,
        line: &mut Line<'_, Session>,
        places: &[Place],
        elsewhere: &HashSet<ContentId>,
    ) -> Result<(), Failed> {
        let total = places.len() as u64;
        for (n, place) in places.iter().enumerate() {
            let done = n as u64;
            self.sink.event(Event::Enumerating { done, total });
            self.look_at(line, n, place, elsewhere).await?;
        }
        self.sink.event(Event::Enumerating { done: total, total });
        Ok(())
    }

    /// Says in the report how the comparison ended early, if it did.
    fn went_well(&mut self, result: Result<(), Failed>) -> Result<(), ReplayError> {
        match result {
            Ok(()) => {}
            Err(Failed::Here(error)) => return Err(error),
            Err(Failed::Target(_)) if self.stop.is_requested() => {
                self.report.ending = Ending::Interrupted;
            }
            Err(Failed::Target(trouble)) => {
                self.report.ending = Ending::ServerLost;
                self.report.error = Some(describe(&ServerError::from(trouble.into_error())));
            }
        }
        Ok(())
    }

    /// Books a mailbox of which nothing was sent.
    fn went_nowhere(
        &mut self,
        went: &Went,
        elsewhere: &HashSet<ContentId>,
    ) -> Result<(), CatalogError> {
        let (items, excluded) = self.items_of(went, elsewhere)?;
        let name = went.mailbox.name.clone();
        let state = match (went.leftovers, items.is_empty()) {
            (true, true) => PlaceState::LeftOut,
            _ => PlaceState::NotReplayed,
        };
        let mut row = TargetMailbox::new(name.clone(), vec![name], state);
        row.in_archive = items.len() as u64;
        row.never_sent = row.in_archive;
        row.excluded = excluded;
        self.report.mailboxes.push(row);
        let n = self.report.mailboxes.len() - 1;
        for item in &items {
            self.note(n, item, Lack::NeverSent, None, String::new());
        }
        Ok(())
    }

    /// The messages of a mailbox that are to be on the target, and how many are not by a person's
    /// order.
    fn items_of(
        &mut self,
        went: &Went,
        elsewhere: &HashSet<ContentId>,
    ) -> Result<(Vec<Item>, u64), CatalogError> {
        let catalog = self.reader.catalog();
        let all = Within::default();
        let (mut items, not_sent) = self.shared.items(catalog, went.mailbox.id, NOW, &all)?;
        if went.leftovers {
            items.retain(|item| !elsewhere.contains(&item.content));
            return Ok((items, 0));
        }
        Ok((items, not_sent.forgotten))
    }

    /// What lies in mailboxes that were sent whole, where somebody wants to know: what is in none
    /// of them is sent from a mailbox that shows all mail.
    fn contents_elsewhere(&mut self, found: &Places) -> Result<HashSet<ContentId>, CatalogError> {
        let mut contents = HashSet::new();
        let sources = || found.places.iter().flat_map(|place| &place.sources);
        if sources().chain(&found.nowhere).any(|went| went.leftovers) {
            for went in sources().filter(|went| !went.leftovers) {
                let (items, _) = self.items_of(went, &contents)?;
                contents.extend(items.iter().map(|item| item.content));
            }
        }
        Ok(contents)
    }

    /// How many bodies there are to compare, where all are.
    fn count_all(&mut self, places: &[Place]) -> Result<(), CatalogError> {
        if self.request.sample == Sample::Full {
            for went in places.iter().flat_map(|place| &place.sources) {
                if went.asked && !went.leftovers {
                    let catalog = self.reader.catalog();
                    self.compared.1 += catalog.totals_at(went.mailbox.id, NOW)?.present;
                }
            }
        }
        Ok(())
    }

    /// Names a message of a row that is not as it should be.
    fn note(&mut self, row: usize, item: &Item, what: Lack, uid: Option<u32>, reason: String) {
        let mailbox = self.report.mailboxes.get(row);
        self.report.note(LackNote {
            what,
            mailbox: mailbox.map(|m| m.name.clone()).unwrap_or_default(),
            content: item.content.to_string(),
            remote: item.remote.to_string(),
            uid,
            reason,
        });
    }
}

/// The name of a mailbox of the target, for people.
fn name_of(wire: &str, listed: &[ListedMailbox]) -> String {
    let of_it = listed.iter().find(|m| m.wire == wire);
    let separator = of_it.or(listed.first()).and_then(|m| m.separator);
    decoded_name(&utf7::decode(wire), separator)
}
