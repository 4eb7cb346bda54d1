//! Many accounts at once, from a file: one that fails does not stop the others, and each goes
//! through an archive of its own.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use support::dovecot::PASSWORD;
use support::fake_imap::trial::assert_harmless;
use support::fake_imap::{FakeImap, Reaction, World};
use support::fake_target::{FakeTarget, TargetWorld};
use support::mailstow::{Ended, Mailstow, assert_sound};
use support::migration::{n, total};

/// Prints the password of the servers.
const WORD: &str = "printf 'correct horse'";

/// Pairs of servers, and a file that names them.
struct Office {
    mailstow: Mailstow,
    sources: Vec<FakeImap>,
    targets: Vec<FakeTarget>,
}

impl Office {
    /// With so many messages at each source.
    fn of(messages: &[u32]) -> Self {
        let source = |n: &u32| FakeImap::start(World::inbox(*n));
        let target = |_: &u32| FakeTarget::start(TargetWorld::default().announcing("AUTH=PLAIN"));
        let mailstow = Mailstow::bare()
            .with("MAILSTOW_TEST_SETTLE_MS", "50")
            .with("MAILSTOW_TEST_BACKOFF_MS", "5");
        Self {
            mailstow,
            sources: messages.iter().map(source).collect(),
            targets: messages.iter().map(target).collect(),
        }
    }

    /// A file with a line for each pair: names, and what else its columns say.
    fn file(&self, columns: &str, lines: &[&str]) -> PathBuf {
        let mut text = format!("source,target,{columns}\n");
        for (n, line) in lines.iter().enumerate() {
            let (source, target) = (self.sources[n].url(), self.targets[n].url());
            text = format!("{text}{source},{target},{line}\n");
        }
        let path = self.mailstow.path().join("accounts.csv");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn via(&self) -> PathBuf {
        self.mailstow.path().join("office")
    }

    #[track_caller]
    fn run(&self, mailstow: &Mailstow, file: &std::path::Path, exit: i32, more: &[&str]) -> Ended {
        let via = self.via();
        let (file, via) = (file.to_str().unwrap(), via.to_str().unwrap());
        let mut args = vec!["migrate", "--accounts", file, "--via", via];
        args.extend(more);
        let ended = mailstow.run(&args);
        ended.expect(exit);
        assert_harmless(&ended);
        ended
    }

    /// Messages in the INBOX of each target.
    fn there(&self) -> Vec<usize> {
        let count = |target: &FakeTarget| target.messages("INBOX").len();
        self.targets.iter().map(count).collect()
    }

    /// The folders below `--via`.
    fn archives(&self) -> BTreeSet<String> {
        let Ok(entries) = std::fs::read_dir(self.via()) else {
            return BTreeSet::new();
        };
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        entries.map(name).collect()
    }
}

/// The last line about each account.
fn last_of<'l>(lines: &'l [Value], of: &str) -> &'l Value {
    let found = lines.iter().rfind(|line| line["of"] == of);
    found.unwrap_or_else(|| panic!("nothing about {of}: {lines:#?}"))
}

#[test]
fn one_that_fails_does_not_stop_the_others_and_the_gravest_exit_code_counts() {
    let office = Office::of(&[9, 5, 7, 4]);
    office.sources[1].world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    let columns = "account,password_command,target_password_command";
    let good = format!("{WORD},{WORD}");
    let file = office.file(
        columns,
        &[
            &format!("ann,{good}"),
            &format!("ben,{good}"),
            &format!("cleo,false,{WORD}"),
            &format!("dan,{good}"),
        ],
    );
    let lines = office
        .run(&office.mailstow, &file, 4, &["--jobs", "2", "--json"])
        .json();
    assert!(
        lines.iter().all(|line| line["of"].is_string()),
        "{lines:#?}"
    );
    for (name, all) in [("ann", 9), ("dan", 4)] {
        let report = last_of(&lines, name);
        assert_eq!(report["event"], "migrate", "{report}");
        assert_eq!((n(report, "exit"), total(report, "appended")), (0, all));
        assert_sound(&office.via().join(name));
    }
    for (name, exit) in [("ben", 5), ("cleo", 4)] {
        let error = last_of(&lines, name);
        assert_eq!((&error["event"], n(error, "exit")), (&"error".into(), exit));
    }
    assert_eq!(office.there(), [9, 0, 0, 4]);
    // Nobody is asked twice for what was refused.
    assert_eq!(office.sources[1].count("LOGIN"), 1);
    assert_eq!(office.sources[2].connections(), 0);

    office.sources[1].world().sign_in = "OK".to_owned();
    let lines: Vec<String> = ["ann", "ben", "cleo", "dan"]
        .iter()
        .map(|name| format!("{name},{good}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let file = office.file(columns, &lines);
    let said = office.run(&office.mailstow, &file, 0, &["--final"]);
    for name in ["ann", "ben", "cleo", "dan"] {
        assert!(said.stdout.contains(&format!("{name}:\n")), "{said:?}");
    }
    assert_eq!(said.stdout.matches("It adds up: ").count(), 4, "{said:?}");
    assert_eq!(said.stdout.matches("Proven: ").count(), 4, "{said:?}");
    assert!(
        said.stderr.contains("cleo: to fetch: 7 messages"),
        "{said:?}"
    );
    assert_eq!(office.there(), [9, 5, 7, 4]);
    // What stands in an option holds for all lines that say nothing else.
    let plain = office.file("account", &["ann", "ben", "cleo", "dan"]);
    let options = [
        "--password-command",
        WORD,
        "--target-password-command",
        WORD,
    ];
    office.run(&office.mailstow, &plain, 0, &options);
    assert_eq!(office.there(), [9, 5, 7, 4]);
}

#[test]
fn archives_lie_below_the_folder_whatever_the_accounts_are_called() {
    let office = Office::of(&[1, 1, 1, 1]);
    let file = office.file(
        "account",
        &[
            "../../etc/passwd",
            "\"/abs, olute\"",
            "..",
            "a\u{202e}b@x.org",
        ],
    );
    let options = [
        "--password-command",
        WORD,
        "--target-password-command",
        WORD,
    ];
    office.run(&office.mailstow, &file, 0, &options);
    let archives = office.archives();
    assert_eq!(archives.len(), 4, "{archives:?}");
    for archive in &archives {
        let tame = !archive.starts_with(['.', '-']) && !archive.contains(['/', '\u{202e}']);
        assert!(tame, "{archive:?}");
        assert_sound(&office.via().join(archive));
    }
    let beside: BTreeSet<String> = std::fs::read_dir(office.mailstow.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let want = ["accounts.csv", "home", "office", "tmp"].map(str::to_owned);
    assert_eq!(beside, BTreeSet::from(want));
    // The same again finds the same archives.
    office.run(&office.mailstow, &file, 0, &options);
    assert_eq!(office.archives(), archives);
    assert_eq!(office.there(), [1; 4]);
}

#[test]
fn files_and_passwords_that_lead_to_mistakes_are_refused_before_anything_begins() {
    let office = Office::of(&[1, 1]);
    let options = [
        "--password-command",
        WORD,
        "--target-password-command",
        WORD,
    ];
    let with = |key: &str| Mailstow::bare().with(key, PASSWORD);
    let both = "password_command,target_password_command,account";
    let commands = format!("{WORD},{WORD}");
    let lines = [format!("{commands},ann"), format!("{commands},ben")];
    let lines = [lines[0].as_str(), lines[1].as_str()];
    for (columns, lines, more, words) in [
        (
            "password,account",
            ["x,ann", "y,ben"],
            &options[..],
            "do not belong",
        ),
        (
            "account",
            ["ann", "Ann"],
            &options,
            "would share the archive",
        ),
        (
            "account",
            ["a/b", "a_b"],
            &options,
            "would share the archive",
        ),
        ("authzid", ["", ""], &options, "would share the archive"),
        (both, lines, &["--report", "x.html"], "--report"),
        (both, lines, &["--pop-spam", "exclude"], "--pop"),
        (both, lines, &["--account", "x"], "--account"),
    ] {
        let file = office.file(columns, &lines);
        let ended = office.run(&office.mailstow, &file, 2, more);
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
    let file = office.file("account", &["ann", "ben"]);
    for key in ["MAILSTOW_PASSWORD", "MAILSTOW_TARGET_PASSWORD"] {
        // The other one comes from a command.
        let other = if key.contains("TARGET") {
            &options[..2]
        } else {
            &options[2..]
        };
        let ended = office.run(&with(key), &file, 2, other);
        assert!(ended.stderr.contains(key), "{ended:?}");
    }
    let twice = office.sources[0].url();
    let target = office.targets[0].url();
    let same = format!("source,target,account\n{twice},{target},a\n{twice},{target}/,b\n");
    std::fs::write(&file, same).unwrap();
    let ended = office.run(&office.mailstow, &file, 2, &options);
    assert!(ended.stderr.contains("cannot be told apart"), "{ended:?}");
    office.run(&office.mailstow, &PathBuf::from("nowhere.csv"), 4, &options);
    assert_eq!(office.archives(), BTreeSet::new());
    let connections = office.sources.iter().map(FakeImap::connections);
    assert_eq!(connections.sum::<usize>(), 0);
}

#[test]
fn an_administrator_acts_for_the_user_of_each_line() {
    let office = Office::of(&[2, 3]);
    let file = office.file("account,target_authzid", &["ann,ann@new", "ben,ben@new"]);
    let options = [
        "--password-command",
        WORD,
        "--target-password-command",
        WORD,
    ];
    let lines = office
        .run(
            &office.mailstow,
            &file,
            0,
            &[&options[..], &["--json"]].concat(),
        )
        .json();
    for (target, name) in office.targets.iter().zip(["ann", "ben"]) {
        let sign_ins = target.sign_ins();
        assert!(!sign_ins.is_empty());
        for sign_in in sign_ins {
            let whose = (sign_in.authzid, sign_in.user);
            assert_eq!(whose, (format!("{name}@new"), "bob".to_owned()));
        }
        let report = last_of(&lines, name);
        assert_eq!(report["replay"]["target"], format!("{name}@new@127.0.0.1"));
    }
    assert_eq!(office.there(), [2, 3]);
}

#[test]
fn one_signal_stops_all_of_them() {
    let office = Office::of(&[30, 30, 30]);
    for source in &office.sources {
        let never = Arc::new(AtomicBool::new(false));
        source.hook(move |command, _| {
            if command.wants_bodies() {
                return Reaction::Once(Arc::clone(&never), Box::new(Reaction::Normal));
            }
            Reaction::Normal
        });
    }
    let file = office.file("account", &["ann", "ben", "cleo"]);
    let via = office.via();
    let args = [
        "migrate",
        "--accounts",
        file.to_str().unwrap(),
        "--via",
        via.to_str().unwrap(),
        "--password-command",
        WORD,
        "--target-password-command",
        WORD,
    ];
    let mut running = office.mailstow.start(&args);
    let first = running.wait_for("mailbox").unwrap()["of"].clone();
    let second = running.wait_for("mailbox").unwrap()["of"].clone();
    assert_ne!(first, second, "two at once");
    running.signal("INT");
    let ended = running.finish();
    ended.expect(130);
    let lines = ended.json();
    for of in [first, second] {
        let report = last_of(&lines, of.as_str().unwrap());
        assert_eq!(
            (&report["ending"], n(report, "exit")),
            (&"interrupted".into(), 130)
        );
    }
    assert_eq!(office.archives().len(), 2);
    for source in &office.sources {
        source.heal();
    }
    office.run(&office.mailstow, &file, 0, &args[5..]);
    assert_eq!(office.there(), [30; 3]);
}
