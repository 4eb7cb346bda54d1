//! Planning a mailbox of which only the changes were looked at. Pure.

use std::collections::HashMap;

use super::base::Base;
use super::plan::{Facts, Plan, plan};
use crate::model::{FlagSetId, UidSet};

/// What was found out about the part that is known.
pub(super) struct Known<'a> {
    pub(super) base: &'a Base,
    /// Messages of it that are gone.
    pub(super) vanished: UidSet,
    /// Messages of it whose flags changed, by their new flags.
    pub(super) flags: HashMap<FlagSetId, UidSet>,
}

/// Makes the plan: of the listing, which has what came later and what was wanted, and of what is
/// known of the rest. `facts.exists` counts all messages. `None` where it does not add up, so
/// that somebody is mistaken and the mailbox has to be listed.
#[must_use]
pub(super) fn plan_changes(facts: &Facts<'_>, known: Known<'_>) -> Option<Plan> {
    let Known {
        base,
        vanished,
        flags,
    } = known;
    let held = u32::try_from(base.known.checked_sub(vanished.len())?).ok()?;
    let exists = facts.exists.checked_sub(held)?.checked_sub(base.excluded)?;
    let listed = facts.listing.messages.len();
    if usize::try_from(exists).ok()? != listed {
        return None;
    }
    let mut plan = plan(&Facts { exists, ..*facts });
    if plan.unlisted > 0 || plan.left > 0 {
        return None;
    }
    plan.held += held;
    plan.excluded += base.excluded;
    plan.gone = plan.gone.union(&vanished);
    for (set, uids) in flags {
        match plan.flags.iter_mut().find(|(other, _)| *other == set) {
            Some((_, of_listing)) => *of_listing = of_listing.union(&uids),
            None => plan.flags.push((set, uids)),
        }
    }
    plan.flags.sort_by_key(|(flags, _)| *flags);
    Some(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FlagTable, Flags, Held, InternalDate, Listed, Listing, Selection};
    use proptest::prelude::*;

    fn listed(uid: u32) -> Listed {
        Listed::new(uid, 10, FlagSetId::UNKNOWN, Some(InternalDate::utc(5)))
    }

    fn facts<'a>(
        exists: u32,
        listing: &'a Listing,
        held: &'a [Held],
        rest: &'a (UidSet, Selection, HashMap<FlagSetId, Option<i64>>),
    ) -> Facts<'a> {
        Facts {
            exists,
            may_reuse: false,
            uidnext: Some(1000),
            listing,
            held,
            again: &rest.0,
            accepted: &rest.0,
            skipped: &rest.0,
            unreadable: 0,
            written_off: &rest.0,
            accepted_nameless: 0,
            flag_numbers: &rest.2,
            selection: &rest.1,
        }
    }

    proptest! {
        /// Whatever happened to a mailbox, looking at the changes says what looking at all of it
        /// says.
        #[test]
        fn it_says_what_a_whole_listing_says(
            before in proptest::collection::btree_set(1u32..40, 0..30),
            stays in proptest::collection::btree_set(1u32..40, 0..30),
            new in proptest::collection::btree_set(40u32..60, 0..10),
            unfetched in proptest::collection::btree_set(1u32..40, 0..5),
            restless in proptest::collection::btree_set(1u32..60, 0..10),
        ) {
            let mut flags = FlagTable::default();
            let seen = flags.intern(Flags::from_wire(["\\Seen"]));
            let none = flags.intern(Flags::default());
            let numbers = HashMap::from([(none, Some(1)), (seen, None)]);
            let rest = (UidSet::new(), Selection::default(), numbers);
            let now: std::collections::BTreeSet<u32> =
                before.intersection(&stays).copied().chain(new.iter().copied()).collect();
            let message = |uid: u32| {
                let set = if restless.contains(&uid) { seen } else { none };
                Listed::new(uid, 10, set, Some(InternalDate::utc(5)))
            };
            let held = |uid: &u32| Held {
                uid: *uid, flags: 1, size: 10, date: Some(5), gone: false, damaged: false,
            };
            let of = |uids: &dyn Fn(&u32) -> bool| Listing {
                messages: now.iter().filter(|u| uids(u)).map(|u| message(*u)).collect(),
                flags: flags.clone(),
                expunged: 0,
            };
            let exists = u32::try_from(now.len()).unwrap();
            let rows: Vec<Held> =
                before.iter().filter(|u| !unfetched.contains(u)).map(held).collect();
            let whole = of(&|_| true);
            let want = plan(&facts(exists, &whole, &rows, &rest));

            let wanted: UidSet = before.intersection(&unfetched).copied().collect();
            let base = Base {
                uidvalidity: 7, uidnext: 40, wanted: wanted.clone(),
                known: rows.len() as u64, ..Base::default()
            };
            let part = of(&|u| *u >= 40 || wanted.contains(*u));
            let mut changed: HashMap<FlagSetId, UidSet> = HashMap::new();
            for uid in restless.iter().filter(|u| rows.iter().any(|r| r.uid == **u)) {
                if now.contains(uid) {
                    changed.entry(seen).or_default().push(*uid);
                }
            }
            let vanished: UidSet =
                rows.iter().map(|r| r.uid).filter(|u| !now.contains(u)).collect();
            let known = Known { base: &base, vanished, flags: changed };
            let got = plan_changes(&facts(exists, &part, &[], &rest), known).unwrap();
            prop_assert_eq!(got.fetch, want.fetch);
            prop_assert_eq!((got.held, got.excluded, got.unlisted), (want.held, want.excluded, 0));
            prop_assert_eq!(got.gone, want.gone);
            prop_assert_eq!(got.flags, want.flags);
        }
    }

    #[test]
    fn what_does_not_add_up_is_not_believed() {
        let rest = (UidSet::new(), Selection::default(), HashMap::new());
        let listing = Listing {
            messages: vec![listed(10)],
            ..Listing::default()
        };
        let base = Base {
            uidnext: 10,
            known: 4,
            excluded: 2,
            ..Base::default()
        };
        let with = |exists, vanished: &[u32]| {
            let known = Known {
                base: &base,
                vanished: vanished.iter().copied().collect(),
                flags: HashMap::new(),
            };
            plan_changes(&facts(exists, &listing, &[], &rest), known)
        };
        assert!(with(7, &[]).is_some());
        assert!(with(6, &[3]).is_some());
        for wrong in [0, 1, 5, 6, 8] {
            assert!(with(wrong, &[]).is_none(), "{wrong}");
        }
        assert!(with(7, &[1, 2, 3, 4, 5]).is_none());
    }
}
