//! Limits over POP3, and runs that the server itself keeps from being complete.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::time::{Duration, Instant};

use mailstow::model::JobState;
use support::archive_state::{assert_sound, jobs};
use support::fake_pop3::trial::Trial;
use support::fake_pop3::{FakePop3, Reaction, World, mail};

fn states(trial: &Trial) -> Vec<JobState> {
    jobs(&trial.archive).iter().map(|job| job.state).collect()
}

#[test]
fn a_maildrop_that_is_larger_than_the_limit_comes_in_parts() {
    let bodies: Vec<Vec<u8>> = (0..40u32)
        .map(|n| [mail(n), vec![b'x'; 1_000], b"\r\n".to_vec()].concat())
        .collect();
    let mut world = World::of(&bodies);
    // One that is larger than the limit, in the middle.
    world.messages[20].body = [&mail(20)[..], &[b'y'; 50_000], b"\r\n"].concat();
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    for runs in 1.. {
        let report = trial.backup_any(&fake, &["--max-bytes", "8k"]);
        let fetched = report["bytes"].as_u64().unwrap();
        assert!(report["total"]["stored"].as_u64().unwrap() > 0);
        assert!(fetched < 8192 + 51_000, "run {runs}: {fetched} bytes");
        if report["exit"] == 0 {
            assert!((5..10).contains(&runs), "{runs} runs");
            break;
        }
        assert_eq!(report["exit"], 9, "{report:#}");
        assert_eq!(report["ending"], "limit");
        assert_eq!(report["limit"]["reached"], "max-bytes");
        assert_eq!(
            report["limit"]["messages_left"].as_u64().unwrap(),
            40 - ["stored", "held"]
                .iter()
                .map(|key| report["total"][key].as_u64().unwrap())
                .sum::<u64>(),
            "{report:#}"
        );
        assert_eq!(states(&trial), [JobState::Open]);
        let last = trial.shown().len();
        assert_eq!(
            last as u64,
            40 - report["limit"]["messages_left"].as_u64().unwrap()
        );
    }
    assert_eq!(states(&trial), [JobState::Done]);
    trial.assert_holds_all_but(&fake, &[]);
    assert!(fake.asked("RETR").values().all(|n| *n == 1), "asked twice");
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn the_newest_come_first_in_every_session() {
    let (fake, trial) = (
        FakePop3::start(World::maildrop(20)),
        Trial::new().in_sessions_of(3),
    );
    let limited = ["--newest-first", "--max-bytes", "2000"];
    let report = trial.backup(&fake, 9, &limited);
    let stored = report["total"]["stored"].as_u64().unwrap();
    assert!((4..20).contains(&stored), "{report:#}");
    let mut newest: Vec<String> = (1..=20u64)
        .rev()
        .take(usize::try_from(stored).unwrap())
        .map(|n| format!("u{n}"))
        .collect();
    newest.sort();
    assert_eq!(trial.remotes("INBOX"), newest);
    trial.backup(&fake, 0, &["--newest-first"]);
    trial.assert_holds_all_but(&fake, &[]);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn a_session_that_stalls_is_left_soon_after_the_time_is_up() {
    let (fake, mut trial) = (FakePop3::start(World::maildrop(20)), Trial::new());
    trial.set("MAILSTOW_TEST_GRACE_MS", 300);
    for stalled in ["UIDL", "RETR"] {
        let mut retrieved = 0;
        fake.hook(move |command, _| {
            retrieved += u32::from(command.name == "RETR");
            if command.name == stalled && (stalled != "RETR" || retrieved > 5) {
                return Reaction::Stall;
            }
            Reaction::Normal
        });
        let began = Instant::now();
        let more = ["--max-runtime", "1s", "--no-pipelining"];
        let report = trial.backup(&fake, 9, &more);
        assert!(began.elapsed() < Duration::from_secs(20), "{stalled}");
        assert_eq!(report["ending"], "limit", "{stalled}");
        assert_eq!(report["limit"]["reached"], "max-runtime", "{stalled}");
        let left = report["limit"]["messages_left"].as_u64();
        assert_eq!(left, (stalled == "RETR").then_some(15), "{report:#}");
    }
    assert_eq!(states(&trial), [JobState::Open]);
    assert_sound(&trial.archive);
    trial.completes(&fake, &[]);
}

#[test]
fn without_names_a_limit_that_is_never_got_past_is_explained() {
    let (fake, trial) = (
        FakePop3::start(World::maildrop(20).without("UIDL")),
        Trial::new(),
    );
    let limited = ["--pop-without-uidl", "--max-bytes", "300"];
    for _ in 0..2 {
        let report = trial.backup(&fake, 9, &limited);
        let notes = report["notes"].to_string();
        assert!(notes.contains("the rest never comes"), "{notes}");
    }
    trial.backup(&fake, 0, &limited[..1]);
    assert_eq!(trial.contents().len(), 20);
}

#[test]
fn a_run_that_the_server_keeps_from_ending_is_not_complete() {
    let (fake, trial) = (
        FakePop3::start(World::maildrop(10)),
        Trial::new().in_sessions_of(3),
    );
    // Every session knows the messages by other names.
    let mut sessions = 0;
    let mut last = 0;
    fake.hook(move |command, world| {
        if command.connection != last {
            last = command.connection;
            sessions += 1;
            for (n, message) in world.messages.iter_mut().enumerate() {
                message.uidl = format!("s{sessions}-{n}").into_bytes();
            }
        }
        Reaction::Normal
    });
    let one_by_one = ["--no-pipelining"];
    let report = trial.backup(&fake, 3, &one_by_one);
    assert_eq!(report["ending"], "short", "{report:#}");
    assert!(
        report["notes"].to_string().contains("by other names"),
        "{report:#}"
    );
    assert_eq!(states(&trial), [JobState::Open]);
    let archive = trial.archive.to_str().unwrap();
    trial.run(&fake, 2, &["ls", archive, "--as-of", "2100-01-01"]);
    let said = trial.text(&fake, 3, &one_by_one);
    assert!(
        said.stdout.contains("brings only what it brought before"),
        "{said:?}"
    );
}
