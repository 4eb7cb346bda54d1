//! Reads an archive through the library: mailboxes, how much they hold, and the newest subject.
//!
//! ```text
//! cargo run --example library -- ARCHIVE
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use mailstow::header;
use mailstow::store::Reader;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return fail("usage: library ARCHIVE");
    };
    match list(&path) {
        Ok(text) => say(&text),
        Err(error) => fail(&error.to_string()),
    }
}

fn list(path: &std::path::Path) -> Result<String, Box<dyn std::error::Error>> {
    // Reading needs no lock and writes nothing, so this is safe while a backup runs.
    let reader = Reader::open(path, None)?;
    let mut mail = reader.mail();
    let mut text = String::new();
    for mailbox in reader.catalog().mailboxes(None)? {
        let present = reader.catalog().placements(mailbox.id, false)?;
        let newest = match present.last() {
            // The bytes come back exactly as the server sent them, checked by their hash.
            Some(placement) => header::summary(&mail.read_to_vec(&placement.content)?).subject,
            None => "(empty)".to_owned(),
        };
        writeln!(text, "{:>8}  {}: {newest:?}", present.len(), mailbox.name)?;
    }
    Ok(text)
}

#[expect(clippy::print_stdout, reason = "a program's own output")]
fn say(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a program's own output")]
fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}
