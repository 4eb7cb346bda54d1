//! Exports are complete, byte for byte, and readable by programs nobody here wrote.
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

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailstow::event::Silent;
use mailstow::export::{ExportError, ExportReport, ExportRequest, export};
use mailstow::model::ContentId;
use mailstow::store::Reader;
use mailstow::target::Format;
use support::fixture::{self, Fixture, MAILBOXES};

fn run(root: &Path, format: Format, to: &Path) -> Result<ExportReport, ExportError> {
    let request = ExportRequest {
        format,
        to: to.to_owned(),
        choose: &|_, _| true,
        gone_too: false,
        as_of: None,
    };
    export(&Reader::open(root, None).unwrap(), &request, &Silent)
}

fn done(fixture: &Fixture, format: Format) -> (PathBuf, ExportReport) {
    let to = fixture.dir.path().join("export");
    let report = run(&fixture.root, format, &to).unwrap();
    (to, report)
}

/// The lines of index.jsonl.
fn index(to: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(to.join("index.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Content by mailbox name and UID, as it was put in.
fn originals(fixture: &Fixture) -> BTreeMap<(String, u64), &fixture::Mail> {
    fixture
        .mails
        .iter()
        .map(|m| ((MAILBOXES[m.mailbox].0.to_owned(), u64::from(m.uid)), m))
        .collect()
}

fn key(line: &serde_json::Value) -> (String, u64) {
    (
        line["mailbox"].as_str().unwrap().to_owned(),
        line["remote"]["u"].as_u64().unwrap(),
    )
}

/// Whoever exports must find the same bytes the server sent, under the right name and date.
fn compare_files(fixture: &Fixture, to: &Path) {
    let originals = originals(fixture);
    let index = index(to);
    assert_eq!(index.len(), originals.len());
    let mut files = BTreeSet::new();
    for line in &index {
        let mail = originals[&key(line)];
        let path = to.join(line["file"].as_str().unwrap());
        assert!(files.insert(path.clone()), "{path:?} twice");
        assert_eq!(std::fs::read(&path).unwrap(), mail.bytes, "{path:?}");
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        if let Some(date) = mail.date {
            let at = meta.modified().unwrap();
            let unix = match at.duration_since(std::time::UNIX_EPOCH) {
                Ok(since) => since.as_secs() as i64,
                Err(before) => -(before.duration().as_secs() as i64),
            };
            assert_eq!(unix, date.unix, "{path:?}");
        }
        assert_eq!(line["id"], mail.id().to_string());
        let flags: BTreeSet<&str> = line["flags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f.as_str().unwrap())
            .collect();
        assert_eq!(flags, mail.flags.iter().copied().collect());
        assert_eq!(
            line["date"].as_str().map(str::to_owned),
            mail.date.map(|d| d.to_string())
        );
    }
}

#[test]
fn eml_files_are_the_bytes_that_were_sent() {
    let fixture = fixture::build();
    let before = fixture::snapshot(&fixture.root);
    let (to, report) = done(&fixture, Format::Eml);
    assert!(report.is_complete());
    assert_eq!(
        (report.messages, report.mailboxes),
        (fixture.mails.len() as u64, MAILBOXES.len() as u64)
    );
    compare_files(&fixture, &to);
    assert_eq!(
        fixture::snapshot(&fixture.root),
        before,
        "an export changes nothing in the archive"
    );
}

#[test]
fn a_maildir_has_flags_keywords_sizes_and_folders() {
    let fixture = fixture::build();
    let (to, report) = done(&fixture, Format::Maildir);
    assert!(report.is_complete());
    compare_files(&fixture, &to);
    let originals = originals(&fixture);
    for line in index(&to) {
        let mail = originals[&key(&line)];
        let file = line["file"].as_str().unwrap();
        let (folder, name) = file
            .rsplit_once("/cur/")
            .unwrap_or(("", file.strip_prefix("cur/").unwrap_or("?")));
        let (_, letters) = name.split_once(":2,").unwrap();
        for (flag, letter) in [
            ("\\Seen", 'S'),
            ("\\Answered", 'R'),
            ("\\Flagged", 'F'),
            ("\\Draft", 'D'),
            ("\\Deleted", 'T'),
            ("$Forwarded", 'P'),
        ] {
            assert_eq!(
                letters.contains(letter),
                mail.flags.contains(&flag),
                "{file}"
            );
        }
        let capitals: String = letters
            .chars()
            .take_while(char::is_ascii_uppercase)
            .collect();
        let mut sorted: Vec<char> = capitals.chars().collect();
        sorted.sort_unstable();
        assert_eq!(capitals, sorted.into_iter().collect::<String>());
        if mail.flags.contains(&"work") {
            let keywords =
                std::fs::read_to_string(to.join(folder).join("dovecot-keywords")).unwrap();
            let number: u32 = keywords
                .lines()
                .find_map(|l| l.strip_suffix(" work"))
                .unwrap()
                .parse()
                .unwrap();
            assert!(letters.contains(char::from_u32(u32::from(b'a') + number).unwrap()));
        }
        let bare = (0..mail.bytes.len())
            .filter(|&i| mail.bytes[i] == b'\n' && (i == 0 || mail.bytes[i - 1] != b'\r'))
            .count();
        assert!(
            name.contains(&format!(
                ",S={},W={}:2,",
                mail.bytes.len(),
                mail.bytes.len() + bare
            )),
            "{name}"
        );
    }
    for folder in [
        "",
        ".&BB8EQAQ+BDUEOgRCBEs-.2024",
        ".v1%2E0.100%25",
        ".CON",
        ".Foo",
        ".foo~2",
        ".a%09b &- c",
    ] {
        for part in ["cur", "new", "tmp"] {
            assert!(to.join(folder).join(part).is_dir(), "{folder}/{part}");
        }
    }
    let names = std::fs::read_to_string(to.join("mailstow-names.tsv")).unwrap();
    assert!(
        names.contains("v1.0/100%\t.v1%2E0.100%25\n")
            && names.contains("foo\t.foo~2\n")
            && names.contains("a\\tb & c\t"),
        "{names}"
    );
    assert_eq!(report.renamed.len(), 3);

    // Python's mailbox module, which nobody here wrote.
    let script = r"
import mailbox, sys
top = mailbox.Maildir(sys.argv[1], create=False)
for box in [top, *(top.get_folder(name) for name in top.list_folders())]:
    print(len(box))
";
    let counts: usize = python(script, &to)
        .lines()
        .map(|n| n.parse::<usize>().unwrap())
        .sum();
    assert_eq!(counts, fixture.mails.len());
}

fn python(script: &str, path: &Path) -> String {
    let out = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .expect("python3 is missing: run scripts/setup.sh");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn an_mbox_holds_every_message_of_its_mailbox_for_every_reader() {
    let fixture = fixture::build();
    let (to, report) = done(&fixture, Format::Mbox);
    assert!(report.is_complete());
    let script = "import mailbox, sys\nprint(len(mailbox.mbox(sys.argv[1], create=False)))\n";
    let mut per_file: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for line in index(&to) {
        per_file
            .entry(line["file"].as_str().unwrap().to_owned())
            .or_default()
            .push(line);
    }
    assert_eq!(per_file.len(), MAILBOXES.len());
    for (file, lines) in &per_file {
        let path = to.join(file);
        assert_eq!(
            python(script, &path).trim(),
            lines.len().to_string(),
            "{file}"
        );
        assert_eq!(
            second_opinion(&path, fixture.dir.path()),
            lines.len(),
            "{file}"
        );
    }
    // Where index.jsonl says a message begins, it does.
    let originals = originals(&fixture);
    for (file, lines) in &per_file {
        let text = std::fs::read(to.join(file)).unwrap();
        for line in lines {
            let at = line["at"].as_u64().unwrap() as usize;
            let mail = originals[&key(line)];
            let separator = mailstow::archive::mboxrd::separator(mail.date);
            assert!(
                text[at..].starts_with(separator.as_bytes()),
                "{file} at {at}"
            );
            let mut wire = Vec::new();
            let eol = mailstow::archive::mboxrd::LineEndScan::of(&mail.bytes);
            let mut decoder = mailstow::archive::mboxrd::Decoder::new(eol, mail.bytes.len() as u64);
            decoder.push(&text[at..], &mut wire);
            decoder.finish(&mut wire).unwrap();
            assert_eq!(wire, mail.bytes);
        }
    }
}

/// Counts with the `mbox-reader` crate, which never returns the last message.
fn second_opinion(path: &Path, scratch: &Path) -> usize {
    let copy = scratch.join("with-sentinel.mbox");
    let mut text = std::fs::read(path).unwrap();
    text.extend_from_slice(b"From sentinel@example.org Thu Jan  1 00:00:00 1970\n\nlast\n\n");
    std::fs::write(&copy, text).unwrap();
    mbox_reader::MboxFile::from_file(&copy)
        .unwrap()
        .iter()
        .count()
}

#[test]
fn one_mailbox_can_be_chosen_and_what_is_gone_left_out() {
    use mailstow::archive::format::{Departure, Record};
    let fixture = fixture::build();
    let mut writer = fixture::options().open(&fixture.root).unwrap();
    let boxes = fixture::mailboxes(&mut writer);
    let uids = fixture
        .mails
        .iter()
        .filter(|m| m.mailbox == 4)
        .map(|m| m.uid)
        .take(2)
        .collect();
    writer.record(Record::Gone(Departure {
        mailbox: boxes[4].id,
        uidvalidity: 7,
        uids,
    }));
    writer.commit().unwrap();
    writer.finish().unwrap();
    let all = fixture.mails.iter().filter(|m| m.mailbox == 4).count() as u64;
    for (gone_too, want) in [(false, all - 2), (true, all)] {
        let to = fixture.dir.path().join(format!("export-{gone_too}"));
        let request = ExportRequest {
            format: Format::Eml,
            to: to.clone(),
            choose: &|_, m| m.name == "Foo",
            gone_too,
            as_of: None,
        };
        let report = export(&fixture.reader(), &request, &Silent).unwrap();
        assert_eq!((report.messages, report.mailboxes), (want, 1));
        assert_eq!(
            index(&to).iter().filter(|l| l["gone"] == true).count() as u64,
            want + 2 - all
        );
    }
}

#[test]
fn what_is_there_is_never_written_over() {
    let fixture = fixture::build_of(fixture::mails().into_iter().take(3).collect(), 3);
    let to = fixture.dir.path().join("full");
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("thesis.txt"), "years of work").unwrap();
    for format in [Format::Mbox, Format::Maildir, Format::Eml] {
        match run(&fixture.root, format, &to) {
            Err(ExportError::Folder(error)) => {
                assert!(error.to_string().contains("thesis.txt"), "{error}")
            }
            other => panic!("{other:?}"),
        }
        let inside = fixture.root.join("mail/out");
        assert!(matches!(
            run(&fixture.root, format, &inside),
            Err(ExportError::Inside(_))
        ));
        assert!(!inside.exists());
    }
    assert_eq!(fixture::snapshot(&to).len(), 1);
    // An empty folder will do.
    let empty = fixture.dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    run(&fixture.root, Format::Eml, &empty).unwrap();
}

#[test]
fn lost_messages_are_named_and_the_others_come_out() {
    for format in [Format::Mbox, Format::Maildir, Format::Eml] {
        let fixture = fixture::build();
        let segment = fixture.segment(6);
        let len = std::fs::metadata(&segment).unwrap().len() as usize;
        fixture::flip(&segment, len / 2, 2);
        let reader = fixture.reader();
        let mut mail = reader.mail();
        let mut lost: BTreeSet<ContentId> = BTreeSet::new();
        let mut expected = 0;
        for mailbox in reader.catalog().mailboxes(None).unwrap() {
            for row in reader.catalog().placements(mailbox.id, false).unwrap() {
                match mail.read_to_vec(&row.content) {
                    Ok(_) => expected += 1,
                    Err(_) => drop(lost.replace(row.content.id)),
                }
            }
        }
        assert!(!lost.is_empty());
        let to = fixture.dir.path().join("export");
        let report = run(&fixture.root, format, &to).unwrap();
        assert!(!report.is_complete());
        assert_eq!(
            report
                .lost
                .iter()
                .map(|l| l.content)
                .collect::<BTreeSet<_>>(),
            lost
        );
        assert_eq!(report.messages, expected);
        assert_eq!(index(&to).len() as u64, expected);
        let originals = originals(&fixture);
        if format != Format::Mbox {
            for line in index(&to) {
                assert_eq!(
                    std::fs::read(to.join(line["file"].as_str().unwrap())).unwrap(),
                    originals[&key(&line)].bytes
                );
            }
        }
        // Nothing of a lost message was left behind.
        let files = fixture::snapshot(&to);
        assert!(files.keys().all(|f| !f.to_string_lossy().contains("/tmp/")));
        let mail_files = files
            .keys()
            .filter(|f| f.extension().is_some_and(|e| e == "eml"))
            .count() as u64;
        assert!(format != Format::Eml || mail_files == expected);
    }
}

#[test]
fn a_message_of_twenty_megabytes_goes_through() {
    let mut bytes = b"Subject: large\r\n\r\n".to_vec();
    let mut state = 1u32;
    while bytes.len() < 20 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend_from_slice(format!("{state:08x}").repeat(9).as_bytes());
        bytes.extend_from_slice(b"\r\nFrom here on\r\n");
    }
    let mut mails: Vec<_> = fixture::mails().into_iter().take(4).collect();
    mails.insert(
        2,
        fixture::Mail {
            mailbox: 0,
            uid: 900,
            bytes,
            flags: vec![],
            date: None,
        },
    );
    let fixture = fixture::build_of(mails, 3);
    for format in [Format::Eml, Format::Maildir, Format::Mbox] {
        let to = fixture.dir.path().join(format!("{format:?}"));
        let report = run(&fixture.root, format, &to).unwrap();
        assert_eq!((report.messages, report.is_complete()), (5, true));
        if format != Format::Mbox {
            compare_files(&fixture, &to);
        }
    }
}
