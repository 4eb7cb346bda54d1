//! What is backed up and when: selection, filters, plans, jobs, dry runs.
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

use mailstow::model::JobState;
use support::archive_state::{
    archive_state, assert_adds_a_run_record_only, assert_sound, files, jobs,
};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Mailstow, Numbers, numbers};

const ACCOUNT: &str = "alice@127.0.0.1";

/// INBOX, Work, Work/2023, Work/2024, [Odd]? with a message each.
fn with_levels() -> Dovecot {
    let dovecot = Dovecot::start();
    for name in ["INBOX", "Work", "Work/2023", "Work/2024", "[Odd]?", "Trash"] {
        let body = format!("Subject: in {name}\r\n\r\nx\r\n");
        dovecot.deliver(ALICE, name, body.as_bytes(), &[], None);
    }
    dovecot
}

/// Names of the mailboxes that a backup with these options takes.
fn taken(dovecot: &Dovecot, options: &[&str]) -> Vec<String> {
    let mailstow = Mailstow::new();
    let report = mailstow.report(&dovecot.url(ALICE), &mailstow.archive(), 0, options);
    let list = report["mailboxes"].as_array().unwrap();
    let mut names: Vec<String> = list
        .iter()
        .map(|m| m["name"].as_str().unwrap().to_owned())
        .collect();
    for name in &names {
        assert_eq!(numbers(&report, name).stored, 1, "{name}");
    }
    names.sort();
    names
}

#[test]
fn patterns_choose_mailboxes() {
    let dovecot = with_levels();
    let all = ["INBOX", "Trash", "Work", "Work/2023", "Work/2024", "[Odd]?"];
    assert_eq!(taken(&dovecot, &[]), all);
    assert_eq!(taken(&dovecot, &["--mailbox", "inbox"]), ["INBOX"]);
    assert_eq!(taken(&dovecot, &["--mailbox", "W*"]), ["Work"]);
    assert_eq!(
        taken(&dovecot, &["--mailbox", "W**"]),
        ["Work", "Work/2023", "Work/2024"]
    );
    assert_eq!(
        taken(&dovecot, &["--mailbox", "Work/*", "--exclude", "**/2023"]),
        ["Work/2024"]
    );
    assert_eq!(
        taken(&dovecot, &["--mailbox", "[Odd]?", "--mailbox", "INBOX"]),
        ["INBOX", "[Odd]?"]
    );
    assert_eq!(
        taken(&dovecot, &["--exclude", "*", "--exclude", "Work/2023"]),
        ["Work/2024"]
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_a_usage_error_that_names_the_mailboxes() {
    let dovecot = with_levels();
    let mailstow = Mailstow::new();
    for option in ["--mailbox", "--exclude"] {
        let ended = mailstow.backup(&dovecot.url(ALICE), &mailstow.archive(), &[option, "Wrok"]);
        ended.expect(2);
        assert!(
            ended.stderr.contains("no mailbox matches `Wrok`"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("`Work/2023`"), "{}", ended.stderr);
    }
    // The next run with the right pattern is none the worse for it.
    mailstow
        .backup(
            &dovecot.url(ALICE),
            &mailstow.archive(),
            &["--mailbox", "Work"],
        )
        .expect(0);
    assert_sound(&mailstow.archive());
}

#[test]
fn what_a_filter_excludes_is_counted_and_fetched_once_the_filter_is_gone() {
    let dovecot = Dovecot::start();
    let mail =
        |size: usize| format!("Subject: {size}\r\n\r\n{}\r\n", "x".repeat(size)).into_bytes();
    let deliver = |size, date: &str| dovecot.deliver(ALICE, "INBOX", &mail(size), &[], Some(date));
    deliver(1, "31-Dec-2019 23:59:59 +0000");
    deliver(2, "01-Jan-2020 00:00:00 +0000");
    deliver(3, "31-Dec-2020 23:59:59 +0000");
    deliver(4, "01-Jan-2021 00:00:00 +0000");
    deliver(5000, "01-Jun-2020 00:00:00 +0000");
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    let filters = [
        "--since",
        "2020-01-01",
        "--before",
        "2021-01-01",
        "--max-size",
        "4k",
    ];
    let report = mailstow.report(&url, &archive, 0, &filters);
    let want = Numbers {
        exists: 5,
        stored: 2,
        excluded: 3,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), want);
    assert_adds_a_run_record_only(&archive, || {
        let again = numbers(&mailstow.report(&url, &archive, 0, &filters), "INBOX");
        assert_eq!(
            again,
            Numbers {
                exists: 5,
                held: 2,
                excluded: 3,
                ..Numbers::default()
            }
        );
    });
    // A checkpoint made under other filters does not count: fewer, other, and none.
    let report = mailstow.report(&url, &archive, 0, &filters[..4]);
    let want = Numbers {
        exists: 5,
        stored: 1,
        held: 2,
        excluded: 2,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), want);
    let report = mailstow.report(&url, &archive, 0, &[]);
    let want = Numbers {
        exists: 5,
        stored: 2,
        held: 3,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), want);
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 5);
    // What is held stays held under any filter.
    let report = mailstow.report(&url, &archive, 0, &["--max-size", "1"]);
    assert_eq!(numbers(&report, "INBOX").held, 5);
    assert_sound(&archive);
}

#[test]
fn a_range_of_dates_that_is_empty_is_a_usage_error() {
    let mailstow = Mailstow::new();
    let range = ["--since", "2021-01-01", "--before", "2021-01-01"];
    let ended = mailstow.backup("imap://alice@127.0.0.1:9", &mailstow.archive(), &range);
    ended.expect(2);
    assert!(!mailstow.archive().exists());
}

#[test]
fn a_plan_is_kept_as_a_job_that_resume_runs() {
    let dovecot = with_levels();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let plan = || mailstow.run(&["plan", &url, "--to", to]);
    let first = plan();
    first.expect(0);
    assert!(
        first.stdout.contains(&format!("mailstow resume {to} 1")),
        "{}",
        first.stdout
    );
    // The same plan again is the same job; nothing was fetched so far.
    plan().expect(0);
    let all = jobs(&archive);
    assert_eq!(
        all.iter().map(|j| (j.id, j.state)).collect::<Vec<_>>(),
        [(1, JobState::Open)]
    );
    assert_eq!(
        all.iter()
            .flat_map(|j| &j.mailboxes)
            .map(|m| m.fetch.len())
            .sum::<u64>(),
        6
    );
    assert_eq!(archive_state(&archive).contents.len(), 0);
    let listed = mailstow.run(&["jobs", to]);
    assert!(listed.expect(0).stdout.contains("0/6"), "{}", listed.stdout);

    mailstow.run(&["resume", to]).expect(0);
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 6);
    assert_eq!(
        jobs(&archive).iter().map(|j| j.state).collect::<Vec<_>>(),
        [JobState::Done]
    );
    let listed = mailstow.run(&["jobs", to]);
    assert!(listed.expect(0).stdout.contains("6/6"), "{}", listed.stdout);
    let again = mailstow.run(&["resume", to]);
    assert!(
        again.expect(0).stdout.contains("no job is open"),
        "{}",
        again.stdout
    );
    for (job, words) in [("1", "not open any more"), ("7", "there is no job 7")] {
        let refused = mailstow.run(&["resume", to, job]);
        assert!(
            refused.expect(2).stderr.contains(words),
            "{}",
            refused.stderr
        );
    }
    assert_sound(&archive);
}

#[test]
fn a_plan_keeps_its_filters_and_another_plan_supersedes_it() {
    let dovecot = with_levels();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    mailstow.run(&["plan", &url, "--to", to]).expect(0);
    mailstow
        .run(&["plan", &url, "--to", to, "--mailbox", "Work/*"])
        .expect(0);
    let states: Vec<_> = jobs(&archive).iter().map(|j| j.state).collect();
    assert_eq!(states, [JobState::Superseded, JobState::Open]);
    let resumed = mailstow.run(&["resume", to, "--json"]);
    resumed.expect(0);
    assert_eq!(numbers(&resumed.report(), "total").stored, 2);
    assert_sound(&archive);
}

#[test]
fn a_dry_run_changes_nothing_anywhere() {
    let dovecot = with_levels();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    let dry = mailstow.backup(&url, &archive, &["--dry-run"]);
    assert!(dry.expect(0).stdout.contains("to fetch"), "{}", dry.stdout);
    assert!(!archive.exists());
    assert_eq!(
        std::fs::read_dir(mailstow.tmp()).unwrap().count(),
        0,
        "litter"
    );

    mailstow
        .backup(&url, &archive, &["--mailbox", "Work"])
        .expect(0);
    let before = files(&archive);
    let report = mailstow.backup(&url, &archive, &["--dry-run", "--json"]);
    report.expect(0);
    assert!(files(&archive) == before);
    let value = report.report();
    assert_eq!(
        (&value["total"]["exists"], &value["total"]["held"]),
        (&6.into(), &1.into())
    );
    assert_eq!(
        std::fs::read_dir(mailstow.tmp()).unwrap().count(),
        0,
        "litter"
    );
}

#[test]
fn a_catalog_may_lie_elsewhere_and_may_be_deleted() {
    let dovecot = with_levels();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let elsewhere = mailstow.path().join("index.sqlite");
    let catalog = ["--catalog", elsewhere.to_str().unwrap()];
    mailstow.backup(&url, &archive, &catalog).expect(0);
    assert!(elsewhere.exists() && !archive.join("catalog.sqlite").exists());
    for path in [&catalog[..], &[]] {
        let listed = mailstow.run(&[&["ls", to][..], path].concat());
        assert_eq!(listed.expect(0).stdout.lines().count(), 6);
    }
    std::fs::remove_file(&elsewhere).unwrap();
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &catalog).expect(0);
    });
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 6);
}
