//! `verify --against` a POP3 server that lies, breaks off and misbehaves. The fake server fails the
//! test if it is told to delete, or is not treated as RFC 1939 wants.
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

use mailstow::model::ContentId;
use support::fake_pop3::{Delivery, FakePop3, Reaction, World, mail};
use trial::{Trial, mailbox, sets};

/// A server with this world, and an archive of it.
fn backed_up(world: World, more: &[&str]) -> (FakePop3, Trial) {
    let fake = FakePop3::start(world);
    let trial = Trial::new();
    trial.backup(&fake.url(), 0, more);
    fake.forget();
    (fake, trial)
}

#[test]
fn a_maildrop_that_is_held_agrees_in_one_session() {
    let (fake, trial) = backed_up(World::maildrop(30), &[]);
    let report = trial.against(&fake.url(), 0, &["--seed", "1"]);
    let sample = &report["sample"];
    let numbers = ["of", "chosen", "same", "read_back"].map(|k| sample[k].as_u64().unwrap());
    assert_eq!(numbers, [30, 20, 20, 20]);
    assert_eq!(
        (fake.sessions(), fake.count("RETR"), fake.count("TOP")),
        (1, 20, 0)
    );
    let first = fake.asked("RETR");
    fake.forget();
    trial.against(&fake.url(), 0, &["--seed", "1"]);
    assert_eq!(fake.asked("RETR"), first, "the same seed");
    fake.forget();
    let said = trial.run(&fake.url(), 0, &["--sample", "0"]);
    assert_eq!(fake.count("RETR"), 0);
    assert!(!said.output().contains("mark messages as read"), "{said:?}");
    let said = trial.run(&fake.url(), 0, &["--full"]);
    assert!(
        said.stderr.contains("may mark messages as read"),
        "{said:?}"
    );
    assert!(
        said.stdout
            .contains("compared: UIDLs and sizes of 30 messages in 1 mailbox")
    );
    assert_eq!(fake.count("RETR"), 30);
}

#[test]
fn what_is_not_offered_is_not_gone() {
    let (fake, trial) = backed_up(World::maildrop(4), &[]);
    fake.world().remove("u2");
    let report = trial.against(&fake.url(), 0, &[]);
    assert_eq!(
        sets(&report, "maildrop"),
        [r#"not_offered: ["u2"]"#, r#"present: ["u1","u3","u4"]"#]
    );
    let said = trial.run(&fake.url(), 0, &[]).stdout;
    assert!(
        said.contains("1 message held, and not offered by the server: UIDL u2"),
        "{said}"
    );
    // What came since cannot be told from what was lost.
    fake.world().add("u5", &mail(5));
    let report = trial.against(&fake.url(), 3, &[]);
    assert!(sets(&report, "maildrop").contains(&r#"missing: ["u5"]"#.to_owned()));
    // An empty maildrop says nothing about what is held.
    fake.world().messages.clear();
    let report = trial.against(&fake.url(), 0, &[]);
    assert_eq!(mailbox(&report, "maildrop")["not_offered"]["count"], 4);
}

#[test]
fn another_size_and_other_bytes_are_found() {
    let (fake, trial) = backed_up(World::maildrop(4), &[]);
    fake.world().message("u2").size = Some("4711".to_owned());
    let report = trial.against(&fake.url(), 3, &["--sample", "0"]);
    let differs = &mailbox(&report, "maildrop")["differs"][0];
    assert_eq!(
        (&differs["remote"], &differs["size"][1]),
        (&"u2".into(), &4711.into())
    );

    fake.world().message("u2").size = None;
    let mut other = mail(3);
    let end = other.len() - 3;
    other[end] ^= 1;
    fake.world().message("u3").retr = Delivery::Instead(other.clone());
    fake.forget();
    let report = trial.against(&fake.url(), 3, &[]);
    let differ = report["sample"]["differ"].as_array().unwrap();
    let id = |bytes: &[u8]| serde_json::Value::from(ContentId::of(bytes).to_string());
    assert_eq!(differ.len(), 1, "{report:#}");
    assert_eq!(
        (&differ[0]["remote"], &differ[0]["archive"]),
        (&"u3".into(), &id(&mail(3)))
    );
    assert_eq!(
        (&differ[0]["server"], &differ[0]["again"]),
        (&id(&other), &id(&other))
    );
    assert_eq!(fake.asked("RETR")["u3"], 2);
}

#[test]
fn a_lost_session_is_followed_by_another_and_a_culprit_is_named() {
    let mut world = World::maildrop(8);
    world.renumbers = true;
    let (fake, trial) = backed_up(world, &[]);
    let mut cut = false;
    fake.hook(move |command, _| {
        if command.name == "RETR" && command.connection == 1 && command.number > 6 && !cut {
            cut = true;
            return Reaction::hang_up("+OK half of it\r\nSubj");
        }
        Reaction::Normal
    });
    let report = trial.against(&fake.url(), 0, &["--full"]);
    assert_eq!((&report["sample"]["same"], fake.sessions()), (&8.into(), 2));
    assert!(fake.sent().values().all(|n| *n == 1), "{:?}", fake.sent());

    fake.heal();
    fake.world().message("u4").retr = Delivery::Cut(10);
    fake.world().message("u6").retr = Delivery::refused("broken");
    let report = trial.against(&fake.url(), 3, &["--full"]);
    let not_sent = report["sample"]["not_sent"].as_array().unwrap();
    let mut names: Vec<&str> = not_sent
        .iter()
        .map(|n| n["remote"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["u4", "u6"], "{report:#}");
    assert_eq!(report["sample"]["same"], 6);

    // A server that lets nobody in any more, once it was asked for mail.
    fake.heal();
    fake.hook(|command, world| {
        if command.name == "RETR" {
            world.greeting = b"-ERR closed for today\r\n".to_vec();
            return Reaction::hang_up("");
        }
        Reaction::Normal
    });
    let report = trial.against(&fake.url(), 6, &[]);
    assert_eq!(report["ending"], "server-lost");
    assert_eq!(mailbox(&report, "maildrop")["present"]["count"], 8);
}

#[test]
fn without_uidl_only_bytes_can_tell_and_all_of_them_do() {
    let world = World::maildrop(5).without("UIDL");
    let (fake, trial) = backed_up(world, &["--pop-without-uidl"]);
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(mailbox(&report, "maildrop")["nameless"], 5);
    assert_eq!(report["sample"]["chosen"], 0);
    let report = trial.against(&fake.url(), 0, &["--full"]);
    assert_eq!(report["sample"]["same"], 5);
    fake.world().add("", &mail(6));
    let report = trial.against(&fake.url(), 3, &["--full"]);
    let differ = report["sample"]["differ"].as_array().unwrap();
    assert_eq!(
        (differ.len(), &differ[0]["remote"]),
        (1, &"message 6".into())
    );
}

#[test]
fn a_large_message_passes_through_the_temporary_folder() {
    let mut large = vec![b'x'; 9 << 20];
    large[..6].copy_from_slice(b"A: b\r\n");
    for at in (78..large.len()).step_by(78) {
        large[at - 2..at].copy_from_slice(b"\r\n");
    }
    large.extend_from_slice(b"\r\n");
    let (fake, trial) = backed_up(World::of([mail(1), large]), &[]);
    let report = trial.against(&fake.url(), 0, &[]);
    assert_eq!(report["sample"]["same"], 2);
}
