//! Before anything is sent: what a dry run says and does not do, who does not get in, and what
//! mailboxes are called on the target.

use super::*;
use support::fake_imap::FakeMailbox;
use support::fake_target::Refuse;
use support::odd_mail::{self, contents, put};

const DAY: &str = "01-Feb-2024 10:00:00 +0000";
const CHANGING: [&str; 8] = [
    "CREATE",
    "APPEND",
    "UID STORE",
    "SUBSCRIBE",
    "UID MOVE",
    "DELETE",
    "RENAME",
    "EXPUNGE",
];

#[test]
fn a_dry_run_names_what_would_be_and_changes_nothing() {
    let archived = Archived::of(odd_mail::world());
    let mut world = TargetWorld::default().announcing("APPENDLIMIT=10000");
    world.mailbox_mut("INBOX").permanent_flags = Some("(\\Seen \\Answered)".to_owned());
    let target = FakeTarget::start(world);
    let dry = archived.replay(&target, 3, &["--dry-run"]);
    let asked = target.commands();
    let changing: Vec<_> = asked
        .iter()
        .filter(|c| CHANGING.contains(&c.name.as_str()))
        .collect();
    assert!(changing.is_empty(), "{changing:?}");
    assert!(!archived.archive().join("replay").exists());
    assert_eq!(dry["dry_run"], true);
    assert_eq!(
        (total(&dry, "appended"), total(&dry, "refused")),
        (17, 1),
        "{dry:#}"
    );
    for name in ["Sent", "Work/Old/台北"] {
        assert_eq!(row(&dry, name)["created"], true, "{name}");
    }
    let said = notes(&dry);
    for (what, count) in [
        ("altered: it holds NUL", 1),
        ("altered: it has line ends", 1),
    ] {
        let found = said.iter().filter(|n| n.starts_with(what)).count();
        assert_eq!(found, count, "{what}: {said:#?}");
    }
    let refused = said.iter().find(|n| n.starts_with("refused: ")).unwrap();
    assert!(refused.contains("10000"), "{refused}");
    let dropped = |said: &[String]| said.iter().filter(|n| n.starts_with("without")).count();
    assert_eq!(dropped(&said), 4, "{said:#?}");
    // What it said comes true.
    let real = archived.replay(&target, 3, &[]);
    for key in ["appended", "refused", "in_archive", "bytes"] {
        assert_eq!(total(&dry, key), total(&real, key), "{key}");
    }
    assert_eq!(dropped(&notes(&real)), 4);
    // And later: nothing to do, and nothing done.
    target.forget();
    let dry = archived.replay(&target, 3, &["--dry-run"]);
    assert_eq!(
        (total(&dry, "appended"), total(&dry, "there")),
        (0, 17),
        "{dry:#}"
    );
    assert!(
        !target
            .commands()
            .iter()
            .any(|c| CHANGING.contains(&c.name.as_str()))
    );
}

#[test]
fn who_does_not_get_in_or_says_nonsense_is_told_so() {
    let archived = Archived::of(World::inbox(2));
    let target = FakeTarget::start(TargetWorld::default());
    let replay = |more: &[&str]| {
        let ended = archived
            .mailstow
            .replay(&archived.archive(), &target.url(), more);
        (ended.exit, ended.output())
    };
    target.world().sign_in = "NO [AUTHENTICATIONFAILED] wrong".to_owned();
    let (exit, said) = replay(&[]);
    assert!(
        exit == Some(5) && said.contains("[AUTHENTICATIONFAILED] wrong"),
        "{said}"
    );
    target.world().sign_in = "OK".to_owned();
    for pattern in [["--mailbox", "Nothing*"], ["--exclude", "Nothing*"]] {
        let (exit, said) = replay(&pattern);
        assert!(exit == Some(2) && said.contains("Nothing*"), "{said}");
    }
    let nowhere = archived
        .mailstow
        .replay(&archived.archive(), "imap://bob@127.0.0.1:1", &[]);
    assert_eq!(nowhere.exit, Some(6), "{}", nowhere.output());
    let none = archived
        .mailstow
        .replay(&archived.archive(), "pop3://bob@127.0.0.1:1", &[]);
    assert_eq!(none.exit, Some(2), "{}", none.output());
    assert_eq!(target.appends().len(), 0);
}

#[test]
fn a_target_that_bears_one_session_gets_everything_over_one() {
    for refuse in [
        Refuse::Silently,
        Refuse::Greeting("* BYE Too many connections".to_owned()),
        Refuse::SignIn("NO [LIMIT] Too many simultaneous connections".to_owned()),
    ] {
        let archived = Archived::of(odd_mail::world());
        let mut world = TargetWorld::default().without("MULTIAPPEND");
        world.sessions = Some((1, refuse.clone()));
        let target = FakeTarget::start(world);
        let report = archived.replay(&target, 0, &["--target-connections", "4"]);
        assert_eq!(total(&report, "appended"), 18, "{refuse:?}: {report:#}");
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(total(&report, "there"), 18, "{refuse:?}: {report:#}");
    }
}

/// A source with one message in each of these mailboxes, `name` or `name:\Use`.
fn source(mailboxes: &[&str]) -> World {
    World::with(mailboxes.iter().map(|spec| {
        let (name, attributes) = spec.split_once(':').unwrap_or((spec, ""));
        let mut mailbox = FakeMailbox::new(name);
        mailbox.attributes.push(' ');
        mailbox.attributes.push_str(attributes);
        let body = format!("Subject: {name}\r\n\r\nof {name}\r\n");
        put(&mut mailbox, "\\Seen", DAY, body.as_bytes());
        mailbox
    }))
}

/// The mailboxes of the target with the names of the mailboxes whose messages they hold.
fn where_they_are(target: &FakeTarget) -> Vec<String> {
    let wires: Vec<String> = contents(target).into_keys().collect();
    let mut found = Vec::new();
    for wire in wires {
        for message in target.messages(&wire) {
            let text = String::from_utf8(message.body).unwrap();
            let from = text
                .lines()
                .last()
                .unwrap()
                .trim_start_matches("of ")
                .to_owned();
            found.push(format!("{from} > {wire}"));
        }
    }
    found.sort();
    found
}

#[test]
fn mailboxes_are_called_as_the_target_calls_them() {
    type Change = fn(&mut TargetWorld);
    /// What it is about, the source, the target, further arguments, and where all goes.
    type Case = (
        &'static str,
        &'static [&'static str],
        Change,
        &'static [&'static str],
        &'static [&'static str],
    );
    let cases: [Case; 9] = [
        (
            "a name space and another separator",
            &["INBOX", "Sent:\\Sent", "A/B"],
            |w| {
                w.namespace = "INBOX.".to_owned();
                w.separator = '.';
                w.mailboxes[0].separator = '.';
            },
            &[],
            &["A/B > INBOX.A.B", "INBOX > INBOX", "Sent > INBOX.Sent"],
        ),
        (
            "a special use by attribute",
            &["INBOX", "Sent", "Bin:\\Trash"],
            |w| {
                w.add_mailbox("Gesendet").attributes = "\\Sent".to_owned();
                w.add_mailbox("Papierkorb").attributes = "\\Trash".to_owned();
            },
            &[],
            &["Bin > Papierkorb", "INBOX > INBOX", "Sent > Gesendet"],
        ),
        (
            "names that differ in capitals only",
            &["INBOX", "Work", "work"],
            |w| w.case_insensitive = true,
            &[],
            &["INBOX > INBOX", "Work > Work", "work > work~2"],
        ),
        (
            "--map and --map-regex",
            &["INBOX", "Old/a", "Old/b", "x"],
            |_| {},
            &["--map", "x=INBOX", "--map-regex", "^Old/(.*)$=New/$1"],
            &[
                "INBOX > INBOX",
                "Old/a > New/a",
                "Old/b > New/b",
                "x > INBOX",
            ],
        ),
        (
            "--into",
            &["INBOX", "Sent:\\Sent"],
            |w| w.add_mailbox("Sent").attributes = "\\Sent".to_owned(),
            &["--into", "From Zoho"],
            &["INBOX > From Zoho/INBOX", "Sent > From Zoho/Sent"],
        ),
        (
            "--mailbox and --exclude",
            &["INBOX", "Sent", "Spam"],
            |_| {},
            &["--mailbox", "S*", "--exclude", "Spam"],
            &["Sent > Sent"],
        ),
        (
            "a name that only holds others, and is made a mailbox",
            &["INBOX", "A", "A/B"],
            |w| w.add_mailbox("A").attributes = "\\Noselect".to_owned(),
            &[],
            &["A > A", "A/B > A/B", "INBOX > INBOX"],
        ),
        (
            "no name space, no special use, no subscriptions to speak of",
            &["INBOX", "Sent:\\Sent"],
            |w| w.capabilities = "IMAP4rev1".to_owned(),
            &[],
            &["INBOX > INBOX", "Sent > Sent"],
        ),
        (
            "what other servers call their own",
            &[
                "INBOX",
                "[Gmail]/All Mail:\\All",
                "[Gmail]/Starred:\\Flagged",
                "Work",
            ],
            |_| {},
            &[],
            &["INBOX > INBOX", "Work > Work", "[Gmail]/All Mail > Archive"],
        ),
    ];
    for (what, mailboxes, change, args, wanted) in cases {
        let archived = Archived::of(source(mailboxes));
        let mut world = TargetWorld::default();
        change(&mut world);
        let target = FakeTarget::start(world);
        let report = archived.replay(&target, 0, args);
        assert_eq!(where_they_are(&target), wanted, "{what}: {report:#}");
        target.forget();
        let again = archived.replay(&target, 0, args);
        assert_eq!(total(&again, "appended"), 0, "{what}: {again:#}");
        assert_eq!(target.count("CREATE"), 0, "{what}");
        assert_eq!(where_they_are(&target), wanted, "{what}");
    }
}

#[test]
fn mailboxes_that_only_show_others_are_left_out_and_named() {
    let mut all = FakeMailbox::new("[Gmail]/All Mail");
    all.attributes.push_str(" \\All");
    let mut starred = FakeMailbox::new("[Gmail]/Starred");
    starred.attributes.push_str(" \\Flagged");
    let mut inbox = FakeMailbox::new("INBOX");
    for mailbox in [&mut all, &mut inbox] {
        put(mailbox, "\\Seen", DAY, odd_mail::ONE);
        put(mailbox, "\\Seen", DAY, odd_mail::NO_ID);
    }
    put(&mut all, "\\Seen \\Flagged", DAY, odd_mail::TWIN);
    put(&mut starred, "\\Seen \\Flagged", DAY, odd_mail::TWIN);
    let archived = Archived::of(World::with([inbox, all, starred]));
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 0, &[]);
    let left_out = report["left_out"].as_array().unwrap();
    let names: Vec<_> = left_out
        .iter()
        .map(|l| (l["name"].as_str().unwrap(), l["messages"].clone()))
        .collect();
    assert_eq!(
        names,
        [
            ("[Gmail]/All Mail", 3.into()),
            ("[Gmail]/Starred", 1.into())
        ]
    );
    assert_eq!(row(&report, "Archive")["appended"], 1, "{report:#}");
    assert_eq!(target.messages("INBOX").len(), 2);
    assert_eq!(target.messages("Archive")[0].body, odd_mail::TWIN);
    let again = archived.replay(&target, 0, &[]);
    assert_eq!(total(&again, "there"), 3, "{again:#}");
    let report = archived.replay(&target, 0, &["--virtual"]);
    assert_eq!(total(&report, "in_archive"), 6, "{report:#}");
}
