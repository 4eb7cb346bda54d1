//! Reaching a POP3 server: plaintext on this machine, STLS, TLS, and a clear message for each way
//! it can be wrong. No secret goes out before the server is known, and a wrong one goes out once.
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

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use support::archive_state::assert_sound;
use support::dovecot::{ALICE, Dovecot};
use support::maildrop::{assert_drained, deliver, eventually};
use support::mailstow::{Ended, Mailstow};
use support::pop3_tap::Pop3Tap;

/// A Dovecot with two messages.
fn with_mail(options: &[&str]) -> Dovecot {
    let dovecot = Dovecot::start_with(options);
    let mail = ["Subject: 1\r\n\r\n.\r\n..\r\n", "Subject: 2\r\n\r\nx"];
    deliver(&dovecot, ALICE, &mail);
    dovecot
}

fn stls_url(dovecot: &Dovecot) -> String {
    format!("pop3://alice@localhost:{}", dovecot.pop3_port())
}

/// SHA-256 of a certificate as openssl prints it.
fn fingerprint(pem: &Path) -> String {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(pem);
    let output = openssl
        .output()
        .expect("run openssl; scripts/test.sh installs it");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim()
        .split_once('=')
        .expect("a fingerprint")
        .1
        .to_owned()
}

/// Would be refused with exit 5 if it ever were sent.
fn with_wrong_password() -> Mailstow {
    Mailstow::bare().with("MAILSTOW_PASSWORD", "wrong")
}

/// Demands exit 6, these words, and no second try.
#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    ended.expect(6);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{word:?} is not in: {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("trying again"), "{}", ended.stderr);
}

#[test]
fn plaintext_on_this_machine_stls_and_tls_bring_the_same_mail() {
    let dovecot = with_mail(&[]);
    let ca = dovecot.ca();
    let trust = ["--tls-ca", ca.to_str().unwrap()];
    let cases: [(String, &[&str], &str, bool); 4] = [
        (dovecot.pop3_url(ALICE), &[], "alice@127.0.0.1", false),
        (stls_url(&dovecot), &trust, "alice@localhost", true),
        (dovecot.pop3s_url(ALICE), &trust, "alice@localhost", true),
        (
            format!("pop3s://alice@127.0.0.1:{}", dovecot.pop3s_port()),
            &trust,
            "alice@127.0.0.1",
            true,
        ),
    ];
    for (url, options, account, tls) in cases {
        let mailstow = Mailstow::new();
        let before = dovecot.log().len();
        mailstow
            .backup(&url, &mailstow.archive(), options)
            .expect(0);
        let log = dovecot.log();
        let sign_ins: Vec<&str> = log
            .get(before..)
            .unwrap()
            .lines()
            .filter(|l| l.contains("pop3-login") && l.contains("Login: user=<alice>"))
            .collect();
        assert!(!sign_ins.is_empty());
        for line in sign_ins {
            assert_eq!(line.contains(", TLS,"), tls, "{url}: {line}");
        }
        assert_eq!(
            assert_drained(&dovecot, ALICE, &mailstow.archive(), account),
            2
        );
        assert_sound(&mailstow.archive());
    }
}

#[test]
fn a_server_that_cannot_be_trusted_gets_no_password() {
    let dovecot = with_mail(&[]);
    let other = Dovecot::start();
    let (other_ca, ca) = (other.ca(), dovecot.ca());
    let wrong = fingerprint(&ca);
    // The certificate is for localhost and 127.0.0.1.
    let elsewhere = Pop3Tap::start_at("127.0.0.2", dovecot.pop3s_port());
    let tls_elsewhere = format!("pop3s://alice@127.0.0.2:{}", elsewhere.port());
    let stls_relay = Pop3Tap::start_at("127.0.0.2", dovecot.pop3_port());
    let stls_elsewhere = stls_relay.url(ALICE);
    let ca_option = ["--tls-ca", ca.to_str().unwrap()];
    let other_option = ["--tls-ca", other_ca.to_str().unwrap()];
    let pin_option = ["--tls-fingerprint", wrong.as_str()];
    let unknown: &[&str] = &["certificate", "--tls-ca FILE", "--tls-fingerprint HEX"];
    let name: &[&str] = &["127.0.0.2", "use the name that stands in the certificate"];
    let (tls, stls) = (dovecot.pop3s_url(ALICE), stls_url(&dovecot));
    let cases: [(&str, &[&str], &[&str]); 7] = [
        (&tls, &other_option, unknown),
        (&stls, &other_option, unknown),
        (&tls, &[], unknown),
        (&tls, &pin_option, &["fingerprint"]),
        (&stls, &pin_option, &["fingerprint"]),
        (&tls_elsewhere, &ca_option, name),
        (&stls_elsewhere, &ca_option, name),
    ];
    for (url, options, words) in cases {
        let mailstow = with_wrong_password();
        let ended = mailstow.backup(url, &mailstow.archive(), options);
        println!("{url} {options:?}\n{}", ended.stderr);
        assert_refused(&ended, words);
    }
    // What did go out in plain text, and nothing behind it but a handshake.
    for session in stls_relay.sessions() {
        assert!(session[0] == "CAPA" && session[1] == "STLS", "{session:?}");
    }
    assert!(!dovecot.log().contains("auth failed"), "{}", dovecot.log());
}

#[test]
fn a_pinned_fingerprint_is_all_the_trust_it_takes() {
    let dovecot = with_mail(&[]);
    let right = fingerprint(&dovecot.path().join("server.pem"));
    let spellings = [right.clone(), right.replace(':', "").to_lowercase()];
    for url in [dovecot.pop3s_url(ALICE), stls_url(&dovecot)] {
        for spelling in &spellings {
            let mailstow = Mailstow::new();
            let archive = mailstow.archive();
            mailstow
                .backup(&url, &archive, &["--tls-fingerprint", spelling])
                .expect(0);
            assert_eq!(
                assert_drained(&dovecot, ALICE, &archive, "alice@localhost"),
                2
            );
        }
    }
}

#[test]
fn a_wrong_password_is_tried_once() {
    let dovecot = with_mail(&[]);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = with_wrong_password();
    for _ in 0..2 {
        tap.forget();
        let ended = mailstow.backup(&tap.url(ALICE), &mailstow.archive(), &[]);
        ended.expect(5);
        // The server's own words, and what to do.
        assert!(
            ended.stderr.contains("Authentication failed"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
        let sessions = tap.sessions();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!(tap.count("AUTH") + tap.count("PASS"), 1, "{sessions:?}");
    }
    // Dovecot counts attempts by itself, and says how many once the session has ended.
    let attempts = || {
        let log = dovecot.log();
        let failed = |l: &&str| l.contains("pop3-login") && l.contains("auth failed");
        log.lines()
            .filter(failed)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    eventually("two sessions are over", || attempts().len() >= 2);
    for line in attempts() {
        assert!(line.contains("auth failed, 1 attempts"), "{line}");
    }
    assert_eq!(attempts().len(), 2);
}

#[test]
fn stls_is_demanded_where_trust_is_named_and_no_password_goes_out_without_it() {
    let dovecot = with_mail(&["--set", "ssl=no"]);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let ca = dovecot.ca();
    let mailstow = with_wrong_password();
    let ended = mailstow.backup(
        &tap.url(ALICE),
        &mailstow.archive(),
        &["--tls-ca", ca.to_str().unwrap()],
    );
    assert_refused(&ended, &["STLS", "pop3s://", "--allow-plaintext"]);
    let said = tap.sessions().concat();
    assert!(
        said.iter()
            .all(|line| ["CAPA", "QUIT"].contains(&line.as_str())),
        "{said:?}"
    );
    // Without a CA it is this machine, to which plaintext may go.
    Mailstow::new()
        .backup(&tap.url(ALICE), &mailstow.archive(), &[])
        .expect(0);
}

#[test]
fn a_port_that_speaks_something_else_is_named() {
    let dovecot = with_mail(&[]);
    let imap = format!("pop3://alice@127.0.0.1:{}", dovecot.imap_port());
    let imaps = format!("pop3s://alice@localhost:{}", dovecot.imaps_port());
    let mailstow = with_wrong_password();
    let archive = mailstow.archive();
    let ended = mailstow.backup(&imap, &archive, &[]);
    assert_refused(&ended, &["does not speak POP3", "* OK", "995"]);
    let ca = dovecot.ca();
    let trust = ["--tls-ca", ca.to_str().unwrap()];
    let ended = mailstow.backup(&imaps, &archive, &trust);
    assert_refused(&ended, &["does not speak POP3", "* OK", "995"]);
    // And the other way round.
    let pop3 = format!("imap://alice@127.0.0.1:{}", dovecot.pop3_port());
    let ended = mailstow.backup(&pop3, &archive, &[]);
    assert_refused(&ended, &["+OK", "993"]);
}

#[test]
fn tls_on_a_plaintext_port_says_so_in_words_of_pop3() {
    let dovecot = with_mail(&[]);
    let mailstow = with_wrong_password();
    let url = format!("pop3s://alice@localhost:{}", dovecot.pop3_port());
    let ended = mailstow.backup(&url, &mailstow.archive(), &[]);
    assert_refused(&ended, &["does not speak TLS", "pop3://", "995"]);
}

#[test]
fn where_nobody_listens_and_where_there_is_no_such_host_is_said_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mailstow = with_wrong_password();
    let ended = mailstow.backup(
        &format!("pop3://alice@127.0.0.1:{port}"),
        &mailstow.archive(),
        &[],
    );
    assert_refused(
        &ended,
        &[&format!("127.0.0.1:{port}"), "check host and port"],
    );
    let ended = mailstow.backup("pop3s://alice@pop.invalid", &mailstow.archive(), &[]);
    assert_refused(&ended, &["pop.invalid", "spelling"]);
}

#[test]
#[cfg(feature = "testing")]
fn plaintext_on_a_tls_port_ends_and_names_the_other_port() {
    let dovecot = with_mail(&[]);
    let mailstow = Mailstow::new()
        .with("MAILSTOW_TEST_GREETING_MS", "300")
        .with("MAILSTOW_TEST_BACKOFF_MS", "1");
    let url = format!("pop3://alice@localhost:{}", dovecot.pop3s_port());
    let ended = mailstow.backup(&url, &mailstow.archive(), &[]);
    ended.expect(6);
    assert!(
        ended.stderr.contains("pop3s:// wants the TLS port"),
        "{}",
        ended.stderr
    );
}
