//! LMTP to a real server: what it files is what was sent.

mod support;

use mailstow::net::{Disposition, Endpoint, NetOptions, Scope, Security, Trust};
use mailstow::smtp::{SendReply, SmtpBody, SmtpError, SmtpSession, Stage};
use support::dovecot::{ALICE, Dovecot};

async fn connect(dovecot: &Dovecot, security: Security) -> Result<SmtpSession, SmtpError> {
    let endpoint = Endpoint {
        host: "localhost".to_owned(),
        port: dovecot.lmtp_port(),
        security,
    };
    let net = NetOptions {
        trust: Trust::CaFile(dovecot.ca()),
        ..NetOptions::default()
    };
    SmtpSession::connect(&endpoint, &net, None, true).await
}

#[tokio::test]
async fn a_real_server_files_what_was_sent_byte_for_byte() {
    let dovecot = Dovecot::start();
    let long = "..some line\r\n.\r\n".repeat(200_000);
    let messages = [
        b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nMAIL FROM:<>\r\n\r\n".to_vec(),
        b"Subject: 8-bit\r\n\r\n\xe9\xff\r\n".to_vec(),
        b"Subject: no end\r\n\r\nend".to_vec(),
        format!("Subject: long\r\n\r\n{long}").into_bytes(),
    ];
    for security in [Security::Plaintext, Security::StartTls] {
        let mut session = connect(&dovecot, security).await.unwrap();
        let offered = session.extensions().start_tls;
        assert_eq!(offered, security == Security::Plaintext);
        for message in &messages {
            let (from, to) = ("anna@example.org", "alice@localhost");
            let reply = session.send(from, to, SmtpBody::Memory(message)).await;
            assert!(matches!(reply, Ok(SendReply::Accepted { .. })), "{reply:?}");
        }
        session.quit().await;
    }
    let filed = &dovecot.fetch_all(ALICE)["INBOX"];
    assert_eq!(filed.len(), 2 * messages.len());
    for (filed, sent) in filed.iter().zip(messages.iter().cycle()) {
        // A server may put trace headers before it (RFC 5321 §4.4), and DATA ends in CRLF.
        let mut sent = sent.clone();
        if !sent.ends_with(b"\r\n") {
            sent.extend_from_slice(b"\r\n");
        }
        assert!(filed.body.ends_with(&sent), "{}", filed.uid);
        let trace = &filed.body[..filed.body.len() - sent.len()];
        let trace = String::from_utf8_lossy(trace);
        assert_eq!(trace.matches("\r\n").count(), 2, "{trace}");
        assert!(trace.starts_with("Return-Path: <anna@example.org>\r\n"));
    }
}

#[tokio::test]
async fn a_recipient_nobody_knows_is_refused_and_the_next_one_is_not() {
    let dovecot = Dovecot::start();
    let mut session = connect(&dovecot, Security::Plaintext).await.unwrap();
    let body = SmtpBody::Memory(b"Subject: x\r\n\r\n");
    let reply = session.send("", "eve@localhost", body).await.unwrap();
    let SendReply::Refused {
        code: 550,
        at: Stage::RcptTo,
        permanent: true,
        ..
    } = &reply
    else {
        panic!("{reply:?}");
    };
    let expected = (Scope::Account, Disposition::Abort);
    assert_eq!(reply.disposition(), Some(expected));
    let reply = session.send("", "alice@localhost", body).await.unwrap();
    assert!(matches!(reply, SendReply::Accepted { .. }), "{reply:?}");
    session.quit().await;
    assert_eq!(dovecot.fetch_all(ALICE)["INBOX"].len(), 1);
}
