//! One mailbox of the target: listed, set against the ledger, and its header fields compared.

use std::collections::HashSet;

use super::Verifying;
use super::compare::{Found, There, locate, shown_otherwise, stand};
use super::fetch::{Asked, HEADERS};
use super::likeness::OTHER_HEADER;
use super::places::Place;
use super::report::{Lack, PlaceState, TargetMailbox};
use crate::contact::{Line, Opened, Trouble, describe, open};
use crate::imap::{Examined, ImapError, Session, Vendor, renders};
use crate::model::{ContentId, Listing, MailboxId};
use crate::replay::assign::{Resend, assign};
use crate::replay::gmail::kept_elsewhere;
use crate::replay::ledger::Piece;
use crate::replay::recognise::{Failed, Recognised, Search, hidden, is_answer};
use crate::replay::wanted::{Item, collapse};
use crate::verify::against::choose::priority;
use crate::verify::against::{Names, Sample};

/// Messages of one mailbox of which a sample is drawn.
#[derive(Debug)]
pub(super) struct Candidates {
    /// The row of the report.
    pub(super) row: usize,
    pub(super) asked: Asked,
    /// Those that come first by chance, as many as can be needed.
    pub(super) messages: Vec<(u64, There, Item)>,
    /// How many there are.
    pub(super) of: u64,
}

impl Verifying<'_> {
    /// Compares one mailbox. One that cannot be worked on does not stop the others.
    pub(super) async fn look_at(
        &mut self,
        line: &mut Line<'_, Session>,
        n: usize,
        place: &Place,
        elsewhere: &HashSet<ContentId>,
    ) -> Result<(), Failed> {
        let items = self.load(n, place, elsewhere)?;
        match self.compare(line, n, place, items).await {
            Err(Failed::Target(trouble)) if is_answer(&trouble) => {
                let problem = describe(&trouble.into_error());
                self.row(n, |row| {
                    row.forget(PlaceState::Failed);
                    row.problem = Some(problem);
                    row.unproven = row.in_archive;
                });
                Ok(())
            }
            other => other,
        }
    }

    /// What is to be in it: also that of mailboxes nobody asked for, since each message of the
    /// target stands for one message only.
    fn load(
        &mut self,
        n: usize,
        place: &Place,
        elsewhere: &HashSet<ContentId>,
    ) -> Result<Vec<Item>, Failed> {
        let mut items = Vec::new();
        for went in &place.sources {
            let loaded = self.items_of(went, elsewhere);
            let (mut some, mut excluded) = loaded.map_err(|e| Failed::Here(e.into()))?;
            items.append(&mut some);
            if !went.asked {
                excluded = 0;
            }
            self.row(n, |row| row.excluded += excluded);
        }
        if self.request.collapse {
            let copies = collapse(&mut items);
            self.row(n, |row| row.excluded += copies);
        }
        Ok(items)
    }

    async fn compare(
        &mut self,
        line: &mut Line<'_, Session>,
        n: usize,
        place: &Place,
        items: Vec<Item>,
    ) -> Result<(), Failed> {
        let request = self.request;
        let asked_for: HashSet<MailboxId> = (place.sources.iter())
            .filter(|s| s.asked)
            .map(|s| s.mailbox.id)
            .collect();
        let is_asked = |at: usize| {
            let item = items.get(at);
            item.is_some_and(|item| asked_for.contains(&item.mailbox))
        };
        let wanted = (0..items.len()).filter(|at| is_asked(*at)).count() as u64;
        self.row(n, |row| row.in_archive = wanted);
        let (opened, state) = open_or_none(line, &place.wire).await?;
        let (examined, listing) = (opened.examined, opened.listing);
        let uidvalidity = examined.uidvalidity.unwrap_or(0);
        let pieces: Vec<Piece> = request.ledger.pieces_in(place.number).copied().collect();
        let mut assigned = assign(&items, &pieces, &listing, uidvalidity, Resend::default());
        let located = locate(&assigned, |no| request.ledger.piece(no)?.uid);
        let lost: Vec<usize> = located.lost.iter().map(|(item, _)| *item).collect();
        let search = Search {
            wire: &place.wire,
            listing: &listing,
            claimed: &assigned.claimed,
            items: &items,
            shared: &self.shared,
            wanted: &lost,
            certain: 0,
            hidden: hidden(&examined, &listing),
        };
        let recognised = search.run(line, self.reader.mail()).await?;
        let Recognised { found, unsure, .. } = &recognised;
        let found = Found {
            there: found,
            unsure,
        };
        let refusal = |at: usize| {
            let item = items.get(at)?;
            let ledger = request.ledger;
            ledger.refusal(place.number, item.key(), item.content)
        };
        let is_refused = |at: usize| refusal(at).is_some();
        if line.quirks().vendor == Vendor::Gmail {
            kept_elsewhere(request.ledger, &items, &mut assigned, is_refused);
        }
        let uid = |no: u64| request.ledger.piece(no)?.uid;
        let stands = stand(
            &assigned, located, &found, &listing, is_asked, is_refused, uid,
        );
        let date = |item: &Item| item.date.filter(|date| renders(*date));
        let flags = |no: u64| {
            let piece = request.ledger.piece(no)?;
            request.ledger.flags(piece.flags?)
        };
        let (dates, flags) = shown_otherwise(&stands.there, &items, &listing, date, flags);
        let unreadable = opened.unreadable.first().map(|(uid, reason)| {
            let n = opened.unreadable.len();
            format!("{n} of its messages cannot be listed, among them UID {uid}: {reason}")
        });
        self.row(n, |row| {
            row.problem = unreadable;
            row.agree = stands.there.len() as u64;
            row.recognised = stands.there.iter().filter(|t| t.recognised).count() as u64;
            row.left_over = Names::Uids(stands.left_over);
            row.others = Names::Uids(stands.others);
            row.dates = Names::Uids(dates);
            row.flags = Names::Uids(flags);
            count_listed(row, &examined, &listing);
        });
        for (at, lack) in stands.lacks {
            let Some(item) = items.get(at) else { continue };
            self.row(n, |row| *number_of(row, lack) += 1);
            let reason = match lack {
                Lack::Refused => refusal(at).unwrap_or_default(),
                Lack::Doubtful if recognised.unsure.contains(&at) => {
                    "the target does not send a message that may be this one"
                }
                _ => "",
            };
            self.note(n, item, lack, None, reason.to_owned());
        }
        let asked = Asked {
            wire: place.wire.clone(),
            uidvalidity,
        };
        self.compare_headers(line, n, asked, &items, &stands.there)
            .await?;
        self.row(n, |row| row.state = state);
        Ok(())
    }

    /// Compares the header fields of all, and the bytes where those leave it open, or where all
    /// bytes are to be compared.
    async fn compare_headers(
        &mut self,
        line: &mut Line<'_, Session>,
        n: usize,
        asked: Asked,
        items: &[Item],
        there: &[There],
    ) -> Result<(), Failed> {
        self.report.bodies.of += there.len() as u64;
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for part in there.chunks(HEADERS) {
            let uids: Vec<u32> = part.iter().map(|one| one.uid).collect();
            let headers = asked.headers(line, uids).await?;
            self.report.headers += headers.len() as u64;
            for one in part {
                let Some(item) = items.get(one.item) else {
                    continue;
                };
                let answer = headers.get(&one.uid);
                let agrees = answer.is_some_and(|fields| *fields == item.head);
                match (agrees, self.request.sample) {
                    (true, Sample::Messages(_) | Sample::Percent(_)) => later.push((*one, item)),
                    (false, Sample::Messages(0)) => {
                        let (lack, why) = match answer {
                            Some(_) => (Lack::Differs, OTHER_HEADER),
                            None => (Lack::Unproven, "the target does not send its header fields"),
                        };
                        self.take_back(n, item, lack, one.uid, why.to_owned());
                    }
                    _ => now.push((*one, item)),
                }
            }
        }
        let of = later.len() as u64;
        let messages = self.first_by_chance(&asked, later);
        self.report.bodies.chosen += now.len() as u64;
        self.prove(line, n, &asked, &now).await?;
        self.candidates.push(Candidates {
            row: n,
            asked,
            messages,
            of,
        });
        Ok(())
    }

    /// Those that come first in the queue for a sample, as many as can be needed.
    fn first_by_chance(&self, asked: &Asked, from: Vec<(There, &Item)>) -> Vec<(u64, There, Item)> {
        let most = match self.request.sample {
            Sample::Messages(n) => usize::try_from(n).unwrap_or(usize::MAX),
            Sample::Percent(_) => usize::MAX,
            Sample::Full => 0,
        };
        let seed = self.request.seed;
        let mut ranked: Vec<(u64, There, &Item)> = from
            .into_iter()
            .map(|(one, item)| {
                let priority = priority(seed, &asked.wire, &one.uid.to_string());
                (priority, one, item)
            })
            .collect();
        // Half of a sample are messages that are proven least, so as many of each are kept.
        ranked.sort_by_key(|(priority, one, _)| (one.recognised, *priority, one.uid));
        let (mut kept, mut each) = (Vec::new(), [0, 0]);
        for (priority, one, item) in ranked {
            let [usual, recognised] = &mut each;
            let count = if one.recognised { recognised } else { usual };
            if *count < most {
                *count += 1;
                kept.push((priority, one, item.clone()));
            }
        }
        kept
    }

    /// A message that was taken for one that agrees does not.
    pub(super) fn take_back(
        &mut self,
        n: usize,
        item: &Item,
        lack: Lack,
        uid: u32,
        reason: String,
    ) {
        self.row(n, |row| {
            row.agree = row.agree.saturating_sub(1);
            *number_of(row, lack) += 1;
            // It is no longer one of those that are there.
            row.on_target -= u64::from(lack == Lack::Removed && row.on_target > 0);
        });
        self.note(n, item, lack, Some(uid), reason);
    }

    pub(super) fn row(&mut self, n: usize, change: impl FnOnce(&mut TargetMailbox)) {
        if let Some(row) = self.report.mailboxes.get_mut(n) {
            change(row);
        }
    }
}

/// The number of a row that counts messages of this kind.
const fn number_of(row: &mut TargetMailbox, lack: Lack) -> &mut u64 {
    match lack {
        Lack::Differs => &mut row.differ,
        Lack::Removed => &mut row.removed,
        Lack::Refused => &mut row.refused,
        Lack::Collapsed => &mut row.collapsed,
        Lack::NeverSent => &mut row.never_sent,
        Lack::Doubtful => &mut row.doubtful,
        Lack::Open => &mut row.open,
        Lack::Unproven | Lack::Unreadable => &mut row.unproven,
    }
}

fn count_listed(row: &mut TargetMailbox, examined: &Examined, listing: &Listing) {
    let listed = listing.messages.len() as u64;
    row.unlisted = hidden(examined, listing);
    row.on_target = listed + row.unlisted;
}

/// Opens and lists a mailbox; an empty listing where the target has it no more.
async fn open_or_none(
    line: &mut Line<'_, Session>,
    wire: &str,
) -> Result<(Opened, PlaceState), Trouble> {
    match open(line, wire).await {
        Ok(opened) => Ok((opened, PlaceState::Compared)),
        Err(Trouble::Answer(ImapError::MailboxGone { .. })) => {
            let nothing = Opened {
                examined: Examined {
                    exists: 0,
                    uidvalidity: None,
                    uidnext: None,
                    highestmodseq: None,
                },
                listing: Listing::default(),
                unreadable: Vec::new(),
            };
            Ok((nothing, PlaceState::NotThere))
        }
        Err(trouble) => Err(trouble),
    }
}
