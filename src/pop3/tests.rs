//! Sessions against a peer that knows no protocol: it sends, it expects, it hangs up.

mod connect;
mod listing;
mod transfer;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::net::{Disposition, Endpoint, NetOptions, Scope, Security, Timeouts, Transport};
use crate::secret::{Credentials, Secret};
use crate::spool::{Body, SpoolOptions};

const SECRET: &str = "s e\"ret";

/// A server with everything.
const DOVECOT: &str = "\
S: +OK Dovecot ready.
C: CAPA
S: +OK
S: CAPA
S: TOP
S: UIDL
S: PIPELINING
S: SASL PLAIN LOGIN
S: .
C: AUTH PLAIN AGFubmEAcyBlInJldA==
S: +OK Logged in.
C: CAPA
S: +OK
S: TOP
S: UIDL
S: PIPELINING
S: IMPLEMENTATION dove
S: .
";

/// A server from before RFC 2449.
const OLD: &str = "\
S: +OK
C: CAPA
S: -ERR what?
C: USER anna
S: +OK
C: PASS s e\"ret
S: +OK
C: CAPA
S: -ERR what?
";

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
        port: 110,
        security,
    }
}

fn options() -> NetOptions {
    let wait = Duration::from_millis(500);
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

/// Plays a script: `S: ` lines are sent, `C: ` lines are expected, `S< ` and `C< ` lines
/// come without CRLF; at `Q: ` nothing may come by itself. At most `budget` bytes are sent,
/// then the peer hangs up. What came behind the script is returned.
async fn play(mut stream: DuplexStream, script: String, mut budget: usize) -> Option<String> {
    for line in script.lines() {
        let (kind, text) = line.split_at(3);
        if kind == "Q: " {
            assert!(is_quiet(&mut stream).await, "something came: {text}");
            continue;
        }
        let mut bytes = unescape(text);
        if !kind.contains('<') {
            bytes.extend_from_slice(b"\r\n");
        }
        if kind.starts_with('S') {
            let part = &bytes[..bytes.len().min(budget)];
            stream.write_all(part).await.ok()?;
            budget -= part.len();
            if part.len() < bytes.len() {
                return None;
            }
        } else {
            let mut got = vec![0; bytes.len()];
            stream.read_exact(&mut got).await.ok()?;
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(&bytes)
            );
        }
    }
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.ok()?;
    Some(rest)
}

/// Whether the session, having had every chance, sends nothing.
async fn is_quiet(stream: &mut DuplexStream) -> bool {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut byte = [0];
    let mut byte = tokio::io::ReadBuf::new(&mut byte);
    let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut byte)));
    read.await.is_pending()
}

/// A session with a peer that plays the script, through a pipe of the given width.
async fn session_with(
    script: &str,
    width: usize,
    budget: usize,
    spool: Option<SpoolOptions>,
) -> Result<Session, Pop3Error> {
    let (ours, theirs) = duplex(width);
    tokio::spawn(play(theirs, script.to_owned(), budget));
    over(ours, Security::Tls, spool).await
}

async fn over(
    stream: DuplexStream,
    security: Security,
    spool: Option<SpoolOptions>,
) -> Result<Session, Pop3Error> {
    let net = options();
    let transport = Transport::memory(stream, &net);
    Session::over(transport, &endpoint(security), &net, &credentials(), spool).await
}

async fn session(script: &str) -> Result<Session, Pop3Error> {
    session_with(script, 4096, usize::MAX, None).await
}

/// A session with a server that has everything.
async fn signed_in(more: &str) -> Session {
    session(&format!("{DOVECOT}{more}")).await.unwrap()
}

/// Why a peer was not let in. Nothing may come behind the script.
async fn refused(script: &str) -> Pop3Error {
    let (ours, theirs) = duplex(4096);
    let peer = tokio::spawn(play(theirs, script.to_owned(), usize::MAX));
    let error = over(ours, Security::Tls, None).await.unwrap_err();
    let rest = peer.await.unwrap();
    assert_eq!(rest.unwrap_or_default(), "", "{script}");
    error
}

fn spool(dir: &tempfile::TempDir, threshold: u64) -> SpoolOptions {
    let path = dir.path().join("spooled");
    let open = Arc::new(move || Ok((std::fs::File::create_new(&path)?, path.clone())));
    SpoolOptions {
        threshold,
        ..SpoolOptions::new(open)
    }
}

fn bytes(body: Body) -> Vec<u8> {
    match body {
        Body::Memory(bytes) => bytes,
        Body::Spooled(body) => std::fs::read(body.path()).unwrap(),
    }
}

/// An answer as text, for comparison.
fn told(answer: Answer) -> (Ask, String) {
    let outcome = match answer.outcome {
        Outcome::Message(body) => String::from_utf8(bytes(body)).unwrap(),
        Outcome::Done => "done".into(),
        Outcome::Refused { words } => format!("refused: {words}"),
    };
    (answer.ask, outcome)
}

/// All answers outstanding.
async fn answers(session: &mut Session) -> Result<Vec<(Ask, String)>, Pop3Error> {
    let mut found = Vec::new();
    while let Some(answer) = session.next().await? {
        found.push(told(answer));
    }
    Ok(found)
}

/// Everything a backup does.
const WHOLE: &str = "\
C: LIST
C: UIDL
S: +OK 3 messages:
S: 1 13
S: 2 120 octets
S: 3 7
S: .
S: +OK
S: 1 aaa
S: 2 b b
S: .
C: TOP 1 0
C: RETR 1
S: +OK
S: Subject: a
S: 
S: .
C: RETR 2
S: +OK 13 octets
S: Subject: a
S: 
S: ..
S: .
S: -ERR there is no such message
C: DELE 1
S: +OK Marked to be deleted.
C: QUIT
S: +OK Logging out, messages deleted.
";

/// [`WHOLE`] from our side; `seen` gets the answers as they come.
async fn back_up(session: Session, seen: &mut Vec<(Ask, String)>) -> Result<Listing, Pop3Error> {
    let mut session = session;
    let listing = session.list().await?;
    for ask in [Ask::Top(1), Ask::Retr(1), Ask::Retr(2)] {
        session.ask(ask);
    }
    while let Some(answer) = session.next().await? {
        seen.push(told(answer));
    }
    session.ask(Ask::Dele(1));
    seen.extend(session.next().await?.map(told));
    session.quit().await?;
    Ok(listing)
}

fn expected() -> Vec<(Ask, String)> {
    vec![
        (Ask::Top(1), "Subject: a\r\n\r\n".into()),
        (Ask::Retr(1), "Subject: a\r\n\r\n.\r\n".into()),
        (Ask::Retr(2), "refused: there is no such message".into()),
        (Ask::Dele(1), "done".into()),
    ]
}

fn offered(number: u32, size: Option<u64>, uidl: Option<&str>) -> Offered {
    Offered {
        number,
        size,
        uidl: uidl.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_session_reads_the_same_in_any_chunking() {
    for width in [1, 3, 64, 100_000] {
        let script = format!("{DOVECOT}{WHOLE}");
        let session = session_with(&script, width, usize::MAX, None)
            .await
            .unwrap();
        assert_eq!(session.greeting(), "Dovecot ready.");
        let capabilities = session.capabilities();
        assert!(capabilities.known && capabilities.pipelining);
        assert_eq!(capabilities.implementation.as_deref(), Some("dove"));
        let mut seen = Vec::new();
        let listing = back_up(session, &mut seen).await.unwrap();
        let messages = vec![
            offered(1, Some(13), Some("aaa")),
            offered(2, Some(120), Some("b b")),
            offered(3, Some(7), None),
        ];
        assert_eq!(
            listing,
            Listing {
                messages,
                uidl: true
            }
        );
        assert_eq!(seen, expected(), "{width}");
    }
}

#[tokio::test]
async fn a_connection_cut_at_any_byte_is_an_error_and_never_a_short_message() {
    let script = format!("{DOVECOT}{WHOLE}");
    let mut cut = 0;
    loop {
        let mut seen = Vec::new();
        let result = match session_with(&script, 4096, cut, None).await {
            Ok(session) => back_up(session, &mut seen).await.map(drop),
            Err(error) => Err(error),
        };
        assert_eq!(seen, expected()[..seen.len()], "cut at {cut}");
        match result {
            Ok(()) => break assert_eq!(seen, expected()),
            Err(Pop3Error::Io { source }) => {
                let kind = source.kind();
                // The peer may be gone before our next command is written.
                let eof = kind == std::io::ErrorKind::UnexpectedEof;
                assert!(
                    eof || kind == std::io::ErrorKind::BrokenPipe,
                    "{cut}: {kind}"
                );
            }
            Err(error) => panic!("cut at {cut}: {error:?}"),
        }
        cut += 1;
    }
    assert!(cut > 350, "{cut}");
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let timed_out = |error: Pop3Error| matches!(&error, Pop3Error::Io { source } if source.kind() == std::io::ErrorKind::TimedOut);
    assert!(timed_out(refused("S< +OK\n").await));
    let mut session = signed_in("C: RETR 1\nS: +OK\nS< half a message\\r\\n.\n").await;
    session.ask(Ask::Retr(1));
    assert!(timed_out(session.next().await.unwrap_err()));
    // Nothing is believed of a session that failed.
    assert!(session.next().await.is_err());
    assert!(session.quit().await.is_err());
    let session = signed_in("C: QUIT\n").await;
    assert!(timed_out(session.quit().await.unwrap_err()));
    // One that greets and then does not even read.
    let (ours, mut theirs) = duplex(5);
    theirs.write_all(b"+OK\r\n").await.unwrap();
    assert!(timed_out(
        over(ours, Security::Tls, None).await.unwrap_err()
    ));
    drop(theirs);
}
