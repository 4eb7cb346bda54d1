//! Creating, opening, replacing and removing files and folders.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use super::steps;

fn flags(extra: OFlags) -> i32 {
    // OFlags are the platform's c_int bits; they fit by definition.
    i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC | extra).bits()).unwrap_or(0)
}

fn regular(file: File, path: &Path) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` is not a regular file", path.display()),
        ))
    }
}

/// Creates a file that must not exist, mode 0600.
///
/// Durable only after the file and its folder are synced.
///
/// # Errors
/// `AlreadyExists` when anything has that name, a symbolic link included.
pub fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::empty()))
        .open(path)?;
    // The umask may have taken bits away from the owner.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    steps::named(path);
    steps::wrote(path, 0);
    steps::step("create");
    Ok(file)
}

/// Opens a regular file for reading, without following a link or waiting for a FIFO.
///
/// # Errors
/// Whatever `open` says, and `InvalidInput` for anything but a regular file.
pub fn open_read(path: &Path) -> io::Result<File> {
    regular(
        OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::NONBLOCK))
            .open(path)?,
        path,
    )
}

pub(super) fn open_write(path: &Path) -> io::Result<File> {
    regular(
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags(OFlags::NONBLOCK))
            .open(path)?,
        path,
    )
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As [`open_read`]; `InvalidData` when the file is larger.
pub fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_read(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{}` is larger than {limit} bytes", path.display()),
        ));
    }
    Ok(bytes)
}

/// Makes one folder, mode 0700, unless it is there; a link or a file in its place is refused.
///
/// # Errors
/// `NotADirectory` when something else has the name.
pub fn ensure_dir(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(false),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("`{}` is not a folder", path.display()),
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().mode(0o700).create(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
            steps::named(path);
            steps::step("mkdir");
            Ok(true)
        }
        Err(e) => Err(e),
    }
}

/// Makes the folders of a relative path below `root`. Folders that got a new name are added
/// to `unsynced`: the new names are durable once those are synced.
///
/// # Errors
/// `InvalidInput` when `relative` is not made of plain names; else as [`ensure_dir`].
pub fn ensure_dirs(
    root: &Path,
    relative: &Path,
    unsynced: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let mut path = root.to_owned();
    for component in relative.components() {
        let Component::Normal(name) = component else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{}` leaves its folder", relative.display()),
            ));
        };
        let parent = path.clone();
        path.push(name);
        if ensure_dir(&path)? {
            unsynced.insert(parent);
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
///
/// # Errors
/// A failed sync is final; do not retry. `EINVAL` (file systems that cannot sync folders) is tolerated.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
        other => other?,
    }
    steps::dir_synced(path);
    steps::step("sync folder");
    Ok(())
}

/// Replaces `dir/name` by new content through a temporary name; durable on return.
///
/// # Errors
/// Any failed step; the old content is then still in place.
pub fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.new"));
    remove_file(&temporary)?;
    let mut file = create_new(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    let target = dir.join(name);
    steps::synced(&temporary, 0);
    steps::step("write replacement");
    #[expect(clippy::disallowed_methods, reason = "this is durable.rs")]
    fs::rename(&temporary, &target)?;
    steps::renamed(&temporary, &target);
    steps::step("rename");
    sync_dir(dir)
}

/// Syncs a complete file, renames it, and syncs the folder: durable on return.
///
/// # Errors
/// Any failed step; the old name or the new one then stands for the whole file.
pub fn rename_synced(from: &Path, to: &Path) -> io::Result<()> {
    open_write(from)?.sync_all()?;
    steps::synced(from, 0);
    steps::step("sync before rename");
    #[expect(clippy::disallowed_methods, reason = "this is durable.rs")]
    fs::rename(from, to)?;
    steps::renamed(from, to);
    steps::step("rename");
    match to.parent() {
        Some(folder) => sync_dir(folder),
        None => Ok(()),
    }
}

/// Makes one file durable.
///
/// # Errors
/// A failed sync is final.
pub fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    steps::synced(path, 0);
    steps::step("sync file");
    Ok(())
}

/// Renames a file of ours to a name nothing has. Durable only after a sync of the folder, or
/// of the file system.
///
/// # Errors
/// `AlreadyExists` when something has the name.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    #[expect(clippy::disallowed_methods, reason = "this is durable.rs")]
    fs::rename(from, to)?;
    steps::renamed(from, to);
    steps::step("rename");
    Ok(())
}

/// Removes a file if it is there. Durable only after its folder is synced.
///
/// # Errors
/// Anything but `NotFound`.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {
            steps::forgotten(path);
            steps::step("remove");
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Cuts a file to `len` bytes and syncs it.
///
/// # Errors
/// Whatever the system says.
pub fn set_len(path: &Path, len: u64) -> io::Result<()> {
    let file = open_write(path)?;
    file.set_len(len)?;
    steps::step("truncate");
    file.sync_all()?;
    steps::step("sync truncated");
    Ok(())
}

/// Cuts a file to `len` bytes, durably. One that has other names is left to them, and gives way to
/// a copy: a snapshot of hard links names all of what it had. `temporary` lies on the same file
/// system.
///
/// # Errors
/// Any failed step; the file is then whole, or cut.
pub fn cut_apart(path: &Path, len: u64, temporary: &Path) -> io::Result<()> {
    if fs::metadata(path)?.nlink() == 1 {
        return set_len(path, len);
    }
    remove_file(temporary)?;
    let mut copy = create_new(temporary)?;
    io::copy(&mut open_read(path)?.take(len), &mut copy)?;
    sync_file(&copy, temporary)?;
    #[expect(clippy::disallowed_methods, reason = "this is durable.rs")]
    fs::rename(temporary, path)?;
    // After a power cut the old file or the new one has the name, never none. The old one is what
    // a death at the step before leaves, so here it is the new one.
    steps::forgotten(temporary);
    steps::step("rename over");
    match path.parent() {
        Some(folder) => sync_dir(folder),
        None => Ok(()),
    }
}

/// The file system an archive lies on, for one sync over many files.
#[derive(Debug)]
pub struct FileSystem {
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "syncfs is Linux only")
    )]
    root: File,
    syncfs: bool,
}

impl FileSystem {
    /// Opens the folder. Must happen before the first write: `syncfs` reports only errors
    /// that occur after its descriptor was opened (Linux 5.8).
    ///
    /// # Errors
    /// Whatever `open` says.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = File::open(root)?;
        let syncfs = can_syncfs(&root);
        Ok(Self { root, syncfs })
    }

    /// Whether one sync over all files is to be had: Linux, and not FUSE, whose `syncfs`
    /// does not reach the server behind it.
    #[must_use]
    pub const fn has_syncfs(&self) -> bool {
        self.syncfs
    }

    /// Makes everything written to the file system durable.
    ///
    /// # Errors
    /// A failed sync is final.
    pub fn sync(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.root)?;
        steps::everything_synced();
        steps::step("syncfs");
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn can_syncfs(root: &File) -> bool {
    const FUSE_SUPER_MAGIC: u64 = 0x6573_5546;
    rustix::fs::fstatfs(root)
        .is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|t| t != FUSE_SUPER_MAGIC))
}

#[cfg(not(target_os = "linux"))]
fn can_syncfs(_root: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_fifos_are_not_followed_and_modes_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        create_new(&target).unwrap();
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(create_new(&link).is_err());
        assert!(open_read(&link).is_err());
        assert!(open_write(&link).is_err());
        let elsewhere = dir.path().join("dirlink");
        std::os::unix::fs::symlink(dir.path(), &elsewhere).unwrap();
        assert!(ensure_dir(&elsewhere).is_err());
        assert!(ensure_dirs(dir.path(), Path::new("../x"), &mut BTreeSet::new()).is_err());
        let mut unsynced = BTreeSet::new();
        ensure_dirs(dir.path(), Path::new("a/b"), &mut unsynced).unwrap();
        assert_eq!(unsynced.len(), 2);
        assert_eq!(
            fs::metadata(dir.path().join("a/b"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
    }

    #[test]
    fn replace_swaps_the_whole_content() {
        let dir = tempfile::tempdir().unwrap();
        replace(dir.path(), "x", b"one").unwrap();
        replace(dir.path(), "x", b"two").unwrap();
        assert_eq!(read_small(&dir.path().join("x"), 10).unwrap(), b"two");
        assert!(read_small(&dir.path().join("x"), 2).is_err());
    }
}
