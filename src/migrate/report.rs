//! What a migration has to show for itself, on both sides.

use serde::Serialize;

use crate::replay::{ReplayReport, Sent};
use crate::report::{BackupReport, Ending};

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrateReport {
    /// How it ended, both parts taken together.
    pub ending: Ending,
    /// From the source into the archive.
    pub backup: BackupReport,
    /// What was sent while the backup ran. The replay counts it as well, where there is one.
    pub sent: Sent,
    /// From the archive to the target; `None` where it did not come to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayReport>,
    /// What a replay after the last pass would have to send: nothing, if all is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<ReplayReport>,
    /// Why there is no proof although it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
}

/// One mailbox on both sides. `None` where nobody looked, or where it cannot be told: a maildrop is
/// one mailbox at the source, and two in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its name on the target; at the source where it is not sent.
    pub name: String,
    /// Its mailboxes at the source.
    pub sources: Vec<String>,
    /// Messages in them when they were examined (EXISTS).
    pub at_source: Option<u64>,
    /// Messages of the archive that belong there.
    pub in_archive: Option<u64>,
    /// Those of them that the target has.
    pub brought: Option<u64>,
    /// Messages in it on the target now, whoever put them there.
    pub on_target: Option<u64>,
    /// Why it is not sent, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<String>,
}

impl MigrateReport {
    /// After a backup.
    #[must_use]
    pub const fn new(backup: BackupReport, sent: Sent) -> Self {
        Self {
            ending: backup.ending,
            backup,
            sent,
            replay: None,
            proof: None,
            unproven: None,
        }
    }

    /// Both sides, mailbox by mailbox; nothing without a replay.
    #[must_use]
    pub fn sides(&self) -> Vec<Side> {
        let Some(replay) = &self.replay else {
            return Vec::new();
        };
        let exists = |name: &String| {
            let mut rows = self.backup.mailboxes.iter();
            let row = rows.find(|m| m.name == *name && m.problem.is_none());
            row.map(|m| u64::from(m.tally.exists))
        };
        let is_left_out = |name: &String| replay.left_out.iter().any(|l| l.name == *name);
        let mut sides: Vec<Side> = replay
            .mailboxes
            .iter()
            .map(|row| Side {
                name: row.target.clone(),
                sources: row.sources.clone(),
                // What only shows what lies in others brings a part of it at most.
                at_source: (row.sources.iter())
                    .filter(|name| !is_left_out(name))
                    .map(exists)
                    .sum(),
                in_archive: Some(row.in_archive),
                brought: Some(
                    row.appended + row.moved_in + row.labelled + row.there + row.collapsed,
                ),
                on_target: row.now,
                not_sent: None,
            })
            .collect();
        sides.extend(replay.left_out.iter().map(|left| Side {
            name: left.name.clone(),
            sources: vec![left.name.clone()],
            at_source: exists(&left.name),
            in_archive: Some(left.messages),
            brought: None,
            on_target: None,
            not_sent: Some(left.reason.clone()),
        }));
        sides
    }

    /// Whether all that was at the source is in the archive, and all of that on the target, as
    /// far as it was to be sent.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let backup = &self.backup;
        let archived = backup.ending == Ending::Complete
            && backup.adds_up()
            && backup.total.skipped == 0
            && backup.damaged == 0;
        archived && self.replay.as_ref().is_some_and(is_all_there)
    }

    /// Messages the target does not list although they were brought there; `None` without a
    /// proof. What had been removed there before this pass is not among them, and what is missing
    /// so soon after it was brought is: some servers say OK and store nothing.
    #[must_use]
    pub fn unlisted(&self) -> Option<u64> {
        let proof = self.proof.as_ref()?;
        let total = &proof.total;
        let removed = self.replay.as_ref().map_or(0, |r| r.total.removed);
        let vanished = total.removed.saturating_sub(removed);
        let unknown = proof.mailboxes.iter().filter(|row| row.problem.is_some());
        let unknown: u64 = unknown.map(|row| row.in_archive.max(1)).sum();
        let missing = total.appended
            + total.labelled
            + total.left
            + total.doubtful
            + total.refused
            + total.lost;
        Some((missing + vanished).max(unknown))
    }

    /// Takes into account how the replay ended, or that there is none because of a stop.
    pub(super) fn conclude(&mut self, is_ordered: bool, is_time_up: bool) {
        let Some(replay) = &mut self.replay else {
            if is_ordered {
                self.ending = Ending::Interrupted;
            } else if is_time_up {
                self.ending = Ending::Limit;
            }
            return;
        };
        if replay.ending == Ending::Interrupted && !is_ordered && is_time_up {
            replay.ending = Ending::Limit;
            replay.error = Some("its time (--max-runtime) was up".to_owned());
        }
        let rank = |ending| match ending {
            Ending::Complete => 0,
            Ending::Short => 1,
            Ending::Limit => 2,
            Ending::ServerLost => 3,
            Ending::Interrupted => 4,
        };
        if rank(replay.ending) > rank(self.ending) {
            self.ending = replay.ending;
        }
    }
}

fn is_all_there(replay: &ReplayReport) -> bool {
    let total = &replay.total;
    replay.ending == Ending::Complete
        && replay.adds_up()
        && total.refused + total.doubtful + total.lost + total.left == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tally;
    use crate::replay::{LeftOut, MailboxRow};
    use crate::report::MailboxReport;

    fn report() -> MigrateReport {
        let mailbox = |name: &str, exists| MailboxReport {
            tally: Tally {
                exists,
                stored: exists,
                ..Tally::default()
            },
            ..MailboxReport::new(name)
        };
        let mailboxes = vec![mailbox("INBOX", 3), mailbox("Sent", 2), mailbox("All", 5)];
        let mut replay = ReplayReport::new(String::new(), String::new(), String::new());
        let row = |target: &str, sources: &[&str], all: u64| MailboxRow {
            target: target.to_owned(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
            in_archive: all,
            appended: all,
            before: Some(1),
            now: Some(all + 1),
            ..MailboxRow::default()
        };
        replay.mailboxes = vec![
            row("INBOX", &["INBOX", "Sent"], 5),
            row("Rest", &["All"], 0),
        ];
        replay.left_out.push(LeftOut {
            name: "All".to_owned(),
            messages: 5,
            kind: crate::replay::LeftOutKind::View,
            reason: "virtual".to_owned(),
        });
        replay.add_up();
        let backup = BackupReport::planned("alice", mailboxes);
        let mut report = MigrateReport::new(backup, Sent::default());
        report.replay = Some(replay);
        report
    }

    #[test]
    fn both_sides_stand_beside_each_other_and_nothing_is_counted_twice() {
        let report = report();
        let numbers: Vec<_> = (report.sides().into_iter())
            .map(|s| (s.name, s.at_source, s.in_archive, s.brought, s.on_target))
            .collect();
        let want = [
            ("INBOX", Some(5), Some(5), Some(5), Some(6)),
            ("Rest", Some(0), Some(0), Some(0), Some(1)),
            ("All", Some(5), Some(5), None, None),
        ];
        assert_eq!(
            numbers,
            want.map(|(n, a, b, c, d)| (n.to_owned(), a, b, c, d))
        );
        assert!(report.adds_up());
    }

    #[test]
    fn it_does_not_add_up_where_either_side_does_not() {
        type Change = fn(&mut MigrateReport);
        let changes: [Change; 6] = [
            |r| r.replay = None,
            |r| r.backup.total.skipped = 1,
            |r| r.backup.ending = Ending::Limit,
            |r| r.backup.mailboxes[0].tally.stored = 2,
            |r| r.replay.as_mut().unwrap().total.refused = 1,
            |r| r.replay.as_mut().unwrap().mailboxes[0].now = Some(5),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut report = report();
            change(&mut report);
            assert!(!report.adds_up(), "change {n}");
        }
    }

    #[test]
    fn what_was_removed_before_was_there_and_a_mailbox_nobody_can_open_is_no_proof() {
        let mut report = report();
        assert_eq!(report.unlisted(), None);
        report.proof.clone_from(&report.replay);
        let proof = report.proof.as_mut().unwrap();
        (proof.total.appended, proof.total.there, proof.total.removed) = (0, 4, 1);
        assert_eq!(report.unlisted(), Some(1));
        report.replay.as_mut().unwrap().total.removed = 1;
        assert_eq!(report.unlisted(), Some(0));
        report.proof.as_mut().unwrap().mailboxes[0].problem = Some("no".to_owned());
        assert_eq!(report.unlisted(), Some(5));
        report.proof.as_mut().unwrap().total.appended = 9;
        assert_eq!(report.unlisted(), Some(9));
    }

    #[test]
    fn the_time_is_a_limit_and_an_order_an_interruption() {
        for (ordered, time_up, replay, want) in [
            (false, false, None, Ending::Complete),
            (true, true, None, Ending::Interrupted),
            (false, true, None, Ending::Limit),
            (false, true, Some(Ending::Interrupted), Ending::Limit),
            (true, true, Some(Ending::Interrupted), Ending::Interrupted),
            (false, true, Some(Ending::Complete), Ending::Complete),
            (false, false, Some(Ending::ServerLost), Ending::ServerLost),
        ] {
            let mut report = report();
            match replay {
                Some(ending) => report.replay.as_mut().unwrap().ending = ending,
                None => report.replay = None,
            }
            report.conclude(ordered, time_up);
            assert_eq!(report.ending, want, "{ordered} {time_up} {replay:?}");
        }
    }
}
