//! Which mailboxes of the archive are replayed, and where each goes.

use std::collections::{HashMap, HashSet};

use super::Replay;
use crate::catalog::Within;
use crate::contact::{Line, Trouble};
use crate::imap::TargetSession;
use crate::model::{Listing, Mailbox, MailboxId};
use crate::replay::ReplayError;
use crate::replay::names::{self, Mapping, Rules, SourceName, TargetSpace, map_names};
use crate::replay::report::{LeftOut, LeftOutKind, MailboxRow};
use crate::replay::survey::{Destination, Place, Taken, space};
use crate::replay::wanted::chosen;

impl Replay<'_> {
    /// Chooses the mailboxes of the archive, and where each goes.
    pub(in crate::replay) async fn name_places(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), ReplayError> {
        let failed = |trouble: Trouble| ReplayError::List(trouble.into_error().into());
        let chosen = self.chosen()?;
        let space = space(line).await.map_err(failed)?;
        let aside = |use_: Option<&str>| matches!(use_, Some("\\Trash" | "\\Junk"));
        let aside = space
            .mailboxes
            .iter()
            .filter(|m| aside(m.special_use.as_deref()));
        self.gmail.aside = aside.map(|m| m.wire.clone()).collect();
        let sources: Vec<SourceName> = {
            let ledger = self.ledger.state();
            let into = self.request.rules.into.is_some();
            let name = |(mailbox, _): &(Mailbox, u64)| SourceName {
                id: mailbox.id,
                name: mailbox.name.clone(),
                special_use: mailbox.special_use.clone(),
                // Below a prefix nothing is where an earlier run without it put it.
                recorded: (!into)
                    .then(|| {
                        ledger
                            .recorded_as(mailbox.id, &mailbox.wire)
                            .map(str::to_owned)
                    })
                    .flatten(),
            };
            chosen.iter().map(name).collect()
        };
        let subscriptions = chosen.iter().any(|(m, _)| m.subscribed);
        let Mapping {
            mailboxes,
            leftovers,
        } = map_names(&sources, &space, &self.rules()?);
        let mut virtuals = Vec::new();
        let mut refused = HashSet::new();
        let by_id: HashMap<MailboxId, (Mailbox, u64)> =
            chosen.into_iter().map(|(m, c)| (m.id, (m, c))).collect();
        for (id, destination) in mailboxes {
            let Some((mailbox, commit)) = by_id.get(&id).cloned() else {
                continue;
            };
            let subscribe = mailbox.subscribed || !subscriptions;
            match destination {
                names::Destination::Mailbox { .. } => {
                    let taken = Taken {
                        mailbox,
                        commit,
                        leftovers: false,
                    };
                    self.take(destination, &space, taken, subscribe);
                }
                names::Destination::Virtual { leftovers } => {
                    virtuals.push((mailbox, commit, leftovers));
                }
                names::Destination::Refused(reason) => {
                    refused.insert(id);
                    self.leave_out(&mailbox, commit, LeftOutKind::Refused, reason)?;
                }
            }
        }
        let shows_all = virtuals.iter().any(|(.., all)| *all);
        if shows_all && leftovers.is_some() {
            self.find_elsewhere(&space, &refused)?;
        }
        for (mailbox, commit, all) in virtuals {
            let shows = "it only shows what lies in other mailboxes";
            let reason = match &leftovers {
                Some(destination @ names::Destination::Mailbox { name, .. }) if all => {
                    let reason = format!(
                        "{shows}; messages that lie in no other one go to {name} (--virtual copies it whole)"
                    );
                    let taken = Taken {
                        mailbox: mailbox.clone(),
                        commit,
                        leftovers: true,
                    };
                    self.take(destination.clone(), &space, taken, true);
                    reason
                }
                _ => format!("{shows} (--virtual copies it all the same)"),
            };
            self.leave_out(&mailbox, commit, LeftOutKind::View, reason)?;
        }
        Ok(())
    }

    /// What the user wants, and whether views are all there is of some messages.
    fn rules(&self) -> Result<Rules, ReplayError> {
        let request = self.request;
        let all = self
            .reader
            .catalog()
            .mailboxes_as_of(request.account, request.as_of.as_ref())?;
        let shows_all = |(mailbox, _): &(Mailbox, u64)| {
            names::virtual_use(&mailbox.name, mailbox.special_use.as_deref()) == Some("\\All")
        };
        Ok(Rules {
            views_alone: !all.iter().any(shows_all),
            ..request.rules.clone()
        })
    }

    /// The mailboxes of the account that are to be replayed, each with its commit.
    fn chosen(&self) -> Result<Vec<(Mailbox, u64)>, ReplayError> {
        let request = self.request;
        chosen(
            self.reader.catalog(),
            request.account,
            request.as_of.as_ref(),
            &request.mailboxes,
            &request.exclude,
        )
    }

    /// The contents of all mailboxes that are no views of others, whether they are replayed or not:
    /// what was left out on purpose must not come in by a mailbox of all mail. What lies in a
    /// mailbox that cannot be named may.
    fn find_elsewhere(
        &mut self,
        space: &TargetSpace,
        refused: &HashSet<MailboxId>,
    ) -> Result<(), ReplayError> {
        let request = self.request;
        let catalog = self.reader.catalog();
        let all = catalog.mailboxes_as_of(request.account, request.as_of.as_ref())?;
        let name = |(mailbox, _): &(Mailbox, u64)| SourceName {
            id: mailbox.id,
            name: mailbox.name.clone(),
            special_use: mailbox.special_use.clone(),
            recorded: None,
        };
        let sources: Vec<SourceName> = all.iter().map(name).collect();
        let rules = Rules::default();
        let mapping = map_names(&sources, space, &rules);
        for (id, destination) in mapping.mailboxes {
            let Some((_, commit)) = all.iter().find(|(m, _)| m.id == id) else {
                continue;
            };
            let is_view = matches!(destination, names::Destination::Virtual { .. });
            if is_view || refused.contains(&id) {
                continue;
            }
            let (items, _) = self
                .shared
                .items(catalog, id, *commit, &Within::default())?;
            self.elsewhere
                .extend(items.into_iter().map(|item| item.content));
        }
        Ok(())
    }

    /// Adds a mailbox of the archive to the place it goes to.
    fn take(
        &mut self,
        destination: names::Destination,
        space: &TargetSpace,
        taken: Taken,
        subscribe: bool,
    ) {
        let names::Destination::Mailbox {
            wire,
            name,
            exists,
            special_use,
            notes,
        } = destination
        else {
            return;
        };
        let listed = space.mailboxes.iter().find(|m| m.wire == wire);
        let shown_as = listed.and_then(|m| m.special_use.clone());
        let place = match self.places.iter().position(|p| p.to.wire == wire) {
            Some(n) => self.places.get_mut(n),
            None => {
                let row = MailboxRow {
                    target: name,
                    ..MailboxRow::default()
                };
                self.places.push(Place {
                    to: Destination {
                        wire,
                        number: 0,
                        uidvalidity: 0,
                        uidnext: 0,
                    },
                    exists,
                    special_use,
                    shown_as,
                    subscribe,
                    sources: Vec::new(),
                    permanent: crate::imap::PermanentFlags::default(),
                    listing: Listing::default(),
                    hidden: 0,
                    row,
                });
                self.places.last_mut()
            }
        };
        if let Some(place) = place {
            place.row.sources.push(taken.mailbox.name.clone());
            place.row.notes.extend(notes);
            place.sources.push(taken);
        }
    }

    fn leave_out(
        &mut self,
        mailbox: &Mailbox,
        commit: u64,
        kind: LeftOutKind,
        reason: String,
    ) -> Result<(), ReplayError> {
        let totals = self.reader.catalog().totals_at(mailbox.id, commit)?;
        if kind == LeftOutKind::Refused && totals.present > 0 {
            self.report.warnings.push(format!(
                "{} cannot be named on the target, and its {} messages are not sent from there: {reason}; --map gives it another name",
                mailbox.name, totals.present
            ));
        }
        self.report.left_out.push(LeftOut {
            name: mailbox.name.clone(),
            messages: totals.present,
            kind,
            reason,
        });
        Ok(())
    }
}
