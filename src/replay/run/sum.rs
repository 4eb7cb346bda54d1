//! The end of a replay: the last look, and the sums.

use super::Replay;
use crate::contact::{Line, Trouble, describe};
use crate::imap::TargetSession;
use crate::replay::recognise::Failed;
use crate::replay::report::ReplayReport;

impl Replay<'_> {
    /// Looks how many messages each mailbox of the target has now.
    pub(super) async fn count(&mut self, line: &mut Line<'_, TargetSession>) -> Result<(), Failed> {
        for place in &mut self.places {
            if place.row.problem.is_some() {
                continue;
            }
            match place.count(line).await {
                Ok(()) => {}
                Err(Trouble::Answer(error)) => place.row.problem = Some(describe(&error)),
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Ok(())
    }

    /// The report, with its sums. What was planned and not reached is left.
    pub(super) fn finish(mut self) -> ReplayReport {
        if let Some(flowed) = self.flowed.take() {
            let places = self.places.iter_mut();
            flowed.book_rows(places.map(|place| (place.to.wire.as_str(), &mut place.row)));
            flowed.book_notes(&mut self.report);
        }
        for out in std::mem::take(&mut self.outbound) {
            self.row(out.place).left += 1;
        }
        for one in std::mem::take(&mut self.unsettled) {
            self.row(one.place).left += 1;
        }
        self.leave_labels();
        let mut report = self.report;
        report.mailboxes = self.places.into_iter().map(|place| place.row).collect();
        for row in &mut report.mailboxes {
            row.left += row.in_archive.saturating_sub(row.booked());
            if row.before.is_none() && row.problem.is_none() {
                // Nobody counted either side of it, and zeros would look like an answer.
                row.problem = Some("it was not reached".to_owned());
            }
        }
        report.add_up();
        report.ended = self.request.clock.now();
        report.sent = self
            .request
            .target
            .net
            .counters
            .sent
            .load(std::sync::atomic::Ordering::Relaxed);
        report
    }
}
