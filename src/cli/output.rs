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
    /// Whose mail it is about, where several accounts are worked on at once.
    of: Option<String>,
}

impl Output {
    pub(crate) fn new(args: &OutputArgs) -> Self {
        Self {
            json: args.json,
            quiet: args.quiet,
            of: None,
        }
    }

    /// For one of several accounts that are worked on at once: every line says whose it is.
    pub(crate) fn of(&self, account: &str) -> Self {
        Self {
            of: Some(account.to_owned()),
            ..self.clone()
        }
    }

    /// Whether results are JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Who listens to the engine.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        if self.json {
            Arc::new(Json(self.of.clone()))
        } else if self.quiet {
            Arc::new(Silent)
        } else if let Some(of) = &self.of {
            Arc::new(Plain::of(of))
        } else if std::io::stderr().is_terminal() {
            Arc::new(Bars::new())
        } else {
            Arc::new(Plain::new())
        }
    }

    /// Who listens for what is about all accounts, while several are worked on at once.
    pub(crate) fn sink_of_all(&self) -> Arc<dyn Sink> {
        if self.json {
            Arc::new(Json(None))
        } else if self.quiet {
            Arc::new(Silent)
        } else {
            Arc::new(Plain::new())
        }
    }

    /// A result: `value` as one line of JSON, or `text`. With `-q` only if the exit code is
    /// not 0.
    pub(crate) fn result(&self, event: &str, value: &impl Serialize, words: &str, exit: u8) {
        if self.json {
            say(object(event, value, exit), self.of.as_deref());
        } else if !self.quiet || exit != 0 {
            text::out(words);
        }
    }

    /// An error.
    pub(crate) fn error(&self, error: &CommandError) {
        if self.json {
            say(error.json(), self.of.as_deref());
        } else if let Some(of) = &self.of {
            text::err(&format!("{}: {}", text::escaped(of), error.render()));
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

/// One line of JSON.
fn say(mut value: serde_json::Value, of: Option<&str>) {
    if let (Some(of), Some(object)) = (of, value.as_object_mut()) {
        object.insert("of".to_owned(), of.into());
    }
    text::out(&text::escaped_json(&value.to_string()));
}

/// Each event as one line of JSON.
#[derive(Debug)]
struct Json(Option<String>);

impl Sink for Json {
    fn event(&self, event: Event) {
        // One per message would be most of the output; `committed` tells what counts.
        if matches!(event, Event::Fetched { .. }) {
            return;
        }
        let Some(of) = &self.0 else {
            if let Ok(line) = serde_json::to_string(&event) {
                text::out(&text::escaped_json(&line));
            }
            return;
        };
        if let Ok(value) = serde_json::to_value(&event) {
            say(value, Some(of));
        }
    }
}
