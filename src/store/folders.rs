//! The folders below `mail/`.

use std::io;
use std::path::Path;

use super::StoreError;
use crate::archive::format::SEGMENT_SUFFIX;
use crate::durable;

/// Makes what a killed run left behind durable, names included: a folder it made and did not
/// live to sync would otherwise vanish in a power cut, with all that is committed into it since.
pub(super) fn settle_names(mail: &Path) -> Result<(), StoreError> {
    let mut folders = vec![mail.to_owned()];
    while let Some(folder) = folders.pop() {
        let io = |source| StoreError::Io {
            path: folder.clone(),
            source,
        };
        durable::sync_dir(&folder).map_err(io)?;
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_type().map_err(io)?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// All segment files below `mail/`, as paths relative to it, sorted.
pub(crate) fn files_below(mail: &Path) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![mail.to_owned()];
    while let Some(folder) = folders.pop() {
        let io = |source| StoreError::Io {
            path: folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound && folder == mail => return Ok(found),
            Err(e) => return Err(io(e)),
        };
        for entry in entries {
            let entry = entry.map_err(io)?;
            let kind = entry.file_type().map_err(io)?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Some(relative) = path.strip_prefix(mail).ok().and_then(Path::to_str)
                && relative.ends_with(SEGMENT_SUFFIX)
            {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
