//! The archive's folder: making one, recognising one, refusing what is none.

use std::io;
use std::path::{Path, PathBuf};

use super::format::{FORMAT, Manifest};
use crate::clock::Clock;
use crate::durable;

const MANIFEST: &str = "archive.toml";
const MANIFEST_MAX: u64 = 64 << 10;
/// What a creation that was cut short leaves behind.
const SKELETON: [&str; 7] = [
    "README.txt",
    ".README.txt.new",
    ".archive.toml.new",
    "lock",
    "journal",
    "mail",
    "tmp",
];
const README: &str = include_str!("README.txt");

/// Why a folder cannot be used as an archive.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// There is nothing at this path.
    #[error("there is no archive at `{}`", .0.display())]
    Missing(PathBuf),
    /// The folder holds something else.
    #[error("`{}` is not a mailstow archive, and it is not empty (it holds `{found}`)", path.display())]
    NotAnArchive {
        /// The folder.
        path: PathBuf,
        /// Something found in it.
        found: String,
    },
    /// A newer program wrote it.
    #[error("the archive has format {found}; this mailstow reads format {FORMAT}")]
    Newer {
        /// Its format number.
        found: u32,
    },
    /// Another layout than this program knows.
    #[error("the archive has the layout `{0}`, which this mailstow does not know")]
    UnknownLayout(String),
    /// `archive.toml` cannot be understood.
    #[error("`{}` cannot be understood: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system failed.
    #[error("cannot use `{}` as an archive", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A folder that is an archive of a format this program knows.
#[derive(Debug, Clone)]
pub struct ArchiveDir {
    root: PathBuf,
    manifest: Manifest,
}

impl ArchiveDir {
    /// Opens an existing archive for reading or writing.
    ///
    /// # Errors
    /// It is missing, something else, or newer than this program.
    pub fn open(root: &Path) -> Result<Self, DirError> {
        let path = root.join(MANIFEST);
        let bytes = match durable::read_small(&path, MANIFEST_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(match foreign(root) {
                    Ok(Some(found)) => DirError::NotAnArchive {
                        path: root.to_owned(),
                        found,
                    },
                    _ => DirError::Missing(root.to_owned()),
                });
            }
            Err(source) => return Err(DirError::Io { path, source }),
        };
        let bad = |reason: String| DirError::Manifest {
            path: path.clone(),
            reason,
        };
        let text = String::from_utf8(bytes).map_err(|e| bad(e.to_string()))?;
        // The format number first: a newer manifest may hold anything else.
        let value: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
        let format = value
            .get("format")
            .and_then(toml::Value::as_integer)
            .and_then(|n| u32::try_from(n).ok());
        match format {
            Some(found) if found > FORMAT => return Err(DirError::Newer { found }),
            Some(_) => {}
            None => return Err(bad("it names no format".to_owned())),
        }
        let manifest: Manifest = toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?;
        if manifest.layout != "mbox" {
            return Err(DirError::UnknownLayout(manifest.layout));
        }
        Ok(Self {
            root: root.to_owned(),
            manifest,
        })
    }

    /// Whether a writer may create an archive here: nothing at the path, an empty folder, or
    /// an unfinished creation.
    ///
    /// # Errors
    /// [`DirError::NotAnArchive`] names something that stands in the way.
    pub fn may_create(root: &Path) -> Result<(), DirError> {
        match foreign(root) {
            Ok(None) => Ok(()),
            Ok(Some(found)) => Err(DirError::NotAnArchive {
                path: root.to_owned(),
                found,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(DirError::Io {
                path: root.to_owned(),
                source,
            }),
        }
    }

    /// Makes the archive's own folder if it is missing, so that its lock can be taken.
    ///
    /// # Errors
    /// The parent does not exist, or the path is no folder.
    pub fn make_root(root: &Path) -> Result<(), DirError> {
        let io = |source| DirError::Io {
            path: root.to_owned(),
            source,
        };
        // The archive itself may be reached through a link of the user's; nothing inside it may.
        if !root.is_dir() {
            durable::ensure_dir(root).map_err(io)?;
        }
        // Also when it was there: whoever made it may not have lived to sync its name.
        let parent = root
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        durable::sync_dir(parent).map_err(io)
    }

    /// Creates the archive, or finishes a creation; the caller holds its lock.
    ///
    /// # Errors
    /// As [`may_create`](Self::may_create).
    pub fn create(root: &Path, clock: &Clock) -> Result<Self, DirError> {
        Self::may_create(root)?;
        let io = |source| DirError::Io {
            path: root.to_owned(),
            source,
        };
        for folder in ["journal", "mail", "tmp"] {
            durable::ensure_dir(&root.join(folder)).map_err(io)?;
        }
        durable::replace(root, "README.txt", README.as_bytes()).map_err(io)?;
        let manifest = Manifest {
            format: FORMAT,
            layout: "mbox".to_owned(),
            id: clock.fresh_id(),
            created: clock.now(),
        };
        let text = toml::to_string(&manifest).map_err(|e| io(io::Error::other(e)))?;
        // Last, and by rename: with this name the archive exists.
        durable::replace(root, MANIFEST, text.as_bytes()).map_err(io)?;
        Ok(Self {
            root: root.to_owned(),
            manifest,
        })
    }

    /// The archive's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The archive's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// `archive.toml`.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the journal lies.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Where the mail lies.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.root.join("mail")
    }

    /// Where what does not matter lies.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The lock of an archive at `root`.
    #[must_use]
    pub fn lock_path(root: &Path) -> PathBuf {
        root.join("lock")
    }
}

/// Something in a folder that no unfinished creation of ours left there.
fn foreign(root: &Path) -> io::Result<Option<String>> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let empty_folder =
            || std::fs::read_dir(entry.path()).is_ok_and(|mut entries| entries.next().is_none());
        let ours = SKELETON.contains(&name.as_ref())
            && match name.as_ref() {
                "journal" | "mail" | "tmp" => empty_folder(),
                _ => entry.file_type()?.is_file(),
            };
        if !ours {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_creation_is_finished_and_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("archive");
        assert!(matches!(ArchiveDir::open(&root), Err(DirError::Missing(_))));
        ArchiveDir::make_root(&root).unwrap();
        durable::ensure_dir(&root.join("journal")).unwrap();
        let made = ArchiveDir::create(&root, &Clock::Fixed(0)).unwrap();
        assert_eq!(ArchiveDir::open(&root).unwrap().id(), made.id());

        let full = dir.path().join("photos");
        durable::ensure_dir(&full).unwrap();
        durable::create_new(&full.join("cat.jpg")).unwrap();
        assert!(
            matches!(ArchiveDir::create(&full, &Clock::Fixed(0)), Err(DirError::NotAnArchive { found, .. }) if found == "cat.jpg")
        );
        assert!(matches!(
            ArchiveDir::open(&full),
            Err(DirError::NotAnArchive { .. })
        ));
    }

    #[test]
    fn newer_formats_and_other_layouts_are_told_apart_from_nonsense() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for (text, want) in [
            ("format = 2\nwhatever = [1]\n", "newer"),
            (
                "format = 1\nlayout = \"zip\"\nid = \"a\"\ncreated = \"x\"\n",
                "layout",
            ),
            ("format = 1\n", "manifest"),
            ("what", "manifest"),
        ] {
            durable::replace(root, MANIFEST, text.as_bytes()).unwrap();
            let got = match ArchiveDir::open(root).unwrap_err() {
                DirError::Newer { found: 2 } => "newer",
                DirError::UnknownLayout(_) => "layout",
                DirError::Manifest { .. } => "manifest",
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{text}");
        }
    }
}
