//! Flags of messages that are on the target: those that changed at the source, and those that only
//! a STORE can give.

use std::collections::BTreeMap;

use super::recognise::Failed;
use super::run::Replay;
use super::settle::{Settled, Unsettled, Whence};
use super::wanted::Item;
use crate::archive::ledger::LedgerRecord;
use crate::contact::{Line, Trouble};
use crate::imap::{ImapError, StoreFlags, TargetSession};
use crate::model::{Flags, UidSet};

/// A message whose flags are to be others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reflag {
    pub(super) place: usize,
    pub(super) no: u64,
    pub(super) uid: u32,
    pub(super) flags: Flags,
    /// The same without keywords it does not have yet, in case the target refuses those.
    pub(super) fallback: Flags,
}

/// Flags that a message is to get once it is there.
#[derive(Debug)]
pub(super) struct After {
    pub(super) no: u64,
    pub(super) place: usize,
    pub(super) item: Item,
    pub(super) flags: Flags,
}

/// What to do about the flags of a message that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagVerdict {
    /// Nothing.
    Same,
    /// Nothing, but they are not those the ledger tells: a run that set them did not live to say
    /// so, or somebody changed them on both sides alike.
    Agreed,
    /// They are to be set.
    Set,
    /// Somebody else has changed them on the target, and the source has changed them too.
    Theirs,
}

/// Which flags are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flagging {
    /// Those only a STORE can give, to what it has.
    Further,
    /// Those of the source, in the place of what mailstow gave it last.
    Anew,
}

/// Judges flags. Pure.
///
/// `last` is what mailstow gave it last, `asked` what it was to have then, `wanted` what the source
/// has now, `shown` what the target shows: it is changed only where nobody but mailstow has.
pub(super) fn judge(last: &Flags, asked: &Flags, wanted: &Flags, shown: &Flags) -> FlagVerdict {
    if last == wanted || asked == wanted {
        FlagVerdict::Same
    } else if wanted == shown {
        FlagVerdict::Agreed
    } else if last == shown {
        FlagVerdict::Set
    } else {
        FlagVerdict::Theirs
    }
}

/// Flags without the keywords that a message does not show yet.
pub(super) fn fallback(wanted: &Flags, shown: &Flags) -> Flags {
    let known = |flag: &&str| flag.starts_with('\\') || shown.contains(flag);
    Flags::from_wire(wanted.iter().filter(known))
}

/// The flags of the one that the other does not have.
fn without(one: &Flags, other: &Flags) -> Flags {
    Flags::from_wire(one.iter().filter(|flag| !other.contains(flag)))
}

/// What messages that are reflagged together have in common: their place, and three sets of flags.
type Change = (usize, Flags, Flags, Flags);

impl Replay<'_> {
    /// The flags an item is to have at a place.
    pub(super) fn wanted_flags(&self, item: &Item, place: usize) -> Flags {
        let travelling = self.habits.travelling(&self.shared.flags(item), place);
        let after = travelling.store_after.iter();
        Flags::from_wire(travelling.append.iter().chain(after))
    }

    /// Flags that only a STORE can give. A target that tells no UIDs (RFC 4315) is looked at.
    pub(super) async fn stores_after(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<Vec<Reflag>, Failed> {
        let after = std::mem::take(&mut self.after);
        let uid = |no: u64, replay: &Self| replay.ledger.state().piece(no).and_then(|p| p.uid);
        let nowhere = after.iter().filter(|one| uid(one.no, self).is_none());
        let nowhere: Vec<Unsettled> = nowhere
            .map(|one| Unsettled {
                no: one.no,
                place: one.place,
                item: one.item.clone(),
                whence: Whence::Sent,
            })
            .collect();
        self.look(line, nowhere, false, &mut Settled::default())
            .await?;
        let reflag = |one: After| {
            Some(Reflag {
                place: one.place,
                no: one.no,
                uid: uid(one.no, self)?,
                fallback: one.flags.clone(),
                flags: one.flags,
            })
        };
        Ok(after.into_iter().filter_map(reflag).collect())
    }

    /// Sets flags. Messages of one mailbox with one set of flags go together.
    ///
    /// Only the difference to what mailstow gave a message last is stored: the listing was made
    /// hours ago, and a flag that somebody has set since then is not ours to take away.
    pub(super) async fn reflag(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        all: Vec<Reflag>,
        how: Flagging,
    ) -> Result<(), Failed> {
        let mut groups: BTreeMap<Change, Vec<(u64, u32)>> = BTreeMap::new();
        for one in all {
            let last = match how {
                Flagging::Further => Flags::default(),
                Flagging::Anew => self.last_flags(one.no),
            };
            let group = groups.entry((one.place, one.flags, one.fallback, last));
            group.or_default().push((one.no, one.uid));
        }
        for ((place, asked, fallback, last), pieces) in groups {
            if self.stop.is_requested() {
                return Ok(());
            }
            let Some((wire, uidvalidity)) = self.wire_of(place) else {
                continue;
            };
            let uids: UidSet = pieces.iter().map(|(_, uid)| *uid).collect();
            let mut flags = &asked;
            let stored = loop {
                let stored = line
                    .run(async |session: &mut TargetSession| {
                        let selected = session.select(&wire).await?;
                        if selected.uidvalidity.unwrap_or(0) != uidvalidity {
                            return Ok(false);
                        }
                        let (more, less) = (without(flags, &last), without(&last, flags));
                        session.store_flags(&uids, StoreFlags::Add, &more).await?;
                        session
                            .store_flags(&uids, StoreFlags::Remove, &less)
                            .await?;
                        Ok(true)
                    })
                    .await;
                match stored {
                    Err(Trouble::Answer(error)) if *flags != fallback => {
                        self.warn_of_flags(place, pieces.len(), &error);
                        flags = &fallback;
                    }
                    stored => break stored,
                }
            };
            match stored {
                Ok(true) => {
                    let asked = Some(&asked).filter(|asked| *asked != flags);
                    self.flagged(place, &pieces, flags, asked, how).await?;
                }
                Ok(false) => {}
                Err(Trouble::Answer(error)) => self.warn_of_flags(place, pieces.len(), &error),
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Ok(())
    }

    /// What mailstow gave a piece last.
    fn last_flags(&self, no: u64) -> Flags {
        let state = self.ledger.state();
        let last = state.piece(no).and_then(|piece| piece.flags);
        last.and_then(|id| state.flags(id))
            .cloned()
            .unwrap_or_default()
    }

    fn warn_of_flags(&mut self, place: usize, messages: usize, error: &ImapError) {
        let name = self.name_of(place);
        self.report.warnings.push(format!(
            "the flags of {messages} messages in {name} could not be set: {error}"
        ));
    }

    async fn flagged(
        &mut self,
        place: usize,
        pieces: &[(u64, u32)],
        flags: &Flags,
        asked: Option<&Flags>,
        how: Flagging,
    ) -> Result<(), Failed> {
        let mut records = Vec::new();
        match how {
            Flagging::Anew => {
                records.push(LedgerRecord::Flagged {
                    no: pieces.iter().map(|(no, _)| *no).collect(),
                    flags: flags.clone(),
                    asked: asked.cloned(),
                });
                if let Some(place) = self.places.get_mut(place) {
                    place.row.flags_set += pieces.len() as u64;
                }
            }
            Flagging::Further => {
                for (no, _) in pieces {
                    let before = self.last_flags(*no);
                    let both = Flags::from_wire(before.iter().chain(flags.iter()));
                    records.push(LedgerRecord::Flagged {
                        no: vec![*no],
                        flags: both,
                        asked: None,
                    });
                }
            }
        }
        self.write(records).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_changed_only_where_nobody_but_us_has_changed_them() {
        let flags = |list: &str| Flags::from_wire(list.split_ascii_whitespace());
        for (last, asked, wanted, shown, want) in [
            ("", "", "\\Seen", "", FlagVerdict::Set),
            ("\\Seen", "\\Seen", "", "\\Seen", FlagVerdict::Set),
            ("", "", "", "\\Seen", FlagVerdict::Same),
            ("", "", "\\Seen", "\\Seen", FlagVerdict::Agreed),
            ("", "", "\\Seen", "\\Flagged", FlagVerdict::Theirs),
            ("\\Seen", "\\Seen", "\\Seen", "", FlagVerdict::Same),
            // The keyword was refused: it is not tried for ever, and what changes is set.
            ("", "work", "work", "", FlagVerdict::Same),
            ("", "work", "\\Seen work", "", FlagVerdict::Set),
        ] {
            let [last, asked, wanted, shown] = [last, asked, wanted, shown].map(flags);
            assert_eq!(judge(&last, &asked, &wanted, &shown), want);
        }
    }
}
