//! Forgetting may die at every durable step there is: the same command again does the rest.

use std::process::Command;

use super::*;
use support::mailstow::Ended;
use support::sweep::{Death, in_parallel};

/// Two messages in two segments, one sealed, and others beside them.
fn two_segments() -> (Nights, ContentId) {
    let mut nights = archive();
    let other = message(35);
    let mut night = nights.begin();
    night.writer.seal_at(1);
    let inbox = night.mailbox("INBOX", Some(1));
    night.place(inbox, imap(1, 34), 34, &[]);
    night.commit();
    night.writer.seal_at(1 << 30);
    let drafts = night.mailbox("Drafts", Some(3));
    night.place(drafts, imap(3, 1), 35, &[]);
    night.place(drafts, imap(3, 2), 36, &[]);
    night.end(0);
    (nights, ContentId::of(&other))
}

fn command(mailstow: &Mailstow, ids: &[String]) -> Command {
    let archive = mailstow.archive();
    let archive = archive.to_str().unwrap();
    let mut args = vec!["forget", archive];
    args.extend(ids.iter().map(String::as_str));
    args.extend(["--reason", "a letter of 3 May", "--yes", "-q"]);
    mailstow.command(&args)
}

fn sweep(death: Death) {
    let (nights, other) = two_segments();
    let before = nights.root();
    let ids = [secret_id().to_string(), other.to_string()];
    let begin = || {
        let mailstow = Mailstow::new();
        copy(&before, &mailstow.archive());
        mailstow
    };
    let mailstow = begin();
    let count = mailstow.path().join("steps");
    Ended::of(command(&mailstow, &ids).env("MAILSTOW_CRASH_STEPS", &count)).expect(0);
    assert_forgotten(&mailstow.archive(), 31);
    let want = archive_state(&mailstow.archive());
    let steps = std::fs::read_to_string(count).unwrap();
    let steps: usize = steps.split_whitespace().next().unwrap().parse().unwrap();
    println!("{steps} steps, {death:?}");
    let numbers: Vec<usize> = (1..=steps).collect();
    in_parallel(&numbers, |n| {
        let at = format!("step {n}, {death:?}");
        let mailstow = begin();
        let archive = mailstow.archive();
        let mut dying = command(&mailstow, &ids);
        dying.env("MAILSTOW_CRASH_AT", n.to_string());
        if death != Death::Kill {
            dying.env("MAILSTOW_CRASH_MODE", "power");
        }
        assert_eq!(Ended::of(&mut dying).signal, Some(9), "{at}");
        let wal = archive.join("catalog.sqlite-wal");
        if death == Death::PowerAndWal && wal.exists() {
            std::fs::File::create(wal).unwrap();
        }
        // Nobody else's message is lost, and a reader reads.
        let seen = archive_state(&archive);
        assert!(
            want.contents
                .keys()
                .all(|id| seen.contents.contains_key(id)),
            "{at}"
        );
        if n % 2 == 0 {
            // Another run comes first. It has nothing to do, and says so.
            let archive = archive.to_str().unwrap();
            let other = ["skips", archive, "--accept", "99", "no such skip"];
            mailstow.run(&other).expect(2);
        }
        let again = Ended::of(&mut command(&mailstow, &ids));
        assert_eq!((again.exit, again.output().as_str()), (Some(0), ""), "{at}");
        assert!(archive_state(&archive) == want, "{at}");
        assert_forgotten(&archive, 31);
        let journal = commits(&archive).len();
        Ended::of(&mut command(&mailstow, &ids)).expect(0);
        assert_eq!(commits(&archive).len(), journal, "{at}: third");
    });
}

#[test]
fn forgetting_killed_at_any_step_is_finished_by_the_same_command() {
    sweep(Death::Kill);
}

#[test]
fn forgetting_whose_power_fails_at_any_step_is_finished_by_the_same_command() {
    sweep(Death::Power);
}

#[test]
fn forgetting_that_loses_the_write_ahead_log_too_is_finished_by_the_same_command() {
    sweep(Death::PowerAndWal);
}
