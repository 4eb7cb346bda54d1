//! Where mail comes from.
//!
//! A source speaks bytes and facts of its protocol to the engine, and knows neither archive
//! nor catalog.

mod glob;
mod imap;

pub use glob::{Glob, Selected, select};
pub use imap::{ImapSource, SeenMailbox, decoded_name};
