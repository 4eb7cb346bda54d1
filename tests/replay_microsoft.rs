//! Microsoft's servers as a target: what they refuse, and what they do to flags.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use insta::assert_snapshot;
use support::archived::{Archived, mailbox, named, told};
use support::fake_target::{FakeTarget, Fault, TargetWorld};

/// As Exchange Online shows itself: no special uses, no MULTIAPPEND, and a BAD for long lines,
/// where it would go on to read the message as commands.
fn microsoft() -> TargetWorld {
    TargetWorld {
        greeting: "* OK The Microsoft Exchange IMAP4 service is ready. [TABYAD]".to_owned(),
        capabilities: "IMAP4rev1 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"
            .to_owned(),
        case_insensitive: true,
        max_line: Some(10_239),
        ..TargetWorld::default()
    }
}

fn mail(n: usize, line: usize) -> Vec<u8> {
    let text = "x".repeat(line);
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n{text}\r\n").into_bytes()
}

#[test]
fn a_flag_is_set_once_the_message_is_there_and_a_mark_everybody_would_see_stays_behind() {
    let mut inbox = mailbox("INBOX", &[&mail(1, 9), &mail(2, 9), &mail(3, 9)]);
    inbox.message(1).flags = "\\Seen \\Flagged $MDNSent".to_owned();
    inbox.message(2).flags = "\\Flagged".to_owned();
    let archived = Archived::of([inbox]);
    let target = FakeTarget::start(microsoft());
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(told(&report["total"]), "appended 3, in_archive 3, now 3");
    assert_snapshot!(named(&report).join("\n"), @"without-keywords INBOX $MDNSent");
    let appended = target.appends();
    let appended = appended.iter().flat_map(|a| &a.messages);
    for message in appended {
        assert!(
            !message
                .flags
                .iter()
                .any(|f| f == "\\Flagged" || f == "$MDNSent")
        );
    }
    let flags = |target: &FakeTarget| -> Vec<String> {
        let messages = target.messages("INBOX").into_iter();
        let mut flags: Vec<String> = messages.map(|m| m.flags.join(" ")).collect();
        flags.sort();
        flags
    };
    assert_eq!(flags(&target), ["", "\\Flagged", "\\Seen \\Flagged"]);
    // Once more: nothing is sent, and no flag set again.
    target.forget();
    let again = archived.json(&target.url(), 0, &[]);
    assert_eq!(
        told(&again["total"]),
        "before 3, in_archive 3, now 3, there 3"
    );
    assert_eq!(target.count("APPEND") + target.count("UID STORE"), 0);
}

#[test]
fn a_flag_is_set_also_where_the_answer_to_the_append_was_lost_or_tells_no_uid() {
    let mut inbox = mailbox("INBOX", &[&mail(1, 9), &mail(2, 9)]);
    inbox.message(1).flags = "\\Flagged".to_owned();
    inbox.message(2).flags = "\\Flagged".to_owned();
    let archived = Archived::of([inbox]);
    // Nor are UIDs told in the second case: QUIRK(Exchange, 2010).
    for (world, faults) in [
        (microsoft(), vec![(1, Fault::LoseReply)]),
        (microsoft().without("UIDPLUS"), Vec::new()),
    ] {
        let target = FakeTarget::start(world);
        target.world().faults = faults.into_iter().collect();
        archived.json(&target.url(), 0, &[&format!("--ledger={}", target.port())]);
        let messages = target.messages("INBOX");
        assert_eq!(messages.len(), 2);
        assert!(
            messages.iter().all(|m| m.flags == ["\\Flagged"]),
            "{messages:?}"
        );
    }
}

#[test]
fn lines_that_are_refused_are_known_before_and_sent_repaired_on_a_persons_word() {
    let archived = Archived::of([mailbox(
        "INBOX",
        &[&mail(1, 9_900), &mail(2, 9_901), &mail(3, 20_000)],
    )]);
    let target = FakeTarget::start(microsoft());
    let dry = archived.json(&target.url(), 3, &["--dry-run"]);
    assert_snapshot!(named(&dry).join("\n"), @r"
    refused INBOX it has a line of 20000 bytes, which Microsoft's servers refuse (--repair long-lines sends a copy with shorter lines)
    refused INBOX it has a line of 9901 bytes, which Microsoft's servers refuse (--repair long-lines sends a copy with shorter lines)
    ");
    let report = archived.json(&target.url(), 3, &[]);
    assert_eq!(named(&report), named(&dry));
    assert_eq!(
        told(&report["total"]),
        "appended 1, in_archive 3, now 1, refused 2"
    );
    assert_eq!(target.count("APPEND"), 1);
    let report = archived.json(&target.url(), 0, &["--repair", "long-lines"]);
    assert_eq!(
        told(&report["total"]),
        "appended 2, before 1, in_archive 3, now 3, there 1"
    );
    let longest = |body: &[u8]| body.split(|b| *b == b'\n').map(<[u8]>::len).max();
    let messages = target.messages("INBOX");
    assert!(
        messages
            .iter()
            .skip(1)
            .all(|m| longest(&m.body) <= Some(999))
    );
    // What was sent repaired is known again without that word.
    target.forget();
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(report["total"]["there"], 3);
    assert_eq!(target.count("APPEND"), 0);
    // A repair of something else leaves the line as it is, and the message here.
    let archived = Archived::of([mailbox(
        "INBOX",
        &[&[&mail(1, 9_999)[..], b"\0\r\n"].concat()],
    )]);
    let target = FakeTarget::start(microsoft());
    let report = archived.json(&target.url(), 3, &["--repair", "nul"]);
    assert_eq!(told(&report["total"]), "in_archive 1, refused 1");
    assert_eq!(target.count("APPEND"), 0);
}

#[test]
fn a_line_that_turns_out_to_be_too_long_costs_that_message_alone() {
    let archived = Archived::of([mailbox(
        "INBOX",
        &[&mail(1, 9), &mail(2, 8_000), &mail(3, 9), &mail(4, 9)],
    )]);
    let target = FakeTarget::start(TargetWorld {
        max_line: Some(7_000),
        ..microsoft()
    });
    let report = archived.json(&target.url(), 3, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 3, in_archive 4, now 3, refused 1"
    );
    assert_snapshot!(named(&report).join("\n"), @"refused INBOX a line of 8000 bytes");
}

#[test]
fn requests_for_receipts_are_disarmed_on_a_persons_word() {
    let body = b"Disposition-Notification-To: a@x\r\nSubject: 1\r\nMessage-ID: <1@x>\r\n\r\nx\r\n";
    let archived = Archived::of([mailbox("INBOX", &[body])]);
    let target = FakeTarget::start(microsoft());
    let report = archived.json(&target.url(), 0, &["--disarm-receipts"]);
    assert_snapshot!(named(&report).join("\n"), @"repaired INBOX requests for receipts were disarmed");
    let sent = String::from_utf8(target.messages("INBOX").pop().unwrap().body).unwrap();
    assert!(
        sent.starts_with("X-Disarmed-Disposition-Notification-To: a@x\r\n"),
        "{sent}"
    );
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(report["total"]["there"], 1);
}
