use super::*;
use crate::backup::pop3::known::Entry;
use crate::catalog::PopHeld;
use crate::model::{MailboxId, PopSelection};

fn offered(uidl: &str, size: u64) -> Offered {
    Offered {
        number: 1,
        size: Some(size),
        uidl: (!uidl.is_empty()).then(|| uidl.to_owned()),
    }
}

fn holding(uidl: &str, size: u32, damaged: bool) -> Known {
    let held = PopHeld {
        mailbox: MailboxId(1),
        content: 1,
        size,
        damaged,
    };
    let entry = Entry {
        held,
        shared: false,
    };
    let mut known = Known::default();
    known.held.insert(uidl.to_owned(), vec![entry]);
    known
}

fn selection(messages: PopMessages, spam: PopSpam) -> Selection {
    Selection {
        pop: PopSelection {
            messages,
            spam,
            ..PopSelection::default()
        },
        ..Selection::default()
    }
}

fn fate_of(known: &Known, message: &Offered, selection: &Selection, trusted: bool) -> Fate {
    let facts = Facts {
        known,
        selection,
        first: false,
        trusted,
    };
    fate(message, message.uidl.as_deref(), &facts)
}

const FETCH: Fate = Fate::Fetch(Look {
    date: false,
    spam: false,
    held: false,
});
const LOOK_IF_HELD: Fate = Fate::Fetch(Look {
    date: false,
    spam: false,
    held: true,
});

#[test]
fn a_held_uidl_is_held_unless_its_size_or_its_server_says_otherwise() {
    let everything = Selection::default();
    let known = holding("a", 10, false);
    let of = |size, trusted| fate_of(&known, &offered("a", size), &everything, trusted);
    assert_eq!(of(10, true), Fate::Held);
    // A server that says nothing of sizes is believed about UIDLs.
    assert_eq!(of(0, true), Fate::Held);
    assert_eq!(of(11, true), LOOK_IF_HELD);
    assert_eq!(of(10, false), LOOK_IF_HELD);
    let lost = holding("a", 10, true);
    assert_eq!(fate_of(&lost, &offered("a", 10), &everything, true), FETCH);
    assert_eq!(fate_of(&known, &offered("b", 10), &everything, true), FETCH);
}

#[test]
fn what_was_decided_once_is_not_looked_at_again() {
    let decided = |before, spam| {
        let decided = crate::backup::pop3::known::Decided {
            baseline: true,
            before,
            spam,
            removed: false,
        };
        Known::with_decided("a", decided)
    };
    let of = |known: &Known, messages, spam| {
        fate_of(known, &offered("a", 1), &selection(messages, spam), true)
    };
    use PopMessages::{All, FromToday};
    use PopSpam::{Exclude, Include, Only};
    let old = decided(true, None);
    assert_eq!(of(&old, FromToday, Include), Fate::Excluded(Why::Before));
    assert_eq!(of(&old, All, Include), FETCH);
    let spam = decided(false, Some(true));
    assert_eq!(of(&spam, All, Exclude), Fate::Excluded(Why::Spam));
    assert_eq!(of(&spam, All, Only), FETCH);
    assert_eq!(of(&spam, All, Include), FETCH);
    let clean = decided(false, Some(false));
    assert_eq!(of(&clean, All, Only), Fate::Excluded(Why::NotSpam));
    assert_eq!(of(&clean, All, Exclude), FETCH);
    // Of the baseline and not found old yet: the date is still to be looked at.
    let look = |date, spam| {
        Fate::Fetch(Look {
            date,
            spam,
            held: false,
        })
    };
    assert_eq!(of(&clean, FromToday, Include), look(true, false));
    let new = Known::default();
    assert_eq!(of(&new, FromToday, Include), look(false, false));
    assert_eq!(of(&new, FromToday, Only), look(false, true));
}

#[test]
fn the_first_run_from_today_looks_at_every_date() {
    let known = Known::default();
    let selection = selection(PopMessages::FromToday, PopSpam::Include);
    let facts = Facts {
        known: &known,
        selection: &selection,
        first: true,
        trusted: true,
    };
    let message = offered("a", 1);
    assert!(matches!(
        fate(&message, Some("a"), &facts),
        Fate::Fetch(Look { date: true, .. })
    ));
}

#[test]
fn a_message_without_a_name_of_its_own_is_fetched() {
    let known = holding("a", 10, false);
    let everything = Selection::default();
    let facts = Facts {
        known: &known,
        selection: &everything,
        first: false,
        trusted: true,
    };
    assert_eq!(fate(&offered("a", 10), None, &facts), FETCH);
    assert_eq!(fate(&offered("", 10), None, &facts), FETCH);
    let listed = [offered("a", 1), offered("b", 1), offered("a", 1)];
    let names = Names::of(&listed);
    assert!(names.identifies("b") && !names.identifies("a") && !names.identifies("c"));
}

#[test]
fn on_another_server_nothing_that_was_decided_by_uidl_counts() {
    let decided = crate::backup::pop3::known::Decided {
        baseline: false,
        before: true,
        spam: Some(true),
        removed: false,
    };
    let known = Known::with_decided("a", decided);
    let selection = selection(PopMessages::FromToday, PopSpam::Exclude);
    let all = Look {
        date: true,
        spam: true,
        held: true,
    };
    assert_eq!(
        fate_of(&known, &offered("a", 1), &selection, false),
        Fate::Fetch(all)
    );
}

#[test]
fn a_uidl_that_was_deleted_names_another_message_now() {
    let decided = crate::backup::pop3::known::Decided {
        removed: true,
        ..Default::default()
    };
    let mut known = Known::with_decided("a", decided);
    known.held = holding("a", 10, false).held;
    let everything = Selection::default();
    assert_eq!(fate_of(&known, &offered("a", 10), &everything, true), FETCH);
}

#[test]
fn too_large_is_excluded_but_never_what_is_held() {
    let small = Selection {
        max_size: Some(5),
        ..Selection::default()
    };
    let known = holding("a", 10, false);
    assert_eq!(fate_of(&known, &offered("a", 10), &small, true), Fate::Held);
    let new = |size| fate_of(&known, &offered("b", size), &small, true);
    assert_eq!(new(6), Fate::Excluded(Why::TooLarge));
    assert_eq!(new(5), FETCH);
}

#[test]
fn a_header_excludes_by_date_and_by_spam_only_where_it_was_asked() {
    let start = Some(InternalDate::utc(100));
    let seen = |date: Option<i64>, spam| Seen {
        date: date.map(InternalDate::utc),
        spam,
    };
    let look = |date, spam| Look {
        date,
        spam,
        held: false,
    };
    let today = selection(PopMessages::FromToday, PopSpam::Exclude);
    let of = |seen, look| excluded_by(seen, look, start, &today);
    assert_eq!(
        of(seen(Some(99), false), look(true, false)),
        Some(Why::Before)
    );
    assert_eq!(of(seen(Some(100), false), look(true, false)), None);
    assert_eq!(of(seen(None, false), look(true, false)), None);
    assert_eq!(of(seen(Some(99), false), look(false, false)), None);
    assert_eq!(of(seen(None, true), look(false, true)), Some(Why::Spam));
    assert_eq!(of(seen(None, true), look(false, false)), None);
    let only = selection(PopMessages::All, PopSpam::Only);
    let of = |spam| excluded_by(seen(None, spam), look(false, true), start, &only);
    assert_eq!((of(true), of(false)), (None, Some(Why::NotSpam)));
}
