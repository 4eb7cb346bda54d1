//! The files of examples/nightly/, with the places in them replaced and their commands run: a
//! command line that has gone stale, or a copy that lacks something, is found here. In the place
//! of restic, age and rclone stand small stubs, since what matters is what they are asked for.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use support::archive_state::archive_state;
use support::dovecot::PASSWORD;
use support::fake_imap::{FakeImap, World};
use support::mailstow::{Ended, Mailstow, assert_sound};

/// The source that stands in the examples.
const EXAMPLE: &str = "imaps://you@example.com@imap.example.com";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/nightly")
        .join(name)
}

/// A folder with programs, before all others in PATH, and the program itself among them.
struct Machine {
    mailstow: Mailstow,
    programs: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let mailstow = Mailstow::bare();
        let programs = mailstow.path().join("bin");
        fs::create_dir(&programs).unwrap();
        let program = env!("CARGO_BIN_EXE_mailstow");
        std::os::unix::fs::symlink(program, programs.join("mailstow")).unwrap();
        Self { mailstow, programs }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mailstow.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.programs.join(name);
        fs::write(&file, format!("#!/bin/sh\nset -eu\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A shell with its environment as hermetic as the program's.
    fn shell(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        command
            .env_clear()
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.mailstow.tmp())
            .env("USER", "you")
            .current_dir(self.mailstow.path())
            .args(["-c", line]);
        command
    }

    fn offsite(&self, archive: &Path) -> Command {
        let line = format!(
            "'{}' '{}'",
            example("offsite.sh").display(),
            archive.display()
        );
        let mut command = self.shell(&line);
        command.env("STATE_DIRECTORY", self.path("state"));
        command
    }

    fn backed_up(&self, fake: &FakeImap) -> PathBuf {
        let archive = self.mailstow.archive();
        let more = ["--password-command", "echo x"];
        self.mailstow.backup(&fake.url(), &archive, &more).expect(0);
        archive
    }
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_service_runs_what_it_says() {
    let fake = FakeImap::start(World::inbox(2));
    let machine = Machine::new();
    let unit = fs::read_to_string(example("mailstow.service")).unwrap();
    let unit = unit.replace("\\\n", " ");
    let value = |key: &str| {
        let line = unit
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key}")).to_owned()
    };
    // The credential has the name by which the password command looks for it.
    let credential = value("LoadCredential");
    let (name, _) = credential.split_once(':').unwrap();
    let credentials = machine.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join(name), format!("{PASSWORD}\n")).unwrap();
    // It may write where it does write.
    let folder = value("ReadWritePaths");
    let line = value("ExecStart");
    assert_eq!(line.matches(&format!("{folder}/")).count(), 2, "{line}");
    let line = line
        .replace("$$", "$")
        .replace(&folder, machine.mailstow.path().to_str().unwrap())
        .replace("/usr/local/bin/mailstow", "mailstow")
        .replace(EXAMPLE, &fake.url().replace("alice", name));
    let mut run = machine.shell(&line);
    Ended::of(run.env("CREDENTIALS_DIRECTORY", &credentials)).expect(0);
    let report = report(&machine.path("report.json"));
    assert_eq!(
        (&report["account"], &report["total"]["stored"]),
        (&name.into(), &2.into())
    );
}

#[test]
fn the_lines_for_cron_back_up_and_warn() {
    let fake = FakeImap::start(World::inbox(2));
    let machine = Machine::new();
    machine.program("mail", r#"printf '%s\n' "$@" >mail.txt; cat >>mail.txt"#);
    let settings = machine.path("home/.config/mailstow");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("you@example.com"), PASSWORD).unwrap();
    fs::write(settings.join("nightly.env"), "MAILSTOW_PING=\n").unwrap();
    let tab = fs::read_to_string(example("crontab")).unwrap();
    let lines: Vec<String> = tab
        .lines()
        .filter(|l| l.starts_with(|c: char| c.is_ascii_digit()))
        .map(|l| l.splitn(6, ' ').last().unwrap().trim().to_owned())
        .collect();
    let [backup, status] = &lines[..] else {
        panic!("{lines:?}")
    };
    // Cron makes a line end of it.
    assert!(!tab.lines().any(|l| !l.starts_with('#') && l.contains('%')));
    let backup = backup.replace(EXAMPLE, &fake.url().replace("alice", "you@example.com"));
    let run = |line: &str| Ended::of(&mut machine.shell(line));
    assert_eq!(run(&backup).expect(0).output(), "");
    assert_eq!(
        report(&machine.path("home/mail-report.json"))["total"]["stored"],
        2
    );
    assert_eq!(run(status).expect(0).output(), "");
    assert!(!machine.path("mail.txt").exists());
    fake.world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    run(&backup).expect(5);
    let mail = fs::read_to_string(machine.path("mail.txt")).unwrap();
    assert!(
        mail.starts_with("-s\nmailstow: exit 5 for you@example.com\nyou\n{"),
        "{mail}"
    );
    let mut later = machine.shell(status);
    later.env("MAILSTOW_TEST_NOW", "4000000000");
    assert!(
        Ended::of(&mut later)
            .expect(10)
            .stdout
            .contains("more than 1 d 12 h")
    );
}

/// Turns every byte into another, and back.
const SCRAMBLE: &str = "tr '\\000-\\377' '\\200-\\377\\000-\\177'";

/// `age` scrambles, and `rclone` keeps files in `remote/` and notes what it is asked for.
fn with_stubs(machine: &Machine) {
    machine.program(
        "age",
        &format!("[ \"$1 $2 $3\" = '--encrypt --recipient age1x' ]\n{SCRAMBLE}"),
    );
    machine.program(
        "rclone",
        r#"
case $1 in
  rcat)
    [ ! -e full ] || exit 1
    file=remote/${2#r:mail/}; mkdir -p "$(dirname "$file")"; cat >"$file"; echo "$file" >>asked;;
  delete) [ "$2 $4" = "--files-from-raw r:mail" ]
    while read -r f; do rm "remote/$f"; echo "-$f" >>asked; done <"$3";;
  *) exit 2;;
esac"#,
    );
}

/// What rclone was asked for since it was last looked at.
fn asked(machine: &Machine) -> Vec<String> {
    let file = machine.path("asked");
    let text = fs::read_to_string(&file).unwrap_or_default();
    drop(fs::remove_file(file));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_copy_made_with_age_and_rclone_is_an_archive_again() {
    let fake = FakeImap::start(World::inbox(3));
    let machine = Machine::new();
    with_stubs(&machine);
    let archive = machine.backed_up(&fake);
    let copy = |exit: i32| {
        let mut offsite = machine.offsite(&archive);
        offsite
            .env("AGE_RECIPIENT", "age1x")
            .env("RCLONE_REMOTE", "r:mail");
        Ended::of(&mut offsite).expect(exit).stderr.clone()
    };
    copy(0);
    let first = asked(&machine);
    assert!(first.last().unwrap().contains("journal/"), "{first:?}");
    assert!(first.iter().any(|f| f.contains("mail/")), "{first:?}");
    assert!(
        !first
            .iter()
            .any(|f| f.contains("catalog") || f.contains("lock")),
        "{first:?}"
    );
    // Nothing new, nothing copied.
    copy(0);
    assert_eq!(asked(&machine), Vec::<String>::new());
    // Interrupted before the first file: all of the difference the next time, and only that.
    *fake.world() = World::inbox(5);
    machine.backed_up(&fake);
    fs::write(machine.path("full"), "").unwrap();
    copy(1);
    assert_eq!(asked(&machine), Vec::<String>::new());
    fs::remove_file(machine.path("full")).unwrap();
    copy(0);
    let second = asked(&machine);
    assert!(
        !second.is_empty() && second.len() < first.len(),
        "{second:?} of {first:?}"
    );
    // A file that went here goes there, also when it has gone already.
    fs::write(archive.join("mail/stray"), "x").unwrap();
    copy(0);
    fs::remove_file(archive.join("mail/stray")).unwrap();
    copy(0);
    assert_eq!(
        asked(&machine),
        ["remote/mail/stray.age", "-mail/stray.age"]
    );

    // Back again, with nothing but the copy.
    let restored = machine.path("restored");
    let line = format!(
        "cd remote && find . -name '*.age' | while read -r f; do to='{}'/${{f%.age}}; mkdir -p \"$(dirname \"$to\")\"; {SCRAMBLE} <\"$f\" >\"$to\"; done",
        restored.display()
    );
    Ended::of(&mut machine.shell(&line)).expect(0);
    assert_eq!(archive_state(&restored), archive_state(&archive));
    machine
        .mailstow
        .run(&["verify", restored.to_str().unwrap()])
        .expect(0);
    // And it can be gone on with.
    let command = ["--password-command", "echo x", "--json"];
    let ended = machine.mailstow.backup(&fake.url(), &restored, &command);
    assert_eq!(ended.expect(0).report()["total"]["held"], 5);
    assert_sound(&restored);
}

#[test]
fn restic_is_asked_for_everything_but_the_index_and_only_of_a_sound_archive() {
    let fake = FakeImap::start(World::inbox(3));
    let machine = Machine::new();
    machine.program("restic", r#"printf '%s\n' "$*" >>asked"#);
    let archive = machine.backed_up(&fake);
    let copy = |exit: i32| {
        let mut offsite = machine.offsite(&archive);
        offsite.env("RESTIC_REPOSITORY", "elsewhere");
        Ended::of(&mut offsite).expect(exit).stderr.clone()
    };
    copy(0);
    let to = archive.display();
    let calls = asked(&machine);
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert_eq!(
        calls[0],
        format!("backup --tag mailstow --exclude {to}/catalog.sqlite* --exclude {to}/tmp {to}")
    );
    let part = calls[2].strip_prefix("check --read-data-subset ").unwrap();
    let part: u32 = part.strip_suffix("/20").unwrap().parse().unwrap();
    assert!((1..=20).contains(&part), "{calls:?}");
    // It waits for a run at work. Nobody waits here: the lock is taken before and given back
    // once the script has asked for it, which /proc shows.
    let lock = fs::File::open(archive.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut offsite = machine.offsite(&archive);
    let mut waiting = offsite
        .env("RESTIC_REPOSITORY", "elsewhere")
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&inode);
    while !fs::read_to_string("/proc/locks")
        .unwrap()
        .lines()
        .any(waits)
    {
        assert!(
            std::time::Instant::now() < deadline,
            "nobody waits for the lock"
        );
        assert!(waiting.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::yield_now();
    }
    assert_eq!(asked(&machine), Vec::<String>::new());
    flock(&lock, FlockOperation::Unlock).unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(asked(&machine).len(), 3);
    // Without a word where to, it is an error; so is an archive that is none.
    let nowhere = Ended::of(&mut machine.offsite(&archive));
    assert!(nowhere.expect(2).stderr.contains("RESTIC_REPOSITORY"));
    Ended::of(&mut machine.offsite(&machine.path("none"))).expect(4);
    assert_eq!(asked(&machine), Vec::<String>::new());
}
