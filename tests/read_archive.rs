//! A fresh archive, read by programs that know nothing of ours.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::fixture::{self, Fixture, MAILBOXES};

fn script(args: &[&str], archive: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/read_archive.py");
    assert!(
        Command::new("zstd").arg("--version").output().is_ok(),
        "zstd is missing: run scripts/setup.sh"
    );
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg(args[0])
        .arg(archive)
        .args(&args[1..]);
    let out = command
        .output()
        .expect("python3 is missing: run scripts/setup.sh");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    out
}

/// Mailbox, date and bytes of everything the script extracted.
fn extracted(fixture: &Fixture) -> BTreeSet<(String, String, Vec<u8>)> {
    let to = fixture.dir.path().join("extracted");
    script(&["extract", "--to", to.to_str().unwrap()], &fixture.root);
    let index = std::fs::read_to_string(to.join("index.jsonl")).unwrap();
    let lines = index
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    lines
        .map(|line| {
            let bytes = std::fs::read(to.join(line["file"].as_str().unwrap())).unwrap();
            (
                line["mailbox"].as_str().unwrap().to_owned(),
                line["date"].as_str().unwrap_or_default().to_owned(),
                bytes,
            )
        })
        .collect()
}

fn put_in(fixture: &Fixture) -> BTreeSet<(String, String, Vec<u8>)> {
    let date = |m: &fixture::Mail| m.date.map_or(String::new(), |d| d.to_string());
    fixture
        .mails
        .iter()
        .map(|m| (MAILBOXES[m.mailbox].0.to_owned(), date(m), m.bytes.clone()))
        .collect()
}

#[test]
fn the_script_gives_every_placement_with_its_bytes_and_date() {
    let fixture = fixture::build();
    assert_eq!(extracted(&fixture), put_in(&fixture));
    let list = String::from_utf8(script(&["list"], &fixture.root).stdout).unwrap();
    let present: usize = list
        .lines()
        .map(|l| l.split('\t').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(
        (present, list.lines().count()),
        (fixture.mails.len(), MAILBOXES.len())
    );
}

#[test]
fn without_journal_and_catalog_the_segments_still_tell_of_every_message() {
    let fixture = fixture::build();
    std::fs::remove_dir_all(fixture.root.join("journal")).unwrap();
    std::fs::remove_file(fixture.root.join("catalog.sqlite")).unwrap();
    let (found, all) = (extracted(&fixture), put_in(&fixture));
    assert!(found.is_subset(&all));
    let bytes = |set: &BTreeSet<(String, String, Vec<u8>)>| {
        set.iter().map(|m| m.2.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(bytes(&found), bytes(&all));
}

/// Every segment as a plain mbox, and how many messages it holds.
fn plain_mboxes(fixture: &Fixture) -> Vec<(PathBuf, usize)> {
    let reader = fixture.reader();
    let mut list = Vec::new();
    for (n, (segment, ..)) in reader.catalog().segments().unwrap().into_iter().enumerate() {
        let out = Command::new("zstd")
            .args(["-dcq"])
            .arg(fixture.root.join("mail").join(&segment))
            .output();
        let out = out.expect("zstd is missing: run scripts/setup.sh");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let path = fixture.dir.path().join(format!("{n}.mbox"));
        std::fs::write(&path, out.stdout).unwrap();
        list.push((
            path,
            reader.catalog().contents_in(&segment, 0).unwrap().len(),
        ));
    }
    assert!(list.len() > 1);
    list
}

#[test]
fn stock_zstd_makes_an_mbox_in_which_python_counts_the_same_messages() {
    let fixture = fixture::build();
    for (path, messages) in plain_mboxes(&fixture) {
        let script = "import mailbox, sys; print(len(mailbox.mbox(sys.argv[1], create=False)))";
        let out = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .output()
            .expect("python3 is missing: run scripts/setup.sh");
        assert_eq!(
            String::from_utf8_lossy(&out.stdout).trim(),
            messages.to_string(),
            "{path:?}"
        );
    }
}

#[test]
fn another_mbox_reader_counts_the_same_messages() {
    let fixture = fixture::build();
    for (path, messages) in plain_mboxes(&fixture) {
        // This reader never returns the last message of a file.
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"From sentinel@example.org Thu Jan  1 00:00:00 1970\n\nlast\n\n");
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            mbox_reader::MboxFile::from_file(&path)
                .unwrap()
                .iter()
                .count(),
            messages,
            "{path:?}"
        );
    }
}
