//! Moving an account from one mailbox of a Dovecot to another: everything, then what changed, and
//! never anything twice. The oracle is what the server itself reports.
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

use mailstow::model::JobState;
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::mailstow::{Mailstow, assert_sound, files, jobs};
use support::migration::{
    BOB, Migration, SLOWLY, assert_adds_up, assert_same_mail, deliver_many, dovecot, dovecot_with,
    is_archive, n, reported, seen, total, urls,
};
use support::raw_imap::{Mail, RawImap};

/// The UID of the message of a mailbox whose subject this is.
fn uid(dovecot: &Dovecot, user: &str, mailbox: &str, subject: &str) -> Vec<String> {
    let wanted = format!("Subject: {subject}\r\n");
    let mut imap = dovecot.connect(user);
    let messages = imap.fetch_mailbox(mailbox).into_iter();
    let found = messages.filter(|m| m.body.starts_with(wanted.as_bytes()));
    found.map(|m| m.uid.to_string()).collect()
}

fn selected(dovecot: &Dovecot, user: &str, mailbox: &str) -> RawImap {
    let mut imap = dovecot.connect(user);
    imap.select(mailbox);
    imap
}

fn flags(dovecot: &Dovecot, user: &str, mailbox: &str, subject: &str) -> Vec<String> {
    let wanted = format!("Subject: {subject}\r\n");
    let messages = dovecot.connect(user).fetch_mailbox(mailbox);
    let found = messages
        .into_iter()
        .find(|m| m.body.starts_with(wanted.as_bytes()));
    found.expect(subject).flags.into_iter().collect()
}

#[test]
fn the_first_pass_brings_everything_and_later_ones_what_changed() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    let report = trial.migrate(between, 0, &[]);
    assert_same_mail(&dovecot);
    assert_eq!(
        (total(&report, "appended"), total(&report, "there")),
        (24, 0)
    );
    assert_eq!(report["adds_up"], true);
    let numbers: Vec<(u64, u64, u64)> = (report["sides"].as_array().unwrap().iter())
        .map(|s| (n(s, "at_source"), n(s, "in_archive"), n(s, "on_target")))
        .collect();
    assert_eq!(numbers, [(12, 12, 12), (7, 7, 7), (5, 5, 5)]);
    trial.changes_nothing(between);
    assert_same_mail(&dovecot);

    // New mail, of which one is known already, and a new mailbox.
    let new = |bytes| Mail {
        bytes,
        flags: &["\\Draft"],
        received: Some("07-Feb-2024 21:52:25 +0100"),
    };
    let known = b"Subject: message 16\r\nMessage-ID: <16@x>\r\n\r\nFrom here\r\n16\r\n";
    let all = [new(b"Subject: new\r\n\r\nx\r\n"), new(known)];
    dovecot.deliver_all(ALICE, "INBOX", &all);
    dovecot.deliver_all(ALICE, "Later/on", &all);
    // Flags that only the source changed, and flags that both changed.
    let mut imap = selected(&dovecot, ALICE, "INBOX");
    for subject in ["message 04", "message 05"] {
        let uid = uid(&dovecot, ALICE, "INBOX", subject);
        imap.store(&uid[0], "FLAGS", &["\\Answered", "$Forwarded"]);
    }
    let theirs = uid(&dovecot, BOB, "INBOX", "message 05");
    selected(&dovecot, BOB, "INBOX").store(&theirs[0], "+FLAGS", &["\\Flagged"]);
    // A move, and a deletion.
    let moved = uid(&dovecot, ALICE, "INBOX", "message 06");
    imap.transfer("MOVE", &moved[0], "Sent").unwrap();
    let gone = uid(&dovecot, ALICE, "INBOX", "message 07");
    imap.expunge(&gone[0]);
    drop(imap);
    let report = trial.migrate(between, 0, &[]);
    let did = [
        "appended",
        "moved_in",
        "moved_out",
        "flags_set",
        "flags_kept",
    ];
    assert_eq!(
        did.map(|key| total(&report, key)),
        [4, 1, 1, 1, 1],
        "{report:#}"
    );
    let flags_of = |subject| flags(&dovecot, BOB, "INBOX", subject);
    assert_eq!(flags_of("message 04"), ["$Forwarded", "\\Answered"]);
    assert_eq!(flags_of("message 05"), ["\\Flagged"]);
    assert_eq!(uid(&dovecot, BOB, "INBOX", "message 06"), [""; 0]);
    assert_eq!(uid(&dovecot, BOB, "Sent", "message 06").len(), 1);
    // What was deleted at the source stays.
    assert_eq!(uid(&dovecot, BOB, "INBOX", "message 07").len(), 1);
    let (source, target) = (seen(&dovecot, ALICE), seen(&dovecot, BOB));
    for name in ["Later/on", "Sent", "Archive/2024 & more"] {
        assert_eq!(source[name], target[name], "{name}");
    }
    let before = target;
    trial.changes_nothing(between);
    assert_eq!(seen(&dovecot, BOB), before);
}

#[test]
fn what_is_fetched_is_sent_on_at_once_also_in_a_later_pass() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    for pass in 1..=2 {
        if pass == 2 {
            deliver_many(&dovecot);
        }
        let slowly: &[&str] = if pass == 2 {
            &SLOWLY
        } else {
            &["--limit-rate", "4k"]
        };
        let lines = trial.events(between, 0, slowly);
        let at = |event: &str| lines.iter().position(|line| line["event"] == event);
        let last = lines.iter().rposition(|line| line["event"] == "committed");
        assert!(
            at("appended").unwrap() < last.unwrap(),
            "pass {pass}: {lines:#?}"
        );
        let report = reported(&lines);
        assert_adds_up(&report);
        assert_eq!(
            total(&report, "appended"),
            [24, 120][pass - 1],
            "{report:#}"
        );
        assert!(n(&report["sent"], "messages") > 0, "{report:#}");
        assert_same_mail(&dovecot);
    }
    trial.changes_nothing(between);
}

#[test]
fn what_the_target_had_before_is_recognised_or_left_alone() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    // Copied by somebody else, with a line end less, read meanwhile; and mail of bob's own.
    let copied = b"Subject: message 02\r\nMessage-ID: <2@x>\r\n\r\nFrom here\r\n02\r\n";
    let own = b"Subject: for bob\r\n\r\nhello\r\n";
    dovecot.deliver(BOB, "INBOX", copied, &["\\Seen", "mine"], None);
    dovecot.deliver(BOB, "INBOX", own, &[], None);
    let report = trial.migrate(between, 0, &[]);
    let inbox = &report["replay"]["mailboxes"][0];
    let numbers = ["in_archive", "before", "appended", "there", "now"].map(|key| n(inbox, key));
    assert_eq!(numbers, [12, 2, 11, 1, 13]);
    assert_eq!(report["adds_up"], true);
    let target = dovecot.fetch_all(BOB);
    let bodies = |body: &[u8]| target["INBOX"].iter().filter(|m| m.body == body).count();
    // Two copies are at the source; one of them was there.
    assert_eq!((bodies(copied), bodies(own)), (2, 1));
    let first = &target["INBOX"][0];
    assert!(first.flags.contains("mine"), "{first:?}");
    trial.changes_nothing(between);
    assert_eq!(dovecot.fetch_all(BOB), target);
}

#[test]
fn the_last_pass_proves_that_the_target_lists_all() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    let said = trial.text(between, 0, &["--final"]).stdout;
    for words in [
        "mailbox              at the source  in the archive  brought  on the target",
        "INBOX                           12              12       12             12",
        "total                           24              24       24             24",
        "It adds up: 24 messages at the source, 24 in the archive, 24 of them on the target.",
        "Proven: the target lists 24 messages that were brought there.",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // The page says the same, and the run where it is.
    let (_, page) = said.split_once("The report for your files: ").unwrap();
    let page = std::fs::read_to_string(page.trim()).unwrap();
    for words in [
        "Both sides",
        "It adds up: 24 messages",
        "Proven: the target",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // Somebody tidies up on the target.
    selected(&dovecot, BOB, "INBOX").expunge("3");
    let said = trial.text(between, 0, &["--final"]).stdout;
    for words in [
        "23 of them on the target; 1 removed on the target by somebody since.",
        "Proven: the target lists 23 messages that were brought there; 1 message removed there by somebody since.",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let report = trial.migrate(between, 0, &["--final"]);
    assert_eq!(n(&report["proof"]["total"], "there"), 23);
    assert_eq!(n(&report["proof"]["total"], "removed"), 1);
    // And wants it back.
    let report = trial.migrate(between, 0, &["--resend-removed", "--final"]);
    assert_eq!(total(&report, "appended"), 1);
    assert_same_mail(&dovecot);
    assert_eq!(trial.migrate(between, 0, &[]).get("proof"), None);
}

#[test]
fn a_source_that_refuses_or_is_not_there_leaves_everything_as_it_was() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    let nobody = format!("imap://{ALICE}@127.0.0.1:1");
    let wrong = Mailstow::bare().with("MAILSTOW_PASSWORD", "wrong");
    let wrong = Migration {
        mailstow: wrong.with("MAILSTOW_TARGET_PASSWORD", PASSWORD),
        archive: trial.archive.clone(),
    };
    for pass in 1..=2 {
        let before = seen(&dovecot, BOB);
        let had_archive = is_archive(&trial.archive);
        let error = wrong.fails(between, 5, &[]);
        let hints = error["hints"].to_string();
        assert_eq!(hints.contains("mailstow replay"), had_archive, "{error}");
        trial.fails((nobody.as_str(), between.1), 6, &[]);
        assert_eq!(seen(&dovecot, BOB), before);
        assert_sound(&trial.archive);
        if pass == 1 {
            trial.migrate(between, 0, &[]);
        }
        assert_same_mail(&dovecot);
    }
    trial.changes_nothing(between);
}

#[test]
fn a_target_that_refuses_is_told_before_anything_is_fetched() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let wrong = Migration {
        mailstow: Mailstow::new().with("MAILSTOW_TARGET_PASSWORD", "wrong"),
        archive: trial.archive.clone(),
    };
    let sign_ins = || dovecot.log().matches("Login: user=<alice>").count();
    let before = sign_ins();
    let error = wrong.fails((&from, &to), 5, &[]);
    assert!(
        error["message"].as_str().unwrap().contains("refused"),
        "{error}"
    );
    trial.fails((&from, &format!("imap://{BOB}@127.0.0.1:1")), 6, &[]);
    assert!(!trial.archive.exists());
    assert_eq!(sign_ins(), before, "the source was asked as well");
    trial.migrate((&from, &to), 0, &[]);
    assert_same_mail(&dovecot);
}

#[test]
fn stopped_in_the_middle_the_same_command_goes_on() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    deliver_many(&dovecot);
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    for (signal, exit) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut running = trial
            .mailstow
            .start(&[&trial.args(&from, &to)[..], &SLOWLY[..]].concat());
        assert!(running.wait_for("appended").is_some());
        running.signal(signal);
        let ended = running.finish();
        assert_eq!(ended.exit, exit, "{ended:?}");
        if exit.is_some() {
            let report = reported(&ended.json());
            assert_eq!(report["ending"], "interrupted");
            assert_eq!(report.get("replay"), None);
            assert!(n(&report["sent"], "messages") > 0, "{report:#}");
            assert_sound(&trial.archive);
        }
    }
    let report = trial.migrate(between, 0, &[]);
    assert_eq!(report["adds_up"], true);
    assert_same_mail(&dovecot);
    assert!(
        jobs(&trial.archive)
            .iter()
            .all(|job| job.state != JobState::Open)
    );
    trial.changes_nothing(between);
    assert_same_mail(&dovecot);
}

#[test]
fn limits_end_it_and_the_same_command_goes_on() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    deliver_many(&dovecot);
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    // What was fetched up to the limit is sent.
    let report = trial.migrate(between, 9, &["--max-bytes", "50k"]);
    assert_eq!(
        (&report["ending"], &report["adds_up"]),
        (&"limit".into(), &false.into())
    );
    let sent = total(&report, "appended");
    assert_eq!(
        (total(&report, "in_archive"), total(&report, "left")),
        (sent, 0)
    );
    assert!((5..130).contains(&sent), "{report:#}");
    let said = trial.text(between, 9, &["--max-bytes", "50k"]).stdout;
    assert!(
        said.contains("It does NOT add up: ") && said.contains(" not fetched yet"),
        "{said}"
    );
    assert!(
        said.ends_with("The same command goes on where it stopped.\n"),
        "{said}"
    );
    // Once the time is up nothing more is sent either.
    let timed = [&SLOWLY[..], &["--max-runtime", "2s"]].concat();
    let report = trial.migrate(between, 9, &timed);
    assert_eq!(report["ending"], "limit");
    assert_eq!(report.get("replay"), None, "{report:#}");
    assert!(n(&report["sent"], "messages") > 0, "{report:#}");
    trial.migrate(between, 0, &[]);
    assert_same_mail(&dovecot);
    trial.changes_nothing(between);
}

#[test]
fn a_maildrop_moves_as_well() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = (dovecot.pop3_url(ALICE), dovecot.url(BOB));
    let between = (from.as_str(), to.as_str());
    let report = trial.migrate(between, 0, &["--final"]);
    assert_eq!(
        (total(&report, "appended"), &report["adds_up"]),
        (12, &true.into())
    );
    let bodies = |user: &str| {
        let mut all: Vec<Vec<u8>> = (dovecot.connect(user).fetch_mailbox("INBOX").into_iter())
            // POP3 adds a line end to a message that has none.
            .map(|m| [m.body.strip_suffix(b"\r\n").unwrap_or(&m.body), b"\r\n"].concat())
            .collect();
        all.sort();
        all
    };
    assert_eq!(bodies(BOB), bodies(ALICE));
    dovecot.deliver(ALICE, "INBOX", b"Subject: new\r\n\r\nx\r\n", &[], None);
    assert_eq!(total(&trial.migrate(between, 0, &[]), "appended"), 1);
    trial.changes_nothing(between);
    assert_eq!(bodies(BOB), bodies(ALICE));
}

#[test]
fn a_dry_run_changes_nothing_anywhere() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    let said = trial.text(between, 0, &["--dry-run"]).stdout;
    assert!(said.contains("The archive has nothing yet"), "{said}");
    assert!(!trial.archive.exists());
    trial.mailstow.backup(&from, &trial.archive, &[]).expect(0);
    dovecot.deliver(ALICE, "New", b"Subject: new\r\n\r\nx\r\n", &[], None);
    let (before, target) = (files(&trial.archive), dovecot.fetch_all(BOB));
    let report = trial.migrate(between, 0, &["--dry-run", "--final"]);
    assert_eq!(
        (total(&report, "appended"), total(&report, "in_archive")),
        (24, 24)
    );
    assert_eq!(report.get("proof"), None);
    assert!(files(&trial.archive) == before, "the archive changed");
    assert_eq!(dovecot.fetch_all(BOB), target);
    assert_eq!(dovecot.connect(BOB).mailboxes(), ["INBOX"]);
    let said = trial.text(between, 0, &["--dry-run"]).stdout;
    assert!(
        said.contains("1 message to be fetched first would be sent as well"),
        "{said}"
    );
}

#[test]
fn an_archive_of_every_night_is_as_good_as_a_new_one() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    trial.mailstow.backup(&from, &trial.archive, &[]).expect(0);
    dovecot.deliver(ALICE, "INBOX", b"Subject: new\r\n\r\nx\r\n", &[], None);
    let report = trial.migrate(between, 0, &["--final"]);
    assert_eq!(total(&report, "appended"), 25);
    assert_same_mail(&dovecot);
    trial.mailstow.backup(&from, &trial.archive, &[]).expect(0);
    trial.changes_nothing(between);
}

#[test]
fn only_what_was_asked_for_is_brought() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let between = (from.as_str(), to.as_str());
    // The archive has more than is to be brought.
    trial.mailstow.backup(&from, &trial.archive, &[]).expect(0);
    let some = [
        "--since",
        "2021-01-01",
        "--exclude",
        "Sent",
        "--collapse-duplicates",
    ];
    let report = trial.migrate(between, 0, &some);
    assert_eq!(report["replay"]["mailboxes"].as_array().unwrap().len(), 2);
    let target = seen(&dovecot, BOB);
    let source = seen(&dovecot, ALICE);
    let wanted = |name: &str| {
        let mut all: Vec<&Vec<u8>> = source[name]
            .iter()
            .filter(|(_, _, at)| *at > 1_600_000_000)
            .map(|(body, ..)| body)
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let got = |name: &str| {
        target[name]
            .iter()
            .map(|(body, ..)| body)
            .collect::<Vec<_>>()
    };
    for name in ["INBOX", "Archive/2024 & more"] {
        assert_eq!(got(name), wanted(name), "{name}");
    }
    assert_eq!(target.len(), 2);
}

#[test]
fn options_that_mean_nothing_to_the_source_are_refused() {
    let (dovecot, trial) = (dovecot(), Migration::new());
    let (from, to) = urls(&dovecot);
    let pop3 = dovecot.pop3_url(ALICE);
    for (source, options, words) in [
        (&from, &["--pop-spam", "exclude"][..], "--pop"),
        (&pop3, &["--since", "2024-01-01"], "POP3"),
        (&pop3, &["--mailbox", "INBOX"], "maildrop"),
        (
            &from,
            &["--since", "2024-01-01", "--before", "2023-01-01"],
            "--since",
        ),
        (&from, &["--mailbox", "Nope"], "Nope"),
        (&from, &["--map-regex", "(=x"], "--map-regex"),
    ] {
        let error = trial.fails((source, &to), 2, options);
        assert!(error.to_string().contains(words), "{options:?}: {error}");
    }
    let error = trial.fails((&from, &pop3), 2, &[]);
    assert!(
        error.to_string().contains("POP3 only gives it out"),
        "{error}"
    );
}

#[test]
fn an_administrator_moves_the_mail_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (masters, include) = (dir.path().join("masters"), dir.path().join("master.conf"));
    std::fs::write(&masters, "admin:{PLAIN}admin's word\n").unwrap();
    let config = format!(
        "auth_mechanisms = plain login\npassdb {{\n  driver = passwd-file\n  master = yes\n  args = scheme=PLAIN {}\n}}\n",
        masters.display()
    );
    std::fs::write(&include, config).unwrap();
    readable_by_all(dir.path());
    let dovecot = dovecot_with(&["--include", include.to_str().unwrap()]);
    let word = Mailstow::bare()
        .with("MAILSTOW_PASSWORD", "admin's word")
        .with("MAILSTOW_TARGET_PASSWORD", "admin's word");
    let trial = Migration {
        archive: word.archive(),
        mailstow: word,
    };
    let url = dovecot.url("admin");
    let acting = ["--authzid", ALICE, "--target-authzid", BOB];
    let report = trial.migrate((&url, &url), 0, &acting);
    assert_same_mail(&dovecot);
    // It is known by whose mail it is, not by who signed in.
    assert_eq!(report["backup"]["account"], "alice@127.0.0.1");
    assert_eq!(report["replay"]["target"], "bob@127.0.0.1");
    let own = Migration::new();
    let own = Migration {
        archive: trial.archive.clone(),
        ..own
    };
    let (from, to) = urls(&dovecot);
    own.changes_nothing((&from, &to));
    let wrong = Migration::new();
    wrong.fails((&url, &url), 5, &acting);
}

fn readable_by_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder, 0o755);
    for entry in std::fs::read_dir(folder).unwrap() {
        mode(&entry.unwrap().path(), 0o644);
    }
}
