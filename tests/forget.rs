//! Contents that are erased on a person's request: they are nowhere afterwards, and stay away.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop"
)]

mod support;

#[path = "forget/crash.rs"]
mod crash;
#[path = "forget/nightly.rs"]
mod nightly;

use std::path::Path;

use mailstow::archive::format::{CONTENTS_MAGIC, Damaged, Record};
use mailstow::archive::{MailReader, SegmentReader};
use mailstow::catalog::Happened;
use mailstow::clock::Clock;
use mailstow::event::Silent;
use mailstow::model::ContentId;
use mailstow::store::{ForgetReport, OpenOptions, Reader, recover};
use mailstow::verify::{VerifyOptions, verify};
use support::archive_state::{archive_state, assert_sound, commits, files};
use support::mailstow::Mailstow;
use support::nights::{Nights, imap, message, open, rebuilt};
use support::sweep::copy;

/// The message that is to be forgotten. Its words stand in no other.
const NUMBER: u32 = 7;

fn secret() -> Vec<u8> {
    b"From: Zerlina <zerlina@example.org>\r\nSubject: quixotic\r\nMessage-ID: <7@zerlina>\r\n\r\nxylophone zeppelin\r\n".to_vec()
}

fn secret_id() -> ContentId {
    ContentId::of(&secret())
}

/// Three runs of ten messages; the secret one is in the first, and placed twice.
fn archive() -> Nights {
    let mut nights = Nights::new();
    for run in 0..3 {
        let mut night = nights.begin();
        let inbox = night.mailbox("INBOX", Some(1));
        for n in run * 10 + 1..run * 10 + 11 {
            if n == NUMBER {
                night.arrive(inbox, imap(1, n), n, &["\\Seen"], secret());
                let sent = night.mailbox("Sent", Some(2));
                night.arrive(sent, imap(2, 1), n, &[], secret());
            } else {
                night.place(inbox, imap(1, n), n, &[]);
            }
        }
        night.end(0);
    }
    nights
}

fn forget(root: &Path) -> ForgetReport {
    let mut writer = open(&OpenOptions::default(), root);
    let report = writer.forget(&[secret_id()], "a letter of 3 May").unwrap();
    writer.finish().unwrap();
    report
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

/// Everything in all frames of a file, contents frames too, as far as it is frames.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = bytes;
    while rest.len() > 8 {
        let (skip, frame) = if rest[..4] == CONTENTS_MAGIC.to_le_bytes() {
            let len = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
            (8 + len, &rest[8..8 + len])
        } else {
            (rest.len(), rest)
        };
        let out = std::process::Command::new("zstd")
            .args(["-dcqf"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .and_then(|mut child| {
                let mut input = child.stdin.take().unwrap();
                let frame = frame.to_vec();
                let feed = std::thread::spawn(move || {
                    // It stops reading where something is no frame.
                    std::io::Write::write_all(&mut input, &frame).unwrap_or_default();
                });
                let out = child.wait_with_output();
                feed.join().unwrap();
                out
            })
            .expect("zstd is missing: run scripts/setup.sh");
        plain.extend(out.stdout);
        rest = &rest[skip..];
    }
    plain
}

/// That nothing of the message can be found in any file of the archive.
#[track_caller]
fn assert_erased(root: &Path) {
    let head = mailstow::header::digest(&secret()).unwrap();
    let id = secret_id().to_string();
    for (path, bytes) in files(root) {
        let plain = [unpacked(&bytes), bytes].concat();
        for words in ["zerlina", "quixotic", "xylophone"] {
            assert!(!contains(&plain, words.as_bytes()), "`{words}` in {path:?}");
        }
        let journal = path.starts_with(root.join("journal"));
        assert!(
            journal || !contains(&plain, head.as_bytes()),
            "its digest in {path:?}"
        );
        let mail = path.starts_with(root.join("mail"));
        assert!(
            !mail || !contains(&plain, id.as_bytes()),
            "its id in {path:?}"
        );
    }
}

/// What must be true once the message is forgotten.
#[track_caller]
fn assert_forgotten(root: &Path, others: usize) {
    assert_sound(root);
    assert_erased(root);
    let state = archive_state(root);
    assert_eq!(state.contents.len(), others);
    assert!(!state.contents.contains_key(&secret_id().to_string()));
    // It was there, and that is all that is said.
    let places: Vec<_> = state
        .placed
        .iter()
        .filter(|p| p.content == secret_id().to_string())
        .map(|p| (p.mailbox.as_str(), p.remote.as_str()))
        .collect();
    assert_eq!(places, [("INBOX", "1:7"), ("Sent", "2:1")]);
    let reader = Reader::open(root, None).unwrap();
    let catalog = reader.catalog();
    assert!(!catalog.holds(secret_id()).unwrap());
    assert_eq!(
        catalog.why_forgotten(secret_id()).unwrap().as_deref(),
        Some("a letter of 3 May")
    );
    let life = catalog.life(secret_id()).unwrap();
    let told = |e: &&mailstow::catalog::LifeEvent| matches!(e.what, Happened::Forgotten { .. });
    assert_eq!(life.iter().filter(told).count(), 1, "{life:?}");
}

#[test]
fn the_search_itself_finds_the_message_before() {
    let nights = archive();
    let root = nights.root();
    let found = |words: &[u8]| {
        let all = files(&root);
        let hit = |b: &Vec<u8>| contains(&unpacked(b), words) || contains(b, words);
        all.values().any(hit)
    };
    assert!(found(b"quixotic") && found(b"xylophone"));
    assert!(found(secret_id().to_string().as_bytes()));
    let head = mailstow::header::digest(&secret()).unwrap();
    let catalog = std::fs::read(root.join("catalog.sqlite")).unwrap();
    assert!(contains(&catalog, head.as_bytes()));
}

#[test]
fn a_message_is_erased_from_an_open_segment_and_its_neighbours_stay() {
    let nights = archive();
    let root = nights.root();
    let report = forget(&root);
    assert_eq!(
        (report.forgotten.as_slice(), report.segments),
        (&[secret_id()][..], 1)
    );
    assert!(report.is_complete());
    assert_forgotten(&root, 29);
    let live = nights.reader();
    assert_eq!(
        rebuilt(&root).catalog().digests().unwrap(),
        live.catalog().digests().unwrap()
    );
    // Once more: nothing is left to do, and nothing is written.
    let before = (commits(&root), files(&root.join("mail")));
    let again = forget(&root);
    assert_eq!(
        (again.already.as_slice(), again.segments),
        (&[secret_id()][..], 0)
    );
    assert!((commits(&root), files(&root.join("mail"))) == before);
    assert_forgotten(&root, 29);
}

#[test]
fn a_catalog_built_anew_is_rid_of_it_as_well() {
    let nights = archive();
    let root = nights.root();
    forget(&root);
    std::fs::remove_file(root.join("catalog.sqlite")).unwrap();
    open(&OpenOptions::default(), &root).finish().unwrap();
    assert!(root.join("catalog.sqlite").exists());
    assert_forgotten(&root, 29);
}

/// SQLite leaves the old version of a row in its page when the new one does not go there.
#[test]
fn nothing_is_left_in_the_slack_of_the_catalog_whatever_the_reason() {
    let mut nights = archive();
    // Many pages of rows, full to the brim.
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    for n in 100..500 {
        night.place(inbox, imap(1, n), n, &[]);
    }
    night.end(0);
    let head = mailstow::header::digest(&secret()).unwrap();
    for letters in (1..400).step_by(25) {
        let root = nights.dir.path().join(format!("copy-{letters}"));
        copy(&nights.root(), &root);
        let mut writer = open(&OpenOptions::default(), &root);
        writer.forget(&[secret_id()], &"x".repeat(letters)).unwrap();
        writer.finish().unwrap();
        for built in ["kept", "built anew"] {
            let path = root.join("catalog.sqlite");
            let catalog = std::fs::read(&path).unwrap();
            assert!(
                !contains(&catalog, head.as_bytes()),
                "{letters} letters, {built}"
            );
            std::fs::remove_file(&path).unwrap();
            open(&OpenOptions::default(), &root).finish().unwrap();
        }
    }
}

#[test]
fn an_old_segment_that_a_death_left_behind_goes_with_the_next_opening() {
    let nights = archive();
    let root = nights.root();
    let path = files(&root.join("mail")).into_keys().next().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut writer = open(&OpenOptions::default(), &root);
    writer.forget(&[secret_id()], "a letter of 3 May").unwrap();
    // It dies here, and its last removal is undone.
    drop(writer);
    std::fs::write(&path, whole).unwrap();
    open(&OpenOptions::default(), &root).finish().unwrap();
    assert!(!path.exists());
    assert_forgotten(&root, 29);
}

#[test]
fn a_sealed_segment_is_written_anew_and_sealed_again_and_mail_goes_on_behind_it() {
    let mut nights = archive();
    let root = nights.root();
    let mut writer = open(&OpenOptions::default(), &root);
    writer.seal_at(1);
    drop(writer);
    let mut night = nights.begin();
    night.writer.seal_at(1);
    let inbox = night.mailbox("INBOX", Some(1));
    night.place(inbox, imap(1, 50), 50, &[]);
    night.commit();
    night.place(inbox, imap(1, 51), 51, &[]);
    night.commit();
    night.writer.seal_at(1 << 30);
    night.place(inbox, imap(1, 52), 52, &[]);
    night.end(0);
    let sealed = |root: &Path| -> Vec<(String, bool)> {
        let name = |path: String| path.rsplit('/').next().unwrap().to_owned();
        let reader = Reader::open(root, None).unwrap();
        let all = reader.catalog().segments().unwrap();
        all.into_iter().map(|(p, _, s)| (name(p), s)).collect()
    };
    let number = |n: u32, sealed: bool| (format!("{n:06}.mbox.zst"), sealed);
    assert_eq!(
        sealed(&root),
        [number(1, true), number(2, true), number(3, false)]
    );
    forget(&root);
    assert_eq!(
        sealed(&root),
        [number(2, true), number(3, false), number(4, true)]
    );
    assert_forgotten(&root, 32);
    // Into the open one, not behind the sealed one; and the next new one takes no old number.
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    night.place(inbox, imap(1, 53), 53, &[]);
    night.commit();
    assert_eq!(sealed(&root).len(), 3);
    night.writer.seal_at(1);
    night.place(inbox, imap(1, 54), 54, &[]);
    night.commit();
    night.place(inbox, imap(1, 55), 55, &[]);
    night.end(0);
    assert_eq!(sealed(&root).last(), Some(&number(5, true)));
    assert_forgotten(&root, 35);
}

#[test]
fn the_only_message_of_a_segment_takes_the_segment_with_it() {
    let mut nights = Nights::new();
    let root = nights.root();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    night.arrive(inbox, imap(1, 7), 7, &[], secret());
    let sent = night.mailbox("Sent", Some(2));
    night.arrive(sent, imap(2, 1), 7, &[], secret());
    night.end(0);
    forget(&root);
    assert_eq!(files(&root.join("mail")).len(), 0);
    assert_forgotten(&root, 0);
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    night.place(inbox, imap(1, 8), 8, &[]);
    night.end(0);
    assert_forgotten(&root, 1);
}

/// A copy that was recorded lost, and whose bytes are there all the same, is a copy too.
#[test]
fn a_copy_that_nothing_names_any_more_is_erased_as_well() {
    let mut nights = archive();
    let root = nights.root();
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    night.writer.record(Record::Damaged(Damaged {
        id: secret_id(),
        segment: String::new(),
        reason: "a test says so".into(),
    }));
    night.commit();
    night.arrive(inbox, imap(1, NUMBER), NUMBER, &["\\Seen"], secret());
    night.end(0);
    let path = files(&root.join("mail")).into_keys().next().unwrap();
    let mut reader = SegmentReader::open(&path, 0).unwrap();
    let mut copies = 0;
    while let Some(pair) = reader.next_pair().unwrap() {
        copies += pair.lines.iter().filter(|l| l.id == secret_id()).count();
        reader.skip_data(&pair).unwrap();
    }
    assert_eq!(copies, 2);
    forget(&root);
    assert_erased(&root);
    assert_sound(&root);
}

#[test]
fn a_damaged_segment_is_left_and_said_so_and_recovering_it_saves_no_forgotten_message() {
    let nights = archive();
    let root = nights.root();
    let path = files(&root.join("mail")).into_keys().next().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut reader = SegmentReader::open(&path, 0).unwrap();
    let first = reader.next_pair().unwrap().unwrap();
    let mut broken = whole.clone();
    broken[first.end() as usize + 200] ^= 1;
    std::fs::write(&path, &broken).unwrap();
    let report = forget(&root);
    assert_eq!(report.forgotten, []);
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert!(!report.is_complete());
    assert_eq!(std::fs::read(&path).unwrap(), broken, "it was touched");
    assert!(nights.reader().catalog().holds(secret_id()).unwrap());

    // An archive in which it was forgotten, with a copy of the old segment brought back.
    std::fs::write(&path, &whole).unwrap();
    forget(&root);
    std::fs::write(&path, &whole).unwrap();
    let found = verify(&nights.reader(), &VerifyOptions::default(), &Silent).unwrap();
    assert!(!found.is_sound(), "a forgotten message is there again");
    let to = nights.dir.path().join("recovered");
    let report = recover(&root, &to, Clock::System, &Silent).unwrap();
    assert_eq!(report.lost, []);
    assert_forgotten(&to, 29);
    // Forgetting it again in the old one takes the copy away, or names it.
    let report = forget(&root);
    assert_eq!(report.strangers.len(), 1, "{report:?}");
}

#[test]
fn whoever_reads_meanwhile_is_told() {
    let nights = archive();
    let root = nights.root();
    let reader = nights.reader();
    let content = reader.catalog().content(secret_id()).unwrap().unwrap();
    let other = reader
        .catalog()
        .content(ContentId::of(&message(3)))
        .unwrap()
        .unwrap();
    let mut mail = reader.mail();
    forget(&root);
    let error = mail.read_to_vec(&content).unwrap_err();
    assert!(error.to_string().contains("forgotten"), "{error}");
    assert_eq!(mail.read_to_vec(&other).unwrap(), message(3));
    // Without looking again it is only not there.
    assert!(MailReader::new(&root).read_to_vec(&other).is_err());
}

#[test]
fn the_command_asks_for_a_whole_id_a_reason_and_a_word() {
    let nights = archive();
    let root = nights.root();
    let root = root.to_str().unwrap();
    let id = secret_id().to_string();
    let mailstow = Mailstow::new();
    let before = files(Path::new(root));
    let refused: [&[&str]; 5] = [
        &["forget", root, &id, "--reason", "x"],
        &["forget", root, &id, "--reason", " ", "--yes"],
        &["forget", root, &id, "--yes"],
        &["forget", root, &id[..11], "--reason", "x", "--yes"],
        &["forget", root, "000000000000", "--reason", "x", "--yes"],
    ];
    for args in refused {
        mailstow.run(args).expect(2);
    }
    let asked = mailstow.run(refused[0]).output();
    assert!(
        asked.contains("quixotic") && asked.contains("2 placements"),
        "{asked}"
    );
    assert!(files(Path::new(root)) == before, "something was changed");

    let args = [
        "forget",
        root,
        &id[..12],
        "--reason",
        "a letter of 3 May",
        "--yes",
    ];
    let said = mailstow.run(&args).expect(0).output();
    assert!(said.contains("1 message erased"), "{said}");
    assert_forgotten(Path::new(root), 29);
    for (args, words) in [
        (vec!["show", root, &id[..12]], "a letter of 3 May"),
        (
            vec!["log", root, &id[..12]],
            "forgotten on request: a letter of 3 May",
        ),
        (vec!["ls", root, "INBOX"], "forgotten on request"),
        (vec!["status", root], "1 message forgotten on request"),
        (vec!["verify", root], "the archive is sound"),
    ] {
        let said = mailstow.run(&args).expect(0).output();
        assert!(said.contains(words), "{args:?}: {said}");
    }
    mailstow.run(&["show", root, &id, "--raw"]).expect(2);
    let found = mailstow
        .run(&["find", root, "--subject", "quixotic"])
        .expect(0)
        .output();
    assert!(!found.contains(&id[..12]), "{found}");
    let to = mailstow.path().join("out");
    let args = [
        "export",
        root,
        "--format",
        "eml",
        "--to",
        to.to_str().unwrap(),
    ];
    let said = mailstow.run(&args).expect(0).output();
    assert!(
        said.contains("2 messages left out: forgotten on request"),
        "{said}"
    );
    let mails = files(&to).into_keys();
    assert_eq!(
        mails
            .filter(|p| p.extension().is_some_and(|e| e == "eml"))
            .count(),
        29
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/read_archive.py");
    let out = std::process::Command::new("python3")
        .arg(script)
        .args(["extract", root, "--to"])
        .arg(mailstow.path().join("script"))
        .output()
        .expect("python3 is missing: run scripts/setup.sh");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(contains(&out.stdout, b"29 messages, 0 lost"));
}

#[test]
fn a_message_that_comes_again_is_not_stored() {
    let mut nights = archive();
    let root = nights.root();
    forget(&root);
    let before = files(&root.join("mail"));
    let mut night = nights.begin();
    let trash = night.mailbox("Trash", Some(9));
    night.arrive(trash, imap(9, 4), 0, &[], secret());
    let committed = night.writer.commit().unwrap();
    assert_eq!(
        committed.forgotten.into_iter().collect::<Vec<_>>(),
        [(trash, 1)]
    );
    assert_eq!((committed.messages, committed.bytes), (0, 0));
    // Nor by any other way.
    let mut held = Vec::new();
    night
        .writer
        .catalog()
        .held(trash, 9, |h| held.push((h.uid, h.damaged)))
        .unwrap();
    assert_eq!(held, [(4, false)]);
    night.end(0);
    assert!(files(&root.join("mail")) == before);
    assert_erased(&root);
}
