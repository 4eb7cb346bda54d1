//! What was skipped is tried again, after new mail and within bounds, until a person accepts it
//! (IMAP).
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

use serde_json::Value;
use support::archive_state::{assert_adds_a_run_record_only, assert_sound, jobs};
use support::fake_imap::trial::{Trial, inbox};
use support::fake_imap::{Delivery, FakeImap, FakeMailbox, Listing, World};
use support::mailstow::{Mailstow, Numbers, numbers};

/// The skips as `skips --json` tells them.
fn skips(trial: &Trial, more: &[&str]) -> Vec<Value> {
    let archive = trial.archive.to_str().unwrap();
    let ended = trial
        .mailstow
        .run(&[&["--json", "skips", archive], more].concat());
    let last = ended.expect(0).json().pop().unwrap();
    last["skips"].as_array().unwrap().clone()
}

/// Accepts all open skips.
fn accept(trial: &Trial) {
    let ids: Vec<String> = skips(trial, &[])
        .iter()
        .map(|skip| skip["id"].to_string())
        .collect();
    let archive = trial.archive.to_str().unwrap();
    let mut args = vec!["skips", archive, "--accept"];
    args.extend(ids.iter().map(String::as_str));
    args.push("looked at in the web mail: nothing of worth");
    trial.mailstow.run(&args).expect(0);
}

fn sick(uids: impl Iterator<Item = u32>, of: u32, delivery: &Delivery) -> World {
    let mut world = World::inbox(of);
    for uid in uids {
        world.message(uid).delivery = delivery.clone();
    }
    world
}

/// UIDs of INBOX in the order in which their bodies were asked for.
fn order(fake: &FakeImap) -> Vec<u32> {
    let world = fake.world();
    let mailbox = world.mailbox("INBOX").unwrap();
    let commands = fake.commands();
    let bodies = commands.iter().filter(|c| c.wants_bodies());
    bodies.flat_map(|c| mailbox.resolve(&c.args[0])).collect()
}

#[test]
fn new_mail_comes_first_and_what_was_skipped_alone_behind_it() {
    let (fake, trial) = (
        FakeImap::start(sick([3, 4].into_iter(), 10, &Delivery::Nil)),
        Trial::new(),
    );
    trial.backup(&fake, 3, &[]);
    for uid in 11..=13 {
        assert_eq!(fake.world().mailbox_mut("INBOX").add(&[]).uid, uid);
    }
    fake.world()
        .mailboxes
        .push(FakeMailbox::new("Later").filled(2));
    fake.forget();
    let report = trial.backup(&fake, 3, &["--connections", "1"]);
    let want = Numbers {
        exists: 13,
        stored: 3,
        held: 8,
        skipped: 2,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), want);
    let commands = fake.commands();
    let bodies: Vec<String> = commands
        .iter()
        .filter(|c| c.wants_bodies())
        .map(|c| format!("{} {}", c.selected.clone().unwrap(), c.args[0]))
        .collect();
    assert_eq!(bodies, ["INBOX 11:13", "Later 1:2", "INBOX 3", "INBOX 4"]);
    let rows = skips(&trial, &[]);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(
            (&row["tries"], &row["next"]),
            (&2.into(), &"next run".into())
        );
    }
    trial.completes(&fake);
}

#[test]
fn a_run_tries_a_share_of_what_was_skipped_and_the_next_one_the_others() {
    let (fake, mut trial) = (
        FakeImap::start(sick(1..=120, 130, &Delivery::Nil)),
        Trial::new(),
    );
    trial.mailstow = trial.mailstow.with("MAILSTOW_TEST_NOW", "1773144000");
    trial.backup(&fake, 3, &[]);
    let mut tried = Vec::new();
    for night in 1..=3u32 {
        let now = (1_773_144_000 + night * 86_400).to_string();
        trial.mailstow = trial.mailstow.with("MAILSTOW_TEST_NOW", &now);
        fake.forget();
        let report = trial.backup(&fake, 3, &["--connections", "1"]);
        assert_eq!(numbers(&report, "INBOX").skipped, 120);
        let untried = report["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|skip| skip["untried"] == true)
            .count();
        assert_eq!(untried, 70);
        tried.push(order(&fake));
    }
    assert_eq!(tried[0], (1..=50).collect::<Vec<_>>());
    assert_eq!(tried[1], (51..=100).collect::<Vec<_>>());
    let third: Vec<u32> = (101..=120).chain(1..=30).collect();
    assert_eq!(tried[2], third);
    let said = trial.text(&fake, 3, &[]);
    assert!(
        said.stdout
            .contains("70 messages skipped before, not tried again in this run"),
        "{}",
        said.stdout
    );
    // A run with much new mail tries a tenth of its messages.
    for _ in 0..630 {
        fake.world().mailbox_mut("INBOX").add(&[]);
    }
    fake.forget();
    let report = trial.backup(&fake, 3, &["--connections", "3"]);
    let n = numbers(&report, "INBOX");
    assert_eq!((n.stored, n.skipped), (630, 120));
    assert_eq!(order(&fake).len(), 630 + 70);
    // A server that is well again gives them all at once.
    trial.completes(&fake);
}

#[test]
fn dead_messages_over_which_the_server_cuts_cost_a_night_a_few_connections() {
    let cut = Delivery::HangUp(b"* BYE Internal error occurred\r\n".to_vec());
    let unreadable = Delivery::Raw(b"* SEQ FETCH (UID BODY[] (\r\n".to_vec());
    for (dead, delivery) in [(1, &cut), (40, &cut), (40, &unreadable)] {
        let mut world = sick(1..=dead, 200, delivery);
        world.message(190).delivery = Delivery::Nil;
        let (fake, trial) = (FakeImap::start(world), Trial::new());
        trial.backup(&fake, 3, &["--connections", "1"]);
        // Behind those that were skipped before stands new mail in another mailbox.
        fake.world()
            .mailboxes
            .push(FakeMailbox::new("Later").filled(20));
        for night in 0..3 {
            let before = fake.connections();
            let report = trial.backup(&fake, 3, &["--connections", "2"]);
            let spent = fake.connections() - before;
            assert!(
                spent <= 9,
                "night {night}: {spent} connections for {dead} dead"
            );
            assert_eq!(report["ending"], "complete");
            assert_eq!(numbers(&report, "Later").exists, 20);
            assert_eq!(numbers(&report, "INBOX").skipped, u64::from(dead) + 1);
        }
        accept(&trial);
        trial.backup(&fake, 0, &[]);
        assert_sound(&trial.archive);
    }
}

#[test]
fn at_a_limit_what_was_skipped_waits_for_the_next_run_and_the_run_is_through() {
    let (fake, trial) = (
        FakeImap::start(sick([3].into_iter(), 10, &Delivery::Nil)),
        Trial::new(),
    );
    trial.backup(&fake, 3, &[]);
    fake.world().mailbox_mut("INBOX").add(&[]);
    fake.forget();
    let report = trial.backup(&fake, 3, &["--max-bytes", "1"]);
    assert_eq!(report["ending"], "complete", "{report:#}");
    assert_eq!(order(&fake), [11]);
    assert_eq!(report["skipped"][0]["untried"], true);
    // It is open still, and its mailbox has no checkpoint that would forget it.
    assert_eq!(skips(&trial, &[]).len(), 1);
    trial.backup(&fake, 3, &["--max-bytes", "1"]);
    let done = mailstow::model::JobState::Done;
    assert!(jobs(&trial.archive).iter().all(|job| job.state == done));
    trial.completes(&fake);
}

#[test]
fn an_accepted_message_is_excluded_and_asked_for_no_more() {
    let (fake, trial) = (
        FakeImap::start(sick([3, 7].into_iter(), 10, &Delivery::Nil)),
        Trial::new(),
    );
    trial.backup(&fake, 3, &[]);
    let archive = trial.archive.to_str().unwrap();
    let slip = trial
        .mailstow
        .run(&["skips", archive, "--accept", "1", "99", "spam"]);
    assert!(slip.expect(2).stderr.contains("no skip `99`"));
    assert_eq!(skips(&trial, &[]).len(), 2, "half a slip was accepted");
    accept(&trial);
    assert_eq!(skips(&trial, &[]), [Value::Null; 0]);
    let rows = skips(&trial, &["--all"]);
    assert_eq!(
        (&rows[0]["tries"], &rows[0]["next"]),
        (&1.into(), &"accepted".into())
    );
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let want = Numbers {
        exists: 10,
        held: 8,
        excluded: 2,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), want);
    assert_eq!(order(&fake), [0; 0]);
    assert_adds_a_run_record_only(&trial.archive, || {
        trial.backup(&fake, 0, &[]);
    });
    trial
        .mailstow
        .run(&["status", archive, "--max-age", "1h"])
        .expect(0);
}

#[test]
fn messages_without_a_name_can_be_accepted_as_long_as_they_do_not_grow() {
    let (fake, trial) = (FakeImap::start(World::inbox(10)), Trial::new());
    let phantoms = |n: u32| fake.world().mailbox_mut("INBOX").phantoms = n;
    let run = |exit: i32| {
        let n = numbers(&trial.backup(&fake, exit, &[]), "INBOX");
        (n.excluded, n.skipped)
    };
    phantoms(2);
    assert_eq!(run(3), (0, 2));
    assert_eq!(run(3), (0, 2));
    let row = skips(&trial, &[])[0].clone();
    assert_eq!(
        (&row["remote"], &row["count"], &row["tries"]),
        (&"?".into(), &2.into(), &2.into())
    );
    accept(&trial);
    assert_eq!(run(0), (2, 0));
    assert_adds_a_run_record_only(&trial.archive, || assert_eq!(run(0), (2, 0)));
    // New mail changes nothing of it, and neither does the catalog's being made anew.
    fake.world().mailbox_mut("INBOX").add(&[]);
    std::fs::remove_file(trial.archive.join("catalog.sqlite")).unwrap();
    assert_eq!(run(0), (2, 0));
    // One more is missed, and nobody can tell which of them it is.
    phantoms(3);
    assert_eq!(run(3), (0, 3));
    accept(&trial);
    assert_eq!(run(0), (3, 0));
    // Two of them are well: one that is lost after that is news.
    phantoms(1);
    fake.world().mailbox_mut("INBOX").add(&[]);
    assert_eq!(run(0), (1, 0));
    phantoms(2);
    fake.world().mailbox_mut("INBOX").add(&[]);
    assert_eq!(run(3), (0, 2));
    phantoms(0);
    trial.completes(&fake);
    phantoms(1);
    assert_eq!(run(3), (0, 1));
    assert_sound(&trial.archive);
}

#[test]
fn a_message_whose_listing_nobody_can_read_can_be_accepted() {
    let mut world = World::inbox(10);
    let poison = b"* SEQ FETCH (UID FLAGS (\\Seen) INTERNALDATE nonsense (\r\n";
    world.message(4).listing = Listing::Raw(poison.to_vec());
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let report = trial.backup(&fake, 3, &[]);
    assert_eq!(numbers(&report, "INBOX").skipped, 1);
    accept(&trial);
    let n = numbers(&trial.backup(&fake, 0, &[]), "INBOX");
    assert_eq!((n.held, n.excluded, n.skipped), (9, 1, 0));
    // What leaves is noticed all the same.
    fake.world().expunge(9);
    let n = numbers(&trial.backup(&fake, 0, &[]), "INBOX");
    assert_eq!((n.exists, n.held, n.excluded), (9, 8, 1));
    trial.assert_holds_all_but(&fake, &[inbox(4)]);
}

#[test]
fn one_bad_mailbox_and_one_bad_account_stand_in_nobodys_way() {
    let mut bad = FakeMailbox::new("A bad one").filled(5);
    bad.examine = Some("NO [SERVERBUG] it is broken".to_owned());
    let first = FakeImap::start(World::with([
        FakeMailbox::new("INBOX").filled(3),
        bad,
        FakeMailbox::new("Z").filled(4),
    ]));
    let second = FakeImap::start(World {
        sign_in: "NO [AUTHENTICATIONFAILED] no".to_owned(),
        ..World::inbox(1)
    });
    let third = FakeImap::start(World::inbox(2));
    let mailstow = Mailstow::bare().with("MAILSTOW_TEST_BACKOFF_MS", "5");
    let archive = mailstow.archive();
    let as_user = |fake: &FakeImap, user: &str| fake.url().replace("alice", user);
    let urls = [
        first.url(),
        as_user(&second, "bob"),
        as_user(&third, "carol"),
    ];
    let ended = mailstow.run(&[
        "backup",
        &urls[0],
        &urls[1],
        &urls[2],
        "--to",
        archive.to_str().unwrap(),
        "--password-command",
        "printf '%s\\n' 'correct horse'",
        "--json",
    ]);
    ended.expect(5);
    let reports: Vec<Value> = ended
        .json()
        .into_iter()
        .filter(|line| line["event"] == "report")
        .collect();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0]["total"]["stored"], 7);
    assert_eq!(reports[0]["exit"], 3);
    // The same messages as in the first account.
    assert_eq!(reports[1]["total"]["linked"], 2);
    assert_eq!(reports[1]["exit"], 0);
    assert_sound(&archive);
}
