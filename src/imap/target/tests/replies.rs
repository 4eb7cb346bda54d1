//! What comes back.

use super::*;

fn refused(words: &str) -> AppendReply {
    AppendReply::Refused(Tagged::new(TaggedStatus::No, words.to_owned()))
}

#[tokio::test]
async fn a_refusal_in_place_of_consent_costs_no_byte_of_the_message() {
    for (answer, status) in [
        ("NO [TRYCREATE] no such mailbox", TaggedStatus::No),
        ("BAD flags?", TaggedStatus::Bad),
    ] {
        let words = answer.split_once(' ').unwrap().1.to_owned();
        let script = format!(
            "C: m2 APPEND \"INBOX\" {{1}}\nS: * 4 EXISTS\nS: m2 {answer}\n\
             C: m3 APPEND \"INBOX\" {{3}}\nS: +\nC: one {{3}}\nS: m3 {answer}\n\
             C: m4 APPEND \"INBOX\" {{1}}\nS: +\nC: z\nS: m4 OK [APPENDUID 1 2]\n"
        );
        let (mut session, peer) = target("MULTIAPPEND", &script).await;
        let want = Sent::Refused(Tagged::new(status, words));
        assert_eq!(send(&mut session, &[plain("x")]).await.unwrap(), want);
        let two = [plain("one"), plain("two")];
        assert_eq!(send(&mut session, &two).await.unwrap(), want);
        assert_eq!(session.appends_outstanding(), 0);
        sent(&mut session, &[plain("z")]).await;
        assert_eq!(session.next_append().await.unwrap(), stored(1, &[2]));
        peer.had_its_way(session).await;
    }
}

#[tokio::test]
async fn replies_are_given_in_the_order_of_what_was_sent_whenever_they_come() {
    let large = "x".repeat(4097);
    let script = format!(
        "C: m2 APPEND \"INBOX\" {{1+}}\nC: a\nC: m3 APPEND \"INBOX\" {{1+}}\nC: b\n\
         C: m4 APPEND \"INBOX\" {{1+}}\nC: c\n\
         S: * 7 EXISTS\nS: m3 NO [OVERQUOTA] full\nS: m2 OK [APPENDUID 9 1]\n\
         S: * OK still here\nS: m4 OK [APPENDUID 9 2]\n\
         C: m5 APPEND \"INBOX\" {{4097}}\nS: * 8 EXISTS\nS: + go\nC: {large}\n\
         C: m6 APPEND \"INBOX\" {{1+}}\nC: d\nS: m5 OK [APPENDUID 9 3]\nS: m6 OK\n\
         C: m7 SUBSCRIBE \"x\"\nS: m7 OK [APPENDUID 9 99]\n"
    );
    for width in [1, 4096] {
        let (mut session, peer) = target_through(width, "LITERAL-", &script).await;
        for body in ["a", "b", "c", &large, "d"] {
            sent(&mut session, &[plain(body)]).await;
        }
        assert_eq!(session.appends_outstanding(), 5);
        // Another command waits for what is outstanding, and its codes are no news of it.
        session.subscribe("x").await.unwrap();
        for want in [
            stored(9, &[1]),
            refused("[OVERQUOTA] full"),
            stored(9, &[2]),
            stored(9, &[3]),
            AppendReply::Stored(None),
        ] {
            assert_eq!(session.next_append().await.unwrap(), want);
        }
        let none = session.next_append().await.unwrap_err();
        assert!(
            matches!(none, ImapError::Io { source } if source.kind() == std::io::ErrorKind::InvalidInput)
        );
        peer.had_its_way(session).await;
    }
}

#[tokio::test]
async fn append_uids_are_taken_as_they_are_told() {
    let many = (0..4097)
        .map(|n| (n * 2 + 1).to_string())
        .collect::<Vec<_>>()
        .join(",");
    let hostile = format!("[APPENDUID 5 {many}] ok");
    let above_a_kibibyte: Vec<u32> = (1_000_000_000..1_000_000_200).map(|n| n * 2).collect();
    let long = above_a_kibibyte
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let long = format!("[APPENDUID 5 {long}] ok");
    type Told = Option<(u32, Vec<u32>)>;
    let table: Vec<(&str, Told)> = vec![
        ("[APPENDUID 5 7] ok", Some((5, vec![7]))),
        ("[appenduid 5 7:8,3] ok", Some((5, vec![7, 8, 3]))),
        // More and fewer than were sent.
        ("[APPENDUID 5 1:3]", Some((5, vec![1, 2, 3]))),
        ("[APPENDUID 0 9:8] ok", Some((0, vec![8, 9]))),
        (&long, Some((5, above_a_kibibyte))),
        ("", None),
        ("done", None),
        ("say [APPENDUID 5 7]", None),
        ("[COPYUID 5 7 8] ok", None),
        ("[APPENDUID 5] ok", None),
        ("[APPENDUID 5 *] ok", None),
        ("[APPENDUID 5 0] ok", None),
        ("[APPENDUID 5 4294967296] ok", None),
        ("[APPENDUID -1 4] ok", None),
        ("[APPENDUID 5 1:4294967295] ok", None),
        (&hostile, None),
    ];
    for (words, told) in table {
        let script = format!(
            "C: m2 APPEND \"INBOX\" {{1+}}\nC: x\nS: * OK [APPENDUID 6 66] not this\n\
             S: m2 OK {words}\nC: m3 NOOP\nS: m3 OK [APPENDUID 6 66]\n\
             C: m4 APPEND \"INBOX\" {{1+}}\nC: y\nS: m4 OK\n"
        );
        let (mut session, peer) = target("LITERAL+", &script).await;
        sent(&mut session, &[plain("x")]).await;
        let told = told.map(|(uidvalidity, uids)| AppendUid { uidvalidity, uids });
        assert_eq!(
            session.next_append().await.unwrap(),
            AppendReply::Stored(told),
            "{words}"
        );
        // Nor does one that was told to another command stay behind (CVE-2021-3578).
        session.reading().noop().await.unwrap();
        sent(&mut session, &[plain("y")]).await;
        assert_eq!(
            session.next_append().await.unwrap(),
            AppendReply::Stored(None)
        );
        peer.had_its_way(session).await;
    }
}

#[tokio::test]
async fn after_bad_nothing_is_believed_and_nothing_more_is_sent() {
    let script = "C: m2 APPEND \"INBOX\" {1+}\nC: a\nC: m3 APPEND \"INBOX\" {10+}\n\
                  C: m4 NOOP\\r\\nb\nC: m4 APPEND \"INBOX\" {1+}\nC: c\n\
                  S: m2 OK [APPENDUID 9 1]\nS: m3 BAD what?\nS: m4 OK [APPENDUID 9 66] noop\n";
    for early in [true, false] {
        let (mut session, peer) = target("LITERAL+", script).await;
        for body in ["a", "m4 NOOP\r\nb", "c"] {
            sent(&mut session, &[plain(body)]).await;
        }
        if early {
            // Also where another command runs into it.
            let error = session.create("x", None).await.unwrap_err();
            assert!(is_not_connected(&error), "{error:?}");
        }
        assert_eq!(session.next_append().await.unwrap(), stored(9, &[1]));
        let bad = Tagged::new(TaggedStatus::Bad, "what?".into());
        assert_eq!(
            session.next_append().await.unwrap(),
            AppendReply::Misunderstood(bad)
        );
        assert_eq!(session.appends_outstanding(), 1);
        let error = session.next_append().await.unwrap_err();
        assert!(is_not_connected(&error), "{error:?}");
        let error = send(&mut session, &[plain("d")]).await.unwrap_err();
        assert!(is_not_connected(&error), "{error:?}");
        let error = session.select("INBOX").await.unwrap_err();
        assert!(is_not_connected(&error), "{error:?}");
        peer.had_its_way(session).await;
    }
}

#[tokio::test]
async fn replies_nobody_waits_for_end_the_session() {
    for answer in [
        "m1 OK",
        "m2 OK\nS: m2 OK",
        "m5 OK [APPENDUID 1 1]",
        "+ go",
        "x",
    ] {
        let script = format!(
            "C: m2 APPEND \"INBOX\" {{1+}}\nC: a\nC: m3 APPEND \"INBOX\" {{1+}}\nC: b\nS: {answer}\n"
        );
        let (mut session, _peer) = target("LITERAL+", &script).await;
        sent(&mut session, &[plain("a")]).await;
        sent(&mut session, &[plain("b")]).await;
        let mut result = session.next_append().await;
        if answer.starts_with("m2") {
            assert_eq!(result.unwrap(), AppendReply::Stored(None));
            result = session.next_append().await;
        }
        assert!(
            matches!(result, Err(ImapError::Parse { .. })),
            "{answer}: {result:?}"
        );
        assert!(is_not_connected(&session.subscribe("x").await.unwrap_err()));
        assert!(is_not_connected(&session.next_append().await.unwrap_err()));
    }
    // OK where `+` should stand says that something is stored which was not sent.
    let script = "C: m2 APPEND \"INBOX\" {1}\nS: m2 OK\n";
    let (mut session, peer) = target("", script).await;
    let error = send(&mut session, &[plain("a")]).await.unwrap_err();
    assert!(matches!(error, ImapError::Parse { .. }), "{error:?}");
    assert!(is_not_connected(&session.subscribe("x").await.unwrap_err()));
    peer.had_its_way(session).await;
}

#[tokio::test]
async fn a_server_that_leaves_says_why_wherever_it_is_read() {
    let is_bye =
        |error: &ImapError| matches!(error, ImapError::Bye { words } if words == "too large");
    // In place of a reply, and of consent.
    let script = "C: m2 APPEND \"INBOX\" {1+}\nC: a\nS: * BYE too large\n";
    let (mut session, _peer) = target("LITERAL+", script).await;
    sent(&mut session, &[plain("a")]).await;
    assert!(is_bye(&session.next_append().await.unwrap_err()));
    let script = "C: m2 APPEND \"INBOX\" {1}\nS: * BYE too large\n";
    let (mut session, _peer) = target("", script).await;
    assert!(is_bye(
        &send(&mut session, &[plain("a")]).await.unwrap_err()
    ));
    assert!(is_not_connected(&session.subscribe("x").await.unwrap_err()));

    // In the middle of a message, with the reply to the one before it.
    let (ours, theirs) = duplex(4096);
    let login = "S: * OK [CAPABILITY IMAP4rev1 LITERAL+] hi\nC: m1 LOGIN \"anna\" \"s e\\\"ret\"\n\
                 S: m1 OK [CAPABILITY IMAP4rev1 LITERAL+] in\n\
                 C: m2 APPEND \"INBOX\" {1+}\nC: a\nC: m3 APPEND \"INBOX\" {1000000+}\n\
                 S: m2 OK [APPENDUID 3 4]\nS: * BYE too large\n";
    // It hangs up before the end of its script, which sends one byte too many.
    let budget: usize = login
        .lines()
        .filter_map(|line| line.strip_prefix("S: "))
        .map(|line| line.len() + 2)
        .sum();
    tokio::spawn(play(theirs, format!("{login}S< .\n"), budget));
    let mut session = over(ours).await;
    sent(&mut session, &[plain("a")]).await;
    let error = send(&mut session, &[plain(&"x".repeat(1_000_000))])
        .await
        .unwrap_err();
    assert!(is_bye(&error), "{error:?}");
    assert_eq!(session.next_append().await.unwrap(), stored(3, &[4]));
    assert_eq!(session.appends_outstanding(), 0);
}

#[tokio::test]
async fn a_connection_cut_at_any_byte_never_makes_a_message_stored() {
    let script = "S: * OK [CAPABILITY IMAP4rev1 LITERAL-] hi\n\
                  C: m1 LOGIN \"anna\" \"s e\\\"ret\"\n\
                  S: m1 OK [CAPABILITY IMAP4rev1 LITERAL-] in\n";
    let large = "x".repeat(4097);
    let rest = format!(
        "C: m2 APPEND \"INBOX\" {{1+}}\nC: a\nS: m2 OK [APPENDUID 3 4] ok\n\
         C: m3 APPEND \"INBOX\" {{4097}}\nS: + go\nC: {large}\nS: m3 OK [APPENDUID 3 5] ok\n"
    );
    let sent_by = |script: &str| -> usize {
        let lines = script.lines().filter_map(|line| line.strip_prefix("S: "));
        lines.map(|line| line.len() + 2).sum()
    };
    let (first, whole) = (sent_by(script), sent_by(&rest));
    for cut in 0..=whole {
        let (ours, theirs) = duplex(4096);
        tokio::spawn(play(theirs, format!("{script}{rest}"), first + cut));
        let mut session = over(ours).await;
        let mut replies = Vec::new();
        let mut work = async || -> Result<(), ImapError> {
            for body in ["a", &large] {
                let sent = send(&mut session, &[plain(body)]).await?;
                assert_eq!(sent, Sent::Outstanding);
            }
            for _ in 0..2 {
                replies.push(session.next_append().await?);
            }
            Ok(())
        };
        let result = work().await;
        let all = [stored(3, &[4]), stored(3, &[5])];
        assert!(all.starts_with(&replies));
        match result {
            Ok(()) => assert_eq!(cut, whole),
            Err(ImapError::Io { .. }) => assert!(cut < whole),
            Err(error) => panic!("cut at {cut}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_send_that_was_dropped_halfway_is_not_gone_on_with() {
    let (mut session, peer) = target("", "C: m2 APPEND \"INBOX\" {1}\n").await;
    let waiting = std::time::Duration::from_millis(20);
    let message = [plain("a")];
    let dropped = tokio::time::timeout(waiting, send(&mut session, &message)).await;
    assert!(dropped.is_err());
    assert!(is_not_connected(
        &send(&mut session, &message).await.unwrap_err()
    ));
    assert!(is_not_connected(&session.subscribe("x").await.unwrap_err()));
    peer.had_its_way(session).await;
}
