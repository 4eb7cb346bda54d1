//! Where words go: JSON objects, a terminal, a pipe, or nowhere.

use std::io::IsTerminal;
use std::sync::Arc;

use mailstow::event::{Event, Silent, Sink};
use serde::Serialize;

use super::args::OutputArgs;
use super::failure::CommandError;
use super::plain::Plain;
use super::progress::Bars;
use super::text;

/// How this invocation talks.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(args: &OutputArgs) -> Self {
        Self {
            json: args.json,
            quiet: args.quiet,
        }
    }

    /// Whether results are JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Who listens to the engine.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        if self.json {
            Arc::new(Json)
        } else if self.quiet {
            Arc::new(Silent)
        } else if std::io::stderr().is_terminal() {
            Arc::new(Bars::new())
        } else {
            Arc::new(Plain::new())
        }
    }

    /// A result: `value` as one line of JSON, or `text`. With `-q` only if the exit code is
    /// not 0.
    pub(crate) fn result(&self, event: &str, value: &impl Serialize, words: &str, exit: u8) {
        if self.json {
            let object = object(event, value, exit);
            text::out(&text::escaped_json(&object.to_string()));
        } else if !self.quiet || exit != 0 {
            text::out(words);
        }
    }

    /// An error.
    pub(crate) fn error(&self, error: &CommandError) {
        if self.json {
            text::out(&text::escaped_json(&error.json().to_string()));
        } else {
            text::err(&error.render());
        }
    }
}

/// A result as one object.
pub(crate) fn object(event: &str, value: &impl Serialize, exit: u8) -> serde_json::Value {
    let mut object = serde_json::json!({ "event": event, "exit": exit });
    if let (Some(object), Ok(serde_json::Value::Object(fields))) =
        (object.as_object_mut(), serde_json::to_value(value))
    {
        object.extend(fields);
    }
    object
}

/// Each event as one line of JSON.
#[derive(Debug)]
struct Json;

impl Sink for Json {
    fn event(&self, event: Event) {
        // One per message would be most of the output; `committed` tells what counts.
        if matches!(event, Event::Fetched { .. }) {
            return;
        }
        if let Ok(line) = serde_json::to_string(&event) {
            text::out(&text::escaped_json(&line));
        }
    }
}
