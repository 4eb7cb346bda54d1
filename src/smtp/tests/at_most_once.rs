//! What is known of a message whose session broke.

use std::time::Instant;

use super::*;
use crate::spool::{Body, SpoolOptions, Spooling};

#[tokio::test]
async fn a_connection_cut_at_any_byte_leaves_a_doubt_only_behind_the_final_dot() {
    let script = format!("{HELLO}{ENVELOPE}{SENT}{ENVELOPE}{SENT}C: QUIT\nS: 221 bye\n");
    for width in [1, 4096] {
        let (mut budget, mut doubts) = (0, 0);
        loop {
            let (session, peer) = session_with(&script, width, budget, None).await;
            let (mut taken, mut error) = (0, None);
            match session {
                Ok(mut session) => {
                    while taken < 2 && error.is_none() {
                        match send(&mut session, b"a\r\n").await {
                            Ok(reply) => {
                                assert_eq!(reply, accepted("2.0.0 Ok: queued as 1"));
                                taken += 1;
                            }
                            Err(failed) => error = Some(failed),
                        }
                    }
                    if error.is_some() {
                        // Nothing is believed of a session that failed.
                        let over = send(&mut session, b"a\r\n").await.unwrap_err();
                        assert!(matches!(over, SmtpError::SessionOver), "{over:?}");
                        assert!(!over.may_be_delivered());
                    }
                    session.quit().await;
                }
                Err(failed) => error = Some(failed),
            }
            let played = peer.await.unwrap();
            let doubtful = error.as_ref().is_some_and(SmtpError::may_be_delivered);
            assert_eq!(doubtful, played.owes_an_answer, "{budget}: {error:?}");
            doubts += usize::from(doubtful);
            if played.whole {
                assert!(error.is_none());
                break;
            }
            if taken == 2 {
                assert!(error.is_none(), "{budget}: {error:?}");
            }
            budget += 1;
        }
        // A cut ahead of any byte of the two answers.
        let answer = "250 2.0.0 Ok: queued as 1\r\n".len();
        assert_eq!(doubts, 2 * answer, "{width}");
        assert!(budget > 300, "{budget}");
    }
}

/// Everything up to the message, then what `peer` does.
async fn broken_by<F>(width: usize, message: &[u8], peer: fn(DuplexStream) -> F) -> (Outcome, bool)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (ours, mut theirs) = duplex(width);
    let task = tokio::spawn(async move {
        for (answer, command) in [
            ("220", "EHLO"),
            ("250", "MAIL"),
            ("250", "RCPT"),
            ("250", "DATA"),
        ] {
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.write_all(b"\r\n").await.unwrap();
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(theirs.read_u8().await.unwrap());
            }
            assert!(line.starts_with(command.as_bytes()));
        }
        theirs.write_all(b"354\r\n").await.unwrap();
        peer(theirs).await;
    });
    let mut session = over(ours, Security::Tls, None, false).await.unwrap();
    let outcome = send(&mut session, message).await;
    let usable = !matches!(send(&mut session, b"a").await, Err(SmtpError::SessionOver));
    drop(session);
    task.await.unwrap();
    (outcome, usable)
}

type Outcome = Result<SendReply, SmtpError>;

/// Longer than any pipe here.
fn long() -> Vec<u8> {
    b"some line\r\n".repeat(20_000)
}

async fn read(stream: &mut DuplexStream, bytes: usize) {
    let mut part = vec![0; bytes];
    stream.read_exact(&mut part).await.unwrap();
    assert!(!part.windows(5).any(|part| part == b"\r\n.\r\n"));
}

#[tokio::test]
async fn a_server_that_goes_away_before_the_dot_has_delivered_nothing() {
    let (outcome, usable) = broken_by(1000, &long(), |mut theirs| async move {
        read(&mut theirs, 5000).await;
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, SmtpError::Io { .. }), "{error:?}");
    assert!(!error.may_be_delivered() && !usable);
}

#[tokio::test]
async fn a_server_that_says_no_in_the_middle_is_heard() {
    // It hangs up; then it goes on reading, and gets no dot.
    let expected = refused(552, "5.3.4 too large", Stage::End);
    let (outcome, usable) = broken_by(1000, &long(), |mut theirs| async move {
        read(&mut theirs, 5000).await;
        theirs.write_all(b"552 5.3.4 too large\r\n").await.unwrap();
    })
    .await;
    assert_eq!((outcome.unwrap(), usable), (expected.clone(), false));
    let (outcome, usable) = broken_by(1000, &long(), |mut theirs| async move {
        read(&mut theirs, 5000).await;
        theirs.write_all(b"552 5.3.4 too large\r\n").await.unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.ends_with(b".\r\n"));
    })
    .await;
    assert_eq!((outcome.unwrap(), usable), (expected, false));
    let (outcome, _) = broken_by(1000, &long(), |mut theirs| async move {
        read(&mut theirs, 5000).await;
        theirs.write_all(b"421 4.3.2 going down\r\n").await.unwrap();
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, SmtpError::Closing { .. }), "{error:?}");
    assert!(!error.may_be_delivered());
}

#[tokio::test]
async fn an_answer_ahead_of_the_dot_is_not_taken_for_the_answer_to_it() {
    let (outcome, usable) = broken_by(1000, &long(), |mut theirs| async move {
        theirs.write_all(b"250 ok\r\n").await.unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.ends_with(b".\r\n"));
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, SmtpError::OutOfTurn { .. }), "{error:?}");
    assert!(!error.may_be_delivered() && !usable);
}

#[tokio::test]
async fn an_answer_nobody_can_read_behind_the_dot_is_a_doubt_and_421_is_none() {
    for (answer, doubtful) in [
        ("what?", true),
        ("250-ok\nS: 550 no", true),
        ("354 more?", true),
        ("421 4.3.2 going down", false),
    ] {
        let sent = SENT.replace("250 2.0.0 Ok: queued as 1", answer);
        let (mut session, peer) = session(&format!("{ENVELOPE}{sent}")).await;
        let error = send(&mut session, b"a\r\n").await.unwrap_err();
        assert_eq!(error.may_be_delivered(), doubtful, "{error:?}");
        drop(session);
        assert!(peer.await.unwrap().whole);
    }
}

#[tokio::test]
async fn answers_that_are_out_of_step_never_reach_a_message() {
    // The answers to RCPT and DATA are each a reply late.
    let late = "\
C: MAIL FROM:<anna@example.org> SIZE=3
S: 250 ok
C: RCPT TO:<archive@example.net>
S: 250 ok
C: DATA
S: 250 ok
";
    let (mut session, peer) = session(late).await;
    let error = send(&mut session, b"a\r\n").await.unwrap_err();
    let unexpected = matches!(
        &error,
        SmtpError::Unexpected {
            command: "DATA",
            code: 250,
            ..
        }
    );
    assert!(unexpected && !error.may_be_delivered(), "{error:?}");
    drop(session);
    assert_whole(peer).await;
    // One that comes while nothing was asked is seen before the next command.
    for (stray, expected) in [("250 ok", "OutOfTurn"), ("421 4.4.2 idle", "Closing")] {
        let sent = SENT.replace("queued as 1", &format!("queued as 1\\r\\n{stray}"));
        let (mut session, peer) = super::session(&format!("{ENVELOPE}{sent}")).await;
        let reply = send(&mut session, b"a\r\n").await.unwrap();
        assert_eq!(reply, accepted("2.0.0 Ok: queued as 1"));
        let error = send(&mut session, b"a\r\n").await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert!(!error.may_be_delivered());
        drop(session);
        assert_whole(peer).await;
    }
}

#[tokio::test]
async fn the_server_has_time_to_answer_a_message_and_not_for_ever() {
    let wait = Duration::from_millis(100);
    for (script, doubtful) in [
        (format!("{HELLO}{ENVELOPE}C: a\nC: .\n"), true),
        (
            format!("{HELLO}C: MAIL FROM:<anna@example.org> SIZE=3\n"),
            false,
        ),
    ] {
        let (ours, theirs) = duplex(4096);
        let peer = tokio::spawn(play(theirs, script, usize::MAX));
        let net = options(wait);
        let transport = Transport::memory(ours, &net);
        let endpoint = endpoint(Security::Tls);
        let session = SmtpSession::over(transport, &endpoint, &net, None, false).await;
        let mut session = session.unwrap();
        let begun = Instant::now();
        let error = send(&mut session, b"a\r\n").await.unwrap_err();
        assert!(begun.elapsed() >= wait * if doubtful { 5 } else { 1 });
        assert_eq!(error.may_be_delivered(), doubtful, "{error:?}");
        drop(session);
        assert!(peer.await.unwrap().whole);
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_to_its_end_gets_no_dot() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("spooled");
    let open = {
        let path = path.clone();
        std::sync::Arc::new(move || Ok((std::fs::File::create_new(&path)?, path.clone())))
    };
    let mut spooling = Spooling::open(&SpoolOptions::new(open)).unwrap();
    spooling.write(&long()).unwrap();
    let body = Body::Spooled(spooling.finish());
    // Shorter than it should be from the start: nothing is sent.
    let (mut session, peer) = session("").await;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(100_000).unwrap();
    let error = session.send(FROM, TO, SmtpBody::from(&body)).await;
    assert!(matches!(error.unwrap_err(), SmtpError::Body { .. }));
    drop(session);
    assert_whole(peer).await;
    // Cut while it is being sent: everything up to there, and no more.
    file.set_len(220_000).unwrap();
    let (ours, mut theirs) = duplex(1000);
    let peer = tokio::spawn(async move {
        for answer in ["220", "250", "250", "250"] {
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.write_all(b"\r\n").await.unwrap();
            while theirs.read_u8().await.unwrap() != b'\n' {}
        }
        file.set_len(100_000).unwrap();
        theirs.write_all(b"354\r\n").await.unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let mut session = over(ours, Security::Tls, None, false).await.unwrap();
    let error = session.send(FROM, TO, SmtpBody::from(&body)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, SmtpError::Body { .. }), "{error:?}");
    assert!(!error.may_be_delivered());
    drop(session);
    let rest = peer.await.unwrap();
    assert_eq!(rest.len(), 100_000);
    assert!(!rest.ends_with(b".\r\n"));
}

#[tokio::test]
async fn a_send_that_was_dropped_ends_the_session() {
    let (mut session, peer) = session(&format!("{ENVELOPE}C: a\nC: .\n")).await;
    let wait = Duration::from_millis(50);
    let dropped = tokio::time::timeout(wait, send(&mut session, b"a\r\n")).await;
    assert!(dropped.is_err());
    let error = send(&mut session, b"a\r\n").await.unwrap_err();
    assert!(matches!(error, SmtpError::SessionOver), "{error:?}");
    session.quit().await;
    assert!(peer.await.unwrap().rest.is_empty());
}
