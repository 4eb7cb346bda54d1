//! What several rounds of sending have sent together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Sent;
use crate::event::{Event, Sink};

/// Hands events on, with the numbers of earlier rounds added to those of this one.
pub(super) struct Counting {
    sink: Arc<dyn Sink>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the rounds that are over.
    before: Sent,
    /// In this round.
    now: Sent,
}

impl Counting {
    pub(super) fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A round is over.
    pub(super) fn over(&self) {
        let mut state = self.state();
        state.before = state.sum();
        state.now = Sent::default();
    }

    pub(super) fn sent(&self) -> Sent {
        self.state().sum()
    }
}

impl State {
    const fn sum(&self) -> Sent {
        Sent {
            messages: self.before.messages + self.now.messages,
            bytes: self.before.bytes + self.now.bytes,
        }
    }
}

impl Sink for Counting {
    fn event(&self, event: Event) {
        let event = match event {
            Event::Appended {
                messages,
                bytes,
                total,
            } => {
                let mut state = self.state();
                state.now = Sent { messages, bytes };
                let (sum, before) = (state.sum(), state.before.bytes);
                drop(state);
                Event::Appended {
                    messages: sum.messages,
                    bytes: sum.bytes,
                    total: total + before,
                }
            }
            other => other,
        };
        self.sink.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Sink for Heard {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn rounds_are_counted_together() {
        let appended = |messages, bytes, total| Event::Appended {
            messages,
            bytes,
            total,
        };
        let heard = Arc::new(Heard::default());
        let counting = Counting::new(Arc::clone(&heard) as Arc<dyn Sink>);
        counting.event(appended(1, 10, 30));
        counting.event(appended(2, 30, 30));
        counting.over();
        counting.event(appended(1, 5, 7));
        counting.over();
        counting.over();
        let want = [
            appended(1, 10, 30),
            appended(2, 30, 30),
            appended(3, 35, 37),
        ];
        assert_eq!(*heard.0.lock().unwrap(), want);
        let sent = Sent {
            messages: 3,
            bytes: 35,
        };
        assert_eq!(counting.sent(), sent);
    }
}
