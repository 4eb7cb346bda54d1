//! Sessions against a peer that knows no protocol: it sends, it expects, it hangs up.

mod connect;
mod reading;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::model::{Listing, UidSet};
use crate::net::{Disposition, Endpoint, NetOptions, Scope, Security, Timeouts, Transport};
use crate::secret::{Credentials, Secret};
use crate::spool::{Body, SpoolOptions};

const ZOHO: &str = "\
S: * OK svwall.zoho.com IMAP4 Server (Zoho Mail IMAP4rev1 Server version 1.0)
C: m1 CAPABILITY
S: * CAPABILITY IMAP4rev1 UNSELECT AUTH=PLAIN SASL-IR ID CONDSTORE
S: m1 OK CAPABILITY completed
C: m2 AUTHENTICATE PLAIN AGFubmEAcyBlInJldA==
S: * CAPABILITY IMAP4rev1 UNSELECT CHILDREN XLIST NAMESPACE IDLE MOVE ID AUTH=PLAIN SASL-IR UIDPLUS ESEARCH LIST-EXTENDED LIST-STATUS WITHIN LITERAL- APPENDLIMIT=20971520 CONDSTORE
S: m2 OK Success
C: m3 ID (\"name\" \"mailstow\" \"version\" \"VERSION\")
S: * ID NIL
S: m3 OK ID
";

const PLAIN_LOGIN: &str = "\
S: * OK [CAPABILITY IMAP4rev1] ready
C: m1 LOGIN \"anna\" \"s e\\\"ret\"
S: m1 OK [CAPABILITY IMAP4rev1] in
";

pub(super) fn credentials() -> Credentials {
    Credentials {
        user: "anna".into(),
        secret: Secret::new("s e\"ret".into()),
        authzid: None,
    }
}

pub(super) fn endpoint(security: Security) -> Endpoint {
    Endpoint {
        host: "localhost".into(),
        port: 143,
        security,
    }
}

pub(super) fn options() -> NetOptions {
    let wait = Duration::from_millis(300);
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

/// Plays a script: `S: ` lines are sent, `C: ` lines are expected, `S< ` and `C< ` lines
/// come without CRLF. At most `budget` bytes are sent, then the peer hangs up.
pub(super) async fn play(
    mut stream: DuplexStream,
    script: String,
    mut budget: usize,
) -> Option<String> {
    for line in script.replace("VERSION", env!("CARGO_PKG_VERSION")).lines() {
        let (kind, text) = line.split_at(3);
        let text = text.replace("\\r", "\r").replace("\\n", "\n");
        let end = if kind.contains('<') { "" } else { "\r\n" };
        let bytes = format!("{text}{end}").into_bytes();
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

/// A session with a peer that plays the script, through a pipe of the given width.
async fn session(script: &str, width: usize) -> Result<Session, ImapError> {
    session_with(script, width, usize::MAX, Security::Tls, None).await
}

async fn session_with(
    script: &str,
    width: usize,
    budget: usize,
    security: Security,
    spool: Option<SpoolOptions>,
) -> Result<Session, ImapError> {
    let (ours, theirs) = duplex(width);
    tokio::spawn(play(theirs, script.to_owned(), budget));
    let net = options();
    let transport = Transport::memory(ours, &net);
    Session::over(transport, &endpoint(security), &net, &credentials(), spool).await
}

async fn signed_in(more: &str) -> Session {
    session(&format!("{PLAIN_LOGIN}{more}"), 4096)
        .await
        .unwrap()
}

/// Why a peer was not let in.
async fn refused(script: &str) -> ImapError {
    session(script, 4096).await.unwrap_err()
}

pub(super) fn uids(uids: &[u32]) -> UidSet {
    uids.iter().copied().collect()
}

/// The bodies of all outstanding fetches, and how they ended.
async fn bodies(session: &mut Session) -> Result<Vec<(u32, Option<Vec<u8>>)>, ImapError> {
    let mut found = Vec::new();
    while let Some(event) = session.next_body().await? {
        match event {
            BodyEvent::Message { uid, body } => found.push((uid, body.map(bytes))),
            BodyEvent::BatchDone { status } => assert!(status.is_ok(), "{status:?}"),
            BodyEvent::Expunged => {}
        }
    }
    Ok(found)
}

fn bytes(body: Body) -> Vec<u8> {
    match body {
        Body::Memory(bytes) => bytes,
        Body::Spooled(body) => std::fs::read(body.path()).unwrap(),
    }
}

const WHOLE: &str = "\
C: m4 LIST \"\" \"*\"
S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"
S: * LIST (\\Noinferiors \\Sent) \"/\" \"&XfJT0ZABkK5O9g-\"
S: * LIST (\\HasNoChildren) \"/\" \"Inbox\"
S: * LIST (\\Noselect) \"/\" {5}
S: a\"b\\c
S: m4 OK
C: m5 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)
S: * STATUS \"INBOX\" (MESSAGES 2 UIDNEXT 9 UIDVALIDITY 1 HIGHESTMODSEQ 77) 
S: m5 OK
C: m6 STATUS \"gone\" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)
S: m6 NO no such mailbox
C: m7 EXAMINE \"INBOX\" (CONDSTORE)
S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)
S: * 2 EXISTS
S: * 0 RECENT
S: * OK [UNSEEN 3]
S: * OK [UIDVALIDITY 1] UIDs valid
S: * OK [UIDNEXT 9] Predicted next UID
S: * OK [HIGHESTMODSEQ 77]
S: m7 OK [READ-ONLY] EXAMINE completed
C: m8 UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)
S: * 2 FETCH (INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" UID 8 RFC822.SIZE 10 FLAGS ())
S: * 1 FETCH (FLAGS (\\Seen \\*) UID 7 RFC822.SIZE 6 INTERNALDATE \" 1-May-2024 10:00:00 +0200\")
S: m8 OK
C: m9 UID FETCH 7:8 (UID BODY.PEEK[])
S: * 2 FETCH (FLAGS (\\Seen))
S: * 1 FETCH (UID 7 BODY[] {6}
S< a\\r\\n\\r\\nb)\\r\\n
S: * 3 EXISTS
S: * 2 FETCH (BODY[] {10}
S< c\\r\\n\\r\\nm9 OK UID 8)\\r\\n
S: m9 OK
";

/// Everything a backup does; `seen` gets the bodies as they come.
async fn back_up(
    session: &mut Session,
    seen: &mut Vec<(u32, Option<Vec<u8>>)>,
) -> Result<(Vec<ListedMailbox>, Vec<bool>, Examined, Listing), ImapError> {
    let listed = session.list().await?;
    let status = session.status(&["INBOX".into(), "gone".into()]).await?;
    let examined = session.examine("INBOX").await?;
    let listing = session.list_messages("1:*").await?;
    session.send_body_fetch(&uids(&[7, 8])).await?;
    seen.extend(bodies(session).await?);
    Ok((
        listed,
        status.iter().map(Option::is_some).collect(),
        examined,
        listing,
    ))
}

fn expected() -> Vec<(u32, Option<Vec<u8>>)> {
    vec![
        (7, Some(b"a\r\n\r\nb".to_vec())),
        (8, Some(b"c\r\n\r\nm9 OK".to_vec())),
    ]
}

#[tokio::test]
async fn a_zoho_session_reads_the_same_in_any_chunking() {
    for width in [1, 3, 64, 100_000] {
        let mut session = session(&format!("{ZOHO}{WHOLE}"), width).await.unwrap();
        assert_eq!(session.quirks().max_connections, 1);
        assert!(session.capabilities().has("uidplus"));
        let mut seen = Vec::new();
        let (listed, status, examined, listing) = back_up(&mut session, &mut seen).await.unwrap();
        let names: Vec<String> = listed.iter().map(ListedMailbox::name).collect();
        assert_eq!(names, ["INBOX", "已发送邮件", "a\"b\\c"]);
        assert_eq!(listed[1].special_use(), Some("\\Sent"));
        assert!(!listed[2].selectable());
        assert_eq!(listed[0].separator, Some('/'));
        assert_eq!(status, [true, false]);
        let all = Examined {
            exists: 2,
            uidvalidity: Some(1),
            uidnext: Some(9),
            highestmodseq: Some(77),
        };
        assert_eq!(examined, all);
        let first = listing.messages[0];
        assert_eq!((first.uid, first.size), (7, 6));
        assert_eq!(
            first.date().unwrap().to_string(),
            "2024-05-01T10:00:00+02:00"
        );
        let flags: Vec<&str> = listing.flags.get(first.flags).unwrap().iter().collect();
        assert_eq!(flags, ["\\Seen"]);
        assert_eq!(seen, expected());
    }
}

#[tokio::test]
async fn a_connection_cut_at_any_byte_is_an_error_and_never_a_short_message() {
    let script = format!("{ZOHO}{WHOLE}");
    let mut cut = 0;
    loop {
        let mut seen = Vec::new();
        let result = match session_with(&script, 4096, cut, Security::Tls, None).await {
            Ok(mut session) => back_up(&mut session, &mut seen).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(seen.iter().all(|message| expected().contains(message)));
        match result {
            Ok(()) => {
                assert_eq!(seen, expected());
                break;
            }
            Err(ImapError::Io { source }) => {
                assert_eq!(
                    source.kind(),
                    std::io::ErrorKind::UnexpectedEof,
                    "cut at {cut}"
                );
            }
            Err(error) => panic!("cut at {cut}: {error:?}"),
        }
        cut += 1;
    }
    assert!(cut > 1000, "{cut}");
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let mut session = signed_in("C: m2 NOOP\nS< * 1 FET\n").await;
    let error = session.noop().await.unwrap_err();
    assert!(
        matches!(&error, ImapError::Io { source } if source.kind() == std::io::ErrorKind::TimedOut),
        "{error:?}"
    );
    let error = refused("S< * OK\n").await;
    assert!(
        matches!(error, ImapError::Io { source } if source.kind() == std::io::ErrorKind::TimedOut)
    );
}

#[tokio::test]
async fn wrong_tags_bye_and_garbage_end_the_session_with_an_error() {
    for (answer, expected) in [
        ("m9 OK", "Parse"),
        ("x OK", "Parse"),
        ("m2 WHAT", "Parse"),
        ("* BYE closing", "Bye"),
        ("* 1 FETCH (UID (", "Parse"),
        ("* 1 FETCH (BODY[] {-1}", "LiteralTooLarge"),
        ("+ more?", "Parse"),
        ("m2 BAD what", "Bad"),
    ] {
        let mut session = signed_in(&format!("C: m2 NOOP\nS: {answer}\n")).await;
        let error = session.noop().await.unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{answer}: {error:?}"
        );
    }
    let noise = "S: * OK [APPENDUID 1 2] x\nS: * OK [COPYUID 1 2 3] x\nS: * NO [WEIRD a b] x\nS: * OK [ALERT]\u{e9}\nS: * NO [BADCHARSET (\"]\")]\u{e9}\nS: * OK [PERMANENTFLAGS (a]b)]\u{e9}\n";
    let mut session = signed_in(&format!(
        "C: m2 NOOP\n{noise}S: m2 OK [CAPABILITY IMAP4rev1 X] x\n"
    ))
    .await;
    session.noop().await.unwrap();
    assert!(!session.capabilities().has("X"));
}
