//! Ways in which what a server says adds up although something is wrong, and in which a night may
//! throw away what the next one needs. Each of them hid mail, or cost a whole download, once.
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

use support::fake_imap::mirror::Mirror;
use support::fake_imap::{FakeMailbox, Reaction, World};
use support::mailstow::Ended;

const PLAIN: &str = "";
const CONDSTORE: &str = "CONDSTORE ENABLE";
const NO_QRESYNC: &str = "CONDSTORE LIST-EXTENDED LIST-STATUS";
const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";
const ALL: [&str; 4] = [PLAIN, CONDSTORE, NO_QRESYNC, QRESYNC];

fn letters(name: &str, n: u32) -> FakeMailbox {
    let mut mailbox = FakeMailbox::new(name);
    for i in 0..n {
        let letter = format!(
            "Message-ID: <{name}{i}@x>\r\nFrom: a@x\r\nDate: Wed, 07 Feb 2024 20:52:25 +0000\r\n\
             Subject: {i}\r\n\r\nbody {i}\r\n"
        );
        mailbox.add(letter.as_bytes());
    }
    mailbox
}

fn renumber(mirror: &Mirror, mailbox: &str) {
    let mut world = mirror.fake.world();
    let mailbox = world.mailbox_mut(mailbox);
    mailbox.uidvalidity = mailbox.uidvalidity.map(|v| v + 100_000_000);
}

#[test]
fn a_message_that_becomes_visible_late_is_found_though_another_one_left() {
    for capabilities in ALL {
        let inbox = FakeMailbox::new("INBOX").filled(12);
        let mut mirror = Mirror::of(World::with([inbox]).announcing(capabilities));
        let late = mirror.fake.world().mailbox_mut("INBOX").messages.remove(10);
        mirror.night();
        {
            let mut world = mirror.fake.world();
            let inbox = world.mailbox_mut("INBOX");
            inbox.expunge(&[5]);
            inbox.messages.insert(9, late);
        }
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn uids_given_a_second_time_by_a_server_that_was_put_back_hide_nothing() {
    for capabilities in ALL {
        for new in [3, 8] {
            let inbox = FakeMailbox::new("INBOX").filled(20);
            let mut mirror = Mirror::of(World::with([inbox]).announcing(capabilities));
            mirror.night();
            for flags in ["\\Seen", "", "\\Seen", ""] {
                mirror.fake.world().message(3).flags = flags.to_owned();
                mirror.night();
            }
            {
                let mut world = mirror.fake.world();
                let inbox = world.mailbox_mut("INBOX");
                inbox.expunge(&[16, 17, 18, 19, 20]);
                inbox.uidnext = Some(16);
                inbox.forget_changes();
                for n in 0..new {
                    let body = format!("Subject: later {n}\r\nMessage-ID: <l{n}@x>\r\n\r\n{n}\r\n");
                    let message = inbox.add(body.as_bytes());
                    message.date = format!("0{}-Mar-2025 10:00:00 +0000", n + 1);
                }
            }
            mirror.night();
            mirror.quiet();
        }
    }
}

/// iCloud has been seen to answer UID SEARCH with message numbers.
#[test]
fn search_that_answers_with_message_numbers_makes_no_other_message_gone() {
    let inbox = FakeMailbox::new("INBOX").filled(20);
    let world = World::with([inbox]).announcing("CONDSTORE ENABLE ESEARCH");
    let mut mirror = Mirror::of(world);
    mirror.night();
    mirror.fake.world().expunge(5);
    mirror.fake.hook(|command, world| {
        if command.name != "UID SEARCH" {
            return Reaction::Normal;
        }
        let n = world.mailbox("INBOX").unwrap().messages.len();
        Reaction::say(&format!(
            "* ESEARCH (TAG \"TAG\") UID ALL 1:{n}\r\nTAG OK\r\n"
        ))
    });
    mirror.night();
    mirror.quiet();
}

#[test]
fn changes_that_are_cut_off_by_a_limit_are_not_taken_for_all() {
    for capabilities in [CONDSTORE, QRESYNC] {
        let inbox = FakeMailbox::new("INBOX").filled(40);
        let mut mirror = Mirror::of(World::with([inbox]).announcing(capabilities));
        mirror.night();
        for message in &mut mirror.fake.world().mailbox_mut("INBOX").messages {
            message.flags = "\\Draft".to_owned();
        }
        mirror.fake.world().message_limit = Some(7);
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn a_plan_or_a_failure_in_between_leaves_messages_to_be_recognised() {
    for planned in [true, false] {
        let world = World::with([letters("INBOX", 30), letters("Work", 3)]);
        let mut mirror = Mirror::of(world.announcing(NO_QRESYNC));
        mirror.night();
        let before = mirror.everything();
        renumber(&mirror, "INBOX");
        if planned {
            let (url, archive) = (mirror.fake.url(), mirror.trial.archive.clone());
            let to = archive.to_str().unwrap();
            let mut plan = mirror.trial.mailstow.command(&["plan", &url, "--to", to]);
            Ended::of(&mut plan).expect(0);
        } else {
            let refused = Some("NO [SERVERBUG] broken".into());
            mirror.fake.world().mailbox_mut("INBOX").examine = refused;
            mirror.night_ending(3, &[]);
            mirror.fake.world().mailbox_mut("INBOX").examine = None;
        }
        assert_eq!(mirror.everything(), before, "planned: {planned}");
        mirror.night();
        assert_eq!(mirror.fake.asked().len(), 0, "planned: {planned}");
    }
}

/// Proton Bridge after an upgrade: another UIDVALIDITY, and empty until it has synced.
#[test]
fn an_account_that_is_empty_under_new_numbers_is_doubted_and_recognised_when_it_is_back() {
    let world = World::with([letters("INBOX", 60), letters("Work", 40)]);
    let mut mirror = Mirror::of(world.announcing(NO_QRESYNC));
    mirror.night();
    let before = mirror.everything();
    let mut away = Vec::new();
    for name in ["INBOX", "Work"] {
        renumber(&mirror, name);
        let mut world = mirror.fake.world();
        away.push(std::mem::take(&mut world.mailbox_mut(name).messages));
    }
    mirror.night_ending(3, &[]);
    assert_eq!(mirror.everything(), before);
    for (name, messages) in ["INBOX", "Work"].into_iter().zip(away) {
        mirror.fake.world().mailbox_mut(name).messages = messages;
    }
    mirror.night();
    assert_eq!(
        mirror.fake.asked().len(),
        0,
        "bodies of messages that are held"
    );
}

#[test]
fn what_is_fetched_late_does_not_stand_for_what_is_missing() {
    let world = World::with([letters("INBOX", 60), letters("Work", 40)]);
    let mut mirror = Mirror::of(world.announcing(NO_QRESYNC));
    mirror.night();
    renumber(&mirror, "Work");
    {
        let mut world = mirror.fake.world();
        // Nothing of it is recognised, so all of it is fetched.
        for message in &mut world.mailbox_mut("Work").messages {
            message.date = "01-Jan-2020 00:00:00 +0000".to_owned();
        }
        world.mailbox_mut("INBOX").messages.clear();
    }
    mirror.night_ending(3, &[]);
    let inbox = |mirror: &Mirror| {
        mirror
            .everything()
            .iter()
            .filter(|m| m.0 == "INBOX")
            .count()
    };
    assert_eq!(inbox(&mirror), 60);
    mirror.night_ending(0, &[]);
    assert_eq!(inbox(&mirror), 0);
}

#[test]
fn the_same_outage_an_hour_later_is_no_second_night_and_trash_is_no_surer() {
    let mut trash = letters("Trash", 50);
    trash.attributes = "\\Trash".to_owned();
    let world = World::with([letters("INBOX", 60), trash]);
    let mut mirror = Mirror::of(world.announcing(NO_QRESYNC));
    mirror.night();
    let before = mirror.everything();
    for name in ["INBOX", "Trash"] {
        mirror.fake.world().mailbox_mut(name).messages.clear();
    }
    mirror.night_ending(3, &[]);
    mirror.soon_after(3, &[]);
    assert_eq!(mirror.everything(), before);
    mirror.night_ending(0, &[]);
    assert!(mirror.everything().is_empty());
}

#[test]
fn a_copy_with_the_same_numbers_takes_nothing_from_a_mailbox_that_is_there() {
    let mut work = letters("Work", 8);
    work.uidvalidity = Some(1_700_000_009);
    let mut mirror = Mirror::of(World::with([letters("INBOX", 3), work.clone()]));
    mirror.night();
    let mut copy = work;
    copy.wire = b"Copy".to_vec();
    mirror.fake.world().mailboxes.push(copy);
    mirror.night_ending(0, &["--mailbox", "Copy"]);
    mirror.night();
    mirror.quiet();
}

#[test]
fn a_mailbox_that_was_gone_for_nights_is_recognised_when_it_is_back() {
    let world = World::with([letters("INBOX", 3), letters("Work", 12)]);
    let mut mirror = Mirror::of(world.announcing(NO_QRESYNC));
    mirror.night();
    let work = mirror.fake.world().mailboxes.pop().unwrap();
    mirror.night_ending(0, &[]);
    mirror.night();
    mirror.fake.world().mailboxes.push(work);
    mirror.night();
    assert_eq!(
        mirror.fake.asked().len(),
        0,
        "bodies of messages that are held"
    );
}

/// What was concluded from what a server says of changes is proven by a listing, also where nothing
/// changes any more.
#[test]
fn a_flag_change_that_was_kept_back_is_found_within_some_weeks() {
    let world = World::with([FakeMailbox::new("INBOX").filled(20)]).announcing(NO_QRESYNC);
    let mut mirror = Mirror::of(world);
    mirror.night();
    mirror.fake.world().message(3).flags = "\\Flagged".to_owned();
    mirror.fake.world().message(4).flags = "\\Flagged".to_owned();
    mirror.fake.hook(|command, world| {
        if !command.wants_changes() {
            return Reaction::Normal;
        }
        let highest = world.mailbox("INBOX").unwrap().highest_modseq();
        Reaction::say(&format!(
            "* 3 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ ({highest}))\r\nTAG OK done\r\n"
        ))
    });
    mirror.night_ending(0, &[]);
    for _ in 0..6 {
        mirror.night_ending(0, &[]);
    }
    mirror.assert_mirrors();
}

/// A message that was recognised, could not be proven one night, and was proven the next, is no
/// skip any more, also where a filter leaves others out for good.
#[test]
fn a_proof_that_failed_once_leaves_no_skip_behind() {
    let mut inbox = letters("INBOX", 5);
    inbox.add(&[b'x'; 5000]);
    let small = &["--max-size", "1000"];
    let mut mirror = Mirror::of(World::with([inbox]).announcing(NO_QRESYNC));
    mirror.night_ending(0, small);
    renumber(&mirror, "INBOX");
    mirror.night_ending(0, small);
    assert_eq!(
        mirror.fake.asked().len(),
        0,
        "bodies of messages that are held"
    );
    mirror.fake.hook(|command, _| match command.wants_bodies() {
        true => Reaction::say("TAG NO [SERVERBUG] not today\r\n"),
        false => Reaction::Normal,
    });
    mirror.night_ending(3, small);
    assert_eq!(mirror.trial.skips().len(), 5);
    mirror.fake.heal();
    mirror.night_ending(0, small);
    assert_eq!(mirror.trial.skips(), []);
}
