//! Real mail and odd mail over POP3 from a real Dovecot: the bytes a raw client gets are the
//! bytes read back, shown and exported, compared as bytes and never parsed.
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

use mailstow::model::ContentId;
use support::archive_state::{assert_sound, files};
use support::corpora::{corpora, unpacked};
use support::dovecot::{ALICE, Dovecot};
use support::fixture::hostile;
use support::maildir::lay;
use support::maildrop::{assert_drained, deliver, held, uidls};
use support::mailstow::{Mailstow, numbers};
use support::pop3_tap::Pop3Tap;

const ACCOUNT: &str = "alice@127.0.0.1";
/// At most this many of the ordinary messages, which take the time and hold few surprises.
const ORDINARY: usize = 600;

/// Fills the maildrop: by APPEND what Dovecot takes there, as files what it refuses.
fn fill(dovecot: &Dovecot, messages: &[&[u8]]) {
    let (plain, others): (Vec<&[u8]>, Vec<&[u8]>) = messages
        .iter()
        .partition(|m| !m.is_empty() && !m.contains(&0));
    deliver(dovecot, ALICE, &plain);
    lay(dovecot, ALICE, "", &others);
    println!(
        "{} messages, {} of them laid into the Maildir",
        messages.len(),
        others.len()
    );
}

/// Backs up what was delivered, and compares server, archive, export and `show`.
fn assert_faithful(dovecot: &Dovecot, delivered: usize, more: &[&str]) {
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, more);
    let counted = numbers(&report, "maildrop");
    assert_eq!(counted.exists, delivered as u64);
    assert_eq!(counted.stored + counted.linked, delivered as u64);
    // What a raw client gets = read back by the library.
    assert_eq!(assert_drained(dovecot, ALICE, &archive, ACCOUNT), delivered);
    assert_sound(&archive);
    // = exported as EML.
    let out = mailstow.path().join("eml");
    let to_folder = out.to_str().unwrap();
    mailstow
        .run(&["export", to, "--format", "eml", "--to", to_folder])
        .expect(0);
    let eml = |(path, bytes): (PathBuf, Vec<u8>)| {
        path.extension()
            .is_some_and(|e| e == "eml")
            .then_some(bytes)
    };
    let mut exported: Vec<Vec<u8>> = files(&out).into_iter().filter_map(eml).collect();
    let mut served: Vec<Vec<u8>> = held(&archive, ACCOUNT)
        .into_values()
        .map(|(_, bytes)| bytes)
        .collect();
    exported.sort();
    served.sort();
    assert_eq!(exported.len(), delivered);
    assert!(exported == served, "an exported message has other bytes");
    // = written by `show --raw`, for some.
    for bytes in served.iter().step_by(served.len() / 20 + 1) {
        let id = ContentId::of(bytes).to_string();
        let shown = mailstow
            .command(&["show", to, &id, "--raw"])
            .output()
            .unwrap();
        assert!(
            shown.status.success() && shown.stdout == *bytes,
            "show --raw {id}"
        );
    }
    assert_eq!(
        std::fs::read_dir(archive.join("tmp")).unwrap().count(),
        0,
        "litter"
    );
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
    fill(&dovecot, &messages);
    assert_faithful(&dovecot, messages.len(), &[]);
    assert_faithful(&dovecot, messages.len(), &["--no-pipelining"]);
}

#[test]
fn ordinary_mail_and_spam_keep_their_bytes() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let messages: Vec<Vec<u8>> = unpacked(&corpora, "spamassassin", dir.path())
        .into_values()
        .collect();
    let step = messages.len().div_ceil(ORDINARY);
    let chosen: Vec<&[u8]> = messages.iter().step_by(step).map(Vec::as_slice).collect();
    assert!(chosen.len() > 300, "{} messages", chosen.len());
    let dovecot = Dovecot::start();
    fill(&dovecot, &chosen);
    assert_faithful(&dovecot, chosen.len(), &[]);
}

/// Lines that only POP3 has trouble with.
fn dots() -> Vec<Vec<u8>> {
    let many = ".\r\n..\r\n...\r\n. \r\n.x\r\n".repeat(5000);
    [
        "Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\n. \r\n",
        "Subject: +OK\r\n\r\n+OK 3 octets\r\n-ERR no such message\r\n.\r\n+OK\r\n",
        "Subject: ends in a dot\r\n\r\n.",
        "Subject: bare\r\n\r\na\n.\nb\n..\n\n.\n",
        "Subject: cr\r\n\r\na\r.\r\rb\r\n.\r",
        "\r\n",
        "\r\n.\r\n\r\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([format!("Subject: many\r\n\r\n{many}").into_bytes()])
    .collect()
}

#[test]
fn lines_of_dots_and_mail_that_other_tools_get_wrong_keep_their_bytes() {
    let mut messages = hostile();
    messages.extend(dots());
    let long_line = [b"Subject: long\r\n\r\n".as_slice(), &vec![b'.'; 200_000]].concat();
    messages.push(long_line);
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let dovecot = Dovecot::start();
    fill(&dovecot, &messages);
    for more in [&[][..], &["--no-pipelining"]] {
        assert_faithful(&dovecot, messages.len(), more);
    }
}

/// QUIRK(Dovecot, 2.3.19): it does not double a dot at the very start of a message, so of one
/// whose first line is a dot alone nothing comes, and the real end looks like another answer.
#[test]
fn a_message_that_begins_with_a_lone_dot_harms_no_other() {
    let dovecot = Dovecot::start();
    let other = |n: usize| format!("Subject: {n}\r\n\r\n.\r\n");
    let mail = [other(1), ".\r\n".to_owned(), other(2), other(3)];
    deliver(&dovecot, ALICE, &mail);
    let culprit = uidls(&dovecot, ALICE).swap_remove(1);
    let mailstow = Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "1");
    let archive = mailstow.archive();
    for (stored, before) in [(3, 0), (0, 3)] {
        let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 3, &[]);
        let counted = numbers(&report, "maildrop");
        assert_eq!(
            (counted.stored, counted.held, counted.skipped),
            (stored, before, 1)
        );
        assert_eq!(report["skipped"][0]["remote"], culprit);
        let mut kept: Vec<Vec<u8>> = held(&archive, ACCOUNT)
            .into_values()
            .map(|(_, bytes)| bytes)
            .collect();
        kept.sort();
        assert_eq!(kept, [1, 2, 3].map(|n| other(n).into_bytes()));
    }
    assert_sound(&archive);
}

#[test]
fn a_message_of_20_mib_goes_through_the_spool() {
    let line = ".All work and no play makes Jack a dull boy. From here on.\r\n";
    let large = format!(
        "Subject: large\r\n\r\n{}",
        line.repeat((20 << 20) / line.len() + 1)
    );
    let dovecot = Dovecot::start();
    let mail = ["Subject: a\r\n\r\n", large.as_str(), "Subject: b\r\n\r\nx"];
    deliver(&dovecot, ALICE, &mail);
    assert_faithful(&dovecot, 3, &[]);
}

#[test]
fn with_pipelining_several_commands_are_under_way_and_without_it_one() {
    let dovecot = Dovecot::start();
    let mail: Vec<String> = (0..40)
        .map(|n| format!("Subject: {n}\r\n\r\n{}", "x".repeat(n)))
        .collect();
    deliver(&dovecot, ALICE, &mail);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    // Several commands come in one piece only if nobody waited for an answer between them.
    let pieces = |more: &[&str]| {
        tap.forget();
        let mailstow = Mailstow::new();
        mailstow.report(&tap.url(ALICE), &mailstow.archive(), 0, more);
        assert_eq!(tap.count("RETR"), 40);
        tap.largest_piece()
    };
    let piped = pieces(&[]);
    assert!(piped > 8, "{piped} commands at once");
    assert_eq!(pieces(&["--no-pipelining"]), 1);
}
