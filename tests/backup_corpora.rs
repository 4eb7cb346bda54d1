//! Real mail and odd mail, delivered into a real Dovecot: the bytes it serves are the bytes
//! read back and the bytes exported, compared as bytes and never parsed.
//!
//! The corpora are other people's mail and not part of the repository: `../shared/corpora`, or
//! the folder named by MAILSTOW_CORPORA. Where they are absent the tests say so and pass.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::path::{Path, PathBuf};

use support::archive_state::{assert_sound, files};
use support::compare::assert_same;
use support::corpora::{corpora, unpacked};
use support::dovecot::{ALICE, Dovecot};
use support::maildir::lay;
use support::mailstow::Mailstow;
use support::raw_imap::Mail;

/// At most this many of the ordinary messages, which take the time and hold few surprises.
const ORDINARY: usize = 1500;

/// Backs up what was delivered, and compares server, archive and export.
fn assert_faithful(dovecot: &Dovecot, delivered: usize) {
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    // FETCHed by the raw oracle = read back by the library.
    assert_eq!(
        assert_same(dovecot, ALICE, &archive, "alice@127.0.0.1"),
        delivered
    );
    assert_sound(&archive);
    // = exported as EML.
    let out = mailstow.path().join("eml");
    mailstow
        .run(&[
            "export",
            to,
            "--format",
            "eml",
            "--to",
            out.to_str().unwrap(),
        ])
        .expect(0);
    let eml = |(path, bytes): (PathBuf, Vec<u8>)| {
        path.extension()
            .is_some_and(|e| e == "eml")
            .then_some(bytes)
    };
    let mut exported: Vec<Vec<u8>> = files(&out).into_iter().filter_map(eml).collect();
    let server = dovecot.fetch_all(ALICE);
    let mut served: Vec<Vec<u8>> = server.into_values().flatten().map(|m| m.body).collect();
    exported.sort();
    served.sort();
    assert_eq!(exported.len(), delivered);
    assert!(exported == served, "an exported message has other bytes");
    // = written by `show --raw`, for some.
    for bytes in served.iter().step_by(served.len() / 20 + 1) {
        let id = mailstow::model::ContentId::of(bytes).to_string();
        let shown = mailstow
            .command(&["show", to, &id, "--raw"])
            .output()
            .unwrap();
        assert!(
            shown.status.success() && shown.stdout == *bytes,
            "show --raw {id}"
        );
    }
}

#[test]
fn every_odd_message_keeps_its_bytes() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let messages = unpacked(&corpora, "torture", dir.path());
    let odd = |path: &Path| {
        path.extension().is_some_and(|e| e != "tsv")
            && path.components().any(|c| c.as_os_str() == "torture-odd")
    };
    let messages: Vec<&[u8]> = messages
        .iter()
        .filter(|(path, _)| odd(path))
        .map(|(_, m)| m.as_slice())
        .collect();
    assert!(messages.len() > 400, "{} messages", messages.len());
    let dovecot = Dovecot::start();
    // Dovecot refuses NULs and empty messages in APPEND; those are laid into its Maildir.
    let (plain, others): (Vec<&[u8]>, Vec<&[u8]>) = messages
        .iter()
        .partition(|m| !m.is_empty() && !m.contains(&0));
    let mails: Vec<Mail<'_>> = plain
        .iter()
        .map(|bytes| Mail {
            bytes,
            flags: &["\\Seen"],
            received: None,
        })
        .collect();
    dovecot.deliver_all(ALICE, "Odd", &mails);
    lay(&dovecot, ALICE, "Odd", &others);
    println!(
        "{} messages, {} of them laid into the Maildir",
        messages.len(),
        others.len()
    );
    assert_faithful(&dovecot, messages.len());
}

#[test]
fn ordinary_mail_and_spam_keep_their_bytes() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let messages: Vec<Vec<u8>> = unpacked(&corpora, "spamassassin", dir.path())
        .into_values()
        .collect();
    let step = messages.len().div_ceil(ORDINARY);
    let chosen: Vec<&Vec<u8>> = messages
        .iter()
        .step_by(step)
        .filter(|m| !m.contains(&0))
        .collect();
    let dovecot = Dovecot::start();
    for (n, part) in chosen.chunks(chosen.len() / 3 + 1).enumerate() {
        let mails: Vec<Mail<'_>> = part
            .iter()
            .map(|bytes| Mail {
                bytes,
                flags: &[],
                received: None,
            })
            .collect();
        dovecot.deliver_all(ALICE, &format!("Part {n}"), &mails);
    }
    println!("{} of {} messages", chosen.len(), messages.len());
    assert_faithful(&dovecot, chosen.len());
}

#[test]
fn messages_too_rare_in_any_corpus_keep_their_bytes() {
    let line = |n: usize, text: &str| text.repeat(n);
    let headers: String = (0..100_000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let nested: String = (0..2000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let large = format!(
        "Subject: large\r\n\r\n{}",
        line(
            190_000,
            "0123456789 abcdefghij 0123456789 abcdefghij 0123456789 klm\r\n"
        )
    );
    let list: Vec<Vec<u8>> = [
        "Subject: quoted\r\n\r\nFrom a\r\n>From b\r\n>>From c\r\n>>>From d\r\nFromage\r\n",
        "From me@here Thu Jan  1 00:00:00 1970\r\nSubject: begins like mbox\r\n\r\n",
        "\r\nbegins with an empty line\r\n",
        "\r\n\r\n\r\n",
        "Subject: lone dot\r\n\r\n.\r\n..\r\n.",
        "Subject: bare CR\r\n\r\na\rFrom b\r\rc\r\n",
        "Subject: no end",
        "no header and no separator",
        "Subject: \u{feff}\u{202e}\r\n\r\n\u{1f4e7}\r\n",
        "Subject: IMAP\r\n\r\n* OK [ALERT] x\r\n)\r\nA1 OK done\r\n{3}\r\nabc\r\n* BYE\r\n",
        headers.as_str(),
        nested.as_str(),
        large.as_str(),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let mut list = list;
    let long_line = [b"Subject: long\r\n\r\n".as_slice(), &vec![b'x'; 200_000]].concat();
    let magic = [
        b"Subject: frames\r\n\r\n".as_slice(),
        &[0x28, 0xb5, 0x2f, 0xfd, 0x5c, 0x2a, 0x4d, 0x18],
        b"SQLite format 3",
    ]
    .concat();
    list.extend([
        long_line,
        magic,
        b"Subject: 8-bit \xe9\xff\x80\r\n\r\n\xc3\x28\r\n".to_vec(),
    ]);
    let dovecot = Dovecot::start();
    let mails: Vec<Mail<'_>> = list
        .iter()
        .map(|bytes| Mail {
            bytes,
            flags: &[],
            received: None,
        })
        .collect();
    dovecot.deliver_all(ALICE, "Rare", &mails);
    let nuls = b"Subject: nul\n\n\0a\0\0b\n";
    let rare: [&[u8]; 4] = [b"", nuls, b"\n", b"Subject: mixed\n\r\na\r\nb\nc\r\n"];
    lay(&dovecot, ALICE, "Rare", &rare);
    assert_faithful(&dovecot, list.len() + rare.len());
}
