//! Mailbox names: whatever a server calls its mailboxes, they are kept apart, shown as they
//! are, never leave the archive folder, and never reach the terminal raw.
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

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use support::archive_state::{archive_state, assert_sound};
use support::compare::{assert_same, assert_same_with, shown};
use support::dovecot::{ALICE, Dovecot};
use support::maildir::{lay, make_folder};
use support::mailstow::Mailstow;

const ACCOUNT: &str = "alice@127.0.0.1";

/// Names that have broken somebody's program; levels are separated by `/`.
const NAMES: [&str; 28] = [
    "Foo",
    "foo",
    "FOO/x",
    "Inbox.old",
    "INBOX/below",
    "CON",
    "nul.txt",
    "trailing dot.",
    "trailing blank ",
    " leading blank",
    "~",
    "~root",
    "-rf",
    ".hidden",
    "a & b",
    "&",
    "&-",
    "50% \"off\" 'now' $HOME `id`",
    "back\\slash",
    "star*percent%",
    "[Gmail]/All Mail",
    "Проекты/2024/отчёт",
    "日本語",
    "e\u{301} NFD",
    "\u{e9} NFC",
    "\u{202e}gnp.exe",
    "#1: a;b|c<d>e?",
    "000001.mbox.zst",
];

fn deliver(dovecot: &Dovecot, names: &[&str]) {
    for name in names {
        let body = format!("Subject: x\r\n\r\nThis stands in {name}\r\n");
        dovecot.deliver(ALICE, name, body.as_bytes(), &[], None);
    }
}

/// All folders and files below `mail/`: plain names, private modes, no two alike but for case.
fn assert_kept_apart(archive: &Path) {
    let state = archive_state(archive);
    let folders: Vec<&String> = state.mailboxes.iter().map(|m| &m.folder).collect();
    let folded: BTreeSet<String> = folders.iter().map(|f| f.to_lowercase()).collect();
    assert_eq!(folded.len(), folders.len(), "{folders:?}");
    for folder in folders {
        for part in folder.split('/') {
            let plain = part.len() <= 80
                && !["", ".", "..", "cur", "new", "tmp"].contains(&part)
                && !part.ends_with(['.', ' '])
                && !part.starts_with(['-', '~', '.'])
                && !part.eq_ignore_ascii_case("con")
                && !part.contains(|c: char| c.is_control() || "\\:*?\"<>|\u{202e}".contains(c));
            assert!(plain, "{folder:?}");
        }
    }
    let mut open = vec![archive.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let mode = meta.permissions().mode() & 0o777;
            assert_eq!(
                mode,
                if meta.is_dir() { 0o700 } else { 0o600 },
                "{:?}",
                entry.path()
            );
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
}

fn assert_harmless(output: &str) {
    let raw = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c);
    assert!(!output.contains(raw), "{output:?}");
}

#[test]
fn odd_names_are_kept_apart_and_shown_as_they_are() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, &NAMES);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    // The modes hold whatever the umask.
    let url = dovecot.url(ALICE);
    let args = [
        "-c",
        "umask 000; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_mailstow"),
    ];
    let mut command = std::process::Command::new("sh");
    command.args(args).args(["backup", &url, "--to", to]);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command
        .env("MAILSTOW_PASSWORD", support::dovecot::PASSWORD)
        .env("HOME", mailstow.path());
    let backup = support::mailstow::Ended::of(&mut command);
    assert_harmless(&backup.expect(0).output());
    let count = assert_same(&dovecot, ALICE, &archive, ACCOUNT);
    assert_eq!(count, NAMES.len());
    assert_kept_apart(&archive);
    assert_sound(&archive);

    // Each is found under its own name.
    for name in NAMES {
        let listed = mailstow.run(&["ls", to, "--json", "--", name]);
        assert_eq!(listed.expect(0).json().len(), 1, "{name}");
    }
    let all = mailstow.run(&["ls", to]);
    assert_harmless(&all.expect(0).stdout);
    assert!(
        all.stdout.contains("50% \"off\" 'now' $HOME `id`"),
        "{}",
        all.stdout
    );
    assert!(all.stdout.contains("\\u{202e}gnp.exe"), "{}", all.stdout);
    assert_harmless(&mailstow.run(&["status", to]).expect(0).stdout);

    // And no export mixes two of them up.
    for format in ["mbox", "maildir", "eml"] {
        let out = mailstow.path().join(format);
        let args = [
            "export",
            to,
            "--format",
            format,
            "--to",
            out.to_str().unwrap(),
            "--json",
        ];
        let report = mailstow.run(&args).expect(0).json().pop().unwrap();
        assert_eq!(report["messages"], NAMES.len(), "{report}");
        assert_eq!(report["lost"], serde_json::json!([]));
    }
}

#[test]
fn with_a_dot_as_separator_levels_stay_what_they_are() {
    let dovecot = Dovecot::start_with(&["--separator", "."]);
    let names = [
        "a.b",
        "a/b",
        "a∕c",
        "a.c",
        "../../etc/x",
        "..etc..x",
        "/etc/passwd",
        "Проекты.2024",
    ];
    let names: Vec<&str> = names
        .into_iter()
        .filter(|name| can_be_made(&dovecot, name))
        .collect();
    assert!(
        names.contains(&"a/b") && names.contains(&"a.b"),
        "{names:?}"
    );
    deliver(&dovecot, &names);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    assert_eq!(
        assert_same_with(&dovecot, ALICE, &archive, ACCOUNT, '.'),
        names.len()
    );
    assert_kept_apart(&archive);
    assert_sound(&archive);
    let to = archive.to_str().unwrap();
    for name in names {
        let listed = mailstow.run(&["ls", to, "--json", "--", &shown(name, '.')]);
        assert_eq!(listed.expect(0).json().len(), 1, "{name}");
    }
    // Nothing beside the archive.
    let beside: Vec<_> = std::fs::read_dir(mailstow.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(beside.len(), 3, "{beside:?}");
}

/// Whether this server allows the name at all.
fn can_be_made(dovecot: &Dovecot, name: &str) -> bool {
    let wire = support::mutf7::encode(name)
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let made = dovecot
        .connect(ALICE)
        .try_command(&format!("CREATE \"{wire}\""));
    if let Err(no) = &made {
        println!("the server refuses {name:?}: {no}");
    }
    made.is_ok()
}

#[test]
fn long_names_and_control_characters_never_reach_the_disk_or_the_terminal_raw() {
    let dovecot = Dovecot::start();
    // 200 Cyrillic letters are 533 bytes on the wire and do not fit Dovecot's own files; the
    // longest that do, twice with the same beginning.
    let long = |end: &str| format!("{}{end}", "Ы".repeat(88));
    let (one, two) = (long("а"), long("б"));
    deliver(&dovecot, &[&one, &two]);
    // Dovecot makes no mailbox with control characters, and serves those it finds.
    let hostile = [
        "esc&ABs-]0;title&AAcAGw-[2J",
        "nl&AA0ACg-* BYE",
        "tab&AAk-here",
        "del&AH8-",
        "c1&AJs-31m",
    ];
    for wire in hostile {
        make_folder(&dovecot, ALICE, wire);
        lay(&dovecot, ALICE, wire, &[b"Subject: x\n\nx\n"]);
    }
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let backup = mailstow.backup(&dovecot.url(ALICE), &archive, &["-vv"]);
    assert_harmless(&backup.expect(0).stdout);
    assert_harmless(&backup.stderr);
    assert_eq!(
        assert_same(&dovecot, ALICE, &archive, ACCOUNT),
        2 + hostile.len()
    );
    assert_kept_apart(&archive);
    for args in [
        &["ls", to][..],
        &["status", to],
        &["jobs", to],
        &["verify", to],
        &["skips", to],
    ] {
        assert_harmless(&mailstow.run(args).expect(0).output());
    }
    let name = "no such \u{1b}[31mmailbox";
    assert_harmless(&mailstow.run(&["ls", to, name]).expect(2).output());
}
