//! What goes out, and refusals.

use std::sync::Arc;

use super::*;
use crate::spool::{Body, SpoolOptions, Spooling};

/// The bytes behind DATA, without the final dot.
async fn on_the_wire(message: SmtpBody<'_>, width: usize) -> Vec<u8> {
    let (ours, mut theirs) = duplex(width);
    let peer = tokio::spawn(async move {
        let mut wire = Vec::new();
        let answers = [
            "220",
            "250-x\r\n250 8BITMIME",
            "250",
            "250",
            "354",
            "250 done",
        ];
        for (number, answer) in answers.iter().enumerate() {
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.write_all(b"\r\n").await.unwrap();
            wire.clear();
            let end: &[u8] = if number == 4 { b"\r\n.\r\n" } else { b"\r\n" };
            while number < 5 && !wire.ends_with(end) {
                wire.push(theirs.read_u8().await.unwrap());
            }
            if number == 4 {
                wire.truncate(wire.len() - 3);
                let message = std::mem::take(&mut wire);
                theirs.write_all(b"250 done\r\n").await.unwrap();
                let mut rest = Vec::new();
                theirs.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, b"");
                return message;
            }
        }
        unreachable!()
    });
    let mut session = over(ours, Security::Tls, None, false).await.unwrap();
    let reply = session.send("", TO, message).await.unwrap();
    assert_eq!(reply, accepted("done"));
    drop(session);
    peer.await.unwrap()
}

#[tokio::test]
async fn bytes_are_unchanged_but_for_dots_and_the_last_line_end() {
    for (message, wire) in [
        (b"".as_slice(), b"\r\n".as_slice()),
        (b"\r\n", b"\r\n"),
        (b"\r\n\r\n", b"\r\n\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a", b"a\r\n"),
        (b"a\r\n\r\n", b"a\r\n\r\n"),
        (b"a\n", b"a\n\r\n"),
        (b"a\r", b"a\r\r\n"),
        (b"a\nb\rc\r\r\nd\r\n", b"a\nb\rc\r\r\nd\r\n"),
        (b".", b"..\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"..\r\n", b"...\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n"),
        (b"a\n.b\r.c\r\n", b"a\n.b\r.c\r\n"),
        (b"\0\xff\xe9\x80\r\n", b"\0\xff\xe9\x80\r\n"),
        (b"EHLO x\r\nQUIT\r\n", b"EHLO x\r\nQUIT\r\n"),
    ] {
        for width in [1, 3, 4096] {
            let got = on_the_wire(SmtpBody::Memory(message), width).await;
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
            assert_eq!(shown(&got), shown(wire), "{width}");
        }
    }
}

fn spooled(dir: &tempfile::TempDir, bytes: &[u8]) -> Body {
    let path = dir.path().join("spooled");
    let open = Arc::new(move || Ok((std::fs::File::create_new(&path)?, path.clone())));
    let mut spooling = Spooling::open(&SpoolOptions::new(open)).unwrap();
    spooling.write(bytes).unwrap();
    Body::Spooled(spooling.finish())
}

#[tokio::test]
async fn a_large_message_comes_from_its_file_as_it_would_from_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    // Dots and line ends fall on every place in a part, and on its borders.
    for end in ["", "x", "\r\n"] {
        let mut message = ".some line\r\n..\r\n.\r\n".repeat(20_000).into_bytes();
        message.extend_from_slice(end.as_bytes());
        let body = spooled(&dir, &message);
        let got = on_the_wire(SmtpBody::from(&body), 4096).await;
        let text = String::from_utf8(message).unwrap();
        let missing = if end == "x" { "\r\n" } else { "" };
        let stuffed = format!("{text}{missing}").replace("\r\n.", "\r\n..");
        assert!(got == format!(".{stuffed}").into_bytes(), "{end:?}");
        let in_memory = on_the_wire(SmtpBody::Memory(text.as_bytes()), 4096).await;
        assert!(got == in_memory, "{end:?}");
    }
}

#[tokio::test]
async fn size_and_body_are_declared_where_the_server_knows_them() {
    for (extensions, message, parameters) in [
        (&["SIZE"][..], b"a\r\n".as_slice(), " SIZE=3"),
        (&["SIZE 10"], b"a", " SIZE=3"),
        (&["SIZE 0"], b".\r\n.\r\n", " SIZE=6"),
        (&["8BITMIME"], b"a", ""),
        (&["8BITMIME"], b"\xe9", " BODY=8BITMIME"),
        (&["8BITMIME", "SIZE"], b"\xe9\r\n", " SIZE=3 BODY=8BITMIME"),
        (&[], b"a", ""),
    ] {
        let lines = extensions.iter().map(|line| format!("S: 250-{line}\n"));
        let hello = format!("S: 250-x\n{}S: 250 HELP\n", lines.collect::<String>());
        let mail = format!("C: MAIL FROM:<>{parameters}\nS: 550 no\n");
        let script = format!("S: 220\nC: EHLO [127.0.0.1]\n{hello}{mail}");
        let (session, peer) = session_with(&script, 4096, usize::MAX, None).await;
        let mut session = session.unwrap();
        let reply = session.send("", TO, SmtpBody::Memory(message)).await;
        assert_eq!(reply.unwrap(), refused(550, "no", Stage::MailFrom));
        drop(session);
        assert_whole(peer).await;
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_here_and_the_session_goes_on() {
    let script = "S: 220\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250 SIZE\n";
    let script = format!("{script}{ENVELOPE}{SENT}");
    let (session, peer) = session_with(&script, 4096, usize::MAX, None).await;
    let mut session = session.unwrap();
    let body = |bytes| SmtpBody::Memory(bytes);
    for (from, to, message, expected) in [
        ("anna", TO, b"a".as_slice(), "Address"),
        (FROM, "x@y\r\nDATA", b"a", "Address"),
        (FROM, "", b"a", "Address"),
        (FROM, TO, b"\xe9", "EightBit"),
        (FROM, TO, b"a\n.\r\nMAIL FROM:<>\r\n", "LoneDot"),
    ] {
        let error = session.send(from, to, body(message)).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert_eq!(error.disposition(), (Scope::Message, Disposition::Skip));
    }
    let reply = send(&mut session, b"a\r\n").await.unwrap();
    assert_eq!(reply, accepted("2.0.0 Ok: queued as 1"));
    drop(session);
    assert_whole(peer).await;
}

#[tokio::test]
async fn a_refusal_at_any_stage_leaves_the_session_and_the_next_message_goes_out() {
    let mail = "C: MAIL FROM:<anna@example.org> SIZE=3\n";
    let rcpt = "S: 250 ok\nC: RCPT TO:<archive@example.net>\n";
    let data = "S: 251 will forward\nC: DATA\n";
    let body = "S: 354 go\nC: a\nC: .\n";
    for (before, answer, after, expected) in [
        (
            mail.to_owned(),
            "552 5.3.4 too large",
            "",
            refused(552, "5.3.4 too large", Stage::MailFrom),
        ),
        (
            format!("{mail}{rcpt}"),
            "450 4.2.0 greylisted",
            "C: RSET\nS: 250 ok\n",
            refused(450, "4.2.0 greylisted", Stage::RcptTo),
        ),
        (
            format!("{mail}{rcpt}{data}"),
            "503 5.5.1 no recipients",
            "C: RSET\nS: 250 ok\n",
            refused(503, "5.5.1 no recipients", Stage::Data),
        ),
        (
            format!("{mail}{rcpt}{data}{body}"),
            "571 5.7.1 spam\\xe9",
            "",
            refused(571, "5.7.1 spam\u{fffd}", Stage::End),
        ),
        (
            format!("{mail}{rcpt}{data}{body}"),
            "451",
            "",
            refused(451, "", Stage::End),
        ),
    ] {
        let script = format!("{before}S: {answer}\n{after}{ENVELOPE}{SENT}");
        let (mut session, peer) = session(&script).await;
        let reply = send(&mut session, b"a\r\n").await.unwrap();
        assert_eq!(reply, expected, "{script}");
        assert!(reply.disposition().is_some());
        let reply = send(&mut session, b"a\r\n").await.unwrap();
        assert_eq!(reply, accepted("2.0.0 Ok: queued as 1"), "{script}");
        assert_eq!(reply.disposition(), None);
        drop(session);
        assert_whole(peer).await;
    }
}

#[tokio::test]
async fn lmtp_has_one_reply_for_one_recipient() {
    let script = "S: 220 LMTP\nC: LHLO [127.0.0.1]\nS: 250-x\nS: 250 SIZE\n";
    let refused_once = SENT.replace("250 2.0.0 Ok: queued as 1", "552 5.2.2 full");
    let script = format!("{script}{ENVELOPE}{refused_once}{ENVELOPE}{SENT}");
    for width in [1, 4096] {
        let (session, peer) = session_with(&script, width, usize::MAX, None).await;
        let mut session = session.unwrap();
        let reply = send(&mut session, b"a\r\n").await.unwrap();
        assert_eq!(reply, refused(552, "5.2.2 full", Stage::End));
        let reply = send(&mut session, b"a\r\n").await.unwrap();
        assert_eq!(reply, accepted("2.0.0 Ok: queued as 1"));
        drop(session);
        assert_whole(peer).await;
    }
}
