//! Progress in a pipe or under cron: what matters at once, and one line every 10 seconds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mailstow::event::{Event, Sink};

use super::text::{bytes, count, err, escaped};

const EVERY: Duration = Duration::from_secs(10);

/// Writes plain lines to standard error.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Stands before every line: whose mail it is about, where several are worked on at once.
    of: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    last: Instant,
    planned: (u64, u64),
    fetched: (u64, u64),
    to_append: (u64, u64),
    sending: Instant,
    mailbox: String,
}

impl Plain {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let state = State {
            started: now,
            last: now,
            planned: (0, 0),
            fetched: (0, 0),
            to_append: (0, 0),
            sending: now,
            mailbox: String::new(),
        };
        Self {
            of: String::new(),
            state: Mutex::new(state),
        }
    }

    /// For one of several accounts.
    pub(crate) fn of(account: &str) -> Self {
        Self {
            of: format!("{}: ", escaped(account)),
            ..Self::new()
        }
    }
}

impl Sink for Plain {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Event::Planned {
                messages, bytes, ..
            } => state.planned = (*messages, *bytes),
            Event::ToAppend {
                messages, bytes, ..
            } => {
                state.to_append = (*messages, *bytes);
                // The time that planning took says nothing about the speed.
                state.sending = Instant::now();
            }
            Event::Mailbox { name, .. } => state.mailbox.clone_from(name),
            Event::Fetched { bytes } => {
                state.fetched.0 += 1;
                state.fetched.1 += bytes;
            }
            _ => {}
        }
        if let Some(line) = at_once(&event) {
            err(&format!("{}{line}", self.of));
        } else if state.last.elapsed() >= EVERY
            && let Some(line) = state.line(&event)
        {
            state.last = Instant::now();
            err(&format!("{}{line}", self.of));
        }
    }
}

impl State {
    /// `3 of 12 messages`. What is sent a second time, after a lost connection, is counted anew.
    fn of_planned(&self, messages: u64, total: u64) -> String {
        if total == self.to_append.1 {
            format!("{messages} of {}", count(self.to_append.0, "message"))
        } else {
            count(messages, "message")
        }
    }

    fn line(&self, event: &Event) -> Option<String> {
        match event {
            Event::Fetched { .. } => {
                let seconds = self.started.elapsed().as_secs().max(1);
                Some(format!(
                    "{} of {} messages, {} of {}, {}/s, in {}",
                    self.fetched.0,
                    self.planned.0,
                    bytes(self.fetched.1),
                    bytes(self.planned.1),
                    bytes(self.fetched.1 / seconds),
                    escaped(&self.mailbox)
                ))
            }
            Event::Enumerating { done, total } => {
                Some(format!("looked at {done} of {}", count(*total, "mailbox")))
            }
            Event::Looking { done, total } => {
                Some(format!("read {done} of {}", count(*total, "header")))
            }
            Event::Deleting { done, total } => Some(format!(
                "marked {done} of {} for deletion",
                count(*total, "message")
            )),
            Event::Comparing { done, total } => Some(format!(
                "compared the bytes of {done} of {}",
                count(*total, "message")
            )),
            Event::Appended {
                messages,
                bytes: done,
                total,
            } => {
                let seconds = self.sending.elapsed().as_secs().max(1);
                Some(format!(
                    "appended {}, {} of {}, {}/s",
                    self.of_planned(*messages, *total),
                    bytes(*done),
                    bytes(*total),
                    bytes(done / seconds)
                ))
            }
            Event::Progress { what, done, total } => {
                Some(format!("{what}: {} of {}", bytes(*done), bytes(*total)))
            }
            _ => None,
        }
    }
}

/// What a person should see at once, in any kind of output.
pub(super) fn at_once(event: &Event) -> Option<String> {
    match event {
        Event::Recovered {
            adopted,
            cut,
            damaged,
        } => {
            let mut text = format!(
                "the last run did not end in order: {} adopted, {} cut off",
                count(*adopted, "message"),
                bytes(*cut)
            );
            if *damaged > 0 {
                text = format!(
                    "{text}; {} found damaged, which will be fetched again if the server still has them",
                    count(*damaged, "message")
                );
            }
            Some(text)
        }
        Event::Resuming { job, done: 0, .. } => Some(format!("going on with job {job}")),
        Event::Resuming {
            job,
            done,
            bytes: n,
        } => Some(format!(
            "going on with job {job}, of which {} ({}) are done",
            count(*done, "message"),
            bytes(*n)
        )),
        Event::Planned { messages: 0, .. } => Some("nothing new".to_owned()),
        Event::Planned {
            messages,
            bytes: n,
            mailboxes,
        } => Some(format!(
            "to fetch: {} ({}) from {}",
            count(*messages, "message"),
            bytes(*n),
            count(*mailboxes, "mailbox")
        )),
        Event::ToAppend {
            messages: 0, there, ..
        } => Some(format!(
            "nothing to send: {} there already",
            count(*there, "message")
        )),
        Event::ToAppend {
            messages,
            bytes: n,
            mailboxes,
            there,
        } => {
            let there = match there {
                0 => String::new(),
                n => format!("; {n} there already"),
            };
            // Mail that is delivered goes to no mailbox we know of.
            let to = match mailboxes {
                0 => String::new(),
                n => format!(" to {}", count(*n, "mailbox")),
            };
            Some(format!(
                "to send: {} ({}){to}{there}",
                count(*messages, "message"),
                bytes(*n),
            ))
        }
        Event::Retrying {
            reason,
            wait_seconds,
        } => Some(format!(
            "{}; trying again in {wait_seconds} s",
            escaped(reason)
        )),
        Event::Skipped {
            mailbox,
            remote,
            reason,
        } => Some(format!(
            "skipped {} in {}: {}",
            escaped(remote),
            escaped(mailbox),
            escaped(reason)
        )),
        Event::Waiting => Some("another run works on this archive; waiting for its end".to_owned()),
        Event::Stopping => {
            Some("stopping: committing what is there (once more to leave at once)".to_owned())
        }
        Event::Note { text } => Some(format!("note: {}", escaped(text))),
        Event::Warning { text } => Some(format!("warning: {}", escaped(text))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_is_not_counted_against_the_whole() {
        let plain = Plain::new();
        plain.event(Event::ToAppend {
            messages: 0,
            bytes: 0,
            mailboxes: 0,
            there: 0,
        });
        let mut state = plain.state.into_inner().unwrap();
        state.to_append = (5000, 2048);
        let line = |messages, bytes, total| {
            let event = Event::Appended {
                messages,
                bytes,
                total,
            };
            state.line(&event).unwrap()
        };
        assert_eq!(
            line(12, 1024, 2048),
            "appended 12 of 5000 messages, 1.0 KiB of 2.0 KiB, 1.0 KiB/s"
        );
        assert_eq!(line(1, 10, 20), "appended 1 message, 10 B of 20 B, 10 B/s");
    }
}
