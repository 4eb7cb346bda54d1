//! `verify --against` a server that mail was replayed to: agreement, whatever happens to the copy
//! afterwards, and targets that keep other bytes than they are sent.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

#[path = "against/target.rs"]
mod against;
mod support;

use against::{Trial, named, row, told};
use insta::assert_snapshot;
use support::dovecot::{ALICE, Dovecot, PASSWORD};
use support::fake_imap::{FakeImap, FakeMailbox, Reaction, World};
use support::fake_target::{AppendUid, FakeTarget, TargetWorld};
use support::mailstow::Ended;

const BOB: &str = "bob";
const DATE: Option<&str> = Some("07-Feb-2024 21:52:25 +0100");

fn body(n: usize, text: &str) -> Vec<u8> {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\nTo: you\r\n\r\n{text} {n}\r\n").into_bytes()
}

fn deliver(dovecot: &Dovecot, user: &str, mailbox: &str, bytes: &[u8]) {
    dovecot.deliver(user, mailbox, bytes, &["\\Seen"], DATE);
}

/// INBOX with 1 to 4 and `Work/Über` with 5 and twice 1, replayed to another user.
fn replayed() -> (Dovecot, Trial, String) {
    let mut dovecot = Dovecot::start();
    // Before anybody signs in: Dovecot may take a second to see another.
    dovecot.add_user(BOB, PASSWORD);
    for n in 1..=4 {
        deliver(&dovecot, ALICE, "INBOX", &body(n, "text"));
    }
    for n in [5, 1, 1] {
        deliver(&dovecot, ALICE, "Work/Über", &body(n, "text"));
    }
    let trial = Trial::of(&dovecot.url(ALICE));
    let target = dovecot.url(BOB);
    trial.replay(&target, 0, &[]);
    (dovecot, trial, target)
}

#[test]
fn what_was_replayed_agrees_and_nothing_is_changed_by_looking() {
    let (dovecot, trial, target) = replayed();
    let before = dovecot.fetch_all(BOB);
    let report = trial.against(&target, 0, &[]);
    let inbox = ["agree: 4", "in_archive: 4", "on_target: 4"];
    assert_eq!(told(row(&report, "INBOX")), inbox);
    let work = ["agree: 3", "in_archive: 3", "on_target: 3"];
    assert_eq!(told(row(&report, "Work/Über")), work);
    assert_eq!(report["headers"], 7);
    assert_eq!(told(&report["bodies"]), ["chosen: 7", "exact: 7", "of: 7"]);
    let said = trial.run(&target, 0, &["--sample", "2", "--seed", "7"]);
    assert_snapshot!(said.stdout, @r"
    alice@127.0.0.1 in the archive, compared with bob@127.0.0.1, where it was replayed to:
    mailbox    archive  agree  differ  unproven  missing  in doubt  on target  left over  others
    INBOX            4      4       0         0        0         0          4          0       0
    Work/Über        3      3       0         0        0         0          3          0       0

    compared: UIDs, dates of arrival and flags of 7 messages in 2 mailboxes; Message-ID, Date, From and Subject of all of them
    bytes: of 2 messages, a sample (--seed 7 draws it again), 2 are equal byte for byte
    not checked: the bytes of 5 other messages (--full); the archive itself (--rehash)
    the target has what the archive holds
    ");
    assert_eq!(trial.run(&target, 0, &["-q"]).output(), "");
    assert_eq!(dovecot.fetch_all(BOB), before);
}

#[test]
fn whatever_happened_to_the_copy_is_named() {
    let (dovecot, trial, target) = replayed();
    let mut imap = dovecot.connect(BOB);
    imap.select("INBOX");
    imap.expunge("1");
    // The same header, another body, under another UID: no longer ours.
    imap.expunge("2");
    deliver(&dovecot, BOB, "INBOX", &body(2, "other"));
    imap.store("3", "FLAGS", &["\\Flagged"]);
    deliver(&dovecot, BOB, "INBOX", &body(99, "of somebody else"));
    let report = trial.against(&target, 3, &[]);
    let inbox = [
        "agree: 2",
        "flags: 3",
        "in_archive: 4",
        "on_target: 4",
        "others: 5:6",
        "removed: 2",
    ];
    assert_eq!(told(row(&report, "INBOX")), inbox);
    assert_eq!(named(&report), ["removed INBOX -", "removed INBOX -"]);
    let said = trial.run(&target, 3, &["--sample", "0", "--mailbox", "INBOX"]);
    let remote = report["messages"][0]["remote"].as_str().unwrap();
    let (uidvalidity, _) = remote.split_once(':').unwrap();
    let said = said.stdout.replace(uidvalidity, "UIDVALIDITY");
    assert_snapshot!(said, @r"
    alice@127.0.0.1 in the archive, compared with bob@127.0.0.1, where it was replayed to:
    mailbox  archive  agree  differ  unproven  missing  in doubt  on target  left over  others
    INBOX          4      2       0         0        2         0          4          0       2
    ! INBOX: 2 messages removed there since, or moved
      INBOX: 1 message with other flags than were set last: UID 3
      INBOX: 2 messages not from this archive: UID 5:6
    ! INBOX: UIDVALIDITY:1 of the source (186941eda635) is no longer there
    ! INBOX: UIDVALIDITY:2 of the source (cec26602f7d2) is no longer there

    compared: UIDs, dates of arrival and flags of 2 messages in 1 mailbox; Message-ID, Date, From and Subject of all of them
    bytes: none were compared
    not checked: the bytes of 2 messages (--full); the archive itself (--rehash)
    the target lacks messages, or has others
    replay --resend-removed sends again what was removed there
    ");

    // What left the source is asked for no more; what came is not sent yet.
    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.expunge("1,2,4");
    deliver(&dovecot, ALICE, "INBOX", &body(6, "new"));
    let backup = trial
        .mailstow
        .backup(&dovecot.url(ALICE), &trial.archive, &[]);
    backup.expect(0);
    let report = trial.against(&target, 3, &[]);
    let inbox = [
        "agree: 1",
        "flags: 3",
        "in_archive: 2",
        "left_over: 4",
        "never_sent: 1",
        "on_target: 4",
        "others: 5:6",
    ];
    assert_eq!(told(row(&report, "INBOX")), inbox);
    assert_eq!(named(&report), ["never-sent INBOX -"]);
    // A replay leaves no gap.
    trial.replay(&target, 0, &[]);
    trial.against(&target, 0, &["--full"]);
}

#[test]
fn a_changed_body_behind_the_same_header_is_found_where_bytes_are_compared() {
    let (dovecot, trial, target) = replayed();
    let folder = dovecot.path().join("mail").join(BOB).join("cur");
    let mut changed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("<3@x>") {
            std::fs::write(&path, text.replace("text 3", "tixt 3")).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    trial.against(&target, 0, &["--sample", "0"]);
    let report = trial.against(&target, 3, &["--full"]);
    assert_eq!(
        told(&report["bodies"]),
        ["chosen: 7", "differ: 1", "exact: 6", "of: 7"]
    );
    assert_eq!(named(&report), ["differs INBOX 3 its body is another"]);
}

#[test]
fn mailboxes_that_are_gone_or_were_never_sent_are_told_apart() {
    let (dovecot, trial, target) = replayed();
    dovecot.connect(BOB).delete("Work/Über").unwrap();
    let report = trial.against(&target, 3, &[]);
    let work = row(&report, "Work/Über");
    assert_eq!(work["state"], "not-there");
    assert_eq!(told(work), ["in_archive: 3", "removed: 3"]);
    trial.against(&target, 0, &["--exclude", "Work/**"]);
    trial.run(&target, 2, &["--mailbox", "Wark"]);

    deliver(&dovecot, ALICE, "Later", &body(7, "text"));
    let backup = trial
        .mailstow
        .backup(&dovecot.url(ALICE), &trial.archive, &[]);
    backup.expect(0);
    let report = trial.against(&target, 3, &["--mailbox", "Later"]);
    let later = row(&report, "Later");
    assert_eq!(later["state"], "not-replayed");
    assert_eq!(told(later), ["in_archive: 1", "never_sent: 1"]);
}

#[test]
fn where_a_replay_went_below_a_prefix_it_is_found_there() {
    let mut dovecot = Dovecot::start();
    dovecot.add_user(BOB, PASSWORD);
    deliver(&dovecot, ALICE, "INBOX", &body(1, "text"));
    let trial = Trial::of(&dovecot.url(ALICE));
    trial.replay(&dovecot.url(BOB), 0, &["--into", "Old"]);
    let report = trial.against(&dovecot.url(BOB), 0, &[]);
    let row = row(&report, "Old/INBOX");
    assert_eq!(row["sources"], serde_json::json!(["INBOX"]));
    assert_eq!(row["agree"], 1);
}

#[test]
fn a_server_is_a_source_unless_only_a_replay_went_there_or_the_user_says_so() {
    let (dovecot, trial, target) = replayed();
    let source = dovecot.url(ALICE);
    let side = |url: &str, exit: i32, more: &[&str]| {
        let ended = trial.run(url, exit, &[&["--json"], more].concat());
        let last = ended.json().pop().unwrap();
        last["side"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(side(&source, 0, &[]), "source");
    assert_eq!(side(&target, 0, &[]), "target");
    assert_eq!(side(&target, 3, &["--as-source"]), "source");
    trial.run(&source, 2, &["--as-target"]);
    trial.run(&source, 2, &["--collapse-duplicates"]);
    trial.replay(&source, 0, &[]);
    assert_eq!(side(&source, 0, &[]), "source");
    assert_eq!(side(&source, 0, &["--as-target"]), "target");
    // A ledger that lies elsewhere has to be named.
    let elsewhere = trial.mailstow.path().join("ledgers");
    std::fs::rename(trial.archive.join("replay"), &elsewhere).unwrap();
    assert_eq!(side(&target, 3, &[]), "source");
    let ledger = elsewhere.to_str().unwrap();
    assert_eq!(side(&target, 0, &["--ledger", ledger]), "target");
}

#[test]
fn the_password_of_the_source_is_never_tried_at_a_target() {
    let (_dovecot, trial, target) = replayed();
    let archive = trial.archive.to_str().unwrap();
    let mut command = trial
        .mailstow
        .command(&["verify", archive, "--against", &target]);
    let ended = Ended::of(command.env("MAILSTOW_TARGET_PASSWORD", "wrong"));
    ended.expect(5);
    let ended = Ended::of(command.env_remove("MAILSTOW_TARGET_PASSWORD"));
    ended.expect(4);
    assert!(
        ended.stderr.contains("MAILSTOW_TARGET_PASSWORD"),
        "{ended:?}"
    );
}

#[test]
fn copies_that_were_left_out_on_request_are_missing_unless_that_is_said_again() {
    let copies = body(1, "twice");
    let world = TargetWorld::default();
    let leave = "--collapse-duplicates";
    let (target, trial) = replayed_with(&[&copies, &copies], world, 0, &[leave]);
    let report = trial.against(&target.url(), 3, &[]);
    assert_eq!(row(&report, "INBOX")["never_sent"], 1);
    let report = trial.against(&target.url(), 0, &[leave]);
    assert_eq!(
        told(row(&report, "INBOX")),
        ["agree: 1", "excluded: 1", "in_archive: 1", "on_target: 1"]
    );
}

#[test]
fn what_only_a_mailbox_of_all_mail_has_is_looked_for_where_it_went() {
    let mut inbox = FakeMailbox::new("INBOX");
    inbox.add(&body(1, "a"));
    let mut all = FakeMailbox::new("All Mail");
    all.attributes = "\\All".to_owned();
    all.add(&body(1, "a"));
    all.add(&body(2, "nowhere else"));
    let mut starred = FakeMailbox::new("Starred");
    starred.attributes = "\\Flagged".to_owned();
    starred.add(&body(1, "a"));
    let source = FakeImap::start(World::with([inbox, all, starred]));
    let trial = Trial::of(&source.url());
    let target = FakeTarget::start(TargetWorld::default());
    trial.replay(&target.url(), 0, &[]);
    let report = trial.against(&target.url(), 0, &[]);
    let archive = row(&report, "Archive");
    assert_eq!(archive["sources"], serde_json::json!(["All Mail"]));
    assert_eq!(told(archive), ["agree: 1", "in_archive: 1", "on_target: 1"]);
    assert_eq!(row(&report, "Starred")["state"], "left-out");
    target.world().mailbox_mut("Archive").messages.clear();
    let report = trial.against(&target.url(), 3, &[]);
    assert_eq!(row(&report, "Archive")["removed"], 1);
}

/// An archive of these messages (and of one in another mailbox), replayed to this world.
fn replayed_to(messages: &[&[u8]], world: TargetWorld, exit: i32) -> (FakeTarget, Trial) {
    replayed_with(messages, world, exit, &[])
}

fn replayed_with(
    messages: &[&[u8]],
    world: TargetWorld,
    exit: i32,
    more: &[&str],
) -> (FakeTarget, Trial) {
    let mut inbox = FakeMailbox::new("INBOX");
    for message in messages {
        inbox.add(message);
    }
    let source = FakeImap::start(World::with([inbox, FakeMailbox::new("Zebra").filled(1)]));
    let trial = Trial::of(&source.url());
    let target = FakeTarget::start(world);
    trial.replay(&target.url(), exit, more);
    target.forget();
    (target, trial)
}

/// As a server sends that keeps everything: long lines, NUL, bare LF and blanks at line ends.
fn odd() -> Vec<Vec<u8>> {
    let long = "word ".repeat(400);
    vec![
        body(1, "plain"),
        body(2, "nul \0 and"),
        body(3, "blanks  \r\nat the end"),
        body(4, "bare\nlf"),
        body(5, &long),
    ]
}

#[test]
fn what_targets_change_is_told_from_what_nobody_may() {
    type Change = fn(&mut TargetWorld);
    let table: [(Change, &[&str], &str); 4] = [
        (|_| {}, &[], "exact: 6"),
        (|w| w.normalise = true, &[], "altered: 3 exact: 3"),
        (
            |w| w.add_header = Some("X-Added: by the target\r\n".to_owned()),
            &[],
            "altered: 6",
        ),
        (
            |w| w.normalise = true,
            &["--repair", "long-lines"],
            "altered: 3 exact: 2 repaired: 1",
        ),
    ];
    for (change, more, want) in table {
        let messages = odd();
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let mut world = TargetWorld::default();
        change(&mut world);
        let (target, trial) = replayed_with(&messages, world, 0, more);
        let report = trial.against(&target.url(), 0, &["--full"]);
        let mut bodies = told(&report["bodies"]);
        bodies.retain(|told| !told.starts_with("of:") && !told.starts_with("chosen:"));
        assert_eq!(bodies.join(" "), want);
        let said = trial.run(&target.url(), 0, &["--full"]).stdout;
        assert_eq!(
            said.contains("equal but for what servers change"),
            want.contains("altered"),
            "{said}"
        );
        // A field nobody may change, behind the same body and the same four fields.
        let mut world = target.world();
        let mut messages = world.mailbox_mut("INBOX").messages.iter_mut();
        let plain = |body: &[u8]| body.windows(5).any(|w| w == b"plain");
        let message = messages.find(|m| plain(&m.body)).unwrap();
        let text = String::from_utf8(message.body.clone()).unwrap();
        message.body = text.replace("To: you", "To: me!").into_bytes();
        let uid = message.uid;
        drop(world);
        trial.against(&target.url(), 0, &["--sample", "0"]);
        let report = trial.against(&target.url(), 3, &["--full"]);
        let why = "its body is the same, and its header field To is another or gone";
        assert_eq!(named(&report), [format!("differs INBOX {uid} {why}")]);
    }
}

#[test]
fn another_header_is_found_without_any_body() {
    let (target, trial) = replayed_to(&[&body(1, "a"), &body(2, "b")], TargetWorld::default(), 0);
    target.world().mailbox_mut("INBOX").messages[1].body = body(3, "b");
    let why = "its Message-ID, Date, From or Subject is another";
    for sample in ["0", "1", "100%"] {
        let report = trial.against(&target.url(), 3, &["--sample", sample]);
        assert_eq!(named(&report), [format!("differs INBOX 2 {why}")]);
        let bodies = target.commands();
        let asked = bodies.iter().any(|c| c.line.contains("BODY.PEEK[]"));
        assert_eq!(asked, sample != "0");
    }
}

#[test]
fn a_target_that_tells_no_uids_or_wrong_ones_is_looked_through() {
    let copies = body(1, "twice");
    let messages: [&[u8]; 4] = [
        &copies,
        &copies,
        &body(2, "b"),
        b"no header\r\n\r\nat all\r\n",
    ];
    type Change = fn(&mut TargetWorld);
    let table: [Change; 3] = [
        |w| w.capabilities = w.capabilities.replace(" UIDPLUS", ""),
        |w| w.appenduid = AppendUid::Swapped,
        |w| w.renumber_after = Some(1),
    ];
    for (n, change) in table.into_iter().enumerate() {
        let mut world = TargetWorld::default();
        change(&mut world);
        let (target, trial) = replayed_to(&messages, world, 0);
        let report = trial.against(&target.url(), 0, &[]);
        let inbox = row(&report, "INBOX");
        assert_eq!(inbox["agree"], 4, "{n}: {report:#}");
        assert_eq!(inbox["recognised"], 4, "{n}: {report:#}");
        // One of two copies is gone: the other stands for one message.
        let mut world = target.world();
        let inbox = world.mailbox_mut("INBOX");
        let at = inbox
            .messages
            .iter()
            .position(|m| m.body == copies)
            .unwrap();
        inbox.messages.remove(at);
        drop(world);
        let report = trial.against(&target.url(), 3, &[]);
        assert_eq!(row(&report, "INBOX")["removed"], 1, "{n}: {report:#}");
        assert_eq!(row(&report, "INBOX")["agree"], 3, "{n}: {report:#}");
    }
}

#[test]
fn dates_that_were_not_kept_are_counted_and_refusals_are_told_in_the_target_s_words() {
    let world = TargetWorld {
        ignores_date: true,
        refuse_body: Some(Box::new(|body| {
            let virus = body.windows(5).any(|w| w == b"virus");
            virus.then(|| "NO a virus was found".to_owned())
        })),
        ..TargetWorld::default()
    };
    let (target, trial) = replayed_to(&[&body(1, "a"), &body(2, "virus")], world, 3);
    let report = trial.against(&target.url(), 3, &[]);
    let inbox = row(&report, "INBOX");
    let want = [
        "agree: 1",
        "dates: 1",
        "in_archive: 2",
        "on_target: 1",
        "refused: 1",
    ];
    assert_eq!(told(inbox), want);
    assert_eq!(named(&report), ["refused INBOX - a virus was found"]);
    // Dates alone are no defect.
    trial.against(&target.url(), 0, &["--mailbox", "Zebra"]);
}

#[test]
fn only_looking_commands_are_sent() {
    let (target, trial) = replayed_to(&[&body(1, "a")], TargetWorld::default(), 0);
    trial.against(&target.url(), 0, &["--full"]);
    let commands = target.commands();
    let mut names: Vec<&str> = commands.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let looking = [
        "CAPABILITY",
        "EXAMINE",
        "LIST",
        "LOGIN",
        "LOGOUT",
        "UID FETCH",
    ];
    assert_eq!(names, looking);
    let fetches = commands.iter().filter(|c| c.name == "UID FETCH");
    for fetch in fetches {
        assert!(!fetch.line.contains("BODY["), "{}", fetch.line);
    }
}

#[test]
fn a_target_that_is_lost_leaves_what_was_found() {
    let (target, trial) = replayed_to(&[&body(1, "a")], TargetWorld::default(), 0);
    let mut gone = false;
    target.hook(move |command, _| {
        gone |= command.name == "EXAMINE" && command.line.contains("Zebra");
        match gone {
            true => Reaction::hang_up(""),
            false => Reaction::Normal,
        }
    });
    let report = trial.against(&target.url(), 6, &[]);
    assert_eq!(report["ending"], "server-lost");
    assert_eq!(row(&report, "INBOX")["agree"], 1);
    assert_eq!(row(&report, "Zebra")["state"], "not-reached");
    assert_eq!(report["bodies"]["chosen"], 0);
    // What was listed, and not compared, does not count as anything.
    target.hook(|command, _| match command.line.contains("HEADER.FIELDS") {
        true => Reaction::hang_up(""),
        false => Reaction::Normal,
    });
    let report = trial.against(&target.url(), 3, &["--sample", "0"]);
    for name in ["INBOX", "Zebra"] {
        let why = "the target does not send its header fields";
        assert!(named(&report).contains(&format!("unproven {name} 1 {why}")));
    }
}

#[test]
fn an_interrupted_comparison_says_that_it_is_not_complete() {
    let (target, trial) = replayed_to(&[&body(1, "a")], TargetWorld::default(), 0);
    target.hook(|command, _| match command.name.as_str() {
        // Never answered.
        "EXAMINE" => Reaction::say(""),
        _ => Reaction::Normal,
    });
    let archive = trial.archive.to_str().unwrap();
    let url = target.url();
    let mut running = trial
        .mailstow
        .start(&["verify", archive, "--against", &url]);
    running.wait_for("enumerating").unwrap();
    running.signal("INT");
    let ended = running.finish();
    ended.expect(130);
    let report = ended.json().pop().unwrap();
    assert_eq!(report["ending"], "interrupted");
    assert_eq!(row(&report, "INBOX")["state"], "not-reached");
}

#[test]
fn a_message_the_target_does_not_send_is_not_proven() {
    let (target, trial) = replayed_to(&[&body(1, "a"), &body(2, "b")], TargetWorld::default(), 0);
    target.hook(|command, _| {
        let body = command.line.contains("BODY.PEEK[]");
        let wanted = command.line.contains("FETCH 2 ") || command.line.contains("FETCH 1:2 ");
        match body && wanted {
            true => Reaction::say("TAG NO cannot read it\r\n"),
            false => Reaction::Normal,
        }
    });
    let report = trial.against(&target.url(), 3, &["--full"]);
    assert_eq!(row(&report, "INBOX")["unproven"], 1);
    assert_eq!(named(&report), ["unproven INBOX 2 cannot read it"]);
    // One that leaves in this moment is gone, which is another thing.
    target.hook(|command, world| {
        if command.line.contains("BODY.PEEK[]") {
            world.mailbox_mut("INBOX").messages.retain(|m| m.uid != 2);
        }
        Reaction::Normal
    });
    let report = trial.against(&target.url(), 3, &["--full"]);
    assert_eq!(
        named(&report),
        ["removed INBOX 2 it left while it was compared"]
    );
}
