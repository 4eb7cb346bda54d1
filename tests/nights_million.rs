//! A hundred mailboxes with a million messages, night after night: what a night costs that has
//! nothing new, and one that has a little. The small one is a test; the large one is for
//! `scripts/bench.sh --nights`, which says by `MAILSTOW_BENCH_BIN` what program is to be measured
//! and by `MAILSTOW_BENCH_OUT` where the figures go.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use mailstow::store::Reader;
use serde_json::{Value, json};
use support::fake_imap::{FakeImap, FakeMailbox, World};
use support::mailstow::{Ended, Mailstow, assert_adds_a_run_record_only, numbers};

struct Nights {
    fake: FakeImap,
    mailstow: Mailstow,
    mailboxes: u32,
    each: u32,
}

/// What a run cost the program alone, by GNU time.
struct Cost {
    report: Value,
    wall: f64,
    cpu: f64,
    /// In bytes.
    rss: u64,
}

impl Nights {
    fn new(mailboxes: u32, each: u32) -> Self {
        let world = World::with((1..=mailboxes).map(|n| {
            let mut mailbox = FakeMailbox::new(&name(n)).bulk(each);
            mailbox.uidvalidity = Some(1_700_000_000 + n);
            mailbox.subscribed = n % 2 == 0;
            mailbox
        }));
        let capabilities = "CONDSTORE ENABLE LIST-EXTENDED LIST-STATUS";
        Self {
            fake: FakeImap::start(world.announcing(capabilities)),
            mailstow: Mailstow::new(),
            mailboxes,
            each,
        }
    }

    fn run(&self) -> Cost {
        self.fake.forget();
        let (url, archive) = (self.fake.url(), self.mailstow.archive());
        let (ended, cost) =
            self.measure(&["backup", &url, "--to", archive.to_str().unwrap(), "--json"]);
        Cost {
            report: ended.report(),
            ..cost
        }
    }

    fn measure(&self, args: &[&str]) -> (Ended, Cost) {
        let program = self.mailstow.command(args);
        let measured = self.mailstow.path().join("cost");
        let mut time = Command::new("/usr/bin/time");
        time.args(["-f", "%U %S %M", "-o"]).arg(&measured);
        let other = std::env::var_os("MAILSTOW_BENCH_BIN");
        time.arg(other.as_deref().unwrap_or(program.get_program()));
        time.args(args)
            .env_clear()
            .current_dir(self.mailstow.path());
        for (key, value) in program.get_envs() {
            time.env(key, value.unwrap());
        }
        let began = Instant::now();
        let ended = Ended::of(&mut time);
        let wall = began.elapsed().as_secs_f64();
        ended.expect(0);
        let text = std::fs::read_to_string(measured).unwrap();
        let numbers: Vec<f64> = text
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        let cost = Cost {
            report: Value::Null,
            wall,
            cpu: numbers[0] + numbers[1],
            rss: text
                .split_whitespace()
                .nth(2)
                .unwrap()
                .parse::<u64>()
                .unwrap()
                << 10,
        };
        (ended, cost)
    }

    /// So much new mail in each mailbox, and so many messages of it with other flags.
    fn change(&self, new: u32, flags: u32, night: u32) {
        let mut world = self.fake.world();
        for mailbox in &mut world.mailboxes {
            (0..new).for_each(|_| mailbox.add(&[]).flags = format!("$Night{night}"));
            for n in 0..flags {
                // Each night others of those that are made up.
                let uid = 1 + (night * flags + n) * (self.each / (3 * flags)).max(1);
                mailbox.reflagged.insert(uid, format!("$Night{night}"));
            }
        }
    }

    /// Placements with the flag of a night.
    fn of_night(&self, night: u32) -> usize {
        let reader = Reader::open(&self.mailstow.archive(), None).unwrap();
        let catalog = reader.catalog();
        let mark = format!("$Night{night}");
        let all = catalog.mailboxes(None).unwrap().into_iter();
        all.map(|mailbox| {
            let rows = catalog.placements(mailbox.id, false).unwrap();
            rows.iter()
                .filter(|row| row.flags.iter().any(|f| f == mark))
                .count()
        })
        .sum()
    }

    /// Round trips of a night without news, over a line on which waiting shows.
    fn round_trips(&self) -> usize {
        self.fake.world().latency = Duration::from_millis(300);
        self.run();
        self.fake.world().latency = Duration::ZERO;
        self.fake.round_trips()
    }
}

fn name(n: u32) -> String {
    match n {
        1 => "INBOX".to_owned(),
        n => format!("Folder/{n:03}"),
    }
}

/// A line for `measure.py`.
fn tell(name: &str, cost: &Cost, more: &[(&str, Value)]) {
    let mut line = json!({"name": name, "wall": cost.wall, "cpu": cost.cpu, "rss": cost.rss});
    for (key, value) in more {
        line[*key] = value.clone();
    }
    println!("{line}");
    if let Some(path) = std::env::var_os("MAILSTOW_BENCH_OUT") {
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// Nights of such an account, with what they cost; the numbers must be right whatever they cost.
fn nights(mailboxes: u32, each: u32, new: u32, flags: u32) -> Nights {
    let nights = Nights::new(mailboxes, each);
    let all = u64::from(mailboxes) * u64::from(each);
    let first = nights.run();
    assert_eq!(numbers(&first.report, "total").stored, all);
    tell("million-first", &first, &[]);

    let trips = nights.round_trips();
    for _ in 0..3 {
        let quiet = || {
            let quiet = nights.run();
            assert_eq!(numbers(&quiet.report, "total").held, all);
            assert!(nights.fake.asked().is_empty());
            let more = [
                ("trips", json!(trips)),
                ("sent", json!(nights.fake.bytes())),
            ];
            tell("million-quiet", &quiet, &more);
        };
        // A million records take long to read back.
        if all < 100_000 {
            assert_adds_a_run_record_only(&nights.mailstow.archive(), quiet);
        } else {
            quiet();
        }
    }

    let mut held = all;
    for (night, what, part) in [(1, "million-tenth", 10), (2, "million-changed", 1)] {
        let (new, flags) = ((new / part).max(1), (flags / part).max(1));
        nights.change(new, flags, night);
        let changed = nights.run();
        let total = numbers(&changed.report, "total");
        assert_eq!(total.stored, u64::from(new * nights.mailboxes));
        assert_eq!(total.held, held);
        held += total.stored;
        let marked = nights.of_night(night);
        assert_eq!(marked, ((new + flags) * nights.mailboxes) as usize);
        tell(what, &changed, &[("sent", json!(nights.fake.bytes()))]);
    }
    nights
}

#[test]
fn a_night_of_many_mailboxes_is_told_right() {
    nights(20, 300, 2, 5);
}

#[test]
#[ignore = "a million messages; see above"]
fn nights_of_a_million_messages() {
    let nights = nights(100, 10_000, 10, 50);
    let archive = nights.mailstow.archive();
    let path = archive.join("catalog.sqlite");
    let size = std::fs::metadata(&path).unwrap().len();
    // It opens the catalog and has next to nothing to look up in it.
    let skips = ["skips", archive.to_str().unwrap()];
    let opened = nights.measure(&skips).1;
    tell("catalog", &opened, &[("size", json!(size))]);
    std::fs::remove_file(&path).unwrap();
    let rebuilt = nights.measure(&skips).1;
    tell("catalog-rebuilt", &rebuilt, &[]);
}
