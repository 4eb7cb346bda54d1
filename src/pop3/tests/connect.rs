//! Greeting, STLS and sign-in.

use super::*;

#[tokio::test]
async fn plain_is_taken_where_it_is_announced_and_user_and_pass_elsewhere() {
    signed_in("").await;
    let old = session(OLD).await.unwrap();
    let capabilities = old.capabilities();
    assert!(!capabilities.known && capabilities.top && capabilities.uidl);
    assert!(!capabilities.pipelining);
    assert_eq!(old.greeting(), "");
    // What was announced before sign-in counts where nothing is announced after it.
    let script = "\
S: +OK
C: CAPA
S: +OK
S: UIDL
S: .
C: USER anna
S: +OK
C: PASS s e\"ret
S: +OK
C: CAPA
S: -ERR not now
";
    let once = session(script).await.unwrap();
    let capabilities = once.capabilities();
    assert!(capabilities.known && capabilities.uidl && !capabilities.top);
}

#[tokio::test]
async fn raw_headers_are_asked_for_before_sign_in_and_only_where_they_are_announced() {
    let announced = DOVECOT.replacen("S: .\n", "S: UTF8\nS: .\nC: UTF8\nS: +OK enabled\n", 1);
    assert!(announced.contains("C: UTF8"));
    let script = format!("{announced}C: QUIT\nS: +OK\n");
    session(&script).await.unwrap().quit().await.unwrap();
    let odd = announced.replace("+OK enabled", "what?");
    let (before, _) = odd.split_once("what?\n").unwrap();
    let error = refused(&format!("{before}what?\n")).await;
    assert!(
        matches!(&error, Pop3Error::Parse { command: "UTF8", line } if line == "what?"),
        "{error:?}"
    );
}

#[tokio::test]
async fn capabilities_nobody_knows_do_not_upset_sign_in() {
    let many: String = (0..400)
        .map(|n| format!("S: X-EXTRA-{n} with words_{n}\n"))
        .collect();
    let odd = format!("S: UTF8 USER\nS: lang\nS: SASL X-NEW PLAIN\nS: ..dotted\nS: \\xff\n{many}");
    let script = DOVECOT.replace("S: SASL PLAIN LOGIN\n", &odd);
    let script = script.replace("S: IMPLEMENTATION dove\n", &odd);
    let script = script.replacen("S: .\n", "S: .\nC: UTF8\nS: -ERR not now\n", 1);
    let session = session(&format!("{script}C: QUIT\nS: +OK\n"))
        .await
        .unwrap();
    assert!(session.capabilities().pipelining);
    session.quit().await.unwrap();
    let endless: String = (0..1001).map(|n| format!("S: X-{n}\n")).collect();
    let script = format!("S: +OK\nC: CAPA\nS: +OK\n{endless}");
    let error = refused(&script).await;
    assert!(
        matches!(error, Pop3Error::AnswerTooLarge { command: "CAPA" }),
        "{error:?}"
    );
    let script = format!("S: +OK\nC: CAPA\nS: +OK\nS: {}\n", "x".repeat(70_000));
    for width in [4096, 1 << 20] {
        let error = session_with(&script, width, usize::MAX, None)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Pop3Error::LineTooLong { limit: 65_536 }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_drops_the_connection_at_capa_gets_no_password() {
    let (ours, theirs) = duplex(4096);
    let peer = tokio::spawn(async move {
        let mut theirs = theirs;
        theirs.write_all(b"+OK\r\n").await.unwrap();
        theirs.read_exact(&mut [0; 6]).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut rest = String::new();
        theirs.read_to_string(&mut rest).await.unwrap();
        rest
    });
    let error = over(ours, Security::Tls, None).await.unwrap_err();
    assert!(matches!(error, Pop3Error::Io { .. }), "{error:?}");
    assert_eq!(peer.await.unwrap(), "");
}

#[tokio::test]
async fn a_challenge_is_answered_once() {
    let hello =
        "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN AGFubmEAcyBlInJldA==\n";
    let capa = "C: CAPA\nS: +OK\nS: TOP\nS: .\n";
    // A server that does not look at a response sent with AUTH.
    for challenge in ["S: + ", "S: +"] {
        let answer = format!("{challenge}\nC: AGFubmEAcyBlInJldA==\nS: +OK in\n{capa}");
        let session = session(&format!("{hello}{answer}")).await.unwrap();
        assert!(session.capabilities().top);
    }
    let refusals = [
        "S: + \nC: AGFubmEAcyBlInJldA==\nS: -ERR [AUTH] no\n",
        "S: + eyJzdGF0dXMiOiI0MDAifQ==\nC: *\nS: -ERR cancelled\n",
        "S: +\nC: AGFubmEAcyBlInJldA==\nS: + again\nC: *\nS: -ERR cancelled\n",
        "S: + x\nC: *\nS: +OK whatever\n",
    ];
    for refusal in refusals {
        let error = refused(&format!("{hello}{refusal}")).await;
        assert!(
            matches!(error, Pop3Error::SignInRefused { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_long_response_waits_until_it_is_asked_for() {
    let credentials = Credentials {
        user: "anna".into(),
        secret: Secret::new("x".repeat(200)),
        authzid: None,
    };
    let (ours, theirs) = duplex(4096);
    let response = format!("AGFubmEA{}", "eHh4".repeat(66) + "eHg=");
    let script = format!(
        "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\n\
         C: AUTH PLAIN\nS: + \nC: {response}\nS: +OK\nC: CAPA\nS: -ERR\n"
    );
    tokio::spawn(play(theirs, script, usize::MAX));
    let net = options();
    let transport = Transport::memory(ours, &net);
    let endpoint = endpoint(Security::Tls);
    let session = Session::over(transport, &endpoint, &net, &credentials, None).await;
    assert!(session.unwrap().capabilities().offers("PLAIN"));
}

#[tokio::test]
async fn acting_for_somebody_else_goes_by_plain_or_not_at_all() {
    let credentials = Credentials {
        user: "boss".into(),
        secret: Secret::new("pw".into()),
        authzid: Some("anna".into()),
    };
    let sign_in = async |script: &str| {
        let (ours, theirs) = duplex(4096);
        let peer = tokio::spawn(play(theirs, script.to_owned(), usize::MAX));
        let net = options();
        let transport = Transport::memory(ours, &net);
        let endpoint = endpoint(Security::Tls);
        let session = Session::over(transport, &endpoint, &net, &credentials, None).await;
        (session.map(drop), peer.await.unwrap())
    };
    // anna NUL boss NUL pw
    let plain = "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\n\
                 C: AUTH PLAIN YW5uYQBib3NzAHB3\nS: +OK\nC: CAPA\nS: -ERR\n";
    let (result, rest) = sign_in(plain).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(rest.is_some());
    let (result, rest) = sign_in("S: +OK\nC: CAPA\nS: +OK\nS: USER\nS: .\n").await;
    let error = result.unwrap_err();
    assert!(matches!(error, Pop3Error::NoAuthzid), "{error:?}");
    assert_eq!(rest.as_deref(), Some(""));
}

#[tokio::test]
async fn a_password_that_would_be_two_commands_is_not_sent() {
    for (user, secret) in [("anna", "x\r\nDELE 1"), ("an\nna", "x"), ("anna", "x\0")] {
        let credentials = Credentials {
            user: user.into(),
            secret: Secret::new(secret.into()),
            authzid: None,
        };
        let (ours, theirs) = duplex(4096);
        let script = "S: +OK\nC: CAPA\nS: -ERR\n".to_owned();
        let peer = tokio::spawn(play(theirs, script, usize::MAX));
        let net = options();
        let transport = Transport::memory(ours, &net);
        let error = Session::over(
            transport,
            &endpoint(Security::Tls),
            &net,
            &credentials,
            None,
        )
        .await
        .unwrap_err();
        assert!(matches!(error, Pop3Error::Unsendable), "{error:?}");
        assert_eq!(peer.await.unwrap().as_deref(), Some(""));
    }
}

#[tokio::test]
async fn refusals_are_told_apart_tried_once_and_repeat_no_secret() {
    let plain = "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: LOGIN-DELAY 60\nS: .\nC: AUTH PLAIN AGFubmEAcyBlInJldA==\n";
    let user = "S: +OK\nC: CAPA\nS: +OK\nS: LOGIN-DELAY 60\nS: .\nC: USER anna\n";
    let pass = format!("{user}S: +OK\nC: PASS s e\"ret\n");
    let secrets = [SECRET, "AGFubmEAcyBlInJldA", "cyBlInJldA"];
    for (answer, expected) in [
        ("-ERR [AUTH] Authentication failed.", "SignInRefused"),
        ("-ERR", "SignInRefused"),
        ("-ERR [IN-USE] mailbox is locked", "wait: 30s"),
        ("-ERR [LOGIN-DELAY] too early", "wait: 60s"),
        ("-ERR [SYS/TEMP] later", "wait: 30s"),
        ("-ERR [SYS/PERM] never", "Refused { command: "),
        (
            "-ERR what is PASS s e\"ret?",
            "SignInRefused { words: \"what is PASS …?\" }",
        ),
        (
            "-ERR AUTH PLAIN AGFubmEAcyBlInJldA==",
            "SignInRefused { words: \"AUTH PLAIN …\" }",
        ),
        ("-ERR cyBlInJldA==", "SignInRefused { words: \"…\" }"),
        ("-ERR [IN-USE] s e\"ret is in", "[IN-USE] … is in"),
        ("s e\"ret?", "Parse { command: "),
        ("-ERROR s e\"ret", "line: \"-ERROR …\""),
    ] {
        for hello in [plain, user, &pass] {
            let error = refused(&format!("{hello}S: {answer}\n")).await;
            let text = format!("{error:?}");
            assert!(text.contains(expected), "{answer}: {text}");
            let shown = format!("{error} {error:?}");
            assert!(
                secrets.iter().all(|secret| !shown.contains(secret)),
                "{shown}"
            );
        }
    }
    // Cut to a kibibyte only when nothing of a secret can be left at the end.
    let long = format!("{}s e\"ret", "x".repeat(1020));
    let error = refused(&format!("{pass}S: -ERR {long}\n")).await;
    assert!(matches!(&error, Pop3Error::SignInRefused { words } if words.ends_with("x…")));
    let session = signed_in("").await;
    assert!(!format!("{session:?} {:?}", credentials()).contains("s e"));
}

#[tokio::test]
async fn greetings_that_are_none_are_named() {
    for line in [
        "SSH-2.0-OpenSSH_9.2",
        "* OK IMAP4rev1 ready",
        "HTTP/1.1 400 Bad",
        "220 smtp",
        "",
    ] {
        let error = refused(&format!("S: {line}\n")).await;
        assert!(
            matches!(&error, Pop3Error::NotPop3 { line: seen } if seen == line),
            "{error:?}"
        );
    }
    let error = refused("S: -ERR [SYS/TEMP] going down\n").await;
    assert!(
        matches!(&error, Pop3Error::TurnedAway { words } if words == "[SYS/TEMP] going down"),
        "{error:?}"
    );
    // 8-bit text would make async-pop panic, were it to see it and somebody to listen.
    let session = session(&OLD.replace("S: +OK\nC: CAPA", "S: +OK \\xfc\\xff\nC: CAPA")).await;
    assert_eq!(session.unwrap().greeting(), "\u{fffd}\u{fffd}");
    let bare = OLD.replace("S: +OK\n", "S< +OK\\n\n");
    super::session(&bare).await.unwrap();
}

#[tokio::test]
async fn stls_happens_in_full_or_nothing_leaves_this_machine() {
    let hello = "S: +OK hi\nC: CAPA\nS: +OK\nS: STLS\nS: SASL PLAIN\nS: .\nC: STLS\n";
    let cases = [
        (
            "S: +OK hi\nC: CAPA\nS: +OK\nS: UIDL\nS: .\n".to_owned(),
            "StartTlsUnavailable",
        ),
        (
            "S: +OK hi\nC: CAPA\nS: -ERR\n".to_owned(),
            "StartTlsUnavailable",
        ),
        (format!("{hello}S: -ERR not today\n"), "StartTlsRefused"),
        (format!("{hello}S: what?\n"), "Parse"),
        (
            format!("{hello}S< +OK go\\r\\n+OK injected\\r\\n\n"),
            "ResponseInjection",
        ),
        (format!("{hello}S< +OK go\\r\\nx\n"), "ResponseInjection"),
        (
            "S< +OK hi\\r\\n+OK\\r\\nSTLS\\r\\n.\\r\\n+OK go\\r\\n\nC: CAPA\n".to_owned(),
            "ResponseInjection",
        ),
    ];
    for (script, expected) in cases {
        let (ours, theirs) = duplex(4096);
        let peer = tokio::spawn(play(theirs, script.clone(), usize::MAX));
        let error = over(ours, Security::StartTls, None).await.unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{script}: {error:?}"
        );
        assert_eq!(peer.await.unwrap().as_deref(), Some(""), "{script}");
    }
}

#[tokio::test]
async fn stls_protects_everything_after_it() {
    use crate::net::{Trust, tls_server};

    let authority = tls_server::Authority::new();
    let acceptor = authority.issue("localhost").acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = tokio::spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        plain.write_all(b"+OK hi\r\n").await.unwrap();
        expect(&mut plain, "CAPA\r\n").await;
        let capabilities = b"+OK\r\nSTLS\r\nPIPELINING\r\n.\r\n";
        plain.write_all(capabilities).await.unwrap();
        expect(&mut plain, "STLS\r\n").await;
        plain.write_all(b"+OK go\r\n").await.unwrap();
        // No second greeting, and the capabilities from before are forgotten.
        let mut tls = acceptor.accept(plain).await.unwrap();
        expect(&mut tls, "CAPA\r\n").await;
        tls.write_all(b"+OK\r\nSASL PLAIN\r\n.\r\n").await.unwrap();
        expect(&mut tls, "AUTH PLAIN AGFubmEAcyBlInJldA==\r\n").await;
        tls.write_all(b"+OK\r\n").await.unwrap();
        expect(&mut tls, "CAPA\r\n").await;
        tls.write_all(b"-ERR\r\n").await.unwrap();
        expect(&mut tls, "RETR 1\r\n").await;
        tls.write_all(b"+OK\r\nx\r\n.\r\n").await.unwrap();
        expect(&mut tls, "QUIT\r\n").await;
        tls.write_all(b"+OK\r\n").await.unwrap();
    });
    let endpoint = Endpoint {
        port,
        ..endpoint(Security::StartTls)
    };
    let net = tls_server::options(Trust::CaFile(authority.file()));
    let mut session = Session::connect(&endpoint, &net, &credentials(), None)
        .await
        .unwrap();
    assert_eq!(session.greeting(), "hi");
    assert!(!session.capabilities().pipelining);
    session.ask(Ask::Retr(1));
    let seen = answers(&mut session).await.unwrap();
    assert_eq!(seen, [(Ask::Retr(1), "x\r\n".into())]);
    session.quit().await.unwrap();
    peer.await.unwrap();

    // A server nobody vouches for never sees a credential.
    let acceptor = tls_server::Authority::new().issue("localhost").acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        plain.write_all(b"+OK hi\r\n").await.unwrap();
        expect(&mut plain, "CAPA\r\n").await;
        plain.write_all(b"+OK\r\nSTLS\r\n.\r\n").await.unwrap();
        expect(&mut plain, "STLS\r\n").await;
        plain.write_all(b"+OK go\r\n").await.unwrap();
        assert!(acceptor.accept(plain).await.is_err());
    });
    let endpoint = Endpoint { port, ..endpoint };
    let error = Session::connect(&endpoint, &net, &credentials(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Pop3Error::Net(_)), "{error:?}");
    assert_eq!(error.disposition(), (Scope::Account, Disposition::Abort));
}

async fn expect(stream: &mut (impl tokio::io::AsyncRead + Unpin), line: &str) {
    let mut got = vec![0; line.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), line);
}
