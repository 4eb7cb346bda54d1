//! What goes out.

use super::*;
use crate::spool::{SpoolOptions, SpooledBody, Spooling};

#[tokio::test]
async fn heads_are_as_the_literals_of_the_server_want_them() {
    let date = "2024-05-01T10:00:00+02:00";
    let small = || message(&["\\seen", "Work"], Some(date), b"hello");
    let large = || message(&[], None, &[b'x'; 4097]);
    let edge = || message(&[], Some("1996-07-17T02:44:25-07:00"), &[b'y'; 4096]);
    let xs = "x".repeat(4097);
    let ys = "y".repeat(4096);
    let head = "(Work \\Seen) \" 1-May-2024 10:00:00 +0200\"";
    let old = "\"17-Jul-1996 02:44:25 -0700\"";
    let table: [(&str, &str, bool, Appending, String); 11] = [
        (
            "LITERAL+",
            "INBOX",
            false,
            small(),
            format!("C: m2 APPEND \"INBOX\" {head} {{5+}}\nC: hello\n"),
        ),
        (
            "LITERAL+ LITERAL-",
            "a b\"c\\d",
            false,
            large(),
            format!("C: m2 APPEND \"a b\\\"c\\\\d\" {{4097+}}\nC: {xs}\n"),
        ),
        (
            "LITERAL-",
            "INBOX",
            false,
            edge(),
            format!("C: m2 APPEND \"INBOX\" {old} {{4096+}}\nC: {ys}\n"),
        ),
        (
            "LITERAL-",
            "INBOX",
            false,
            large(),
            format!("C: m2 APPEND \"INBOX\" {{4097}}\nS: + go\nC: {xs}\n"),
        ),
        (
            "",
            "INBOX",
            false,
            small(),
            format!("C: m2 APPEND \"INBOX\" {head} {{5}}\nS: +\nC: hello\n"),
        ),
        (
            "LITERAL+",
            "INBOX",
            true,
            small(),
            format!("C: m2 APPEND \"INBOX\" {head} {{5}}\nS: + \nC: hello\n"),
        ),
        (
            "LITERAL-",
            "INBOX",
            true,
            plain("x"),
            "C: m2 APPEND \"INBOX\" {1}\nS: * 3 EXISTS\nS: + \nC: x\n".to_owned(),
        ),
        // BINARY changes nothing: literal8 is never sent.
        (
            "LITERAL+ BINARY",
            "INBOX",
            false,
            message(&[], None, b"a\0b"),
            "C: m2 APPEND \"INBOX\" {3+}\nC: a\0b\n".to_owned(),
        ),
        // A name that needs a literal makes the message wait as well.
        (
            "LITERAL+",
            "gr\u{fc}n",
            false,
            small(),
            format!("C: m2 APPEND {{5}}\nS: +\nC: gr\u{fc}n {head} {{5}}\nS: + \nC: hello\n"),
        ),
        (
            "LITERAL+",
            "two\nlines",
            false,
            plain("x"),
            "C: m2 APPEND {9}\nS: +\nC: two\\nlines {1}\nS: + \nC: x\n".to_owned(),
        ),
        (
            "LITERAL+",
            "INBOX",
            false,
            plain("a\r\nm3 DELETE INBOX\r\n"),
            "C: m2 APPEND \"INBOX\" {20+}\nC: a\\r\\nm3 DELETE INBOX\\r\\n\n".to_owned(),
        ),
    ];
    for (capabilities, mailbox, synchronising, message, script) in table {
        for width in [1, 4096] {
            let script = format!("{script}S: m2 OK [APPENDUID 5 7] done\n");
            let (mut session, peer) = target_through(width, capabilities, &script).await;
            let append = Append {
                mailbox,
                messages: std::slice::from_ref(&message),
                synchronising,
            };
            let sent = session.send_append(&append).await;
            assert_eq!(sent.unwrap(), Sent::Outstanding, "{script}");
            assert_eq!(session.next_append().await.unwrap(), stored(5, &[7]));
            peer.had_its_way(session).await;
        }
    }
}

#[tokio::test]
async fn several_messages_go_in_one_command_and_each_literal_decides_for_itself() {
    let large = "x".repeat(5000);
    let messages = [
        message(&["\\Deleted"], None, b"one\r\n"),
        plain(&large),
        message(&[], Some("2024-05-01T10:00:00+00:00"), b"three"),
    ];
    for (literals, script) in [
        (
            "LITERAL+",
            format!(
                "C: m2 APPEND \"INBOX\" (\\Deleted) {{5+}}\nC: one\nC:  {{5000+}}\n\
                 C: {large} \" 1-May-2024 10:00:00 +0000\" {{5+}}\nC: three\n"
            ),
        ),
        (
            "LITERAL-",
            format!(
                "C: m2 APPEND \"INBOX\" (\\Deleted) {{5+}}\nC: one\nC:  {{5000}}\nS: +\n\
                 C: {large} \" 1-May-2024 10:00:00 +0000\" {{5+}}\nC: three\n"
            ),
        ),
        (
            "",
            format!(
                "C: m2 APPEND \"INBOX\" (\\Deleted) {{5}}\nS: +\nC: one\nC:  {{5000}}\nS: +\n\
                 C: {large} \" 1-May-2024 10:00:00 +0000\" {{5}}\nS: +\nC: three\n"
            ),
        ),
    ] {
        let script = format!("{script}S: m2 OK [APPENDUID 5 7:9]\n");
        let (mut session, peer) = target(&format!("MULTIAPPEND {literals}"), &script).await;
        assert!(session.multiappend());
        sent(&mut session, &messages).await;
        assert_eq!(session.next_append().await.unwrap(), stored(5, &[7, 8, 9]));
        peer.had_its_way(session).await;
    }
}

#[tokio::test]
async fn what_cannot_be_said_in_a_head_is_an_error_before_a_byte_is_sent() {
    let flags = [
        "\\Foo",
        "\\*",
        "a b",
        "a\r\nb",
        "(",
        "x)",
        "{5}",
        "a%",
        "*",
        "a\"b",
        "a\\b",
        "a]",
        "gr\u{fc}n",
        "\u{7f}",
        "\t",
        "\\Seen\\",
        "\0",
    ];
    let (mut session, peer) = target("LITERAL+", "C: m2 NOOP\nS: m2 OK\n").await;
    for flag in flags {
        let messages = [plain("ok"), message(&[flag], None, b"x")];
        let error = send(&mut session, &messages).await.unwrap_err();
        let what = format!("the flag `{flag}`");
        assert!(
            matches!(error, ImapError::Unsendable { what: w } if w == what),
            "{flag}"
        );
        let uids = uids(&[1]);
        let flags = Flags::from_wire([flag]);
        let stored = session.store_flags(&uids, StoreFlags::Add, &flags).await;
        assert!(
            matches!(stored, Err(ImapError::Unsendable { .. })),
            "{flag}"
        );
    }
    let date = |unix, offset_minutes| InternalDate {
        unix,
        offset_minutes,
    };
    for date in [date(i64::MIN, 0), date(253_402_300_800, 0), date(0, 1440)] {
        assert!(!renders(date));
        let message = Appending {
            date: Some(date),
            ..plain("x")
        };
        let error = send(&mut session, &[message]).await.unwrap_err();
        assert!(matches!(error, ImapError::Unsendable { .. }), "{error:?}");
    }
    assert!(renders(InternalDate::utc(0)));
    for messages in [&[][..], &[plain("")], &[plain("x"), plain("")]] {
        let error = send(&mut session, messages).await.unwrap_err();
        assert!(matches!(error, ImapError::Unsendable { .. }), "{error:?}");
    }
    let many: Vec<String> = (0..2000).map(|n| format!("keyword{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = send(&mut session, &[message(&many, None, b"x")]).await;
    assert!(
        matches!(error, Err(ImapError::CommandTooLong { .. })),
        "{error:?}"
    );
    // \Recent is the server's alone, and no Flags holds it.
    assert!(Flags::from_wire(["\\Recent"]).is_empty());
    // The tag is the next one: nothing was begun.
    assert_eq!(session.appends_outstanding(), 0);
    session.reading().noop().await.unwrap();
    peer.had_its_way(session).await;
}

fn spooled(dir: &tempfile::TempDir, bytes: &[u8]) -> Arc<SpooledBody> {
    let path = dir.path().join("spooled");
    let open = Arc::new(move || Ok((std::fs::File::create_new(&path)?, path.clone())));
    let mut spooling = Spooling::open(&SpoolOptions::new(open)).unwrap();
    spooling.write(bytes).unwrap();
    Arc::new(spooling.finish())
}

fn letters(len: usize) -> String {
    (b'a'..=b'z').cycle().take(len).map(char::from).collect()
}

#[tokio::test]
async fn a_spooled_message_is_sent_whole_and_so_is_a_batch_larger_than_a_write() {
    for len in [1, 65_536, 65_537, 1_000_000] {
        let dir = tempfile::TempDir::new().unwrap();
        let text = letters(len);
        let large = letters(300_000);
        let script = format!(
            "C: m2 APPEND \"INBOX\" {{3+}}\nC: one {{{len}+}}\nC: {text} {{300000+}}\nC: {large}\n\
             S: m2 OK\n"
        );
        let (mut session, peer) = target("LITERAL+", &script).await;
        let messages = [
            plain("one"),
            Appending {
                body: AppendBody::Spooled(spooled(&dir, text.as_bytes())),
                ..plain("")
            },
            plain(&large),
        ];
        sent(&mut session, &messages).await;
        assert_eq!(
            session.next_append().await.unwrap(),
            AppendReply::Stored(None)
        );
        peer.had_its_way(session).await;
    }
}

#[tokio::test]
async fn a_spooled_message_that_is_not_what_it_was_is_not_begun() {
    let dir = tempfile::TempDir::new().unwrap();
    let body = spooled(&dir, b"twelve bytes");
    let (mut session, peer) = target("LITERAL+", "C: m2 NOOP\nS: m2 OK\n").await;
    let messages = [Appending {
        body: AppendBody::Spooled(Arc::clone(&body)),
        ..plain("")
    }];
    let file = || {
        std::fs::File::options()
            .write(true)
            .open(body.path())
            .unwrap()
    };
    for len in [11, 13] {
        file().set_len(len).unwrap();
        let error = send(&mut session, &messages).await.unwrap_err();
        assert!(matches!(error, ImapError::Spool(_)), "{error:?}");
    }
    std::fs::remove_file(body.path()).unwrap();
    let error = send(&mut session, &messages).await.unwrap_err();
    assert!(matches!(error, ImapError::Spool(_)), "{error:?}");
    session.reading().noop().await.unwrap();
    peer.had_its_way(session).await;
}

#[tokio::test]
async fn a_file_cut_short_within_its_literal_ends_the_session() {
    let dir = tempfile::TempDir::new().unwrap();
    let body = spooled(&dir, b"twelve bytes");
    let file = std::fs::File::options()
        .write(true)
        .open(body.path())
        .unwrap();
    // The file is looked at before its head is sent, and cut while consent is waited for.
    let (ours, theirs) = duplex(4096);
    let peer = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut theirs = theirs;
        let hello = b"* PREAUTH [CAPABILITY IMAP4rev1] you\r\n";
        theirs.write_all(hello).await.unwrap();
        // The capabilities of a PREAUTH greeting are believed, so APPEND comes first.
        let mut head = [0; b"m1 APPEND \"INBOX\" {12}\r\n".len()];
        theirs.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"m1 APPEND \"INBOX\" {12}\r\n");
        file.set_len(5).unwrap();
        theirs.write_all(b"+ go\r\n").await.unwrap();
        let mut rest = String::new();
        theirs.read_to_string(&mut rest).await.unwrap();
        rest
    });
    let mut session = over(ours).await;
    let messages = [Appending {
        body: AppendBody::Spooled(body),
        ..plain("")
    }];
    let error = send(&mut session, &messages).await.unwrap_err();
    assert!(matches!(error, ImapError::Spool(_)), "{error:?}");
    let error = session.subscribe("x").await.unwrap_err();
    assert!(is_not_connected(&error), "{error:?}");
    session.logout().await;
    // Neither LOGOUT nor anything else fills the literal up.
    assert!("twelve bytes".starts_with(&peer.await.unwrap()));
}
