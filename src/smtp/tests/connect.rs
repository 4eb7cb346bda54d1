//! Greeting, hello, STARTTLS and sign-in.

use super::*;

/// Why a peer was not let in. Nothing may come behind the script.
async fn error_of(script: &str, security: Security, credentials: bool) -> SmtpError {
    let (ours, theirs) = duplex(4096);
    let peer = tokio::spawn(play(theirs, script.to_owned(), usize::MAX));
    let user = super::credentials();
    let user = credentials.then_some(&user);
    let error = over(ours, security, user, false).await.unwrap_err();
    let played = peer.await.unwrap();
    assert!(played.whole && played.rest.is_empty(), "{script}{played:?}");
    error
}

#[tokio::test]
async fn hello_is_said_as_the_server_understands_it() {
    let (session, peer) = session("C: QUIT\nS: 221 bye\n").await;
    assert_eq!(session.greeting(), "mail.example.org ESMTP ready");
    let extensions = session.extensions().clone();
    assert!(extensions.eight_bit_mime && extensions.pipelining && !extensions.chunking);
    assert_eq!(extensions.size, Some(1_000_000));
    session.quit().await;
    assert_whole(peer).await;

    let old = "S: 220\nC: EHLO [127.0.0.1]\nS: 502 what?\nC: HELO [127.0.0.1]\nS: 250 hi\n";
    let (session, peer) = session_with(old, 4096, usize::MAX, None).await;
    assert_eq!(session.unwrap().extensions(), &Extensions::default());
    assert_whole(peer).await;

    let lmtp = "S: 220 LMTP\nC: LHLO [127.0.0.1]\nS: 250-x\nS: 250 8BITMIME\n";
    let (session, peer) = session_with(lmtp, 4096, usize::MAX, None).await;
    assert!(session.unwrap().extensions().eight_bit_mime);
    assert_whole(peer).await;
}

#[tokio::test]
async fn greetings_and_hellos_that_are_none_are_named() {
    for line in [
        "SSH-2.0-OpenSSH_9.2",
        "* OK IMAP4rev1 ready",
        "+OK POP3",
        "",
    ] {
        let error = error_of(&format!("S: {line}\n"), Security::Tls, false).await;
        assert!(
            matches!(&error, SmtpError::NotSmtp { line: seen } if seen == line),
            "{error:?}"
        );
    }
    let hello = "S: 220 hi\nC: EHLO [127.0.0.1]\n";
    for (script, expected) in [
        ("S: 554 no service\n".to_owned(), "TurnedAway { code: 554"),
        ("S: 421 later\n".to_owned(), "TurnedAway { code: 421"),
        ("S< 220\n".to_owned(), "Io"),
        (
            format!("{hello}S: 550 go away\n"),
            "Refused { command: \"EHLO\", code: 550",
        ),
        (format!("{hello}S: 421 bye\n"), "Closing"),
        (
            format!("{hello}S: 354 go\n"),
            "Unexpected { command: \"EHLO\"",
        ),
        (format!("{hello}S: hello\n"), "Parse { command: \"EHLO\""),
        (
            format!("{hello}S: 250-x\nS: 550 y\n"),
            "Parse { command: \"EHLO\"",
        ),
        (
            format!("{hello}S: 502 ?\nC: HELO [127.0.0.1]\nS: 502 ?\n"),
            "Refused { command: \"EHLO\"",
        ),
        ("S< 220 hi\\r\\n250 x\\r\\n\n".to_owned(), "OutOfTurn"),
    ] {
        let error = error_of(&script, Security::Tls, false).await;
        assert!(
            format!("{error:?}").starts_with(expected),
            "{script}: {error:?}"
        );
        assert!(!error.may_be_delivered());
    }
    let endless = format!(
        "S: 220 hi\nC: EHLO [127.0.0.1]\nS: 250-{}\n",
        "x".repeat(70_000)
    );
    let (session, _peer) = session_with(&endless, 1 << 20, usize::MAX, None).await;
    assert!(matches!(session.unwrap_err(), SmtpError::ReplyTooLong));
}

const PLAIN: &str = "S: 220\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250 AUTH LOGIN PLAIN XOAUTH2\nC: AUTH PLAIN AGFubmEAcyBlInJldA==\n";
const LOGIN: &str = "S: 220\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250 auth=login\nC: AUTH LOGIN\nS: 334 VXNlcg==\nC: YW5uYQ==\n";

#[tokio::test]
async fn plain_is_taken_where_it_is_announced_and_login_elsewhere() {
    for script in [
        format!("{PLAIN}S: 235 2.7.0 in\n"),
        // A server that does not look at a response sent with AUTH.
        format!("{PLAIN}S: 334\nC: AGFubmEAcyBlInJldA==\nS: 235 in\n"),
        format!("{LOGIN}S: 334 whatever it likes\nC: cyBlInJldA==\nS: 235 in\n"),
    ] {
        let user = credentials();
        let (session, peer) = session_with(&script, 4096, usize::MAX, Some(&user)).await;
        let session = session.unwrap();
        assert!(!format!("{session:?}").contains("s e"));
        drop(session);
        assert_whole(peer).await;
    }
}

#[tokio::test]
async fn sign_in_is_tried_once_and_refusals_repeat_no_secret() {
    let secrets = [SECRET, "AGFubmEAcyBlInJldA", "cyBlInJldA"];
    let login = format!("{LOGIN}S: 334 UGFzc3dvcmQ6\nC: cyBlInJldA==\n");
    for (answer, expected) in [
        ("535 5.7.8 Authentication failed", "SignInRefused"),
        ("550", "SignInRefused"),
        ("535 what is s e\"ret?", "words: \"what is …?\""),
        ("501 AUTH PLAIN AGFubmEAcyBlInJldA==", "AUTH PLAIN …"),
        ("500 cyBlInJldA==", "words: \"…\""),
        ("454 4.7.0 Temporary failure", "Capacity"),
        ("550 throttled", "Capacity"),
        ("421 4.7.0 slow down", "Closing"),
        ("354 go", "Unexpected { command: \"AUTH\""),
        ("s e\"ret?", "Parse { command: \"AUTH\", line: \"…?\""),
    ] {
        for hello in [PLAIN, &login] {
            let error = error_of(&format!("{hello}S: {answer}\n"), Security::Tls, true).await;
            let text = format!("{error:?}");
            assert!(text.contains(expected), "{answer}: {text}");
            let shown = format!("{error} {error:?}");
            assert!(
                secrets.iter().all(|secret| !shown.contains(secret)),
                "{shown}"
            );
        }
    }
    // An exchange without an end is ended.
    let odd = "S: 334\nC: AGFubmEAcyBlInJldA==\nS: 334 again\nC: *\nS: 501 cancelled\n";
    let error = error_of(&format!("{PLAIN}{odd}"), Security::Tls, true).await;
    assert!(matches!(&error, SmtpError::SignInRefused { words } if words == "cancelled"));
}

#[tokio::test]
async fn without_a_way_to_sign_in_nothing_is_sent() {
    let script = "S: 220\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250 AUTH CRAM-MD5 XOAUTH2\n";
    let error = error_of(script, Security::Tls, true).await;
    assert_eq!(
        error.to_string(),
        "the server offers no way to sign in that could be used here, only CRAM-MD5 XOAUTH2"
    );
    let error = error_of(
        "S: 220\nC: EHLO [127.0.0.1]\nS: 250 x\n",
        Security::Tls,
        true,
    )
    .await;
    assert!(error.to_string().ends_with("used here"), "{error}");
    let odd = Credentials {
        user: "anna".into(),
        secret: Secret::new("x\0y".into()),
        authzid: None,
    };
    let script = "S: 220\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250 AUTH PLAIN\n";
    let (session, peer) = session_with(script, 4096, usize::MAX, Some(&odd)).await;
    assert!(matches!(session.unwrap_err(), SmtpError::Unsendable));
    assert_whole(peer).await;
}

#[tokio::test]
async fn starttls_happens_in_full_or_nothing_leaves_this_machine() {
    let hello = "S: 220 hi\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250-STARTTLS\nS: 250 AUTH PLAIN\n";
    let asked = format!("{hello}C: STARTTLS\n");
    let cases = [
        (
            "S: 220\nC: EHLO [127.0.0.1]\nS: 250-x\nS: 250 AUTH PLAIN\n".to_owned(),
            "StartTlsUnavailable",
        ),
        (
            "S: 220\nC: EHLO [127.0.0.1]\nS: 500\nC: HELO [127.0.0.1]\nS: 250 x\n".to_owned(),
            "StartTlsUnavailable",
        ),
        (format!("{asked}S: 454 not today\n"), "StartTlsRefused"),
        (format!("{asked}S: 250 what?\n"), "Unexpected"),
        (format!("{asked}S: what?\n"), "Parse"),
        (
            format!("{asked}S< 220 go\\r\\n250 injected\\r\\n\n"),
            "ResponseInjection",
        ),
        (format!("{asked}S< 220 go\\r\\nx\n"), "ResponseInjection"),
        (
            "S: 220\nC: EHLO [127.0.0.1]\nS< 250-x\\r\\n250 STARTTLS\\r\\n220 go\\r\\n\n"
                .to_owned(),
            "ResponseInjection",
        ),
    ];
    for (script, expected) in cases {
        let error = error_of(&script, Security::StartTls, true).await;
        assert!(
            format!("{error:?}").starts_with(expected),
            "{script}: {error:?}"
        );
    }
}

#[tokio::test]
async fn starttls_protects_everything_after_it() {
    use crate::net::{Trust, tls_server};

    let authority = tls_server::Authority::new();
    let acceptor = authority.issue("localhost").acceptor();
    let net = tls_server::options(Trust::CaFile(authority.file()));
    let (endpoint, listener) = listen().await;
    let peer = tokio::spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        offer_tls(&mut plain).await;
        // No second greeting, and the extensions from before are forgotten.
        let mut tls = acceptor.accept(plain).await.unwrap();
        expect(&mut tls, "EHLO [127.0.0.1]\r\n").await;
        tls.write_all(b"250-x\r\n250 AUTH PLAIN\r\n").await.unwrap();
        expect(&mut tls, "AUTH PLAIN AGFubmEAcyBlInJldA==\r\n").await;
        tls.write_all(b"235 in\r\n").await.unwrap();
        expect(&mut tls, "MAIL FROM:<anna@example.org>\r\n").await;
        tls.write_all(b"250\r\n").await.unwrap();
        expect(&mut tls, "RCPT TO:<archive@example.net>\r\n").await;
        tls.write_all(b"250\r\n").await.unwrap();
        expect(&mut tls, "DATA\r\n").await;
        tls.write_all(b"354\r\n").await.unwrap();
        expect(&mut tls, "a\r\n.\r\n").await;
        tls.write_all(b"250 queued\r\n").await.unwrap();
        expect(&mut tls, "QUIT\r\n").await;
    });
    let user = credentials();
    let session = SmtpSession::connect(&endpoint, &net, Some(&user), false).await;
    let mut session = session.unwrap();
    assert!(!session.extensions().declares_size && !session.extensions().start_tls);
    assert_eq!(
        send(&mut session, b"a\r\n").await.unwrap(),
        accepted("queued")
    );
    session.quit().await;
    peer.await.unwrap();

    // A server nobody vouches for never sees a credential.
    let acceptor = tls_server::Authority::new().issue("localhost").acceptor();
    let (endpoint, listener) = listen().await;
    tokio::spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        offer_tls(&mut plain).await;
        assert!(acceptor.accept(plain).await.is_err());
    });
    let error = SmtpSession::connect(&endpoint, &net, Some(&user), false).await;
    let error = error.unwrap_err();
    assert!(matches!(error, SmtpError::Net(_)), "{error:?}");
    assert_eq!(error.disposition(), (Scope::Account, Disposition::Abort));
}

async fn listen() -> (Endpoint, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint {
        port,
        ..endpoint(Security::StartTls)
    };
    (endpoint, listener)
}

async fn offer_tls(plain: &mut tokio::net::TcpStream) {
    plain.write_all(b"220 hi\r\n").await.unwrap();
    expect(plain, "EHLO [127.0.0.1]\r\n").await;
    let extensions = b"250-x\r\n250-STARTTLS\r\n250 SIZE\r\n";
    plain.write_all(extensions).await.unwrap();
    expect(plain, "STARTTLS\r\n").await;
    plain.write_all(b"220 go\r\n").await.unwrap();
}

async fn expect(stream: &mut (impl tokio::io::AsyncRead + Unpin), line: &str) {
    let mut got = vec![0; line.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), line);
}
