//! What bad input gets: sign-in, hosts, passwords, and target folders. Each a clear message
//! and exit code, nothing lost, and the right command afterwards works.
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
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use support::archive_state::{assert_sound, files};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::mailstow::{Ended, Mailstow};

const ACCOUNT: &str = "alice@127.0.0.1";

fn with_mail() -> Dovecot {
    let dovecot = Dovecot::start();
    dovecot.deliver(
        ALICE,
        "INBOX",
        b"Subject: one\r\n\r\nx\r\n",
        &["\\Seen"],
        None,
    );
    dovecot
}

/// Demands this exit code and these words, and that nothing was tried again.
#[track_caller]
fn assert_says(ended: &Ended, exit: i32, words: &[&str]) {
    ended.expect(exit);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{word:?} is not in: {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("trying again"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn a_wrong_password_is_refused_once_with_the_servers_words() {
    let dovecot = with_mail();
    let archive = Mailstow::new();
    let to = archive.archive();
    let wrong = Mailstow::bare().with("MAILSTOW_PASSWORD", "canary-9f3b");
    for options in [&[][..], &["-vv"], &["--connections", "4"]] {
        let ended = wrong.backup(&dovecot.url(ALICE), &to, options);
        // Dovecot's own words.
        assert_says(
            &ended,
            5,
            &["Authentication failed", "application-specific password"],
        );
        assert!(
            !ended.output().contains("canary-9f3b"),
            "{}",
            ended.output()
        );
    }
    let quiet = wrong.backup(&dovecot.url(ALICE), &to, &["-q"]);
    assert!(
        quiet.expect(5).stderr.contains("Authentication failed"),
        "{quiet:?}"
    );
    // Dovecot writes its log behind the client's back: wait for the fourth line, then count.
    let failures = || dovecot.log().matches("auth failed, ").count();
    let deadline = Instant::now() + Duration::from_secs(30);
    while failures() < 4 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(failures(), 4, "{}", dovecot.log());
    assert_eq!(
        dovecot.log().matches("auth failed, 1 attempts").count(),
        4,
        "{}",
        dovecot.log()
    );
    archive.backup(&dovecot.url(ALICE), &to, &[]).expect(0);
    assert_eq!(assert_same(&dovecot, ALICE, &to, ACCOUNT), 1);
}

#[test]
fn passwords_come_from_a_command_or_the_environment_or_are_missed() {
    let dovecot = with_mail();
    let url = dovecot.url(ALICE);
    let bare = Mailstow::bare();
    let to = bare.archive();
    assert_says(
        &bare.backup(&url, &to, &[]),
        4,
        &["no password", "MAILSTOW_PASSWORD"],
    );
    let empty = Mailstow::bare().with("MAILSTOW_PASSWORD", "");
    assert_says(&empty.backup(&url, &to, &[]), 4, &["MAILSTOW_PASSWORD"]);
    for (command, word) in [
        ("exit 3", "exit status: 3"),
        ("true", "it printed nothing"),
        ("nosuchcommand-x", "127"),
    ] {
        assert_says(
            &bare.backup(&url, &to, &["--password-command", command]),
            4,
            &["password command failed", word],
        );
    }
    assert!(!to.exists());
    // The first line counts; user and host are told; our own password is not passed on.
    let command = format!(
        "test \"$MAILSTOW_USER@$MAILSTOW_HOST\" = {ACCOUNT} && test -z \"$MAILSTOW_PASSWORD\" && printf '%s\\nurl: x\\n' '{PASSWORD}'"
    );
    let both = Mailstow::bare().with("MAILSTOW_PASSWORD", "wrong");
    both.backup(&url, &to, &["--password-command", &command])
        .expect(0);
    assert_eq!(assert_same(&dovecot, ALICE, &to, ACCOUNT), 1);
}

#[test]
fn odd_passwords_sign_in() {
    let mut dovecot = Dovecot::start();
    let odd = [
        ("q@example.com", "a\"b\\c {3}"),
        ("second", "naïve пароль 🔑"),
        ("third", "{5+}"),
    ];
    // All at once: Dovecot looks at the file at most once a second.
    for (user, password) in odd {
        dovecot.add_user(user, password);
    }
    for (user, password) in odd {
        let mailstow = Mailstow::bare().with("MAILSTOW_PASSWORD", password);
        mailstow
            .backup(&dovecot.url(user), &mailstow.archive(), &[])
            .expect(0);
    }
}

#[test]
fn a_host_that_does_not_exist_and_a_port_nobody_listens_on_are_named() {
    let mailstow = Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "1");
    let to = mailstow.archive();
    let unresolved = mailstow.backup("imaps://alice@no-such-host.invalid", &to, &[]);
    assert_says(&unresolved, 6, &["no-such-host.invalid", "spelling"]);
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = mailstow.backup(&format!("imaps://alice@{free}"), &to, &[]);
    assert_says(
        &refused,
        6,
        &[&free.to_string(), "refused", "check host and port"],
    );
    // Whatever was begun can be gone on with.
    let dovecot = with_mail();
    mailstow.backup(&dovecot.url(ALICE), &to, &[]).expect(0);
    assert_sound(&to);
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let dovecot = with_mail();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let photos = mailstow.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("cat.jpg"), "x").unwrap();
    let before = files(&photos);
    assert_says(
        &mailstow.backup(&url, &photos, &[]),
        4,
        &["is not a mailstow archive", "cat.jpg"],
    );
    for command in ["status", "ls", "verify", "jobs", "skips"] {
        assert_says(
            &mailstow.run(&[command, photos.to_str().unwrap()]),
            4,
            &["is not a mailstow archive"],
        );
    }
    assert!(files(&photos) == before);
    // A file, and a folder without a parent.
    assert_says(
        &mailstow.backup(&url, &photos.join("cat.jpg"), &[]),
        4,
        &["cat.jpg"],
    );
    assert_says(
        &mailstow.backup(&url, &mailstow.path().join("no/such/folder"), &[]),
        4,
        &["its parent folder must exist"],
    );
    assert!(!mailstow.path().join("no").exists());
    // An empty folder and a link to one are fine.
    let (empty, link) = (mailstow.path().join("empty"), mailstow.path().join("link"));
    std::fs::create_dir(&empty).unwrap();
    std::os::unix::fs::symlink(&empty, &link).unwrap();
    mailstow.backup(&url, &link, &[]).expect(0);
    assert_sound(&empty);
}

#[test]
fn an_archive_of_a_newer_format_is_read_by_nobody_and_not_touched() {
    let dovecot = with_mail();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    mailstow.backup(&url, &archive, &[]).expect(0);
    let manifest = archive.join("archive.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("format = 1", "format = 2")).unwrap();
    let before = files(&archive);
    assert_says(
        &mailstow.backup(&url, &archive, &[]),
        4,
        &["format 2", "nothing was changed"],
    );
    assert_says(
        &mailstow.run(&["status", archive.to_str().unwrap()]),
        4,
        &["format 2"],
    );
    assert!(files(&archive) == before);
    std::fs::write(&manifest, "gibberish").unwrap();
    assert_says(&mailstow.backup(&url, &archive, &[]), 7, &["archive.toml"]);
}

#[test]
fn a_locked_archive_is_exit_8_and_a_lock_file_nobody_holds_is_nothing() {
    let dovecot = with_mail();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let archive = mailstow.archive();
    mailstow.backup(&url, &archive, &[]).expect(0);
    let lock = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(archive.join("lock"))
        .unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_says(
        &mailstow.backup(&url, &archive, &[]),
        8,
        &["another run is working", "--wait"],
    );
    let json = mailstow.backup(&url, &archive, &["--json"]);
    assert_eq!(json.expect(8).json().last().unwrap()["exit"], 8);
    // Reading needs no lock.
    mailstow
        .run(&["verify", archive.to_str().unwrap()])
        .expect(0);
    let waiting = mailstow.start(&["backup", &url, "--to", archive.to_str().unwrap(), "--wait"]);
    drop(lock);
    waiting.finish().expect(0);
}

/// A link where a folder or file of ours belongs is not followed.
#[test]
fn planted_links_lead_nowhere() {
    let dovecot = with_mail();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let outside = mailstow.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    let plant = |archive: &Path, name: &str, target: &Path| {
        let at = archive.join(name);
        if at.is_dir() {
            std::fs::remove_dir_all(&at).unwrap();
        } else if at.exists() {
            std::fs::remove_file(&at).unwrap();
        }
        std::os::unix::fs::symlink(target, at).unwrap();
    };
    dovecot.connect(ALICE).create("New");
    for (n, (name, to_file)) in [
        ("mail/alice@127.0.0.1/New", false),
        ("lock", true),
        ("catalog.sqlite", true),
    ]
    .iter()
    .enumerate()
    {
        let archive = mailstow.path().join(format!("archive-{n}"));
        mailstow.backup(&url, &archive, &[]).expect(0);
        plant(
            &archive,
            name,
            &if *to_file {
                outside.join("precious")
            } else {
                outside.clone()
            },
        );
        dovecot.deliver(
            ALICE,
            "New",
            format!("Subject: new {n}\r\n\r\n").as_bytes(),
            &[],
            None,
        );
        let ended = mailstow.backup(&url, &archive, &[]);
        println!("{name}: {:?} {}", ended.exit, ended.stderr);
        assert!(matches!(ended.exit, Some(0 | 1 | 4)), "{name}: {ended:?}");
        let kept = files(&outside);
        assert_eq!(kept.len(), 1, "{name}: {:?}", kept.keys());
        assert_eq!(kept.values().next().unwrap(), b"x", "{name}");
    }
}

#[test]
fn a_folder_without_write_permission_is_a_configuration_error() {
    let dovecot = with_mail();
    let (url, mailstow) = (dovecot.url(ALICE), Mailstow::new());
    let folder = mailstow.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(folder.join("probe"), "").is_ok() {
        println!(
            "skipped: permissions do not bind this user (root); backup_disk.rs mounts read-only"
        );
        return;
    }
    assert_says(
        &mailstow.backup(&url, &folder.join("archive"), &[]),
        4,
        &["check who owns the folder"],
    );
}
