//! Staying in contact with a server: sessions that outlive their connections, what is tried
//! again and how often, and the way to stop.
//!
//! `line` is an IMAP session that is dialled again when it breaks, and `parts` opens and
//! lists a mailbox over it. `door` opens POP3 sessions, one after the other. Both wait with
//! `patience`. What is asked, and what an answer means for an archive, is decided above.

mod door;
mod error;
mod line;
mod parts;
mod patience;
mod spool;
mod stop;

pub(crate) use door::{Door, HEADER_BYTES, Interrupted, Open};
pub use error::ServerError;
pub(crate) use error::describe;
pub(crate) use line::{Dialled, Line, Trouble};
pub(crate) use parts::{Opened, is_unreadable, open};
#[cfg(feature = "testing")]
pub use patience::testing;
pub(crate) use patience::{Patience, Verdict};
pub(crate) use spool::spool_into;
pub use stop::Stop;
