//! Night after night on servers that can more and less: whatever changed, the archive shows the
//! mailboxes as they are, and each earlier night as it was.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use support::dice::Dice;
use support::fake_imap::changes_of_mind::{change, copy};
use support::fake_imap::mirror::Mirror;
use support::fake_imap::{FakeMailbox, Reaction, World};

/// Servers by what they announce.
const PLAIN: &str = "";
const LIST_STATUS: &str = "LIST-EXTENDED LIST-STATUS";
const CONDSTORE: &str = "CONDSTORE ENABLE";
/// Zoho, Gmail.
const NO_QRESYNC: &str = "CONDSTORE LIST-EXTENDED LIST-STATUS";
const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";
/// RFC 7162 §3.2.3: who announces QRESYNC need not announce CONDSTORE.
const QRESYNC_ALONE: &str = "QRESYNC ENABLE";
const ALL: [&str; 6] = [
    PLAIN,
    LIST_STATUS,
    CONDSTORE,
    NO_QRESYNC,
    QRESYNC,
    QRESYNC_ALONE,
];

fn world(capabilities: &str) -> World {
    let mailboxes = [("INBOX", 40), ("Work", 12), ("Work/Old", 5), ("Empty", 0)];
    let filled = mailboxes.map(|(name, n)| FakeMailbox::new(name).filled(n));
    let mut world = World::with(filled).announcing(capabilities);
    for (n, mailbox) in (1..).zip(&mut world.mailboxes) {
        mailbox.uidvalidity = Some(1_700_000_000 + n);
        mailbox.subscribed = n % 2 == 1;
    }
    world
}

type Change = (&'static str, fn(&mut World));

/// Each alone is a night's change.
const CHANGES: [Change; 11] = [
    ("new mail", |world| {
        for _ in 0..3 {
            world.mailbox_mut("INBOX").add(&[]);
        }
    }),
    ("flags", |world| {
        let inbox = world.mailbox_mut("INBOX");
        inbox.message(1).flags = "\\Seen \\Flagged Новое".to_owned();
        inbox.message(2).flags = String::new();
        inbox.messages.last_mut().unwrap().flags = "$Junk".to_owned();
    }),
    ("expunged from below, the middle and the top", |world| {
        let inbox = world.mailbox_mut("INBOX");
        let last = inbox.messages.last().unwrap().uid;
        inbox.expunge(&[1, 20, 21, last]);
    }),
    ("as many new as expunged", |world| {
        let inbox = world.mailbox_mut("INBOX");
        inbox.expunge(&[3, 4]);
        inbox.add(&[]);
        inbox.add(&[]);
    }),
    ("all at once", |world| {
        let inbox = world.mailbox_mut("INBOX");
        inbox.expunge(&[6]);
        inbox.message(7).flags = "\\Answered".to_owned();
        inbox.add(&[]).flags = "\\Draft".to_owned();
    }),
    ("moved, copied, and copied into its own mailbox", |world| {
        copy(world, "INBOX", 8, "Work");
        world.mailbox_mut("INBOX").expunge(&[8]);
        copy(world, "INBOX", 9, "Work/Old");
        copy(world, "INBOX", 9, "INBOX");
        world.message(9).flags = "\\Deleted".to_owned();
    }),
    ("a small mailbox emptied", |world| {
        world.mailbox_mut("Work/Old").messages.clear();
    }),
    ("mail where there was none", |world| {
        world.mailbox_mut("Work/Old").add(&[]);
        world.mailbox_mut("Empty").add(&[]);
    }),
    ("nothing but UIDNEXT", |world| {
        let inbox = world.mailbox_mut("INBOX");
        inbox.uidnext = inbox.uidnext.map(|next| next + 5);
    }),
    ("a mailbox more", |world| {
        let mut mailbox = FakeMailbox::new("&BB8EQAQ+-").filled(4);
        mailbox.uidvalidity = Some(1_700_000_099);
        world.mailboxes.push(mailbox);
    }),
    ("flags of everything", |world| {
        let inbox = world.mailbox_mut("INBOX");
        inbox
            .messages
            .iter_mut()
            .for_each(|m| m.flags = "\\Seen".to_owned());
    }),
];

fn every_change(capabilities: &str, tells_departures: bool) {
    let mut mirror = Mirror::of(World {
        tells_departures,
        ..world(capabilities)
    });
    mirror.night();
    mirror.quiet();
    for (what, change) in CHANGES {
        println!("{what} on [{capabilities}]");
        change(&mut mirror.fake.world());
        mirror.night();
        mirror.quiet();
    }
    mirror.assert_sound();
}

#[test]
fn every_change_is_seen_without_condstore() {
    every_change(PLAIN, false);
    every_change(LIST_STATUS, true);
}

#[test]
fn every_change_is_seen_with_condstore() {
    every_change(CONDSTORE, false);
    every_change(NO_QRESYNC, true);
}

#[test]
fn every_change_is_seen_with_qresync() {
    every_change(QRESYNC, true);
    every_change(QRESYNC_ALONE, false);
}

#[test]
fn whatever_happens_between_the_nights_is_seen() {
    let mut dice = Dice::thrown("whatever_happens_between_the_nights_is_seen");
    for capabilities in ALL {
        let mut mirror = Mirror::of(world(capabilities));
        mirror.night();
        for _ in 0..5 {
            for _ in 0..=dice.below(5) {
                change(&mut mirror.fake.world(), &mut dice);
            }
            mirror.night();
        }
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn what_happens_during_a_run_is_seen_by_the_next() {
    let mut dice = Dice::thrown("what_happens_during_a_run_is_seen_by_the_next");
    for capabilities in ALL {
        let mut mirror = Mirror::of(World {
            tells_departures: dice.once_in(2),
            ..world(capabilities)
        });
        for _ in 0..3 {
            change(&mut mirror.fake.world(), &mut dice);
            let mut chance = Dice::new(dice.next());
            mirror.fake.hook(move |_, world| {
                if chance.once_in(2) {
                    change(world, &mut chance);
                }
                Reaction::Normal
            });
            mirror.restless_night();
            mirror.fake.hook(|_, _| Reaction::Normal);
            // So much may have left meanwhile that it is told.
            mirror.restless_night();
            mirror.assert_mirrors();
        }
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn a_server_that_can_less_or_more_than_last_night_is_asked_for_what_it_can() {
    let mut dice = Dice::thrown("a_server_that_can_less_or_more_than_last_night");
    let mut mirror = Mirror::of(world(QRESYNC));
    mirror.night();
    for capabilities in [
        PLAIN,
        QRESYNC,
        CONDSTORE,
        QRESYNC_ALONE,
        LIST_STATUS,
        NO_QRESYNC,
    ] {
        for _ in 0..4 {
            change(&mut mirror.fake.world(), &mut dice);
        }
        mirror.fake.world().capabilities = format!("IMAP4rev1 {capabilities}");
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn another_selection_in_between_leaves_no_gap() {
    for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
        let mut mirror = Mirror::of(world(capabilities));
        mirror.night_ending(0, &["--before", "2024-02-10"]);
        mirror.fake.world().mailbox_mut("INBOX").message(12).flags = "$Late".to_owned();
        mirror.fake.world().mailbox_mut("Work").add(&[]);
        mirror.night_ending(0, &["--mailbox", "Work"]);
        mirror.fake.world().mailbox_mut("INBOX").expunge(&[2, 11]);
        mirror.night();
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn subscriptions_are_told_right_however_they_are_asked_for() {
    for capabilities in ALL {
        let mut mirror = Mirror::of(world(capabilities));
        mirror.night();
        for turn in 0..2 {
            let state = support::archive_state::archive_state(&mirror.trial.archive);
            for mailbox in &state.mailboxes {
                let wanted = mirror.fake.world().mailbox_mut(&mailbox.wire).subscribed;
                assert_eq!(
                    mailbox.subscribed, wanted,
                    "{} [{capabilities}]",
                    mailbox.name
                );
            }
            if turn == 0 {
                for mailbox in &mut mirror.fake.world().mailboxes {
                    mailbox.subscribed = !mailbox.subscribed;
                }
                mirror.night();
            }
        }
    }
}
