//! What becomes of a load the target would not have.

use std::time::Duration;

use super::super::Ended;
use super::super::judge::{Judgement, judge};
use super::super::load::{Load, outcome};
use super::{Broken, Connection};
use crate::archive::ledger::Fate;
use crate::contact::Verdict;
use crate::imap::{ImapError, Tagged};
use crate::net::Disposition;
use crate::replay::report::What;

/// How often a load is sent again over which the server stumbles.
const STUMBLES: u32 = 2;
/// Over how many messages in a row it stumbles before it counts as lost.
const IN_A_ROW: u32 = 5;
/// Between two attempts, where the server does not say how long.
const SHORTLY: Duration = Duration::from_secs(2);

impl Connection {
    /// The server did not understand: each message by itself, behind a synchronising literal, so
    /// that nothing of it can be taken for a command.
    pub(super) fn misunderstood(&mut self, mut load: Load, tagged: &Tagged) {
        if load.len() > 1 && !self.stores_all_or_none() {
            self.sending.state().singly = true;
            self.sending.unsettled(&load);
            return;
        }
        if load.len() == 1 && load.synchronising {
            if load.bare || !load.without_keywords() {
                self.refuse(&load, &tagged.words);
            } else {
                self.backlog.push_front(load);
            }
            return;
        }
        load.synchronising = true;
        self.put_back(load.apart());
    }

    /// Whether a refusal of several messages means that none of them is stored (RFC 3502).
    fn stores_all_or_none(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.quirks().whole_multiappend)
    }

    /// Decides what becomes of a refused load.
    pub(super) async fn judge(&mut self, mut load: Load, tagged: &Tagged) -> Result<(), Broken> {
        let bad = tagged.status == crate::imap::TaggedStatus::Bad;
        if load.len() > 1 && !self.stores_all_or_none() {
            // Which of them it has stored is seen on the target alone.
            self.sending.state().singly = true;
            self.sending.unsettled(&load);
            return match judge(tagged) {
                Judgement::Later if !bad => self.pause(tagged).await,
                Judgement::Stumbles if !bad => self.pause_for(tagged, SHORTLY).await,
                _ => Ok(()),
            };
        }
        if bad {
            // The head of a synchronising literal: nothing was sent behind it.
            self.misunderstood(load, tagged);
            return Ok(());
        }
        match judge(tagged) {
            Judgement::Stumbles if load.stumbles < STUMBLES => {
                load.stumbles += 1;
                self.backlog.push_front(load);
                self.pause_for(tagged, SHORTLY).await
            }
            Judgement::Stumbles if load.len() == 1 && self.stumbled >= IN_A_ROW => {
                // It cannot be the messages' fault.
                self.backlog.push_front(load);
                Err(Broken::Over(Ended::Lost(error_of(tagged).into())))
            }
            Judgement::Later => {
                self.backlog.push_front(load);
                self.pause(tagged).await
            }
            judgement if load.len() > 1 => {
                if judgement == Judgement::Stumbles {
                    // The halves have patience of their own.
                    self.patience.gained();
                }
                self.put_back(load.halves().into());
                Ok(())
            }
            Judgement::Stumbles => {
                self.stumbled += 1;
                self.patience.gained();
                self.refuse(&load, &tagged.words);
                Ok(())
            }
            Judgement::Full => {
                let absent = load.iter().map(|(no, _)| outcome(no, Fate::Absent));
                self.records.extend(absent);
                self.sending.state().full = Some(tagged.words.clone());
                Ok(())
            }
            Judgement::NoMailbox if !load.made_anew && self.make_anew(&load).await? => {
                load.made_anew = true;
                self.backlog.push_front(load);
                Ok(())
            }
            Judgement::NoMailbox | Judgement::Refused => {
                if load.bare || !load.without_keywords() {
                    self.refuse(&load, &tagged.words);
                } else {
                    load.synchronising = true;
                    self.backlog.push_front(load);
                }
                Ok(())
            }
        }
    }

    /// Gives the server the time it asks for.
    async fn pause(&mut self, tagged: &Tagged) -> Result<(), Broken> {
        let least = match error_of(tagged).disposition().1 {
            Disposition::RetryAfter(least) => least,
            _ => SHORTLY,
        };
        self.pause_for(tagged, least).await
    }

    async fn pause_for(&mut self, tagged: &Tagged, least: Duration) -> Result<(), Broken> {
        let error = error_of(tagged);
        match self.wait(&error, least).await {
            Verdict::Again => Ok(()),
            Verdict::Stopped => Err(Broken::Over(Ended::Done)),
            Verdict::Enough => Err(Broken::Over(Ended::Lost(error.into()))),
        }
    }

    /// Makes a mailbox that has gone meanwhile once more, or finds that another connection has.
    async fn make_anew(&mut self, load: &Load) -> Result<bool, Broken> {
        let destination = self.sending.destinations.get(load.place);
        let (Some(destination), Some(session)) = (destination, &mut self.session) else {
            return Ok(false);
        };
        match session.create(&destination.wire, None).await {
            Ok(_) => Ok(true),
            Err(ImapError::No { .. } | ImapError::Bad { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn refuse(&mut self, load: &Load, words: &str) {
        for (no, message) in load.iter() {
            let reason = if words.trim().is_empty() {
                "the server refused it without a word"
            } else {
                words
            };
            let fate = Fate::Refused {
                reason: reason.to_owned(),
            };
            self.records.push(outcome(no, fate));
            self.sending.refused(message, reason);
        }
    }

    /// What went without its keywords is recorded with the flags it has.
    pub(super) fn say_bare(&mut self, load: &Load) {
        if !load.bare {
            return;
        }
        self.records.extend(load.flagged());
        for (_, message) in load.iter() {
            let why = "the server refused the message with them".to_owned();
            let note = (message.out, What::WithoutKeywords, why);
            self.sending.state().notes.push(note);
        }
    }
}

fn error_of(tagged: &Tagged) -> ImapError {
    ImapError::No {
        command: "APPEND",
        code: tagged.code.clone(),
        words: tagged.words.clone(),
    }
}
