//! TOP, RETR, DELE and QUIT.

use super::*;

#[tokio::test]
async fn pipelined_answers_belong_to_their_commands() {
    let mut session = signed_in(
        "C: RETR 1\nC: RETR 2\nC: TOP 3 0\nC: DELE 4\nC: RETR 5\nC: DELE 6\n\
         S: +OK\nS: ..\nS: .\nS: -ERR [SYS/TEMP] try later\nS: +OK top\nS: .\n\
         S: -ERR\nS: +OK\nS: -ERR is what this mail says\nS: .\nS: +OK\n",
    )
    .await;
    let asks = [
        Ask::Retr(1),
        Ask::Retr(2),
        Ask::Top(3),
        Ask::Dele(4),
        Ask::Retr(5),
        Ask::Dele(6),
    ];
    asks.into_iter().for_each(|ask| session.ask(ask));
    let seen = answers(&mut session).await.unwrap();
    let outcomes = [
        ".\r\n",
        "refused: [SYS/TEMP] try later",
        "",
        "refused: ",
        "-ERR is what this mail says\r\n",
        "done",
    ];
    let expected: Vec<_> = asks.into_iter().zip(outcomes.map(str::to_owned)).collect();
    assert_eq!(seen, expected);
    assert!(session.next().await.unwrap().is_none());
}

#[tokio::test]
async fn any_byte_may_stand_in_a_message() {
    let mut session = signed_in(
        "C: RETR 1\nS< +OK\\r\\n\\x00\\xff\\x80 \\r \\n.\\n\\r\\n..\\r\\n...\\r\\n\\r\\n\\x1b.\\r\\n.\\r\\n\n",
    )
    .await;
    session.ask(Ask::Retr(1));
    let Some(Answer {
        outcome: Outcome::Message(body),
        ..
    }) = session.next().await.unwrap()
    else {
        panic!("no message");
    };
    let expected = b"\0\xff\x80 \r \n.\n\r\n.\r\n..\r\n\r\n\x1b.\r\n";
    assert_eq!(bytes(body), expected);
}

#[tokio::test]
async fn large_messages_are_spooled_and_small_ones_are_not() {
    let dir = tempfile::TempDir::new().unwrap();
    let script = format!(
        "{DOVECOT}C: RETR 1\nC: RETR 2\nS: +OK\nS: ..elve bytes\nS: .\nS: +OK\nS: abc\nS: .\n"
    );
    for width in [1, 4096] {
        let spool = spool(&dir, 10);
        let mut session = session_with(&script, width, usize::MAX, Some(spool))
            .await
            .unwrap();
        session.ask(Ask::Retr(1));
        session.ask(Ask::Retr(2));
        let Some(Answer {
            ask: Ask::Retr(1),
            outcome: Outcome::Message(Body::Spooled(body)),
        }) = session.next().await.unwrap()
        else {
            panic!("not spooled");
        };
        assert_eq!(std::fs::read(body.path()).unwrap(), b".elve bytes\r\n");
        let rest = answers(&mut session).await.unwrap();
        assert_eq!(rest, [(Ask::Retr(2), "abc\r\n".into())]);
        drop(body);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    // A connection that is lost leaves no file behind.
    let cut = script.find("elve").unwrap();
    let spool = SpoolOptions {
        threshold: 1,
        ..spool(&dir, 1)
    };
    let mut session = session_with(&script, 4096, cut, Some(spool)).await.unwrap();
    session.ask(Ask::Retr(1));
    assert!(session.next().await.is_err());
    drop(session);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_answer_that_is_none_ends_the_session() {
    for answer in ["what?", "", "+ ", "+OKAY", "."] {
        let mut session = signed_in(&format!(
            "C: RETR 1\nC: RETR 2\nS: {answer}\nS: +OK\nS: .\n"
        ))
        .await;
        session.ask(Ask::Retr(1));
        session.ask(Ask::Retr(2));
        let error = session.next().await.unwrap_err();
        assert!(
            matches!(&error, Pop3Error::Parse { command: "RETR", line } if *line == answer.trim_end()),
            "{answer}: {error:?}"
        );
        assert!(session.next().await.is_err());
    }
    let script = format!("{DOVECOT}C: RETR 1\nS: +OK\nS: 123\nS: .\n");
    let dir = tempfile::TempDir::new().unwrap();
    let spool = SpoolOptions {
        max: 4,
        ..spool(&dir, 2)
    };
    let mut session = session_with(&script, 4096, usize::MAX, Some(spool))
        .await
        .unwrap();
    session.ask(Ask::Retr(1));
    let error = session.next().await.unwrap_err();
    assert!(
        matches!(
            error,
            Pop3Error::MessageTooLarge {
                number: 1,
                limit: 4
            }
        ),
        "{error:?}"
    );
}

/// Plays a sign-in, whatever it is answered; the peer's side of the connection after it.
async fn let_in(mut stream: DuplexStream, script: &str) -> DuplexStream {
    for (kind, text) in script.lines().map(|line| line.split_at(3)) {
        let bytes = format!("{text}\r\n").into_bytes();
        if kind == "S: " {
            stream.write_all(&bytes).await.unwrap();
        } else {
            stream.read_exact(&mut vec![0; bytes.len()]).await.unwrap();
        }
    }
    stream
}

#[tokio::test]
async fn neither_side_waits_for_the_other() {
    // The peer reads one command, then nothing before all its answers are written; neither
    // the commands nor the answers fit into the pipe.
    let count = 500;
    let (ours, theirs) = duplex(256);
    let peer = tokio::spawn(async move {
        let mut theirs = let_in(theirs, DOVECOT).await;
        theirs.read_exact(&mut [0; 8]).await.unwrap();
        for n in 1..=count {
            let answer = format!("+OK\r\n{}\r\n.\r\n", "x".repeat(n));
            theirs.write_all(answer.as_bytes()).await.unwrap();
        }
        let mut commands = String::new();
        theirs.read_to_string(&mut commands).await.unwrap();
        commands
    });
    let mut session = over(ours, Security::Tls, None).await.unwrap();
    let numbers = 1..=u32::try_from(count).unwrap();
    numbers
        .clone()
        .for_each(|number| session.ask(Ask::Retr(number)));
    for number in numbers.clone() {
        let answer = session.next().await.unwrap().unwrap();
        let expected = "x".repeat(number.try_into().unwrap()) + "\r\n";
        assert_eq!(told(answer), (Ask::Retr(number), expected));
    }
    let quit = tokio::spawn(session.quit());
    let commands = peer.await.unwrap();
    assert!(quit.await.unwrap().is_err());
    let expected: String = numbers.skip(1).map(|n| format!("RETR {n}\r\n")).collect();
    assert!(commands.starts_with(&expected), "{commands}");
}

#[tokio::test]
async fn a_server_that_sends_for_long_and_does_not_read_is_no_stall() {
    let (ours, theirs) = duplex(64);
    let peer = tokio::spawn(async move {
        let mut theirs = let_in(theirs, OLD).await;
        // Longer than the read time-out in all, and no pause is as long.
        theirs.write_all(b"+OK\r\n").await.unwrap();
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            theirs.write_all(b"x\r\n").await.unwrap();
        }
        theirs.write_all(b".\r\n").await.unwrap();
        let mut commands = String::new();
        theirs.read_to_string(&mut commands).await.unwrap();
        commands
    });
    let mut session = over(ours, Security::Tls, None).await.unwrap();
    (1..=50).for_each(|number| session.ask(Ask::Retr(number)));
    let answer = session.next().await.unwrap().unwrap();
    assert_eq!(told(answer), (Ask::Retr(1), "x\r\n".repeat(15)));
    // Nor does it go on for ever.
    assert!(session.next().await.is_err());
    drop(session);
    assert!(peer.await.unwrap().starts_with("RETR 1\r\nRETR 2\r\n"));
}

#[tokio::test]
async fn commands_go_out_also_while_answers_are_left_to_be_read() {
    let (ours, theirs) = duplex(4096);
    let peer = tokio::spawn(let_in(theirs, DOVECOT));
    let mut session = over(ours, Security::Tls, None).await.unwrap();
    let mut theirs = peer.await.unwrap();
    let two = b"+OK\r\none\r\n.\r\n+OK\r\ntwo\r\n.\r\n";
    theirs.write_all(two).await.unwrap();
    session.ask(Ask::Retr(1));
    session.ask(Ask::Retr(2));
    let answer = session.next().await.unwrap().unwrap();
    assert_eq!(told(answer), (Ask::Retr(1), "one\r\n".into()));
    session.ask(Ask::Retr(3));
    let answer = session.next().await.unwrap().unwrap();
    assert_eq!(told(answer), (Ask::Retr(2), "two\r\n".into()));
    let expected = b"RETR 1\r\nRETR 2\r\nRETR 3\r\n";
    let mut commands = [0; 64];
    let read = theirs.read(&mut commands).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&commands[..read]),
        String::from_utf8_lossy(expected)
    );
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let script = "C: RETR 1\nS: +OK\nS: ..first half\nS< .\nC: RETR 2\nS: .second half\nS: .\nS: +OK\nS: two\nS: .\n";
    let mut session = signed_in(script).await;
    session.ask(Ask::Retr(1));
    let waited = tokio::time::timeout(Duration::from_millis(100), session.next()).await;
    assert!(waited.is_err());
    session.ask(Ask::Retr(2));
    let expected = [
        (Ask::Retr(1), ".first half\r\n.second half\r\n".to_owned()),
        (Ask::Retr(2), "two\r\n".to_owned()),
    ];
    assert_eq!(answers(&mut session).await.unwrap(), expected);
}

#[tokio::test]
async fn the_last_words_of_a_server_that_hangs_up_are_heard() {
    // The peer is gone before our commands go out, but it has said why.
    let (ours, theirs) = duplex(4096);
    let peer = tokio::spawn(let_in(theirs, DOVECOT));
    let mut session = over(ours, Security::Tls, None).await.unwrap();
    let mut theirs = peer.await.unwrap();
    let words = b"-ERR [SYS/TEMP] Server shutting down.\r\n";
    theirs.write_all(words).await.unwrap();
    drop(theirs);
    session.ask(Ask::Retr(1));
    session.ask(Ask::Retr(2));
    let answer = session.next().await.unwrap().unwrap();
    let words = "refused: [SYS/TEMP] Server shutting down.";
    assert_eq!(told(answer), (Ask::Retr(1), words.into()));
    let error = session.next().await.unwrap_err();
    assert!(matches!(error, Pop3Error::Io { .. }), "{error:?}");
}

#[tokio::test]
async fn a_deletion_is_believed_when_quit_is_answered() {
    signed_in("C: QUIT\nS: +OK\n").await.quit().await.unwrap();
    let mut session =
        signed_in("C: DELE 1\nC: DELE 2\nS: +OK\nS: -ERR\nC: QUIT\nS: -ERR some remain\n").await;
    session.ask(Ask::Dele(1));
    session.ask(Ask::Dele(2));
    let error = session.quit().await.unwrap_err();
    assert!(
        matches!(&error, Pop3Error::Refused { command: "QUIT", words } if words == "some remain"),
        "{error:?}"
    );
    // A connection lost before or inside the answer: nobody knows.
    let sent: usize = DOVECOT
        .lines()
        .filter(|line| line.starts_with('S'))
        .map(|line| line.len() - 1)
        .sum();
    for more in 0..=5 {
        let script = format!("{DOVECOT}C: QUIT\nS: +OK\n");
        let session = session_with(&script, 4096, sent + more, None).await;
        assert_eq!(session.unwrap().quit().await.is_ok(), more == 5, "{more}");
    }
}
