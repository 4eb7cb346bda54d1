//! Sessions against a peer that knows no protocol: it sends, it expects, it hangs up.

mod at_most_once;
mod connect;
mod send;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::net::{Disposition, Endpoint, NetOptions, Scope, Security, Timeouts, Transport};
use crate::secret::{Credentials, Secret};

const SECRET: &str = "s e\"ret";

/// A server with everything that needs no sign-in.
const HELLO: &str = "\
S: 220-mail.example.org
S: 220 ESMTP ready
C: EHLO [127.0.0.1]
S: 250-mail.example.org at your service
S: 250-SIZE 1000000
S: 250-8BITMIME
S: 250 PIPELINING
";

/// A message of one line is on its way.
const ENVELOPE: &str = "\
C: MAIL FROM:<anna@example.org> SIZE=3
S: 250 2.1.0 Ok
C: RCPT TO:<archive@example.net>
S: 250 2.1.5 Ok
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
";

/// [`ENVELOPE`] and the message.
const SENT: &str = "\
C: a
C: .
S: 250 2.0.0 Ok: queued as 1
";

const FROM: &str = "anna@example.org";
const TO: &str = "archive@example.net";

fn credentials() -> Credentials {
    Credentials {
        user: "anna".into(),
        secret: Secret::new(SECRET.into()),
        authzid: None,
    }
}

fn endpoint(security: Security) -> Endpoint {
    Endpoint {
        host: "localhost".into(),
        port: 25,
        security,
    }
}

fn options(wait: Duration) -> NetOptions {
    NetOptions {
        timeouts: Timeouts {
            connect: wait,
            tls: wait,
            greeting: wait,
            read: wait,
        },
        ..NetOptions::default()
    }
}

/// `\r`, `\n` and `\xHH` in a script's line.
fn unescape(text: &str) -> Vec<u8> {
    let text = text.replace("\\r", "\r").replace("\\n", "\n");
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// What a peer got to see.
#[derive(PartialEq, Eq, Debug, Default)]
struct Played {
    /// The final dot of a message came, and what followed it was not all sent.
    owes_an_answer: bool,
    /// The script was played to its end.
    whole: bool,
    /// What came behind the script.
    rest: String,
}

/// Plays a script: `S: ` lines are sent, `C: ` lines are expected, `S< ` and `C< ` lines come
/// without CRLF. At most `budget` bytes are sent, then the peer hangs up.
async fn play(mut stream: DuplexStream, script: String, mut budget: usize) -> Played {
    let mut played = Played::default();
    for line in script.lines() {
        let (kind, text) = line.split_at(3);
        let mut bytes = unescape(text);
        if !kind.contains('<') {
            bytes.extend_from_slice(b"\r\n");
        }
        if kind.starts_with('S') {
            let part = &bytes[..bytes.len().min(budget)];
            if stream.write_all(part).await.is_err() {
                return played;
            }
            budget -= part.len();
            if part.len() < bytes.len() {
                return played;
            }
            played.owes_an_answer = false;
        } else {
            let mut got = vec![0; bytes.len()];
            if stream.read_exact(&mut got).await.is_err() {
                return played;
            }
            assert_eq!(
                got.escape_ascii().to_string(),
                bytes.escape_ascii().to_string()
            );
            played.owes_an_answer = text == ".";
        }
    }
    played.whole = true;
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    played.rest = String::from_utf8_lossy(&rest).into_owned();
    played
}

type Peer = tokio::task::JoinHandle<Played>;

/// A session with a peer that plays the script, through a pipe of the given width.
async fn session_with(
    script: &str,
    width: usize,
    budget: usize,
    credentials: Option<&Credentials>,
) -> (Result<SmtpSession, SmtpError>, Peer) {
    let (ours, theirs) = duplex(width);
    let peer = tokio::spawn(play(theirs, script.to_owned(), budget));
    let lmtp = script.contains("C: LHLO");
    let session = over(ours, Security::Tls, credentials, lmtp).await;
    (session, peer)
}

async fn over(
    stream: DuplexStream,
    security: Security,
    credentials: Option<&Credentials>,
    lmtp: bool,
) -> Result<SmtpSession, SmtpError> {
    let net = options(Duration::from_millis(500));
    let transport = Transport::memory(stream, &net);
    SmtpSession::over(transport, &endpoint(security), &net, credentials, lmtp).await
}

/// A session behind [`HELLO`].
async fn session(script: &str) -> (SmtpSession, Peer) {
    let script = format!("{HELLO}{script}");
    let (session, peer) = session_with(&script, 4096, usize::MAX, None).await;
    (session.unwrap(), peer)
}

async fn send(session: &mut SmtpSession, message: &[u8]) -> Result<SendReply, SmtpError> {
    session.send(FROM, TO, SmtpBody::Memory(message)).await
}

/// The peer saw all of its script and nothing else.
async fn assert_whole(peer: Peer) {
    let expected = Played {
        whole: true,
        ..Played::default()
    };
    assert_eq!(peer.await.unwrap(), expected);
}

fn accepted(words: &str) -> SendReply {
    let words = words.to_owned();
    SendReply::Accepted { words }
}

fn refused(code: u16, words: &str, at: Stage) -> SendReply {
    SendReply::Refused {
        code,
        words: words.to_owned(),
        at,
        permanent: code >= 500,
    }
}
