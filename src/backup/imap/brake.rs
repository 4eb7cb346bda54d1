//! The brake: when so much is missing that the server is mistaken more likely than the mail is
//! gone. Pure.

use crate::archive::format::{Departure, Doubted};
use crate::model::{MailboxId, UidSet};

/// Seconds after which another look is that of another night: the same outage shows the same.
const ANOTHER_NIGHT: i64 = 16 * 3600;

/// Messages below which no share of them is conspicuous.
const FEW: u64 = 20;

/// A mailbox of which messages are missing, or that is missing as a whole.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    pub(super) mailbox: MailboxId,
    pub(super) name: String,
    /// What is missing, by UIDVALIDITY.
    pub(super) uids: Vec<(u32, UidSet)>,
    /// How many messages that makes: all of `uids`, or fewer where the mailbox has new numbers and
    /// some of them must be what was there before.
    pub(super) lost: u64,
    /// Messages it held.
    pub(super) held: u64,
    /// The server no longer lists it.
    pub(super) unlisted: bool,
    /// Trash and junk are emptied as a matter of course.
    pub(super) exempt: bool,
}

/// What is known of the account as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// Messages held of all selected mailboxes that are not exempt.
    pub(super) held: u64,
    /// Messages that are new in this run, wherever: what was moved is not lost.
    pub(super) new: u64,
    /// The server lists no mailbox at all.
    pub(super) empty: bool,
    /// The user knows and has said so.
    pub(super) believe: bool,
    /// Unix seconds.
    pub(super) now: i64,
}

/// What is to be believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Messages that are gone.
    pub(super) gone: Vec<Departure>,
    /// Messages that are not believed to be gone yet.
    pub(super) doubtful: Vec<Doubted>,
    /// For a person.
    pub(super) warnings: Vec<String>,
}

/// Decides. `doubts` is what earlier runs did not believe: what is missing in another night again
/// is gone.
///
/// A mailbox that is not listed is believed to be gone when another night does not find it either,
/// however small it is: that costs a night, while fetching it again may cost days.
pub(super) fn judge(missing: &[Missing], whole: Whole, doubts: &[Doubted]) -> Verdict {
    let mut verdict = Verdict::default();
    let counted = missing.iter().filter(|m| !m.exempt);
    let lost: u64 = counted.map(|m| m.lost).sum();
    let net = lost.saturating_sub(whole.new);
    let conspicuous = whole.empty || net >= FEW && net * 2 >= whole.held;
    let mut doubted = 0;
    for m in missing {
        // Trash and junk do not make half an account, but they are no surer than the rest of it.
        let doubt = (conspicuous || m.unlisted) && !whole.believe;
        for (uidvalidity, uids) in &m.uids {
            let mut rest = uids.clone();
            let mut gone = if doubt { UidSet::new() } else { uids.clone() };
            let of_mailbox =
                |d: &&Doubted| d.gone.mailbox == m.mailbox && d.gone.uidvalidity == *uidvalidity;
            for before in doubts.iter().filter(of_mailbox).filter(|_| doubt) {
                let again = before.gone.uids.intersection(&rest);
                rest = rest.difference(&again);
                if whole.now - before.since >= ANOTHER_NIGHT {
                    gone = gone.union(&again);
                } else {
                    verdict.doubt(m.mailbox, *uidvalidity, again, before.since);
                }
            }
            if doubt {
                verdict.doubt(m.mailbox, *uidvalidity, rest, whole.now);
                if conspicuous {
                    doubted += m.lost.min(uids.difference(&gone).len());
                }
            }
            if !gone.is_empty() {
                verdict.gone.push(Departure {
                    mailbox: m.mailbox,
                    uidvalidity: *uidvalidity,
                    uids: gone,
                });
            }
        }
    }
    if doubted > 0 {
        verdict.warnings.push(format!(
            "{doubted} of {} messages are no longer on the server; that is recorded and not believed until \
             another night finds the same (or --believe-deletions says so)",
            whole.held
        ));
    } else if whole.empty && !whole.believe {
        verdict
            .warnings
            .push("the server lists no mailbox at all; that is recorded, not believed".to_owned());
    }
    for m in missing.iter().filter(|m| !m.exempt && !m.unlisted) {
        // What was doubted has been told, and what was moved to another mailbox is no loss.
        let was_told = doubts.iter().any(|d| d.gone.mailbox == m.mailbox);
        let most = m.held >= FEW && m.lost * 2 > m.held && m.lost > whole.new;
        if most && !was_told && doubted == 0 && !whole.believe {
            verdict.warnings.push(format!(
                "`{}` has lost {} of {} messages since the last run; the archive keeps them",
                m.name, m.lost, m.held
            ));
        }
    }
    verdict
}

impl Verdict {
    fn doubt(&mut self, mailbox: MailboxId, uidvalidity: u32, uids: UidSet, since: i64) {
        if !uids.is_empty() {
            let gone = Departure {
                mailbox,
                uidvalidity,
                uids,
            };
            self.doubtful.push(Doubted { gone, since });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(mailbox: u32, lost: u32, held: u64) -> Missing {
        Missing {
            mailbox: MailboxId(mailbox),
            name: format!("m{mailbox}"),
            uids: vec![(7, UidSet::of_ranges([(1, lost)]))],
            held,
            lost: lost.into(),
            unlisted: false,
            exempt: false,
        }
    }

    const WHOLE: Whole = Whole {
        held: 100,
        new: 0,
        empty: false,
        believe: false,
        now: 0,
    };
    const NEXT: Whole = Whole {
        now: 86_400,
        ..WHOLE
    };

    fn gone_and_doubtful(verdict: &Verdict) -> (u64, u64) {
        let gone = verdict.gone.iter().map(|d| d.uids.len()).sum();
        let doubtful = verdict.doubtful.iter().map(|d| d.gone.uids.len());
        (gone, doubtful.sum())
    }

    #[test]
    fn half_an_account_is_believed_when_it_is_missing_again() {
        let half = [missing(1, 30, 60), missing(2, 20, 40)];
        let first = judge(&half, WHOLE, &[]);
        assert_eq!(gone_and_doubtful(&first), (0, 50));
        assert_eq!(first.warnings.len(), 1);
        // The same outage an hour later is no other night.
        let soon = Whole { now: 3600, ..WHOLE };
        let again = judge(&half, soon, &first.doubtful);
        assert_eq!(again.doubtful, first.doubtful);
        assert_eq!(again.warnings.len(), 1);
        let second = judge(&half, NEXT, &first.doubtful);
        assert_eq!(gone_and_doubtful(&second), (50, 0));
        assert!(second.warnings.is_empty(), "{:?}", second.warnings);
        // What is missing for the first time is doubted for the first time.
        let more = [missing(1, 60, 60), missing(2, 20, 40)];
        assert_eq!(
            gone_and_doubtful(&judge(&more, NEXT, &first.doubtful)),
            (50, 30)
        );
        let told = Whole {
            believe: true,
            ..WHOLE
        };
        let told = judge(&half, told, &[]);
        assert_eq!(
            (gone_and_doubtful(&told), told.warnings.len()),
            ((50, 0), 0)
        );
    }

    #[test]
    fn less_than_half_is_gone_and_a_mailbox_that_lost_most_is_named() {
        let some = judge(&[missing(1, 49, 60)], WHOLE, &[]);
        assert_eq!(gone_and_doubtful(&some), (49, 0));
        assert!(some.warnings[0].contains("`m1` has lost 49 of 60"));
        assert!(judge(&[missing(1, 30, 60)], WHOLE, &[]).warnings.is_empty());
        assert!(judge(&[missing(1, 19, 19)], WHOLE, &[]).warnings.is_empty());
    }

    #[test]
    fn what_was_moved_or_thrown_away_is_not_lost() {
        let moved = Whole { new: 60, ..WHOLE };
        let verdict = judge(&[missing(1, 60, 60)], moved, &[]);
        assert_eq!(
            (gone_and_doubtful(&verdict), verdict.warnings.len()),
            ((60, 0), 0)
        );
        let trash = Missing {
            exempt: true,
            ..missing(1, 90, 90)
        };
        let verdict = judge(&[trash], WHOLE, &[]);
        assert_eq!(
            (gone_and_doubtful(&verdict), verdict.warnings.len()),
            ((90, 0), 0)
        );
    }

    #[test]
    fn a_mailbox_that_is_not_listed_waits_for_a_second_run_and_an_empty_list_warns() {
        let unlisted = Missing {
            unlisted: true,
            ..missing(1, 5, 5)
        };
        let first = judge(std::slice::from_ref(&unlisted), WHOLE, &[]);
        assert_eq!(
            (gone_and_doubtful(&first), first.warnings.len()),
            ((0, 5), 0)
        );
        let second = judge(std::slice::from_ref(&unlisted), NEXT, &first.doubtful);
        assert_eq!(gone_and_doubtful(&second), (5, 0));
        let empty = Whole {
            empty: true,
            ..WHOLE
        };
        let verdict = judge(&[unlisted], empty, &[]);
        assert_eq!(
            (gone_and_doubtful(&verdict), verdict.warnings.len()),
            ((0, 5), 1)
        );
        assert_eq!(judge(&[], empty, &[]).warnings.len(), 1);
    }
}
