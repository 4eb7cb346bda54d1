//! `verify --against` a real server: agreement, and everything that comes between two runs.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;
#[path = "against/trial.rs"]
mod trial;

use insta::assert_snapshot;
use mailstow::archive::format::Record;
use mailstow::model::Checkpoint;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Mailstow, files};
use support::raw_imap::Mail;
use trial::{Trial, mailbox, sets, text};

const BOB: &str = "bob@example.com";
const DATE: Option<&str> = Some("07-Feb-2024 21:52:25 +0100");

fn body(n: usize) -> Vec<u8> {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\nFrom here\r\n{n}\r\n").into_bytes()
}

fn deliver(dovecot: &Dovecot, mailbox: &str, numbers: &[usize]) {
    let bodies: Vec<_> = numbers.iter().map(|n| body(*n)).collect();
    let mail = |bytes| Mail {
        bytes,
        flags: &["\\Seen"],
        received: DATE,
    };
    let mails: Vec<_> = bodies.iter().map(|b| mail(b.as_slice())).collect();
    dovecot.deliver_all(ALICE, mailbox, &mails);
}

/// INBOX with 1 to 4, `Work/Über` with 5 and 1, and an archive of both.
fn backed_up() -> (Dovecot, Trial, String) {
    let mut dovecot = Dovecot::start();
    // Before anybody signs in: Dovecot may take a second to see another.
    dovecot.add_user(BOB, support::dovecot::PASSWORD);
    dovecot.add_user("carol", support::dovecot::PASSWORD);
    deliver(&dovecot, "INBOX", &[1, 2, 3, 4]);
    deliver(&dovecot, "Work/Über", &[5, 1]);
    let trial = Trial::new();
    let url = dovecot.url(ALICE);
    trial.backup(&url, 0, &[]);
    (dovecot, trial, url)
}

fn redacted(dovecot: &Dovecot, trial: &Trial, text: &str) -> String {
    let text = text.replace(trial.mailstow.path().to_str().unwrap(), "DIR");
    text.replace(&dovecot.imap_port().to_string(), "PORT")
}

#[test]
fn a_complete_archive_agrees_and_what_happens_afterwards_is_told_apart() {
    let (dovecot, trial, url) = backed_up();
    let report = trial.against(&url, 0, &["--seed", "7"]);
    assert_eq!(sets(&report, "INBOX"), ["present: 1:4"]);
    assert_eq!(sets(&report, "Work/Über"), ["present: 1:2"]);
    let sample = &report["sample"];
    let numbers = ["chosen", "of", "same", "read_back", "seed"];
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|k| sample[k].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [6, 6, 6, 6, 7], "{sample:#}");
    let said = trial.run(&url, 0, &["--seed", "7"]).stdout;
    assert_snapshot!(redacted(&dovecot, &trial, &said), @r"
    alice@127.0.0.1 in the archive, compared with alice@127.0.0.1:
    mailbox    on server  held  newer  excluded  skipped  missing  differ  gone
    INBOX              4     4      0         0        0        0       0     0
    Work/Über          2     2      0         0        0        0       0     0

    compared: UIDs, sizes, dates and flags of 6 messages in 2 mailboxes
    bytes: 6 of 6 messages (282 B) are those of the archive, all there are; 6 read back from it
    not checked: the rest of the archive (--rehash)
    the archive holds what the server has
    ");
    let quiet = trial.run(&url, 0, &["-q"]);
    assert_eq!(quiet.output(), "");

    // Delivered, flagged and expunged since the last run: the next one sees to it.
    deliver(&dovecot, "INBOX", &[6, 7]);
    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.store("3", "+FLAGS", &["\\Flagged"]);
    imap.expunge("2");
    let report = trial.against(&url, 0, &[]);
    assert_eq!(
        sets(&report, "INBOX"),
        ["departed: 2", "flags: 3", "newer: 5:6", "present: 1,3:4"]
    );
    let said = trial.run(&url, 0, &["--sample", "0"]).stdout;
    assert_snapshot!(redacted(&dovecot, &trial, &said), @r"
    alice@127.0.0.1 in the archive, compared with alice@127.0.0.1:
    mailbox    on server  held  newer  excluded  skipped  missing  differ  gone
    INBOX              5     3      2         0        0        0       0     1
    Work/Über          2     2      0         0        0        0       0     0
      INBOX: 2 messages newer than the last complete run: UID 5:6
      INBOX: 1 message held, and gone from the server: UID 2
      INBOX: 1 message with other flags than before: UID 3

    compared: UIDs, sizes, dates and flags of 7 messages in 2 mailboxes
    bytes: none were compared
    not checked: the bytes of 5 messages on both sides (--full); the archive itself (--rehash)
    the archive holds what the server has, but for 2 messages that came after the last complete run
    ");

    // Once it has run, nothing is left to say.
    trial.backup(&url, 0, &[]);
    let report = trial.against(&url, 0, &["--full"]);
    assert_eq!(sets(&report, "INBOX"), ["present: 1,3:6"]);
    assert_eq!(report["sample"]["full"], true);
    assert_eq!(report["sample"]["same"], 7);
}

#[test]
fn a_message_that_a_run_should_have_stored_is_missing() {
    let (dovecot, trial, url) = backed_up();
    deliver(&dovecot, "INBOX", &[6, 7]);
    // As a run would leave it that lost UID 5 and says that it is complete.
    let reader = trial.reader();
    let all = reader.catalog().mailboxes(None).unwrap();
    let inbox = all.iter().find(|m| m.name == "INBOX").unwrap();
    let before = reader.catalog().checkpoint(inbox.id).unwrap().unwrap();
    drop(reader);
    trial.record([Record::Checkpoint(Checkpoint {
        uidnext: 6,
        messages: 5,
        ..before
    })]);
    let report = trial.against(&url, 3, &[]);
    assert_eq!(
        sets(&report, "INBOX"),
        ["missing: 5", "newer: 6", "present: 1:4"]
    );
    let said = trial.run(&url, 3, &["--seed", "1"]).stdout;
    assert_snapshot!(redacted(&dovecot, &trial, &said), @r"
    alice@127.0.0.1 in the archive, compared with alice@127.0.0.1:
    mailbox    on server  held  newer  excluded  skipped  missing  differ  gone
    INBOX              6     4      1         0        0        1       0     0
    Work/Über          2     2      0         0        0        0       0     0
    ! INBOX: 1 message missing in the archive: UID 5
      INBOX: 1 message newer than the last complete run: UID 6

    compared: UIDs, sizes, dates and flags of 8 messages in 2 mailboxes
    bytes: 6 of 6 messages (282 B) are those of the archive, all there are; 6 read back from it
    not checked: the rest of the archive (--rehash)
    the archive and the server differ. A backup fetches what is missing; compare again after it
    ");
    // A mailbox the archive has never seen is missing as a whole.
    deliver(&dovecot, "New", &[8]);
    let report = trial.against(&url, 3, &["--mailbox", "New"]);
    assert_eq!(mailbox(&report, "New")["state"], "unknown");
    assert_eq!(sets(&report, "New"), ["missing: 1"]);
    assert_eq!(report["mailboxes"].as_array().unwrap().len(), 1);
}

#[test]
fn what_the_selection_leaves_out_is_no_gap() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[1, 2]);
    deliver(&dovecot, "Trash", &[3]);
    let large = [body(4), vec![b'x'; 5000]].concat();
    dovecot.deliver(ALICE, "INBOX", &large, &[], DATE);
    let trial = Trial::new();
    let url = dovecot.url(ALICE);
    let selection = ["--max-size", "2k", "--exclude", "Trash"];
    trial.backup(&url, 0, &selection);
    let report = trial.against(&url, 0, &[]);
    assert_eq!(sets(&report, "INBOX"), ["excluded: 3", "present: 1:2"]);
    assert_eq!(mailbox(&report, "Trash")["state"], "left-out");
    let said = trial.run(&url, 0, &[]).stdout;
    assert!(
        said.contains("but for 1 message left out on purpose"),
        "{said}"
    );

    // Backed up whole, and with the filter again: what is held is held.
    trial.backup(&url, 0, &[]);
    trial.backup(&url, 0, &selection);
    let report = trial.against(&url, 0, &[]);
    assert_eq!(sets(&report, "INBOX"), ["present: 1:3"]);
    assert_eq!(sets(&report, "Trash"), ["present: 1"]);
}

#[test]
fn another_uidvalidity_makes_uids_tell_nothing_but_bytes_do() {
    let (dovecot, trial, url) = backed_up();
    let update = ["mailbox", "update", "-u", ALICE, "--uid-validity"];
    dovecot.doveadm(&[&update[..], &["4242424242", "INBOX"]].concat());
    deliver(&dovecot, "INBOX", &[9]);
    let report = trial.against(&url, 3, &["--full"]);
    let inbox = mailbox(&report, "INBOX");
    assert_eq!(inbox["state"], "other-epoch");
    assert_eq!(inbox["uidvalidity"][1], 4_242_424_242_u32);
    assert_eq!(inbox["counterparts"], 4, "each held one counts once");
    assert_eq!(
        (inbox["on_server"].as_u64(), inbox["in_archive"].as_u64()),
        (Some(5), Some(4))
    );
    // Four contents are held, whatever they are called; the fifth is not.
    let sample = &report["sample"];
    assert_eq!(sample["same"], 6, "{sample:#}");
    assert_eq!(sample["differ"].as_array().unwrap().len(), 1);
    assert_eq!(sample["differ"][0]["archive"], serde_json::Value::Null);
    let said = trial.run(&url, 3, &["--sample", "0"]).stdout;
    assert!(
        said.contains("! INBOX: UIDVALIDITY is 4242424242 on the server and "),
        "{said}"
    );

    trial.backup(&url, 0, &[]);
    trial.against(&url, 0, &["--full"]);
}

#[test]
fn a_mailbox_that_is_gone_stays_and_all_of_them_gone_is_not_believed() {
    let (dovecot, trial, url) = backed_up();
    deliver(&dovecot, "Third", &[8]);
    trial.backup(&url, 0, &[]);
    dovecot.connect(ALICE).command("DELETE Third");
    let report = trial.against(&url, 0, &[]);
    let third = mailbox(&report, "Third");
    assert_eq!(
        (&third["state"], &third["in_archive"]),
        (&"unlisted".into(), &1.into())
    );
    // A pattern for one that only the archive knows is no slip.
    let only = trial.against(&url, 3, &["--mailbox", "Third"]);
    assert_eq!(only["warnings"].as_array().unwrap().len(), 1, "{only:#}");
    let idle = ["--mailbox", "Thirt"];
    assert!(
        trial
            .run(&url, 2, &idle)
            .stderr
            .contains("no mailbox matches")
    );
}

#[test]
fn a_damaged_archive_is_exit_7_whatever_the_server_says() {
    let (_dovecot, trial, url) = backed_up();
    let (path, bytes) = files(&trial.archive.join("mail"))
        .into_iter()
        .find(|(path, _)| text(path).contains("INBOX"))
        .unwrap();
    let mut broken = bytes.clone();
    let at = broken.len() - 40;
    broken[at] ^= 0x10;
    std::fs::write(&path, &broken).unwrap();
    let report = trial.against(&url, 7, &[]);
    let unreadable = report["sample"]["unreadable"].as_array().unwrap();
    assert!(!unreadable.is_empty(), "{report:#}");
    assert_eq!(report["sample"]["same"], 6, "the server's bytes are right");
    let said = trial.run(&url, 7, &[]).stdout;
    assert!(
        said.contains("cannot be read back from the archive: "),
        "{said}"
    );
    // Nobody looks where nobody was told to look; --rehash does.
    trial.against(&url, 0, &["--sample", "0"]);
    let report = trial.against(&url, 7, &["--sample", "0", "--rehash"]);
    assert_eq!(report["verify"]["sound"], false);
    std::fs::write(&path, bytes).unwrap();
    let report = trial.against(&url, 0, &["--rehash"]);
    assert_eq!(report["verify"]["sound"], true);
    let said = trial.run(&url, 0, &["--rehash"]).stdout;
    assert!(said.ends_with("the archive is sound\n"), "{said}");
    assert!(!said.contains("--rehash"), "{said}");
}

#[test]
fn the_account_is_found_and_refusals_have_their_exit_codes() {
    let (dovecot, trial, url) = backed_up();
    dovecot.deliver(BOB, "INBOX", &body(1), &[], DATE);
    let bob = dovecot.url(BOB);
    trial.backup(&bob, 0, &["--account", "Bob"]);
    assert_eq!(trial.against(&url, 0, &[])["account"], "alice@127.0.0.1");
    assert_eq!(trial.against(&bob, 0, &[])["account"], "Bob");
    // Neither is Carol's.
    let carol = dovecot.url("carol");
    let ended = trial.run(&carol, 2, &[]);
    assert!(ended.stderr.contains("--account"), "{}", ended.stderr);
    let report = trial.against(&carol, 3, &["--account", "Bob"]);
    let notes = report["notes"][0].as_str().unwrap();
    assert!(
        notes.contains("never fetched it from carol@127.0.0.1"),
        "{notes}"
    );
    trial.run(&url, 2, &["--account", "Dave"]);

    let archive = text(&trial.archive);
    let wrong = Mailstow::bare().with("MAILSTOW_PASSWORD", "wrong");
    wrong.run(&["verify", archive, "--against", &url]).expect(5);
    trial.run("imap://alice@127.0.0.1:1", 6, &[]);
    let usage = |args: &[&str]| {
        let ended = trial.mailstow.run(&[&["verify", archive], args].concat());
        ended.expect(2);
    };
    for option in [
        &["--full"][..],
        &["--rehash"],
        &["--account", "Bob"],
        &["--mailbox", "INBOX"],
        &["--tls-fingerprint", "00"],
        &["--password-command", "true"],
        &["--against", &url, "--full", "--sample", "3"],
        &["--against", "ftp://alice@h"],
        &["--sample", "0"],
    ] {
        usage(option);
    }
    trial
        .mailstow
        .run(&["verify", archive, "--sample", "50%", "--seed", "3"])
        .expect(0);
}

#[test]
fn a_maildrop_compares_by_uidl() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[1, 2, 3]);
    let trial = Trial::new();
    let url = dovecot.pop3_url(ALICE);
    trial.backup(&url, 0, &[]);
    let report = trial.against(&url, 0, &[]);
    let row = mailbox(&report, "maildrop");
    assert_eq!(
        (&row["present"]["count"], &row["in_archive"]),
        (&3.into(), &3.into())
    );
    assert_eq!(report["sample"]["same"], 3);

    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.expunge("2");
    deliver(&dovecot, "INBOX", &[4]);
    let report = trial.against(&url, 3, &[]);
    let row = mailbox(&report, "maildrop");
    let counts: Vec<u64> = ["present", "missing", "not_offered", "departed"]
        .iter()
        .map(|k| row[k]["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [2, 1, 1, 0]);
    trial.run(&url, 2, &["--mailbox", "INBOX"]);
}
