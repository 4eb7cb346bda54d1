//! Messages that are looked at, marked and moved, and read by the real program.

use super::*;
use support::mailstow::Mailstow;

const DATE: &str = "07-Feb-2024 21:52:25 +0100";

fn filled() -> TargetWorld {
    let mut world = TargetWorld::with(&["Other"]).announcing("ESEARCH");
    let inbox = world.mailbox_mut("INBOX");
    inbox.add(
        &["\\Seen"],
        DATE,
        b"Subject: one\r\nFrom: a\r\n\r\nbody\r\n",
    );
    inbox.uidnext = 5;
    inbox.add(&[], DATE, b"two");
    inbox.add(&[], DATE, b"three");
    world
}

#[test]
fn messages_are_fetched_by_uid_and_item() {
    let (_fake, mut raw) = start(filled());
    assert!(raw.ask("UID FETCH 1 (FLAGS)").starts_with("BAD no mailbox"));
    raw.ask("SELECT INBOX");
    let listing = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)";
    let one = format!("* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE \"{DATE}\" RFC822.SIZE 31)");
    assert_eq!(raw.look(listing).0[0], one);
    for (command, lines) in [
        ("UID FETCH 2:5,99 (UID)", "* 2 FETCH (UID 5)"),
        ("UID FETCH 99:* UID", "* 3 FETCH (UID 6)"),
        (
            "UID FETCH 5 BODY.PEEK[]",
            "* 2 FETCH (UID 5 BODY[] {3}|two)",
        ),
        (
            "UID FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (FROM DATE)])",
            "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (FROM DATE)] {11}|From: a||)",
        ),
        ("UID FETCH 2 (UID)", ""),
    ] {
        raw.say(format!("a {command}\r\n"));
        // Lines may be empty here, within a literal.
        let (mut told, mut line) = (Vec::new(), raw.line());
        while !line.starts_with("a ") {
            told.push(line);
            line = raw.line();
        }
        assert_eq!(
            (told.join("|").as_str(), line.as_str()),
            (lines, "a OK"),
            "{command}"
        );
    }
    for command in [
        "UID FETCH 1 (BODY[])",
        "UID FETCH 1 (ENVELOPE)",
        "UID FETCH 0 (UID)",
        "UID FETCH x (UID)",
        "UID COPY 1 Other",
        "FETCH 1 (UID)",
    ] {
        assert!(raw.ask(command).starts_with("BAD"), "{command}");
    }
}

#[test]
fn everything_is_found() {
    let (fake, mut raw) = start(filled());
    raw.ask("EXAMINE INBOX");
    let all = |raw: &mut Raw, command: &str| raw.look(command).0.join("|");
    let extended = "UID SEARCH RETURN (ALL) ALL";
    assert_eq!(all(&mut raw, "UID SEARCH ALL"), "* SEARCH 1 5 6");
    assert_eq!(
        all(&mut raw, extended),
        "* ESEARCH (TAG \"a\") UID ALL 1,5:6"
    );
    fake.world().mailbox_mut("INBOX").messages.clear();
    assert_eq!(all(&mut raw, "UID SEARCH ALL"), "* SEARCH");
    assert_eq!(all(&mut raw, extended), "* ESEARCH (TAG \"a\") UID");
    assert!(raw.ask("UID SEARCH UNSEEN").starts_with("BAD"));
}

#[test]
fn flags_are_stored_where_that_is_allowed() {
    let (fake, mut raw) = start(filled());
    raw.ask("SELECT INBOX");
    for (command, lines, flags) in [
        (
            "+FLAGS (\\Seen $a)",
            "* 2 FETCH (UID 5 FLAGS (\\Seen $a))",
            "\\Seen $a",
        ),
        ("+FLAGS.SILENT (\\SEEN \\Draft)", "", "\\Seen $a \\Draft"),
        ("-FLAGS.SILENT ($A)", "", "\\Seen \\Draft"),
        (
            "FLAGS (\\Flagged)",
            "* 2 FETCH (UID 5 FLAGS (\\Flagged))",
            "\\Flagged",
        ),
        ("FLAGS.SILENT ()", "", ""),
    ] {
        let (told, tagged) = raw.look(&format!("UID STORE 5 {command}"));
        assert_eq!(
            (told.join("|").as_str(), tagged.as_str()),
            (lines, "OK"),
            "{command}"
        );
        assert_eq!(
            fake.messages("INBOX")[1].flags.join(" "),
            flags,
            "{command}"
        );
    }
    assert!(raw.ask("UID STORE 5 +FLAGS (\\Foo)").starts_with("BAD"));
    raw.ask("EXAMINE INBOX");
    assert!(
        raw.ask("UID STORE 5 +FLAGS (\\Seen)")
            .starts_with("NO [READ-ONLY]")
    );
}

#[test]
fn messages_are_moved_and_the_others_stay() {
    let (fake, mut raw) = start(filled());
    raw.ask("SELECT INBOX");
    let (told, tagged) = raw.look("UID MOVE 1,5 Other");
    let copied = "* OK [COPYUID 1700000001 1,5 1:2] moved";
    assert_eq!(told, [copied, "* 1 EXPUNGE", "* 1 EXPUNGE"]);
    assert_eq!(tagged, "OK");
    assert_eq!(fake.messages("Other").len(), 2);
    assert_eq!(fake.messages("INBOX")[0].uid, 6);
    assert!(raw.ask("UID MOVE 6 Nowhere").starts_with("NO [TRYCREATE]"));
}

#[test]
fn only_what_is_marked_is_expunged() {
    let (fake, mut raw) = start(filled());
    fake.allow("UID EXPUNGE");
    raw.ask("SELECT INBOX");
    raw.ask("UID STORE 1,5 +FLAGS.SILENT (\\Deleted)");
    assert_eq!(raw.look("UID EXPUNGE 5:6").0, ["* 2 EXPUNGE"]);
    let left: Vec<u32> = fake.messages("INBOX").iter().map(|m| m.uid).collect();
    assert_eq!(left, [1, 6]);
}

#[test]
fn the_real_program_reads_what_was_appended() {
    let capabilities = "AUTH=PLAIN SASL-IR ID ESEARCH LIST-EXTENDED LIST-STATUS QUOTA";
    for world in [
        TargetWorld::with(&["a/b"]).announcing(capabilities),
        TargetWorld::with(&["a/b"]),
    ] {
        let (fake, mut raw) = start(world);
        for mailbox in ["INBOX", "a/b"] {
            let three: [(&str, &[u8]); 3] = [("", b"A: b\r\n\r\none\r\n"), ("", b"2"), ("", b"3")];
            assert!(raw.append(mailbox, &three).starts_with("OK"));
        }
        let mailstow = Mailstow::new();
        let report = mailstow.report(&fake.url(), &mailstow.archive(), 0, &[]);
        for mailbox in ["INBOX", "a/b"] {
            let numbers = support::mailstow::numbers(&report, mailbox);
            assert_eq!(numbers.exists, 3, "{mailbox}: {report}");
        }
        let signed = fake.sign_ins();
        assert_eq!(signed.last().unwrap().user, "bob");
    }
}
