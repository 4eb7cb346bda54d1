//! `replay --to smtp://… --deliver-to`: each content once and never twice, and what is not known
//! is told.
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

use std::time::Instant;

use insta::assert_snapshot;
use serde_json::Value;
use support::archive_state::files;
use support::archived::{Archived, mailbox, named, told};
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::fake_smtp::{Delivered, FakeSmtp, Lost, Stage, World};
use support::mailstow::Ended;

const TO: &str = "archive@example.net";
/// No waits between messages but where a test is about them.
const FAST: [&str; 5] = ["--deliver-to", TO, "--yes", "--rate", "1000/s"];

fn mail(n: usize) -> Vec<u8> {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n.text {n}\r\n").into_bytes()
}

/// INBOX with 1, 2 and 1 again; `Work` with 2, 3 and 4.
fn archived() -> Archived {
    let mails: Vec<Vec<u8>> = (0..5).map(mail).collect();
    Archived::of([
        mailbox("INBOX", &[&mails[1], &mails[2], &mails[1]]),
        mailbox("Work", &[&mails[2], &mails[3], &mails[4]]),
    ])
}

fn fake() -> FakeSmtp {
    FakeSmtp::start(World::with_user("alice", PASSWORD))
}

fn deliver(archived: &Archived, server: &FakeSmtp, exit: i32, more: &[&str]) -> Value {
    archived.json(&server.url(), exit, &[&FAST, more].concat())
}

fn subjects(delivered: &[Delivered]) -> Vec<String> {
    let subject = |d: &Delivered| {
        let text = String::from_utf8_lossy(&d.bytes).into_owned();
        text.lines()
            .next()
            .unwrap_or_default()
            .replace("Subject: ", "")
    };
    let mut subjects: Vec<String> = delivered.iter().map(subject).collect();
    subjects.sort();
    subjects
}

#[test]
fn each_content_is_delivered_once_with_its_bytes_and_its_envelope() {
    let archived = archived();
    let server = fake();
    let ended = archived.replay(&server.url(), &FAST);
    assert_snapshot!(ended.expect(0).output(), @r"
    alice@127.0.0.1 to archive@example.net by alice@127.0.0.1:
    mailbox              in archive  delivered  before  excluded  refused  doubtful
    archive@example.net           6          4       0         2        0         0
      INBOX, Work go to archive@example.net
      excluded: 2 messages, forgotten or a further copy of one that goes once
      dates of arrival, flags and mailboxes do not travel by delivery, and what was delivered cannot be taken back

    complete: 4 messages (168 B) delivered.
    to send: 4 messages (168 B)
    ");
    for message in server.delivered() {
        assert_eq!((message.from.as_str(), message.to.as_str()), ("", TO));
    }
    let once: Vec<(Vec<u8>, usize)> = (1..5).map(|n| (mail(n), 1)).collect();
    assert_eq!(server.bytes().into_iter().collect::<Vec<_>>(), once);
    // Again: nothing goes out, and nothing is written.
    let page = ["--report", "report.html"];
    archived
        .replay(&server.url(), &[&FAST[..], &page].concat())
        .expect(0);
    let page = archived.mailstow.path().join("report.html");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("6 = 0 delivered + 4 delivered before + 2 excluded"),
        "{page}"
    );
    assert!(!page.contains("on the target now"), "{page}");
    let before = files(&archived.archive());
    let again = archived.replay(&server.url(), &FAST);
    assert_snapshot!(again.expect(0).output(), @r"
    alice@127.0.0.1 to archive@example.net by alice@127.0.0.1:
    mailbox              in archive  delivered  before  excluded  refused  doubtful
    archive@example.net           6          0       4         2        0         0
      INBOX, Work go to archive@example.net
      excluded: 2 messages, forgotten or a further copy of one that goes once
      dates of arrival, flags and mailboxes do not travel by delivery, and what was delivered cannot be taken back

    complete: nothing to send, 4 messages delivered before.
    nothing to send: 4 messages there already
    ");
    assert!(files(&archived.archive()) == before);
    assert_eq!(server.delivered().len(), 4);
    // What is new is sent, from whomever is named.
    let new = mail(5);
    archived.source.world().mailbox_mut("INBOX").add(&new);
    archived.backup();
    let report = deliver(&archived, &server, 0, &["--mail-from", "anna@example.org"]);
    assert_snapshot!(told(&report["total"]), @"appended 1, excluded 2, in_archive 7, there 4");
    let last = server.delivered().pop().unwrap();
    assert_eq!((last.from.as_str(), last.bytes), ("anna@example.org", new));
}

#[test]
fn a_dry_run_says_what_would_be_sent_and_refused_and_sends_nothing() {
    let long = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(999)).into_bytes();
    let hops = format!("{}Subject: hops\r\n\r\n", "Received: x\r\n".repeat(31)).into_bytes();
    let looping = b"Delivered-To: Archive@Example.NET\r\nSubject: loop\r\n\r\n";
    let archived = Archived::of([mailbox(
        "INBOX",
        &[
            &mail(1),
            b"Subject: lf\nX: y\n\nbare\n",
            b"Subject: nul\r\n\r\n\0\r\n",
            b"Subject: cr\r\n\r\na\rb\r\n",
            &long,
            b"Subject: eight\r\n\r\n\xfc\r\n",
            &hops,
            looping,
        ],
    )]);
    let server = fake();
    server.world().extensions.retain(|e| e != "8BITMIME");
    let before = files(&archived.archive());
    let dry = archived.json(&server.url(), 3, &["--deliver-to", TO, "--dry-run"]);
    assert_snapshot!(named(&dry).join("\n"), @r"
    refused archive@example.net it has 31 Received fields, which looks like a loop
    refused archive@example.net it has 8-bit text, and the server does not announce 8BITMIME
    refused archive@example.net it has a line of 999 bytes, where SMTP allows 998 (--repair long-lines breaks it)
    refused archive@example.net it has line ends that are not CRLF, which servers refuse (--repair bare-lf completes those without CR)
    refused archive@example.net it has line ends that are not CRLF, which servers refuse (--repair bare-lf completes those without CR)
    refused archive@example.net it holds NUL bytes (--repair nul replaces them)
    refused archive@example.net it was delivered to this recipient before (Delivered-To), which looks like a loop
    ");
    assert_snapshot!(told(&dry["total"]), @"appended 1, in_archive 8, refused 7");
    assert!(files(&archived.archive()) == before);
    assert!(server.said().iter().all(|line| !line.starts_with("MAIL")));
    // In earnest the same are refused, before a byte of theirs goes out.
    let report = deliver(&archived, &server, 3, &[]);
    assert_eq!(named(&report), named(&dry));
    assert_eq!(told(&report["total"]), told(&dry["total"]));
    assert_eq!(
        (subjects(&server.delivered()), server.seen()),
        (vec!["1".to_owned()], 1)
    );
    // Repairs send what can be repaired, and nothing that is refused for something else.
    server.world().extensions.push("8BITMIME".to_owned());
    let report = deliver(
        &archived,
        &server,
        3,
        &["--repair", "nul,long-lines,bare-lf"],
    );
    assert_snapshot!(named(&report).join("\n"), @r"
    refused archive@example.net it has 31 Received fields, which looks like a loop
    refused archive@example.net it has line ends that are not CRLF, which servers refuse (--repair bare-lf completes those without CR)
    refused archive@example.net it was delivered to this recipient before (Delivered-To), which looks like a loop
    repaired archive@example.net NULs became 0x80
    repaired archive@example.net bare LFs became CRLF
    repaired archive@example.net long lines were broken
    ");
    assert_eq!(
        subjects(&server.delivered()),
        ["1", "eight", "lf", "long", "nul"]
    );
}

#[test]
fn a_repaired_message_that_is_refused_for_something_else_is_not_sent() {
    let body = format!("{}Subject: x\r\n\r\n\0\r\n", "Received: x\r\n".repeat(31)).into_bytes();
    let archived = Archived::of([mailbox("INBOX", &[&body])]);
    let server = fake();
    let report = deliver(&archived, &server, 3, &["--repair", "nul"]);
    assert_snapshot!(named(&report).join("\n"), @"refused archive@example.net it has 31 Received fields, which looks like a loop");
    assert_eq!(server.seen(), 0);
}

#[test]
fn what_may_have_been_delivered_is_never_sent_again_but_on_a_persons_word() {
    for lost in [Lost::Delivered, Lost::NotDelivered] {
        let archived = archived();
        let server = fake();
        server.world().lost.insert(2, lost);
        let report = deliver(&archived, &server, 3, &[]);
        assert_eq!(
            told(&report["total"]),
            "appended 3, doubtful 1, excluded 2, in_archive 6"
        );
        let delivered = 3 + usize::from(lost == Lost::Delivered);
        assert_eq!(server.delivered().len(), delivered);
        let again = deliver(&archived, &server, 3, &[]);
        assert_eq!(
            told(&again["total"]),
            "doubtful 1, excluded 2, in_archive 6, there 3"
        );
        assert_eq!(server.delivered().len(), delivered);
        // On a person's word, and refused: the doubt is not over.
        server.world().refuse(Stage::End, "554 5.6.0 a virus", 1);
        let report = deliver(&archived, &server, 3, &["--resend-doubtful"]);
        assert_eq!(
            told(&report["total"]),
            "excluded 2, in_archive 6, refused 1, there 3"
        );
        let report = deliver(&archived, &server, 3, &[]);
        assert_eq!(
            told(&report["total"]),
            "doubtful 1, excluded 2, in_archive 6, there 3"
        );
        assert_eq!(server.delivered().len(), delivered);
        let report = deliver(&archived, &server, 0, &["--resend-doubtful"]);
        assert_eq!(
            told(&report["total"]),
            "appended 1, excluded 2, in_archive 6, there 3"
        );
        assert_eq!(server.delivered().len(), delivered + 1);
        let report = deliver(&archived, &server, 0, &["--resend-doubtful"]);
        assert_eq!(told(&report["total"]), "excluded 2, in_archive 6, there 4");
    }
}

#[test]
fn a_server_that_loses_one_answer_after_the_other_is_left() {
    let mails: Vec<Vec<u8>> = (0..12).map(mail).collect();
    let bodies: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let archived = Archived::of([mailbox("INBOX", &bodies)]);
    let server = fake();
    server.world().lost = (1..=12).map(|n| (n, Lost::NotDelivered)).collect();
    let report = deliver(&archived, &server, 6, &[]);
    assert_eq!(told(&report["total"]), "doubtful 6, in_archive 12, left 6");
}

#[test]
fn a_server_that_sends_us_away_for_now_is_tried_again_and_nothing_goes_twice() {
    let archived = archived();
    let server = fake();
    server.world().per_connection = Some(1);
    server
        .world()
        .refuse(Stage::RcptTo, "450 4.2.0 greylisted", 2);
    let report = deliver(&archived, &server, 0, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 4, excluded 2, in_archive 6"
    );
    assert_eq!(server.delivered().len(), 4);
    // For good: what is left goes with the next run.
    let archived = self::archived();
    let server = fake();
    server.world().closes_after = Some(2);
    let report = deliver(&archived, &server, 6, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 2, excluded 2, in_archive 6, left 2"
    );
    assert_snapshot!(report["error"].as_str().unwrap(), @"the server turned us away: 421 4.3.2 too much for now");
    server.world().closes_after = None;
    let report = deliver(&archived, &server, 0, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 2, excluded 2, in_archive 6, there 2"
    );
    assert_eq!(server.bytes().into_values().collect::<Vec<_>>(), [1; 4]);
}

#[test]
fn a_message_nobody_wants_does_not_stop_the_others_and_a_recipient_nobody_knows_does() {
    let archived = archived();
    let server = fake();
    server
        .world()
        .refuse(Stage::End, "554 5.6.0 a <b>virus</b>\u{1b}[2J", 1);
    let report = deliver(&archived, &server, 3, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 3, excluded 2, in_archive 6, refused 1"
    );
    assert_snapshot!(named(&report).join("\n"), @"refused archive@example.net 554 5.6.0 a <b>virus</b>\u{1b}[2J");
    // One that is put off for its own sake is tried twice, and refused for this time.
    server
        .world()
        .refuse(Stage::End, "451 4.6.0 cannot scan this", 2);
    let report = deliver(&archived, &server, 3, &[]);
    assert_eq!(
        told(&report["total"]),
        "excluded 2, in_archive 6, refused 1, there 3"
    );
    assert_eq!(deliver(&archived, &server, 0, &[])["total"]["appended"], 1);

    for (stage, reply) in [
        (Stage::RcptTo, "550 5.1.1 no such user"),
        (Stage::RcptTo, "550 no"),
        (Stage::MailFrom, "550 5.7.1 not from you"),
    ] {
        let archived = self::archived();
        let server = fake();
        server.world().refuse(stage, reply, 99);
        let report = deliver(&archived, &server, 6, &[]);
        assert_eq!(told(&report["total"]), "excluded 2, in_archive 6, left 4");
        let error = report["error"].as_str().unwrap();
        assert!(error.ends_with(reply), "{error}");
        let asked = server
            .said()
            .iter()
            .filter(|l| l.starts_with("MAIL"))
            .count();
        assert_eq!(asked, 1);
    }
}

#[test]
fn nothing_is_delivered_before_somebody_says_yes() {
    let archived = archived();
    let server = fake();
    let refused = archived.replay(&server.url(), &["--deliver-to", TO]);
    assert_snapshot!(refused.expect(2).output(), @r"
    error: every message of the archive that is chosen would be delivered to archive@example.net: dates of arrival, flags and mailboxes do not travel, and nothing can be taken back
      hint: if that is wanted, say so with --yes
    ");
    assert_eq!(server.connections(), 0);
    for (more, words) in [
        (&["--yes"][..], "required"),
        (&[][..], "nobody is named who gets it"),
        (&["--deliver-to", TO, "--yes", "--map", "a=b"], "--map"),
        (&["--deliver-to", TO, "--yes", "--rate", "0/min"], "nothing"),
        (&["--deliver-to", TO, "--yes", "--rate", "fast"], "30/min"),
    ] {
        let ended = archived.replay(&server.url(), more);
        let said = ended.expect(2).output();
        assert!(said.contains(words), "{said}");
    }
    let ended = archived.replay("imap://bob@127.0.0.1:1", &["--deliver-to", TO, "--yes"]);
    assert!(
        ended
            .expect(2)
            .stderr
            .contains("--deliver-to is for smtps://")
    );
    for address in ["no address", "a@b\r\nRCPT TO:<x@y>", "<a@b>"] {
        let ended = archived.replay(&server.url(), &["--deliver-to", address, "--yes"]);
        assert_ne!(ended.exit, Some(0), "{ended:?}");
    }
    assert_eq!(server.delivered(), []);
}

#[test]
fn a_wrong_password_a_wrong_host_and_a_source_that_is_none_are_told_at_once() {
    let archived = archived();
    let server = FakeSmtp::start(World::with_user("alice", "another"));
    let ended = archived.replay(&server.url(), &FAST);
    assert!(ended.expect(5).stderr.contains("5.7.8 wrong"), "{ended:?}");
    assert_eq!(server.sign_ins(), 1);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let nowhere = format!("smtp://alice@127.0.0.1:{port}");
    archived.replay(&nowhere, &FAST).expect(6);
    let to = archived.archive();
    let ended = archived.mailstow.backup(&server.url(), &to, &[]);
    assert!(
        ended
            .expect(2)
            .stderr
            .contains("it is only delivered there")
    );
    let via = ["--via", to.to_str().unwrap()];
    let source = archived.source.url();
    let ended = archived
        .mailstow
        .run(&[&["migrate", &source, &server.url()], &via[..]].concat());
    assert!(ended.expect(2).stderr.contains("--deliver-to"), "{ended:?}");
}

#[test]
fn messages_keep_the_distance_that_the_rate_asks_for() {
    let archived = archived();
    let server = fake();
    let begun = Instant::now();
    let rate = ["--deliver-to", TO, "--yes", "--rate", "10/s"];
    archived.json(&server.url(), 0, &rate);
    // Three times a tenth of a second lies between four messages.
    assert!(begun.elapsed().as_millis() >= 300);
    assert_eq!(server.delivered().len(), 4);
}

#[test]
fn asked_to_stop_it_ends_behind_a_message_and_goes_on_with_the_next_run() {
    let archived = archived();
    let server = fake();
    let archive = archived.archive();
    let url = server.url();
    let more = ["--deliver-to", TO, "--yes", "--rate", "1/h"];
    let args = Archived::args(archive.to_str().unwrap(), &url, &more);
    let mut running = archived.mailstow.start(&args);
    running.wait_for("appended").unwrap();
    running.signal("INT");
    let report = running.finish().expect(130).json().pop().unwrap();
    assert_eq!(
        told(&report["total"]),
        "appended 1, excluded 2, in_archive 6, left 3"
    );
    let report = deliver(&archived, &server, 0, &[]);
    assert_eq!(
        told(&report["total"]),
        "appended 3, excluded 2, in_archive 6, there 1"
    );
    assert_eq!(server.bytes().into_values().collect::<Vec<_>>(), [1; 4]);
}

/// Dies at each step there is. What was delivered is never delivered again, and what was not is
/// delivered or told as doubtful: nothing is lost in silence.
#[test]
fn killed_at_any_step_nothing_is_delivered_twice_or_lost_in_silence() {
    let archived = archived();
    let archive = archived.archive();
    let pristine = archived.mailstow.path().join("pristine");
    support::sweep::copy(&archive, &pristine);
    let run = |server: &FakeSmtp, env: &[(&str, &str)]| {
        let url = server.url();
        let more = [&FAST[..], &["--json"]].concat();
        let args = Archived::args(archive.to_str().unwrap(), &url, &more);
        let mut command = archived.mailstow.command(&args);
        Ended::of(command.envs(env.iter().copied()))
    };
    let count = archived.mailstow.path().join("steps");
    let server = fake();
    run(
        &server,
        &[("MAILSTOW_CRASH_STEPS", count.to_str().unwrap())],
    )
    .expect(0);
    let text = std::fs::read_to_string(count).unwrap();
    let steps: usize = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(steps > 20, "{steps} steps only");
    let mut doubts = 0;
    for (n, mode) in (1..=steps).flat_map(|n| [(n, "kill"), (n, "power")]) {
        std::fs::remove_dir_all(&archive).unwrap();
        support::sweep::copy(&pristine, &archive);
        let server = fake();
        let at = n.to_string();
        let mut env = vec![("MAILSTOW_CRASH_AT", at.as_str())];
        if mode == "power" {
            env.push(("MAILSTOW_CRASH_MODE", mode));
        }
        let died = run(&server, &env);
        assert_eq!(died.signal, Some(9), "step {n}, {mode}: {died:?}");
        let report = run(&server, &[]).json().pop().unwrap();
        let total = &report["total"];
        let doubtful = total["doubtful"].as_u64().unwrap();
        doubts += doubtful;
        assert!(doubtful <= 1, "step {n}, {mode}: {total:#}");
        let exit = if doubtful == 0 { 0 } else { 3 };
        assert_eq!(report["exit"], exit, "step {n}, {mode}: {report:#}");
        let times: Vec<usize> = server.bytes().into_values().collect();
        assert!(times.iter().all(|n| *n == 1), "step {n}, {mode}: twice");
        let known = times.len() as u64;
        assert!(known + doubtful >= 4, "step {n}, {mode}: lost in silence");
        let third = run(&server, &[]).json().pop().unwrap();
        assert_eq!(third["total"]["appended"], 0, "step {n}, {mode}");
        assert_eq!(third["total"]["doubtful"], doubtful, "step {n}, {mode}");
    }
    assert!(doubts > 0, "no step left a doubt, so none was looked at");
}

#[test]
fn lmtp_to_a_real_server_files_each_content_once_with_its_bytes() {
    let dovecot = Dovecot::start();
    let archived = archived();
    let url = format!("lmtp://127.0.0.1:{}", dovecot.lmtp_port());
    let more = [
        "--deliver-to",
        "alice@localhost",
        "--yes",
        "--rate",
        "1000/s",
    ];
    let report = archived.json(&url, 0, &more);
    assert_eq!(
        told(&report["total"]),
        "appended 4, excluded 2, in_archive 6"
    );
    let report = archived.json(&url, 0, &more);
    assert_eq!(told(&report["total"]), "excluded 2, in_archive 6, there 4");
    let filed = &dovecot.fetch_all(ALICE)["INBOX"];
    let mut found: Vec<usize> = Vec::new();
    for message in filed {
        let n = (1..5).find(|n| message.body.ends_with(&mail(*n)));
        found.push(n.expect("a message that was sent"));
    }
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4]);
    let nobody = ["--deliver-to", "eve@localhost", "--yes", "--rate", "1000/s"];
    let report = archived.json(&url, 6, &nobody);
    assert_eq!(told(&report["total"]), "excluded 2, in_archive 6, left 4");
}
