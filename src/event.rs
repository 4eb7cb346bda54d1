//! What engines tell while they work.
//!
//! An engine emits events and knows no terminal. A sink renders them: progress bars, a plain
//! line now and then, JSON. A sink cannot fail, must not block, and cannot change an outcome.

use serde::Serialize;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// What opening the archive after an unclean stop found.
    Recovered {
        /// Messages adopted.
        adopted: u64,
        /// Bytes cut off.
        cut: u64,
        /// Messages lost.
        damaged: u64,
    },
    /// A run goes on with a job that was interrupted.
    Resuming {
        /// Its number.
        job: u32,
        /// Messages of it that need no fetching any more.
        done: u64,
        /// Their bytes, as the server reported them.
        bytes: u64,
    },
    /// Signed in to a server.
    Connected {
        /// `user@host`.
        account: String,
        /// Connections in use.
        connections: usize,
    },
    /// Mailboxes are being listed and examined.
    Enumerating {
        /// Mailboxes looked at so far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// The plan stands.
    Planned {
        /// Messages to fetch.
        messages: u64,
        /// Their bytes, as the server reports them.
        bytes: u64,
        /// Mailboxes in which something is to be done.
        mailboxes: u64,
    },
    /// Work on a mailbox begins.
    Mailbox {
        /// Its name.
        name: String,
        /// Messages to fetch from it.
        messages: u64,
    },
    /// A message came in. It is not durable yet.
    Fetched {
        /// Its bytes.
        bytes: u64,
    },
    /// These are durable now.
    Committed {
        /// Messages.
        messages: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something failed and is tried again.
    Retrying {
        /// What failed, with the server's words.
        reason: String,
        /// Seconds until the next try.
        wait_seconds: u64,
    },
    /// Another run works on the archive; this one waits for its end.
    Waiting,
    /// A signal asked to stop: what is there is being committed.
    Stopping,
    /// A message could not be archived.
    Skipped {
        /// Its mailbox.
        mailbox: String,
        /// The server's name for it.
        remote: String,
        /// Why.
        reason: String,
    },
    /// A person should know this.
    Warning {
        /// What.
        text: String,
    },
    /// A person may want to know this.
    Note {
        /// What.
        text: String,
    },
    /// Headers are being looked at, to decide what is fetched.
    Looking {
        /// Headers looked at so far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Messages are being deleted from a POP3 server, on the user's order.
    Deleting {
        /// Messages marked so far; the server deletes them when the session ends.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// What a replay has to do stands.
    ToAppend {
        /// Messages the target lacks.
        messages: u64,
        /// Their bytes.
        bytes: u64,
        /// Mailboxes they go to.
        mailboxes: u64,
        /// Messages that are there already.
        there: u64,
    },
    /// These are on the target now, as it says.
    Appended {
        /// Messages so far.
        messages: u64,
        /// Their bytes.
        bytes: u64,
        /// Bytes there are to send.
        total: u64,
    },
    /// Messages are fetched and compared with those of the archive.
    Comparing {
        /// Messages compared so far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Work on local data: so much of it is done.
    Progress {
        /// What is being done, such as `verifying`.
        what: &'static str,
        /// Bytes done.
        done: u64,
        /// Of how many.
        total: u64,
    },
}

/// Whoever listens.
pub trait Sink: Send + Sync {
    /// Takes note. Must return at once.
    fn event(&self, event: Event);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event) {}
}
