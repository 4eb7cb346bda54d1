//! `--ping`, against a small HTTP server: what a dead man's switch hears of a run, and that the
//! run does not depend on it.
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

#[path = "nightly/switch.rs"]
mod switch;

mod support;

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::archive_state::files;
use support::dovecot::PASSWORD;
use support::fake_imap::{FakeImap, Reaction, World};
use support::mailstow::{Ended, Mailstow};
use switch::{Answer, KEY, Switch, tls};

/// A runner with a short second, and a backup with `--ping`.
fn night() -> Mailstow {
    Mailstow::new()
        .with("MAILSTOW_TEST_BACKOFF_MS", "5")
        .with("MAILSTOW_TEST_SECOND_MS", "100")
}

/// Runs a backup. Whatever happens, the key is nowhere.
#[track_caller]
fn backup(mailstow: &Mailstow, fake: &FakeImap, exit: i32, url: &str, more: &[&str]) -> Ended {
    let args = [&["--ping", url], more].concat();
    let ended = mailstow.backup(&fake.url(), &mailstow.archive(), &args);
    ended.expect(exit);
    assert_no_key(mailstow, &ended);
    ended
}

#[track_caller]
fn assert_no_key(mailstow: &Mailstow, ended: &Ended) {
    assert!(!ended.output().contains(KEY), "{ended:?}");
    for (path, bytes) in files(mailstow.path()) {
        let found = bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

fn refusing() -> FakeImap {
    FakeImap::start(World {
        sign_in: "NO [AUTHENTICATIONFAILED] no".to_owned(),
        ..World::inbox(1)
    })
}

#[test]
fn success_is_told_by_two_gets() {
    let fake = FakeImap::start(World::inbox(3));
    let switch = Switch::start(|_| Answer::Ok);
    let ended = backup(&night(), &fake, 0, &switch.url(), &["-q"]);
    assert_eq!(ended.output(), "");
    assert_eq!(switch.lines(), ["GET /KEY/start", "GET /KEY"]);
    // From the environment, where no other user can read it; and `resume`.
    let mailstow = night().with("MAILSTOW_PING", &switch.url());
    let to = mailstow.archive();
    let plan = ["plan", &fake.url(), "--to", to.to_str().unwrap()];
    mailstow.run(&plan).expect(0);
    assert_eq!(switch.lines().len(), 2, "a plan is no run");
    let ended = mailstow.run(&["resume", to.to_str().unwrap()]);
    assert_no_key(&mailstow, ended.expect(0));
    assert_eq!(switch.lines()[2..], ["GET /KEY/start", "GET /KEY"]);
}

#[test]
fn failure_is_told_with_the_report() {
    let mut world = World::inbox(3);
    world.message(2).delivery = support::fake_imap::Delivery::Nil;
    let fake = FakeImap::start(world);
    let switch = Switch::start(|_| Answer::Ok);
    let url = format!("{}?create=1", switch.url());
    let ended = backup(&night(), &fake, 3, &url, &["--json"]);
    assert_eq!(
        switch.lines(),
        ["GET /KEY/start?create=1", "POST /KEY/fail?create=1"]
    );
    let last = switch.heard().pop().unwrap();
    assert_eq!(last.kind, "application/json");
    let body: Value = serde_json::from_str(&last.body).unwrap();
    assert_eq!(body, ended.report());
}

#[test]
fn a_run_that_could_not_begin_is_told_too_and_without_the_password() {
    let switch = Switch::start(|_| Answer::Ok);
    let fake = refusing();
    backup(&night(), &fake, 5, &switch.url(), &[]);
    let mailstow = Mailstow::bare();
    let ended = mailstow.backup(
        &fake.url(),
        &mailstow.archive(),
        &["--ping", &switch.url(), "--password-command", "exit 9"],
    );
    ended.expect(4);
    let expected = ["GET /KEY/start", "POST /KEY/fail"];
    assert_eq!(switch.lines(), [expected, expected].concat());
    let bodies: Vec<Value> = switch
        .heard()
        .iter()
        .filter(|h| !h.body.is_empty())
        .map(|h| serde_json::from_str(&h.body).unwrap())
        .collect();
    assert_eq!(
        (&bodies[0]["exit"], &bodies[1]["exit"]),
        (&5.into(), &4.into())
    );
    assert!(
        bodies[1]["error"]
            .as_str()
            .unwrap()
            .contains("exit status: 9")
    );
    assert!(switch.heard().iter().all(|h| !h.body.contains(PASSWORD)));
}

#[test]
fn a_server_that_is_down_does_not_touch_the_run() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}/{KEY}");
    let fake = FakeImap::start(World::inbox(3));
    let mailstow = night();
    let ended = backup(&mailstow, &fake, 0, &url, &["--json", "-vv"]);
    assert_eq!(ended.report()["total"]["stored"], 3);
    let warnings: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|l| l.starts_with("warning: "))
        .collect();
    assert_eq!(warnings.len(), 2, "{}", ended.stderr);
    for (warning, what) in warnings.iter().zip(["start", "end"]) {
        assert!(
            warning.contains(&format!(
                "the {what} of the run was not told: cannot ping http://127.0.0.1/…: "
            )),
            "{warning}"
        );
        assert!(warning.contains("refused"), "{warning}");
    }
    fake.world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    backup(&mailstow, &fake, 5, &url, &[]);
}

#[test]
fn a_server_in_trouble_is_tried_three_times_and_one_that_refuses_once() {
    let (busy, gone, moved, unknown) = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\nOK (not found)",
    );
    // The first request is the start; its tries are cut short by the end of a quick run, so they
    // are let through here.
    let after_the_start =
        |raw: &'static str| move |n: usize| if n == 0 { Answer::Ok } else { Answer::Raw(raw) };
    for (raw, tries, words) in [
        (busy, 3, "it answers 503 Service Unavailable"),
        ("", 3, ""),
        ("SSH-2.0-x\r\n\r\n", 3, ""),
        (gone, 1, "it answers 404 Not Found"),
        (moved, 1, "redirects are not followed"),
        (unknown, 1, "OK (not found)"),
    ] {
        let fake = FakeImap::start(World::inbox(1));
        let switch = Switch::start(after_the_start(raw));
        let ended = backup(&night(), &fake, 0, &switch.url(), &["-q"]);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(
            ended.stderr.contains("the end of the run was not told: "),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(words), "{ended:?}");
        let ends = switch.lines().iter().filter(|l| *l == "GET /KEY").count();
        assert_eq!((ends, switch.lines().len()), (tries, tries + 1), "{raw:?}");
    }
    // One that recovers has been told.
    let fake = refusing();
    let switch = Switch::start(move |n| {
        if n == 1 || n == 2 {
            Answer::Raw(busy)
        } else {
            Answer::Ok
        }
    });
    let ended = backup(&night(), &fake, 5, &switch.url(), &[]);
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
    let fail = "POST /KEY/fail";
    assert_eq!(switch.lines(), ["GET /KEY/start", fail, fail, fail]);
    assert!(
        switch.heard()[1..]
            .iter()
            .all(|h| h.body == switch.heard()[1].body)
    );
}

#[test]
fn a_server_that_never_answers_holds_nothing_up_for_long() {
    let fake = FakeImap::start(World::inbox(3));
    let switch = Switch::start(|_| Answer::Silence);
    let started = Instant::now();
    let mailstow = night();
    let ended = backup(&mailstow, &fake, 0, &switch.url(), &["--json"]);
    assert_eq!(ended.report()["total"]["stored"], 3);
    assert!(ended.stderr.contains("no answer within 1s"), "{ended:?}");
    let starts = switch
        .lines()
        .iter()
        .filter(|l| l.contains("start"))
        .count();
    // The run was over long before the first try was: there was no other.
    assert_eq!(starts, 1, "{:?}", switch.lines());
    assert_eq!(switch.lines().len(), 1 + 3);
    // A generous bound: what matters is that there is one.
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn the_backup_does_not_wait_for_the_start_and_the_end_waits_for_it() {
    // The first request is answered only once the server of the mail was asked for it.
    let fake = FakeImap::start(World::inbox(1));
    let (fetched, wait) = channel();
    fake.hook(move |command, _| {
        if command.wants_bodies() {
            fetched.send(()).unwrap_or_default();
        }
        Reaction::Normal
    });
    let switch = Switch::start(move |n| {
        if n == 0 && wait.recv_timeout(Duration::from_secs(30)).is_err() {
            return Answer::Raw("");
        }
        Answer::Ok
    });
    // Seconds of their usual length: only a backup that waits for the answer comes too late.
    let mailstow = Mailstow::new();
    let ended = backup(&mailstow, &fake, 0, &switch.url(), &["-q"]);
    assert_eq!(ended.output(), "");
    assert_eq!(switch.lines(), ["GET /KEY/start", "GET /KEY"]);
}

#[test]
fn a_signal_ends_the_waiting_and_the_archive_stands() {
    let fake = FakeImap::start(World::inbox(3));
    let switch = Switch::start(|n| if n == 0 { Answer::Ok } else { Answer::Silence });
    // Ten seconds without an answer, three times, and nobody who waits for that.
    let mailstow = Mailstow::new();
    let (url, to) = (switch.url(), mailstow.archive());
    let args = [
        "backup",
        &fake.url(),
        "--to",
        to.to_str().unwrap(),
        "--ping",
        &url,
    ];
    let mut running = mailstow.start(&args);
    running.wait_for("report").expect("a report");
    for _ in 0..2 {
        switch.came.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    running.signal("TERM");
    let ended = running.finish();
    ended.expect(143);
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!(switch.lines(), ["GET /KEY/start", "GET /KEY"]);
    let again = mailstow.backup(&fake.url(), &to, &["--json"]);
    assert_eq!(again.expect(0).report()["total"]["held"], 3);
}

#[test]
fn an_interrupted_run_is_told_as_a_failure() {
    let fake = FakeImap::start(World::inbox(300));
    let switch = Switch::start(|_| Answer::Ok);
    let (asked, wait) = channel();
    fake.hook(move |command, _| {
        if command.wants_bodies() {
            asked.send(()).unwrap_or_default();
        }
        Reaction::Normal
    });
    let mailstow = night();
    let (url, to) = (switch.url(), mailstow.archive());
    let args = [
        "backup",
        &fake.url(),
        "--to",
        to.to_str().unwrap(),
        "--ping",
        &url,
        "--limit-rate",
        "8k",
    ];
    let running = mailstow.start(&args);
    wait.recv_timeout(Duration::from_secs(30)).unwrap();
    running.signal("TERM");
    let ended = running.finish();
    ended.expect(143);
    assert_no_key(&mailstow, &ended);
    assert_eq!(switch.lines(), ["GET /KEY/start", "POST /KEY/fail"]);
    let body: Value = serde_json::from_str(&switch.heard()[1].body).unwrap();
    assert_eq!(
        (&body["exit"], &body["ending"]),
        (&143.into(), &"interrupted".into())
    );
}

#[test]
fn https_is_verified_and_spoken() {
    let fake = FakeImap::start(World::inbox(1));
    let mailstow = night();
    let (config, file) = tls(mailstow.path());
    let switch = Switch::with(Some(config), |_| Answer::Ok);
    let ended = backup(&mailstow, &fake, 0, &switch.url(), &[]);
    assert!(ended.stderr.contains("certificate"), "{ended:?}");
    assert_eq!(switch.lines(), Vec::<String>::new());
    // The trust store of the system is this file.
    let trusting = night().with("SSL_CERT_FILE", &file);
    let ended = backup(&trusting, &fake, 0, &switch.url(), &["-q"]);
    assert_eq!(ended.output(), "");
    assert_eq!(switch.lines(), ["GET /KEY/start", "GET /KEY"]);
    // Another name is another server.
    let elsewhere = switch.url().replace("localhost", "127.0.0.1");
    let ended = backup(&trusting, &fake, 0, &elsewhere, &[]);
    assert!(ended.stderr.contains("certificate"), "{ended:?}");
    assert_eq!(switch.lines().len(), 2);
}

#[test]
fn a_url_that_would_be_read_by_everybody_or_is_none_is_refused_before_anything_is_done() {
    let fake = FakeImap::start(World::inbox(1));
    let mailstow = night();
    for url in [
        &format!("http://elsewhere.example/{KEY}"),
        &format!("ftp://localhost/{KEY}"),
        KEY,
        "",
        &format!("https:// {KEY}"),
    ] {
        let ended = backup(&mailstow, &fake, 2, url, &[]);
        assert!(
            ended.stderr.contains("cannot use the URL to ping"),
            "{ended:?}"
        );
    }
    assert_eq!(fake.connections(), 0);
    // An empty variable is none: a file of variables with the line left blank.
    let unset = night().with("MAILSTOW_PING", "");
    unset
        .backup(&fake.url(), &unset.archive(), &["-q"])
        .expect(0);
    let bad = night().with("MAILSTOW_PING", &format!("http://elsewhere.example/{KEY}"));
    let ended = bad.backup(&fake.url(), &bad.archive(), &[]);
    assert_no_key(&bad, ended.expect(2));
}

#[test]
fn a_notify_command_does_not_learn_the_url_and_both_are_told() {
    let switch = Switch::start(|_| Answer::Ok);
    let fake = refusing();
    let mailstow = night().with("MAILSTOW_PING", &switch.url());
    let args = ["--notify-command", "env > env.txt; cat > input.json"];
    let ended = mailstow.backup(&fake.url(), &mailstow.archive(), &args);
    assert_no_key(&mailstow, ended.expect(5));
    let input = std::fs::read_to_string(mailstow.path().join("input.json")).unwrap();
    assert_eq!(input, switch.heard()[1].body);
}
