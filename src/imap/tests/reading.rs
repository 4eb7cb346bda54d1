//! Mailboxes, listings and bodies.

use std::sync::Arc;

use super::*;
use crate::model::FlagSetId;

#[tokio::test]
async fn large_messages_are_spooled_and_small_ones_are_not() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("spooled");
    let open = Arc::new(move || Ok((std::fs::File::create_new(&path)?, path.clone())));
    let spool = SpoolOptions {
        threshold: 10,
        ..SpoolOptions::new(open)
    };
    let script = format!(
        "{PLAIN_LOGIN}C: m2 UID FETCH 1:2 (UID BODY.PEEK[])\n\
         S: * 1 FETCH (UID 1 BODY[] {{12}}\nS< twelve bytes UID 1)\\r\\n\n\
         S: * 2 FETCH (UID 2 BODY[] {{3}}\nS< abc)\\r\\n\nS: m2 OK\n"
    );
    let mut session = session_with(&script, 1, usize::MAX, Security::Tls, Some(spool))
        .await
        .unwrap();
    session.send_body_fetch(&uids(&[1, 2])).await.unwrap();
    let Some(BodyEvent::Message {
        uid: 1,
        body: Some(Body::Spooled(body)),
    }) = session.next_body().await.unwrap()
    else {
        panic!("not spooled");
    };
    assert_eq!(std::fs::read(body.path()).unwrap(), b"twelve bytes");
    let rest = bodies(&mut session).await.unwrap();
    assert_eq!(rest, [(2, Some(b"abc".to_vec()))]);
    drop(body);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn every_kind_of_answer_to_a_body_fetch_is_understood() {
    let mut session = signed_in(
        "C: m2 UID FETCH 1:3 (UID BODY.PEEK[])\n\
         C: m3 UID FETCH 4 (UID BODY.PEEK[])\n\
         S: * 1 FETCH (UID 1 BODY[] NIL)\n\
         S: * 2 FETCH (UID 2 FLAGS (\\Seen))\n\
         S: * 2 EXPUNGE\n\
         S: * 2 FETCH (UID 2 BODY[] \"say \\\"hi\\\" \\\\\")\n\
         S: * 7 FETCH (BODY[] {1}\nS: x)\n\
         S: * 3 FETCH (UID 3 BODY[]<0> {1}\nS: x)\n\
         S: * 3 FETCH (RFC822 {0}\nS:  UID 3)\n\
         S: * VANISHED 9:11\n\
         S: * XYZZY unheard of {2}\nS: ab\n\
         S: m2 OK [EXPUNGEISSUED] some were gone\n\
         S: m3 NO [SERVERBUG] broken message\n",
    )
    .await;
    session.send_body_fetch(&uids(&[1, 2, 3])).await.unwrap();
    session.send_body_fetch(&uids(&[4])).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = session.next_body().await.unwrap() {
        events.push(match event {
            BodyEvent::Message { uid, body } => {
                format!(
                    "{uid} {:?}",
                    body.map(|b| String::from_utf8(bytes(b)).unwrap())
                )
            }
            BodyEvent::BatchDone { status } => {
                format!("{:?} {:?} {}", status.status, status.code, status.words)
            }
            BodyEvent::Expunged => "expunged".to_owned(),
        });
    }
    assert_eq!(
        events,
        [
            "1 None",
            "expunged",
            r#"2 Some("say \"hi\" \\")"#,
            r#"3 Some("")"#,
            "expunged",
            r#"Ok Some("EXPUNGEISSUED") [EXPUNGEISSUED] some were gone"#,
            r#"No Some("SERVERBUG") [SERVERBUG] broken message"#,
        ]
    );
}

#[tokio::test]
async fn what_a_listing_lacks_is_asked_for_again_and_then_unknown() {
    let mut session = signed_in(
        "C: m2 UID FETCH 5:* (UID FLAGS INTERNALDATE RFC822.SIZE)\n\
         S: * 1 FETCH (UID 6 FLAGS (\\Seen  \\Draft) INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" RFC822.SIZE 1)\n\
         S: * 2 FETCH (UID 5 FLAGS () INTERNALDATE NIL RFC822.SIZE 99999999999)\n\
         S: * 2 FETCH (UID 5 FLAGS (\\Flagged))\n\
         S: * 9 FETCH (FLAGS ())\n\
         S: * 1 EXPUNGE\n\
         S: * VANISHED 1:3\n\
         S: m2 OK\n\
         C: m3 UID FETCH 6 (UID FLAGS)\n\
         S: * 1 FETCH (UID 6 FLAGS (\\Seen \\Draft))\n\
         S: m3 OK\n\
         C: m4 UID FETCH 5 (UID INTERNALDATE)\n\
         S: m4 OK\n\
         C: m5 UID FETCH 5 (UID RFC822.SIZE)\n\
         S: * 2 FETCH (UID 5 RFC822.SIZE 3)\n\
         S: m5 OK\n",
    )
    .await;
    let listing = session.list_messages("5:*").await.unwrap();
    assert_eq!(listing.expunged, 4);
    let rows: Vec<_> = listing
        .messages
        .iter()
        .map(|m| {
            assert_ne!(m.flags, FlagSetId::UNKNOWN);
            let flags: Vec<&str> = listing.flags.get(m.flags).unwrap().iter().collect();
            (m.uid, m.size, m.date().is_some(), flags.join(" "))
        })
        .collect();
    assert_eq!(
        rows,
        [
            (5, 3, false, "\\Flagged".into()),
            (6, 1, true, "\\Draft \\Seen".into())
        ]
    );
}

#[tokio::test]
async fn names_that_cannot_be_quoted_are_sent_as_literals() {
    let mut session = signed_in(
        "C: m2 EXAMINE {6}\nS: * 1 EXISTS\nS: + go\nC: Entw\u{fc}\nS: * 4 EXISTS\nS: m2 OK [READ-ONLY]\n\
         C: m3 EXAMINE {2}\nS: m3 NO [NONEXISTENT] who?\n\
         C: m4 STATUS \"a\\\"b\" (MESSAGES UIDNEXT UIDVALIDITY)\n\
         C: m5 STATUS {2}\nS: * STATUS \"a\\\"b\" (MESSAGES 1)\nS: m4 OK\nS: + \nC: \\r\\n (MESSAGES UIDNEXT UIDVALIDITY)\n\
         S: * STATUS {2}\nS: \\r\\n (UIDNEXT 3)\nS: m5 OK\n",
    )
    .await;
    assert_eq!(session.examine("Entw\u{fc}").await.unwrap().exists, 4);
    let error = session.examine("\u{fc}").await.unwrap_err();
    assert!(matches!(error, ImapError::MailboxGone { words } if words == "[NONEXISTENT] who?"));
}

#[tokio::test]
async fn a_command_no_server_would_take_is_not_sent() {
    let mut session = signed_in("C: m3 NOOP\nS: m3 OK\n").await;
    let scattered: UidSet = (1..4000).map(|n| n * 2).collect();
    let error = session.send_body_fetch(&scattered).await.unwrap_err();
    assert!(matches!(error, ImapError::CommandTooLong { .. }));
    // Not even its tag, which would stand before the next command.
    let long = "é".repeat(5000);
    let error = session.examine(&long).await.unwrap_err();
    assert!(matches!(error, ImapError::CommandTooLong { .. }));
    assert_eq!(session.status(&[long]).await.unwrap(), [None]);
    session.noop().await.unwrap();
}

#[tokio::test]
async fn identity_fields_are_asked_for_with_received() {
    let fields = "HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT RECEIVED)";
    let mut session = signed_in(&format!(
        "C: m2 UID FETCH 1:2 (UID BODY.PEEK[{fields}])\n\
         S: * 1 FETCH (UID 1 BODY[{fields}] {{15}}\nS< Received: a\\r\\n\\r\\n)\\r\\n\n\
         S: * 2 FETCH (FLAGS ())\nS: m2 OK\n"
    ))
    .await;
    let mut found = Vec::new();
    let each = |uid, header: &[u8]| found.push((uid, header.to_vec()));
    session.identity_fields(&uids(&[1, 2]), each).await.unwrap();
    assert_eq!(found, [(1, b"Received: a\r\n\r\n".to_vec())]);
}
