//! Looking on the target for messages the ledger knows nothing of: header fields first, bodies
//! where those leave it open.

mod alike;
mod copies;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io::Write as _;

use self::alike::{Look, sort_out};
pub(super) use self::copies::repaired_copies;
use super::ReplayError;
use super::ladder::{
    Group, Identity, Ours, Print, Printer, Theirs, by_prints, identity, is_near, print_of,
    recognise,
};
use super::wanted::{Item, Shared};
use crate::contact::{Dialled, Line, Opened, Trouble};
use crate::header::shorter;
use crate::imap::{BodyEvent, Examined, ImapError};
use crate::model::{ContentId, FlagSetId, Listed, Listing, StoredContent, UidSet};
use crate::spool::{Body, SpoolOptions};
use crate::store::HeldMail;

/// UIDs of one question; a lost connection asks it once more.
const HEADERS: usize = 2_000;
const BODIES: usize = 50;

/// What was recognised.
#[derive(Debug, Default)]
pub(super) struct Recognised {
    /// Items, and the UIDs that are them.
    pub(super) found: Vec<(usize, u32)>,
    /// Items that a message may be which the target would not send.
    pub(super) unsure: Vec<usize>,
    /// What the target has in that mailbox and does not show, in words.
    pub(super) unseen: Option<String>,
}

/// A mailbox with all that is known to be in it.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) examined: Examined,
    /// Messages that cannot be listed are in it, and nothing but their UID is known.
    pub(super) listing: Listing,
    /// Messages that were counted and not listed.
    pub(super) hidden: u64,
}

impl From<Opened> for Whole {
    fn from(opened: Opened) -> Self {
        let Opened {
            examined,
            mut listing,
            unreadable,
        } = opened;
        let unknown = |(uid, _)| Listed::new(uid, 0, FlagSetId::UNKNOWN, None);
        listing.messages.extend(unreadable.into_iter().map(unknown));
        listing.messages.sort_by_key(|message| message.uid);
        listing.messages.dedup_by_key(|message| message.uid);
        Self {
            hidden: hidden(&examined, &listing),
            examined,
            listing,
        }
    }
}

/// Messages that were counted and not listed.
pub(super) fn hidden(examined: &Examined, listing: &Listing) -> u64 {
    // What came after EXAMINE is listed and not counted; what left is counted and not listed.
    let shown = listing.messages.len() as u64 + u64::from(listing.expunged);
    u64::from(examined.exists).saturating_sub(shown)
}

/// What ends the search.
#[derive(Debug)]
pub(super) enum Failed {
    /// The target.
    Target(Trouble),
    /// This machine.
    Here(ReplayError),
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Target(trouble)
    }
}

/// Where and how is looked.
pub(super) struct Search<'a> {
    pub(super) wire: &'a str,
    pub(super) listing: &'a Listing,
    /// UIDs that are something else already.
    pub(super) claimed: &'a UidSet,
    pub(super) items: &'a [Item],
    pub(super) shared: &'a Shared,
    /// The items to look for. Where several could be one message, the first is.
    pub(super) wanted: &'a [usize],
    /// So many of those, from the first, are on the target for certain: the server said so, and
    /// did not say where.
    pub(super) certain: usize,
    /// Messages of the mailbox that are not in the listing, and may be any.
    pub(super) hidden: u64,
}

/// What the target says of the messages that stand for nothing yet.
#[derive(Default)]
struct Answers {
    theirs: Vec<Theirs>,
    /// Sizes of those it sends no header of; 0 where it does not even say the size.
    silent: Vec<u64>,
}

impl Search<'_> {
    /// Looks for the items.
    pub(super) async fn run<S: Dialled>(
        &self,
        line: &mut Line<'_, S>,
        mail: HeldMail,
    ) -> Result<Recognised, Failed> {
        let uids: Vec<u32> = self
            .listing
            .messages
            .iter()
            .map(|m| m.uid)
            .filter(|uid| !self.claimed.contains(*uid))
            .collect();
        if self.wanted.is_empty() || uids.is_empty() && self.hidden == 0 {
            return Ok(Recognised::default());
        }
        let Answers { theirs, silent } = self.theirs(line, &uids).await?;
        let (ours, mail) = self.ours(&theirs, mail).await?;
        let verdict = recognise(&ours, &theirs);
        let mut recognised = Recognised {
            found: verdict.sure,
            ..Recognised::default()
        };
        self.compare(line, mail, verdict.look, &mut recognised)
            .await?;
        self.sort_copies_out(&mut recognised.found);
        self.doubt(&silent, &mut recognised);
        // From here on not by their place among the wanted.
        let item = |at: usize| self.wanted.get(at).copied();
        Ok(Recognised {
            found: (recognised.found.into_iter())
                .filter_map(|(at, uid)| Some((item(at)?, uid)))
                .collect(),
            unsure: recognised.unsure.into_iter().filter_map(item).collect(),
            unseen: self.unseen(silent.len() as u64),
        })
    }

    /// What the target does not show may be any item of its size that was not found.
    fn doubt(&self, silent: &[u64], recognised: &mut Recognised) {
        let may_be_any = self.hidden > 0 || silent.contains(&0);
        if silent.is_empty() && !may_be_any {
            return;
        }
        let found: HashSet<usize> = recognised.found.iter().map(|(at, _)| *at).collect();
        let unsure: HashSet<usize> = recognised.unsure.iter().copied().collect();
        let open = (0..self.wanted.len()).filter(|at| !found.contains(at) && !unsure.contains(at));
        let sizes: BTreeSet<u64> = silent.iter().copied().collect();
        let may_be = |at: &usize| {
            let len = self.item(*at).map_or(0, |item| item.len);
            let below = sizes.range(..=len).next_back();
            let above = sizes.range(len..).next();
            may_be_any
                || below
                    .into_iter()
                    .chain(above)
                    .any(|size| is_near(len, *size))
        };
        recognised.unsure.extend(open.filter(may_be));
    }

    fn unseen(&self, silent: u64) -> Option<String> {
        let mut what = Vec::new();
        if self.hidden > 0 {
            let n = self.hidden;
            what.push(format!(
                "the target counts {n} of its messages and does not list them"
            ));
        }
        if silent > 0 {
            what.push(format!(
                "the target sends no header of {silent} of its messages"
            ));
        }
        (!what.is_empty()).then(|| {
            let what = what.join("; ");
            format!("{what}: what may be one of them is not sent without --resend-doubtful")
        })
    }

    /// An item, by its place among the wanted.
    fn item(&self, at: usize) -> Option<&Item> {
        self.items.get(*self.wanted.get(at)?)
    }

    /// Copies of one content have the same bytes, and dates and flags of their own.
    fn sort_copies_out(&self, found: &mut Vec<(usize, u32)>) {
        let mut copies: HashMap<ContentId, Vec<usize>> = HashMap::new();
        for at in 0..self.wanted.len() {
            if let Some(item) = self.item(at) {
                copies.entry(item.content).or_default().push(at);
            }
        }
        copies.retain(|_, places| places.len() > 1);
        let listed: HashMap<u32, &Listed> =
            self.listing.messages.iter().map(|m| (m.uid, m)).collect();
        let mut uids: HashMap<ContentId, Vec<(u32, Look)>> = HashMap::new();
        found.retain(|(at, uid)| {
            let content = self.item(*at).map(|item| item.content);
            let Some(content) = content.filter(|c| copies.contains_key(c)) else {
                return true;
            };
            let shown = listed.get(uid);
            let flags = shown.and_then(|m| self.listing.flags.get(m.flags));
            let look = Look {
                date: shown.and_then(|m| m.date()),
                flags: flags.cloned().unwrap_or_default(),
            };
            uids.entry(content).or_default().push((*uid, look));
            false
        });
        for (content, uids) in uids {
            let places = copies.remove(&content).unwrap_or_default();
            let look = |at: &usize| {
                let item = self.item(*at)?;
                Some(Look {
                    date: item.date,
                    flags: self.shared.flags(item),
                })
            };
            let looks: Vec<Look> = places
                .iter()
                .map(|at| look(at).unwrap_or_default())
                .collect();
            let certain = places.iter().filter(|at| **at < self.certain).count();
            let pairs = sort_out(&looks, certain, &uids).into_iter();
            found.extend(pairs.filter_map(|(n, uid)| Some((*places.get(n)?, uid))));
        }
    }

    async fn theirs<S: Dialled>(
        &self,
        line: &mut Line<'_, S>,
        uids: &[u32],
    ) -> Result<Answers, Trouble> {
        let heads: HashSet<u128> = (0..self.wanted.len())
            .filter_map(|at| self.item(at)?.head)
            .collect();
        let mut found: HashMap<u32, (Option<Identity>, Vec<u128>)> = HashMap::new();
        let mut refused = None;
        let mut queue: VecDeque<Vec<u32>> = uids.chunks(HEADERS).map(<[u32]>::to_vec).collect();
        while let Some(uids) = queue.pop_front() {
            let set: UidSet = uids.iter().copied().collect();
            let part = RefCell::new(HashMap::new());
            let asked = line
                .run(async |session: &mut S| {
                    part.borrow_mut().clear();
                    session.looking().examine(self.wire).await?;
                    let each = |uid, header: &[u8]| {
                        let mut lacking = shorter(header);
                        lacking.retain(|fields| heads.contains(fields));
                        let said = (identity(header), lacking);
                        part.borrow_mut().insert(uid, said);
                    };
                    session.looking().identity_fields(&set, each).await
                })
                .await;
            match asked {
                Ok(()) => {}
                // One of them may be to blame for all.
                Err(trouble) if is_answer(&trouble) => {
                    if uids.len() > 1 {
                        let (one, other) = uids.split_at(uids.len() / 2);
                        queue.extend([one.to_vec(), other.to_vec()]);
                    }
                    refused = Some(trouble);
                }
                Err(trouble) => return Err(trouble),
            }
            found.extend(part.into_inner());
        }
        if let Some(trouble) = refused.filter(|_| found.is_empty()) {
            return Err(trouble);
        }
        let mut answers = Answers::default();
        let theirs = self.listing.messages.iter();
        for listed in theirs.filter(|m| !self.claimed.contains(m.uid)) {
            let size = listed.size.into();
            match found.remove(&listed.uid) {
                Some((identity, lacking)) => answers.theirs.push(Theirs {
                    uid: listed.uid,
                    size,
                    identity,
                    lacking,
                }),
                None => answers.silent.push(size),
            }
        }
        Ok(answers)
    }

    /// The items that may be among theirs, by their place among the wanted, with what their
    /// headers say.
    async fn ours(
        &self,
        theirs: &[Theirs],
        mail: HeldMail,
    ) -> Result<(Vec<Ours>, HeldMail), Failed> {
        let own = theirs
            .iter()
            .filter_map(|t| Some(t.identity.as_ref()?.fields));
        let lacking = theirs.iter().flat_map(|t| t.lacking.iter().copied());
        let fields: HashSet<u128> = own.chain(lacking).collect();
        let nominated = (0..self.wanted.len()).filter(|at| {
            self.item(*at).is_some_and(|item| match item.head {
                Some(head) => fields.contains(&head),
                None => true,
            })
        });
        let mut nominated: Vec<(usize, StoredContent)> = nominated
            .filter_map(|at| Some((at, self.shared.stored(self.item(at)?))))
            .collect();
        nominated.sort_by(|(_, a), (_, b)| place(a).cmp(&place(b)));
        let read = tokio::task::spawn_blocking(move || {
            let mut mail = mail;
            let ours: Vec<Ours> = nominated
                .iter()
                // What cannot be read is looked for no further: it cannot be sent either.
                .filter_map(|(n, stored)| {
                    Some(Ours {
                        item: *n,
                        content: stored.id,
                        len: stored.len,
                        identity: identity(&mail.read_header(stored).ok()?),
                    })
                })
                .collect();
            (ours, mail)
        });
        read.await.map_err(died)
    }

    /// Compares whole messages where headers leave it open.
    pub(super) async fn compare<S: Dialled>(
        &self,
        line: &mut Line<'_, S>,
        mail: HeldMail,
        groups: Vec<Group>,
        recognised: &mut Recognised,
    ) -> Result<(), Failed> {
        if groups.is_empty() {
            return Ok(());
        }
        let uids: UidSet = groups
            .iter()
            .flat_map(|g| g.theirs.iter().copied())
            .collect();
        let theirs = self.their_prints(line, &uids).await?;
        let mut items: Vec<(usize, StoredContent)> = groups
            .iter()
            .flat_map(|g| g.ours.iter().copied())
            .filter_map(|at| Some((at, self.shared.stored(self.item(at)?))))
            .collect();
        items.sort_by(|(_, a), (_, b)| place(a).cmp(&place(b)));
        items.dedup_by_key(|(n, _)| *n);
        let read = tokio::task::spawn_blocking(move || {
            let mut mail = mail;
            let mut prints: Vec<(usize, Print)> = Vec::new();
            for (n, stored) in &items {
                let some = prints_of_ours(stored, &mut mail).unwrap_or_default();
                prints.extend(some.into_iter().map(|print| (*n, print)));
            }
            prints
        });
        let ours = read.await.map_err(died)?;
        let unseen: HashSet<u32> = uids
            .iter()
            .filter(|uid| !theirs.iter().any(|(u, _)| u == uid))
            .collect();
        for group in &groups {
            let pairs = by_prints(group, &ours, &theirs);
            if group.theirs.iter().any(|uid| unseen.contains(uid)) {
                let open = group.ours.iter().copied();
                let open = open.filter(|n| !pairs.iter().any(|(item, _)| item == n));
                recognised.unsure.extend(open);
            }
            recognised.found.extend(pairs);
        }
        Ok(())
    }

    async fn their_prints<S: Dialled>(
        &self,
        line: &mut Line<'_, S>,
        uids: &UidSet,
    ) -> Result<Vec<(u32, Print)>, Trouble> {
        let all: Vec<u32> = uids.iter().collect();
        let mut prints = Vec::new();
        for part in all.chunks(BODIES) {
            let set: UidSet = part.iter().copied().collect();
            let came = RefCell::new(HashMap::new());
            let asked = line
                .run(async |session: &mut S| {
                    let session = session.looking();
                    session.examine(self.wire).await?;
                    session.send_body_fetch(&set).await?;
                    while let Some(event) = session.next_body().await? {
                        if let BodyEvent::Message {
                            uid,
                            body: Some(body),
                        } = event
                            && let Some(print) = print_of_body(&body)
                        {
                            came.borrow_mut().insert(uid, print);
                        }
                    }
                    Ok(())
                })
                .await;
            match asked {
                // What did not come is not known; the caller sees that.
                Ok(()) | Err(Trouble::Answer(_)) => {}
                Err(trouble) => return Err(trouble),
            }
            let came = came.into_inner();
            prints.extend(came.into_iter().filter(|(uid, _)| set.contains(*uid)));
        }
        Ok(prints)
    }
}

/// What is archived, and what a replay with repairs may have sent of it.
fn prints_of_ours(stored: &StoredContent, mail: &mut HeldMail) -> Option<Vec<Print>> {
    if stored.len > SpoolOptions::THRESHOLD {
        // Such a copy is sent as it is.
        let mut printer = Printer::default();
        mail.read(stored, &mut printer).ok()?;
        return Some(vec![printer.finish()]);
    }
    let bytes = mail.read_to_vec(stored).ok()?;
    let repaired = repaired_copies(&bytes);
    let copies = repaired.iter().map(|copy| print_of(copy));
    Some(std::iter::once(print_of(&bytes)).chain(copies).collect())
}

fn print_of_body(body: &Body) -> Option<Print> {
    let mut printer = Printer::default();
    match body {
        Body::Memory(bytes) => printer.write_all(bytes).ok()?,
        Body::Spooled(spooled) => {
            let mut file = crate::durable::open_read(spooled.path()).ok()?;
            std::io::copy(&mut file, &mut printer).ok()?;
        }
    }
    Some(printer.finish())
}

pub(super) fn place(stored: &StoredContent) -> (&str, u64, u64) {
    (&stored.at.segment, stored.at.frame, stored.at.pos)
}

pub(super) fn died(error: tokio::task::JoinError) -> Failed {
    Failed::Here(ReplayError::Thread(std::io::Error::other(error)))
}

/// Whether the error is an answer about one mailbox, after which the others can be worked on.
pub(super) const fn is_answer(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Answer(error) if !matches!(error, ImapError::Spool(_)))
}
