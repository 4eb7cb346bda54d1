//! A small disk of one's own: a tmpfs, which takes root to mount.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A mounted tmpfs, unmounted on drop.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// A disk of this size, such as `2m`; `None`, with a printed note, where one may not mount.
    pub fn mount(size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may mount a small disk to fill");
            return None;
        }
        let dir = TempDir::with_prefix("ms-disk-").unwrap();
        let options = format!("size={size},mode=700");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], dir.path());
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr);
            println!("skipped: root may not mount here (a container without the right): {why}");
            return None;
        }
        Some(Self { dir })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn archive(&self) -> PathBuf {
        self.path().join("archive")
    }

    /// With other options, such as `size=64m` or `ro`.
    pub fn remount(&self, options: &str) {
        let done = mount(&["-o", &format!("remount,{options}")], self.path());
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

fn mount(args: &[&str], at: &Path) -> Output {
    Command::new("mount")
        .args(args)
        .arg(at)
        .output()
        .expect("run mount")
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.path()).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.path().display());
        }
    }
}
