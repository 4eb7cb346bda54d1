//! Target sessions against a peer that knows no protocol.

mod appending;
mod changing;
mod mailboxes;
mod replies;

use std::sync::Arc;

use tokio::io::duplex;
use tokio::task::JoinHandle;

use super::*;
use crate::imap::tests::{credentials, endpoint, options, play, uids};
use crate::imap::{ImapError, Session, Tagged, TaggedStatus};
use crate::model::{Flags, InternalDate};
use crate::net::{Security, Transport};

/// What comes from the peer's script, and what it got beyond it.
struct Peer(JoinHandle<Option<String>>);

impl Peer {
    /// The script was played to its end, and nothing came after it.
    async fn had_its_way(self, session: TargetSession) {
        drop(session);
        assert_eq!(self.0.await.unwrap().as_deref(), Some(""));
    }
}

/// A session with a peer that announces these capabilities and plays the script from tag `m2`.
async fn target(capabilities: &str, script: &str) -> (TargetSession, Peer) {
    target_through(4096, capabilities, script).await
}

async fn target_through(width: usize, capabilities: &str, script: &str) -> (TargetSession, Peer) {
    let capabilities = format!("IMAP4rev1 {capabilities}");
    let capabilities = capabilities.trim_end();
    let script = format!(
        "S: * OK [CAPABILITY IMAP4rev1] ready\n\
         C: m1 LOGIN \"anna\" \"s e\\\"ret\"\n\
         S: m1 OK [CAPABILITY {capabilities}] in\n{script}"
    );
    let (ours, theirs) = duplex(width);
    let peer = Peer(tokio::spawn(play(theirs, script, usize::MAX)));
    (over(ours).await, peer)
}

async fn over(stream: tokio::io::DuplexStream) -> TargetSession {
    let net = options();
    let transport = Transport::memory(stream, &net);
    let endpoint = endpoint(Security::Tls);
    let session = Session::over(transport, &endpoint, &net, &credentials(), None).await;
    TargetSession::over(session.unwrap())
}

fn message(flags: &[&str], date: Option<&str>, body: &[u8]) -> Appending {
    Appending {
        flags: Flags::from_wire(flags),
        date: date.map(|date| date.parse().unwrap()),
        body: AppendBody::Memory(Arc::new(body.to_vec())),
    }
}

fn plain(body: &str) -> Appending {
    message(&[], None, body.as_bytes())
}

/// Sends messages to INBOX.
async fn send(session: &mut TargetSession, messages: &[Appending]) -> Result<Sent, ImapError> {
    let append = Append {
        mailbox: "INBOX",
        messages,
        synchronising: false,
    };
    session.send_append(&append).await
}

/// The same where the whole of it has to go out.
async fn sent(session: &mut TargetSession, messages: &[Appending]) {
    assert_eq!(send(session, messages).await.unwrap(), Sent::Outstanding);
}

fn stored(uidvalidity: u32, uids: &[u32]) -> AppendReply {
    AppendReply::Stored(Some(AppendUid {
        uidvalidity,
        uids: uids.to_vec(),
    }))
}

fn is_not_connected(error: &ImapError) -> bool {
    matches!(error, ImapError::Io { source } if source.kind() == std::io::ErrorKind::NotConnected)
}
