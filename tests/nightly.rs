//! Runs that nobody watches: the report in a file, and the notify command.
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

#[path = "nightly/night.rs"]
mod night;

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use night::{Night, text, with_a_dead_message};
use serde_json::Value;
use support::dovecot::PASSWORD;
use support::fake_imap::{Delivery, FakeImap, World};
use support::mailstow::Mailstow;

fn json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_report_file_is_the_last_line_of_json() {
    let fake = FakeImap::start(with_a_dead_message());
    let night = Night::new();
    // What is there is replaced, whatever its mode.
    std::fs::write(&night.report, "old").unwrap();
    std::fs::set_permissions(&night.report, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = night.backup(&[&fake.url()], 3, &["--json"]);
    let report = json(&night.report);
    assert_eq!(report, ended.report());
    assert_eq!(
        (&report["exit"], &report["total"]["skipped"]),
        (&3.into(), &1.into())
    );
    let mode = night.report.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The next night's replaces it; nothing is left beside it.
    fake.heal();
    fake.world().message(2).delivery = Delivery::Whole;
    night.backup(&[&fake.url()], 0, &[]);
    assert_eq!(json(&night.report)["exit"], 0);
    let names = std::fs::read_dir(night.mailstow.path()).unwrap();
    let beside = names.filter(|n| {
        n.as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .contains("report")
    });
    assert_eq!(beside.count(), 1);
}

#[test]
fn several_sources_make_an_array_with_an_error_where_one_failed() {
    let good = FakeImap::start(World::inbox(2));
    let refusing = FakeImap::start(World {
        sign_in: "NO [AUTHENTICATIONFAILED] no".to_owned(),
        ..World::inbox(2)
    });
    let night = Night::of(Mailstow::bare());
    let bob = refusing.url().replace("alice", "bob");
    let command = ["--password-command", "echo secret"];
    night.backup(&[&good.url(), &bob], 5, &command);
    let reports = json(&night.report);
    let reports = reports.as_array().unwrap();
    assert_eq!(reports.len(), 2, "{reports:#?}");
    let key = |n: usize| {
        let report: &Value = &reports[n];
        (
            report["event"].as_str().unwrap(),
            report["account"].as_str().unwrap(),
            report["exit"].as_i64().unwrap(),
        )
    };
    assert_eq!(key(0), ("report", "alice@127.0.0.1", 0));
    assert_eq!(key(1), ("error", "bob@127.0.0.1", 5));
    assert!(
        reports[1]["error"]
            .as_str()
            .unwrap()
            .contains("refused to sign in")
    );
}

#[test]
fn a_run_that_fails_before_there_is_a_report_leaves_its_error() {
    let fake = FakeImap::start(World::inbox(1));
    let night = Night::of(Mailstow::bare());
    for (exit, more, words) in [
        (4, &["--password-command", "exit 7"][..], "exit status: 7"),
        (4, &[], "no password"),
        (
            2,
            &["--since", "2026-02-01", "--before", "2026-01-01"],
            "--since",
        ),
        (2, &["--ping", "http://elsewhere.example/x"], "ping"),
    ] {
        let ended = night.backup(&[&fake.url()], exit, more);
        let report = json(&night.report);
        assert_eq!(
            (&report["event"], &report["exit"]),
            (&"error".into(), &exit.into())
        );
        let error = report["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
        // It is told to whoever does watch as well, and once.
        assert_eq!(ended.stderr.matches(error).count(), 1, "{}", ended.stderr);
    }
    assert_eq!(fake.connections(), 0);
    assert!(!night.archive.exists());
}

#[test]
fn a_report_that_cannot_be_written_is_exit_4_of_a_run_that_was_complete() {
    let fake = FakeImap::start(World::inbox(1));
    let mut night = Night::new();
    let missing = night.mailstow.path().join("missing/report.json");
    let folder = night.mailstow.tmp();
    let link = night.mailstow.path().join("link.json");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for target in [
        missing,
        folder,
        PathBuf::from("/dev/null"),
        link,
        PathBuf::from(".."),
    ] {
        night.report = target;
        let ended = night.backup(&[&fake.url()], 4, &["-q"]);
        assert_eq!(ended.stdout, "");
        assert!(
            ended
                .stderr
                .starts_with("warning: cannot write the report to"),
            "{ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    // Another code stays as it is.
    fake.world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    let ended = night.backup(&[&fake.url()], 5, &[]);
    assert!(
        ended.stderr.contains("warning: cannot write the report"),
        "{ended:?}"
    );
    // The next run finds the archive as it should be.
    fake.world().sign_in = "OK".to_owned();
    night.report = night.mailstow.path().join("report.json");
    night.backup(&[&fake.url()], 0, &[]);
    assert_eq!(json(&night.report)["total"]["held"], 1);
}

/// Keeps its environment and its input in the runner's folder.
const KEEP: &str = "env | sort > env.txt; cat > input.json; echo said; echo more >&2";

#[test]
fn the_notify_command_hears_of_failures_and_of_no_password() {
    let fake = FakeImap::start(with_a_dead_message());
    let night = Night::of(
        Mailstow::new()
            .with("MAILSTOW_TARGET_PASSWORD", "canary-target")
            .with("MAILSTOW_TEST_SECOND_MS", "1000"),
    );
    let ended = night.backup(&[&fake.url()], 3, &["--json", "--notify-command", KEEP]);
    let env = std::fs::read_to_string(night.mailstow.path().join("env.txt")).unwrap();
    let ours: Vec<&str> = env.lines().filter(|l| l.starts_with("MAILSTOW_")).collect();
    let archive = format!("MAILSTOW_ARCHIVE={}", text(&night.archive));
    assert_eq!(
        ours,
        [
            "MAILSTOW_ACCOUNTS=alice@127.0.0.1",
            &archive,
            "MAILSTOW_EXIT=3"
        ]
    );
    assert!(!env.contains(PASSWORD) && !env.contains("canary"), "{env}");
    let input = json(&night.mailstow.path().join("input.json"));
    assert_eq!(input, json(&night.report));
    assert_eq!(input["total"]["skipped"], 1);
    // What it says does not get between the lines of JSON.
    assert_eq!(ended.report(), input);
    assert!(ended.stderr.contains("said\nmore\n"), "{}", ended.stderr);
}

#[test]
fn the_notify_command_is_quiet_on_success_unless_always_is_said() {
    let fake = FakeImap::start(World::inbox(1));
    let night = Night::new();
    let input = night.mailstow.path().join("input.json");
    let url = fake.url();
    night.backup(&[&url], 0, &["--notify-command", KEEP]);
    night.backup(
        &[&url],
        0,
        &["--notify-command", KEEP, "--notify", "failure"],
    );
    assert!(!input.exists());
    night.backup(
        &[&url],
        0,
        &["--notify-command", KEEP, "--notify", "always"],
    );
    assert_eq!(json(&input)["total"]["held"], 1);
    // Without a command there is nothing to choose.
    night.backup(&[&url], 2, &["--notify", "always"]);
}

#[test]
fn a_notify_command_that_fails_is_reported_and_changes_nothing() {
    let fake = FakeImap::start(World::inbox(1));
    let night = Night::of(Mailstow::new().with("MAILSTOW_TEST_SECOND_MS", "50"));
    let always = |command: &str, exit: i32| {
        let options = ["--notify", "always", "--notify-command", command];
        let ended = night.backup(&[&fake.url()], exit, &options);
        ended.stderr
    };
    for (command, words) in [
        ("exit 3", "the notify command failed: exit status: 3"),
        ("nosuchcommand-x", "exit status: 127"),
        // Killed, with what it started.
        (
            "sleep 600 >/dev/null 2>&1 & echo $! > child; wait",
            "was killed",
        ),
    ] {
        let said = always(command, 0);
        assert!(said.contains("warning: ") && said.contains(words), "{said}");
    }
    // A command that does not read its input is no failure.
    assert!(!always("exec <&-; true", 0).contains("warning"));
    fake.world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    assert!(always("exit 3", 5).contains("exit status: 3"));
    let child = std::fs::read_to_string(night.mailstow.path().join("child")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_running(child.trim()) {
        assert!(Instant::now() < deadline, "{child} still runs");
        std::thread::yield_now();
    }
}

/// Whether there is such a process that has not ended; who reaps it is another matter.
fn is_running(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}

#[test]
fn plans_and_dry_runs_leave_a_report_but_tell_nobody() {
    let fake = FakeImap::start(World::inbox(4));
    let night = Night::new();
    night.backup(&[&fake.url()], 0, &["--dry-run"]);
    assert_eq!(json(&night.report)["total"]["exists"], 4);
    for options in [
        ["--notify-command", "true"],
        ["--ping", "https://h.example/x"],
    ] {
        let ended = night.backup(&[&fake.url()], 2, &[&["--dry-run"], &options[..]].concat());
        assert!(ended.stderr.contains("this makes none"), "{ended:?}");
    }
}

#[test]
fn resume_tells_as_backup_does() {
    let fake = FakeImap::start(World::inbox(2));
    let night = Night::new();
    let plan = ["plan", &fake.url(), "--to", text(&night.archive)];
    night.mailstow.run(&plan).expect(0);
    let resume = [
        "resume",
        text(&night.archive),
        "--report",
        text(&night.report),
    ];
    let notify = ["--notify", "always", "--notify-command", KEEP];
    night
        .mailstow
        .run(&[&resume[..], &notify].concat())
        .expect(0);
    assert_eq!(json(&night.report)["total"]["stored"], 2);
    let env = std::fs::read_to_string(night.mailstow.path().join("env.txt")).unwrap();
    assert!(env.contains("MAILSTOW_ACCOUNTS=alice@127.0.0.1\n"), "{env}");
    // Nothing left to do is no failure, and an empty report.
    night.mailstow.run(&resume).expect(0);
    assert_eq!(json(&night.report), Value::Array(Vec::new()));
}
