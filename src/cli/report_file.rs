//! Reports that are kept in a file.

use std::fs;
use std::io;
use std::path::Path;

use mailstow::durable;

use super::failure::{CommandError, exit};
use super::unattended::warn;

/// Replaces a regular file as a whole, or makes one; mode 0600, durable. Gives the exit code of
/// the run: what it did counts for more than a report that cannot be written, but that is told.
pub(super) fn write(file: &Path, report: &str, code: u8) -> u8 {
    let written = place(file).and_then(|(folder, name)| {
        let report = format!("{}\n", report.trim_end());
        durable::replace(folder, name, report.as_bytes())
    });
    let Err(error) = written else {
        return code;
    };
    warn(&format!(
        "cannot write the report to `{}`: {error}",
        file.display()
    ));
    if code == 0 { exit::CONFIGURATION } else { code }
}

/// Whether there is a place for it, before there is anything to write.
///
/// # Errors
/// Configuration.
pub(super) fn can_be_written(file: &Path) -> Result<(), CommandError> {
    let folder = place(file).and_then(|(folder, _)| fs::metadata(folder));
    let reason = match folder {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => "it would not lie in a folder".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(CommandError::configuration(format!(
        "cannot write the report to `{}`: {reason}",
        file.display()
    ))
    .hint("nothing was done; --report names a file in a folder that is there"))
}

/// The folder and the name of a file that may be replaced.
fn place(file: &Path) -> io::Result<(&Path, &str)> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    // A rename would put a file in the place of /dev/null, or of /dev/stdout, which is a link.
    match fs::symlink_metadata(file) {
        Ok(meta) if !meta.is_file() => {
            return Err(invalid("something else than a file has that name"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| invalid("it is no name for a file"))?;
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    Ok((folder, name))
}
