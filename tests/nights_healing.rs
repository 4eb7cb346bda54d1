//! A mailbox with a new UIDVALIDITY, or a new name: what is held is recognised and not fetched
//! again, and nothing is taken for what it is not.
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

use std::collections::{BTreeMap, BTreeSet};

use mailstow::model::Evidence;
use mailstow::store::Reader;
use support::fake_imap::mirror::Mirror;
use support::fake_imap::{FakeMailbox, World};

const PLAIN: &str = "";
const NO_QRESYNC: &str = "CONDSTORE LIST-EXTENDED LIST-STATUS";
const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";
const DATE: &str = "07-Feb-2024 21:52:25 +0100";
const NEW: u32 = 1_800_000_000;

/// Messages of one size, whatever their number and kind.
fn letter(kind: char, n: u32) -> Vec<u8> {
    format!(
        "Message-ID: <{kind}{n:05}@x>\r\nDate: Wed, 07 Feb 2024 20:52:25 +0000\r\n\
         From: a@example.org\r\nSubject: letter\r\n\r\n{kind}{n:05}\r\n"
    )
    .into_bytes()
}

/// Another body under the head of a letter, and as long.
fn twin(n: u32) -> Vec<u8> {
    let mut bytes = letter('a', n);
    let at = bytes.len() - 3;
    bytes[at] = b'T';
    bytes
}

/// Without a field by which one could know it, and as long as a letter.
fn anonymous(n: u32) -> Vec<u8> {
    let head = format!("X-Number: {n:05}\r\n");
    let line = "x".repeat(letter('a', 0).len() - head.len() - 4);
    format!("{head}\r\n{line}\r\n").into_bytes()
}

fn put(mailbox: &mut FakeMailbox, body: &[u8]) -> u32 {
    let message = mailbox.add(body);
    message.date = DATE.to_owned();
    message.uid
}

/// The mailbox begins anew: other UIDs, in another order, and a new UIDVALIDITY.
fn renumber(mailbox: &mut FakeMailbox) {
    mailbox.uidvalidity = mailbox.uidvalidity.map(|v| v.max(NEW) + 1);
    mailbox.messages.reverse();
    for (message, uid) in mailbox.messages.iter_mut().zip((3..).step_by(2)) {
        message.uid = uid;
    }
    mailbox.uidnext = mailbox.messages.last().map(|m| m.uid + 1);
}

/// Placements of an epoch by their evidence.
fn evidence(mirror: &Mirror) -> BTreeMap<u32, Evidence> {
    let reader = Reader::open(&mirror.trial.archive, None).unwrap();
    let inbox = reader.catalog().mailboxes(None).unwrap().remove(0);
    let rows = reader.catalog().placements(inbox.id, false).unwrap();
    let uid = |remote: &str| remote.split_once(':').unwrap().1.parse().unwrap();
    rows.iter()
        .map(|row| (uid(&row.remote.to_string()), row.evidence))
        .collect()
}

#[test]
fn of_500_alike_exactly_the_replaced_and_the_ambiguous_are_fetched() {
    for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
        let mut inbox = FakeMailbox::new("INBOX");
        for n in 0..500 {
            put(&mut inbox, &letter('a', n));
        }
        // Two with one head and other bodies, and some that have no name.
        put(&mut inbox, &twin(499));
        for n in 0..3 {
            put(&mut inbox, &anonymous(n));
        }
        let mut mirror = Mirror::of(World::with([inbox]).announcing(capabilities));
        mirror.night();

        // Whether a head without a name may be known as a whole is for the program to say.
        let (mut wanted, mut either) = (BTreeSet::new(), BTreeSet::new());
        {
            let mut world = mirror.fake.world();
            let inbox = world.mailbox_mut("INBOX");
            for (n, message) in (0..500).zip(&mut inbox.messages) {
                if n % 2 == 0 {
                    message.body = letter('b', n);
                }
                message.flags = ["\\Seen", "", "$Later \\Flagged"][n as usize % 3].to_owned();
            }
            renumber(inbox);
            let held: BTreeSet<Vec<u8>> = (1..499).step_by(2).map(|n| letter('a', n)).collect();
            for message in inbox.messages.iter().filter(|m| !held.contains(&m.body)) {
                let nameless = message.body.starts_with(b"X-");
                let set = if nameless { &mut either } else { &mut wanted };
                set.insert(message.uid);
            }
        }
        let report = mirror.night();
        let asked: BTreeMap<_, _> = mirror.fake.asked();
        let uids: BTreeSet<u32> = asked.keys().map(|(_, uid)| *uid).collect();
        wanted.extend(either.intersection(&uids));
        let more: Vec<_> = uids.difference(&wanted).collect();
        let fewer: Vec<_> = wanted.difference(&uids).collect();
        assert!(more.is_empty(), "held, and fetched all the same: {more:?}");
        // A message with a namesake in the archive is not known by its head.
        assert!(fewer.is_empty(), "taken for what it need not be: {fewer:?}");
        assert!(asked.values().all(|n| *n == 1), "{asked:?}");
        for (uid, evidence) in evidence(&mirror) {
            let healed = evidence == Evidence::Healed;
            assert_eq!(healed, !wanted.contains(&uid), "UID {uid}: {evidence:?}");
        }
        // 400 bytes a message and the bodies, with what frames them.
        let bodies = wanted.len() as u64 * (letter('a', 0).len() as u64 + 60);
        let sent = mirror.fake.bytes();
        println!("[{capabilities}]: {sent} bytes, {bodies} of them for bodies");
        assert!(
            sent < bodies + 504 * 400,
            "{sent} bytes, {bodies} for bodies"
        );
        assert_eq!(report["total"]["exists"], 504);
        mirror.night();
        mirror.assert_sound();
    }
}

#[test]
fn whatever_else_changed_with_uidvalidity_is_seen() {
    for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
        let mut inbox = FakeMailbox::new("INBOX").filled(30);
        // One content three times over, and messages of no bytes worth a name.
        for _ in 0..3 {
            put(&mut inbox, &letter('c', 1));
        }
        put(&mut inbox, b"\r\nno head at all\r\n");
        put(&mut inbox, b"Subject: no body");
        let sent = FakeMailbox::new("Sent").filled(5);
        let mut mirror = Mirror::of(World::with([inbox, sent]).announcing(capabilities));
        mirror.night();
        for _ in 0..3 {
            let mut world = mirror.fake.world();
            let inbox = world.mailbox_mut("INBOX");
            let some: Vec<u32> = inbox.messages.iter().map(|m| m.uid).step_by(5).collect();
            inbox.expunge(&some[..2]);
            inbox.message(some[3]).flags = "\\Answered $Moved".to_owned();
            renumber(inbox);
            inbox.add(&[]);
            put(inbox, &letter('c', 1));
            drop(world);
            mirror.night();
            mirror.assert_sound();
        }
    }
}

#[test]
fn a_message_healed_for_another_is_found_out_in_later_nights() {
    let mut inbox = FakeMailbox::new("INBOX");
    for n in 0..20 {
        put(&mut inbox, &letter('a', n));
    }
    let mut mirror = Mirror::of(World::with([inbox]).announcing(QRESYNC));
    mirror.night();
    {
        let mut world = mirror.fake.world();
        let inbox = world.mailbox_mut("INBOX");
        // Head, size and date as before: nothing tells them apart but the body.
        inbox.messages[7].body = twin(7);
        renumber(inbox);
    }
    mirror.night_ending(0, &[]);
    for _ in 0..60 {
        if mirror.server() == mirror.archive() {
            return;
        }
        mirror.soon_after(0, &[]);
    }
    mirror.assert_mirrors();
}

/// Three mailboxes with UIDVALIDITYs of their own.
fn three(capabilities: &str) -> World {
    let mailboxes = [("INBOX", 10), ("Work", 30), ("Work/Old", 8)];
    let mut world = World::with(mailboxes.map(|(name, n)| FakeMailbox::new(name).filled(n)));
    for (n, mailbox) in (1..).zip(&mut world.mailboxes) {
        mailbox.uidvalidity = Some(1_700_000_000 + n);
    }
    world.announcing(capabilities)
}

#[test]
fn a_renamed_mailbox_is_the_same_mailbox() {
    for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
        let mut mirror = Mirror::of(three(capabilities));
        mirror.night();
        {
            let mut world = mirror.fake.world();
            world.mailbox_mut("Work").wire = b"Done".to_vec();
            world.mailbox_mut("Work/Old").wire = b"Done/Old".to_vec();
        }
        let report = mirror.night();
        assert!(mirror.fake.asked().is_empty(), "{:?}", mirror.fake.asked());
        assert_eq!(
            mirror.everything(),
            mirror.server(),
            "the old names show mail still"
        );
        assert_eq!(
            report["unlisted"],
            serde_json::json!([]),
            "a rename is no loss"
        );
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn a_mailbox_renamed_and_changed_costs_what_changed() {
    for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
        let mut mirror = Mirror::of(three(capabilities));
        mirror.night();
        let new = {
            let mut world = mirror.fake.world();
            let work = world.mailbox_mut("Work");
            work.wire = b"Done".to_vec();
            work.expunge(&[3, 4]);
            work.message(5).flags = "$Later".to_owned();
            work.add(&[]).uid
        };
        mirror.night();
        let asked: Vec<_> = mirror.fake.asked().into_keys().collect();
        assert_eq!(asked, [("Done".to_owned(), new)]);
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn two_mailboxes_that_changed_names_are_not_mixed_up() {
    for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
        let mut mirror = Mirror::of(three(capabilities));
        mirror.night();
        {
            let mut world = mirror.fake.world();
            world.mailbox_mut("Work").wire = b"between".to_vec();
            world.mailbox_mut("Work/Old").wire = b"Work".to_vec();
            world.mailbox_mut("between").wire = b"Work/Old".to_vec();
        }
        mirror.night();
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn another_mailbox_with_the_same_numbers_is_no_renamed_one() {
    // Servers that take UIDVALIDITY from the clock, or say 1, give it to many mailboxes.
    for uidvalidity in [1, 1_700_000_000] {
        for capabilities in [PLAIN, NO_QRESYNC, QRESYNC] {
            let mut gone = FakeMailbox::new("Gone");
            let mut other = FakeMailbox::new("Other");
            for n in 0..30 {
                put(&mut gone, &letter('a', n));
                // Same UID, size and date.
                put(&mut other, &letter('b', n));
            }
            // Enough beside it for one to be no half of the account.
            let stay = ["INBOX", "A", "B", "C"].map(|name| FakeMailbox::new(name).filled(20));
            let all = stay.into_iter().chain([gone]);
            let mut world = World::with(all).announcing(capabilities);
            let numbered = |world: &mut World| {
                let all = &mut world.mailboxes;
                all.iter_mut()
                    .for_each(|m| m.uidvalidity = Some(uidvalidity));
            };
            numbered(&mut world);
            let mut mirror = Mirror::of(world);
            mirror.night();
            {
                let mut world = mirror.fake.world();
                world.mailboxes.pop();
                world.mailboxes.push(other);
                numbered(&mut world);
            }
            mirror.night();
            let asked = mirror.fake.asked().len();
            assert_eq!(asked, 30, "UIDVALIDITY {uidvalidity} [{capabilities}]");
            mirror.assert_sound();
        }
    }
}
