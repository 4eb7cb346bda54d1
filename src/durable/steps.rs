//! Crash steps: dying on purpose at the n-th durable step (feature `testing`).
//!
//! `MAILSTOW_CRASH_AT=n` names the step, `MAILSTOW_CRASH_STEPS=FILE` has the number of
//! steps of a whole run written on a clean end. With `MAILSTOW_CRASH_MODE=power` the death
//! also takes away what no sync has made durable: bytes behind the last synced length of a
//! file, and names in folders that were not synced, as an unlucky power cut would.

#[cfg(not(feature = "testing"))]
mod imp {
    use std::path::Path;

    /// A durable step; nothing happens without the feature `testing`.
    #[inline]
    pub fn step(_what: &str) {}
    #[inline]
    pub(in crate::durable) fn named(_path: &Path) {}
    #[inline]
    pub(in crate::durable) fn renamed(_from: &Path, _to: &Path) {}
    #[inline]
    pub(in crate::durable) fn wrote(_path: &Path, _synced: u64) {}
    #[inline]
    pub(in crate::durable) fn synced(_path: &Path, _len: u64) {}
    #[inline]
    pub(in crate::durable) fn dir_synced(_path: &Path) {}
    #[inline]
    pub(in crate::durable) fn everything_synced() {}
    #[inline]
    pub(in crate::durable) fn forgotten(_path: &Path) {}
}

#[cfg(feature = "testing")]
mod imp {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    static COUNT: AtomicU64 = AtomicU64::new(0);
    static VOLATILE: Mutex<Volatile> = Mutex::new(Volatile {
        lengths: BTreeMap::new(),
        names: BTreeMap::new(),
    });

    /// What a power cut would take away.
    struct Volatile {
        /// Files written behind their synced length.
        lengths: BTreeMap<PathBuf, u64>,
        /// Names whose folder was not synced; for a rename the name it had before.
        names: BTreeMap<PathBuf, Option<PathBuf>>,
    }

    fn with<R>(change: impl FnOnce(&mut Volatile) -> R) -> R {
        let mut guard = VOLATILE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut guard)
    }

    /// A durable step: counts, and dies here when it is the one named by the environment.
    pub fn step(what: &str) {
        let n = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
        let wanted = std::env::var("MAILSTOW_CRASH_AT")
            .ok()
            .and_then(|v| v.parse::<u64>().ok());
        if let Ok(file) = std::env::var("MAILSTOW_CRASH_STEPS") {
            #[expect(
                clippy::disallowed_methods,
                reason = "the test's own bookkeeping, not the archive's"
            )]
            fs::write(file, format!("{n} {what}\n")).unwrap_or_default();
        }
        if wanted == Some(n) {
            if std::env::var("MAILSTOW_CRASH_MODE").as_deref() == Ok("power") {
                with(lose_power);
            }
            // SIGKILL to ourselves: no destructor, no flush, no exit handler.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap_or_default();
            loop {
                std::thread::park();
            }
        }
    }

    fn lose_power(volatile: &mut Volatile) {
        for (path, synced) in &volatile.lengths {
            if let Ok(file) = fs::OpenOptions::new().write(true).open(path) {
                file.set_len(*synced).unwrap_or_default();
            }
        }
        for (path, before) in &volatile.names {
            match before {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "undoes a rename no sync made durable"
                )]
                Some(old) => fs::rename(path, old).unwrap_or_default(),
                None if path.is_dir() => fs::remove_dir_all(path).unwrap_or_default(),
                None => fs::remove_file(path).unwrap_or_default(),
            }
        }
    }

    pub(in crate::durable) fn named(path: &Path) {
        with(|v| v.names.insert(path.to_owned(), None));
    }
    pub(in crate::durable) fn renamed(from: &Path, to: &Path) {
        with(|v| {
            v.names.remove(from);
            v.lengths.remove(from);
            v.names.insert(to.to_owned(), Some(from.to_owned()));
        });
    }
    pub(in crate::durable) fn wrote(path: &Path, synced: u64) {
        with(|v| {
            v.lengths.entry(path.to_owned()).or_insert(synced);
        });
    }
    pub(in crate::durable) fn synced(path: &Path, _len: u64) {
        with(|v| v.lengths.remove(path));
    }
    pub(in crate::durable) fn dir_synced(path: &Path) {
        with(|v| v.names.retain(|name, _| name.parent() != Some(path)));
    }
    pub(in crate::durable) fn everything_synced() {
        with(|v| {
            v.lengths.clear();
            v.names.clear();
        });
    }
    pub(in crate::durable) fn forgotten(path: &Path) {
        with(|v| {
            v.names.remove(path);
            v.lengths.remove(path);
        });
    }
}

pub use imp::step;
pub(super) use imp::{dir_synced, everything_synced, forgotten, named, renamed, synced, wrote};
