//! The harness tests itself: what is delivered is what the oracle reads, under odd names too.

mod support;

use std::time::{Duration, Instant};

use support::dovecot::{ALICE, Dovecot};
use support::mutf7;
use support::raw_imap::{Mail, RawImap};

const ODD: &str = "Проекты/2024 \"x\" & y.z";
const ODDER: &str = "~back\\slash.%*/ 日本 ";

#[test]
fn delivered_mail_is_read_back() {
    let dovecot = Dovecot::start();
    let first = b"Subject: one\r\n\r\nFrom the start\r\n".as_slice();
    // A body that looks like what a server says, and no line end behind it.
    let second =
        b"Subject: two\r\n\r\n* 1 FETCH (UID 7 FLAGS (x) BODY[] {3}\r\n)\r\nt1 OK".as_slice();
    let received = Some(" 7-Feb-2024 21:52:25 +0100");
    dovecot.deliver(ALICE, ODD, first, &["\\Seen", "$Label1"], received);
    dovecot.deliver(ALICE, ODD, second, &[], None);
    dovecot.deliver(ALICE, ODDER, first, &["\\Flagged"], received);

    let all = dovecot.fetch_all(ALICE);
    assert_eq!(all.keys().collect::<Vec<_>>(), ["INBOX", ODDER, ODD]);
    assert!(all["INBOX"].is_empty());
    let [one, two] = all[ODD].as_slice() else {
        panic!("{:?}", all[ODD])
    };
    assert_eq!(
        (one.uid, one.body.as_slice(), one.size),
        (1, first, first.len() as u64)
    );
    assert_eq!(one.flags.iter().collect::<Vec<_>>(), ["$Label1", "\\Seen"]);
    assert_eq!((two.uid, two.body.as_slice()), (2, second));
    assert!(two.flags.is_empty());
    assert_eq!(all[ODDER][0].body, first);
    // The server answers in its own zone; the instant is the same.
    let dates = dovecot.doveadm(&[
        "fetch",
        "-u",
        ALICE,
        "date.received.unixtime",
        "mailbox",
        ODDER,
        "all",
    ]);
    assert!(dates.contains("1707339145"), "{dates}");

    let mut imap = dovecot.connect(ALICE);
    imap.select(ODD);
    imap.store("2", "+FLAGS", &["\\Answered"]);
    imap.expunge("1");
    let left = imap.fetch_mailbox(ODD);
    assert_eq!(
        left.iter().map(|message| message.uid).collect::<Vec<_>>(),
        [2]
    );
    assert!(left[0].flags.contains("\\Answered"));
}

#[test]
fn users_separators_and_ends() {
    let mut dovecot = Dovecot::start_with(&["--separator", "."]);
    dovecot.add_user("bob@example.com", "sp ace\"\\");
    let mails: Vec<Vec<u8>> = (0..300)
        .map(|n| format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n)).into_bytes())
        .collect();
    let mails: Vec<Mail<'_>> = mails
        .iter()
        .map(|bytes| Mail {
            bytes,
            flags: &[],
            received: None,
        })
        .collect();
    dovecot.deliver_all("bob@example.com", "a/b.c", &mails);
    let all = dovecot.fetch_all("bob@example.com");
    let bodies: Vec<&[u8]> = all["a/b.c"]
        .iter()
        .map(|message| message.body.as_slice())
        .collect();
    assert_eq!(
        bodies,
        mails.iter().map(|mail| mail.bytes).collect::<Vec<_>>()
    );

    dovecot.restart_with(&["--separator", "."]);
    assert_eq!(dovecot.fetch_all("bob@example.com")["a/b.c"].len(), 300);

    let (port, folder) = (dovecot.imap_port(), dovecot.path().to_owned());
    drop(dovecot);
    assert!(!folder.exists());
    let refused = std::net::TcpStream::connect_timeout(
        &([127, 0, 0, 1], port).into(),
        Duration::from_secs(5),
    );
    assert!(refused.is_err(), "somebody still listens");
}

#[test]
fn several_at_once_keep_to_themselves() {
    let started = Instant::now();
    let servers: Vec<Dovecot> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..4).map(|_| scope.spawn(Dovecot::start)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect()
    });
    for (n, server) in servers.iter().enumerate() {
        let mut imap: RawImap = server.connect(ALICE);
        let body = format!("Subject: {n}\r\n\r\n");
        imap.append(
            "INBOX",
            Mail {
                bytes: body.as_bytes(),
                flags: &[],
                received: None,
            },
        );
    }
    for (n, server) in servers.iter().enumerate() {
        let inbox = &server.fetch_all(ALICE)["INBOX"];
        assert_eq!(inbox.len(), 1);
        assert_eq!(inbox[0].body, format!("Subject: {n}\r\n\r\n").as_bytes());
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn names_survive_modified_utf7() {
    for name in [ODD, ODDER, "", "&", "&-", "Entwürfe", "😀 x", "a&b-c"] {
        assert_eq!(mutf7::decode(&mutf7::encode(name)), name);
    }
    assert_eq!(
        mutf7::encode("~peter/mail/台北/日本語"),
        "~peter/mail/&U,BTFw-/&ZeVnLIqe-"
    );
}
