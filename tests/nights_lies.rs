//! Servers whose word about what changed is not to be taken: nothing is lost, nothing is falsely
//! gone, and what cannot be seen through is put right by the next look at everything.
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

use std::collections::BTreeSet;

use support::fake_imap::mirror::Mirror;
use support::fake_imap::{FakeMailbox, Lies, Listing, Reaction, Status, World};
use support::mailstow::numbers;

const PLAIN: &str = "";
const CONDSTORE: &str = "CONDSTORE ENABLE";
const NO_QRESYNC: &str = "CONDSTORE LIST-EXTENDED LIST-STATUS";
const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";
const WITH_CONDSTORE: [&str; 3] = [CONDSTORE, NO_QRESYNC, QRESYNC];
const ALL: [&str; 4] = [PLAIN, CONDSTORE, NO_QRESYNC, QRESYNC];
/// Another selection of the same mail: what was believed before counts for nothing.
const LOOK_AT_EVERYTHING: &[&str] = &["--before", "2100-01-01"];

/// Some nights old, so that its mod-sequences are not small numbers.
fn mirror(capabilities: &str) -> Mirror {
    let mailboxes = [("INBOX", 40), ("Work", 12), ("Zoo", 3)];
    let filled = mailboxes.map(|(name, n)| FakeMailbox::new(name).filled(n));
    let mut world = World::with(filled).announcing(capabilities);
    for (n, mailbox) in (1..).zip(&mut world.mailboxes) {
        mailbox.uidvalidity = Some(1_700_000_000 + n);
    }
    let mut mirror = Mirror::of(world);
    mirror.night();
    for flags in ["\\Seen", "\\Flagged", "$Label", ""] {
        mirror.fake.world().message(30).flags = flags.to_owned();
        mirror.fake.world().mailbox_mut("Work").message(3).flags = flags.to_owned();
        mirror.night();
    }
    mirror
}

/// New mail, other flags, and messages that left, in two mailboxes.
fn change(world: &mut World) {
    let inbox = world.mailbox_mut("INBOX");
    inbox.expunge(&[4, 5, 17, 40]);
    inbox.add(&[]).flags = "\\Answered".to_owned();
    inbox.add(&[]);
    for (uid, flags) in [(1, "$Junk"), (2, "\\Deleted"), (30, "\\Answered \\Seen")] {
        inbox.message(uid).flags = flags.to_owned();
    }
    world.mailbox_mut("Work").message(7).flags = "\\Draft".to_owned();
    world.mailbox_mut("Work").add(&[]);
}

/// All that is on the server is shown, whatever its flags.
#[track_caller]
fn assert_shows_all(mirror: &Mirror) {
    let what = |all: support::fake_imap::mirror::Standing| -> BTreeSet<_> {
        let strip = all
            .into_iter()
            .map(|(wire, remote, .., content)| (wire, remote, content));
        strip.collect()
    };
    let (server, archive) = (what(mirror.server()), what(mirror.archive()));
    let lost: Vec<_> = server.difference(&archive).collect();
    assert!(lost.is_empty(), "on the server, and not shown: {lost:?}");
}

/// A night on which the server lies, and the archive is right all the same.
#[track_caller]
fn seen_through(capabilities: &[&str], lie: impl Fn(&mut World)) {
    for capabilities in capabilities {
        println!("[{capabilities}]");
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        lie(&mut mirror.fake.world());
        mirror.night();
        mirror.soon_after(0, &[]);
        mirror.assert_mirrors();
        mirror.fake.heal();
        mirror.night();
        mirror.quiet();
        mirror.assert_sound();
    }
}

fn lies(mut tell: impl FnMut(&mut Lies)) -> impl FnMut(&mut World) {
    move |world| tell(&mut world.lies)
}

#[test]
fn an_expunge_that_vanished_does_not_name_is_missed_by_counting() {
    for quiet in [vec![5], vec![4, 5, 17, 40], vec![40]] {
        seen_through(&[QRESYNC], |world| {
            lies(|lies| lies.keeps_quiet.clone_from(&quiet))(world);
        });
    }
}

#[test]
fn a_message_that_vanished_names_and_that_is_there_is_not_gone() {
    for buried in [vec![1], vec![33, 34, 35], vec![41, 42]] {
        seen_through(&[QRESYNC], |world| {
            lies(|lies| lies.buries.clone_from(&buried))(world);
        });
    }
}

#[test]
fn two_lies_that_add_up_are_put_right_when_everything_is_looked_at() {
    let mut mirror = mirror(QRESYNC);
    change(&mut mirror.fake.world());
    mirror.fake.world().lies = Lies {
        keeps_quiet: vec![5],
        buries: vec![20],
        ..Lies::default()
    };
    mirror.night_ending(0, &[]);
    mirror.fake.heal();
    mirror.night_ending(0, LOOK_AT_EVERYTHING);
    mirror.assert_mirrors();
    mirror.night();
    mirror.quiet();
    mirror.assert_sound();
}

#[test]
fn a_flag_that_changedsince_leaves_out_is_put_right_when_everything_is_looked_at() {
    for capabilities in WITH_CONDSTORE {
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        mirror.fake.world().lies.leaves_out = vec![1, 30];
        mirror.night_ending(0, &[]);
        assert_shows_all(&mirror);
        mirror.fake.heal();
        mirror.night_ending(0, LOOK_AT_EVERYTHING);
        mirror.assert_mirrors();
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn new_mail_that_changedsince_leaves_out_is_fetched_all_the_same() {
    for capabilities in WITH_CONDSTORE {
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        mirror.fake.world().lies.leaves_out = vec![41, 42, 13];
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn where_changedsince_is_refused_or_passed_over_nothing_is_missed() {
    seen_through(
        &WITH_CONDSTORE,
        lies_of(|lies| lies.changedsince_is_bad = true),
    );
    seen_through(
        &WITH_CONDSTORE,
        lies_of(|lies| lies.changedsince_is_nothing = true),
    );
}

fn lies_of(tell: fn(&mut Lies)) -> impl Fn(&mut World) {
    move |world| tell(&mut world.lies)
}

#[test]
fn a_vanished_nobody_can_read_costs_qresync_and_nothing_else() {
    seen_through(&[QRESYNC], lies_of(|lies| lies.vanished_is_garbled = true));
}

#[test]
fn an_enable_that_enables_nothing_is_not_relied_on() {
    seen_through(&[QRESYNC], lies_of(|lies| lies.enables_nothing = true));
}

#[test]
fn a_server_restored_from_its_own_backup_counts_from_the_start() {
    // The numbers of changes are below those of the checkpoint.
    seen_through(&WITH_CONDSTORE, |world| {
        for mailbox in &mut world.mailboxes {
            mailbox.forget_changes();
        }
    });
}

#[test]
fn a_highestmodseq_that_goes_backwards_says_nothing() {
    seen_through(&WITH_CONDSTORE, |world| {
        for mailbox in &mut world.mailboxes {
            mailbox.modseq = Some(2);
        }
    });
}

#[test]
fn a_mailbox_that_counts_no_changes_is_listed() {
    // RFC 7162 §3.1.2.2: NOMODSEQ, and CHANGEDSINCE is BAD.
    seen_through(&WITH_CONDSTORE, |world| {
        world.mailbox_mut("INBOX").modseq = Some(0);
    });
}

#[test]
fn a_mailbox_without_a_status_line_is_looked_into() {
    for status in [Status::Silent, Status::Refused("NO [SERVERBUG] no".into())] {
        seen_through(&ALL, |world| {
            world.mailbox_mut("Work").status = status.clone();
            world.mailbox_mut("INBOX").status = status.clone();
        });
    }
}

#[test]
fn without_uidnext_new_mail_is_found() {
    for capabilities in ALL {
        let mut mirror = mirror(capabilities);
        let forget = |mirror: &Mirror| {
            for mailbox in &mut mirror.fake.world().mailboxes {
                mailbox.uidnext = None;
            }
        };
        forget(&mirror);
        change(&mut mirror.fake.world());
        mirror.night();
        mirror.fake.world().mailbox_mut("INBOX").add(&[]);
        mirror.fake.world().mailbox_mut("INBOX").expunge(&[10]);
        mirror.night();
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn answers_that_are_cut_off_are_asked_for_to_the_end() {
    seen_through(&ALL, |world| {
        world.message_limit = Some(3);
        for _ in 0..7 {
            world.mailbox_mut("INBOX").add(&[]);
        }
    });
}

#[test]
fn search_that_stops_at_a_thousand_decides_nothing() {
    let world = World {
        search_limit: Some(1000),
        ..World::with([FakeMailbox::new("INBOX").filled(1100)])
    };
    for capabilities in [PLAIN, QRESYNC] {
        let mut mirror = Mirror::of(world.clone().announcing(capabilities));
        mirror.night();
        mirror.fake.world().expunge(1050);
        mirror.fake.world().mailbox_mut("INBOX").add(&[]);
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn answers_twice_backwards_and_with_chatter_in_between_are_the_same_answers() {
    seen_through(&ALL, |world| {
        (world.twice, world.descending) = (true, true);
        world.chatter = b"* 0 RECENT\r\n* OK still here\r\n".to_vec();
        world.tells_departures = true;
    });
}

#[test]
fn a_new_message_that_is_not_shown_at_first_comes_with_the_next_night() {
    for capabilities in ALL {
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        mirror.fake.world().message(41).listing = Listing::Hidden;
        mirror.night_ending(3, &[]);
        // It appears without anything having changed.
        mirror.fake.heal();
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn a_message_that_is_counted_and_not_there_makes_no_other_one_gone() {
    for capabilities in ALL {
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        mirror.fake.world().mailbox_mut("INBOX").phantoms = 2;
        let report = mirror.night_ending(3, &[]);
        assert_eq!(numbers(&report, "INBOX").skipped, 2, "[{capabilities}]");
        assert_shows_all(&mirror);
        mirror.fake.heal();
        mirror.night();
        mirror.quiet();
    }
}

#[test]
fn a_held_message_that_is_not_shown_for_a_night_is_not_gone() {
    for capabilities in ALL {
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        for uid in [9, 10, 39] {
            mirror.fake.world().message(uid).listing = Listing::Hidden;
        }
        // Who need not list them does not notice.
        mirror.restless_night();
        assert_shows_all(&mirror);
        mirror.fake.heal();
        mirror.night();
        assert!(mirror.fake.asked().is_empty(), "{:?}", mirror.fake.asked());
        mirror.quiet();
    }
}

#[test]
fn an_empty_list_once_is_not_even_worth_a_word() {
    for capabilities in ALL {
        let mut mirror = mirror(capabilities);
        change(&mut mirror.fake.world());
        let mut lists = 0;
        mirror.fake.hook(move |command, _| {
            lists += u32::from(command.name == "LIST");
            match command.name == "LIST" && lists == 1 {
                true => Reaction::say("TAG OK\r\n"),
                false => Reaction::Normal,
            }
        });
        mirror.night();
        mirror.quiet();
    }
}

/// Another message under the number of the last one, with every number of the mailbox as it was.
fn reuse_the_top(world: &mut World) {
    let inbox = world.mailbox_mut("INBOX");
    let top = inbox.messages.last_mut().unwrap();
    top.body = b"Subject: another mail under the same number\r\n\r\n".to_vec();
    top.date = "01-Mar-2025 10:00:00 +0000".to_owned();
}

#[test]
fn a_constant_uidvalidity_with_a_reused_top_uid_hides_no_mail() {
    for uidvalidity in [None, Some(0), Some(1)] {
        for capabilities in ALL {
            let mut inbox = FakeMailbox::new("INBOX").filled(25);
            inbox.uidvalidity = uidvalidity;
            let world = World::with([inbox]).announcing(capabilities);
            let mut mirror = Mirror::of(world);
            mirror.night();
            reuse_the_top(&mut mirror.fake.world());
            // HIGHESTMODSEQ stands still as well, where there is one.
            let still = mirror
                .fake
                .world()
                .mailbox("INBOX")
                .unwrap()
                .highest_modseq();
            mirror.fake.world().mailbox_mut("INBOX").modseq = Some(still);
            mirror.night();
            assert_eq!(
                mirror.fake.asked().len(),
                1,
                "{uidvalidity:?} [{capabilities}]"
            );
            mirror.quiet();
            mirror.assert_sound();
        }
    }
}

#[test]
fn without_condstore_a_reused_top_uid_hides_no_mail_under_any_uidvalidity() {
    let mut mirror = Mirror::of(World::inbox(25));
    mirror.night();
    reuse_the_top(&mut mirror.fake.world());
    mirror.night();
    mirror.quiet();
}
