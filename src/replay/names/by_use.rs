//! The steps that go by special use.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use super::assign::Assign;
use super::special::{by_attribute, by_name, is_below_gmail, is_gmail_root, virtual_use};
use super::{Destination, SourceName, TargetName};

impl<'a> Assign<'a> {
    /// One mailbox goes to the target's mailbox of a special use: the first that has it, else the
    /// one whose name is the most usual for it. Where the target has no attribute for it, names
    /// decide, and a name that is another mailbox's own is left to that.
    pub(super) fn by_use(&mut self, special_use: &'static str) {
        let candidates = self.candidates(special_use);
        let Some(&(first, source)) = candidates.first() else {
            return;
        };
        let targets = self.books.with_use(special_use);
        let chosen = if targets.is_empty() {
            let own = self.own_names();
            // Where two come to one name, the other may be the one that has it there.
            let alone = |found: &(usize, TargetName)| own.get(&nfc(&found.1.name)) == Some(&1);
            let itself = self.same_name(&[(first, source)]).filter(alone);
            let usual = || Some((first, self.usual(special_use, &own)?.clone()));
            itself
                .or_else(usual)
                .or_else(|| self.same_name(&candidates))
        } else {
            let mut free = targets.iter().filter(|t| self.books.is_free(t));
            let Some(&target) = free.next() else {
                return;
            };
            let has_it = |one| {
                let found = self.same_name(&[one])?;
                targets.contains(&&found.1).then_some(found)
            };
            let own = candidates.iter().copied().find_map(has_it);
            Some(own.unwrap_or_else(|| (first, target.clone())))
        };
        let (at, destination) = if let Some((at, target)) = chosen {
            self.books.claim(&target.wire, &target.name);
            (at, self.books.existing(&target))
        } else {
            let own = self.books.own_name(&source.name);
            let Some(mut destination) = own.or_else(|| self.books.new_name(&source.name)) else {
                return;
            };
            self.books.ask(&mut destination, special_use);
            (first, destination)
        };
        self.note_archive(special_use, at);
        self.put(at, destination);
    }

    /// Who may have a special use, the best first. An attribute beats a name; where it stands on
    /// several, the first has it. None where the user or an earlier run has settled it.
    fn candidates(&self, special_use: &str) -> Vec<(usize, &'a SourceName)> {
        let certain =
            |source: &SourceName| by_attribute(source.special_use.as_deref()) == Some(special_use);
        let suggested = |source: &SourceName| {
            source.special_use.is_none() && by_name(&source.name).map(|u| u.0) == Some(special_use)
        };
        let decided = self.sources.iter().zip(&self.found);
        let mut decided = decided.filter(|(_, found)| found.is_some());
        if decided.any(|(source, _)| certain(source)) {
            return Vec::new();
        }
        let mut open = self.open();
        open.retain(|(_, source)| !is_gmail_root(&source.name));
        if let Some(one) = open.iter().find(|(_, source)| certain(source)) {
            return vec![*one];
        }
        let mut recorded = self.recorded.iter().filter_map(|at| self.sources.get(*at));
        if recorded.any(suggested) {
            return Vec::new();
        }
        open.retain(|(_, source)| suggested(source));
        open.sort_by_key(|(_, source)| by_name(&source.name).map(|u| u.1));
        open
    }

    /// The first candidate that has its own name on the target, and that name.
    fn same_name(&self, candidates: &[(usize, &SourceName)]) -> Option<(usize, TargetName)> {
        candidates.iter().find_map(|(at, source)| {
            let own = self.books.known_as(&self.books.spell(&source.name)?);
            let mut free = own.into_iter().filter(|t| self.books.is_free(t));
            Some((*at, free.next()?))
        })
    }

    /// The names the open sources have on the target by themselves, and how many have each.
    fn own_names(&self) -> HashMap<String, usize> {
        let mut names = HashMap::new();
        for (_, source) in self.open() {
            if let Some(spelled) = self.books.spell(&source.name) {
                *names.entry(nfc(&spelled.name)).or_default() += 1;
            }
        }
        names
    }

    /// What is there under the most usual name for a special use, but for names that are `own` and
    /// those the user gave to others.
    fn usual(&self, special_use: &str, own: &HashMap<String, usize>) -> Option<&'a TargetName> {
        let free = self.books.all().iter().filter(|t| self.books.is_free(t));
        let free = free.filter(|t| !own.contains_key(&nfc(&t.name)) && !self.books.is_given(t));
        let known = free.filter_map(|t| Some((self.place_of(t, special_use)?, t)));
        known.min_by_key(|(place, _)| *place).map(|(_, t)| t)
    }

    /// With [`virtual_too`](super::Rules::virtual_too) Gmail's own mailboxes go to Gmail's, in
    /// whatever language each side calls them. Elsewhere such a mailbox takes no mail.
    pub(super) fn gmail_to_gmail(&mut self) {
        for (at, source) in self.open() {
            let used = virtual_use(&source.name, source.special_use.as_deref());
            let targets = used.map(|used| self.books.with_use(used));
            let mut targets = targets.into_iter().flatten();
            if let Some(target) = targets.find(|t| t.selectable && is_below_gmail(&t.name))
                && self.books.claim(&target.wire, &target.name)
            {
                self.put(at, self.books.existing(target));
            }
        }
    }

    /// Where the messages go that lie in no other mailbox.
    pub(super) fn leftovers(&mut self) -> Destination {
        if self.rules.into.is_some() {
            return self.books.as_user_wants(&self.rules.below("Archive"));
        }
        let taken = self.archive.and_then(|at| self.found.get(at).cloned());
        if let Some(Some(taken @ Destination::Mailbox { .. })) = taken {
            return taken;
        }
        let archive = self.books.with_use("\\Archive").into_iter();
        // QUIRK(Gmail, 2024): what is in no mailbox but All Mail is what Gmail calls archived.
        let gmail = self.books.with_use("\\All").into_iter();
        let gmail = gmail.filter(|t| is_below_gmail(&t.name));
        let usual = self.books.all().iter();
        let usual = usual.filter(|t| self.place_of(t, "\\Archive").is_some());
        let mut targets = archive.chain(gmail).chain(usual);
        if let Some(target) = targets.find(|t| t.selectable) {
            return self.books.existing(target);
        }
        let mut destination = self.books.by_rule("Archive");
        self.books.ask(&mut destination, "\\Archive");
        destination
    }

    /// How usual a name without an attribute is for a special use; 0 is the most usual one. Other
    /// people's names suggest nothing.
    fn place_of(&self, target: &TargetName, special_use: &str) -> Option<usize> {
        let own = self.books.own_part(&target.name)?;
        let unused = target.special_use.is_none();
        let (used, place) = by_name(own).filter(|_| unused)?;
        (used == special_use).then_some(place)
    }
}

fn nfc(name: &str) -> String {
    name.nfc().collect()
}
