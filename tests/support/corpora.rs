//! Other people's mail, which is not part of the repository: `../shared/corpora`, or the folder named
//! by MAILSTOW_CORPORA.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive_state::files;

/// Where the corpora are; `None`, and a word about it, where they are absent.
pub fn corpora() -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let folder = std::env::var_os("MAILSTOW_CORPORA").map_or_else(usual, PathBuf::from);
    if !folder.is_dir() {
        println!(
            "skipped: no corpora at {} (MAILSTOW_CORPORA names them)",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

/// Message files of a corpus, by path below `to`. An unpacked folder serves as well.
pub fn unpacked(corpora: &Path, name: &str, to: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let archive = corpora.join(format!("{name}.tar.zst"));
    if archive.is_file() {
        let mut tar = Command::new("tar");
        let done = tar
            .args(["--zstd", "-xf"])
            .arg(&archive)
            .arg("-C")
            .arg(to)
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "cannot unpack {}: tar and zstd are needed, scripts/test.sh installs them",
            archive.display()
        );
        return files(to);
    }
    files(&corpora.join(name))
}
