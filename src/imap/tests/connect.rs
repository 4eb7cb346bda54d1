//! Greeting, STARTTLS and sign-in.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

#[tokio::test]
async fn login_uses_literals_for_what_cannot_be_quoted_and_honours_logindisabled() {
    let script = "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\n";
    assert!(matches!(refused(script).await, ImapError::LoginDisabled));
    let script = "\
S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN LOGINDISABLED] hi
C: m1 AUTHENTICATE PLAIN
S: + 
C: AGFubmEAcyBlInJldA==
S: m1 OK [CAPABILITY IMAP4rev1] in
";
    session(script, 4096).await.unwrap();
    // A server that asks again is told to stop.
    let script = "\
S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi
C: m1 AUTHENTICATE PLAIN AGFubmEAcyBlInJldA==
S: + eyJzdGF0dXMiOiI0MDAifQ==
C: *
S: m1 NO cancelled
";
    assert!(matches!(
        refused(script).await,
        ImapError::SignInRefused { .. }
    ));
}

#[tokio::test]
async fn a_refusal_is_told_from_a_lack_of_capacity_and_no_secret_is_repeated() {
    let hello = "S: * OK [CAPABILITY IMAP4rev1] hi\nC: m1 LOGIN \"anna\" \"s e\\\"ret\"\n";
    for (answer, capacity) in [
        (
            "m1 NO [AUTHENTICATIONFAILED] Invalid credentials(Failure)",
            false,
        ),
        ("m1 NO s e\"ret is wrong", false),
        ("m1 NO [ALERT] You are yet to enable IMAP", false),
        (
            "m1 NO [UNAVAILABLE] Temporary authentication failure.",
            true,
        ),
        (
            "m1 NO [ALERT] Too many simultaneous connections. (Failure)",
            true,
        ),
        ("m1 BAD User is authenticated but not connected.", true),
        ("* BYE Maximum number of connections exceeded", true),
    ] {
        let error = refused(&format!("{hello}S: {answer}\n")).await;
        match &error {
            ImapError::Capacity { .. } => assert!(capacity, "{answer}"),
            ImapError::SignInRefused { .. } => assert!(!capacity, "{answer}"),
            other => panic!("{answer}: {other:?}"),
        }
        assert!(!format!("{error} {error:?}").contains("s e\"ret"));
    }
    let error = refused(&format!("{hello}S: m1 BAD syntax: LOGIN anna s e\"ret\n")).await;
    assert!(matches!(&error, ImapError::Bad { words, .. } if words == "syntax: LOGIN anna …"));
    let error = refused(&format!("{hello}S: * LIST s e\"ret\n")).await;
    assert!(
        matches!(&error, ImapError::Parse { detail } if detail == "* LIST …"),
        "{error:?}"
    );
    assert!(!format!("{:?}", credentials()).contains("s e"));
}

#[tokio::test]
async fn greetings_that_are_none_are_named() {
    for line in [
        "SSH-2.0-OpenSSH_9.2",
        "+OK POP3 ready",
        "HTTP/1.1 400 Bad Request",
        "220 smtp",
    ] {
        let error = refused(&format!("S: {line}\n")).await;
        assert!(
            matches!(&error, ImapError::NotImap { line: seen } if seen == line),
            "{error:?}"
        );
    }
    let error = refused("S: * BYE Too many connections, try later\n").await;
    assert!(matches!(error, ImapError::Capacity { .. }));
    let error = refused("S: * BYE going down\n").await;
    assert!(matches!(error, ImapError::Bye { .. }));
    session("S: * PREAUTH [CAPABILITY IMAP4rev1] you\n", 4096)
        .await
        .unwrap();
}

#[tokio::test]
async fn starttls_happens_in_full_or_nothing_leaves_this_machine() {
    let hello = "S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hi\nC: m1 STARTTLS\n";
    let cases = [
        (
            "S: * PREAUTH [CAPABILITY IMAP4rev1] you\n".to_owned(),
            "Preauth",
        ),
        (
            "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\n".to_owned(),
            "StartTlsUnavailable",
        ),
        (format!("{hello}S: m1 NO not today\n"), "StartTlsRefused"),
        (format!("{hello}S: m1 BAD what?\n"), "StartTlsRefused"),
        (
            format!("{hello}S< m1 OK go\\r\\n* OK injected\\r\\n\n"),
            "ResponseInjection",
        ),
        (format!("{hello}S< m1 OK go\\r\\nx\n"), "ResponseInjection"),
        (
            "S< * OK [CAPABILITY IMAP4rev1 STARTTLS] hi\\r\\nm1 OK go\\r\\n\n".to_owned(),
            "ResponseInjection",
        ),
    ];
    for (script, expected) in cases {
        let (ours, theirs) = duplex(4096);
        let peer = tokio::spawn(play(theirs, script.clone(), usize::MAX));
        let net = options();
        let transport = Transport::memory(ours, &net);
        let endpoint = endpoint(Security::StartTls);
        let error = Session::over(transport, &endpoint, &net, &credentials(), None)
            .await
            .unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{script}: {error:?}"
        );
        assert_eq!(peer.await.unwrap().as_deref(), Some(""), "{script}");
    }
}

#[tokio::test]
async fn starttls_protects_everything_after_it() {
    use crate::net::{Trust, tls_server};

    let authority = tls_server::Authority::new();
    let acceptor = authority.issue("localhost").acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n";
        stream.write_all(hello).await.unwrap();
        let mut command = vec![0; b"m1 STARTTLS\r\n".len()];
        stream.read_exact(&mut command).await.unwrap();
        assert_eq!(command, b"m1 STARTTLS\r\n");
        stream.write_all(b"m1 OK go\r\n").await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        // The capabilities from before are forgotten and asked for again.
        let mut command = vec![0; b"m1 CAPABILITY\r\n".len()];
        stream.read_exact(&mut command).await.unwrap();
        assert_eq!(command, b"m1 CAPABILITY\r\n");
        let caps = b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nm1 OK\r\n";
        stream.write_all(caps).await.unwrap();
    });
    let endpoint = Endpoint {
        port,
        ..endpoint(Security::StartTls)
    };
    let net = tls_server::options(Trust::CaFile(authority.file()));
    let error = Session::connect(&endpoint, &net, &credentials(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, ImapError::LoginDisabled), "{error:?}");
    peer.await.unwrap();

    // A server nobody vouches for never sees a credential.
    let acceptor = tls_server::Authority::new().issue("localhost").acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n";
        stream.write_all(hello).await.unwrap();
        stream.read_exact(&mut [0; 13]).await.unwrap();
        stream.write_all(b"m1 OK go\r\n").await.unwrap();
        assert!(acceptor.accept(stream).await.is_err());
    });
    let endpoint = Endpoint { port, ..endpoint };
    let error = Session::connect(&endpoint, &net, &credentials(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, ImapError::Net(_)), "{error:?}");
    assert_eq!(error.disposition(), (Scope::Account, Disposition::Abort));
}

#[tokio::test]
async fn acting_for_somebody_else_goes_by_plain_or_not_at_all() {
    let credentials = Credentials {
        user: "boss".into(),
        secret: Secret::new("pw".into()),
        authzid: Some("anna".into()),
    };
    // anna NUL boss NUL pw
    let response = "YW5uYQBib3NzAHB3";
    let table = [
        (
            format!(
                "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\n\
                 C: m1 AUTHENTICATE PLAIN {response}\nS: m1 OK [CAPABILITY IMAP4rev1] in\n"
            ),
            None,
        ),
        (
            format!(
                "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN LOGINDISABLED] hi\n\
                 C: m1 AUTHENTICATE PLAIN\nS: + \nC: {response}\nS: m1 OK [CAPABILITY IMAP4rev1] in\n"
            ),
            None,
        ),
        (
            format!(
                "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\n\
                 C: m1 AUTHENTICATE PLAIN {response}\nS: m1 NO {response} may not\n"
            ),
            Some("SignInRefused { words: \"… may not\" }"),
        ),
        (
            "S: * OK [CAPABILITY IMAP4rev1 AUTH=LOGIN] hi\n".into(),
            Some("NoAuthzid"),
        ),
        (
            "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\n".into(),
            Some("NoAuthzid"),
        ),
        (
            "S: * PREAUTH [CAPABILITY IMAP4rev1 AUTH=PLAIN] you\n".into(),
            Some("NoAuthzid"),
        ),
    ];
    for (script, refusal) in table {
        let (ours, theirs) = duplex(4096);
        let peer = tokio::spawn(play(theirs, script.clone(), usize::MAX));
        let net = options();
        let transport = Transport::memory(ours, &net);
        let endpoint = endpoint(Security::Tls);
        let result = Session::over(transport, &endpoint, &net, &credentials, None).await;
        let error = result.map(drop).err().map(|error| format!("{error:?}"));
        assert_eq!(error.as_deref(), refusal, "{script}");
        assert_eq!(peer.await.unwrap().as_deref(), Some(""), "{script}");
    }
}
