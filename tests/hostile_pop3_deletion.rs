//! `--pop-delete`: only what is held for certain, and the answer to QUIT decides.
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

use std::collections::BTreeSet;

use mailstow::store::Reader;
use support::fake_pop3::trial::{DAY, NOON, Trial, all_stored, deleted, kept, lines, maildrop};
use support::fake_pop3::{Delivery, FakePop3, Message, Reaction, World, mail, mail_with};
use support::fixture;

const ARCHIVED: [&str; 2] = ["--pop-delete", "archived"];

/// A maildrop of which something may be deleted.
fn deletable(mut world: World) -> FakePop3 {
    world.may_delete = true;
    FakePop3::start(world)
}

/// The unique-ids the client wanted deleted, sorted.
fn marked(fake: &FakePop3) -> Vec<String> {
    fake.asked("DELE").into_keys().collect()
}

#[test]
fn what_is_archived_goes_in_a_session_of_its_own() {
    let fake = deletable(World::maildrop(12));
    fake.world().renumbers = true;
    let trial = Trial::new();
    let report = trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(maildrop(&report), all_stored(12));
    assert_eq!((deleted(&report), kept(&report).1), (12, 0), "{report:#}");
    assert_eq!(fake.uidls(), [""; 0]);
    // The server itself complains of a DELE beside a RETR. The unique-ids were listed again.
    let session = |name: &str| {
        let found = fake.commands().into_iter().rfind(|c| c.name == name);
        found.unwrap().connection
    };
    assert!(session("DELE") > session("RETR"), "{:?}", lines(&fake));
    assert_eq!(session("UIDL"), session("DELE"), "{:?}", lines(&fake));
    assert_eq!(trial.remotes("INBOX").len(), 12);
    trial.assert_quiet(&fake, &ARCHIVED);
    assert!(trial.ls("INBOX").iter().all(|row| row["gone"] == false));
}

#[test]
fn what_was_archived_before_can_be_deleted_later() {
    let fake = deletable(World::maildrop(5));
    let trial = Trial::new();
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(deleted(&report), 0);
    trial.assert_quiet(&fake, &["--pop-delete", "never"]);
    let report = trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(deleted(&report), 5, "{report:#}");
    assert_eq!(fake.count("RETR"), 0);
    assert_eq!(fake.uidls(), [""; 0]);
}

#[test]
fn days_are_counted_from_when_it_was_archived() {
    let fake = deletable(World::maildrop(3));
    let mut trial = Trial::new();
    let seven = ["--pop-delete", "after-days=7"];
    trial.now(NOON);
    let report = trial.backup(&fake, 0, &seven);
    assert_eq!(deleted(&report), 0, "{report:#}");
    trial.now(NOON + 3 * DAY);
    fake.world().add("late", &mail(50));
    let report = trial.backup(&fake, 0, &seven);
    assert_eq!(deleted(&report), 0, "{report:#}");
    // A second before the seven days are over it is too early.
    trial.now(NOON + 7 * DAY - 1);
    trial.assert_quiet(&fake, &seven);
    trial.now(NOON + 7 * DAY + 60);
    let report = trial.backup(&fake, 0, &seven);
    assert_eq!(deleted(&report), 3, "{report:#}");
    assert_eq!(fake.uidls(), ["late"]);
    // A clock that stood years ahead and was put right makes nothing old.
    trial.now(NOON - 300 * DAY);
    trial.assert_quiet(&fake, &seven);
    trial.now(NOON + 11 * DAY);
    let report = trial.backup(&fake, 0, &seven);
    assert_eq!(deleted(&report), 1, "{report:#}");
    assert_eq!(fake.uidls(), [""; 0]);
}

#[test]
fn what_was_not_archived_is_never_deleted() {
    let mut world = World::maildrop(10);
    world.add("spam", &mail_with(20, "X-Spam-Flag: YES\r\n"));
    world.add("large", &[mail(21), vec![b'x'; 50_000]].concat());
    world.message("u3").retr = Delivery::refused("corrupt");
    world.message("u4").uidl = b"dup".to_vec();
    world.message("u7").uidl = b"dup".to_vec();
    world.message("u8").uidl = Vec::new();
    let fake = deletable(world);
    let trial = Trial::new();
    let how = [
        &ARCHIVED[..],
        &["--pop-spam", "exclude", "--max-size", "20K"],
    ]
    .concat();
    for run in 0..2 {
        let report = trial.backup(&fake, 3, &how);
        let of = maildrop(&report);
        assert_eq!((of.excluded, of.skipped), (2, 1), "{report:#}");
        assert_eq!(deleted(&report), if run == 0 { 6 } else { 0 }, "{report:#}");
        let left = ["u3", "dup", "dup", "", "spam", "large"];
        assert_eq!(fake.uidls(), left, "run {run}");
    }
    let gone = ["u1", "u10", "u2", "u5", "u6", "u9"];
    assert_eq!(marked(&fake), gone);
    // An accepted loss is a loss, and no reason to make it final.
    let id = trial.skip_rows()[0]["id"].to_string();
    let archive = trial.archive.to_str().unwrap();
    trial.run(&fake, 0, &["skips", archive, "--accept", &id, "well"]);
    let report = trial.backup(&fake, 0, &how);
    assert_eq!(deleted(&report), 0, "{report:#}");
    assert_eq!(fake.uidls().len(), 6);
}

#[test]
fn what_is_of_before_the_start_day_is_never_deleted() {
    let fake = deletable(World::maildrop(4));
    fake.world().add("new", b"no date\r\n");
    let mut trial = Trial::new();
    trial.now(NOON);
    let how = [&ARCHIVED[..], &["--pop-messages", "from-today"]].concat();
    for _ in 0..2 {
        trial.backup(&fake, 0, &how);
        assert_eq!(fake.uidls(), ["u1", "u2", "u3", "u4"]);
    }
}

#[test]
fn a_maildrop_with_nothing_left_but_what_was_excluded_is_quiet() {
    let fake = deletable(World::maildrop(4));
    fake.world().add("new", b"no date\r\n");
    let mut trial = Trial::new();
    trial.now(NOON);
    let how = [&ARCHIVED[..], &["--pop-messages", "from-today"]].concat();
    trial.backup(&fake, 0, &how);
    trial.assert_quiet(&fake, &how);
    trial.assert_quiet(&fake, &how);
}

#[test]
fn another_message_under_the_same_unique_id_is_kept() {
    let fake = deletable(World::maildrop(5));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    // Of the same size, so that only its header tells; one whose header differs, though its
    // body is the same; and one whose header is refused.
    let mut other = mail(3);
    let at = other.windows(6).position(|w| w == b"number").unwrap();
    other[at..at + 6].copy_from_slice(b"rebmun");
    fake.world().message("u3").body.clone_from(&other);
    fake.world().message("u4").top = Delivery::Instead(mail_with(4, "X-Added: by the server\r\n"));
    fake.world().message("u5").top = Delivery::refused("no");
    let report = trial.backup_any(&fake, &ARCHIVED);
    assert_eq!(deleted(&report), 2, "{report:#}");
    let (reasons, n) = kept(&report);
    assert_eq!(n, 3, "{report:#}");
    assert!(!reasons.is_empty());
    assert_eq!(fake.uidls(), ["u3", "u4", "u5"]);
    assert_eq!(marked(&fake), ["u1", "u2"]);
}

/// A message that differs from another of the same size and header in one byte of its body.
fn twin_of(n: u32) -> Vec<u8> {
    let mut twin = mail(n);
    let at = twin.len() - 3;
    twin[at] = b'y';
    assert!(twin != mail(n));
    twin
}

#[test]
fn what_was_changed_between_backup_and_deletion_is_kept() {
    let fake = deletable(World::maildrop(4));
    // Behind the first session the numbers move, one goes and another is replaced.
    let mut done = false;
    fake.hook(move |command, world| {
        if command.name == "QUIT" && !std::mem::replace(&mut done, true) {
            world.messages.reverse();
            world.remove("u4");
            // Of the same name, size and header, and not in the archive.
            world.add("u3", &twin_of(3));
            let fields = "X-Other: it is\r\n";
            world.message("u1").body = mail_with(1, fields);
            world.message("u1").size = Some(mail(1).len().to_string());
            world.messages.insert(0, Message::new(b"fresh", &mail(9)));
        }
        Reaction::Normal
    });
    let trial = Trial::new();
    let report = trial.backup_any(&fake, &ARCHIVED);
    // What came was seen before the backup ended, so it is held as well.
    assert_eq!((deleted(&report), kept(&report).1), (2, 2), "{report:#}");
    assert_eq!(marked(&fake), ["fresh", "u2"]);
    assert_eq!(fake.uidls(), ["u3", "u1", "u3"]);
    // The second of that name is not lost sight of.
    fake.unhook();
    trial.backup(&fake, 0, &[]);
    assert!(trial.contents().contains(&twin_of(3)));
}

#[test]
fn what_is_held_and_kept_all_the_same_is_told_with_its_reason() {
    // Nobody can say which message a unique-id means that two bear or none has.
    let mut world = World::maildrop(5);
    world.message("u2").uidl = b"dup".to_vec();
    world.message("u4").uidl = b"dup".to_vec();
    world.message("u5").uidl = Vec::new();
    let fake = deletable(world);
    let report = Trial::new().backup_any(&fake, &ARCHIVED);
    assert_eq!((deleted(&report), kept(&report).1), (2, 3), "{report:#}");
    // The same is true of all where there are no unique-ids.
    let fake = deletable(World::maildrop(5).without("UIDL"));
    let how = [&ARCHIVED[..], &["--pop-without-uidl"]].concat();
    let report = Trial::new().backup_any(&fake, &how);
    assert_eq!((deleted(&report), kept(&report).1), (0, 5), "{report:#}");
}

#[test]
fn without_top_or_unique_ids_nothing_is_deleted() {
    for world in [
        World::maildrop(4).without("TOP"),
        World::maildrop(4).without("UIDL"),
    ] {
        let fake = deletable(world);
        let uidl = fake.world().uidl;
        let trial = Trial::new();
        let more = if uidl {
            &[][..]
        } else {
            &["--pop-without-uidl"]
        };
        let how = [&ARCHIVED[..], more].concat();
        let last = trial.backup_any(&fake, &how);
        assert_eq!(fake.count("DELE"), 0);
        assert_eq!(fake.uidls().len(), 4);
        let told = last.to_string().contains("TOP");
        assert!(told || !uidl, "nobody is told: {last:#}");
    }
}

/// The contents of the archive that cannot be read back.
fn unreadable(trial: &Trial) -> BTreeSet<String> {
    let reader = Reader::open(&trial.archive, None).unwrap();
    let mut mail = reader.mail();
    let mut lost = BTreeSet::new();
    for (segment, _, _) in reader.catalog().segments().unwrap() {
        for content in reader.catalog().contents_in(&segment, 0).unwrap() {
            if mail.read_to_vec(&content).is_err() {
                lost.insert(content.id.to_string());
            }
        }
    }
    lost
}

#[test]
fn what_cannot_be_read_back_is_never_deleted() {
    let fake = deletable(World::maildrop(6));
    let mut trial = Trial::new();
    trial.set("MAILSTOW_TEST_COMMIT_MESSAGES", 1);
    trial.backup(&fake, 0, &[]);
    let segment = {
        let reader = Reader::open(&trial.archive, None).unwrap();
        let segments = reader.catalog().segments().unwrap();
        trial.archive.join("mail").join(&segments[0].0)
    };
    let len = std::fs::metadata(&segment).unwrap().len() as usize;
    fixture::flip(&segment, len / 2, 3);
    let lost = unreadable(&trial);
    assert_eq!(lost.len(), 1, "the damage hit another number of messages");
    let rows = trial.ls("INBOX");
    let hit = rows
        .iter()
        .find(|row| lost.contains(row["content"].as_str().unwrap()));
    let hit = hit.unwrap()["remote"].as_str().unwrap().to_owned();
    let report = trial.backup_any(&fake, &ARCHIVED);
    assert_eq!(deleted(&report), 5, "{report:#}");
    assert_eq!(kept(&report).1, 1, "{report:#}");
    assert_eq!(fake.uidls(), [hit]);
}

#[test]
fn neither_dry_run_nor_plan_nor_resume_deletes() {
    let fake = deletable(World::maildrop(4));
    fake.world().may_delete = false;
    let trial = Trial::new();
    trial.text(&fake, 0, &["--dry-run", "--pop-delete", "archived"]);
    let (url, archive) = (fake.url(), trial.archive.to_str().unwrap());
    let plan = ["plan", &url, "--to", archive, "--pop-delete", "archived"];
    trial.run(&fake, 0, &plan);
    trial.run(&fake, 0, &["resume", archive]);
    trial.assert_holds_all_but(&fake, &[]);
    trial.text(&fake, 0, &["--dry-run", "--pop-delete", "archived"]);
    trial.run(&fake, 0, &plan);
    trial.run(&fake, 0, &["resume", archive]);
    assert_eq!(fake.count("DELE"), 0);
    assert_eq!(fake.uidls().len(), 4);
    fake.world().may_delete = true;
    let report = trial.backup(&fake, 0, &ARCHIVED);
    assert_eq!(deleted(&report), 4);
}
