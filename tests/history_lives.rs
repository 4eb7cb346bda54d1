//! Epochs, complete runs, and the lives of messages over IMAP and POP3.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeMap;

use mailstow::archive::format::{Damaged, Record};
use mailstow::catalog::{AsOf, Happened};
use mailstow::clock::Clock;
use mailstow::model::{
    AccountId, ContentId, Flags, Job, JobState, MailboxId, Removed, Renamed, Selection,
};
use mailstow::store::Reader;

use support::nights::{
    DAY, FIRST, Nights, imap, message, pop, rebuilt, state_at, state_now, words,
};

fn remotes(reader: &Reader, mailbox: MailboxId) -> Vec<String> {
    let rows = reader.catalog().shown(mailbox, false).unwrap();
    rows.iter().map(|row| row.remote.to_string()).collect()
}

#[test]
fn an_older_epoch_is_history_and_a_server_without_uidvalidity_hides_nothing() {
    let mut nights = Nights::new();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(7));
    night.place(inbox, imap(7, 1), 1, &[]);
    night.place(inbox, pop("u1"), 2, &[]);
    night.end(0);
    let mut night = nights.begin();
    night.mailbox("INBOX", Some(9));
    night.place(inbox, imap(9, 1), 1, &[]);
    night.end(0);
    let reader = nights.reader();
    assert_eq!(remotes(&reader, inbox), ["9:1", "u1"]);
    let totals = reader.catalog().totals(inbox).unwrap();
    assert_eq!((totals.present, totals.gone), (2, 1));
    let all = reader.catalog().shown(inbox, true).unwrap();
    assert_eq!(
        all.iter()
            .map(|row| (row.remote.to_string(), row.gone))
            .collect::<Vec<_>>(),
        [
            ("7:1".to_owned(), true),
            ("9:1".to_owned(), false),
            ("u1".to_owned(), false)
        ]
    );

    // The server forgets to send it: what it shows is shown, whatever else is.
    let mut night = nights.begin();
    night.mailbox("INBOX", None);
    night.place(inbox, imap(0, 5), 3, &[]);
    night.end(0);
    assert_eq!(remotes(&nights.reader(), inbox), ["9:1", "u1", "0:5"]);

    // Another never sent any, then 0, and begins to send one: what came before is history.
    let mut night = nights.begin();
    let other = night.mailbox("Other", None);
    night.place(other, imap(0, 1), 1, &[]);
    night.end(0);
    assert_eq!(remotes(&nights.reader(), other), ["0:1"]);
    let mut night = nights.begin();
    night.mailbox("Other", Some(0));
    let (_, before) = night.end(0);
    assert_eq!(remotes(&nights.reader(), other), ["0:1"]);
    let mut night = nights.begin();
    night.mailbox("Other", Some(4));
    night.place(other, imap(4, 1), 1, &[]);
    night.end(0);
    assert_eq!(remotes(&nights.reader(), other), ["4:1"]);
    let state = state_at(&nights.reader(), before).unwrap();
    let of_other: Vec<_> = state.iter().filter(|s| s.0 == "Other").collect();
    assert_eq!(of_other.len(), 1);
    assert_eq!(of_other[0].1, "0:1");
}

#[test]
fn each_account_has_its_own_last_complete_run() {
    let mut nights = Nights::new();
    let job = |id, state| {
        Record::Job(Job {
            id,
            account: AccountId(1),
            source: String::new(),
            selection: Selection::default(),
            created: String::new(),
            state,
            mailboxes: Vec::new(),
        })
    };
    let night = nights.begin();
    let one = night.account.id;
    let (first, at) = night.end(0);
    let (_, lost) = nights.begin().end(6);
    // Damage that nobody can heal must not stop history: this run did all it had planned …
    let mut night = nights.begin();
    night.writer.record(job(1, JobState::Done));
    let (whole, whole_at) = night.end_job(7, Some(1));
    // … this one not, …
    let mut night = nights.begin();
    night.writer.record(job(2, JobState::Open));
    let (_, broken_at) = night.end_job(7, Some(2));
    // … but the next did, on the same job.
    let mut night = nights.begin();
    night.writer.record(job(2, JobState::Done));
    let (resumed, resumed_at) = night.end_job(7, Some(2));
    let night = nights.begin_for("you@example.org");
    let two = night.account.id;
    let (other, other_at) = night.end(3);
    let reader = nights.reader();
    let runs = |at| -> Vec<(AccountId, u32)> {
        let as_of = AsOf::find(reader.catalog(), None, at).unwrap();
        as_of.moments().map(|m| (m.run.account, m.run.id)).collect()
    };
    assert_eq!(runs(at - 1), []);
    assert_eq!(runs(at), [(one, first)]);
    assert_eq!(runs(lost), [(one, first)]);
    assert_eq!(runs(whole_at), [(one, whole)]);
    assert_eq!(runs(broken_at), [(one, whole)]);
    assert_eq!(runs(resumed_at), [(one, resumed)]);
    assert_eq!(runs(other_at), [(one, resumed), (two, other)]);
    let only = AsOf::find(reader.catalog(), Some(two), resumed_at).unwrap();
    assert!(only.is_empty());
}

/// Runs, mailboxes and events of a life, in words.
fn told(reader: &Reader, n: u32) -> Vec<String> {
    let catalog = reader.catalog();
    let names: BTreeMap<MailboxId, String> = catalog
        .mailboxes(None)
        .unwrap()
        .into_iter()
        .map(|m| (m.id, m.name))
        .collect();
    let flags = |flags: &Flags| words(flags).join(" ");
    let events = catalog.life(ContentId::of(&message(n))).unwrap();
    let words = events.iter().map(|e| {
        let what = match &e.what {
            Happened::Placed {
                remote,
                flags: f,
                again,
                ..
            } => format!(
                "placed {remote} [{}]{}",
                flags(f),
                if *again { " again" } else { "" }
            ),
            Happened::Flags { remote, from, to } => {
                format!("flags {remote} [{}] [{}]", flags(from), flags(to))
            }
            Happened::Left { remote } => format!("left {remote}"),
            Happened::EpochEnded {
                remote,
                uidvalidity,
            } => format!("ended {remote} {uidvalidity:?}"),
            Happened::EpochReturned { remote } => format!("returned {remote}"),
            Happened::Renamed { from, to, healed } => format!("renamed {from} {to} {healed}"),
            Happened::Removed { remote } => format!("removed {remote}"),
            Happened::Damaged { reason } => format!("damaged {reason}"),
            Happened::Forgotten { reason } => format!("forgotten {reason}"),
            Happened::StoredAgain => "stored again".to_owned(),
        };
        let mailbox = e.mailbox.map_or("-", |id| names[&id].as_str());
        assert_eq!(e.at, FIRST + (i64::from(e.run) - 1) * DAY);
        format!("{} {mailbox} {what}", e.run)
    });
    words.collect()
}

#[test]
fn the_life_of_a_message_is_told_in_order() {
    let mut nights = Nights::new();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(7));
    let work = night.mailbox("Work", Some(3));
    night.place(inbox, imap(7, 1), 1, &[]);
    night.place(inbox, imap(7, 2), 2, &[]);
    night.end(0);
    let mut night = nights.begin();
    night.flags(inbox, 7, 1, &["\\Seen"]);
    night.commit();
    night.flags(inbox, 7, 1, &["\\Flagged", "\\Seen"]);
    night.end(0);
    let mut night = nights.begin();
    night.gone(inbox, 7, 1);
    night.place(work, imap(3, 8), 1, &["\\Seen"]);
    night.end(0);
    let mut night = nights.begin();
    // It is said again that it left, which it did before. Then the same UID is there again, and
    // another message's after that.
    night.gone(inbox, 7, 1);
    night.commit();
    night.place(inbox, imap(7, 1), 1, &[]);
    night.commit();
    night.place(inbox, imap(7, 1), 2, &[]);
    night.end(0);
    let mut night = nights.begin();
    night.mailbox("Work", Some(4));
    night.end(0);
    let mut night = nights.begin();
    night.mailbox("Work", Some(3));
    night.end(0);
    let mut night = nights.begin();
    let id = ContentId::of(&message(1));
    night.writer.record(Record::Damaged(Damaged {
        id,
        segment: String::new(),
        reason: "a bit fell over".into(),
    }));
    night.commit();
    night.place(work, imap(3, 8), 1, &["\\Seen"]);
    night.end(0);
    let expected = [
        "1 INBOX placed 7:1 []",
        "2 INBOX flags 7:1 [] [\\Seen]",
        "2 INBOX flags 7:1 [\\Seen] [\\Flagged \\Seen]",
        "3 INBOX left 7:1",
        "3 Work placed 3:8 [\\Seen]",
        "4 INBOX placed 7:1 []",
        "4 INBOX left 7:1",
        "5 Work ended 3:8 Some(4)",
        "6 Work returned 3:8",
        "7 - damaged a bit fell over",
        "7 - stored again",
        "7 Work placed 3:8 [\\Seen] again",
    ];
    for reader in [nights.reader(), rebuilt(&nights.root())] {
        assert_eq!(told(&reader, 1), expected);
        assert_eq!(
            told(&reader, 2),
            ["1 INBOX placed 7:2 []", "4 INBOX placed 7:1 []"]
        );
        assert_eq!(told(&reader, 99), [""; 0]);
    }
}

#[test]
fn two_lives_that_meet_in_one_commit_keep_their_own_flags() {
    let mut nights = Nights::new();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    night.place(inbox, imap(1, 5), 1, &["\\Seen"]);
    night.end(0);
    let mut night = nights.begin();
    night.flags(inbox, 1, 5, &["\\Flagged"]);
    night.place(inbox, imap(1, 5), 2, &["\\Draft"]);
    night.flags(inbox, 1, 5, &["\\Answered"]);
    night.end(0);
    let flags = |night: i64| {
        let state = state_at(&nights.reader(), FIRST + night * DAY).unwrap();
        assert_eq!(state.len(), 1);
        state.first().unwrap().2.join(" ")
    };
    assert_eq!(
        (flags(0).as_str(), flags(1).as_str()),
        ("\\Seen", "\\Answered")
    );
    let mut night = nights.begin();
    night.place(inbox, imap(1, 5), 3, &["\\Draft"]);
    night.flags(inbox, 1, 5, &[]);
    night.end(0);
    let again = state_at(&nights.reader(), FIRST + DAY).unwrap();
    assert_eq!(again.first().unwrap().2, ["\\Answered"]);
}

#[test]
fn a_maildrop_has_a_history_of_names_and_deletions() {
    let mut nights = Nights::new();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", None);
    let junk = night.mailbox("Junk", None);
    night.place(junk, pop("a"), 1, &[]);
    let (_, first) = night.end(0);
    for (from, to) in [("a", "b"), ("b", "c")] {
        let mut night = nights.begin();
        night.writer.record(Record::Renamed(Renamed {
            mailbox: junk,
            from: from.into(),
            to: to.into(),
            healed: from == "b",
        }));
        night.end(0);
    }
    let mut night = nights.begin();
    // What mailstow deleted stands with the mailbox that stands for the maildrop.
    night.writer.record(Record::Removed(Removed {
        mailbox: inbox,
        uidls: vec!["c".into()],
    }));
    night.end(0);
    // IMAP shows the same content later: then, and not before, its placement is the one shown.
    let mut night = nights.begin();
    let spam = night.mailbox("Spam", Some(7));
    night.place(spam, imap(7, 1), 1, &[]);
    let (_, last) = night.end(0);
    let reader = nights.reader();
    assert_eq!(
        told(&reader, 1),
        [
            "1 Junk placed a []",
            "2 Junk renamed a b false",
            "3 Junk renamed b c true",
            "4 Junk removed c",
            "5 Spam placed 7:1 []"
        ]
    );
    let seen = |at: i64| -> Vec<String> {
        let state = state_at(&reader, at).unwrap();
        state
            .into_iter()
            .map(|(mailbox, remote, ..)| format!("{mailbox} {remote}"))
            .collect()
    };
    assert_eq!(seen(first), ["Junk a"]);
    assert_eq!(seen(first + DAY), ["Junk b"]);
    assert_eq!(seen(last - 1), ["Junk c"]);
    assert_eq!(seen(last), ["Spam 7:1"]);
    // Days count from when it became durable, whatever it is called.
    let (_, since) = reader.catalog().pop_placement(junk, "c").unwrap().unwrap();
    assert_eq!(since, first);

    // It is fetched again: that it had been deleted is told all the same.
    drop(reader);
    let mut night = nights.begin();
    night.place(junk, pop("c"), 1, &[]);
    night.end(0);
    for reader in [nights.reader(), rebuilt(&nights.root())] {
        assert!(!reader.catalog().is_removed(junk, "c").unwrap());
        let told = told(&reader, 1);
        assert_eq!(told[3], "4 Junk removed c");
        assert_eq!(told[5..], ["6 Junk placed c [] again"]);
    }
}

#[test]
fn runs_that_recover_copied_have_no_history_here() {
    let mut nights = Nights::new();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(7));
    night.place(inbox, imap(7, 1), 1, &[]);
    let (_, at) = night.end(0);
    let to = nights.dir.path().join("recovered");
    let clock = Clock::Fixed(at + DAY);
    let made = mailstow::store::recover(&nights.root(), &to, clock, &mailstow::event::Silent);
    made.unwrap();
    let reader = Reader::open(&to, None).unwrap();
    assert_eq!(reader.catalog().runs().unwrap().len(), 1);
    assert_eq!(state_now(&reader).len(), 1);
    // Not an empty archive: none at all.
    assert_eq!(state_at(&reader, at + 2 * DAY), None);
}
