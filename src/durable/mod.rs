//! The only place that creates, writes, syncs, renames, removes and locks files.
//!
//! Everything the archive promises about a power cut rests on the few functions here.
//! Every one of them is a *step*: with the feature `testing` and `MAILSTOW_CRASH_AT=n` the
//! process dies at the n-th, half-way through a write or right behind it, so that a test
//! can die at every step there is (`tests/crash_steps.rs`).
//!
//! Rules kept here and relied upon elsewhere:
//! * Folders are made 0700 and files 0600 whatever the umask; nothing we create or open
//!   follows a symbolic link, and nothing but a regular file is opened.
//! * A failed sync is final. After one the kernel has marked the pages clean, so a second
//!   sync that returns 0 proves nothing ("Can Applications Recover from fsync Failures?",
//!   ATC 2020). Nobody retries.

mod append;
mod files;
mod lock;
mod steps;

pub use append::AppendFile;
pub use files::{
    FileSystem, create_new, cut_apart, ensure_dir, ensure_dirs, open_read, read_small, remove_file,
    rename_new, rename_synced, replace, set_len, sync_dir, sync_file,
};
pub use lock::{Lock, LockError};
pub use steps::step;
