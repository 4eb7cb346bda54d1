//! Ctrl-C and its relatives: the first asks for an orderly end, the second leaves at once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mailstow::backup::Stop;
use mailstow::event::{Event, Sink};
use tokio::signal::unix::{SignalKind, signal};

/// Watches for signals as long as the runtime lives.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    stop: Stop,
    number: Arc<AtomicU8>,
    /// Who draws on the terminal at the moment, and so has to say it.
    sink: Arc<Mutex<Option<Arc<dyn Sink>>>>,
}

impl Signals {
    /// Starts watching; must be called within a runtime.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let signals = Self::default();
        for (kind, number) in [
            (SignalKind::interrupt(), 2),
            (SignalKind::terminate(), 15),
            (SignalKind::hangup(), 1),
        ] {
            let mut stream = signal(kind)?;
            let signals = signals.clone();
            drop(tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    signals.arrived(number);
                }
            }));
        }
        Ok(signals)
    }

    fn arrived(&self, number: u8) {
        if self.number.swap(number, Ordering::SeqCst) != 0 {
            // The second one: leave at once. What was committed is safe, as after a kill.
            std::process::exit(128 + i32::from(number));
        }
        if let Some(sink) = &*self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            sink.event(Event::Stopping);
        }
        self.stop.request();
    }

    /// Names who is to say that a signal has come; `None` once nobody draws any more.
    pub(crate) fn say_through(&self, sink: Option<Arc<dyn Sink>>) {
        *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }

    /// What engines watch.
    pub(crate) const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// 128 plus the signal's number, once one has come.
    pub(crate) fn exit(&self) -> Option<u8> {
        match self.number.load(Ordering::SeqCst) {
            0 => None,
            number => Some(128 + number),
        }
    }
}
