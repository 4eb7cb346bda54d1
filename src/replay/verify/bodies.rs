//! Whole messages of the target against those of the archive.

use std::io::Write;

use super::Verifying;
use super::compare::There;
use super::fetch::{Asked, BODIES, Sent};
use super::likeness::{Likeness, Looks, likeness, repairs_of};
use super::report::Lack;
use crate::contact::Line;
use crate::event::Event;
use crate::header::HEADER_MAX;
use crate::imap::Session;
use crate::model::StoredContent;
use crate::replay::ladder::Printer;
use crate::replay::recognise::{Failed, died, place};
use crate::replay::wanted::Item;
use crate::spool::SpoolOptions;
use crate::store::HeldMail;
use crate::verify::against::Sample;
use crate::verify::against::choose::{Pool, draw};

/// A message whose bytes are not exactly those of the archive.
struct Doubt {
    /// Which of those asked for.
    at: usize,
    stored: StoredContent,
    theirs: Looks,
}

impl Verifying<'_> {
    /// Draws a sample of all mailboxes, and compares it.
    pub(super) async fn sample(&mut self, line: &mut Line<'_, Session>) -> Result<(), Failed> {
        let candidates = std::mem::take(&mut self.candidates);
        if self.request.sample == Sample::Full {
            return Ok(());
        }
        let of = candidates.iter().map(|c| c.of).sum();
        let n = self.request.sample.size(of);
        let mut pools = Vec::new();
        for candidates in &candidates {
            let mut pool = Pool::new(n);
            for (priority, one, _) in &candidates.messages {
                pool.push(*priority, one.uid, one.recognised);
            }
            pools.push(pool);
        }
        let drawn = draw(pools, n);
        let chosen: u64 = drawn.iter().map(|uids| uids.len() as u64).sum();
        self.report.bodies.chosen += chosen;
        self.compared.1 = self.compared.0 + chosen;
        for (candidates, uids) in candidates.iter().zip(drawn) {
            let of_them = candidates
                .messages
                .iter()
                .map(|(_, one, item)| (*one, item));
            let chosen: Vec<(There, &Item)> = of_them
                .filter(|(one, _)| uids.binary_search(&one.uid).is_ok())
                .collect();
            self.prove(line, candidates.row, &candidates.asked, &chosen)
                .await?;
        }
        Ok(())
    }

    /// Fetches these messages of a mailbox, and compares them with those of the archive.
    pub(super) async fn prove(
        &mut self,
        line: &mut Line<'_, Session>,
        row: usize,
        asked: &Asked,
        messages: &[(There, &Item)],
    ) -> Result<(), Failed> {
        for part in messages.chunks(BODIES) {
            let uids: Vec<u32> = part.iter().map(|(one, _)| one.uid).collect();
            let mut sent = asked.bodies(line, &uids).await?;
            let mut doubts = Vec::new();
            for (at, (one, item)) in part.iter().enumerate() {
                match sent.remove(&one.uid) {
                    Some(Sent::Came(looks)) if looks.print.exact == item.content => {
                        self.report.bodies.exact += 1;
                    }
                    Some(Sent::Came(theirs)) => doubts.push(Doubt {
                        at,
                        stored: self.shared.stored(item),
                        theirs,
                    }),
                    Some(Sent::Gone) => {
                        self.report.bodies.left += 1;
                        let why = "it left while it was compared".to_owned();
                        self.take_back(row, item, Lack::Removed, one.uid, why);
                    }
                    Some(Sent::Not(reason)) => {
                        self.report.bodies.not_sent += 1;
                        self.take_back(row, item, Lack::Unproven, one.uid, reason);
                    }
                    None => {}
                }
            }
            let judged = judge(self.reader.mail(), doubts).await?;
            for (at, likeness) in judged {
                if let Some((one, item)) = part.get(at) {
                    self.book(row, item, one.uid, likeness);
                }
            }
            self.compared.0 += part.len() as u64;
            let (done, total) = self.compared;
            let total = total.max(done);
            self.sink.event(Event::Comparing { done, total });
        }
        Ok(())
    }

    fn book(&mut self, row: usize, item: &Item, uid: u32, judged: Result<Likeness, String>) {
        let bodies = &mut self.report.bodies;
        let (lack, why) = match judged {
            Ok(Likeness::Exact) => {
                bodies.exact += 1;
                return;
            }
            Ok(Likeness::Altered) => {
                bodies.altered += 1;
                return;
            }
            Ok(Likeness::Repaired) => {
                bodies.repaired += 1;
                return;
            }
            Ok(Likeness::Other(why)) => {
                bodies.differ += 1;
                (Lack::Differs, why)
            }
            Err(why) => {
                bodies.unreadable += 1;
                (Lack::Unreadable, why)
            }
        };
        self.take_back(row, item, lack, uid, why);
    }
}

/// Reads them in the archive, in the order in which they lie there, and compares.
async fn judge(
    mail: HeldMail,
    mut doubts: Vec<Doubt>,
) -> Result<Vec<(usize, Result<Likeness, String>)>, Failed> {
    if doubts.is_empty() {
        return Ok(Vec::new());
    }
    doubts.sort_by(|a, b| place(&a.stored).cmp(&place(&b.stored)));
    let read = tokio::task::spawn_blocking(move || {
        let mut mail = mail;
        let one = |doubt: &Doubt| (doubt.at, judge_one(&mut mail, doubt));
        doubts.iter().map(one).collect()
    });
    read.await.map_err(died)
}

fn judge_one(mail: &mut HeldMail, doubt: &Doubt) -> Result<Likeness, String> {
    let Doubt { stored, theirs, .. } = doubt;
    if stored.len > SpoolOptions::THRESHOLD {
        let mut passing = Passing::default();
        mail.read(stored, &mut passing).map_err(|e| e.to_string())?;
        // Repairs want it in memory, and so large a copy is not worth that.
        return Ok(likeness(&passing.looks(), Vec::new, theirs));
    }
    let bytes = mail.read_to_vec(stored).map_err(|e| e.to_string())?;
    Ok(likeness(&Looks::of(&bytes), || repairs_of(&bytes), theirs))
}

/// Looks at a large message that passes by.
#[derive(Default)]
struct Passing {
    printer: Printer,
    start: Vec<u8>,
}

impl Passing {
    fn looks(self) -> Looks {
        Looks {
            print: self.printer.finish(),
            header: crate::header::header_of(&self.start).to_vec(),
        }
    }
}

impl Write for Passing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = HEADER_MAX.saturating_sub(self.start.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.start.extend_from_slice(fits);
        self.printer.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
