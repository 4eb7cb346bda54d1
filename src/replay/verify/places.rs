//! Where the mailboxes of the archive went. Pure.

use crate::model::{Mailbox, MailboxId};
use crate::replay::ledger::LedgerState;
use crate::replay::names::{Destination, Rules, SourceName, TargetSpace, map_names};

/// A mailbox of the archive that went to a mailbox of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Went {
    pub(super) mailbox: Mailbox,
    /// Only messages that lie in no other mailbox.
    pub(super) leftovers: bool,
    /// The user wants it compared.
    pub(super) asked: bool,
}

/// A mailbox of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) wire: String,
    /// Its number in the ledger.
    pub(super) number: u32,
    pub(super) sources: Vec<Went>,
}

/// All mailboxes of an account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Where something went that is to be compared.
    pub(super) places: Vec<Place>,
    /// Mailboxes of which nothing went anywhere.
    pub(super) nowhere: Vec<Went>,
    /// Mailboxes that only show what lies in others.
    pub(super) left_out: Vec<Mailbox>,
}

/// Finds out where mailboxes went: as the ledger has recorded, else where it has a message of
/// theirs, which is how a replay below a prefix is known.
#[must_use]
pub(super) fn places(ledger: &LedgerState, mailboxes: Vec<(Mailbox, bool)>) -> Places {
    let mut found = Places::default();
    for (mailbox, asked) in mailboxes {
        let recorded = ledger.recorded(mailbox.id).and_then(|w| ledger.target(w));
        let leftovers = match recorded {
            Some(_) => None,
            None => virtual_with_leftovers(&mailbox),
        };
        if leftovers == Some(false) {
            if asked {
                found.left_out.push(mailbox);
            }
            continue;
        }
        let number = recorded.or_else(|| by_pieces(ledger, mailbox.id));
        let wire = number.and_then(|n| ledger.wire(n));
        let went = Went {
            mailbox,
            leftovers: leftovers.is_some(),
            asked,
        };
        let (Some(number), Some(wire)) = (number, wire) else {
            if asked {
                found.nowhere.push(went);
            }
            continue;
        };
        match found.places.iter_mut().find(|p| p.number == number) {
            Some(place) => place.sources.push(went),
            None => found.places.push(Place {
                wire: wire.to_owned(),
                number,
                sources: vec![went],
            }),
        }
    }
    found
        .places
        .retain(|place| place.sources.iter().any(|s| s.asked));
    // What only a mailbox of all mail has comes after what others have, as in a replay.
    for place in &mut found.places {
        place.sources.sort_by_key(|s| s.leftovers);
    }
    found
}

/// For a mailbox that only shows what lies in others: whether it shows all mail.
fn virtual_with_leftovers(mailbox: &Mailbox) -> Option<bool> {
    let source = SourceName {
        id: mailbox.id,
        name: mailbox.name.clone(),
        special_use: mailbox.special_use.clone(),
        recorded: None,
    };
    let mapping = map_names(&[source], &TargetSpace::default(), &Rules::default());
    let (_, destination) = mapping.mailboxes.into_iter().next()?;
    match destination {
        Destination::Virtual { leftovers } => Some(leftovers),
        Destination::Mailbox { .. } | Destination::Refused(_) => None,
    }
}

/// The mailbox of the target with the newest message that was seen in this one.
fn by_pieces(ledger: &LedgerState, mailbox: MailboxId) -> Option<u32> {
    let theirs = ledger.pieces().filter(|p| p.origin.mailbox == mailbox);
    theirs.last().map(|p| p.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ledger::{Intent, LedgerRecord, Origin, TargetMailbox};
    use crate::model::{AccountId, ContentId, Flags, RemoteId};

    fn mailbox(id: u32, name: &str, special_use: Option<&str>) -> Mailbox {
        Mailbox {
            id: MailboxId(id),
            account: AccountId(1),
            name: name.to_owned(),
            wire: name.to_owned(),
            folder: name.to_owned(),
            separator: Some('/'),
            uidvalidity: Some(1),
            special_use: special_use.map(str::to_owned),
            subscribed: true,
        }
    }

    fn ledger() -> LedgerState {
        let mut ledger = LedgerState::default();
        for (id, wire) in [(1, "INBOX"), (2, "Sent"), (3, "Old/Notes"), (4, "Archive")] {
            let wire = wire.to_owned();
            ledger.apply(&LedgerRecord::Mailbox(TargetMailbox { id, wire }));
        }
        for (mailbox, target) in [(1, 1), (2, 2), (3, 2)] {
            let mailbox = MailboxId(mailbox);
            ledger.apply(&LedgerRecord::Map {
                mailbox,
                target,
                source: None,
            });
        }
        for (no, mailbox, target) in [(1, 4, 1), (2, 4, 3), (3, 7, 4)] {
            ledger.apply(&LedgerRecord::Intent(Intent {
                no,
                target,
                uidvalidity: 1,
                uidnext: 1,
                content: ContentId::of(b"x"),
                origin: Origin {
                    mailbox: MailboxId(mailbox),
                    remote: RemoteId::Imap {
                        uidvalidity: 1,
                        uid: 1,
                    },
                },
                flags: Flags::default(),
                moves: None,
            }));
        }
        ledger
    }

    #[test]
    fn mailboxes_are_looked_for_where_the_ledger_says_they_went() {
        let all = [
            (mailbox(7, "All Mail", Some("\\All")), true),
            (mailbox(1, "INBOX", None), true),
            (mailbox(2, "Sent", None), true),
            (mailbox(3, "Sent Items", None), false),
            (mailbox(4, "Notes", None), true),
            (mailbox(5, "Never", None), true),
            (mailbox(6, "Starred", Some("\\Flagged")), true),
            (mailbox(8, "Unasked", None), false),
            (mailbox(9, "Unasked too", Some("\\Flagged")), false),
        ];
        let found = places(&ledger(), all.to_vec());
        let shown: Vec<String> = found
            .places
            .iter()
            .map(|place| {
                let name = |s: &Went| {
                    let leftovers = if s.leftovers { "+" } else { "" };
                    let asked = if s.asked { "" } else { "?" };
                    format!("{leftovers}{}{asked}", s.mailbox.name)
                };
                let sources: Vec<String> = place.sources.iter().map(name).collect();
                format!("{} {}: {}", place.number, place.wire, sources.join(", "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "4 Archive: +All Mail",
                "1 INBOX: INBOX",
                "2 Sent: Sent, Sent Items?",
                "3 Old/Notes: Notes",
            ]
        );
        let nowhere: Vec<_> = found.nowhere.iter().map(|w| &*w.mailbox.name).collect();
        assert_eq!(nowhere, ["Never"]);
        let left_out: Vec<_> = found.left_out.iter().map(|m| &*m.name).collect();
        assert_eq!(left_out, ["Starred"]);
    }

    #[test]
    fn what_nobody_asks_for_is_not_compared() {
        let all = [(mailbox(1, "INBOX", None), false)];
        assert_eq!(places(&ledger(), all.to_vec()), Places::default());
    }
}
