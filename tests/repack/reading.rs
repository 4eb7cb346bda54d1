//! Reading while, and after, segments are written anew.

use std::collections::BTreeSet;
use std::process::Command;

use mailstow::event::Silent;
use mailstow::model::ContentId;
use mailstow::store::Reader;
use mailstow::verify::{VerifyOptions, verify};

use super::*;

#[test]
fn a_reader_that_was_there_before_finds_what_was_moved_meanwhile() {
    let mut nights = small_nights(5);
    let root = nights.root();
    let reader = nights.reader();
    let rows = reader.catalog().all_candidates().unwrap();
    let before: Vec<_> = rows
        .iter()
        .map(|c| {
            reader
                .catalog()
                .content_numbered(c.content)
                .unwrap()
                .unwrap()
        })
        .collect();
    let mut mail = reader.mail();
    let first = mail.read_to_vec(&before[0]).unwrap();
    night(&mut nights, 6..7);
    night(&mut nights, 7..12);
    assert_eq!(names(&root), ["000002.mbox.zst"]);
    assert_eq!(mail.read_to_vec(&before[0]).unwrap(), first);
    for content in &before {
        assert_eq!(
            ContentId::of(&mail.read_to_vec(content).unwrap()),
            content.id
        );
        assert!(!mail.read_header(content).unwrap().is_empty());
    }
    // Moved once more, and the same reader goes on.
    for n in 12..20 {
        night(&mut nights, n..n + 1);
    }
    assert_eq!(names(&root), ["000003.mbox.zst"]);
    for content in &before {
        assert_eq!(
            ContentId::of(&mail.read_to_vec(content).unwrap()),
            content.id
        );
    }
    // What is really lost is said to be.
    std::fs::remove_file(&segments(&root)[0]).unwrap();
    let mut mail = reader.mail();
    assert!(mail.read_to_vec(&before[0]).is_err());
}

#[test]
fn verifying_what_a_run_moves_meanwhile_finds_no_damage() {
    let mut nights = small_nights(5);
    let root = nights.root();
    let private = nights.dir.path().join("private.sqlite");
    std::fs::copy(root.join("catalog.sqlite"), &private).unwrap();
    let reader = Reader::open(&root, Some(&private)).unwrap();
    night(&mut nights, 6..7);
    let report = verify(&reader, &VerifyOptions::default(), &Silent).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.contents, 6);
    // Damage that nothing moved is still found.
    let path = segments(&root)[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let report = verify(&nights.reader(), &VerifyOptions::default(), &Silent).unwrap();
    assert!(!report.is_sound());
    let report = verify(&reader, &VerifyOptions::default(), &Silent).unwrap();
    assert!(!report.is_sound());
}

#[test]
fn a_script_without_our_code_follows_what_was_moved() {
    let mut nights = small_nights(5);
    let root = nights.root();
    for n in 6..30 {
        night(&mut nights, n..n + 1);
    }
    let to = nights.dir.path().join("extracted");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/read_archive.py");
    let out = Command::new("python3")
        .arg(script)
        .args(["extract", root.to_str().unwrap(), "--to"])
        .arg(&to)
        .output()
        .expect("python3 is missing: run scripts/setup.sh");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mails: BTreeSet<ContentId> = support::archive_state::files(&to)
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "eml"))
        .map(|(_, bytes)| ContentId::of(&bytes))
        .collect();
    let want: BTreeSet<ContentId> = (1..30)
        .map(|n| ContentId::of(&support::nights::message(n)))
        .collect();
    assert_eq!(mails, want);
}

#[test]
fn what_was_moved_is_recovered_with_any_part_of_the_evidence() {
    let mut nights = small_nights(5);
    let root = nights.root();
    for n in 6..30 {
        night(&mut nights, n..n + 1);
    }
    let want = archive_state(&root);
    let dir = nights.dir.path();
    for lost in ["", "journal", "catalog.sqlite", "archive.toml"] {
        let broken = dir.join(format!("broken-{lost}"));
        support::sweep::copy(&root, &broken);
        if lost == "journal" {
            std::fs::remove_dir_all(broken.join(lost)).unwrap();
        } else if !lost.is_empty() {
            std::fs::remove_file(broken.join(lost)).unwrap();
        }
        let to = dir.join(format!("recovered-{lost}"));
        let report =
            mailstow::store::recover(&broken, &to, mailstow::clock::Clock::System, &Silent)
                .unwrap();
        assert!(report.is_complete(), "without {lost}: {:?}", report.lost);
        assert_eq!(report.damage, [], "without {lost}");
        let state = state(&to);
        assert_eq!(state.contents, want.contents, "without {lost}");
        assert_eq!(state.placed, want.placed, "without {lost}");
    }
}
