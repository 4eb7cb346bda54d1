//! TLS against a real server: verified by default, three ways to trust, and a clear message
//! for each way it can be wrong. No secret goes out before the server is known.
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
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use support::archive_state::assert_sound;
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Ended, Mailstow};

/// A Dovecot with one message.
fn with_mail(options: &[&str]) -> Dovecot {
    let dovecot = Dovecot::start_with(options);
    dovecot.deliver(
        ALICE,
        "INBOX",
        b"Subject: one\r\n\r\nx\r\n",
        &["\\Seen"],
        None,
    );
    dovecot
}

fn starttls_url(dovecot: &Dovecot) -> String {
    format!("imap://alice@localhost:{}", dovecot.imap_port())
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

/// Demands exit 6, these words, and no second try. The password was wrong, so that signing in
/// would have been another exit code.
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
fn implicit_tls_and_starttls_work_with_the_servers_ca() {
    let dovecot = with_mail(&[]);
    let ca = dovecot.ca();
    let trust = ["--tls-ca", ca.to_str().unwrap()];
    for url in [
        dovecot.imaps_url(ALICE),
        starttls_url(&dovecot),
        format!("imaps://alice@127.0.0.1:{}", dovecot.imaps_port()),
    ] {
        let mailstow = Mailstow::new();
        let before = dovecot.log().len();
        mailstow.backup(&url, &mailstow.archive(), &trust).expect(0);
        let account = if url.contains("127.0.0.1") {
            "alice@127.0.0.1"
        } else {
            "alice@localhost"
        };
        assert_eq!(
            assert_same(&dovecot, ALICE, &mailstow.archive(), account),
            1
        );
        assert_sound(&mailstow.archive());
        let log = dovecot.log();
        let sign_in = log
            .get(before..)
            .unwrap()
            .lines()
            .find(|l| l.contains("Login: user=<alice>"));
        assert!(
            sign_in.is_some_and(|line| line.contains(", TLS,")),
            "{url}: {sign_in:?}"
        );
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_with_a_hint() {
    let dovecot = with_mail(&[]);
    for url in [dovecot.imaps_url(ALICE), starttls_url(&dovecot)] {
        let mailstow = Mailstow::new();
        // Somebody else's authority is as good as none.
        let other = Dovecot::start();
        let other = other.ca();
        let ended = with_wrong_password().backup(
            &url,
            &mailstow.archive(),
            &["--tls-ca", other.to_str().unwrap()],
        );
        assert_refused(
            &ended,
            &["certificate", "--tls-ca FILE", "--tls-fingerprint HEX"],
        );
    }
    let mailstow = Mailstow::new();
    let ended = with_wrong_password().backup(&dovecot.imaps_url(ALICE), &mailstow.archive(), &[]);
    assert_refused(&ended, &["certificate", "--tls-ca FILE"]);
}

#[test]
fn a_pinned_fingerprint_is_all_the_trust_it_takes_and_another_is_refused() {
    let dovecot = with_mail(&[]);
    let right = fingerprint(&dovecot.path().join("server.pem"));
    let wrong = fingerprint(&dovecot.ca());
    for url in [dovecot.imaps_url(ALICE), starttls_url(&dovecot)] {
        let mailstow = Mailstow::new();
        let archive = mailstow.archive();
        let ended = with_wrong_password().backup(&url, &archive, &["--tls-fingerprint", &wrong]);
        assert_refused(&ended, &["fingerprint"]);
        for spelling in [right.clone(), right.replace(':', "").to_lowercase()] {
            mailstow
                .backup(&url, &archive, &["--tls-fingerprint", &spelling])
                .expect(0);
        }
        assert_eq!(assert_same(&dovecot, ALICE, &archive, "alice@localhost"), 1);
    }
    let mailstow = Mailstow::new();
    let ended = mailstow.backup(
        &dovecot.imaps_url(ALICE),
        &mailstow.archive(),
        &["--tls-fingerprint", "abc"],
    );
    assert!(
        ended.expect(2).stderr.contains("fingerprint"),
        "{}",
        ended.stderr
    );
}

/// Files with a certificate for `host`, its key, and its authority.
fn certificate(
    dir: &Path,
    host: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> [PathBuf; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    let paths = ["server.pem", "server.key", "ca.pem"].map(|name| dir.join(name));
    for (path, text) in paths
        .iter()
        .zip([leaf.pem(), key.serialize_pem(), authority.pem()])
    {
        std::fs::write(path, text).unwrap();
    }
    paths
}

fn serving(certificate: &Path, key: &Path) -> Dovecot {
    let cert = format!("ssl_cert=<{}", certificate.display());
    let key = format!("ssl_key=<{}", key.display());
    with_mail(&["--set", &cert, "--set", &key])
}

#[test]
fn a_certificate_for_another_host_or_an_expired_one_is_refused() {
    type Change = fn(&mut CertificateParams);
    let expired: Change = |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    };
    let cases: [(&str, Change, &[&str]); 2] = [
        (
            "mail.example.org",
            |_| {},
            &[
                "mail.example.org",
                "use the name that stands in the certificate",
            ],
        ),
        ("localhost", expired, &["expired", "out of date"]),
    ];
    for (host, change, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        let [leaf, key, ca] = certificate(dir.path(), host, change);
        let dovecot = serving(&leaf, &key);
        for url in [dovecot.imaps_url(ALICE), starttls_url(&dovecot)] {
            let mailstow = Mailstow::new();
            let archive = mailstow.archive();
            let ended =
                with_wrong_password().backup(&url, &archive, &["--tls-ca", ca.to_str().unwrap()]);
            assert_refused(&ended, words);
            // Who pins it knows what he does.
            mailstow
                .backup(&url, &archive, &["--tls-fingerprint", &fingerprint(&leaf)])
                .expect(0);
        }
    }
}

#[test]
fn a_self_signed_authority_as_the_servers_own_certificate_can_be_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let paths = ["server.pem", "server.key"].map(|name| dir.path().join(name));
    std::fs::write(&paths[0], certificate.pem()).unwrap();
    std::fs::write(&paths[1], key.serialize_pem()).unwrap();
    let dovecot = serving(&paths[0], &paths[1]);
    let mailstow = Mailstow::new();
    let ended = with_wrong_password().backup(&dovecot.imaps_url(ALICE), &mailstow.archive(), &[]);
    assert_refused(&ended, &["--tls-fingerprint HEX"]);
    let pin = fingerprint(&paths[0]);
    mailstow
        .backup(
            &dovecot.imaps_url(ALICE),
            &mailstow.archive(),
            &["--tls-fingerprint", &pin],
        )
        .expect(0);
    assert_eq!(
        assert_same(&dovecot, ALICE, &mailstow.archive(), "alice@localhost"),
        1
    );
}

#[test]
fn tls_on_a_plaintext_port_says_so() {
    let dovecot = with_mail(&[]);
    let mailstow = Mailstow::new();
    let url = format!("imaps://alice@localhost:{}", dovecot.imap_port());
    let ended = with_wrong_password().backup(&url, &mailstow.archive(), &[]);
    assert_refused(&ended, &["does not speak TLS", "imap://"]);
}

#[test]
#[cfg(feature = "testing")]
fn plaintext_on_a_tls_port_ends_and_names_the_other_port() {
    let dovecot = with_mail(&[]);
    let mailstow = Mailstow::new()
        .with("MAILSTOW_TEST_GREETING_MS", "300")
        .with("MAILSTOW_TEST_BACKOFF_MS", "1");
    let url = format!("imap://alice@localhost:{}", dovecot.imaps_port());
    let ended = mailstow.backup(&url, &mailstow.archive(), &[]);
    ended.expect(6);
    assert!(
        ended.stderr.contains("imaps:// wants the TLS port"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_ca_file_that_is_missing_or_holds_none_is_a_configuration_error() {
    let dovecot = with_mail(&[]);
    let mailstow = Mailstow::new();
    let empty = mailstow.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    for file in [empty.to_str().unwrap(), "/nowhere/ca.pem"] {
        let ended = mailstow.backup(
            &dovecot.imaps_url(ALICE),
            &mailstow.archive(),
            &["--tls-ca", file],
        );
        assert!(ended.expect(4).stderr.contains(file), "{}", ended.stderr);
    }
}

#[test]
fn where_starttls_is_wanted_and_not_on_offer_no_password_goes_out() {
    let dovecot = with_mail(&["--set", "ssl=no"]);
    let mailstow = Mailstow::new();
    // Naming a CA asks for TLS, also to this machine.
    let ca = dovecot.ca();
    let ended = with_wrong_password().backup(
        &starttls_url(&dovecot),
        &mailstow.archive(),
        &["--tls-ca", ca.to_str().unwrap()],
    );
    assert_refused(&ended, &["STARTTLS"]);
}
