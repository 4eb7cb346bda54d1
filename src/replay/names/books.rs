//! The names of the target: which there are, which are taken, and under which a mailbox comes in.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;

use super::special::{folded, is_gmail_root};
use super::wire::{Spelled, spell};
use super::{Destination, TargetName, TargetSpace};
use crate::imap::utf7;
use crate::source::decoded_name;

/// What is known of the target's names in the course of [`map_names`](super::map_names).
pub(super) struct Books<'a> {
    space: &'a TargetSpace,
    /// The names it lists, and those it will since the user gave them, by what they have in
    /// common with names that look alike.
    known: HashMap<String, Vec<TargetName>>,
    /// Wire names the user gave, and those of them that are to be created.
    given: HashSet<String>,
    new: HashSet<String>,
    /// Wire names some mailbox came to by rule, and names folded.
    claimed: HashSet<String>,
    claimed_folded: HashSet<String>,
    /// Names, folded, that belong to mailboxes of the archive: no number makes one of them.
    own: HashSet<String>,
    /// Special uses CREATE asks for already.
    asked: HashSet<&'static str>,
}

impl<'a> Books<'a> {
    /// `own` are the names the archive's mailboxes have on the target by themselves.
    pub(super) fn new(space: &'a TargetSpace, own: impl Iterator<Item = String>) -> Self {
        let mut books = Self {
            space,
            known: HashMap::new(),
            given: HashSet::new(),
            new: HashSet::new(),
            claimed: HashSet::new(),
            claimed_folded: HashSet::new(),
            own: own
                .filter_map(|name| Some(folded(&spell(&name, 1, space)?.name)))
                .collect(),
            asked: HashSet::new(),
        };
        for target in &space.mailboxes {
            books.know(target.clone());
        }
        books
    }

    fn know(&mut self, target: TargetName) {
        let alike = self.known.entry(folded(&target.name)).or_default();
        alike.push(target);
    }

    pub(super) fn spell(&self, name: &str) -> Option<Spelled> {
        spell(name, 1, self.space)
    }

    /// A listed name without the prefix of the personal name space; `None` outside of that.
    pub(super) fn own_part<'n>(&self, name: &'n str) -> Option<&'n str> {
        let prefix = utf7::decode(&self.space.prefix);
        name.strip_prefix(&decoded_name(&prefix, self.space.separator))
    }

    /// All names, in the order the target lists them.
    pub(super) fn all(&self) -> &'a [TargetName] {
        &self.space.mailboxes
    }

    /// Whether mail can go there and no mailbox has come to it by rule.
    pub(super) fn is_free(&self, target: &TargetName) -> bool {
        target.selectable && !self.claimed.contains(&target.wire)
    }

    /// A name of which there is none like it; `None` where there is.
    pub(super) fn new_name(&mut self, name: &str) -> Option<Destination> {
        let spelled = self.spell(name)?;
        if !self.known_like(&spelled).is_empty() {
            return None;
        }
        self.numbered(name, 1)
    }

    /// Takes a name for one mailbox; false where another has it.
    pub(super) fn claim(&mut self, wire: &str, name: &str) -> bool {
        self.claimed_folded.insert(folded(name));
        self.claimed.insert(wire.to_owned())
    }

    /// The names with a special use.
    pub(super) fn with_use(&self, special_use: &str) -> Vec<&'a TargetName> {
        let has = |t: &&TargetName| {
            let own = t.special_use.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(special_use))
        };
        self.all().iter().filter(has).collect()
    }

    /// What is known under a name, in any normalisation; the very name first.
    pub(super) fn known_as(&self, spelled: &Spelled) -> Vec<TargetName> {
        let mut same = self.alike(&spelled.name);
        same.retain(|target| is_same(&target.name, &spelled.name));
        same.sort_by_key(|target| target.wire != spelled.wire);
        same
    }

    /// What is known under the same name or, where there is none, in other capitals.
    fn known_like(&self, spelled: &Spelled) -> Vec<TargetName> {
        let same = self.known_as(spelled);
        if same.is_empty() {
            return self.alike(&spelled.name);
        }
        same
    }

    fn alike(&self, name: &str) -> Vec<TargetName> {
        self.known.get(&folded(name)).cloned().unwrap_or_default()
    }

    /// A name by rule: nobody else's, and none that a server or a person could take for another's.
    pub(super) fn by_rule(&mut self, name: &str) -> Destination {
        let mut n = 1;
        loop {
            if let Some(destination) = self.numbered(name, n) {
                return destination;
            }
            n += 1;
        }
    }

    /// What is known under a name and no mailbox has come to.
    pub(super) fn own_name(&mut self, name: &str) -> Option<Destination> {
        let spelled = self.spell(name)?;
        let mut known = self.known_as(&spelled).into_iter();
        let target = known.find(|t| !self.claimed.contains(&t.wire))?;
        if is_gmail_root(&target.name) {
            return None;
        }
        self.claim(&target.wire, &target.name);
        Some(self.destination(&spelled, Some(&target)))
    }

    /// The name by rule that ends in `~n`, or plain for 1; `None` where another has it.
    pub(super) fn numbered(&mut self, name: &str, n: u32) -> Option<Destination> {
        let Some(spelled) = spell(name, n, self.space) else {
            return Some(too_long());
        };
        if is_gmail_root(&spelled.name) {
            return Some(root_of_gmail());
        }
        let known = self.known_like(&spelled);
        let free = known.iter().find(|t| !self.claimed.contains(&t.wire));
        let key = folded(&spelled.name);
        let new = known.is_empty() && !self.claimed_folded.contains(&key);
        if free.is_none() && !new || n > 1 && self.own.contains(&key) {
            return None;
        }
        let mut destination = self.destination(&spelled, free);
        if let Destination::Mailbox {
            wire, name, notes, ..
        } = &mut destination
        {
            self.claim(wire, name);
            if n > 1 {
                notes.push(format!(
                    "another mailbox goes by that name: this one gets ~{n}"
                ));
            }
        }
        Some(destination)
    }

    /// The name the user gave, whoever else goes there.
    pub(super) fn as_user_wants(&mut self, name: &str) -> Destination {
        if name.is_empty() {
            return Destination::Refused("it was given an empty name".into());
        }
        let Some(spelled) = self.spell(name) else {
            return too_long();
        };
        if is_gmail_root(&spelled.name) {
            return root_of_gmail();
        }
        let known = self.known_like(&spelled);
        if known.is_empty() && spelled.wire != "INBOX" {
            self.new.insert(spelled.wire.clone());
            self.know(TargetName {
                wire: spelled.wire.clone(),
                name: spelled.name.clone(),
                special_use: None,
                selectable: true,
            });
        }
        let wire = known.first().map_or(&spelled.wire, |target| &target.wire);
        self.given.insert(wire.clone());
        self.destination(&spelled, known.first())
    }

    /// Whether the user sends a mailbox there.
    pub(super) fn is_given(&self, target: &TargetName) -> bool {
        self.given.contains(&target.wire)
    }

    /// What is known, as a destination.
    pub(super) fn existing(&self, target: &TargetName) -> Destination {
        Destination::Mailbox {
            wire: target.wire.clone(),
            name: target.name.clone(),
            exists: target.selectable && !self.new.contains(&target.wire),
            special_use: None,
            notes: Vec::new(),
        }
    }

    /// A name that an earlier run used and that is not listed now, to be created: its mail is
    /// there if the list is short (QUIRK(Zoho, IMAP4 Server, 2026-01): LIST leaves some out now
    /// and then), and under another name it would come a second time. `None` where it is listed,
    /// or taken.
    pub(super) fn unlisted(&mut self, wire: &str) -> Option<Destination> {
        if self.all().iter().any(|target| target.wire == wire) {
            return None;
        }
        let name = decoded_name(&utf7::decode(wire), self.space.separator);
        self.claim(wire, &name).then(|| Destination::Mailbox {
            // INBOX is there, listed or not (RFC 3501 §5.1).
            exists: wire == "INBOX",
            wire: wire.to_owned(),
            name,
            special_use: None,
            notes: vec!["the target does not list it now; an earlier run put it there".into()],
        })
    }

    /// A spelled name as a destination: under what is known, or new.
    pub(super) fn destination(&self, spelled: &Spelled, known: Option<&TargetName>) -> Destination {
        let new = || Destination::Mailbox {
            // INBOX is there, listed or not (RFC 3501 §5.1).
            exists: spelled.wire == "INBOX",
            wire: spelled.wire.clone(),
            name: spelled.name.clone(),
            special_use: None,
            notes: Vec::new(),
        };
        let mut destination = known.map_or_else(new, |target| self.existing(target));
        if let Destination::Mailbox { notes, .. } = &mut destination {
            notes.extend(spelled.notes.iter().map(ToString::to_string));
            if known.is_some_and(|target| !is_same(&target.name, &spelled.name)) {
                notes.push("the target has it in other capitals".into());
            }
            if known.is_some_and(|target| !target.selectable) {
                notes.push("the target lists the name but cannot open it".into());
            }
        }
        destination
    }

    /// Has CREATE ask for a special use, once for each.
    pub(super) fn ask(&mut self, destination: &mut Destination, wanted: &'static str) {
        if let Destination::Mailbox {
            exists: false,
            special_use,
            ..
        } = destination
            && self.asked.insert(wanted)
        {
            *special_use = Some(wanted.to_owned());
        }
    }
}

/// Names a person takes for one: only the normalisation may differ, and INBOX in any capitals.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let inbox = |name: &str| name.eq_ignore_ascii_case("INBOX");
    one.nfc().eq(other.nfc()) || inbox(one) && inbox(other)
}

fn too_long() -> Destination {
    Destination::Refused("its name would have more than 255 bytes on the target".into())
}

fn root_of_gmail() -> Destination {
    Destination::Refused("Gmail keeps its own mailboxes below that name, and no mail in it".into())
}
