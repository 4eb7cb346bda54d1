//! Reading leaves nothing behind, also where the last run was killed (A16).
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

use std::path::Path;

use mailstow::event::Silent;
use mailstow::export::{ExportRequest, export};
use mailstow::store::Reader;
use mailstow::target::Format;
use mailstow::verify::{VerifyOptions, verify};
use support::fixture;

/// Everything a reader does, and then the folder is as it was, but for `but`.
fn read_everything(root: &Path, scratch: &Path, but: &[&str]) {
    let files = || {
        let mut files = fixture::snapshot(root);
        files.retain(|path, _| !but.iter().any(|name| path.ends_with(name)));
        files
    };
    let before = files();
    let state = fixture::placed(root);
    assert_eq!(state.len(), fixture::mails().len());
    let reader = Reader::open(root, None).unwrap();
    let report = verify(&reader, &VerifyOptions::default(), &Silent).unwrap();
    assert_eq!(report.findings, []);
    let request = ExportRequest {
        format: Format::Eml,
        to: scratch.to_owned(),
        choose: &|_, _| true,
        gone_too: true,
        as_of: None,
    };
    assert!(export(&reader, &request, &Silent).unwrap().is_complete());
    drop(reader);
    assert_eq!(
        files().keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    assert!(files() == before, "a file was changed");
}

#[test]
fn after_a_clean_end() {
    let fixture = fixture::build();
    read_everything(&fixture.root, &fixture.dir.path().join("out"), &[]);
}

#[test]
fn after_a_kill() {
    let fixture = fixture::build_of(fixture::mails(), 7);
    // As a kill leaves it: `in use`, a catalog in WAL mode with its log beside it. Copied
    // while the writer is open, since dropping it would tidy up.
    let mut writer = fixture::options().open(&fixture.root).unwrap();
    let boxes = fixture::mailboxes(&mut writer);
    let again = fixture.mails[0].clone();
    writer
        .arrive(fixture::arrived(&boxes[again.mailbox], &again))
        .unwrap();
    writer.commit().unwrap();
    let killed = fixture.copy("killed");
    assert!(killed.join("catalog.sqlite-wal").exists());
    // SQLite keeps its index of the log in -shm and may bring it up to date; on a medium that
    // can't be written it does not, and the reader makes a private catalog.
    read_everything(
        &killed,
        &fixture.dir.path().join("out"),
        &["catalog.sqlite-shm"],
    );

    // The same restored by a tool that left the sidecars out.
    for sidecar in ["-wal", "-shm"] {
        std::fs::remove_file(killed.join(format!("catalog.sqlite{sidecar}"))).unwrap();
    }
    read_everything(
        &killed,
        &fixture.dir.path().join("out2"),
        &["catalog.sqlite-shm", "catalog.sqlite-wal"],
    );
    drop(writer);
}
