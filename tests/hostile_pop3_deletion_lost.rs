//! `--pop-delete` and sessions that are lost: what the server did not confirm is not known to be gone.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use serde_json::Value;
use support::fake_pop3::trial::{Trial, all_stored, deleted, kept, maildrop};
use support::fake_pop3::{FakePop3, Reaction, World};
use support::mailstow::Numbers;

const ARCHIVED: [&str; 2] = ["--pop-delete", "archived"];

/// A maildrop of which something may be deleted.
fn deletable(mut world: World) -> FakePop3 {
    world.may_delete = true;
    FakePop3::start(world)
}

/// Whether the report says that not all went well.
fn told(report: &Value) -> bool {
    let lists = ["warnings", "notes", "kept"].map(|key| report[key].clone());
    let said = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    lists.iter().any(said) || report["error"].is_string()
}

#[test]
fn only_the_answer_to_quit_says_that_something_went() {
    for (reaction, gone) in [
        (
            Reaction::say("-ERR some messages were not removed\r\n"),
            false,
        ),
        (Reaction::hang_up("-ERR [SYS/TEMP] no\r\n"), false),
        (Reaction::hang_up(""), false),
        (Reaction::Swallow, true),
    ] {
        let fake = deletable(World::maildrop(6));
        let trial = Trial::new();
        trial.backup(&fake, 0, &[]);
        let mut marked = false;
        let shown = format!("{reaction:?}");
        fake.hook(move |command, _| {
            marked |= command.name == "DELE";
            match command.name == "QUIT" && marked {
                true => reaction.clone(),
                false => Reaction::Normal,
            }
        });
        let report = trial.backup_any(&fake, &ARCHIVED);
        assert_eq!(deleted(&report), 0, "{shown}: {report:#}");
        assert_eq!(maildrop(&report).held, 6, "{shown}");
        assert!(told(&report), "{shown}: {report:#}");
        assert_eq!(fake.uidls().is_empty(), gone, "{shown}");
        // The next run sees what came of it.
        fake.unhook();
        fake.forget();
        let report = trial.backup(&fake, 0, &ARCHIVED);
        assert_eq!(deleted(&report), if gone { 0 } else { 6 }, "{shown}");
        assert_eq!(fake.uidls(), [""; 0], "{shown}");
        assert_eq!(fake.count("RETR"), 0, "{shown}");
        trial.assert_quiet(&fake, &ARCHIVED);
        assert_eq!(trial.remotes("INBOX").len(), 6, "{shown}");
    }
}

#[test]
fn a_connection_lost_at_any_command_of_the_deletion_harms_nothing() {
    let mut k = 1;
    loop {
        let fake = deletable(World::maildrop(3));
        let trial = Trial::new();
        trial.backup(&fake, 0, &[]);
        fake.forget();
        let mut cut = false;
        let (mut seen, at) = (0, k);
        fake.hook(move |_, _| {
            seen += 1;
            match seen == at && !std::mem::replace(&mut cut, true) {
                true => Reaction::hang_up(""),
                false => Reaction::Normal,
            }
        });
        let report = trial.backup_any(&fake, &ARCHIVED);
        assert_eq!(deleted(&report), fake.gone().len() as u64, "at {k}");
        let all = fake.commands().len();
        fake.unhook();
        trial.backup(&fake, 0, &ARCHIVED);
        assert_eq!(fake.uidls(), [""; 0], "at {k}");
        assert_eq!(trial.remotes("INBOX").len(), 3, "at {k}");
        if all < k {
            break;
        }
        k += 1;
    }
    assert!(k > 8, "only {k} commands");
}

#[test]
fn much_is_deleted_in_several_sessions_each_with_an_answer_of_its_own() {
    let fake = deletable(World::maildrop(1100));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    fake.forget();
    // The first session that deletes is answered, the second is not.
    let (mut marked, mut quits) = (false, 0);
    fake.hook(move |command, _| {
        marked |= command.name == "DELE";
        quits += usize::from(command.name == "QUIT" && marked);
        match command.name == "QUIT" && quits == 2 {
            true => Reaction::Swallow,
            false => Reaction::Normal,
        }
    });
    let report = trial.backup_any(&fake, &ARCHIVED);
    let (told, gone) = (deleted(&report), fake.gone().len() as u64);
    assert!(told > 0 && told < gone, "{told} of {gone}: {report:#}");
    assert!(report["warnings"].to_string().contains("not known"));
    fake.unhook();
    let report = trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(deleted(&report), 1100 - gone, "{report:#}");
    assert_eq!(fake.uidls(), [""; 0]);
    assert_eq!(trial.ls("INBOX").len(), 1100);
}

#[test]
fn a_server_that_lets_nobody_in_again_so_soon_keeps_its_mail() {
    let fake = deletable(World::maildrop(4));
    fake.hook(|command, _| match command.name.as_str() {
        "AUTH" | "PASS" if command.connection > 1 => {
            Reaction::say("-ERR [LOGIN-DELAY] come back in an hour\r\n")
        }
        _ => Reaction::Normal,
    });
    let trial = Trial::new();
    let report = trial.backup_any(&fake, &ARCHIVED);
    assert_eq!(maildrop(&report), all_stored(4));
    assert_eq!(report["ending"], "complete", "{report:#}");
    assert_eq!(deleted(&report), 0);
    assert!(told(&report), "{report:#}");
    fake.unhook();
    let report = trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(deleted(&report), 4, "{report:#}");
}

#[test]
fn a_refused_dele_is_told() {
    let fake = deletable(World::maildrop(4));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    fake.hook(|command, _| match command.name.as_str() {
        "DELE" if command.uidl.as_deref() == Some("u2") => {
            Reaction::say("-ERR retained by policy\r\n")
        }
        _ => Reaction::Normal,
    });
    let report = trial.backup_any(&fake, &ARCHIVED);
    assert_eq!((deleted(&report), kept(&report).1), (3, 1), "{report:#}");
    assert_eq!(fake.uidls(), ["u2"]);
}

#[test]
fn an_interrupted_backup_deletes_nothing_of_what_is_not_held() {
    let fake = deletable(World::maildrop(40));
    let mut trial = Trial::new();
    trial.set("MAILSTOW_TEST_COMMIT_MESSAGES", 4);
    // At the twentieth message the server goes down.
    let mut seen = 0;
    fake.hook(move |command, _| {
        seen += usize::from(command.name == "RETR");
        match seen > 20 {
            true => Reaction::hang_up("+OK\r\nha"),
            false => Reaction::Normal,
        }
    });
    trial.backup(&fake, 6, &ARCHIVED);
    let held = trial.remotes("INBOX");
    assert!(fake.gone().iter().all(|uidl| held.contains(uidl)));
    fake.heal();
    trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(fake.uidls(), [""; 0]);
    assert_eq!(trial.remotes("INBOX").len(), 40);
    let held = Numbers::default();
    let report = trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(maildrop(&report), held);
}
