//! What a ledger says, all records taken together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::archive::ledger::{Fate, Known, LedgerRecord, Origin};
use crate::model::{ContentId, FlagSetId, FlagTable, Flags, MailboxId, RemoteId};

/// One message in one mailbox of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its number.
    pub no: u64,
    /// The mailbox of the target.
    pub target: u32,
    /// The content.
    pub content: ContentId,
    /// Where it was seen at the source.
    pub origin: OriginKey,
    /// UIDVALIDITY of the target, of `uid` or of the intent.
    pub uidvalidity: u32,
    /// Its UID, where it is known.
    pub uid: Option<u32>,
    /// The lowest UID it can have.
    pub uidnext: u32,
    /// The flags mailstow gave it last; `None` where it was there before.
    pub flags: Option<FlagSetId>,
    /// The flags it was to have then, of which the target may have refused some.
    pub asked: Option<FlagSetId>,
    /// The piece it was moved from.
    pub moves: Option<u64>,
    /// How things stand.
    pub state: PieceState,
}

impl Piece {
    /// Whether nobody knows yet whether the target has it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == PieceState::Open
    }
}

/// How things stand with a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceState {
    /// An intent without an outcome.
    Open,
    /// The target has it.
    There,
    /// The target had it, and somebody has removed it.
    Removed,
    /// The target shows another copy instead.
    Collapsed,
    /// Nobody can tell.
    Doubtful,
}

/// A placement, short. Two may share one key; a piece is matched by its content as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OriginKey {
    /// The mailbox of the archive.
    pub mailbox: MailboxId,
    remote: u64,
}

impl OriginKey {
    /// The key of a placement.
    #[must_use]
    pub fn new(mailbox: MailboxId, remote: &RemoteId) -> Self {
        let remote = match remote {
            RemoteId::Imap { uidvalidity, uid } => u64::from(*uidvalidity) << 32 | u64::from(*uid),
            RemoteId::Pop { uidl } => {
                let mut hasher = DefaultHasher::new();
                uidl.hash(&mut hasher);
                hasher.finish()
            }
        };
        Self { mailbox, remote }
    }

    fn of(origin: &Origin) -> Self {
        Self::new(origin.mailbox, &origin.remote)
    }
}

/// All a ledger says.
#[derive(Debug, Default)]
pub struct LedgerState {
    address: Option<String>,
    targets: BTreeMap<u32, String>,
    by_wire: HashMap<String, u32>,
    /// With the wire name of the archive's mailbox, if the record has it.
    maps: BTreeMap<MailboxId, (u32, Option<String>)>,
    pieces: BTreeMap<u64, Piece>,
    /// The numbers of the pieces of each mailbox of the target.
    by_target: HashMap<u32, BTreeSet<u64>>,
    flags: FlagTable,
    /// What the target said last when it refused a placement of a content.
    refused: HashMap<(u32, OriginKey, ContentId), String>,
    last: u64,
    read_back: u64,
}

impl LedgerState {
    /// Takes a record in.
    pub fn apply(&mut self, record: &LedgerRecord) {
        match record {
            LedgerRecord::Target { address } => self.address = Some(address.clone()),
            LedgerRecord::Mailbox(mailbox) => {
                self.by_wire.insert(mailbox.wire.clone(), mailbox.id);
                self.targets.insert(mailbox.id, mailbox.wire.clone());
            }
            LedgerRecord::Map {
                mailbox,
                target,
                source,
            } => {
                self.maps.insert(*mailbox, (*target, source.clone()));
            }
            LedgerRecord::Intent(intent) => {
                let flags = Some(self.flags.intern(intent.flags.clone()));
                let (flags, asked) = match intent.moves {
                    // What was there before keeps flags of its own.
                    Some(from) => {
                        let from = self.pieces.get(&from);
                        (from.and_then(|p| p.flags), from.and_then(|p| p.asked))
                    }
                    None => (flags, flags),
                };
                self.put(Piece {
                    no: intent.no,
                    target: intent.target,
                    content: intent.content,
                    origin: OriginKey::of(&intent.origin),
                    uidvalidity: intent.uidvalidity,
                    uid: None,
                    uidnext: intent.uidnext,
                    flags,
                    asked,
                    moves: intent.moves,
                    state: PieceState::Open,
                });
            }
            LedgerRecord::Outcome(outcome) => self.close(outcome.no, &outcome.fate),
            LedgerRecord::Known(known) => self.know(known),
            LedgerRecord::Located {
                no,
                uidvalidity,
                uid,
            } => {
                if let Some(piece) = self.pieces.get_mut(no) {
                    piece.uidvalidity = *uidvalidity;
                    piece.uid = Some(*uid);
                    if piece.state == PieceState::Removed {
                        piece.state = PieceState::There;
                    }
                }
            }
            LedgerRecord::Removed { no } => {
                for no in no {
                    if let Some(piece) = self.pieces.get_mut(no) {
                        piece.state = PieceState::Removed;
                    }
                }
            }
            LedgerRecord::ReadBack { upto } => self.read_back = self.read_back.max(*upto),
            LedgerRecord::Flagged { no, flags, asked } => {
                let flags = self.flags.intern(flags.clone());
                let asked = asked
                    .clone()
                    .map_or(flags, |asked| self.flags.intern(asked));
                for no in no {
                    if let Some(piece) = self.pieces.get_mut(no) {
                        piece.flags = Some(flags);
                        piece.asked = Some(asked);
                    }
                }
            }
        }
    }

    fn know(&mut self, known: &Known) {
        self.put(Piece {
            no: known.no,
            target: known.target,
            content: known.content,
            origin: OriginKey::of(&known.origin),
            uidvalidity: known.uidvalidity,
            uid: Some(known.uid),
            uidnext: known.uid,
            flags: None,
            asked: None,
            moves: None,
            state: PieceState::There,
        });
    }

    fn put(&mut self, piece: Piece) {
        self.last = self.last.max(piece.no);
        self.remove(piece.no);
        let of_target = self.by_target.entry(piece.target).or_default();
        of_target.insert(piece.no);
        self.pieces.insert(piece.no, piece);
    }

    fn remove(&mut self, no: u64) {
        let Some(piece) = self.pieces.remove(&no) else {
            return;
        };
        if let Some(of_target) = self.by_target.get_mut(&piece.target) {
            of_target.remove(&no);
        }
    }

    fn close(&mut self, no: u64, fate: &Fate) {
        let Some(piece) = self.pieces.get_mut(&no) else {
            return;
        };
        let moved = piece.moves;
        match fate {
            Fate::There { at } => {
                piece.state = PieceState::There;
                if let Some((uidvalidity, uid)) = at {
                    piece.uidvalidity = *uidvalidity;
                    piece.uid = Some(*uid);
                }
                if let Some(from) = moved {
                    self.remove(from);
                }
            }
            Fate::Collapsed => {
                piece.state = PieceState::Collapsed;
                // What is shown there is something else.
                piece.uid = None;
            }
            Fate::Doubtful { .. } => piece.state = PieceState::Doubtful,
            // As if it had never been sent: the next run does.
            Fate::Absent => self.remove(no),
            Fate::Refused { reason } => {
                let key = (piece.target, piece.origin, piece.content);
                self.refused.insert(key, reason.clone());
                self.remove(no);
            }
        }
    }

    /// Whose mail it is about; `None` in a new ledger.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// The number of a mailbox of the target.
    #[must_use]
    pub fn target(&self, wire: &str) -> Option<u32> {
        self.by_wire.get(wire).copied()
    }

    /// The wire name of a mailbox of the target.
    #[must_use]
    pub fn wire(&self, target: u32) -> Option<&str> {
        self.targets.get(&target).map(String::as_str)
    }

    /// Why the target refused a placement of a content the last time it did, in its own words.
    /// It may have taken it since.
    #[must_use]
    pub fn refusal(&self, target: u32, origin: OriginKey, content: ContentId) -> Option<&str> {
        let key = (target, origin, content);
        self.refused.get(&key).map(String::as_str)
    }

    /// The number the next mailbox of the target gets.
    #[must_use]
    pub fn next_target(&self) -> u32 {
        self.targets.keys().last().map_or(1, |last| last + 1)
    }

    /// Where a mailbox of the archive went in an earlier run.
    #[must_use]
    pub fn recorded(&self, mailbox: MailboxId) -> Option<&str> {
        let (target, _) = self.maps.get(&mailbox)?;
        self.targets.get(target).map(String::as_str)
    }

    /// The same, if the record is about a mailbox of this wire name: in an archive that was
    /// restored from an older copy another mailbox can have got the number.
    #[must_use]
    pub fn recorded_as(&self, mailbox: MailboxId, wire: &str) -> Option<&str> {
        let (_, source) = self.maps.get(&mailbox)?;
        let fits = source.as_deref().is_none_or(|source| source == wire);
        self.recorded(mailbox).filter(|_| fits)
    }

    /// The pieces of a mailbox of the target, by number.
    pub fn pieces_in(&self, target: u32) -> impl Iterator<Item = &Piece> {
        let numbers = self.by_target.get(&target).into_iter().flatten();
        numbers.filter_map(|no| self.pieces.get(no))
    }

    /// The last piece of which it was looked at what the target shows for it.
    #[must_use]
    pub const fn read_back(&self) -> u64 {
        self.read_back
    }

    /// A piece.
    #[must_use]
    pub fn piece(&self, no: u64) -> Option<&Piece> {
        self.pieces.get(&no)
    }

    /// All pieces, by number.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.values()
    }

    /// A set of flags of a piece.
    #[must_use]
    pub fn flags(&self, id: FlagSetId) -> Option<&Flags> {
        self.flags.get(id)
    }

    /// The number of the newest piece there ever was; 0 if there was none.
    #[must_use]
    pub const fn last_piece(&self) -> u64 {
        self.last
    }

    /// A number for a new piece.
    #[must_use]
    pub const fn next_piece(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ledger::{Intent, Outcome, TargetMailbox};

    fn intent(no: u64, moves: Option<u64>) -> LedgerRecord {
        LedgerRecord::Intent(Intent {
            no,
            target: 1,
            uidvalidity: 7,
            uidnext: 3,
            content: ContentId::of(b"x"),
            origin: Origin {
                mailbox: MailboxId(1),
                remote: RemoteId::Imap {
                    uidvalidity: 1,
                    uid: 1,
                },
            },
            flags: Flags::from_wire(["\\Seen"]),
            moves,
        })
    }

    fn outcome(no: u64, fate: Fate) -> LedgerRecord {
        LedgerRecord::Outcome(Outcome { no, fate })
    }

    #[test]
    fn an_intent_is_open_until_its_outcome() {
        let mut state = LedgerState::default();
        for no in 1..=5 {
            state.apply(&intent(no, None));
        }
        assert!(state.pieces().all(|p| p.state == PieceState::Open));
        let reason = || "no".to_owned();
        state.apply(&outcome(1, Fate::There { at: Some((8, 9)) }));
        state.apply(&outcome(2, Fate::Refused { reason: reason() }));
        state.apply(&outcome(3, Fate::Doubtful { reason: reason() }));
        state.apply(&outcome(4, Fate::Absent));
        let now: Vec<_> = state.pieces().map(|p| (p.no, p.state, p.uid)).collect();
        assert_eq!(
            now,
            [
                (1, PieceState::There, Some(9)),
                (3, PieceState::Doubtful, None),
                (5, PieceState::Open, None)
            ]
        );
        let origin = state.piece(1).unwrap().origin;
        let refusal = |target| state.refusal(target, origin, ContentId::of(b"x"));
        assert_eq!((refusal(1), refusal(2)), (Some("no"), None));
        // Numbers are never used twice, also those of pieces that are no more.
        assert_eq!(state.next_piece(), 6);
    }

    #[test]
    fn a_piece_that_was_moved_is_no_longer_where_it_was_and_keeps_its_flags() {
        let mut state = LedgerState::default();
        state.apply(&intent(1, None));
        state.apply(&outcome(1, Fate::There { at: Some((7, 3)) }));
        state.apply(&LedgerRecord::Flagged {
            no: vec![1],
            flags: Flags::from_wire(["\\Flagged"]),
            asked: None,
        });
        state.apply(&intent(2, Some(1)));
        state.apply(&outcome(2, Fate::There { at: Some((9, 1)) }));
        let pieces: Vec<_> = state.pieces().copied().collect();
        assert_eq!(pieces.len(), 1);
        let flags = state.flags(pieces[0].flags.unwrap()).unwrap();
        assert!(flags.contains("\\Flagged") && !flags.contains("\\Seen"));
    }

    #[test]
    fn pieces_are_listed_under_their_mailbox_until_they_are_no_more() {
        let mut state = LedgerState::default();
        for no in [1, 2, 3, 2] {
            state.apply(&intent(no, None));
        }
        let numbers = |state: &LedgerState, target| {
            let pieces = state.pieces_in(target);
            pieces.map(|p| p.no).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&state, 1), [1, 2, 3]);
        state.apply(&outcome(1, Fate::Absent));
        state.apply(&intent(4, Some(3)));
        state.apply(&outcome(4, Fate::There { at: None }));
        assert_eq!(
            (numbers(&state, 1), numbers(&state, 2)),
            (vec![2, 4], vec![])
        );
    }

    #[test]
    fn a_piece_that_was_removed_is_there_again_once_it_is_found() {
        let mut state = LedgerState::default();
        state.apply(&intent(1, None));
        state.apply(&outcome(1, Fate::There { at: Some((7, 3)) }));
        state.apply(&LedgerRecord::Removed { no: vec![1, 9] });
        assert_eq!(state.piece(1).unwrap().state, PieceState::Removed);
        state.apply(&LedgerRecord::Located {
            no: 1,
            uidvalidity: 8,
            uid: 2,
        });
        assert_eq!(state.piece(1).unwrap().state, PieceState::There);
    }

    #[test]
    fn mailboxes_go_where_they_went_before() {
        let mut state = LedgerState::default();
        assert_eq!(state.next_target(), 1);
        state.apply(&LedgerRecord::Mailbox(TargetMailbox {
            id: 1,
            wire: "Sent".into(),
        }));
        state.apply(&LedgerRecord::Map {
            mailbox: MailboxId(5),
            target: 1,
            source: Some("Sent Items".into()),
        });
        assert_eq!(state.recorded(MailboxId(5)), Some("Sent"));
        let recorded = |wire| state.recorded_as(MailboxId(5), wire);
        // The number of a mailbox that an older copy of the archive did not have yet.
        assert_eq!(
            (recorded("Sent Items"), recorded("Work")),
            (Some("Sent"), None)
        );
        assert_eq!((state.target("Sent"), state.next_target()), (Some(1), 2));
    }
}
