//! What a night costs: nothing when nothing changed, and otherwise as much as what changed.
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

use std::time::Duration;

use support::fake_imap::mirror::Mirror;
use support::fake_imap::{FakeMailbox, World};

const PLAIN: &str = "";
const CONDSTORE: &str = "CONDSTORE ENABLE";
const NO_QRESYNC: &str = "CONDSTORE LIST-EXTENDED LIST-STATUS";
const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";

/// A client that does not wait has sent its next command long before.
const LATENCY: Duration = Duration::from_millis(300);

fn mailboxes(count: u32, each: u32) -> World {
    World::with((1..=count).map(|n| {
        let name = if n == 1 {
            "INBOX".to_owned()
        } else {
            format!("Folder/{n}")
        };
        let mut mailbox = FakeMailbox::new(&name).filled(each);
        mailbox.uidvalidity = Some(1_700_000_000 + n);
        mailbox
    }))
}

/// Names of the commands of the last run.
fn names(mirror: &Mirror) -> Vec<String> {
    mirror.fake.commands().into_iter().map(|c| c.name).collect()
}

#[test]
fn a_quiet_night_is_one_list_and_no_mailbox_is_opened() {
    for capabilities in [NO_QRESYNC, QRESYNC] {
        let mut mirror = Mirror::of(mailboxes(60, 2).announcing(capabilities));
        mirror.night();
        mirror.fake.world().latency = LATENCY;
        mirror.quiet();
        let names = names(&mirror);
        let trips = mirror.fake.round_trips();
        assert!(trips <= 4, "{trips} round trips: {names:?}");
        for name in ["EXAMINE", "STATUS", "UID FETCH", "LSUB"] {
            assert!(!names.iter().any(|n| n == name), "{names:?}");
        }
    }
}

#[test]
fn without_list_status_a_quiet_night_is_one_batch_of_status() {
    let mut mirror = Mirror::of(mailboxes(30, 2).announcing(CONDSTORE));
    mirror.night();
    mirror.fake.world().latency = LATENCY;
    mirror.quiet();
    let names = names(&mirror);
    let trips = mirror.fake.round_trips();
    assert!(trips <= 4, "{trips} round trips: {names:?}");
    assert!(!names.iter().any(|n| n == "EXAMINE"), "{names:?}");
    assert_eq!(mirror.fake.count("STATUS"), 30);
}

#[test]
fn list_is_asked_for_more_only_where_all_of_it_is_announced() {
    for capabilities in ["LIST-STATUS", "LIST-EXTENDED", "CONDSTORE LIST-STATUS"] {
        let mut mirror = Mirror::of(mailboxes(3, 2).announcing(capabilities));
        mirror.night();
        let lists = mirror
            .fake
            .commands()
            .into_iter()
            .filter(|c| c.name == "LIST");
        let lines: Vec<String> = lists.map(|c| c.line).collect();
        assert!(lines.iter().all(|l| !l.contains("STATUS")), "{lines:?}");
    }
}

/// Bytes the server sends for a listing of everything.
fn whole_listing(world: &World) -> u64 {
    let messages: u32 = world.mailboxes.iter().map(FakeMailbox::exists).sum();
    u64::from(messages) * 90
}

#[test]
fn new_mail_and_new_flags_cost_as_much_as_there_is_of_them() {
    for capabilities in [CONDSTORE, NO_QRESYNC, QRESYNC] {
        let mut mirror = Mirror::of(mailboxes(2, 2000).announcing(capabilities));
        mirror.night();
        let whole = whole_listing(&mirror.fake.world());
        {
            let mut world = mirror.fake.world();
            let inbox = world.mailbox_mut("INBOX");
            for uid in 10..20 {
                inbox.message(uid).flags = "$New".to_owned();
                inbox.add(&[]);
            }
        }
        mirror.night();
        let sent = mirror.fake.bytes();
        println!("[{capabilities}]: {sent} bytes, a whole listing has {whole}");
        assert!(
            sent < whole / 20,
            "{sent} of {whole} bytes [{capabilities}]"
        );
        mirror.quiet();
    }
}

#[test]
fn expunges_cost_as_much_as_there_is_of_them_with_qresync() {
    let mut mirror = Mirror::of(mailboxes(2, 2000).announcing(QRESYNC));
    mirror.night();
    let whole = whole_listing(&mirror.fake.world());
    let gone: Vec<u32> = (100..140).step_by(2).collect();
    mirror.fake.world().mailbox_mut("INBOX").expunge(&gone);
    mirror.fake.world().mailbox_mut("Folder/2").expunge(&[2000]);
    mirror.night();
    let sent = mirror.fake.bytes();
    assert!(sent < whole / 20, "{sent} of {whole} bytes");
    mirror.quiet();
}

#[test]
fn without_condstore_flags_are_looked_at_as_often_as_one_says() {
    for (policy, after_an_hour, after_a_week) in [
        (&[][..], false, true),
        (&["--flags", "weekly"], false, true),
        (&["--flags", "always"], true, true),
        (&["--flags", "never"], false, false),
    ] {
        let mut mirror = Mirror::of(mailboxes(2, 30));
        mirror.night_ending(0, policy);
        let flagged = |mirror: &Mirror| {
            let archive = mirror.archive();
            archive
                .iter()
                .any(|(.., flags, _, _)| flags.contains(&"$Later".to_owned()))
        };
        {
            let mut world = mirror.fake.world();
            world.message(7).flags = "$Later".to_owned();
            // What came and went is seen whatever becomes of flags.
            let other = world.mailbox_mut("Folder/2");
            other.expunge(&[3]);
            other.add(&[]).flags = "\\Flagged".to_owned();
        }
        mirror.soon_after(0, policy);
        assert_eq!(flagged(&mirror), after_an_hour, "{policy:?}, an hour later");
        let contents = |all: support::fake_imap::mirror::Standing| -> Vec<_> {
            all.into_iter()
                .map(|(_, remote, .., content)| (remote, content))
                .collect()
        };
        assert_eq!(
            contents(mirror.archive()),
            contents(mirror.server()),
            "{policy:?}"
        );
        mirror.night_ending(0, policy);
        assert_eq!(flagged(&mirror), after_a_week, "{policy:?}, a week later");
    }
}

#[test]
fn without_condstore_a_night_between_two_looks_at_flags_lists_only_what_is_new() {
    let mut mirror = Mirror::of(mailboxes(1, 3000).announcing(PLAIN));
    mirror.night();
    let whole = whole_listing(&mirror.fake.world());
    mirror.fake.world().mailbox_mut("INBOX").add(&[]);
    mirror.soon_after(0, &[]);
    let sent = mirror.fake.bytes();
    assert!(sent < whole / 20, "{sent} of {whole} bytes");
    mirror.assert_mirrors();
}
