//! Replays that are stopped, hindered, or not alone: what was sent stays sent, and the same
//! command again ends it.
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

use std::path::Path;

use support::archive_state::{assert_sound, files};
use support::corpora::{corpora, unpacked};
use support::disk::Disk;
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::mailstow::Mailstow;
use support::raw_imap::Mail;
use support::replayed::{assert_nothing_to_do, assert_same_mail, happened, wanted};
use support::sweep_replay::target_state;

const BOB: &str = "bob";
/// At this rate the mail below takes many seconds: whoever saw something appended is in the
/// middle.
const SLOWLY: &[&str] = &["--target-connections", "1", "--target-limit-rate", "100k"];

fn mailstow() -> Mailstow {
    Mailstow::new()
        .with("MAILSTOW_TARGET_PASSWORD", PASSWORD)
        .with("MAILSTOW_TEST_SETTLE_MS", "20")
}

/// 400 messages of 3 kB that differ from each other, in two mailboxes.
fn deliver(dovecot: &Dovecot) {
    for mailbox in ["INBOX", "Sent"] {
        let body = |n: usize| {
            let line = format!("{mailbox} {n} {}\r\n", "x".repeat(n % 50));
            format!("Subject: {n}\r\n\r\n{}", line.repeat(3000 / line.len()))
        };
        let bodies: Vec<String> = (0..200).map(body).collect();
        let mails: Vec<Mail<'_>> = bodies
            .iter()
            .map(|body| Mail {
                bytes: body.as_bytes(),
                flags: &["\\Seen"],
                received: Some("07-Feb-2024 21:52:25 +0100"),
            })
            .collect();
        dovecot.deliver_all(ALICE, mailbox, &mails);
    }
}

fn filled_with(options: &[&str]) -> Dovecot {
    let mut dovecot = Dovecot::start_with(options);
    dovecot.add_user(BOB, PASSWORD);
    deliver(&dovecot);
    dovecot
}

fn backed_up() -> (Dovecot, Mailstow) {
    let (dovecot, mailstow) = (filled_with(&[]), mailstow());
    backup(&dovecot, &mailstow, &mailstow.archive());
    (dovecot, mailstow)
}

fn backup(dovecot: &Dovecot, mailstow: &Mailstow, archive: &Path) {
    mailstow.backup(&dovecot.url(ALICE), archive, &[]).expect(0);
}

fn stopped_by(signal: &str, exit: i32) {
    let (dovecot, mailstow) = backed_up();
    let (url, archive) = (dovecot.url(BOB), mailstow.archive());
    let args = [&["replay", archive.to_str().unwrap(), "--to", &url], SLOWLY].concat();
    let mut running = mailstow.start(&args);
    assert!(running.wait_for("appended").is_some());
    running.signal(signal);
    let ended = running.finish();
    ended.expect(exit);
    let report = ended.replayed();
    assert_eq!(report["ending"], "interrupted", "{report:#}");
    let part = report["total"]["appended"].as_u64().unwrap();
    assert!((1..400).contains(&part), "{part} of 400 messages");
    assert_eq!(report["total"]["left"], 400 - part);
    // What was under way was taken in before the end: nothing has to be looked for.
    let there: usize = dovecot.fetch_all(BOB).values().map(Vec::len).sum();
    assert_eq!(there as u64, part);
    let again = mailstow.replay_report(&archive, &url, 0, &[]);
    let done = happened(&again);
    assert_eq!((done["there"], done["appended"]), (part, 400 - part));
    assert_same_mail(&target_state(&dovecot, BOB), &wanted(&dovecot));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &[]));
}

#[test]
fn ctrl_c_ends_in_good_order_and_the_same_command_goes_on() {
    stopped_by("INT", 130);
}

#[test]
fn sigterm_ends_in_good_order_and_the_same_command_goes_on() {
    stopped_by("TERM", 143);
}

#[test]
fn a_kill_in_the_middle_costs_a_look_and_no_message() {
    let (dovecot, mailstow) = backed_up();
    let (url, archive) = (dovecot.url(BOB), mailstow.archive());
    let args = [&["replay", archive.to_str().unwrap(), "--to", &url], SLOWLY].concat();
    for _ in 0..3 {
        let mut running = mailstow.start(&args);
        assert!(running.wait_for("appended").is_some());
        running.signal("KILL");
        assert_eq!(running.finish().signal, Some(9));
    }
    let report = mailstow.replay_report(&archive, &url, 0, &[]);
    assert_eq!(happened(&report)["in_archive"], 400);
    assert_same_mail(&target_state(&dovecot, BOB), &wanted(&dovecot));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &[]));
}

/// One ledger takes one replay at a time; a backup and readers are not in its way, nor it in
/// theirs.
#[test]
fn a_second_replay_is_told_and_a_nightly_backup_goes_its_way() {
    let (dovecot, mailstow) = backed_up();
    let (url, archive) = (dovecot.url(BOB), mailstow.archive());
    let to = archive.to_str().unwrap();
    let want = wanted(&dovecot);
    let args = [&["replay", to, "--to", &url], SLOWLY].concat();
    let mut running = mailstow.start(&args);
    assert!(running.wait_for("appended").is_some());

    let second = mailstow.replay(&archive, &url, &[]);
    let words = &second.expect(8).stderr;
    assert!(words.contains("another replay to this target"), "{words}");
    assert!(!words.contains("--wait"), "{words}");
    // Looking is free. What is under way counts as not reached.
    let looked = mailstow.replay(&archive, &url, &["--dry-run"]);
    assert!(matches!(looked.exit, Some(0 | 3)), "{looked:?}");
    let new = b"Subject: new\r\n\r\nx\r\n";
    dovecot.deliver(ALICE, "INBOX", new, &[], None);
    backup(&dovecot, &mailstow, &archive);
    for args in [&["status", to][..], &["ls", to, "INBOX"], &["verify", to]] {
        mailstow.run(args).expect(0);
    }

    // It replays what was there when it began.
    running.finish().expect(0);
    assert_same_mail(&target_state(&dovecot, BOB), &want);
    let report = mailstow.replay_report(&archive, &url, 0, &[]);
    assert_eq!(happened(&report)["appended"], 1);
    assert_sound(&archive);
}

#[test]
fn an_archive_that_cannot_be_written_keeps_its_ledger_elsewhere() {
    let Some(disk) = Disk::mount("64m") else {
        return;
    };
    let (dovecot, mailstow) = (filled_with(&[]), mailstow());
    let (url, archive) = (dovecot.url(BOB), disk.archive());
    backup(&dovecot, &mailstow, &archive);
    disk.remount("ro");
    let ended = mailstow.replay(&archive, &url, &[]);
    let words = &ended.expect(4).stderr;
    assert!(words.contains("--ledger"), "{words}");
    assert!(dovecot.fetch_all(BOB).values().all(Vec::is_empty));
    let elsewhere = mailstow.path().join("ledgers");
    let ledger = ["--ledger", elsewhere.to_str().unwrap()];
    let report = mailstow.replay_report(&archive, &url, 0, &ledger);
    assert_eq!(happened(&report)["appended"], 400);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &ledger));
    disk.remount("rw");
    // Another archive does not take this ledger for its own.
    let other = mailstow.archive();
    backup(&dovecot, &mailstow, &other);
    let before = files(&elsewhere);
    let words = mailstow.replay(&other, &url, &ledger);
    let words = &words.expect(7).stderr;
    assert!(words.contains("belongs to another archive"), "{words}");
    assert!(files(&elsewhere) == before);
}

#[test]
fn a_target_that_cannot_be_had_leaves_no_ledger_behind() {
    let (dovecot, mailstow) = backed_up();
    let archive = mailstow.archive();
    let port = dovecot.imap_port();
    let wrong = mailstow.with("MAILSTOW_TARGET_PASSWORD", "wrong");
    let words = wrong.replay(&archive, &dovecot.url(BOB), &[]);
    assert!(words.expect(5).stderr.contains("AUTHENTICATIONFAILED"));
    let nobody = format!("imap://{BOB}@localhost.invalid:{port}");
    wrong.replay(&archive, &nobody, &[]).expect(6);
    assert!(!archive.join("replay").exists());
}

#[test]
fn a_damaged_ledger_is_said_and_without_it_everything_is_found_again() {
    let (dovecot, mailstow) = backed_up();
    let (url, archive) = (dovecot.url(BOB), mailstow.archive());
    mailstow.replay_report(&archive, &url, 0, &[]);
    let seen = dovecot.fetch_all(BOB);
    let ledgers = files(&archive.join("replay"));
    let log = ledgers
        .keys()
        .find(|path| path.ends_with("000001.jsonl.zst"));
    let mut bytes = ledgers[log.unwrap()].clone();
    bytes[200] ^= 4;
    std::fs::write(log.unwrap(), &bytes).unwrap();
    let ended = mailstow.replay(&archive, &url, &[]);
    let words = &ended.expect(7).stderr;
    assert!(words.contains("the ledger cannot be used"), "{words}");
    assert_eq!(std::fs::read(log.unwrap()).unwrap(), bytes);
    std::fs::rename(archive.join("replay"), archive.join("replay.damaged")).unwrap();
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &[]));
    assert!(dovecot.fetch_all(BOB) == seen);
}

/// A disk that is full takes no intent, so nothing more is sent.
#[test]
fn a_full_disk_ends_it_before_anything_is_sent_unrecorded() {
    let Some(disk) = Disk::mount("100k") else {
        return;
    };
    let (dovecot, mailstow) = (filled_with(&[]), mailstow());
    let (url, archive) = (dovecot.url(BOB), mailstow.archive());
    backup(&dovecot, &mailstow, &archive);
    let ledger = ["--ledger", disk.path().to_str().unwrap()];
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 88 << 10]).unwrap();
    let ended = mailstow.replay(&archive, &url, &ledger);
    let words = &ended.expect(4).stderr;
    assert!(words.contains("No space left"), "{words}");
    let there: usize = dovecot.fetch_all(BOB).values().map(Vec::len).sum();
    assert!(there < 400, "{there}");
    disk.remount("size=64m");
    let report = mailstow.replay_report(&archive, &url, 0, &ledger);
    assert_eq!(happened(&report)["in_archive"], 400);
    assert_same_mail(&target_state(&dovecot, BOB), &wanted(&dovecot));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &ledger));
}

/// A quota on the target ends it in good order; with more room it goes on.
#[test]
fn a_target_that_is_full_ends_it_and_room_lets_it_go_on() {
    let quota = |limit: &str| {
        format!(
            "mail_plugins = listescape quota\nprotocol imap {{\n  mail_plugins = listescape quota imap_quota\n}}\n\
             plugin {{\n  quota = count:User quota\n  quota_vsizes = yes\n  quota_rule = *:storage={limit}\n}}\n"
        )
    };
    let (mut dovecot, mailstow) = (filled_with(&[]), mailstow());
    let archive = mailstow.archive();
    backup(&dovecot, &mailstow, &archive);
    let ledgers = mailstow.path().join("ledgers");
    let include = mailstow.path().join("quota.conf");
    let want = wanted(&dovecot);
    let ledger = ["--ledger", ledgers.to_str().unwrap()];
    let include_args = ["--include", include.to_str().unwrap()];
    std::fs::write(&include, quota("400k")).unwrap();
    dovecot.restart_with(&include_args);
    // A target is told by its port as well, and this server has another one after each start: what
    // was sent is recognised without the ledger.
    let ports = dovecot.imap_port();
    let report = mailstow.replay_report(&archive, &dovecot.url(BOB), 9, &ledger);
    assert_eq!(report["ending"], "limit");
    let words = report["error"].as_str().unwrap();
    assert!(
        words.contains("no room left") && words.contains("uota"),
        "{words}"
    );
    let part = report["total"]["appended"].as_u64().unwrap();
    assert!((100..200).contains(&part), "{part}");
    assert_eq!(report["total"]["left"], 400 - part);
    let there: usize = dovecot.fetch_all(BOB).values().map(Vec::len).sum();
    assert_eq!(there as u64, part);
    // Again, and it is still full.
    let report = mailstow.replay_report(&archive, &dovecot.url(BOB), 9, &ledger);
    assert_eq!(report["total"]["there"], part);
    std::fs::write(&include, quota("10M")).unwrap();
    dovecot.restart_with(&include_args);
    assert_ne!(dovecot.imap_port(), ports);
    let report = mailstow.replay_report(&archive, &dovecot.url(BOB), 0, &ledger);
    let done = happened(&report);
    assert_eq!((done["there"], done["appended"]), (part, 400 - part));
    assert_same_mail(&target_state(&dovecot, BOB), &want);
}

/// Other people's mail, which is not part of the repository.
#[test]
fn real_mail_is_the_same_on_the_target_and_is_recognised_without_a_ledger() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut dovecot = Dovecot::start();
    dovecot.add_user(BOB, PASSWORD);
    let mut all = 0;
    for (name, mailbox, most) in [("spamassassin", "Ordinary", 700), ("torture", "Odd", 700)] {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let messages: Vec<Vec<u8>> = unpacked(&corpora, name, &folder)
            .into_iter()
            .filter(|(path, _)| path.extension().is_none_or(|e| e != "tsv"))
            .map(|(_, message)| message)
            // APPEND takes none of these.
            .filter(|message| !message.is_empty() && !message.contains(&0))
            .collect();
        let step = messages.len().div_ceil(most);
        let mails: Vec<Mail<'_>> = messages
            .iter()
            .step_by(step)
            .map(|bytes| Mail {
                bytes,
                flags: &["\\Seen"],
                received: Some("07-Feb-2024 21:52:25 +0100"),
            })
            .collect();
        dovecot.deliver_all(ALICE, mailbox, &mails);
        all += mails.len() as u64;
    }
    let mailstow = mailstow();
    let (url, archive) = (dovecot.url(BOB), mailstow.archive());
    backup(&dovecot, &mailstow, &archive);
    let report = mailstow.replay_report(&archive, &url, 0, &[]);
    assert_eq!(happened(&report)["appended"], all);
    assert_same_mail(&target_state(&dovecot, BOB), &wanted(&dovecot));
    std::fs::remove_dir_all(archive.join("replay")).unwrap();
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &[]));
}
