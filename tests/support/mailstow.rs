//! The real program in a hermetic environment, and the numbers it reports.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

// What most tests ask of an archive stands beside the runner that made it.
pub use super::archive_state::{
    ArchiveState, archive_state, assert_adds_a_run_record_only, assert_sound, commits, files, jobs,
};
use super::dovecot::PASSWORD;

/// Runs the program with a home and a temporary folder of its own and nothing else of the
/// environment but PATH.
pub struct Mailstow {
    dir: TempDir,
    env: BTreeMap<String, String>,
}

/// How one invocation ended.
#[derive(Debug)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    /// `None` when a signal ended it.
    pub exit: Option<i32>,
    pub signal: Option<i32>,
}

impl Mailstow {
    /// With the password of the test users.
    pub fn new() -> Self {
        Self::bare().with("MAILSTOW_PASSWORD", PASSWORD)
    }

    /// Without any password.
    pub fn bare() -> Self {
        let dir = TempDir::with_prefix("ms-run-").unwrap();
        for folder in ["home", "tmp"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let env = BTreeMap::new();
        Self { dir, env }
    }

    /// With one more variable in its environment.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.env.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The folder of this runner; archives of a test may lie in it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path for an archive, not made yet.
    pub fn archive(&self) -> PathBuf {
        self.path().join("archive")
    }

    /// Its temporary folder, to see what is left there.
    pub fn tmp(&self) -> PathBuf {
        self.path().join("tmp")
    }

    /// The program with these arguments, standard input empty, run in the runner's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailstow"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.tmp())
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .envs(&self.env)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&mut self.command(args))
    }

    /// `backup URL --to ARCHIVE` with further arguments.
    pub fn backup(&self, url: &str, archive: &Path, more: &[&str]) -> Ended {
        let mut args = vec!["backup", url, "--to", archive.to_str().unwrap()];
        args.extend(more);
        self.run(&args)
    }

    /// The same with `--json`, which must end with a report; panics with all output if the
    /// exit code is another than `exit`.
    pub fn report(&self, url: &str, archive: &Path, exit: i32, more: &[&str]) -> Value {
        let mut args = vec!["--json"];
        args.extend(more);
        let ended = self.backup(url, archive, &args);
        ended.expect(exit);
        ended.report()
    }

    /// `replay ARCHIVE --to URL` with further arguments. Nothing waits for longer than a moment,
    /// unless the runner's environment says so.
    pub fn replay(&self, archive: &Path, url: &str, more: &[&str]) -> Ended {
        let mut args = vec!["replay", archive.to_str().unwrap(), "--to", url];
        args.extend(more);
        let mut command = self.command(&args);
        for (key, value) in [
            ("MAILSTOW_TARGET_PASSWORD", PASSWORD),
            ("MAILSTOW_TEST_SETTLE_MS", "1"),
            ("MAILSTOW_TEST_BACKOFF_MS", "1"),
        ] {
            command.env(key, self.env.get(key).map_or(value, String::as_str));
        }
        Ended::of(&mut command)
    }

    /// The same with `--json`: the report, which must be the last line; panics with all output
    /// if the exit code is another than `exit`.
    #[track_caller]
    pub fn replay_report(&self, archive: &Path, url: &str, exit: i32, more: &[&str]) -> Value {
        let mut args = vec!["--json"];
        args.extend(more);
        let ended = self.replay(archive, url, &args);
        ended.expect(exit);
        ended.replayed()
    }

    /// Starts it with `--json`, to be watched by its events.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("start mailstow");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }
}

impl Ended {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("run mailstow");
        let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
        Self::from(output.status, text(output.stdout), text(output.stderr))
    }

    fn from(status: ExitStatus, stdout: String, stderr: String) -> Self {
        let (exit, signal) = (status.code(), status.signal());
        Self {
            stdout,
            stderr,
            exit,
            signal,
        }
    }

    /// Panics with all output unless it exited with this code.
    #[track_caller]
    pub fn expect(&self, exit: i32) -> &Self {
        let Self {
            stdout,
            stderr,
            signal,
            ..
        } = self;
        assert_eq!(
            self.exit,
            Some(exit),
            "exit code (signal {signal:?})\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }

    /// Everything it said.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Each line of `--json` output.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The report of a replay, which is the last line of `--json` output; panics if its numbers
    /// do not add up.
    #[track_caller]
    pub fn replayed(&self) -> Value {
        let last = self.json().pop();
        let last = last.unwrap_or_else(|| panic!("no JSON at all; stderr: {}", self.stderr));
        assert_eq!(last["event"], "replay", "the last line: {last}");
        for row in last["mailboxes"].as_array().unwrap() {
            let n = |key: &str| row[key].as_u64().unwrap();
            let sum: u64 = [
                "appended",
                "moved_in",
                "there",
                "removed",
                "collapsed",
                "refused",
                "doubtful",
                "lost",
                "excluded",
                "left",
            ]
            .map(n)
            .iter()
            .sum();
            assert_eq!(n("in_archive"), sum, "the numbers do not add up: {row:#}");
        }
        last
    }

    /// The report, which is the last line of `--json` output.
    pub fn report(&self) -> Value {
        let last = self.json().pop();
        let last = last.unwrap_or_else(|| panic!("no JSON at all; stderr: {}", self.stderr));
        assert_eq!(last["event"], "report", "the last line: {last}");
        last
    }
}

/// A started invocation.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Waits until it tells this event; `None` when it ended first.
    pub fn wait_for(&mut self, event: &str) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["event"] == event {
                return Some(value);
            }
        }
    }

    /// Sends it a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("run kill").success());
    }

    /// Waits for its end; `stdout` is what was not read before.
    pub fn finish(mut self) -> Ended {
        let mut stdout = String::new();
        let reader = std::thread::spawn({
            let mut stderr = self.child.stderr.take().unwrap();
            move || std::io::read_to_string(&mut stderr).unwrap()
        });
        std::io::Read::read_to_string(&mut self.lines, &mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        Ended::from(status, stdout, reader.join().unwrap())
    }
}

/// The numbers of one mailbox in a report, in the order of the arithmetic.
#[derive(Debug, PartialEq, Eq, Default, Clone, Copy)]
pub struct Numbers {
    pub exists: u64,
    pub stored: u64,
    pub linked: u64,
    pub held: u64,
    pub excluded: u64,
    pub left: u64,
    pub skipped: u64,
}

/// The numbers of a mailbox of a report, or of `total`; panics if they do not add up.
#[track_caller]
pub fn numbers(report: &Value, mailbox: &str) -> Numbers {
    let list = report["mailboxes"].as_array().expect("mailboxes");
    let found = list.iter().find(|m| m["name"] == mailbox);
    let value = match found {
        Some(value) => value,
        None if mailbox == "total" => &report["total"],
        None => panic!("no mailbox {mailbox:?} in {report:#}"),
    };
    let n = |key: &str| {
        value[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key} in {value}"))
    };
    let numbers = Numbers {
        exists: n("exists"),
        stored: n("stored"),
        linked: n("linked"),
        held: n("held"),
        excluded: n("excluded"),
        left: n("left"),
        skipped: n("skipped"),
    };
    let Numbers {
        exists,
        stored,
        linked,
        held,
        excluded,
        left,
        skipped,
    } = numbers;
    let sum = stored + linked + held + excluded + left + skipped;
    assert_eq!(
        exists, sum,
        "{mailbox}: the numbers do not add up: {report:#}"
    );
    numbers
}
