//! Recognising on the target what is to be appended: the matching ladder. Pure.
//!
//! Both sides are multisets: k placements of one content want k messages, and each message of the
//! target stands for one of them at most. Steps, from the top:
//!
//! 1. [`recognise()`] goes by headers and sizes. Only what leaves no doubt is [`Verdict::sure`].
//! 2. What is in doubt is looked at: the bodies are read, and [`by_prints`] decides.
//!
//! No step goes by one field alone, and none by the Message-ID alone: real mail reuses it.

mod prints;
mod recognise;

pub use crate::header::{Identity, identity};
pub use prints::{HeaderPrint, Print, Printer, by_prints, print_of};
pub use recognise::{Group, Ours, Theirs, Verdict, is_near, recognise};
