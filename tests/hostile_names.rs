//! Mailbox names, subjects and server words made to leave the archive, to collide, or to take
//! over a terminal.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use support::fake_imap::trial::{Trial, assert_harmless, folders};
use support::fake_imap::{FakeImap, FakeMailbox, World};

/// A name that cannot be quoted comes as a literal.
fn literal(bytes: &[u8]) -> Vec<u8> {
    [format!("{{{}}}\r\n", bytes.len()).as_bytes(), bytes].concat()
}

const QUOTED: [&str; 38] = [
    "INBOX",
    "../../etc/x",
    "/etc/passwd",
    "..",
    ".",
    "a/../../b",
    "a//b",
    "/",
    "CON",
    "con.txt",
    "LPT1/aux",
    "-rf",
    "~root",
    ".hidden",
    "000001.mbox.zst",
    "x\"y\\z",
    "%s%n%x",
    "*",
    "trailing. ",
    " leading",
    "Foo",
    "foo",
    "FOO",
    "fo\u{6f}/bar",
    "&AOk-",
    "e&AwE-",
    "&IC4-gpj.exe",
    "&AAoAWw-",
    "&ABs-[2J",
    "&AAA-",
    "&AAAA",
    "&",
    "&-",
    "&-&-",
    "archive.toml",
    "lock",
    "\u{202e}raw",
    "a,b;c|d`e`$(f)",
];

fn mailboxes() -> Vec<FakeMailbox> {
    let mut mailboxes: Vec<FakeMailbox> =
        QUOTED.iter().map(|name| FakeMailbox::new(name)).collect();
    let long = "long/".repeat(800);
    let deep = "d".repeat(4000);
    for bytes in [
        &b"a\r\nm9 DELETE b"[..],
        b"esc\x1b]52;c;aGk=\x07",
        b"bell\x07\x08\x7f",
        b"\xc2\x9b31m",
        long.as_bytes(),
        deep.as_bytes(),
    ] {
        let mut mailbox = FakeMailbox::new(std::str::from_utf8(bytes).unwrap());
        mailbox.listed_as = Some(literal(bytes));
        mailboxes.push(mailbox);
    }
    mailboxes.push(FakeMailbox::new("flat/name").separated("NIL"));
    mailboxes.push(FakeMailbox::new("dot.ted/x").separated("\".\""));
    mailboxes.push(FakeMailbox::new("back\\slash/y").separated("\"\\\\\""));
    for (n, mailbox) in mailboxes.iter_mut().enumerate() {
        mailbox.add(format!("From: \u{1b}[31m\u{202e}x <a@b>\r\nSubject: {n} \u{1b}]0;title\u{7}\u{9b}2J\u{2066}\r\n\r\n{n}\r\n").as_bytes());
    }
    mailboxes
}

/// Every file and folder below, and nothing that points elsewhere.
fn tree(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            assert!(
                kind.is_dir() || kind.is_file(),
                "{} is neither file nor folder",
                path.display()
            );
            assert!(
                path.canonicalize()
                    .unwrap()
                    .starts_with(root.canonicalize().unwrap())
            );
            if kind.is_dir() {
                folders.push(path.clone());
            }
            found.insert(
                path.strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .expect("a name in UTF-8")
                    .to_owned(),
            );
        }
    }
    found
}

#[test]
fn no_name_leaves_the_archive_collides_or_reaches_the_terminal() {
    let (fake, trial) = (FakeImap::start(World::with(mailboxes())), Trial::new());
    let before = tree(trial.mailstow.path());
    let report = trial.backup(&fake, 0, &[]);
    let count = fake.world().mailboxes.len();
    assert_eq!(report["mailboxes"].as_array().unwrap().len(), count);
    trial.assert_holds_all_but(&fake, &[]);

    let outside: Vec<String> = tree(trial.mailstow.path())
        .into_iter()
        .filter(|path| !before.contains(path) && !path.starts_with("archive"))
        .collect();
    assert_eq!(outside, [""; 0], "files outside of the archive");
    let folders: BTreeSet<String> = folders(&trial.archive)
        .into_values()
        .map(|(_, folder)| folder.to_lowercase())
        .collect();
    assert_eq!(
        folders.len(),
        count,
        "two mailboxes share a folder where case is folded"
    );
    for folder in &folders {
        assert!(
            folder
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.') && part.len() <= 80),
            "{folder}"
        );
        assert!(
            !folder
                .chars()
                .any(|c| c.is_control() || "\\:*?\"<>|\u{202e}".contains(c)),
            "{folder:?}"
        );
    }
    assert!(
        tree(&trial.archive.join("mail"))
            .iter()
            .all(|path| path.len() < 1200)
    );
    trial.text(&fake, 0, &[]);
    trial.completes(&fake);
}

#[test]
fn no_command_shows_a_name_or_a_subject_raw() {
    let (fake, trial) = (FakeImap::start(World::with(mailboxes())), Trial::new());
    trial.text(&fake, 0, &[]);
    let archive = trial.archive.to_str().unwrap();
    let export = trial.mailstow.path().join("export");
    std::fs::create_dir(&export).unwrap();
    for json in [false, true] {
        for format in ["mbox", "maildir", "eml"] {
            let to = export.join(format!("{format}-{json}"));
            let mut args = vec![
                "export",
                archive,
                "--format",
                format,
                "--to",
                to.to_str().unwrap(),
            ];
            args.extend(json.then_some("--json"));
            let ended = trial.mailstow.run(&args);
            ended.expect(0);
            assert_harmless(&ended);
        }
        for command in [
            &["status", archive][..],
            &["ls", archive],
            &["jobs", archive],
            &["skips", archive],
            &["verify", archive],
            &["ls", archive, "esc\u{1b}]52;c;aGk=\u{7}"],
        ] {
            let mut args = command.to_vec();
            args.extend(json.then_some("--json"));
            let ended = trial.mailstow.run(&args);
            ended.expect(0);
            assert_harmless(&ended);
        }
        let mut args = vec!["ls", archive, "no \u{1b}[2Jsuch \u{202e}mailbox"];
        args.extend(json.then_some("--json"));
        let ended = trial.mailstow.run(&args);
        ended.expect(2);
        assert_harmless(&ended);
        let ended = trial.text(&fake, 2, &["--mailbox", "no \u{1b}[2Jsuch \u{202e}mailbox"]);
        assert!(ended.stderr.contains("no mailbox matches"));
    }
    let made: BTreeSet<String> = tree(trial.mailstow.path())
        .into_iter()
        .filter_map(|path| path.split('/').next().map(str::to_owned))
        .collect();
    let expected = ["archive", "export", "home", "tmp"].map(str::to_owned);
    assert_eq!(made, BTreeSet::from(expected), "an export left its folder");
}

#[test]
fn names_that_cannot_be_opened_cost_only_themselves() {
    let mut world = World::with([
        FakeMailbox::new("INBOX").filled(2),
        FakeMailbox::new("z").filled(2),
    ]);
    // Bytes that are no UTF-8: they cannot be sent back, and two of them look alike.
    for raw in [&b"\"caf\xe9\""[..], b"\"caf\xe8\""] {
        let mut mailbox = FakeMailbox::new("unreachable").filled(1);
        mailbox.wire = raw[1..raw.len() - 1].to_vec();
        mailbox.listed_as = Some(raw.to_vec());
        world.mailboxes.push(mailbox);
    }
    // Too long for any command.
    let mut long = FakeMailbox::new(&"l".repeat(9000)).filled(1);
    long.listed_as = Some(literal(&long.wire));
    world.mailboxes.insert(1, long);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let report = trial.backup(&fake, 3, &[]);
    let problems: Vec<&str> = report["mailboxes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["problem"].as_str())
        .collect();
    assert_eq!(
        problems.iter().filter(|p| p.contains("no UTF-8")).count(),
        2,
        "{problems:?}"
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    for name in ["INBOX", "z"] {
        assert_eq!(
            support::mailstow::numbers(&report, name).stored,
            2,
            "{name}"
        );
    }
}

#[test]
fn lists_with_parents_duplicates_and_two_inboxes() {
    let mut world = World::with([
        FakeMailbox::new("INBOX").filled(3),
        FakeMailbox::new("Parent/Child").filled(2),
    ]);
    world.more_listed = b"* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\n* LIST (\\HasNoChildren) \"/\" Inbox\r\n\
        * LIST (\\NoSelect \\HasChildren) \"/\" Parent\r\n* LIST (\\NonExistent) \"/\" ghost\r\n* LIST (\\noselect) \"/\" \"\"\r\n\
        * LIST (\\HasNoChildren) \"/\" \"Parent/Child\"\r\n* LIST () \"/\" {5}\r\ndeath\r\n"
        .to_vec();
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    // `death` is listed and cannot be opened: it went between LIST and EXAMINE.
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(support::mailstow::numbers(&report, "total").stored, 5);
    let opened: Vec<String> = fake
        .commands()
        .into_iter()
        .filter(|c| c.name == "EXAMINE")
        .map(|c| c.args[0].clone())
        .collect();
    assert!(
        !opened
            .iter()
            .any(|name| ["Parent", "ghost", ""].contains(&name.as_str())),
        "{opened:?}"
    );
    trial.completes(&fake);
}
