//! Runs over POP3 against a real Dovecot: what a quiet run costs, what a run says and does when
//! there is something new, plans and jobs, several sources, and what is a slip of the user's.
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

use serde_json::json;
use support::archive_state::{
    archive_state, assert_adds_a_run_record_only, assert_sound, commits, jobs,
};
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::maildrop::{assert_drained, deliver, expunge, held, uidls};
use support::mailstow::{Mailstow, Numbers, numbers};
use support::pop3_tap::Pop3Tap;

const ACCOUNT: &str = "alice@127.0.0.1";

fn body(n: usize) -> String {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n.{n}\r\n")
}

fn bodies(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(body).collect()
}

fn spam(n: usize) -> String {
    format!("X-Spam-Flag: YES\r\n{}", body(n))
}

#[test]
fn a_run_with_nothing_new_costs_one_session_and_asks_for_no_message() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..30));
    // Two messages of one content, whose UIDLs tell them apart.
    deliver(&dovecot, ALICE, &bodies(0..2));
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
    let first = numbers(&report, "maildrop");
    assert_eq!((first.stored, first.linked), (30, 2));
    assert_eq!((tap.count("RETR"), tap.count("TOP")), (32, 0));

    tap.forget();
    assert_adds_a_run_record_only(&archive, || {
        let ended = mailstow.backup(&tap.url(ALICE), &archive, &[]);
        assert!(
            ended.expect(0).stdout.contains("complete: nothing new."),
            "{}",
            ended.stdout
        );
    });
    let sessions = tap.sessions();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let verbs: Vec<&str> = sessions[0]
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    for verb in &verbs {
        assert!(
            ["CAPA", "AUTH", "LIST", "UIDL", "QUIT"].contains(verb),
            "{verbs:?}"
        );
    }
    for verb in ["LIST", "UIDL", "QUIT"] {
        assert_eq!(verbs.iter().filter(|v| **v == verb).count(), 1, "{verbs:?}");
    }
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 32);
}

#[test]
fn new_mail_is_fetched_alone_and_what_is_not_listed_any_more_changes_nothing() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..10));
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow.backup(&tap.url(ALICE), &archive, &[]).expect(0);

    deliver(&dovecot, ALICE, &[body(10), body(3), body(11)]);
    tap.forget();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
    let want = Numbers {
        exists: 13,
        stored: 2,
        linked: 1,
        held: 10,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "maildrop"), want);
    assert_eq!((tap.count("RETR"), tap.count("TOP")), (3, 0));
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 13);
    assert_sound(&archive);

    let before = archive_state(&archive);
    expunge(&dovecot, ALICE, |body| body.ends_with(b".3\r\n"));
    assert_adds_a_run_record_only(&archive, || {
        let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
        let counted = numbers(&report, "maildrop");
        assert_eq!((counted.exists, counted.held), (11, 11));
    });
    // The same when the whole maildrop is gone.
    expunge(&dovecot, ALICE, |_| true);
    assert_adds_a_run_record_only(&archive, || {
        let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
        assert_eq!(numbers(&report, "maildrop"), Numbers::default());
    });
    assert_eq!(archive_state(&archive), before);
    let to = archive.to_str().unwrap();
    let listed = mailstow.run(&["ls", to, "INBOX"]);
    assert_eq!(listed.expect(0).stdout.lines().count(), 13);
}

#[test]
fn a_message_removed_while_a_run_fetches_has_left_and_one_that_comes_is_fetched() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..20));
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mut mailstow = Mailstow::new();
    if cfg!(feature = "testing") {
        mailstow = mailstow.with("MAILSTOW_TEST_POP_SESSION_MESSAGES", "8");
    }
    let archive = mailstow.archive();
    let mut imap = dovecot.connect(ALICE);
    let mut done = false;
    tap.on_command(move |session, command| {
        // Before the first session ends; the second lists what is there then.
        if session == 1 && command == "QUIT" && !std::mem::replace(&mut done, true) {
            imap.select("INBOX");
            imap.expunge("20");
            let text = body(20);
            let mail = support::raw_imap::Mail {
                bytes: text.as_bytes(),
                flags: &[],
                received: None,
            };
            imap.append("INBOX", mail);
        }
    });
    // One at a time, so that the first session has not asked for all of it before it ends.
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &["--no-pipelining"]);
    let counted = numbers(&report, "maildrop");
    assert_eq!(counted.exists, 21);
    if cfg!(feature = "testing") {
        assert_eq!((counted.stored, counted.left), (20, 1));
    }
    let held = held(&archive, ACCOUNT);
    let new = uidls(&dovecot, ALICE).pop().unwrap();
    assert_eq!(held[&new].1, body(20).into_bytes());
    assert_sound(&archive);
}

#[test]
fn the_note_about_mail_marked_as_read_is_true() {
    let seen = |dovecot: &Dovecot| {
        let mail = dovecot.fetch_all(ALICE).remove("INBOX").unwrap();
        mail.iter().filter(|m| m.flags.contains("\\Seen")).count()
    };
    let note = "may mark messages as read";
    for (options, marked) in [(&[][..], 5), (&["--set", "pop3_no_flag_updates=yes"], 0)] {
        let dovecot = Dovecot::start_with(options);
        deliver(&dovecot, ALICE, &bodies(0..5));
        let mailstow = Mailstow::new();
        let archive = mailstow.archive();
        // What only looks marks nothing.
        let looked = mailstow.backup(&dovecot.pop3_url(ALICE), &archive, &["--dry-run"]);
        looked.expect(0);
        assert_eq!(seen(&dovecot), 0);
        let first = mailstow.backup(&dovecot.pop3_url(ALICE), &archive, &[]);
        assert!(first.expect(0).output().contains(note), "{first:?}");
        assert_eq!(seen(&dovecot), marked);
        let quiet = mailstow.backup(&dovecot.pop3_url(ALICE), &archive, &[]);
        assert!(!quiet.expect(0).output().contains(note), "{quiet:?}");
    }
}

#[test]
fn an_empty_maildrop_is_complete() {
    let dovecot = Dovecot::start();
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    for _ in 0..2 {
        let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, &[]);
        assert_eq!(numbers(&report, "maildrop"), Numbers::default());
    }
    for more in [
        &["--pop-messages", "from-today"][..],
        &["--pop-spam", "only"],
        &["--pop-delete", "archived"],
    ] {
        let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, more);
        assert_eq!(numbers(&report, "total"), Numbers::default());
    }
    assert_sound(&archive);
}

#[test]
fn a_dry_run_changes_nothing_and_a_plan_is_run_by_resume() {
    let dovecot = Dovecot::start();
    let mut mail = bodies(0..6);
    mail.push(spam(6));
    deliver(&dovecot, ALICE, &mail);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let url = tap.url(ALICE);
    let dry = mailstow.report(
        &url,
        &archive,
        0,
        &["--dry-run", "--pop-delete", "archived"],
    );
    let row = &dry["mailboxes"][0];
    assert_eq!((&row["exists"], &row["stored"]), (&json!(7), &json!(0)));
    assert!(!archive.exists());
    assert_eq!(tap.sessions().len(), 1);

    let planned = mailstow.run(&["plan", &url, "--to", to, "--pop-delete", "archived"]);
    assert!(
        planned.expect(0).stdout.contains("mailstow resume"),
        "{}",
        planned.stdout
    );
    assert_eq!((tap.count("RETR"), tap.count("DELE")), (0, 0));
    let listed = || mailstow.run(&["jobs", to, "--json"]).json().pop().unwrap();
    let job = listed()["jobs"][0].clone();
    assert_eq!(
        (&job["state"], &job["planned"], &job["held"]),
        (&json!("open"), &json!(7), &json!(0))
    );
    let size: usize = mail.iter().map(String::len).sum();
    assert_eq!(job["bytes"], size);

    tap.forget();
    let resumed = mailstow.run(&["resume", to, "--json"]);
    let report = resumed.expect(0).report();
    assert_eq!(numbers(&report, "maildrop").stored, 7);
    assert_eq!((tap.count("RETR"), tap.count("DELE")), (7, 0));
    let job = listed()["jobs"][0].clone();
    assert_eq!(
        (&job["state"], &job["planned"], &job["held"]),
        (&json!("done"), &json!(7), &json!(7))
    );
    assert_eq!(jobs(&archive).len(), 1);
    let nothing = mailstow.run(&["resume", to]);
    assert!(nothing.expect(0).stdout.contains("no job is open"));
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 7);
}

#[test]
fn a_report_says_where_everything_went() {
    let dovecot = Dovecot::start();
    let large = format!("Subject: l\r\n\r\n{}", "0123456789\r\n".repeat(3000));
    let mut mail = bodies(0..4);
    mail.extend([spam(4), spam(5), large, body(0)]);
    deliver(&dovecot, ALICE, &mail);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let url = dovecot.pop3_url(ALICE);
    let report = mailstow.report(&url, &archive, 0, &["--max-size", "20k"]);
    let row = &report["mailboxes"][0];
    let want = Numbers {
        exists: 8,
        stored: 6,
        linked: 1,
        excluded: 1,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "maildrop"), want);
    assert_eq!(row["filed"], json!([["INBOX", 5], ["Junk", 2]]));
    assert_eq!(
        row["excluded_because"],
        json!([["larger than --max-size", 1]])
    );
    assert!(report["warnings"].as_array().unwrap().is_empty());
    // The same in words; and the large one is fetched once nothing forbids it.
    let quiet = mailstow.backup(&url, &archive, &["--max-size", "20k"]);
    let words = "excluded: 1 larger than --max-size";
    assert!(quiet.expect(0).stdout.contains(words), "{}", quiet.stdout);
    let report = mailstow.report(&url, &archive, 0, &[]);
    assert_eq!(numbers(&report, "maildrop").stored, 1);
    assert_eq!(report["mailboxes"][0]["filed"], json!([["INBOX", 1]]));
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 8);
}

/// Says the password of every user.
const ASK: [&str; 2] = ["--password-command", "printf '%s\\n' 'correct horse'"];

#[test]
fn several_sources_in_one_command_go_to_accounts_of_their_own() {
    assert!(ASK[1].contains(PASSWORD));
    let mut dovecot = Dovecot::start();
    dovecot.add_user("bob", PASSWORD);
    deliver(&dovecot, ALICE, &bodies(0..4));
    deliver(&dovecot, "bob", &bodies(2..9));
    let mailstow = Mailstow::bare();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let urls = [dovecot.pop3_url(ALICE), dovecot.pop3_url("bob")];
    let args = [&["backup", &urls[0], &urls[1], "--to", to], &ASK[..]].concat();
    mailstow.run(&args).expect(0);
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 4);
    assert_eq!(
        assert_drained(&dovecot, "bob", &archive, "bob@127.0.0.1"),
        7
    );
    // What both have is kept once.
    assert_eq!(archive_state(&archive).contents.len(), 9);

    // IMAP and POP3 in one command; the failure of one does not stop the other.
    deliver(&dovecot, ALICE, &bodies(10..12));
    deliver(&dovecot, "bob", &bodies(12..14));
    let [imap, nowhere] = [dovecot.url("bob"), "pop3s://x@pop.invalid".to_owned()];
    let args = [&["backup", &nowhere, &urls[0], &imap, "--to", to], &ASK[..]].concat();
    let ended = mailstow.run(&args);
    assert!(ended.expect(6).stderr.contains("pop.invalid"));
    assert_eq!(archive_state(&archive).contents.len(), 13);
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 6);
    assert_sound(&archive);
}

#[test]
fn options_that_mean_nothing_to_a_source_are_slips_and_nothing_is_begun() {
    // No server is asked, so none is needed.
    let (pop3, imap) = ("pop3://a@127.0.0.1:1", "imap://a@127.0.0.1:1");
    let pop_options: [&[&str]; 6] = [
        &["--pop-messages", "all"],
        &["--pop-spam", "include"],
        &["--pop-spam-from-server"],
        &["--pop-delete", "never"],
        &["--pop-delete", "archived"],
        &["--pop-without-uidl"],
    ];
    let imap_options: [&[&str]; 4] = [
        &["--mailbox", "INBOX"],
        &["--exclude", "Trash"],
        &["--since", "2024-01-01"],
        &["--before", "2024-01-01"],
    ];
    let bad_values: [&[&str]; 6] = [
        &["--pop-messages", "some"],
        &["--pop-spam", "maybe"],
        &["--pop-delete", "always"],
        &["--pop-delete", "after-days"],
        &["--pop-delete", "after-days=-1"],
        &["--pop-spam", "exclude", "--pop-spam-from-server"],
    ];
    let cases = pop_options
        .map(|options| (imap, options))
        .into_iter()
        .chain(imap_options.map(|options| (pop3, options)))
        .chain(bad_values.map(|options| (pop3, options)));
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    for (url, options) in cases {
        for verb in ["backup", "plan"] {
            let ended = mailstow.run(&[&[verb, url, "--to", to], options].concat());
            assert_eq!(ended.exit, Some(2), "{verb} {url} {options:?}: {ended:?}");
            assert!(ended.stderr.contains("--"), "{}", ended.stderr);
        }
    }
    assert!(!archive.exists());
    // With a source of either kind both kinds of options have one they are for.
    let both = [
        &["backup", pop3, imap, "--to", to, "--pop-spam", "include"],
        &ASK[..],
    ]
    .concat();
    assert_eq!(mailstow.run(&both).exit, Some(6));
    assert!(commits(&archive).is_empty() || archive_state(&archive).placed.is_empty());
}
