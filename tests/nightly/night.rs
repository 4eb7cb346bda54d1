//! A runner whose backups leave a report in a file.

use std::path::{Path, PathBuf};

use crate::support::fake_imap::{Delivery, World};
use crate::support::mailstow::{Ended, Mailstow};

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Three messages, the second of which never comes.
pub(crate) fn with_a_dead_message() -> World {
    let mut world = World::inbox(3);
    world.message(2).delivery = Delivery::Nil;
    world
}

/// A runner with a report file to be written.
pub(crate) struct Night {
    pub(crate) mailstow: Mailstow,
    pub(crate) archive: PathBuf,
    pub(crate) report: PathBuf,
}

impl Night {
    pub(crate) fn new() -> Self {
        Self::of(Mailstow::new())
    }

    pub(crate) fn of(mailstow: Mailstow) -> Self {
        let mailstow = mailstow.with("MAILSTOW_TEST_BACKOFF_MS", "5");
        let (archive, report) = (mailstow.archive(), mailstow.path().join("report.json"));
        Self {
            mailstow,
            archive,
            report,
        }
    }

    #[track_caller]
    pub(crate) fn backup(&self, sources: &[&str], exit: i32, more: &[&str]) -> Ended {
        let mut args = vec!["backup", "--to", text(&self.archive)];
        args.extend(["--report", text(&self.report)]);
        args.extend(sources);
        args.extend(more);
        let ended = self.mailstow.run(&args);
        ended.expect(exit);
        ended
    }
}
