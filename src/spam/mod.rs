//! Whether a message's header says that it is spam.
//!
//! A pure judgement over bytes, by one table of rules (`rules.rs`), for POP3, where no
//! mailbox and no keyword tells spam. It never decides what happens to a message, and its
//! evidence is kept with the judgement.
//!
//! A verdict that says *spam* is usable: nobody forges one against himself. A verdict that says
//! *not spam* proves nothing, since senders forge those; it is told all the same, so that the
//! caller sees whether the server stamps verdicts at all.

mod judge;
mod rules;
#[cfg(test)]
mod tests;
mod value;

pub use judge::{Judgement, judge};
