//! The fake SMTP server tests itself, with the session it is there for and by hand.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use mailstow::net::{Endpoint, NetOptions, Security};
use mailstow::secret::{Credentials, Secret};
use mailstow::smtp::{SendReply, SmtpBody, SmtpError, SmtpSession};
use support::fake_smtp::{FakeSmtp, Lost, Stage, World};

const FROM: &str = "anna@example.org";
const TO: &str = "archive@example.net";
const MAIL: &[u8] = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";

async fn connect(server: &FakeSmtp, password: Option<&str>) -> Result<SmtpSession, SmtpError> {
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        security: Security::Plaintext,
    };
    let credentials = password.map(|password| Credentials {
        user: "alice".to_owned(),
        secret: Secret::new(password.to_owned()),
        authzid: None,
    });
    let net = NetOptions::default();
    let lmtp = server.world().lmtp;
    SmtpSession::connect(&endpoint, &net, credentials.as_ref(), lmtp).await
}

async fn send(session: &mut SmtpSession) -> Result<SendReply, SmtpError> {
    session.send(FROM, TO, SmtpBody::Memory(MAIL)).await
}

fn is_accepted(reply: &SendReply) -> bool {
    matches!(reply, SendReply::Accepted { .. })
}

#[tokio::test]
async fn what_was_sent_is_delivered_as_it_was_with_its_envelope() {
    for (world, url) in [
        (World::default(), "smtp://alice@"),
        (World::lmtp(), "lmtp://alice@"),
    ] {
        let server = FakeSmtp::start(world);
        assert!(server.url().starts_with(url));
        let mut session = connect(&server, None).await.unwrap();
        assert!(is_accepted(&send(&mut session).await.unwrap()));
        let body = SmtpBody::Memory(b"\xe9\n");
        assert!(is_accepted(&session.send("", TO, body).await.unwrap()));
        session.quit().await;
        let delivered = server.delivered();
        let [first, second] = delivered.as_slice() else {
            panic!("{delivered:?}");
        };
        assert_eq!((first.from.as_str(), first.to.as_str()), (FROM, TO));
        assert_eq!((first.connection, first.bytes.as_slice()), (1, MAIL));
        assert_eq!(first.parameters, [format!("SIZE={}", MAIL.len())]);
        assert_eq!(
            (second.from.as_str(), second.bytes.as_slice()),
            ("", b"\xe9\n\r\n".as_slice())
        );
        assert_eq!(second.parameters, ["SIZE=4", "BODY=8BITMIME"]);
        assert_eq!(server.bytes().values().sum::<usize>(), 2);
    }
}

#[tokio::test]
async fn only_who_is_known_may_send() {
    let server = FakeSmtp::start(World::with_user("alice", "correct horse"));
    for extensions in ["AUTH PLAIN LOGIN", "AUTH LOGIN"] {
        server.world().extensions = vec![extensions.to_owned()];
        let mut session = connect(&server, Some("correct horse")).await.unwrap();
        assert!(is_accepted(&send(&mut session).await.unwrap()));
        let error = connect(&server, Some("wrong")).await.unwrap_err();
        assert!(
            matches!(error, SmtpError::SignInRefused { .. }),
            "{error:?}"
        );
    }
    assert_eq!((server.sign_ins(), server.delivered().len()), (4, 2));
    let mut session = connect(&server, None).await.unwrap();
    let reply = send(&mut session).await.unwrap();
    assert!(
        matches!(reply, SendReply::Refused { code: 530, .. }),
        "{reply:?}"
    );
    server.world().refuse(Stage::Auth, "454 4.7.0 later", 1);
    let error = connect(&server, Some("correct horse")).await.unwrap_err();
    assert!(matches!(error, SmtpError::Capacity { .. }), "{error:?}");
}

#[tokio::test]
async fn it_refuses_at_every_stage_as_often_as_it_is_told() {
    let server = FakeSmtp::start(World::default());
    server.world().refuse(Stage::Greeting, "554 5.3.2 no", 1);
    let error = connect(&server, None).await.unwrap_err();
    assert!(
        matches!(error, SmtpError::TurnedAway { code: 554, .. }),
        "{error:?}"
    );
    let mut session = connect(&server, None).await.unwrap();
    for stage in [Stage::MailFrom, Stage::RcptTo, Stage::Data, Stage::End] {
        server.world().refuse(stage, "550 5.7.1 no", 2);
        for _ in 0..2 {
            let reply = send(&mut session).await.unwrap();
            let SendReply::Refused {
                code: 550,
                at,
                permanent: true,
                ..
            } = reply
            else {
                panic!("{reply:?}");
            };
            assert_eq!(format!("{at:?}"), format!("{stage:?}"));
        }
        assert!(is_accepted(&send(&mut session).await.unwrap()));
    }
    assert_eq!((server.delivered().len(), server.seen()), (4, 6));
    assert_eq!(
        server.said().iter().filter(|line| *line == "RSET").count(),
        4
    );
}

#[tokio::test]
async fn it_loses_answers_and_ends_connections() {
    let server = FakeSmtp::start(World::default());
    server.world().lost = [(2, Lost::Delivered), (3, Lost::NotDelivered)].into();
    let mut session = connect(&server, None).await.unwrap();
    assert!(is_accepted(&send(&mut session).await.unwrap()));
    for delivered in [2, 2] {
        let error = send(&mut session).await.unwrap_err();
        assert!(error.may_be_delivered(), "{error:?}");
        assert_eq!(server.delivered().len(), delivered);
        session = connect(&server, None).await.unwrap();
    }
    server.world().per_connection = Some(1);
    assert!(is_accepted(&send(&mut session).await.unwrap()));
    let error = send(&mut session).await.unwrap_err();
    assert!(matches!(error, SmtpError::Closing { .. }), "{error:?}");
    assert!(!error.may_be_delivered());
    server.world().closes_after = Some(4);
    session = {
        let mut session = connect(&server, None).await.unwrap();
        assert!(is_accepted(&send(&mut session).await.unwrap()));
        session
    };
    let error = send(&mut session).await.unwrap_err();
    assert!(matches!(error, SmtpError::Closing { .. }), "{error:?}");
    let error = connect(&server, None).await.unwrap_err();
    assert!(
        matches!(error, SmtpError::TurnedAway { code: 421, .. }),
        "{error:?}"
    );
    assert_eq!(server.delivered().len(), 4);
}

#[test]
fn it_notices_bad_manners() {
    for (script, complaint) in [
        ("EHLO x\r\nNOOP\r\n", "ahead of its answer"),
        ("DATA\r\n", "without an envelope"),
        ("MAIL anna\r\n", "MAIL anna"),
        (
            "EHLO x\r\n|MAIL FROM:<> SIZE=9\r\n|RCPT TO:<x@y>\r\n|DATA\r\n|a\r\n.\r\n",
            "SIZE is Some(\"9\")",
        ),
        (
            "EHLO x\r\n|MAIL FROM:<> SIZE=4\r\n|RCPT TO:<x@y>\r\n|DATA\r\n|é\r\n.\r\n",
            "8BITMIME does not fit",
        ),
    ] {
        let server = FakeSmtp::start(World::default());
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let mut lines = BufReader::new(&stream);
        let mut reply = String::new();
        lines.read_line(&mut reply).unwrap();
        for part in script.split('|') {
            (&stream).write_all(part.as_bytes()).unwrap();
            loop {
                reply.clear();
                lines.read_line(&mut reply).unwrap();
                if reply.as_bytes().get(3) == Some(&b' ') {
                    break;
                }
            }
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        lines.read_to_string(&mut reply).unwrap();
        let rude = server.take_rude();
        assert!(rude.iter().any(|what| what.contains(complaint)), "{rude:?}");
    }
}
