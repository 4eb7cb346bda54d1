//! Real mail of 2002 to 2005 and odd mail: what the header rules make of it, and which dates of
//! delivery can be read.
//!
//! The corpora are other people's mail and not part of the repository: `../shared/corpora`, or
//! the folder named by MAILSTOW_CORPORA. Where they are absent the test says so and passes.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailstow::header::{self, delivered};
use mailstow::spam;
use support::corpora::corpora;

/// The messages of both corpora by the folder they lie in, such as `easy-ham-1`.
fn folders(corpora: &Path, scratch: &Path) -> BTreeMap<String, Vec<(PathBuf, Vec<u8>)>> {
    let mut folders: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for name in ["spamassassin", "torture"] {
        let archive = corpora.join(format!("{name}.tar.zst"));
        let mut root = corpora.join(name);
        if archive.is_file() {
            root = scratch.join(name);
            std::fs::create_dir(&root).unwrap();
            let mut tar = Command::new("tar");
            let tar = tar.arg("--zstd").arg("-xf").arg(&archive);
            let done = tar.arg("-C").arg(&root).status();
            assert!(
                done.is_ok_and(|status| status.success()),
                "cannot unpack {}: tar and zstd are needed, scripts/test.sh installs them",
                archive.display()
            );
        }
        let mut open = vec![root];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|e| e == "eml") {
                    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
                    let bytes = std::fs::read(&path).unwrap();
                    folders.entry(name).or_default().push((path, bytes));
                }
            }
        }
    }
    folders
}

#[derive(Default, Debug)]
struct Count {
    spam: usize,
    otherwise: usize,
    silent: usize,
    /// Messages with a Date or a Received field, and no date of delivery.
    unread: usize,
    /// Messages without either field.
    undated: usize,
    /// Of the `Date` fields: read by both this library and `mail_parser`, and to another instant.
    both: usize,
    differing: usize,
    /// Read by one of them only.
    only_here: usize,
    only_there: usize,
}

fn count(messages: &[(PathBuf, Vec<u8>)]) -> Count {
    let mut count = Count::default();
    for (path, bytes) in messages {
        let path = path.file_name().unwrap().to_string_lossy();
        match spam::judge(bytes) {
            Some(found) if found.spam => {
                count.spam += 1;
                println!("  spam: {path}: {}", found.evidence);
            }
            Some(_) => count.otherwise += 1,
            None => count.silent += 1,
        }
        let dated = |name: &[u8]| {
            ["date", "received"]
                .iter()
                .any(|d| name.eq_ignore_ascii_case(d.as_bytes()))
        };
        match delivered(bytes) {
            Some(_) => {}
            None if header::fields(bytes).any(|(name, _)| dated(name)) => {
                count.unread += 1;
                println!("  unread: {path}");
            }
            None => count.undated += 1,
        }
        compare_dates(&path, bytes, &mut count);
    }
    count
}

/// `summary` reads Date by `mail_parser`; a header of the Date field alone makes `delivered`
/// read the same words.
fn compare_dates(path: &str, bytes: &[u8], count: &mut Count) {
    let date = header::fields(bytes).find(|(name, _)| name.eq_ignore_ascii_case(b"date"));
    let Some((_, value)) = date else { return };
    let alone = [b"Date:", value, b"\n\n"].concat();
    let here = delivered(&alone).map(|d| d.unix);
    // A year such as 0102, which is 2002, is no reading.
    let there = header::summary(&alone).date.filter(|unix| *unix >= 0);
    match (here, there) {
        (Some(here), Some(there)) if here == there => count.both += 1,
        (None, None) => {}
        _ => {
            println!(
                "  date: {path}: {here:?} {there:?}: {:?}",
                String::from_utf8_lossy(value)
            );
            match (here, there) {
                (Some(_), Some(_)) => count.differing += 1,
                (Some(_), None) => count.only_here += 1,
                _ => count.only_there += 1,
            }
        }
    }
}

#[test]
fn ordinary_mail_is_not_judged_spam_and_is_dated() {
    let Some(corpora) = corpora() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folders = folders(&corpora, scratch.path());
    for (name, messages) in &folders {
        let count = count(messages);
        println!("{name}: {} messages, {count:?}", messages.len());
        let all = messages.len();
        if name.contains("ham") {
            assert!(count.spam <= 5, "ordinary mail judged spam in {name}");
            assert_eq!(count.both, all, "{name}");
        }
        if name.contains("ham") || name.starts_with("spam") {
            assert_eq!(count.unread + count.undated, 0, "{name}");
        }
        // A zone such as `GMT+1`, hours with `PM`, and fields that are cut in the middle.
        assert!(count.differing * 50 <= all, "{name}");
        assert!(
            count.only_there * 100 <= all && count.unread * 100 <= all,
            "{name}"
        );
    }
}
