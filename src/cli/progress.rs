//! Progress bars on a terminal. The only file that knows indicatif.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mailstow::event::{Event, Sink};

use super::plain::at_once;
use super::text::escaped;

/// Draws an overall bar and the mailbox at work on standard error.
#[derive(Debug)]
pub(crate) struct Bars {
    multi: MultiProgress,
    overall: ProgressBar,
    detail: ProgressBar,
    messages: Mutex<(u64, u64)>,
    /// What is sent on while more is fetched has a bar of its own.
    sending: Mutex<Option<ProgressBar>>,
    /// Messages and bytes that are to be sent.
    to_append: Mutex<(u64, u64)>,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let multi = MultiProgress::new();
        let overall = multi.add(ProgressBar::new_spinner());
        let detail = multi.add(ProgressBar::new_spinner());
        overall.set_style(style("{spinner} {msg}"));
        detail.set_style(style("  {msg}"));
        overall.enable_steady_tick(Duration::from_millis(200));
        Self {
            multi,
            overall,
            detail,
            messages: Mutex::new((0, 0)),
            sending: Mutex::new(None),
            to_append: Mutex::new((0, 0)),
        }
    }

    /// Whether it is a migration that fetches still; then this is drawn.
    fn sent_on(&self, messages: u64, sent: u64, total: u64) -> bool {
        let planned = *self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if planned.1 == 0 {
            return false;
        }
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = sending.get_or_insert_with(|| {
            let bar = self.multi.insert_after(&self.overall, ProgressBar::new(0));
            bar.set_style(style(
                "{bar:28} {percent:>3}%  {bytes}/{total_bytes} sent on  {msg}",
            ));
            bar
        });
        // What is planned to be fetched is to be sent as well, as far as is known by now.
        bar.set_length(self.overall.length().unwrap_or(0).max(total));
        bar.set_position(sent);
        bar.set_message(format!("{messages} messages"));
        true
    }

    /// All is fetched, and what is left to be sent is known.
    fn all_is_fetched(&self) {
        *self.messages.lock().unwrap_or_else(PoisonError::into_inner) = (0, 0);
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = sending.take() {
            bar.finish_and_clear();
        }
        self.detail.set_message("");
    }

    /// A bar of so many bytes, from its beginning.
    fn begin(&self, bytes: u64) {
        self.overall.set_length(bytes);
        self.overall.set_position(0);
        self.overall.set_style(style(BAR));
        self.overall.set_message("");
        // What came before says nothing about the speed.
        self.overall.reset_eta();
    }

    fn appended(&self, messages: u64, bytes: u64, total: u64) {
        let planned = *self
            .to_append
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.overall.length() != Some(total) {
            self.begin(total);
        }
        self.overall.set_position(bytes);
        // What is sent a second time, after a lost connection, is counted anew.
        let of = match planned {
            (all, of) if of == total => format!(" of {all}"),
            _ => String::new(),
        };
        self.overall.set_message(format!("{messages}{of} messages"));
    }

    fn say(&self, line: String) {
        // Above the bars; without a terminal it is simply not shown.
        if let Err(error) = self.multi.println(line) {
            tracing::debug!(%error, "cannot draw");
        }
    }
}

const BAR: &str =
    "{bar:28} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Sink for Bars {
    fn event(&self, event: Event) {
        if let Some(line) = at_once(&event) {
            self.say(line);
        }
        if matches!(event, Event::ToAppend { .. }) {
            self.all_is_fetched();
        }
        match event {
            Event::Appended {
                messages,
                bytes,
                total,
            } if self.sent_on(messages, bytes, total) => {}
            Event::Enumerating { done, total } => self
                .overall
                .set_message(format!("looking at mailboxes: {done} of {total}")),
            Event::Planned {
                messages, bytes, ..
            } if messages > 0 => {
                *self.messages.lock().unwrap_or_else(PoisonError::into_inner) = (0, messages);
                self.overall.set_length(bytes);
                self.overall.set_style(style(BAR));
            }
            Event::Resuming { done, bytes, .. } => {
                let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
                messages.0 += done;
                messages.1 += done;
                self.overall.inc_length(bytes);
                self.overall.set_position(bytes);
                // What was done before says nothing about the speed of today.
                self.overall.reset_eta();
            }
            Event::Mailbox { name, messages } => self
                .detail
                .set_message(format!("{}: {messages} to fetch", escaped(&name))),
            Event::Fetched { bytes } => {
                let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
                messages.0 += 1;
                self.overall.inc(bytes);
                if messages.0.is_multiple_of(64) || messages.0 == messages.1 {
                    self.overall
                        .set_message(format!("{} of {} messages", messages.0, messages.1));
                }
            }
            Event::ToAppend {
                messages, bytes, ..
            } if messages > 0 => {
                *self
                    .to_append
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = (messages, bytes);
                self.begin(bytes);
            }
            Event::Appended {
                messages,
                bytes,
                total,
            } => self.appended(messages, bytes, total),
            Event::Looking { done, total } => self
                .overall
                .set_message(format!("reading headers: {done} of {total}")),
            Event::Comparing { done, total } => self
                .overall
                .set_message(format!("comparing bytes: {done} of {total} messages")),
            Event::Deleting { done, total } => self
                .detail
                .set_message(format!("deleting from the server: {done} of {total}")),
            Event::Progress { what, done, total } => {
                self.overall.set_style(style(
                    "{msg} {bar:28} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}",
                ));
                self.overall.set_length(total);
                self.overall.set_message(what);
                self.overall.set_position(done);
            }
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.overall.finish_and_clear();
        self.detail.finish_and_clear();
        self.all_is_fetched();
    }
}
