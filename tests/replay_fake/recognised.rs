//! Mail that is on the target, looks another way there or is not shown, and must be neither
//! doubled nor lost.

use super::*;
use support::fake_imap::FakeMailbox;
use support::fake_target::Reaction;
use support::odd_mail::put;

const DATE: &str = "01-Feb-2024 10:00:00 +0000";

/// An archive with these in INBOX.
fn archived(bodies: &[&[u8]]) -> Archived {
    let mut inbox = FakeMailbox::new("INBOX");
    for body in bodies {
        put(&mut inbox, "", DATE, body);
    }
    Archived::of(World::with([inbox]))
}

/// A target with these in INBOX.
fn target(bodies: &[&[u8]]) -> FakeTarget {
    let mut world = TargetWorld::default();
    for body in bodies {
        world.mailbox_mut("INBOX").add(&[], DATE, body);
    }
    FakeTarget::start(world)
}

#[test]
fn fields_that_a_target_adds_where_they_are_missing_double_nothing() {
    let bodies: [&[u8]; 4] = [
        b"Subject: no date\r\nFrom: me@x\r\n\r\none\r\n",
        b"Message-ID: <2@x>\r\nSubject: with an id\r\n\r\ntwo\r\n",
        b"X-Other: field\r\n\r\nthree\r\n",
        b"Subject: no date\r\nFrom: me@x\r\n\r\nanother one\r\n",
    ];
    let added = b"Message-ID: <given@target>\r\nDate: Fri, 1 Mar 2024 10:00:00 +0000\r\n";
    let dated = b"Date: Fri, 1 Mar 2024 10:00:00 +0000\r\nFrom: target@x\r\n";
    let there = [
        [&added[..], bodies[0]].concat(),
        [&dated[..], bodies[1]].concat(),
        [&added[..], &dated[38..], b"Subject: \r\n", bodies[2]].concat(),
    ];
    let there: Vec<&[u8]> = there.iter().map(Vec::as_slice).collect();
    let (archived, target) = (archived(&bodies), target(&there));
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "there"), 3, "{report:#}");
    assert_eq!(total(&report, "appended"), 1, "{report:#}");
}

#[test]
fn copies_that_were_repaired_on_their_way_are_known_again() {
    let long = [b"Subject: long\r\n\r\n", &b"word ".repeat(400)[..], b"\r\n"].concat();
    let bodies: [&[u8]; 2] = [
        b"Subject: receipt\r\nDisposition-Notification-To: me@x\r\n\r\none\r\n",
        &long,
    ];
    let (archived, target) = (archived(&bodies), target(&[]));
    let repairs = ["--disarm-receipts", "--repair", "long-lines"];
    archived.replay(&target, 0, &repairs);
    assert!(
        !target
            .messages("INBOX")
            .iter()
            .any(|m| bodies.contains(&&*m.body))
    );
    std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
    let report = archived.replay(&target, 0, &repairs);
    assert_eq!(total(&report, "there"), 2, "{report:#}");
    assert_eq!(target.messages("INBOX").len(), 2);
}

#[test]
fn what_the_target_holds_and_does_not_show_is_not_taken_for_missing() {
    let body: &[u8] = b"Message-ID: <1@x>\r\nSubject: s\r\n\r\none\r\n";
    let large = [b"Subject: large\r\n\r\n", &b"words\r\n".repeat(4_000)[..]].concat();
    for (what, silent, doubtful) in [
        ("no header comes", "HEADER.FIELDS", 1),
        ("no row comes", "RFC822.SIZE", 2),
    ] {
        let (archived, target) = (archived(&[body, &large]), target(&[body]));
        target.hook(move |command, _| match command.line.contains(silent) {
            true => Reaction::say("TAG OK done\r\n"),
            false => Reaction::Normal,
        });
        let report = archived.replay(&target, 3, &[]);
        assert_eq!(total(&report, "doubtful"), doubtful, "{what}: {report:#}");
        assert_eq!(total(&report, "appended"), 2 - doubtful, "{what}");
        let notes = row(&report, "INBOX")["notes"].to_string();
        assert!(notes.contains("1 of its messages"), "{what}: {report:#}");
    }
}
