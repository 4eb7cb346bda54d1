use super::*;
use crate::model::UidSet;

/// Three messages in the archive, all of them on the target.
fn row(change: impl Fn(&mut TargetMailbox)) -> TargetMailbox {
    let mut row = TargetMailbox::new("INBOX".to_owned(), Vec::new(), PlaceState::Compared);
    (row.in_archive, row.agree, row.on_target) = (3, 3, 3);
    change(&mut row);
    row
}

fn report(rows: Vec<TargetMailbox>) -> TargetReport {
    TargetReport {
        account: "a".to_owned(),
        server: "a@h".to_owned(),
        ending: Ending::Complete,
        error: None,
        mailboxes: rows,
        headers: 0,
        bodies: BodiesReport::default(),
        messages: Vec::new(),
        noted: Vec::new(),
        damaged: 0,
        received: 0,
    }
}

fn one() -> Names {
    Names::Uids(UidSet::from_iter([7]))
}

#[test]
fn whatever_is_missing_or_another_is_exit_3_and_what_else_is_there_is_not() {
    type Change = fn(&mut TargetMailbox);
    let table: [(Change, u8); 18] = [
        (|_| {}, 0),
        (|r| (r.agree, r.differ) = (2, 1), 3),
        (|r| (r.agree, r.unproven) = (2, 1), 3),
        (|r| (r.agree, r.on_target, r.removed) = (2, 2, 1), 3),
        (|r| (r.agree, r.on_target, r.refused) = (2, 2, 1), 3),
        (|r| (r.agree, r.on_target, r.collapsed) = (2, 2, 1), 3),
        (|r| (r.agree, r.on_target, r.never_sent) = (2, 2, 1), 3),
        (|r| (r.agree, r.on_target, r.doubtful) = (2, 2, 1), 3),
        (|r| (r.agree, r.on_target, r.open) = (2, 2, 1), 3),
        // A number that lost its message.
        (|r| (r.agree, r.on_target) = (2, 2), 3),
        (|r| r.on_target = 4, 3),
        (|r| (r.on_target, r.others) = (4, one()), 0),
        (|r| (r.on_target, r.left_over) = (4, one()), 0),
        (|r| (r.dates, r.flags) = (one(), one()), 0),
        (|r| r.state = PlaceState::NotThere, 3),
        (|r| r.state = PlaceState::Failed, 3),
        (|r| r.state = PlaceState::NotReached, 3),
        (|r| (r.state, r.on_target) = (PlaceState::LeftOut, 0), 0),
    ];
    for (n, (change, exit)) in table.into_iter().enumerate() {
        assert_eq!(report(vec![row(change)]).exit(), exit, "row {n}");
    }
}

#[test]
fn the_gravest_finding_decides() {
    let with = |change: fn(&mut TargetReport)| {
        let mut report = report(vec![row(|r| (r.agree, r.differ) = (2, 1))]);
        change(&mut report);
        report.exit()
    };
    assert_eq!(with(|_| {}), 3);
    assert_eq!(with(|r| r.ending = Ending::Interrupted), 130);
    assert_eq!(with(|r| r.ending = Ending::ServerLost), 6);
    assert_eq!(with(|r| r.damaged = 1), 7);
    let both = |r: &mut TargetReport| {
        (r.bodies.unreadable, r.ending) = (1, Ending::ServerLost);
    };
    assert_eq!(with(both), 7);
}

#[test]
fn a_thousand_messages_of_a_kind_are_named_and_all_are_counted() {
    let mut report = report(Vec::new());
    for what in [Lack::Removed, Lack::Differs] {
        for n in 0..1001u32 {
            report.note(LackNote {
                what,
                mailbox: "INBOX".to_owned(),
                content: "c".to_owned(),
                remote: n.to_string(),
                uid: None,
                reason: String::new(),
            });
        }
    }
    assert_eq!(report.count(Lack::Removed), 1001);
    assert_eq!(report.count(Lack::Refused), 0);
    assert_eq!(report.messages.len(), 2000);
}
