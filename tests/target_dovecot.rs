//! The write side of IMAP against a server that means it. The oracle is what the server itself
//! reports.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::sync::Arc;
use std::time::Instant;

use mailstow::imap::{
    Append, AppendBody, AppendReply, Appending, Created, ImapError, Namespace, Sent, StoreFlags,
    TargetSession,
};
use mailstow::model::{Flags, UidSet};
use mailstow::net::{Endpoint, NetOptions, Security, Trust};
use mailstow::secret::{Credentials, Secret};
use support::dovecot::{ALICE, Dovecot};

async fn connect(dovecot: &Dovecot, security: Security) -> TargetSession {
    let encrypted = security == Security::Tls;
    let endpoint = Endpoint {
        host: "localhost".to_owned(),
        port: if encrypted {
            dovecot.imaps_port()
        } else {
            dovecot.imap_port()
        },
        security,
    };
    let mut net = NetOptions::default();
    if encrypted {
        net.trust = Trust::CaFile(dovecot.ca());
    }
    let credentials = Credentials {
        user: ALICE.to_owned(),
        secret: Secret::new(dovecot.password(ALICE).to_owned()),
        authzid: None,
    };
    let session = TargetSession::connect(&endpoint, &net, &credentials, None).await;
    session.unwrap()
}

fn message(flags: &[&str], date: &str, body: &str) -> Appending {
    Appending {
        flags: Flags::from_wire(flags),
        date: Some(date.parse().unwrap()),
        body: AppendBody::Memory(Arc::new(body.as_bytes().to_vec())),
    }
}

async fn append(
    session: &mut TargetSession,
    mailbox: &str,
    messages: &[Appending],
    synchronising: bool,
) -> Result<Vec<u32>, ImapError> {
    let append = Append {
        mailbox,
        messages,
        synchronising,
    };
    match session.send_append(&append).await? {
        Sent::Outstanding => {}
        Sent::Refused(reply) => panic!("{reply:?}"),
    }
    match session.next_append().await? {
        AppendReply::Stored(told) => Ok(told.unwrap().uids),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_appended_is_there_byte_for_byte_with_its_flags_and_date() {
    let dovecot = Dovecot::start();
    let commands = "Subject: x\r\n\r\nm9 DELETE Sent\r\nm10 LOGOUT\r\n";
    let mut uid = 0;
    for (security, synchronising) in [
        (Security::Plaintext, false),
        (Security::Plaintext, true),
        (Security::Tls, false),
    ] {
        let mut session = connect(&dovecot, security).await;
        let made = session.create("Sent", Some("\\Sent")).await.unwrap();
        let want = if uid == 0 {
            Created::New
        } else {
            Created::Existed
        };
        assert_eq!(made, want);
        session.subscribe("Sent").await.unwrap();
        let selected = session.select("Sent").await.unwrap();
        assert_eq!(selected.exists, uid);
        assert!(!selected.read_only && selected.permanent.told);
        assert!(selected.permanent.any_keyword && selected.permanent.allows("\\Seen"));
        let messages = [
            message(&["\\Seen", "$Work"], "2024-02-07T21:52:25+01:00", commands),
            message(&[], "1970-01-01T00:00:00+00:00", "no header, no line end"),
            message(
                &["\\Draft"],
                "2001-09-08T18:16:40-07:30",
                &"x".repeat(300_000),
            ),
        ];
        let uids = append(&mut session, "Sent", &messages, synchronising)
            .await
            .unwrap();
        assert_eq!(uids, [uid + 1, uid + 2, uid + 3]);
        let held = &dovecot.fetch_all(ALICE)["Sent"];
        for (held, sent) in held.iter().skip(uid as usize).zip(&messages) {
            let AppendBody::Memory(body) = &sent.body else {
                unreachable!();
            };
            assert!(held.body == **body);
            let flags: Vec<&str> = held.flags.iter().map(String::as_str).collect();
            assert_eq!(flags, sent.flags.iter().collect::<Vec<_>>());
        }
        let listed = session.reading().list_messages("1:*").await.unwrap();
        let dates = listed.messages.iter().skip(uid as usize);
        let dates: Vec<i64> = dates.map(|m| m.date().unwrap().unix).collect();
        let sent: Vec<i64> = messages.iter().map(|m| m.date.unwrap().unix).collect();
        assert_eq!(dates, sent);
        uid += 3;
        session.logout().await;
    }
    assert!(dovecot.fetch_all(ALICE).contains_key("Sent"));
}

#[tokio::test]
async fn refusals_changes_and_what_the_server_says_of_itself() {
    let dovecot = Dovecot::start_with(&["--separator", "."]);
    let mut session = connect(&dovecot, Security::Plaintext).await;
    let own = Namespace {
        prefix: String::new(),
        separator: Some('.'),
    };
    assert_eq!(session.namespace().await.unwrap(), Some(own));
    assert_eq!(session.quota("INBOX").await.unwrap(), []);
    // A mailbox that is not there: refused before a byte, and behind the message.
    let messages = [message(
        &[],
        "2024-02-07T21:52:25+01:00",
        "Subject: a\r\n\r\nb\r\n",
    )];
    for synchronising in [true, false] {
        let to_nowhere = Append {
            mailbox: "nowhere",
            messages: &messages,
            synchronising,
        };
        let reply = match session.send_append(&to_nowhere).await.unwrap() {
            Sent::Refused(reply) if synchronising => reply,
            Sent::Outstanding if !synchronising => match session.next_append().await.unwrap() {
                AppendReply::Refused(reply) => reply,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert!(reply.has_code("TRYCREATE"), "{reply:?}");
    }
    let uids = append(&mut session, "INBOX", &messages, false)
        .await
        .unwrap();
    session.create("A&-B", None).await.unwrap();
    session.select("INBOX").await.unwrap();
    let set: UidSet = uids.iter().copied().collect();
    let flags = Flags::from_wire(["\\Flagged", "$Label1"]);
    session
        .store_flags(&set, StoreFlags::Add, &flags)
        .await
        .unwrap();
    let moved = session
        .move_message(uids[0], "A&-B")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(moved.uids, [1]);
    assert_eq!(session.move_message(uids[0], "A&-B").await.unwrap(), None);
    let all = dovecot.fetch_all(ALICE);
    assert!(all["INBOX"].is_empty());
    let flags: Vec<&str> = all["A&B"][0].flags.iter().map(String::as_str).collect();
    assert_eq!(flags, ["$Label1", "\\Flagged"]);
    let mut seen = Vec::new();
    session.reading().examine("A&-B").await.unwrap();
    let each = |_, header: &[u8]| seen.extend_from_slice(header);
    session.reading().identity_fields(&set, each).await.unwrap();
    assert_eq!(seen, b"Subject: a\r\n\r\n");
    session.logout().await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn measure_batches_of_four_mebibytes() {
    let dovecot = Dovecot::start();
    let body = format!("Subject: x\r\n\r\n{}", "0123456789abcdef\r\n".repeat(1600));
    let messages = vec![message(&[], "2024-02-07T21:52:25+01:00", &body); 50];
    for security in [Security::Plaintext, Security::Tls] {
        let mut session = connect(&dovecot, security).await;
        let begin = Instant::now();
        for round in 0..100 {
            let append = Append {
                mailbox: "INBOX",
                messages: &messages,
                synchronising: false,
            };
            assert_eq!(
                session.send_append(&append).await.unwrap(),
                Sent::Outstanding
            );
            if round > 1 {
                let reply = session.next_append().await.unwrap();
                assert!(matches!(reply, AppendReply::Stored(Some(_))), "{reply:?}");
            }
        }
        while session.appends_outstanding() > 0 {
            let reply = session.next_append().await.unwrap();
            assert!(matches!(reply, AppendReply::Stored(Some(_))), "{reply:?}");
        }
        println!(
            "5000 messages of {} bytes: {:?}",
            body.len(),
            begin.elapsed()
        );
    }
}
