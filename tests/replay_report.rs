//! What a replay has to show for itself: text, JSON, the page and the exit code, of the real
//! program.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

#[path = "replay_report/page.rs"]
mod page;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;
use page::Parsed;
use serde_json::Value;
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::fake_target::{FakeTarget, Reaction, RefuseBody, TargetWorld};
use support::mailstow::{Ended, Mailstow};

const DATE: Option<&str> = Some("07-Feb-2024 21:52:25 +0100");
/// A mailbox whose name is made to be executed.
const HOSTILE: &str = "<script>alert('1')</script>";

fn mail(n: u32, body: &str) -> Vec<u8> {
    format!("From: Ada <ada@example.org>\r\nSubject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n{body}\r\n")
        .into_bytes()
}

/// An archive of six messages in three mailboxes.
struct Small {
    mailstow: Mailstow,
    dovecot: Dovecot,
}

impl Small {
    fn new() -> Self {
        let mut dovecot = Dovecot::start();
        dovecot.add_user("bob", PASSWORD);
        let give = |mailbox: &str, n: u32, body: &str, flags: &[&str]| {
            dovecot.deliver(ALICE, mailbox, &mail(n, body), flags, DATE);
        };
        give("INBOX", 1, "Hello", &["\\Seen"]);
        give("INBOX", 2, "a virus", &[]);
        give("INBOX", 3, "Bye", &["$Work"]);
        give("Work/2024", 4, "Hello again", &["\\Flagged"]);
        give("Work/2024", 1, "Hello", &[]);
        give(HOSTILE, 5, "another virus", &[]);
        let mailstow = Mailstow::new()
            .with("MAILSTOW_TARGET_PASSWORD", PASSWORD)
            .with("MAILSTOW_TEST_SETTLE_MS", "10")
            .with("MAILSTOW_TEST_BACKOFF_MS", "10");
        mailstow
            .backup(&dovecot.url(ALICE), &mailstow.archive(), &[])
            .expect(0);
        Self { mailstow, dovecot }
    }

    fn replay(&self, url: &str, more: &[&str]) -> Ended {
        let archive = self.mailstow.archive();
        let args = ["replay", archive.to_str().unwrap(), "--to", url];
        self.mailstow.run(&[&args, more].concat())
    }

    /// The same with `--json`: the last line, which is the report.
    fn json(&self, url: &str, exit: i32, more: &[&str]) -> Value {
        let ended = self.replay(url, &[&["--json"], more].concat());
        let last = ended.expect(exit).json().pop().unwrap();
        assert_eq!(last["event"], "replay", "{last}");
        assert_eq!(last["exit"], exit);
        last
    }

    fn file(&self) -> PathBuf {
        self.mailstow.path().join("report.html")
    }

    fn page(&self) -> Parsed {
        let html = std::fs::read_to_string(self.file()).unwrap();
        Parsed::of(&html)
    }

    fn redacted(&self, ended: &Ended) -> String {
        let text = format!(
            "exit {}\n{}{}",
            ended.exit.unwrap(),
            ended.stdout,
            ended.stderr
        );
        let text = text.replace(self.mailstow.path().to_str().unwrap(), "DIR");
        let lines = text.lines().map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A target that takes no virus, and no keyword of the user's own.
fn picky() -> FakeTarget {
    let mut world = TargetWorld::default();
    let refuse: RefuseBody = Box::new(|body| {
        let virus = body.windows(5).any(|w| w == b"virus");
        virus.then(|| "NO [CANNOT] \"><img src=x onerror=alert(2)>\u{202e}\u{1b}[2J".to_owned())
    });
    world.refuse_body = Some(refuse);
    world.mailbox_mut("INBOX").permanent_flags = Some("(\\Seen \\Flagged)".to_owned());
    FakeTarget::start(world)
}

const REPORT: [&str; 2] = ["--report", "report.html"];

#[test]
fn a_dry_run_a_replay_and_a_second_one_say_what_they_did() {
    let small = Small::new();
    let url = small.dovecot.url("bob");
    assert_snapshot!(small.redacted(&small.replay(&url, &["--dry-run"])), @r#"
    exit 0
    alice@127.0.0.1 to bob@127.0.0.1:
    mailbox                      in archive  before  to append  there  refused  doubtful
    INBOX                                 3       0          3      0        0         0
    <script>alert('1')</script>           1       0          1      0        0         0
    Work/2024                             2       0          2      0        0         0
    total                                 6       0          6      0        0         0
      would be made on the target: <script>alert('1')</script>, Work/2024

    a dry run, nothing was changed: 6 messages (428 B) would be appended.
    to send: 6 messages (428 B) to 3 mailboxes
    "#);
    assert!(small.dovecot.connect("bob").mailboxes() == ["INBOX"]);
    assert_snapshot!(small.redacted(&small.replay(&url, &REPORT)), @r#"
    exit 0
    alice@127.0.0.1 to bob@127.0.0.1:
    mailbox                      in archive  before  appended  there  refused  doubtful  now
    INBOX                                 3       0         3      0        0         0    3
    <script>alert('1')</script>           1       0         1      0        0         0    1
    Work/2024                             2       0         2      0        0         0    2
    total                                 6       0         6      0        0         0    6
      made on the target: <script>alert('1')</script>, Work/2024

    complete: 6 messages (428 B) appended.
    to send: 6 messages (428 B) to 3 mailboxes
    "#);
    let first = small.page();
    assert_snapshot!(small.redacted(&small.replay(&url, &REPORT)), @r#"
    exit 0
    alice@127.0.0.1 to bob@127.0.0.1:
    mailbox                      in archive  before  appended  there  refused  doubtful  now
    INBOX                                 3       3         0      3        0         0    3
    <script>alert('1')</script>           1       1         0      1        0         0    1
    Work/2024                             2       2         0      2        0         0    2
    total                                 6       6         0      6        0         0    6

    complete: nothing to send, 6 messages there already.
    nothing to send: 6 messages there already
    "#);
    assert!(
        first.text.contains("Complete: 6 messages"),
        "{}",
        first.text
    );
    let again = small.page().text;
    assert!(again.contains("Complete: nothing to send, 6 messages there already."));
    let quiet = small.replay(&url, &["-q"]);
    assert_eq!(quiet.expect(0).output(), "");
}

#[test]
fn what_was_refused_is_told_with_the_targets_words_everywhere() {
    let small = Small::new();
    let target = picky();
    let url = target.url();
    assert_snapshot!(small.redacted(&small.replay(&url, &REPORT)), @r#"
    exit 3
    alice@127.0.0.1 to bob@127.0.0.1:
    mailbox                      in archive  before  appended  there  refused  doubtful  now
    INBOX                                 3       0         2      0        1         0    2
    <script>alert('1')</script>           1       0         0      0        1         0    0
    Work/2024                             2       0         2      0        0         0    2
    total                                 6       0         4      0        2         0    4
      made on the target: <script>alert('1')</script>, Work/2024
    ! refused 24caeeed8a23 in INBOX: [CANNOT] "><img src=x onerror=alert(2)>\u{202e}\u{1b}[2J
    ! refused f9849c44ce78 in <script>alert('1')</script>: [CANNOT] "><img src=x onerror=alert(2)>\u{202e}\u{1b}[2J
      without keywords ccda1d3536ba in INBOX: $Work
      what was refused is in the archive (mailstow show DIR/archive ID), and every replay tries it again

    finished, but not everything is there: 4 messages (280 B) appended, 2 refused.
    to send: 6 messages (428 B) to 3 mailboxes
    "#);
    // It is tried again, and told again, also where nothing else is.
    let quiet = small.replay(&url, &["-q"]);
    assert!(quiet.expect(3).stdout.contains("! refused"), "{quiet:?}");
    let page = small.page();
    assert!(!page.text.contains('\u{1b}') && !page.text.contains('\u{202e}'));
    let json = small.json(&url, 3, &REPORT);
    assert_eq!(json["noted"], serde_json::json!([["refused", 2]]));
    let words = json["messages"][0]["reason"].as_str().unwrap();
    assert!(words.contains("onerror=alert(2)>\u{202e}"), "{words:?}");
    // The page says the same as the JSON of this run, and adds up.
    let page = small.page();
    page.adds_up();
    let table = page.table("mailbox on the target");
    let names: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["INBOX", HOSTILE, "Work/2024", "total"]);
    for (row, told) in table.rows.iter().zip(json["mailboxes"].as_array().unwrap()) {
        for (column, key) in [
            ("in the archive", "in_archive"),
            ("on the target before", "before"),
            ("appended", "appended"),
            ("already there", "there"),
            ("refused", "refused"),
            ("doubtful", "doubtful"),
            ("on the target now", "now"),
        ] {
            assert_eq!(table.number(row, column), told[key].as_i64().unwrap());
        }
    }
    let refused = page.table("what");
    assert_eq!(refused.rows.len(), 2);
    assert_eq!(refused.rows[0][0], "refused");
    assert!(refused.rows[0][2].contains("\"><img src=x onerror=alert(2)>\\u{202e}\\u{1b}[2J"));
}

#[test]
fn the_last_line_of_json_has_everything() {
    let small = Small::new();
    let url = small.dovecot.url("bob");
    let json = small.json(&url, 0, &["--mailbox", "INBOX", "--as-of", "2100-01-01"]);
    let keys: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_snapshot!(keys.join(" "), @"account adds_up archive archive_id as_of dry_run ended ending event exit mailboxes messages noted notes selection sent started target total version warnings");
    assert_eq!(
        json["selection"],
        serde_json::json!(["only mailboxes INBOX"])
    );
    assert_eq!(json["adds_up"], true);
    assert!(json["as_of"].as_str().unwrap() <= json["ended"].as_str().unwrap());
    let row = json["mailboxes"][0].as_object().unwrap();
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    assert_snapshot!(keys.join(" "), @"appended before bytes collapsed created doubtful excluded flags_kept flags_set in_archive labelled left lost moved_in moved_out now refused removed shown sources target there");
}

#[test]
fn a_full_target_and_a_lost_one_say_so_and_what_to_do() {
    let small = Small::new();
    let full = FakeTarget::start(TargetWorld {
        quota: Some(150),
        ..TargetWorld::default()
    });
    let ended = small.replay(&full.url(), &["--mailbox", "INBOX"]);
    assert_snapshot!(small.redacted(&ended), @r#"
    exit 9
    alice@127.0.0.1 to bob@127.0.0.1, only mailboxes INBOX:
    mailbox  in archive  before  appended  there  refused  doubtful  left
    INBOX             3       0         2      0        0         0     1
      left for the next run: 1 message

    the target has no room left: [OVERQUOTA] the mailbox is full
    2 messages (140 B) appended, 1 left.
    Make room there and run the same command again: it sends what is missing.
    to send: 3 messages (207 B) to 1 mailbox
    "#);
    let lost = FakeTarget::start(TargetWorld::default());
    lost.hook(|command, world| {
        if command.name != "APPEND" {
            return Reaction::Normal;
        }
        world.sign_in = "NO [UNAVAILABLE] closed for <b>maintenance</b>".to_owned();
        Reaction::HangUp(b"* BYE going down\r\n".to_vec())
    });
    // To mailstow it is the same target; what it knows of that stays aside.
    let more = ["--mailbox=INBOX", "--report=report.html", "--ledger=other"];
    let mut ended = small.replay(&lost.url(), &more);
    let tries = std::mem::take(&mut ended.stderr);
    assert!(tries.contains("the server ended the session: going down; trying again in"));
    assert_snapshot!(small.redacted(&ended), @r#"
    exit 6
    alice@127.0.0.1 to bob@127.0.0.1, only mailboxes INBOX:
    mailbox  in archive  before  appended  there  refused  doubtful  left
    INBOX             3       0         0      0        0         0     3
      left for the next run: 3 messages

    the target was lost: the server has no capacity: [UNAVAILABLE] closed for <b>maintenance</b>
    nothing appended, 3 left.
    Run the same command again: it sends what is missing, and nothing twice.
    "#);
    let page = small.page();
    assert!(
        page.text.contains("Run the same command again"),
        "{}",
        page.text
    );
}

#[test]
fn an_interrupted_replay_says_that_the_same_command_goes_on() {
    let small = Small::new();
    let target = FakeTarget::start(TargetWorld {
        latency: Duration::from_millis(400),
        ..TargetWorld::default()
    });
    let archive = small.mailstow.archive();
    let url = target.url();
    let args = ["replay", archive.to_str().unwrap(), "--to", &url];
    let mut running = small.mailstow.start(&[&args[..], &REPORT].concat());
    running.wait_for("to-append").unwrap();
    running.signal("INT");
    let ended = running.finish();
    let json = ended.expect(130).json().pop().unwrap();
    assert_eq!(json["ending"], "interrupted");
    let page = small.page().text;
    assert!(page.contains("Interrupted: "), "{page}");
    assert!(page.contains("Run the same command again"), "{page}");
    target.world().latency = Duration::ZERO;
    let json = small.json(&url, 0, &[]);
    assert_eq!(json["total"]["now"], 6);
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_anything_is_sent_or_afterwards() {
    let small = Small::new();
    let target = FakeTarget::start(TargetWorld::default());
    let early = small.replay(&target.url(), &["--report", "nowhere/report.html"]);
    assert_snapshot!(small.redacted(&early), @r#"
    exit 4
    error: cannot write the report to `nowhere/report.html`: No such file or directory (os error 2)
      hint: nothing was done; --report names a file in a folder that is there
    "#);
    assert_eq!(target.connections(), 0);
    // Where it would be written first lies something else.
    std::fs::create_dir(small.mailstow.path().join(".report.html.new")).unwrap();
    let late = small.replay(&target.url(), &["-q", "--report", "report.html"]);
    assert!(late.expect(4).stderr.contains("cannot write the report to"));
    assert_eq!(target.messages("INBOX").len(), 3);
    std::fs::remove_dir(small.mailstow.path().join(".report.html.new")).unwrap();
    small.replay(&target.url(), &REPORT).expect(0);
    let mode = std::fs::metadata(small.file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
