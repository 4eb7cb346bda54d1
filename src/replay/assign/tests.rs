use super::*;
use crate::model::{FlagTable, Flags, Listed, MailboxId, RemoteId};
use crate::replay::wanted::Item;

const UIDVALIDITY: u32 = 7;

fn item(uid: u32, body: &str) -> Item {
    Item::test(
        MailboxId(1),
        RemoteId::Imap {
            uidvalidity: 1,
            uid,
        },
        body,
    )
}

/// A piece of the placement `origin` with this body, at a UID of the target.
fn piece(no: u64, origin: u32, body: &str, state: PieceState, uid: Option<u32>) -> Piece {
    Piece {
        no,
        target: 1,
        content: ContentId::of(body.as_bytes()),
        origin: item(origin, body).key(),
        uidvalidity: UIDVALIDITY,
        uid,
        uidnext: 1,
        flags: None,
        asked: None,
        moves: None,
        state,
    }
}

fn listing(uids: &[u32]) -> Listing {
    let mut flags = FlagTable::default();
    let none = flags.intern(Flags::default());
    let one = |uid: &u32| Listed::new(*uid, 1, none, None);
    Listing {
        messages: uids.iter().map(one).collect(),
        flags,
        expunged: 0,
    }
}

fn assigned(items: &[Item], pieces: &[Piece], uids: &[u32]) -> Assigned {
    assign(
        items,
        pieces,
        &listing(uids),
        UIDVALIDITY,
        Resend::default(),
    )
}

#[test]
fn a_piece_is_there_removed_open_doubtful_renumbered_or_not_located() {
    use PieceState::{Collapsed, Doubtful, Open, There};
    let items: Vec<Item> = (1..=8).map(|n| item(n, &n.to_string())).collect();
    let mut pieces = vec![
        piece(1, 1, "1", There, Some(11)),
        piece(2, 2, "2", There, Some(12)),
        piece(3, 3, "3", Open, None),
        piece(4, 4, "4", Doubtful, None),
        piece(5, 5, "5", There, None),
        piece(6, 6, "6", There, Some(16)),
        piece(7, 7, "7", Collapsed, Some(17)),
    ];
    pieces[5].uidvalidity = UIDVALIDITY - 1;
    let a = assigned(&items, &pieces, &[11, 16, 99]);
    assert_eq!(a.there, [(0, 1)]);
    assert_eq!(a.removed, [(1, 2)]);
    assert_eq!(a.open, [(2, 3)]);
    assert_eq!(a.doubtful, [(3, 4)]);
    assert_eq!(a.unlocated, [(4, 5)]);
    assert_eq!(a.renumbered, [(5, 6)]);
    assert_eq!(a.collapsed, [6]);
    assert_eq!(a.missing, [(7, None)]);
    // UID 16 is of another epoch, so nobody answers for the one listed.
    assert_eq!(a.claimed.to_string(), "11");
}

#[test]
fn a_uid_under_which_something_of_another_size_lies_is_not_believed() {
    let items = [item(1, "x"), item(2, "y"), item(3, "z")];
    let pieces = [
        piece(1, 1, "x", PieceState::There, Some(11)),
        piece(2, 2, "y", PieceState::There, Some(12)),
        piece(3, 3, "z", PieceState::There, Some(13)),
    ];
    let mut there = listing(&[11, 12, 13]);
    for (message, size) in there.messages.iter_mut().zip([4_097, 4_300, 0]) {
        message.size = size;
    }
    let a = assign(&items, &pieces, &there, UIDVALIDITY, Resend::default());
    // No size is no reason to doubt.
    assert_eq!(a.there, [(0, 1), (2, 3)]);
    assert_eq!(a.unlocated, [(1, 2)]);
    assert_eq!(a.claimed.to_string(), "11,13");
}

#[test]
fn copies_of_one_content_each_need_a_piece_of_their_own() {
    let items = [item(1, "x"), item(2, "x"), item(3, "x")];
    let pieces = [
        piece(1, 2, "x", PieceState::There, Some(5)),
        piece(2, 9, "x", PieceState::There, Some(6)),
    ];
    let a = assigned(&items, &pieces, &[5, 6]);
    // Its own placement first; then whichever is left.
    assert_eq!(a.there, [(0, 2), (1, 1)]);
    assert_eq!(a.missing, [(2, None)]);
    assert!(a.spare.is_empty());
}

#[test]
fn what_nobody_asks_for_any_more_is_spare_only_while_it_is_there() {
    let pieces = [
        piece(1, 1, "x", PieceState::There, Some(5)),
        piece(2, 2, "y", PieceState::There, Some(6)),
        piece(3, 3, "z", PieceState::Open, None),
    ];
    assert_eq!(assigned(&[], &pieces, &[5]).spare, [1]);
}

#[test]
fn what_a_person_wants_sent_again_is_missing_in_the_place_of_its_piece() {
    let items = [item(1, "x"), item(2, "y")];
    let pieces = [
        piece(1, 1, "x", PieceState::There, Some(5)),
        piece(2, 2, "y", PieceState::Doubtful, None),
    ];
    let resend = Resend {
        removed: true,
        doubtful: true,
    };
    let a = assign(&items, &pieces, &listing(&[]), UIDVALIDITY, resend);
    assert_eq!(a.missing, [(0, Some(1)), (1, Some(2))]);
    assert!(a.removed.is_empty() && a.doubtful.is_empty());
}
