//! What a target has and says of itself.

use super::*;

#[tokio::test]
async fn select_tells_what_may_be_changed_for_good() {
    let long: String = (0..200).map(|n| format!(" keyword{n}")).collect();
    let known = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
    type Case<'a> = (&'a str, bool, bool, &'a [&'a str], &'a [&'a str]);
    let unreadable_and_long = format!("({known} gr\u{fc}n{long} last) x");
    let readable_and_long = format!("({known}{long} last)] x");
    let table: &[Case<'_>] = &[
        (
            "(\\Answered \\Seen $Forwarded \\*)] Flags permitted.",
            true,
            true,
            &["\\Seen", "\\SEEN", "$forwarded", "anything"],
            &["\\Draft", "\\Flagged"],
        ),
        (
            "(\\Seen Work )] x",
            true,
            false,
            &["\\Seen", "work"],
            &["Other", "\\*"],
        ),
        (
            "()] No permanent flags permitted",
            true,
            false,
            &[],
            &["\\Seen", "Work"],
        ),
        // Of a list the parser cannot read, as much as there is.
        (
            "(\\Seen gr\u{fc}n a]b \\*)]\u{e9}",
            true,
            true,
            &["\\Seen", "gr\u{fc}n", "new"],
            &["\\Draft"],
        ),
        (
            &unreadable_and_long,
            true,
            false,
            &["\\Seen", "keyword3"],
            &["last", "other"],
        ),
        (
            &readable_and_long,
            true,
            false,
            &["\\Seen", "keyword199", "last"],
            &["other"],
        ),
    ];
    for (flags, told, any_keyword, allowed, forbidden) in table {
        let script = format!(
            "C: m2 SELECT \"a\\\"b\"\nS: * FLAGS (\\Seen \\Deleted)\nS: * 5 EXISTS\nS: * 0 RECENT\n\
             S: * OK [PERMANENTFLAGS {flags}\nS: * OK [UIDVALIDITY 3] x\nS: * OK [UIDNEXT 9] x\n\
             S: m2 OK [READ-WRITE] done\n"
        );
        let (mut session, peer) = target("", &script).await;
        let selected = session.select("a\"b").await.unwrap();
        assert_eq!((selected.exists, selected.uidvalidity), (5, Some(3)));
        assert_eq!((selected.uidnext, selected.highestmodseq), (Some(9), None));
        assert!(!selected.read_only);
        let permanent = selected.permanent;
        assert_eq!(
            (permanent.told, permanent.any_keyword),
            (*told, *any_keyword),
            "{flags}"
        );
        for flag in *allowed {
            assert!(permanent.allows(flag), "{flags}: {flag}");
        }
        for flag in *forbidden {
            assert!(!permanent.allows(flag), "{flags}: {flag}");
        }
        peer.had_its_way(session).await;
    }
    for told in [
        "S: * OK [READ-ONLY] x\nS: m2 OK\n",
        "S: m2 OK [READ-ONLY]\n",
    ] {
        let script = format!(
            "C: m2 SELECT \"x\" (CONDSTORE)\nS: * 0 EXISTS\nS: * OK [HIGHESTMODSEQ 7]\n{told}"
        );
        let (mut session, peer) = target("CONDSTORE", &script).await;
        let selected = session.select("x").await.unwrap();
        assert!(selected.read_only);
        assert_eq!(selected.highestmodseq, Some(7));
        assert!(!selected.permanent.told);
        assert!(selected.permanent.allows("\\Seen") && selected.permanent.allows("x"));
        peer.had_its_way(session).await;
    }
    let script = "C: m2 SELECT \"x\"\nS: m2 NO [NONEXISTENT] gone\n";
    let (mut session, _peer) = target("", script).await;
    let error = session.select("x").await.unwrap_err();
    assert!(matches!(error, ImapError::MailboxGone { .. }), "{error:?}");
}

#[tokio::test]
async fn mailboxes_are_made_with_their_special_use_or_without() {
    let used = "C: m2 CREATE \"x\" (USE (\\Sent))\n";
    let able = "CREATE-SPECIAL-USE";
    for (capabilities, special_use, script, made) in [
        (
            able,
            Some("\\Sent"),
            format!("{used}S: m2 OK [MAILBOXID (F1)]\n"),
            Some(Created::New),
        ),
        (
            able,
            Some("\\Sent"),
            format!("{used}S: m2 NO [USEATTR] taken\nC: m3 CREATE \"x\"\nS: m3 OK\n"),
            Some(Created::New),
        ),
        (
            able,
            Some("\\Sent"),
            format!("{used}S: m2 BAD what?\nC: m3 CREATE \"x\"\nS: m3 OK\n"),
            Some(Created::New),
        ),
        (
            able,
            Some("\\Sent"),
            format!("{used}S: m2 NO [ALREADYEXISTS] there\n"),
            Some(Created::Existed),
        ),
        (
            "",
            Some("\\Sent"),
            "C: m2 CREATE \"x\"\nS: m2 OK\n".into(),
            Some(Created::New),
        ),
        (
            able,
            None,
            "C: m2 CREATE \"x\"\nS: m2 NO [alreadyexists] x\n".into(),
            Some(Created::Existed),
        ),
        (
            "",
            None,
            "C: m2 CREATE \"x\"\nS: m2 NO [CANNOT] name\n".into(),
            None,
        ),
    ] {
        let (mut session, peer) = target(capabilities, &script).await;
        match (session.create("x", special_use).await, made) {
            (Ok(created), Some(made)) => assert_eq!(created, made, "{script}"),
            (Err(ImapError::No { command, code, .. }), None) => {
                assert_eq!((command, code.as_deref()), ("CREATE", Some("CANNOT")));
            }
            (other, _) => panic!("{script}: {other:?}"),
        }
        peer.had_its_way(session).await;
    }
    let script = "C: m2 CREATE {6}\nS: +\nC: a\\r\\nb\u{fc}\nS: m2 OK\n\
                  C: m3 SUBSCRIBE \"a b\"\nS: m3 NO full\n";
    let (mut session, peer) = target(able, script).await;
    let error = session.create("x", Some("\\Sent (")).await.unwrap_err();
    assert!(matches!(error, ImapError::Unsendable { .. }), "{error:?}");
    session.create("a\r\nb\u{fc}", None).await.unwrap();
    let error = session.subscribe("a b").await.unwrap_err();
    assert!(
        matches!(
            error,
            ImapError::No {
                command: "SUBSCRIBE",
                ..
            }
        ),
        "{error:?}"
    );
    peer.had_its_way(session).await;
}

#[tokio::test]
async fn name_space_and_quota_are_read_beside_the_parser() {
    let name_space = |answer: &str| format!("C: m2 NAMESPACE\n{answer}");
    let inbox = Some(("INBOX.", Some('.')));
    for (capabilities, script, read) in [
        ("", String::new(), None),
        (
            "NAMESPACE",
            name_space("S: * NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"shared.\" \".\"))\nS: m2 OK\n"),
            inbox,
        ),
        (
            "NAMESPACE",
            name_space("S: * namespace NIL NIL NIL\nS: m2 OK\n"),
            None,
        ),
        (
            "NAMESPACE",
            name_space("S: * NAMESPACE )(\nS: m2 OK\n"),
            None,
        ),
        ("NAMESPACE", name_space("S: m2 OK\n"), None),
        ("NAMESPACE", name_space("S: m2 BAD what?\n"), None),
        (
            "NAMESPACE",
            name_space("S: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: m2 NO\n"),
            None,
        ),
        (
            "NAMESPACE",
            name_space("S: * NAMESPACE (({6}\nS: INBOX. \".\")) NIL NIL\nS: m2 OK\n"),
            None,
        ),
    ] {
        let tag = if script.is_empty() { "m2" } else { "m3" };
        let script = format!("{script}C: {tag} SUBSCRIBE \"x\"\nS: {tag} OK\n");
        let (mut session, peer) = target(capabilities, &script).await;
        let got = session.namespace().await.unwrap();
        let want = read.map(|(prefix, separator)| Namespace {
            prefix: prefix.to_owned(),
            separator,
        });
        assert_eq!(got, want, "{script}");
        // The session goes on.
        session.subscribe("x").await.unwrap();
        peer.had_its_way(session).await;
    }
    let asked = "C: m2 GETQUOTAROOT \"INBOX\"\n";
    let many: String = (0..1000)
        .map(|n| format!("S: * QUOTA r{n} (STORAGE 1 2)\n"))
        .collect();
    for (capabilities, answers, read) in [
        (
            "QUOTA",
            "S: * QUOTAROOT INBOX \"\" b\nS: * QUOTA \"\" (STORAGE 10 512)\nS: * 3 EXISTS\n\
             S: * QUOTA b (MESSAGE 3 100)\nS: m2 OK\n",
            vec![("", "STORAGE", 10, 512), ("b", "MESSAGE", 3, 100)],
        ),
        (
            "QUOTA=RES-STORAGE",
            "S: * QUOTAROOT {5}\nS: INBOX \"\"\nS: * QUOTA {0}\nS:  (STORAGE 1 2)\n\
             S: * QUOTA x (STORAGE\nS: * QUOTA y (STORAGE 4 5)\nS: m2 OK\n",
            vec![("y", "STORAGE", 4, 5)],
        ),
        ("QUOTA", "S: * QUOTAROOT INBOX\nS: m2 OK\n", vec![]),
        (
            "QUOTA",
            "S: * QUOTA \"\" (STORAGE 1 2)\nS: m2 NO no\n",
            vec![],
        ),
        ("QUOTA", "S: m2 NO [NONEXISTENT] no\n", vec![]),
    ] {
        let script = format!("{asked}{answers}C: m3 SUBSCRIBE \"x\"\nS: m3 OK\n");
        let (mut session, peer) = target(capabilities, &script).await;
        let quota = |q: (&str, &str, u64, u64)| Quota {
            root: q.0.to_owned(),
            resource: q.1.to_owned(),
            usage: q.2,
            limit: q.3,
        };
        let want: Vec<Quota> = read.into_iter().map(quota).collect();
        assert_eq!(session.quota("INBOX").await.unwrap(), want, "{answers}");
        session.subscribe("x").await.unwrap();
        peer.had_its_way(session).await;
    }
    // More than anybody has: the last are kept.
    let (mut session, peer) = target("QUOTA", &format!("{asked}{many}S: m2 OK\n")).await;
    let quota = session.quota("INBOX").await.unwrap();
    assert_eq!(quota.len(), 64);
    assert_eq!(quota.last().unwrap().root, "r999");
    peer.had_its_way(session).await;
    let (mut session, _peer) = target("", "").await;
    assert_eq!(session.quota("INBOX").await.unwrap(), []);
}

#[tokio::test]
async fn limits_and_literals_are_as_announced() {
    for (capabilities, literals, limit) in [
        ("LITERAL+", Literals::Plus, None),
        ("LITERAL- APPENDLIMIT", Literals::Minus, None),
        (
            "LITERAL- LITERAL+ APPENDLIMIT=35651584",
            Literals::Plus,
            Some(35_651_584),
        ),
        ("APPENDLIMIT=x", Literals::Synchronising, None),
    ] {
        let (session, peer) = target(capabilities, "").await;
        assert_eq!(
            (session.literals(), session.append_limit()),
            (literals, limit)
        );
        assert!(!session.multiappend());
        assert!(session.capabilities().has("IMAP4REV1"));
        assert_eq!(session.quirks().depth, 4);
        peer.had_its_way(session).await;
    }
    let (session, peer) = target("", "C: m2 LOGOUT\nS: * BYE bye\n").await;
    session.logout().await;
    assert_eq!(peer.0.await.unwrap().as_deref(), Some(""));
}
