//! Who gets which name.

use std::collections::HashSet;

use super::books::{Books, is_same};
use super::special::{by_attribute, uses, virtual_use};
use super::{Destination, Mapping, Rules, SourceName, TargetName, TargetSpace};

/// Finds a destination for each mailbox. The same input gives the same answer; once the mailboxes
/// it named are listed, it gives them the same names again, even with nothing recorded. Only where
/// mailboxes with a special use clash may the record be needed.
#[must_use]
pub fn map_names(sources: &[SourceName], space: &TargetSpace, rules: &Rules) -> Mapping {
    let own = sources.iter().map(|source| rules.below(&source.name));
    let mut assign = Assign {
        sources,
        rules,
        books: Books::new(space, own),
        found: vec![None; sources.len()],
        recorded: HashSet::new(),
        archive: None,
    };
    assign.by_user_or_not_at_all();
    assign.as_recorded();
    if rules.into.is_none() {
        assign.inbox();
        for special_use in uses() {
            assign.by_use(special_use);
        }
        assign.gmail_to_gmail();
    }
    assign.as_listed();
    assign.by_name();
    assign.finish()
}

/// The state of [`map_names`]: each step decides about some of the sources that are open still.
pub(super) struct Assign<'a> {
    pub(super) sources: &'a [SourceName],
    pub(super) rules: &'a Rules,
    pub(super) books: Books<'a>,
    pub(super) found: Vec<Option<Destination>>,
    /// Sources that are where an earlier run put them.
    pub(super) recorded: HashSet<usize>,
    /// The source that goes to the archive mailbox.
    pub(super) archive: Option<usize>,
}

impl<'a> Assign<'a> {
    fn by_user_or_not_at_all(&mut self) {
        for (at, source) in self.sources.iter().enumerate() {
            let attribute = source.special_use.as_deref();
            if let Some(name) = self.rules.mapped(&source.name) {
                let mut destination = self.books.as_user_wants(&self.rules.below(&name));
                let wanted = by_attribute(attribute).filter(|_| self.rules.into.is_none());
                if let Some(wanted) = wanted {
                    if self.books.with_use(wanted).is_empty() {
                        self.books.ask(&mut destination, wanted);
                    }
                    self.note_archive(wanted, at);
                }
                self.put(at, destination);
            } else if !self.rules.virtual_too
                && let Some(used) = virtual_use(&source.name, attribute)
            {
                let leftovers = used == "\\All" || self.rules.views_alone;
                self.put(at, Destination::Virtual { leftovers });
            }
        }
    }

    fn as_recorded(&mut self) {
        // What an earlier run put elsewhere, with another --into, is not where it belongs now.
        let root = self.rules.into.as_ref().and_then(|_| {
            let mut one = self.books.spell(&self.rules.below("x"))?.name;
            one.pop();
            Some(one)
        });
        for (at, source) in self.open() {
            let is_it = |target: &&TargetName| {
                target.selectable
                    && source.recorded.as_deref() == Some(&*target.wire)
                    && root
                        .as_ref()
                        .is_none_or(|root| target.name.starts_with(root))
            };
            if let Some(target) = self.books.all().iter().find(is_it) {
                if self.books.claim(&target.wire, &target.name) {
                    self.recorded.insert(at);
                    self.put(at, self.books.existing(target));
                }
            } else if let Some(wire) = source.recorded.as_deref()
                && root.is_none()
                && let Some(destination) = self.books.unlisted(wire)
            {
                self.recorded.insert(at);
                self.put(at, destination);
            }
        }
    }

    fn inbox(&mut self) {
        for (at, source) in self.open() {
            if source.name.eq_ignore_ascii_case("INBOX")
                && let Some(inbox) = self.books.spell("INBOX")
                && self.books.claim(&inbox.wire, &inbox.name)
            {
                self.put(at, self.books.destination(&inbox, None));
            }
        }
    }

    /// What is on the target under its own name goes there, before anybody else may.
    fn as_listed(&mut self) {
        for (at, source) in self.open() {
            let name = self.rules.below(&source.name);
            if let Some(destination) = self.books.own_name(&name) {
                self.put(at, destination);
            }
        }
    }

    /// A name of one's own goes before one that another's clash makes.
    fn by_name(&mut self) {
        for (at, source) in self.open() {
            let name = self.rules.below(&source.name);
            if let Some(destination) = self.books.numbered(&name, 1) {
                self.put(at, destination);
            }
        }
        for (at, source) in self.open() {
            let destination = self.books.by_rule(&self.rules.below(&source.name));
            self.put(at, destination);
        }
    }

    fn finish(mut self) -> Mapping {
        let all = Some(Destination::Virtual { leftovers: true });
        let leftovers = self.found.contains(&all).then(|| self.leftovers());
        let ids = self.sources.iter().map(|source| source.id);
        Mapping {
            // Each has one by now.
            mailboxes: ids.zip(self.found.into_iter().flatten()).collect(),
            leftovers,
        }
    }

    /// The sources nothing is decided about yet.
    pub(super) fn open(&self) -> Vec<(usize, &'a SourceName)> {
        let all = self.sources.iter().enumerate().zip(&self.found);
        let open = all.filter(|(_, found)| found.is_none());
        open.map(|(source, _)| source).collect()
    }

    pub(super) fn put(&mut self, at: usize, destination: Destination) {
        if let Some(slot) = self.found.get_mut(at) {
            *slot = Some(destination);
        }
    }

    pub(super) fn note_archive(&mut self, special_use: &str, at: usize) {
        if special_use == "\\Archive" {
            self.archive.get_or_insert(at);
        }
    }
}

impl Rules {
    fn mapped(&self, name: &str) -> Option<String> {
        let mut map = self.map.iter();
        if let Some((_, new)) = map.find(|(old, _)| is_same(old, name)) {
            return Some(new.clone());
        }
        let mut regexes = self.map_regex.iter();
        let (regex, new) = regexes.find(|(regex, _)| regex.is_match(name))?;
        Some(regex.replace_all(name, new).into_owned())
    }

    /// A name with what `--into` puts before it.
    pub(super) fn below(&self, name: &str) -> String {
        match self.into.as_deref().map(|into| into.trim_matches('/')) {
            Some(into) if !into.is_empty() && !name.is_empty() => format!("{into}/{name}"),
            _ => name.to_owned(),
        }
    }
}
