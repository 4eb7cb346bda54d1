//! What happens to APPENDs that a test has singled out, and to whole connections.

use std::io::ErrorKind;
use std::time::Instant;

use super::*;
use support::fake_target::{Fault, Refuse};

fn wait_for_messages(fake: &FakeTarget, count: usize) {
    let started = Instant::now();
    while fake.messages("INBOX").len() != count {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "they never come"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_fault_befalls_the_append_with_its_number_and_no_other() {
    let no = |words: &str| words.to_owned();
    for (fault, last, stored) in [
        (Fault::LoseReply, "", 2),
        (Fault::LoseBefore, "", 0),
        (Fault::No(no("[INUSE] busy")), "a NO [INUSE] busy", 0),
        (Fault::Bye(no("maintenance")), "* BYE maintenance", 2),
        (Fault::ByeBefore(no("maintenance")), "* BYE maintenance", 0),
        (Fault::Cut(0), "", 0),
        (Fault::Cut(4), "", 0),
        (Fault::Cut(6), "", 0),
        (
            Fault::Cut(7),
            "a OK [APPENDUID 1700000000 2:3] Append completed",
            2,
        ),
    ] {
        let mut world = TargetWorld::default();
        world.faults.insert(2, fault.clone());
        let (fake, mut raw) = start(world);
        assert!(raw.append("INBOX", &[("", b"one")]).starts_with("OK"));
        raw.say(appending("a", "INBOX", &[("", b"two"), ("", b"2.5")]));
        assert_eq!(raw.line(), last, "{fault:?}");
        if !last.starts_with("a ") {
            assert_eq!(raw.line(), "", "{fault:?} closes");
        }
        assert_eq!(fake.messages("INBOX").len(), 1 + stored, "{fault:?}");
        let second = &fake.appends()[1];
        assert_eq!((second.number, second.uids.len()), (2, stored), "{fault:?}");
        assert_eq!(second.answer.is_some(), last.starts_with("a "), "{fault:?}");
        // Counted over all connections.
        let mut raw = Raw::sign_in(&fake);
        assert!(raw.append("INBOX", &[("", b"three")]).starts_with("OK"));
        assert_eq!(fake.messages("INBOX").len(), 2 + stored, "{fault:?}");
        assert_eq!((fake.connections(), fake.appends()[2].number), (2, 3));
    }
}

#[test]
fn what_is_stored_late_is_not_there_at_first() {
    let (fake, mut raw) = start(TargetWorld::default());
    // Long enough for a look in between, on however slow a machine.
    let later = Duration::from_millis(1500);
    fake.world().faults.insert(1, Fault::StoreLate(later));
    let sent = Instant::now();
    assert_eq!(raw.append("INBOX", &[("", b"late"), ("", b"too")]), "");
    let mut other = Raw::sign_in(&fake);
    let status = other.look("STATUS INBOX (MESSAGES UIDNEXT)");
    if sent.elapsed() < later {
        assert_eq!(status.0, ["* STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 1)"]);
    }
    wait_for_messages(&fake, 2);
    assert!(sent.elapsed() >= later);
}

#[test]
fn a_stalled_append_is_never_answered_and_never_closed() {
    let (fake, mut raw) = start(TargetWorld::default());
    fake.world().faults.insert(1, Fault::StallForever);
    raw.say(appending("a", "INBOX", &[("", b"x")]));
    raw.say("b NOOP\r\n");
    let patience = Some(Duration::from_millis(300));
    raw.0.get_ref().set_read_timeout(patience).unwrap();
    let error = raw.0.read_until(b'\n', &mut Vec::new()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    assert!(fake.messages("INBOX").is_empty());
    let other = Raw::sign_in(&fake).append("INBOX", &[("", b"y")]);
    assert!(other.starts_with("OK"), "{other}");
}

#[test]
fn a_bad_to_a_head_counts_and_the_next_append_is_well() {
    let (fake, mut raw) = start(TargetWorld::default());
    fake.world()
        .faults
        .insert(1, Fault::Bad("parse error".to_owned()));
    assert_eq!(raw.append_waiting("INBOX ", b"x"), "BAD parse error");
    assert!(raw.append_waiting("INBOX ", b"x").starts_with("OK"));
    assert_eq!(fake.messages("INBOX").len(), 1);
}

#[test]
fn mailboxes_are_numbered_anew_behind_an_append_and_open_ones_are_closed() {
    let (fake, mut raw) = start(TargetWorld::with(&["Other"]));
    let date = "01-Feb-2024 00:00:00 +0000";
    fake.world().mailbox_mut("Other").uidnext = 7;
    fake.world().mailbox_mut("Other").add(&[], date, b"x");
    fake.world().renumber_after = Some(2);
    let mut reader = Raw::sign_in(&fake);
    assert_eq!(reader.ask("EXAMINE Other"), "OK [READ-ONLY] open");
    assert!(
        raw.append("Other", &[("", b"y")])
            .contains(" 1700000001 8]")
    );
    assert_eq!(
        reader.look("NOOP"),
        (vec!["* 2 EXISTS".to_owned()], "OK".to_owned())
    );
    assert!(
        raw.append("Other", &[("", b"z")])
            .contains(" 1700000001 9]")
    );
    let (lines, _) = raw.look("STATUS Other (MESSAGES UIDNEXT UIDVALIDITY)");
    let status = "* STATUS \"Other\" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1700000003)";
    assert_eq!(lines, [status]);
    let (lines, tagged) = reader.look("UID FETCH 7:9 (FLAGS)");
    assert_eq!(lines, ["* BYE the mailbox has been renumbered"]);
    assert_eq!(tagged, "");
}

#[test]
fn sessions_too_many_are_refused_and_those_that_end_make_room() {
    let (fake, first) = start(TargetWorld::default());
    for (how, greeting, sign_in) in [
        (Refuse::Silently, "", ""),
        (
            Refuse::Greeting("* BYE too many".to_owned()),
            "* BYE too many",
            "",
        ),
        (
            Refuse::SignIn("NO [LIMIT] too many".to_owned()),
            "* OK ready",
            "NO [LIMIT] too many",
        ),
    ] {
        fake.world().sessions = Some((1, how));
        let mut second = Raw::connect(&fake);
        assert_eq!(second.line(), greeting);
        assert_eq!(second.ask("LOGIN bob x"), sign_in);
    }
    let mut first = first;
    assert_eq!(first.look("LOGOUT").1, "OK");
    // The server has closed: the session is over, though the client still holds its end.
    assert_eq!(first.line(), "");
    fake.world().sessions = Some((2, Refuse::Silently));
    drop(Raw::sign_in(&fake));
}

#[test]
fn answers_are_late_together_and_not_one_after_the_other() {
    let (fake, mut raw) = start(TargetWorld::default());
    fake.world().latency = Duration::from_millis(200);
    let started = Instant::now();
    raw.say("a NOOP\r\n".repeat(20));
    for _ in 0..20 {
        assert_eq!(raw.line(), "a OK");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_millis(20 * 200 / 2), "{took:?}");
    // A literal that waits costs a round trip of its own.
    let started = Instant::now();
    assert!(raw.append_waiting("INBOX ", b"x").starts_with("OK"));
    assert!(started.elapsed() >= Duration::from_millis(400));
}
