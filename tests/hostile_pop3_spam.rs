//! `--pop-spam`: what a header says of spam, decided once.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use serde_json::Value;
use support::fake_pop3::trial::{Trial, excluded, filed, maildrop};
use support::fake_pop3::{Delivery, FakePop3, World, mail, mail_with};
use support::mailstow::Numbers;

/// Unique-ids that begin with `s` are spam.
fn mixed() -> World {
    let mut world = World::default();
    for (n, (uidl, fields)) in [
        ("h1", ""),
        ("s1", "X-Spam-Flag: YES\r\n"),
        ("h2", "X-Spam-Flag: NO\r\n"),
        ("s2", "X-Spam-Status: Yes, score=15.3 required=5.0\r\n"),
        ("s3", "X-Spam-Level: *******\r\n"),
        ("h3", "X-Spam-Level: *\r\n"),
        (
            "s4",
            "X-Forefront-Antispam-Report: CIP:1.2.3.4;CTRY:;SFV:SPM;CAT:SPM\r\n",
        ),
        ("h4", "Authentication-Results: b.example; dkim=fail\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        world.add(uidl, &mail_with(n as u32, fields));
    }
    world
}

/// Mail of which no header says anything about spam.
fn silent() -> World {
    World::maildrop(5)
}

const HAM: [&str; 4] = ["h1", "h2", "h3", "h4"];
const SPAM: [&str; 4] = ["s1", "s2", "s3", "s4"];

fn because(reason: &str, n: u64) -> Vec<(String, u64)> {
    vec![(reason.to_owned(), n)]
}

fn into(mailbox: &str, n: u64) -> Vec<(String, u64)> {
    because(mailbox, n)
}

fn half() -> Numbers {
    Numbers {
        exists: 8,
        stored: 4,
        excluded: 4,
        ..Numbers::default()
    }
}

fn asked(fake: &FakePop3, name: &str) -> Vec<String> {
    fake.asked(name).into_keys().collect()
}

#[test]
fn included_spam_is_filed_as_junk() {
    let (fake, trial) = (FakePop3::start(mixed()), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report).stored, 8);
    let both = [("INBOX".to_owned(), 4), ("Junk".to_owned(), 4)];
    assert_eq!(filed(&report), both);
    assert_eq!(trial.remotes("INBOX"), HAM);
    assert_eq!(trial.remotes("Junk"), SPAM);
    // The messages come anyway, so nobody looks at their headers first.
    assert_eq!(fake.count("TOP"), 0);
    trial.assert_quiet(&fake, &[]);
    trial.assert_quiet(&fake, &["--pop-spam", "include"]);
}

#[test]
fn excluded_spam_stays_on_the_server_until_it_is_wanted() {
    let (fake, trial) = (FakePop3::start(mixed()), Trial::new());
    let exclude = ["--pop-spam", "exclude"];
    let report = trial.backup(&fake, 0, &exclude);
    assert_eq!(maildrop(&report), half());
    assert_eq!(excluded(&report), because("spam", 4));
    assert_eq!(filed(&report), into("INBOX", 4));
    assert_eq!(asked(&fake, "RETR"), HAM);
    trial.assert_quiet(&fake, &exclude);
    // The verdict is frozen, whatever the header says now.
    let before = fake.world().message("s1").clone();
    let now = mail_with(1, "X-Spam-Flag: NO \r\n");
    assert_eq!(now.len(), before.body.len());
    fake.world().message("s1").body = now;
    trial.assert_quiet(&fake, &exclude);
    *fake.world().message("s1") = before;
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let expected = Numbers {
        exists: 8,
        stored: 4,
        held: 4,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), expected);
    assert_eq!(filed(&report), into("Junk", 4));
    assert_eq!(asked(&fake, "RETR"), SPAM);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn only_spam_is_what_it_says() {
    let (fake, trial) = (FakePop3::start(mixed()), Trial::new());
    let only = ["--pop-spam", "only"];
    let report = trial.backup(&fake, 0, &only);
    assert_eq!(maildrop(&report), half());
    assert_eq!(excluded(&report), because("not spam", 4));
    assert_eq!(filed(&report), into("Junk", 4));
    assert_eq!(asked(&fake, "RETR"), SPAM);
    trial.assert_quiet(&fake, &only);
    fake.world().add("s5", &mail_with(70, "X-Spam: Yes\r\n"));
    fake.world().add("h5", &mail(71));
    fake.forget();
    let report = trial.backup(&fake, 0, &only);
    assert_eq!(maildrop(&report).stored, 1);
    assert_eq!(asked(&fake, "TOP"), ["h5", "s5"]);
    trial.backup(&fake, 0, &[]);
    assert_eq!(trial.remotes("INBOX"), ["h1", "h2", "h3", "h4", "h5"]);
    assert_eq!(trial.remotes("Junk"), ["s1", "s2", "s3", "s4", "s5"]);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn without_top_spam_is_judged_when_it_has_come() {
    for how in ["exclude", "only"] {
        let (fake, trial) = (FakePop3::start(mixed().without("TOP")), Trial::new());
        let report = trial.backup(&fake, 0, &["--pop-spam", how]);
        assert_eq!(maildrop(&report), half(), "{how}");
        let (inbox, junk) = (trial.remotes("INBOX"), trial.remotes("Junk"));
        let empty: [String; 0] = [];
        if how == "exclude" {
            assert_eq!(
                (inbox, junk),
                (HAM.map(str::to_owned).to_vec(), empty.to_vec())
            );
        } else {
            assert_eq!(
                (inbox, junk),
                (empty.to_vec(), SPAM.map(str::to_owned).to_vec())
            );
        }
        trial.assert_quiet(&fake, &["--pop-spam", how]);
    }
}

#[test]
fn where_no_message_carries_a_verdict_it_is_said() {
    let (fake, trial) = (FakePop3::start(silent()), Trial::new());
    let names_the_flag = |last: &Value| last.to_string().contains("--pop-spam-from-server");
    let refused = trial.backup(&fake, 4, &["--pop-spam", "only"]);
    assert!(names_the_flag(&refused), "{refused:#}");
    assert_eq!(fake.count("RETR"), 0);
    // To leave nothing out is no harm, but not what was asked for.
    let report = trial.backup_any(&fake, &["--pop-spam", "exclude"]);
    assert_eq!(maildrop(&report).stored, 5);
    assert!(names_the_flag(&report), "{report:#}");
    assert_eq!(trial.remotes("INBOX").len(), 5);
}

#[test]
fn one_negative_verdict_is_a_verdict() {
    let mut world = silent();
    world.add("h", &mail_with(60, "X-Spam-Status: No, score=-1\r\n"));
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &["--pop-spam", "only"]);
    assert_eq!(excluded(&report), because("not spam", 6));
    let report = trial.backup(&fake, 0, &["--pop-spam", "exclude"]);
    assert_eq!(maildrop(&report).stored, 6);
}

#[test]
fn an_empty_maildrop_says_nothing_about_verdicts() {
    for how in ["exclude", "only"] {
        let (fake, trial) = (FakePop3::start(World::default()), Trial::new());
        let report = trial.backup(&fake, 0, &["--pop-spam", how]);
        assert_eq!(maildrop(&report), Numbers::default(), "{how}");
    }
}

#[test]
fn a_server_that_delivers_only_spam_may_say_so() {
    for how in [&[][..], &["--pop-spam", "only"]] {
        let (fake, trial) = (FakePop3::start(silent()), Trial::new());
        let flags = [&["--pop-spam-from-server"], how].concat();
        let report = trial.backup(&fake, 0, &flags);
        assert_eq!(maildrop(&report).stored, 5, "{how:?}");
        assert_eq!(filed(&report), into("Junk", 5), "{how:?}");
        assert_eq!(trial.ls("INBOX").len(), 0);
        assert_eq!(fake.count("TOP"), 0);
        trial.assert_quiet(&fake, &flags);
        // Then the setting is turned, and the rest is seen; what is Junk stays Junk.
        fake.world().add("h", &mail(90));
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(filed(&report), into("INBOX", 1), "{how:?}");
        assert_eq!(trial.remotes("INBOX"), ["h"]);
        assert_eq!(trial.remotes("Junk").len(), 5);
        trial.assert_quiet(&fake, &[]);
    }
}

#[test]
fn a_refused_top_excludes_nobody() {
    let mut world = mixed();
    world.message("h1").top = Delivery::refused("no header");
    world.message("s1").top = Delivery::refused("no header");
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &["--pop-spam", "exclude"]);
    let of = maildrop(&report);
    assert_eq!(of.skipped, 0, "{report:#}");
    // Both had to be fetched to be judged.
    assert_eq!(asked(&fake, "RETR"), ["h1", "h2", "h3", "h4", "s1"]);
    assert_eq!(trial.remotes("INBOX"), HAM);
    trial.assert_quiet(&fake, &["--pop-spam", "exclude"]);
}

#[test]
fn spam_and_the_start_day_are_judged_together() {
    let (fake, mut trial) = (FakePop3::start(mixed()), Trial::new());
    trial.now(support::fake_pop3::trial::NOON);
    let both = ["--pop-messages", "from-today", "--pop-spam", "exclude"];
    // All of it is of February.
    let report = trial.backup(&fake, 0, &both);
    assert_eq!(maildrop(&report).excluded, 8, "{report:#}");
    assert_eq!(fake.count("RETR"), 0);
    assert!(fake.asked("TOP").values().all(|n| *n == 1));
    fake.world()
        .add("s9", &mail_with(80, "X-Spam-Flag: YES\r\n"));
    fake.world().add("h9", &mail(81));
    let report = trial.backup(&fake, 0, &both);
    assert_eq!(filed(&report), into("INBOX", 1), "{report:#}");
    assert_eq!(trial.remotes("INBOX"), ["h9"]);
    trial.assert_quiet(&fake, &both);
    trial.backup(&fake, 0, &[]);
    assert_eq!(trial.remotes("INBOX"), ["h1", "h2", "h3", "h4", "h9"]);
    assert_eq!(trial.remotes("Junk"), ["s1", "s2", "s3", "s4", "s9"]);
}
