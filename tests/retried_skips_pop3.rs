//! What was skipped over POP3 is tried again, after new mail and within bounds, until a person
//! accepts it.
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

use support::archive_state::assert_sound;
use support::fake_pop3::trial::{Trial, maildrop};
use support::fake_pop3::{Delivery, FakePop3, World, mail};

fn sick(n: u32, sick: impl Iterator<Item = u32>, retr: &Delivery) -> FakePop3 {
    let mut world = World::maildrop(n);
    for k in sick {
        world.message(&format!("u{k}")).retr = retr.clone();
    }
    FakePop3::start(world)
}

/// The UIDLs in the order in which they were asked for.
fn order(fake: &FakePop3) -> Vec<String> {
    let commands = fake.commands();
    let retr = commands.iter().filter(|c| c.name == "RETR");
    retr.map(|c| c.uidl.clone().unwrap()).collect()
}

fn names(n: impl Iterator<Item = u32>) -> Vec<String> {
    n.map(|n| format!("u{n}")).collect()
}

fn accept(trial: &Trial, fake: &FakePop3) {
    let ids: Vec<String> = trial
        .skip_rows()
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    let mut args = vec!["skips", trial.archive.to_str().unwrap(), "--accept"];
    args.extend(ids.iter().map(String::as_str));
    args.push("nothing of worth");
    trial.run(fake, 0, &args);
}

#[test]
fn new_mail_comes_first_and_what_was_skipped_behind_it() {
    for more in [&[][..], &["--newest-first"]] {
        let (fake, trial) = (
            sick(10, [3, 4].into_iter(), &Delivery::refused("corrupt")),
            Trial::new(),
        );
        trial.backup(&fake, 3, &[]);
        for n in 11..=13 {
            fake.world().add(&format!("u{n}"), &mail(n));
        }
        fake.forget();
        let report = trial.backup(&fake, 3, more);
        let of = maildrop(&report);
        assert_eq!((of.stored, of.held, of.skipped), (3, 8, 2));
        let mut new = names(11..=13);
        if !more.is_empty() {
            new.reverse();
        }
        assert_eq!(order(&fake), [new, names(3..=4)].concat());
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_run_tries_a_share_of_what_was_skipped_and_the_next_one_the_others() {
    let (fake, mut trial) = (
        sick(130, 1..=120, &Delivery::refused("corrupt")),
        Trial::new(),
    );
    trial.now(1_773_144_000);
    trial.backup(&fake, 3, &[]);
    let mut tried = Vec::new();
    for night in 1..=3 {
        trial.now(1_773_144_000 + night * 86_400);
        fake.forget();
        let report = trial.backup(&fake, 3, &[]);
        assert_eq!(maildrop(&report).skipped, 120);
        let skipped = report["skipped"].as_array().unwrap();
        assert_eq!(skipped.iter().filter(|s| s["untried"] == true).count(), 70);
        let mut asked = order(&fake);
        asked.sort();
        tried.push(asked);
    }
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 3, "the same were tried twice in a row");
    let all: std::collections::BTreeSet<&String> = tried.iter().flatten().collect();
    assert_eq!(all.len(), 120, "some were never tried");
    // A server that is well again gives them all at once.
    trial.completes(&fake, &[]);
}

#[test]
fn dead_messages_over_which_the_server_cuts_cost_a_night_a_few_sessions() {
    for dead in [1, 3, 30] {
        let (fake, trial) = (sick(60, 1..=dead, &Delivery::Cut(10)), Trial::new());
        // The first nights: with many of them in a row it is the server's fault.
        for _ in 0..30 {
            let report = trial.backup_any(&fake, &[]);
            if report["ending"] == "complete" {
                break;
            }
        }
        for n in 61..=65 {
            fake.world().add(&format!("u{n}"), &mail(n));
        }
        for night in 0..3 {
            fake.forget();
            let before = fake.connections();
            let report = trial.backup(&fake, 3, &[]);
            let spent = fake.connections() - before;
            assert!(
                spent <= 6,
                "night {night}: {spent} sessions for {dead} dead"
            );
            assert_eq!(report["ending"], "complete", "{report:#}");
            let of = maildrop(&report);
            assert_eq!((of.skipped, of.exists), (dead.into(), 65));
        }
        accept(&trial, &fake);
        trial.backup(&fake, 0, &[]);
        assert_sound(&trial.archive);
    }
}

#[test]
fn messages_without_a_uidl_of_their_own_can_be_accepted_as_long_as_they_do_not_grow() {
    let (fake, trial) = (
        sick(10, [4, 5].into_iter(), &Delivery::refused("corrupt")),
        Trial::new(),
    );
    for uidl in ["u4", "u5"] {
        fake.world().message(uidl).uidl = b"same".to_vec();
    }
    let run = |exit: i32| {
        let of = maildrop(&trial.backup(&fake, exit, &[]));
        (of.excluded, of.skipped)
    };
    assert_eq!(run(3), (0, 2));
    assert_eq!(run(3), (0, 2));
    let row = trial.skip_rows()[0].clone();
    assert_eq!((&row["count"], &row["tries"]), (&2.into(), &2.into()));
    accept(&trial, &fake);
    assert_eq!(run(0), (2, 0));
    assert_eq!(run(0), (2, 0));
    {
        let mut world = fake.world();
        world.add("same", &mail(77));
        world.messages.last_mut().unwrap().retr = Delivery::refused("corrupt");
    }
    assert_eq!(run(3), (0, 3));
    // They are well: nothing is open, and one that fails after that is news.
    for message in &mut fake.world().messages {
        message.retr = Delivery::Whole;
    }
    assert_eq!(run(0), (0, 0));
    assert_eq!(trial.skips(), []);
    fake.world().messages[3].retr = Delivery::refused("corrupt");
    assert_eq!(run(3), (0, 1));
    assert_sound(&trial.archive);
}
