//! Gmail as a target: one message in many mailboxes, one APPEND, and what Gmail throws away is
//! told.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde_json::Value;
use support::archive_state::files;
use support::archived::{Archived, mailbox, named, row, told};
use support::fake_imap::FakeMailbox;
use support::fake_target::{FakeTarget, Fault, Reaction, TargetWorld};
use support::mailstow::Ended;
use support::sweep::{copy, in_parallel};

const ALL: &str = "[Gmail]/All Mail";
const SENT: &str = "[Gmail]/Sent Mail";
const TRASH: &str = "[Gmail]/Trash";

/// As Gmail shows itself, as far as it matters.
fn gmail() -> TargetWorld {
    let mut world = TargetWorld {
        greeting: "* OK Gimap ready for requests from 127.0.0.1 x1".to_owned(),
        capabilities:
            "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID CHILDREN X-GM-EXT-1 UIDPLUS MOVE \
                       LITERAL- SPECIAL-USE APPENDLIMIT=35651584"
                .to_owned(),
        append_limit: Some(35_651_584),
        gmail_dedup: true,
        drops_deleted: true,
        ..TargetWorld::default()
    };
    for (name, attributes) in [
        ("[Gmail]", "\\Noselect \\HasChildren"),
        (ALL, "\\All"),
        ("[Gmail]/Drafts", "\\Drafts"),
        (SENT, "\\Sent"),
        ("[Gmail]/Spam", "\\Junk"),
        ("[Gmail]/Starred", "\\Flagged"),
        (TRASH, "\\Trash"),
    ] {
        world.add_mailbox(name).attributes = attributes.to_owned();
    }
    world
}

fn mail(n: usize) -> Vec<u8> {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\ntext {n}\r\n").into_bytes()
}

/// With the Message-ID of another.
fn twin(n: usize) -> Vec<u8> {
    format!("Subject: twin of {n}\r\nMessage-ID: <{n}@x>\r\n\r\nother text\r\n").into_bytes()
}

fn filled(name: &str, mails: &[usize]) -> FakeMailbox {
    let mails: Vec<Vec<u8>> = mails.iter().map(|n| mail(*n)).collect();
    let bodies: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    mailbox(name, &bodies)
}

/// What the target shows, by the subjects; empty mailboxes aside.
fn shown(target: &FakeTarget) -> String {
    let world = target.world();
    let mut lines = Vec::new();
    for mailbox in world.mailboxes.iter().filter(|m| !m.messages.is_empty()) {
        let subject = |body: &[u8]| {
            let text = String::from_utf8_lossy(body).into_owned();
            text.lines().next().unwrap().replace("Subject: ", "")
        };
        let mut subjects: Vec<String> = mailbox.messages.iter().map(|m| subject(&m.body)).collect();
        subjects.sort();
        lines.push(format!("{}: {}", mailbox.wire, subjects.join(", ")));
    }
    lines.sort();
    lines.join("\n")
}

/// The rows of a report, one a line.
fn rows(report: &Value) -> String {
    let rows = report["mailboxes"].as_array().unwrap().iter();
    let rows: Vec<String> = rows
        .map(|row| format!("{}: {}", row["target"].as_str().unwrap(), told(row)))
        .collect();
    rows.join("\n")
}

/// One more run changes nothing anywhere. Gives its report.
#[track_caller]
fn again(archived: &Archived, target: &FakeTarget, exit: i32) -> Value {
    let (seen, held) = (target.contents(), files(&archived.archive()));
    target.forget();
    let report = archived.json(&target.url(), exit, &[]);
    for command in ["APPEND", "UID STORE", "UID MOVE", "CREATE"] {
        assert_eq!(
            target.count(command),
            0,
            "{command}: {:#?}",
            target.commands()
        );
    }
    assert_eq!(target.contents(), seen);
    assert!(
        files(&archived.archive()) == held,
        "the ledger was written to"
    );
    report
}

/// Messages that lie in several mailboxes, twice in one, and in Trash as well.
fn many() -> Archived {
    Archived::of([
        filled("INBOX", &[1, 2, 3]),
        filled("Work \"2024\" \\ more", &[1, 4, 4]),
        filled("Sent", &[2, 5]),
        filled("Trash", &[1, 6, 6]),
        filled("Spam", &[7, 6]),
    ])
}

const MANY: &str = r#"INBOX: 1, 2, 3
Work "2024" \ more: 1, 4
[Gmail]/All Mail: 1, 2, 3, 4, 5
[Gmail]/Sent Mail: 2, 5
[Gmail]/Spam: 6, 7"#;

#[test]
fn each_content_is_appended_once_and_shown_in_all_its_mailboxes() {
    let archived = many();
    let target = FakeTarget::start(gmail());
    let dry = archived.json(&target.url(), 0, &["--dry-run"]);
    assert_eq!(target.count("APPEND") + target.count("UID STORE"), 0);
    let report = archived.json(&target.url(), 0, &[]);
    assert_snapshot!(rows(&report), @r#"
    INBOX: appended 2, in_archive 3, labelled 1, now 3
    [Gmail]/Sent Mail: appended 2, in_archive 2, now 2
    [Gmail]/Spam: appended 2, in_archive 2, now 2
    [Gmail]/Trash: collapsed 3, in_archive 3
    Work "2024" \ more: appended 1, collapsed 1, in_archive 3, labelled 1, now 2
    "#);
    assert_snapshot!(rows(&dry), @r#"
    INBOX: appended 2, in_archive 3, labelled 1
    [Gmail]/Sent Mail: appended 2, in_archive 2
    [Gmail]/Spam: appended 2, in_archive 2
    [Gmail]/Trash: collapsed 3, in_archive 3
    Work "2024" \ more: appended 1, collapsed 1, in_archive 3, labelled 1
    "#);
    assert_eq!(shown(&target), MANY);
    assert_eq!(target.count("APPEND"), 7);
    assert_snapshot!(named(&report).join("\n"), @r#"
    collapsed Work "2024" \ more Gmail keeps one copy of a message in a mailbox
    collapsed [Gmail]/Trash it lies in another mailbox too, and Gmail would take it away from there
    collapsed [Gmail]/Trash it lies in another mailbox too, and Gmail would take it away from there
    collapsed [Gmail]/Trash it lies in another mailbox too, and Gmail would take it away from there
    "#);
    let second = again(&archived, &target, 0);
    assert_snapshot!(rows(&second), @r#"
    INBOX: before 3, in_archive 3, now 3, there 3
    [Gmail]/Sent Mail: before 2, in_archive 2, now 2, there 2
    [Gmail]/Spam: before 2, in_archive 2, now 2, there 2
    [Gmail]/Trash: collapsed 3, in_archive 3
    Work "2024" \ more: before 2, collapsed 1, in_archive 3, now 2, there 2
    "#);
    // Compared: what has no place of its own there is no message that was never sent.
    let archive = archived.archive();
    let url = target.url();
    let args = [
        "verify",
        archive.to_str().unwrap(),
        "--against",
        &url,
        "--full",
        "--json",
    ];
    let mut command = archived.mailstow.command(&args);
    let against = Ended::of(&mut command).expect(3).json().pop().unwrap();
    let sum = |key: &str| -> u64 {
        let rows = against["mailboxes"].as_array().unwrap().iter();
        rows.map(|row| row[key].as_u64().unwrap()).sum()
    };
    assert_eq!(
        ["agree", "collapsed", "never_sent"].map(sum),
        [9, 4, 0],
        "{against:#}"
    );
    let words = archived.replay(&target.url(), &[]);
    assert_snapshot!(words.expect(0).stdout, @r#"
    alice@127.0.0.1 to bob@127.0.0.1:
    mailbox             in archive  before  appended  there  collapsed  refused  doubtful  now
    INBOX                        3       3         0      3          0        0         0    3
    [Gmail]/Sent Mail            2       2         0      2          0        0         0    2
    [Gmail]/Spam                 2       2         0      2          0        0         0    2
    [Gmail]/Trash                3       0         0      0          3        0         0    0
    Work "2024" \ more           3       2         0      2          1        0         0    2
    total                       13       9         0      9          4        0         0    9
      Sent goes to [Gmail]/Sent Mail
      Spam goes to [Gmail]/Spam
      Trash goes to [Gmail]/Trash
      collapsed: 4 messages of which the target shows another copy
      collapsed 3c044bf5d5bd in [Gmail]/Trash: it lies in another mailbox too, and Gmail would take it away from there
      collapsed ae14c51a8339 in [Gmail]/Trash: it lies in another mailbox too, and Gmail would take it away from there
      collapsed ae14c51a8339 in [Gmail]/Trash: it lies in another mailbox too, and Gmail would take it away from there
      collapsed e95e7b0a87f9 in Work "2024" \ more: Gmail keeps one copy of a message in a mailbox

    complete: nothing appended, 9 were there already, 4 collapsed.

    "#);
}

#[test]
fn of_messages_with_one_message_id_what_gmail_does_not_keep_is_collapsed() {
    // The twin comes second or first, in the same mailbox or in another, of the same size or not.
    let (a, b) = (mail(1), twin(1));
    let mut c = a.clone();
    let last = c.len() - 3;
    c[last] = b'9';
    for (inbox, work) in [
        (vec![&a, &b], vec![]),
        (vec![&a], vec![&b]),
        (vec![&b], vec![&a, &b]),
        (vec![&a], vec![&c]),
        (vec![&a, &c], vec![&a, &b]),
    ] {
        let slices =
            |list: &[&Vec<u8>]| -> Vec<Vec<u8>> { list.iter().map(|b| (*b).clone()).collect() };
        let (inbox, work) = (slices(&inbox), slices(&work));
        let refs = |list: &'_ [Vec<u8>]| -> FakeMailbox {
            let bodies: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
            mailbox(
                if std::ptr::eq(list, inbox.as_slice()) {
                    "INBOX"
                } else {
                    "Work"
                },
                &bodies,
            )
        };
        let archived = Archived::of([refs(&inbox), refs(&work)]);
        let target = FakeTarget::start(gmail());
        let dry = archived.json(&target.url(), 0, &["--dry-run"]);
        let kinds: Vec<&str> = dry["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["what"].as_str().unwrap())
            .collect();
        assert!(kinds.contains(&"same-message-id"), "{kinds:?}");
        let report = archived.json(&target.url(), 0, &[]);
        let total = &report["total"];
        // Gmail keeps one of them, and shows it everywhere.
        assert_eq!(total["appended"], 1, "{total:#}");
        let contents: std::collections::BTreeSet<Vec<u8>> = ["INBOX", "Work"]
            .iter()
            .flat_map(|name| target.messages(name))
            .map(|m| m.body)
            .collect();
        assert_eq!(contents.len(), 1);
        let kept = contents.into_iter().next().unwrap();
        // What it does not keep is collapsed, mailbox by mailbox.
        for (name, held) in [("INBOX", &inbox), ("Work", &work)] {
            let others = held.iter().filter(|body| **body != kept).count();
            assert_eq!(row(&report, name)["collapsed"], others, "{name} {report:#}");
        }
        let second = again(&archived, &target, 0);
        assert_eq!(second["total"]["collapsed"], total["collapsed"]);
    }
}

#[test]
fn a_lost_answer_to_an_append_or_to_a_label_leaves_neither_a_gap_nor_a_second_copy() {
    for fault in [Fault::LoseReply, Fault::LoseBefore] {
        let archived = many();
        let target = FakeTarget::start(gmail());
        // Another one would be lost twice, and left to the next run.
        target.world().faults = [1, 3].map(|n| (n, fault.clone())).into();
        archived.json(&target.url(), 0, &[]);
        assert_eq!(shown(&target), MANY);
        again(&archived, &target, 0);
    }
    for stored in [true, false] {
        let archived = many();
        let target = FakeTarget::start(gmail());
        let mut times = 0;
        target.hook(move |command, world| {
            if command.name != "UID STORE" {
                return Reaction::Normal;
            }
            times += 1;
            if times > 2 {
                return Reaction::Normal;
            }
            if stored && command.line.contains("\\Inbox") {
                // Carried out, and never said.
                let held = world.mailbox_mut(SENT).messages[0].clone();
                let inbox = world.mailbox_mut("INBOX");
                if inbox.messages.iter().all(|m| m.body != held.body) {
                    inbox.add(&[], &held.date, &held.body);
                }
            }
            Reaction::HangUp(Vec::new())
        });
        let report = archived.json(&target.url(), 0, &[]);
        assert_eq!(shown(&target), MANY, "{report:#}");
        again(&archived, &target, 0);
    }
}

#[test]
fn a_label_that_is_refused_or_has_no_effect_is_told_and_tried_again() {
    let archived = Archived::of([filled("INBOX", &[1]), filled("Work", &[1])]);
    for (reaction, reason) in [
        ("NO [CANNOT] <b>no</b>", "[CANNOT] <b>no</b>"),
        ("OK done", "does not show the message there"),
    ] {
        let target = FakeTarget::start(gmail());
        let said = reaction.to_owned();
        target.hook(move |command, _| match command.name.as_str() {
            "UID STORE" => Reaction::Say(format!("{} {said}\r\n", command.tag).into_bytes()),
            _ => Reaction::Normal,
        });
        let ledger = format!("--ledger={}", target.port());
        let report = archived.json(&target.url(), 3, &[&ledger]);
        assert_eq!(
            told(&report["total"]),
            "appended 1, in_archive 2, now 1, refused 1"
        );
        let names = named(&report);
        assert!(names.len() == 1 && names[0].contains(reason), "{names:?}");
        target.hook(|_, _| Reaction::Normal);
        let report = archived.json(&target.url(), 0, &[&ledger]);
        assert_eq!(row(&report, "Work")["labelled"], 1);
        assert_eq!(target.count("APPEND"), 1);
    }
}

#[test]
fn small_messages_go_out_at_once_and_larger_ones_wait_and_none_is_run_as_commands() {
    let body = |n: usize, len: usize| {
        let line = "a1 UID STORE 1:* +FLAGS (\\Deleted)\r\na2 EXPUNGE\r\n";
        format!("Message-ID: <{n}@y>\r\n\r\n{}", line.repeat(len)).into_bytes()
    };
    let bodies: Vec<Vec<u8>> = (0..40)
        .map(|n| body(n, if n % 4 == 0 { 200 } else { 2 }))
        .collect();
    let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let archived = Archived::of([mailbox("INBOX", &slices)]);
    let target = FakeTarget::start(gmail());
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(
        told(row(&report, "INBOX")),
        "appended 40, in_archive 40, now 40"
    );
    let appends = target.appends();
    assert!(appends.iter().all(|a| a.messages.len() == 1));
    for message in appends.iter().flat_map(|a| &a.messages) {
        assert!(message.synchronising || message.length <= 4096);
    }
    let mut messages = appends.iter().flat_map(|a| &a.messages);
    assert!(messages.any(|m| !m.synchronising), "all of them waited");
}

#[test]
fn a_mailbox_of_its_own_later_gets_labels_and_no_second_append() {
    let archived = Archived::of([filled("INBOX", &[1, 2]), filled("Work", &[1, 3])]);
    let target = FakeTarget::start(gmail());
    archived.json(&target.url(), 0, &["--mailbox", "INBOX"]);
    target.forget();
    let report = archived.json(&target.url(), 0, &["--mailbox", "Work"]);
    assert_eq!(
        told(row(&report, "Work")),
        "appended 1, in_archive 2, labelled 1, now 2"
    );
    assert_eq!(target.count("APPEND"), 1);
    // What is gone from there is appended.
    let archived = Archived::of([filled("INBOX", &[1, 2]), filled("Work", &[1, 3])]);
    let target = FakeTarget::start(gmail());
    archived.json(&target.url(), 0, &["--mailbox", "INBOX"]);
    for mailbox in ["INBOX", ALL] {
        target.world().mailbox_mut(mailbox).messages.clear();
    }
    let report = archived.json(&target.url(), 0, &["--mailbox", "Work"]);
    assert_eq!(
        told(row(&report, "Work")),
        "appended 2, in_archive 2, now 2"
    );
}

#[test]
fn moves_at_the_source_are_moves_there_but_never_take_a_message_from_another_mailbox() {
    let archived = Archived::of([
        filled("INBOX", &[1, 2, 3]),
        filled("Work", &[1]),
        filled("Trash", &[]),
        filled("New", &[]),
    ]);
    let target = FakeTarget::start(gmail());
    archived.json(&target.url(), 0, &[]);
    {
        let mut source = archived.source.world();
        source.mailbox_mut("INBOX").expunge(&[1, 2, 3]);
        for n in [1, 2] {
            source.mailbox_mut("Trash").add(&mail(n)).flags.clear();
        }
        source.mailbox_mut("New").add(&mail(3)).flags.clear();
    }
    archived.backup();
    target.forget();
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(target.count("UID MOVE"), 2);
    assert_eq!(target.count("APPEND") + target.count("UID STORE"), 0);
    assert_snapshot!(rows(&report), @r"
    INBOX: before 3, moved_out 2, now 1
    New: in_archive 1, moved_in 1, now 1
    [Gmail]/Trash: collapsed 1, in_archive 2, moved_in 1, now 1
    Work: before 1, in_archive 1, now 1, there 1
    ");
    // 1 stays in INBOX, as a deletion would: in Trash it would be gone from Work.
    assert_snapshot!(shown(&target), @r"
    INBOX: 1
    New: 3
    Work: 1
    [Gmail]/All Mail: 1, 2, 3
    [Gmail]/Trash: 2
    ");
    again(&archived, &target, 0);
}

#[test]
fn marks_of_deletion_do_not_travel_and_other_flags_are_set_once() {
    let mut inbox = filled("INBOX", &[1, 2]);
    inbox.message(1).flags = "\\Seen \\Deleted".to_owned();
    inbox.message(2).flags = "\\Flagged".to_owned();
    let archived = Archived::of([inbox, filled("Work", &[1])]);
    let target = FakeTarget::start(gmail());
    archived.json(&target.url(), 0, &["--keep-deleted"]);
    let flags = |name: &str| -> Vec<Vec<String>> {
        target.messages(name).into_iter().map(|m| m.flags).collect()
    };
    assert_eq!(flags("INBOX"), [vec!["\\Seen"], vec!["\\Flagged"]]);
    again(&archived, &target, 0);
    // A flag that changes at the source changes there.
    archived.source.world().message(2).flags = "\\Flagged \\Answered".to_owned();
    archived.backup();
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(report["total"]["flags_set"], 1);
    again(&archived, &target, 0);
}

#[test]
fn what_only_all_mail_has_at_a_gmail_source_is_archived_mail_at_the_target() {
    let with = |mut mailbox: FakeMailbox, attributes: &str| {
        mailbox.attributes = attributes.to_owned();
        mailbox
    };
    let archived = Archived::of([
        filled("INBOX", &[1]),
        with(filled("[Gmail]/Alle Nachrichten", &[1, 2, 3, 4]), "\\All"),
        with(filled("[Gmail]/Gesendet", &[3]), "\\Sent"),
        with(filled("[Gmail]/Markiert", &[2]), "\\Flagged"),
        with(filled("[Gmail]/Papierkorb", &[9]), "\\Trash"),
    ]);
    let target = FakeTarget::start(gmail());
    let report = archived.json(&target.url(), 0, &[]);
    assert_snapshot!(rows(&report), @r"
    INBOX: appended 1, in_archive 1, now 1
    [Gmail]/Sent Mail: appended 1, in_archive 1, now 1
    [Gmail]/Trash: appended 1, in_archive 1, now 1
    [Gmail]/All Mail: appended 2, in_archive 2, now 4, shown 2
    ");
    assert_snapshot!(shown(&target), @r"
    INBOX: 1
    [Gmail]/All Mail: 1, 2, 3, 4
    [Gmail]/Sent Mail: 3
    [Gmail]/Trash: 9
    ");
    assert_eq!(target.count("APPEND"), 5);
    again(&archived, &target, 0);
    // Copied whole, All Mail needs no label: it shows everything by itself.
    let target = FakeTarget::start(gmail());
    let more = ["--virtual", "--ledger=whole"];
    let report = archived.json(&target.url(), 0, &more);
    assert_snapshot!(rows(&report), @r"
    INBOX: appended 1, in_archive 1, now 1
    [Gmail]/All Mail: appended 1, in_archive 4, labelled 3, now 4
    [Gmail]/Sent Mail: appended 1, in_archive 1, now 1
    [Gmail]/Starred: appended 1, in_archive 1, now 1
    [Gmail]/Trash: appended 1, in_archive 1, now 1
    ");
    assert_eq!(target.count("APPEND"), 5);
    let report = archived.json(&target.url(), 0, &more);
    assert_eq!(report["total"]["there"], 8);
}

#[test]
fn what_is_refused_is_refused_in_all_its_mailboxes_and_tried_again() {
    let archived = Archived::of([filled("INBOX", &[1, 2]), filled("Work", &[1, 2])]);
    let target = FakeTarget::start(gmail());
    target.world().refuse_body = Some(Box::new(|body: &[u8]| {
        let is_one = body.starts_with(b"Subject: 1");
        is_one.then(|| "NO [CANNOT] a virus".to_owned())
    }));
    let report = archived.json(&target.url(), 3, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 1, in_archive 4, labelled 1, now 2, refused 2"
    );
    target.world().refuse_body = None;
    let report = archived.json(&target.url(), 0, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 1, before 2, in_archive 4, labelled 1, now 4, there 2"
    );
}

#[test]
fn a_migration_brings_the_same_pass_after_pass() {
    let archived = many();
    let target = FakeTarget::start(gmail());
    let archive = archived.mailstow.path().join("via");
    let (from, to, via) = (
        archived.source.url(),
        target.url(),
        archive.to_str().unwrap(),
    );
    let args = ["migrate", &from, &to, "--via", via];
    let migrate = || Ended::of(&mut archived.mailstow.command(&args));
    migrate().expect(0);
    assert_eq!(shown(&target), MANY);
    archived.source.world().mailbox_mut("INBOX").add(&mail(8));
    archived.source.world().mailbox_mut("Sent").add(&mail(8));
    target.forget();
    migrate().expect(0);
    assert_eq!((target.count("APPEND"), target.count("UID STORE")), (1, 1));
    target.forget();
    migrate().expect(0);
    assert_eq!(target.count("APPEND") + target.count("UID STORE"), 0);
}

/// Dies at each step there is: the same command again ends with what an uninterrupted one shows,
/// with one copy of each message, and once more it changes nothing.
#[test]
fn killed_at_any_step_it_ends_as_if_it_had_not_been() {
    let archived = Archived::of([
        mailbox("INBOX", &[&mail(1), &mail(2), &twin(1)]),
        filled("Work", &[1, 2, 4]),
        filled("Sent", &[2]),
        filled("Trash", &[1, 6]),
    ]);
    let run = |target: &FakeTarget, archive: &str, env: &[(&str, &str)]| {
        let url = target.url();
        let more = ["--json", "--target-connections", "1"];
        let mut command = archived
            .mailstow
            .command(&Archived::args(archive, &url, &more));
        Ended::of(command.envs(env.iter().copied()))
    };
    let path = |name: &str| archived.mailstow.path().join(name);
    let count = path("steps");
    let target = FakeTarget::start(gmail());
    copy(&archived.archive(), &path("whole"));
    let env = [("MAILSTOW_CRASH_STEPS", count.to_str().unwrap())];
    let whole = run(&target, path("whole").to_str().unwrap(), &env);
    let whole = whole.expect(0).json().pop().unwrap();
    let booked = |report: &Value| -> BTreeMap<String, u64> {
        let rows = report["mailboxes"].as_array().unwrap().iter();
        rows.map(|row| {
            (
                row["target"].to_string(),
                row["collapsed"].as_u64().unwrap(),
            )
        })
        .collect()
    };
    // One in Trash, and a twin.
    assert_eq!(whole["total"]["collapsed"], 2);
    let (want, collapsed) = (shown(&target), booked(&whole));
    let text = std::fs::read_to_string(count).unwrap();
    let steps: usize = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(steps > 30, "{steps} steps only");
    let deaths: Vec<usize> = (2..2 * steps + 2).collect();
    in_parallel(&deaths, |death| {
        let (n, power) = (death / 2, death % 2 == 1);
        let at = format!("step {n}, power {power}");
        let archive = path(&format!("a{death}"));
        copy(&archived.archive(), &archive);
        let target = FakeTarget::start(gmail());
        let crash_at = n.to_string();
        let mut env = vec![("MAILSTOW_CRASH_AT", crash_at.as_str())];
        if power {
            env.push(("MAILSTOW_CRASH_MODE", "power"));
        }
        let archive = archive.to_str().unwrap();
        let died = run(&target, archive, &env);
        assert_eq!(died.signal, Some(9), "{at}: {died:?}");
        let report = run(&target, archive, &[]).expect(0).json().pop().unwrap();
        assert_eq!(report["adds_up"], true, "{at}: {report:#}");
        assert_eq!(shown(&target), want, "{at}");
        assert_eq!(booked(&report), collapsed, "{at}");
        let held = files(std::path::Path::new(archive).join("replay").as_path());
        target.forget();
        let third = run(&target, archive, &[]).expect(0).json().pop().unwrap();
        assert_eq!(booked(&third), collapsed, "{at}");
        for command in ["APPEND", "UID STORE", "UID MOVE"] {
            assert_eq!(target.count(command), 0, "{at}: third run");
        }
        let now = files(std::path::Path::new(archive).join("replay").as_path());
        assert!(now == held, "{at}: the third run wrote to the ledger");
    });
}
