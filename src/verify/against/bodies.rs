//! Bodies over IMAP, for the messages that were chosen: one command at a time.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::imap::Target;
use super::proof::{Expected, Next, Proof};
use super::report::Sampled;
use super::{AgainstError, Interrupted, Progress};
use crate::catalog::Catalog;
use crate::contact::{Line, Trouble, describe};
use crate::imap::{BodyEvent, ImapError, Session};
use crate::model::UidSet;
use crate::spool::Body;

/// UIDs of one command, which is then below a thousand bytes (RFC 2683 §3.2.1.5).
const BATCH: usize = 80;

/// What is asked for at the moment. The closure that asks may be run anew on another session, so
/// what came stays here.
struct Asked<'a, 'p, 'q> {
    target: &'a Target,
    catalog: &'a Catalog,
    proof: &'a mut Proof<'p>,
    progress: &'a mut Progress<'q>,
    /// Not judged yet.
    wanted: UidSet,
    /// To be fetched once more.
    again: Vec<u32>,
    failed: Option<AgainstError>,
}

/// How a question ended.
enum Ended {
    /// The server has said all it says, and this is why it left something out.
    Said(String),
    /// The mailbox is not the one that was listed.
    OtherEpoch,
}

/// Fetches and judges these messages of one mailbox.
pub(super) async fn fetch(
    line: &mut Line<'_>,
    catalog: &Catalog,
    target: &Target,
    uids: &UidSet,
    proof: &mut Proof<'_>,
    progress: &mut Progress<'_>,
) -> Result<(), Interrupted> {
    let all: Vec<u32> = uids.iter().collect();
    let mut queue: VecDeque<UidSet> = all
        .chunks(BATCH)
        .map(|part| part.iter().copied().collect())
        .collect();
    while let Some(batch) = queue.pop_front() {
        let alone = batch.len() == 1;
        let asked = RefCell::new(Asked {
            target,
            catalog,
            proof: &mut *proof,
            progress: &mut *progress,
            wanted: batch,
            again: Vec::new(),
            failed: None,
        });
        let ended = line.run(async |session| ask(session, &asked).await).await;
        let Asked {
            wanted,
            again,
            failed,
            ..
        } = asked.into_inner();
        if let Some(error) = failed {
            return Err(error.into());
        }
        queue.extend(again.into_iter().map(|uid| UidSet::from_iter([uid])));
        let reason = match ended {
            Ok(Ended::Said(reason)) => reason,
            Ok(Ended::OtherEpoch) => {
                let reason = "UIDVALIDITY changed while it was compared";
                let rest = queue.drain(..).chain([wanted]);
                for uid in rest.flat_map(|set| set.iter().collect::<Vec<_>>()) {
                    proof.not_sent(target.message(uid), reason.to_owned());
                }
                return Ok(());
            }
            Err(Trouble::Answer(ImapError::Spool(error))) => return Err(error.into()),
            Err(Trouble::Answer(error)) => describe(&error),
            Err(Trouble::Server(error)) => return Err(Interrupted::Server(error.into())),
        };
        if !alone {
            // One of them may be to blame for all.
            queue.extend(wanted.iter().map(|uid| UidSet::from_iter([uid])));
        } else if let Some(uid) = wanted.iter().next() {
            if is_listed(line, target, uid).await? {
                proof.not_sent(target.message(uid), reason);
            } else {
                proof.report.left += 1;
            }
            progress.one_more();
        }
    }
    Ok(())
}

/// Asks for everything that is wanted still. The mailbox is opened each time: the session may be
/// a new one.
async fn ask(
    session: &mut Session,
    asked: &RefCell<Asked<'_, '_, '_>>,
) -> Result<Ended, ImapError> {
    let (wire, uidvalidity, wanted) = {
        let asked = asked.borrow();
        let target = asked.target;
        (&*target.wire, target.uidvalidity, asked.wanted.clone())
    };
    if session.examine(wire).await?.uidvalidity.unwrap_or(0) != uidvalidity {
        return Ok(Ended::OtherEpoch);
    }
    if wanted.is_empty() {
        return Ok(Ended::Said(String::new()));
    }
    session.send_body_fetch(&wanted).await?;
    let mut reason = String::new();
    while let Some(event) = session.next_body().await? {
        match event {
            BodyEvent::Message {
                uid,
                body: Some(body),
            } => asked.borrow_mut().take(uid, body),
            BodyEvent::BatchDone { status } => {
                if status.is_throttle() && !asked.borrow().wanted.is_empty() {
                    // It may be sent later, and will not be by asking on.
                    let words = status.words;
                    return Err(ImapError::Capacity { words });
                }
                reason = match (status.is_ok(), status.words.trim()) {
                    (true, _) => "the server did not send it".to_owned(),
                    (false, "") => "the server refused it without a word".to_owned(),
                    (false, words) => words.to_owned(),
                };
            }
            // NIL is no message.
            BodyEvent::Message { body: None, .. } | BodyEvent::Expunged => {}
        }
    }
    Ok(Ended::Said(reason))
}

impl Asked<'_, '_, '_> {
    /// Judges what came. Servers answer twice, or for messages nobody asked for.
    fn take(&mut self, uid: u32, body: Body) {
        if self.failed.is_some() || !self.wanted.contains(uid) {
            return;
        }
        match self.judge(uid, body) {
            Ok(Next::Done) => {
                self.wanted.remove(uid);
                self.progress.one_more();
            }
            Ok(Next::Again) => {
                self.wanted.remove(uid);
                self.again.push(uid);
            }
            // It stays wanted: asked for alone it may come.
            Ok(Next::Nothing) => {}
            Err(error) => self.failed = Some(error),
        }
    }

    fn judge(&mut self, uid: u32, body: Body) -> Result<Next, AgainstError> {
        let expected = self.target.expected(self.catalog, uid)?;
        self.proof.judge(self.target.message(uid), &expected, body)
    }
}

impl Target {
    /// What a message has to be.
    fn expected(&self, catalog: &Catalog, uid: u32) -> Result<Expected, AgainstError> {
        let placed = match self.held_as {
            Some(mailbox) => catalog.content_under(mailbox, self.uidvalidity, uid)?,
            None => None,
        };
        Ok(Expected {
            contents: placed.into_iter().collect(),
            healed: self.healed.contains(&uid),
        })
    }

    pub(super) fn message(&self, uid: u32) -> Sampled {
        Sampled {
            mailbox: self.name.clone(),
            remote: uid.to_string(),
        }
    }
}

/// Whether the server lists a message still; one that has left is nobody's fault.
async fn is_listed(line: &mut Line<'_>, target: &Target, uid: u32) -> Result<bool, Interrupted> {
    let asked = line
        .run(async |session| {
            if session.examine(&target.wire).await?.exists == 0 {
                return Ok(false);
            }
            let listing = session.list_messages(&uid.to_string()).await?;
            Ok(listing.messages.iter().any(|m| m.uid == uid))
        })
        .await;
    match asked {
        Ok(listed) => Ok(listed),
        // Deleted meanwhile, with all that was in it.
        Err(Trouble::Answer(ImapError::MailboxGone { .. })) => Ok(false),
        // Nobody can say, so it is not taken as gone.
        Err(Trouble::Answer(_)) => Ok(true),
        Err(Trouble::Server(error)) => Err(Interrupted::Server(error.into())),
    }
}
