//! `verify --against` IMAP: which messages are fetched, and what is made of their bytes.
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

use std::collections::BTreeSet;

use mailstow::archive::format::Record;
use mailstow::model::{ContentId, Evidence, Placement, RemoteId};
use support::fake_imap::{Delivery, Reaction, World};
use trial::{asked, backed_up, sets, text};

#[test]
fn a_body_swapped_under_the_same_uid_is_found_and_fetched_twice() {
    let (fake, trial) = backed_up(World::inbox(5));
    let before = fake.world().message(3).body.clone();
    let mut swapped = before.clone();
    *swapped.last_mut().unwrap() = b'!';
    fake.world().message(3).body = swapped.clone();
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(
        sets(&report, "INBOX"),
        ["present: 1:5"],
        "the listing is as it was"
    );
    let sample = &report["sample"];
    assert_eq!(
        (sample["same"].as_u64(), sample["read_back"].as_u64()),
        (Some(4), Some(4))
    );
    let differ = sample["differ"].as_array().unwrap();
    assert_eq!(differ.len(), 1);
    let id = |bytes: &[u8]| serde_json::Value::from(ContentId::of(bytes).to_string());
    assert_eq!(differ[0]["remote"], "3");
    assert_eq!(differ[0]["archive"], id(&before));
    assert_eq!(
        (&differ[0]["server"], &differ[0]["again"]),
        (&id(&swapped), &id(&swapped))
    );
    assert_eq!(fake.asked()[&("INBOX".to_owned(), 3)], 2);
    assert_eq!(fake.asked()[&("INBOX".to_owned(), 2)], 1);
    let said = trial.run(&fake.url(), 3, &[]).stdout;
    let (server, archive) = (ContentId::of(&swapped), ContentId::of(&before));
    let words =
        format!("! 3 in INBOX: the server sends {server}, twice; the archive has {archive}");
    assert!(said.contains(&words), "{said}");
}

#[test]
fn a_message_rendered_anew_each_time_differs_from_itself() {
    let (fake, trial) = backed_up(World::inbox(2));
    // Kept as the first answer was, the second of which is longer by a byte.
    fake.world().message(1).delivery = Delivery::Varying;
    fake.world().message(1).body.push(b'.');
    let report = trial.against(&fake.url(), 3, &[]);
    let differ = &report["sample"]["differ"][0];
    assert_ne!(differ["server"], differ["again"]);
    let said = trial.run(&fake.url(), 3, &[]).stdout;
    assert!(said.contains("It differs from itself"), "{said}");
}

#[test]
fn what_is_not_sent_is_said_and_what_left_meanwhile_is_not() {
    let (fake, trial) = backed_up(World::inbox(4));
    fake.world().message(1).delivery = Delivery::Nil;
    fake.world().message(2).delivery = Delivery::Ends("NO [SERVERBUG] broken".to_owned());
    fake.world().message(3).delivery = Delivery::Raw(b"* SEQ FETCH (UID (\r\n".to_vec());
    let report = trial.against(&fake.url(), 3, &[]);
    let not_sent = report["sample"]["not_sent"].as_array().unwrap();
    let reasons: Vec<(&str, &str)> = not_sent
        .iter()
        .map(|n| (n["remote"].as_str().unwrap(), n["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(
        reasons.contains(&("1", "the server did not send it")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|(uid, why)| *uid == "2" && why.contains("broken"))
    );
    assert_eq!(report["sample"]["same"], 1, "the fourth came all the same");
    fake.heal();
    fake.hook(|command, world| {
        if command.wants_bodies() {
            world.mailbox_mut("INBOX").messages.retain(|m| m.uid != 4);
        }
        Reaction::Normal
    });
    let report = trial.against(&fake.url(), 0, &[]);
    assert_eq!(
        (&report["sample"]["left"], &report["sample"]["same"]),
        (&1.into(), &3.into())
    );
}

#[test]
fn the_sample_is_as_large_as_asked_repeated_by_its_seed_and_half_healed() {
    let (fake, trial) = backed_up(World::inbox(60));
    let draw = |more: &[&str]| {
        fake.forget();
        let report = trial.against(&fake.url(), 0, more);
        (asked(&fake), report["sample"].clone())
    };
    let (usual, sample) = draw(&[]);
    assert_eq!((usual.len(), sample["of"].as_u64()), (20, Some(60)));
    let seed = sample["seed"].to_string();
    assert_eq!(draw(&["--seed", &seed]).0, usual);
    assert_eq!(draw(&["--seed", "1", "--sample", "10%"]).0.len(), 6);
    let (one, two) = (draw(&["--seed", "1"]).0, draw(&["--seed", "2"]).0);
    assert_ne!(one, two);
    assert_eq!(draw(&["--full"]).0, (1..=60).collect::<Vec<_>>());
    assert_eq!(draw(&["--sample", "0"]).0, [] as [u32; 0]);

    // As a change of UIDVALIDITY leaves it that was healed without fetching.
    let reader = trial.reader();
    let mailbox = reader.catalog().mailboxes(None).unwrap().remove(0);
    let rows = reader.catalog().placements(mailbox.id, false).unwrap();
    drop(reader);
    let healed: BTreeSet<u32> = [5, 17, 58].into();
    let is_healed = |remote: &RemoteId| match remote {
        RemoteId::Imap { uid, .. } => healed.contains(uid),
        RemoteId::Pop { .. } => false,
    };
    let rows = rows.into_iter().filter(|row| is_healed(&row.remote));
    let records = rows.map(|row| {
        Record::Place(Placement {
            content: row.content.id,
            mailbox: mailbox.id,
            remote: row.remote,
            flags: row.flags,
            date: row.date,
            size: row.size,
            evidence: Evidence::Healed,
        })
    });
    trial.record(records);
    for seed in ["3", "4", "5"] {
        let (uids, sample) = draw(&["--sample", "6", "--seed", seed]);
        assert_eq!(sample["healed"], 3, "{sample:#}");
        assert_eq!(uids.len(), 6);
        assert!(healed.iter().all(|uid| uids.contains(uid)), "{uids:?}");
    }
}

#[test]
fn a_large_message_passes_through_the_temporary_folder() {
    let mut world = World::inbox(1);
    let mut large = vec![b'x'; 9 << 20];
    large[..6].copy_from_slice(b"A: b\r\n");
    world.mailbox_mut("INBOX").add(&large);
    let (fake, trial) = backed_up(world);
    let report = trial.against(&fake.url(), 0, &[]);
    assert_eq!(report["sample"]["same"], 2);
    // And without room there it is the user's to make some.
    std::fs::remove_dir(trial.mailstow.tmp()).unwrap();
    let args = ["verify", text(&trial.archive), "--against", &fake.url()];
    let ended = trial.mailstow.run(&args);
    assert!(
        ended.expect(4).stderr.contains("TMPDIR"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_mailbox_made_anew_between_listing_and_sample_is_not_compared_by_its_uids() {
    let (fake, trial) = backed_up(World::inbox(3));
    let mut opened = 0;
    fake.hook(move |command, world| {
        opened += u32::from(command.name == "EXAMINE");
        if opened == 2 {
            world.mailbox_mut("INBOX").uidvalidity = Some(7);
        }
        Reaction::Normal
    });
    let report = trial.against(&fake.url(), 3, &[]);
    let not_sent = report["sample"]["not_sent"].as_array().unwrap();
    let reason = "UIDVALIDITY changed while it was compared";
    assert!(
        not_sent.iter().all(|n| n["reason"] == reason),
        "{not_sent:?}"
    );
    assert_eq!((not_sent.len(), fake.sent().len()), (3, 0));
}
