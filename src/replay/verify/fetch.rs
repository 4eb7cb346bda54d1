//! Asking the target: header fields of many messages, and whole messages.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};

use super::compare::of;
use super::likeness::Looks;
use crate::contact::{Line, Trouble, describe};
use crate::header::{HEADER_MAX, header_of, identity};
use crate::imap::{BodyEvent, ImapError, Session};
use crate::model::UidSet;
use crate::replay::ladder::Printer;
use crate::spool::Body;

/// UIDs of one question; a lost connection asks it once more.
pub(super) const HEADERS: usize = 2_000;
pub(super) const BODIES: usize = 50;

/// A mailbox that was listed.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) wire: String,
    pub(super) uidvalidity: u32,
}

/// What came of asking for a message.
#[derive(Debug)]
pub(super) enum Sent {
    /// It came.
    Came(Looks),
    /// It has left the mailbox meanwhile.
    Gone,
    /// It did not come, and why.
    Not(String),
}

const OTHER_EPOCH: &str = "UIDVALIDITY changed while it was compared";

impl Asked {
    /// Digests of Message-ID, Date, From and Subject by UID. A message that has none of them has
    /// none; one whose header the target did not send is left out. At most [`HEADERS`] at a time.
    pub(super) async fn headers(
        &self,
        line: &mut Line<'_, Session>,
        uids: Vec<u32>,
    ) -> Result<HashMap<u32, Option<u128>>, Trouble> {
        let mut found = HashMap::new();
        let mut queue = VecDeque::from([uids]);
        while let Some(part) = queue.pop_front() {
            let set = of(part.clone());
            let came = RefCell::new(HashMap::new());
            let asked = line
                .run(async |session: &mut Session| {
                    came.borrow_mut().clear();
                    if !self.is_open(session).await? {
                        return Ok(());
                    }
                    let each = |uid, header: &[u8]| {
                        let digest = identity(header).map(|identity| identity.fields);
                        came.borrow_mut().insert(uid, digest);
                    };
                    session.identity_fields(&set, each).await
                })
                .await;
            match asked {
                Ok(()) => {}
                Err(Trouble::Answer(ImapError::Spool(error))) => {
                    return Err(Trouble::Answer(ImapError::Spool(error)));
                }
                // One of them may be to blame for all.
                Err(Trouble::Answer(_)) if part.len() > 1 => {
                    let (one, other) = part.split_at(part.len() / 2);
                    queue.extend([one.to_vec(), other.to_vec()]);
                    continue;
                }
                Err(Trouble::Answer(_)) => {}
                Err(trouble) => return Err(trouble),
            }
            found.extend(came.into_inner());
        }
        Ok(found)
    }

    /// Whole messages by UID, each of those asked for; at most [`BODIES`] at a time.
    pub(super) async fn bodies(
        &self,
        line: &mut Line<'_, Session>,
        uids: &[u32],
    ) -> Result<HashMap<u32, Sent>, Trouble> {
        let mut sent = HashMap::new();
        let mut queue = VecDeque::from([of(uids.to_vec())]);
        while let Some(set) = queue.pop_front() {
            let alone = set.len() == 1;
            let came = RefCell::new((set, &mut sent));
            let asked = line.run(async |session| self.ask(session, &came).await);
            let reason = match asked.await {
                Ok(reason) => reason,
                Err(Trouble::Answer(error @ ImapError::Spool(_))) => {
                    return Err(Trouble::Answer(error));
                }
                Err(Trouble::Answer(error)) => describe(&error),
                Err(trouble) => return Err(trouble),
            };
            let (left, _) = came.into_inner();
            if !alone {
                queue.extend(left.iter().map(|uid| UidSet::from_iter([uid])));
            } else if let Some(uid) = left.iter().next() {
                let one = match self.is_listed(line, uid).await? {
                    true => Sent::Not(reason),
                    false => Sent::Gone,
                };
                sent.insert(uid, one);
            }
        }
        Ok(sent)
    }

    /// Asks for what has not come yet; why the rest did not. The mailbox is opened each time: the
    /// session may be a new one.
    async fn ask(
        &self,
        session: &mut Session,
        came: &RefCell<(UidSet, &mut HashMap<u32, Sent>)>,
    ) -> Result<String, ImapError> {
        if !self.is_open(session).await? {
            return Ok(OTHER_EPOCH.to_owned());
        }
        let wanted = came.borrow().0.clone();
        if wanted.is_empty() {
            return Ok(String::new());
        }
        session.send_body_fetch(&wanted).await?;
        let mut reason = String::new();
        while let Some(event) = session.next_body().await? {
            match event {
                // Servers answer twice, or for messages nobody asked for. Nothing is no message.
                BodyEvent::Message {
                    uid,
                    body: Some(body),
                } if !body.is_empty() => {
                    let mut came = came.borrow_mut();
                    if came.0.contains(uid) {
                        came.0.remove(uid);
                        let looks = looks_of(&body);
                        let one = looks.map_or_else(|e| Sent::Not(e.to_string()), Sent::Came);
                        came.1.insert(uid, one);
                    }
                }
                BodyEvent::Message { .. } | BodyEvent::Expunged => {}
                BodyEvent::BatchDone { status } => {
                    if status.is_throttle() && !came.borrow().0.is_empty() {
                        // It may be sent later, and will not be by asking on.
                        let words = status.words;
                        return Err(ImapError::Capacity { words });
                    }
                    reason = match (status.is_ok(), status.words.trim()) {
                        (true, _) => "the target did not send it".to_owned(),
                        (false, "") => "the target refused it without a word".to_owned(),
                        (false, words) => words.to_owned(),
                    };
                }
            }
        }
        Ok(reason)
    }

    async fn is_open(&self, session: &mut Session) -> Result<bool, ImapError> {
        let examined = session.examine(&self.wire).await?;
        Ok(examined.uidvalidity.unwrap_or(0) == self.uidvalidity)
    }

    /// Whether the target lists a message still. Where nobody can say, it is not taken as gone.
    async fn is_listed(&self, line: &mut Line<'_, Session>, uid: u32) -> Result<bool, Trouble> {
        let asked = line
            .run(async |session: &mut Session| {
                let examined = session.examine(&self.wire).await?;
                if examined.uidvalidity.unwrap_or(0) != self.uidvalidity {
                    return Ok(true);
                }
                if examined.exists == 0 {
                    return Ok(false);
                }
                let listing = session.list_messages(&uid.to_string()).await?;
                Ok(listing.messages.iter().any(|m| m.uid == uid))
            })
            .await;
        match asked {
            Err(Trouble::Answer(ImapError::MailboxGone { .. })) => Ok(false),
            Err(Trouble::Answer(_)) => Ok(true),
            other => other,
        }
    }
}

/// Reads a message that came. A large one passes through without being held.
fn looks_of(body: &Body) -> std::io::Result<Looks> {
    let mut printer = Printer::default();
    let mut start = Vec::new();
    match body {
        Body::Memory(bytes) => {
            printer.write_all(bytes)?;
            start.extend_from_slice(header_of(bytes));
        }
        Body::Spooled(spooled) => {
            let file = crate::durable::open_read(spooled.path())?;
            (&file).take(HEADER_MAX as u64).read_to_end(&mut start)?;
            printer.write_all(&start)?;
            std::io::copy(&mut &file, &mut printer)?;
            let len = header_of(&start).len();
            start.truncate(len);
        }
    }
    Ok(Looks {
        print: printer.finish(),
        header: start,
    })
}
