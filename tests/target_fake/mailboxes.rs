//! Sign-in, capabilities, and mailboxes as a whole.

use super::*;
use support::fake_target::{Announce, SignIn};

fn signed(connection: usize, authzid: &str, user: &str, password: &str) -> SignIn {
    SignIn {
        connection,
        authzid: authzid.to_owned(),
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

#[test]
fn sign_ins_are_put_down_with_whom_they_act_for() {
    let world = TargetWorld {
        announce: Announce::InCodes,
        ..TargetWorld::default().announcing("AUTH=PLAIN SASL-IR")
    };
    let fake = FakeTarget::start(world);
    let mut raw = Raw::connect(&fake);
    assert!(raw.line().starts_with("* OK [CAPABILITY IMAP4rev1 "));
    assert!(raw.ask("NAMESPACE").starts_with("BAD"), "not yet signed in");
    assert!(
        raw.ask("LOGIN bob \"a b\"")
            .starts_with("OK [CAPABILITY IMAP4rev1 ")
    );
    // `ann`, `bob`, `x` and `bob`, `x`.
    let mut raw = Raw::connect(&fake);
    raw.line();
    assert!(raw.ask("AUTHENTICATE PLAIN YW5uAGJvYgB4").starts_with("OK"));
    let mut raw = Raw::connect(&fake);
    raw.line();
    raw.say("a AUTHENTICATE PLAIN\r\n");
    assert_eq!(raw.line(), "+ ");
    raw.say("AGJvYgB4\r\n");
    assert!(raw.answer("a").1.starts_with("OK"));
    assert_eq!(
        fake.sign_ins(),
        [
            signed(1, "", "bob", "a b"),
            signed(2, "ann", "bob", "x"),
            signed(3, "", "bob", "x"),
        ]
    );
    fake.world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    let mut raw = Raw::connect(&fake);
    raw.line();
    assert!(
        raw.ask("LOGIN bob y")
            .starts_with("NO [AUTHENTICATIONFAILED]")
    );
    assert!(raw.ask("NAMESPACE").starts_with("BAD"), "not signed in");
}

#[test]
fn what_is_not_announced_is_bad() {
    let listing = "LIST \"\" \"*\" RETURN (STATUS (MESSAGES))";
    for (capability, command) in [
        ("SASL-IR", "AUTHENTICATE PLAIN AGJvYgB4"),
        ("AUTH=PLAIN", "AUTHENTICATE PLAIN AGJvYgB4"),
        ("ID", "ID NIL"),
        ("NAMESPACE", "NAMESPACE"),
        ("QUOTA", "GETQUOTAROOT INBOX"),
        ("CREATE-SPECIAL-USE", "CREATE Sent (USE (\\Sent))"),
        ("LIST-EXTENDED", listing),
        ("LIST-STATUS", listing),
        ("MOVE", "UID MOVE 1 INBOX"),
        ("ESEARCH", "UID SEARCH RETURN (ALL) ALL"),
        ("X-GM-EXT-1", "UID STORE 1 +X-GM-LABELS (x)"),
        ("UNSELECT", "UNSELECT"),
    ] {
        let all = "ID QUOTA LIST-EXTENDED LIST-STATUS ESEARCH X-GM-EXT-1 AUTH=PLAIN SASL-IR";
        for announced in [true, false] {
            let mut world = TargetWorld::default().announcing(all);
            if !announced {
                world = world.without(capability);
            }
            let (_fake, mut raw) = start(world);
            raw.ask("SELECT INBOX");
            let told = raw.ask(command);
            let expected = if announced { "OK" } else { "BAD" };
            assert!(told.starts_with(expected), "{capability}: {told}");
        }
    }
    let (fake, mut raw) = start(TargetWorld::default());
    let (lines, _) = raw.look("CAPABILITY");
    let announced = format!("* CAPABILITY {}", fake.world().capabilities);
    assert_eq!(lines, [announced]);
}

#[test]
fn mailboxes_are_made_with_those_above_them() {
    let (fake, mut raw) = start(TargetWorld::default());
    for (command, told) in [
        ("CREATE a/b/c", "OK"),
        ("CREATE a/b/c", "NO [ALREADYEXISTS] there is one"),
        ("CREATE inbox", "NO [ALREADYEXISTS] there is one"),
        ("CREATE A/b/c", "OK"),
        ("SELECT a", "NO [NONEXISTENT] no such mailbox"),
        ("CREATE a", "OK"),
        ("SELECT a", "OK [READ-WRITE] open"),
        ("CREATE Gesendet (USE (\\Sent))", "OK"),
        ("CREATE x (USE (\\Nonsense))", "NO [USEATTR] no such use"),
        ("CREATE &&&", "NO Mailbox name is not valid mUTF-7"),
        ("SUBSCRIBE a/b/c", "OK"),
        ("SUBSCRIBE nothing", "NO [NONEXISTENT] no such mailbox"),
        ("UNSELECT", "OK"),
        ("UNSELECT", "BAD no mailbox is open"),
    ] {
        assert_eq!(raw.ask(command), told, "{command}");
    }
    let listed = |raw: &mut Raw, command: &str| {
        let (lines, told) = raw.look(command);
        assert_eq!(told, "OK", "{command}");
        let text = lines.join("|");
        text.replace("* LIST ", "").replace("\"/\" ", "")
    };
    let all = "() \"INBOX\"|() \"a\"|(\\Noselect) \"a/b\"|() \"a/b/c\"|(\\Noselect) \"A\"|\
               (\\Noselect) \"A/b\"|() \"A/b/c\"|(\\Sent) \"Gesendet\"";
    for (command, expected) in [
        ("LIST \"\" *", all),
        (
            "LIST \"\" %",
            "() \"INBOX\"|() \"a\"|(\\Noselect) \"A\"|(\\Sent) \"Gesendet\"",
        ),
        ("LIST a/ %", "(\\Noselect) \"a/b\""),
        ("LIST \"\" a*c", "() \"a/b/c\""),
        ("LIST \"\" inbox", "() \"INBOX\""),
        ("LIST \"\" nothing", ""),
        ("LIST \"\" \"\"", "(\\Noselect) \"\""),
        ("LSUB \"\" *", "* LSUB () \"a/b/c\""),
    ] {
        assert_eq!(listed(&mut raw, command), expected, "{command}");
    }
    assert_eq!(
        raw.look("NAMESPACE").0,
        ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]
    );
    fake.world()
        .capabilities
        .push_str(" LIST-EXTENDED LIST-STATUS");
    let told = listed(
        &mut raw,
        "LIST \"\" a/* RETURN (SUBSCRIBED STATUS (MESSAGES UIDVALIDITY) SPECIAL-USE)",
    );
    assert_eq!(
        told,
        "(\\Noselect) \"a/b\"|(\\Subscribed) \"a/b/c\"|\
         * STATUS \"a/b/c\" (MESSAGES 0 UIDVALIDITY 1700000003)"
    );
}

#[test]
fn names_have_a_prefix_and_a_separator_and_may_fold() {
    let world = TargetWorld {
        namespace: "INBOX.".to_owned(),
        separator: '.',
        case_insensitive: true,
        ..TargetWorld::default()
    };
    let (fake, mut raw) = start(world);
    for (command, told) in [
        ("CREATE Work", "NO Client tried to access"),
        ("STATUS Work (MESSAGES)", "NO Client tried to access"),
        ("CREATE INBOX.&AMQ-pfel", "OK"),
        ("CREATE INBOX.&AOQ-PFEL", "NO [ALREADYEXISTS]"),
        ("SELECT INBOX.&AOQ-PFEL", "OK"),
        ("SELECT inbox", "OK"),
        ("CREATE INBOX.a.b", "OK"),
    ] {
        let answer = raw.ask(command);
        assert!(answer.starts_with(told), "{command}: {answer}");
    }
    let told = raw.append("inbox.&AOQ-pfel", &[("", b"x")]);
    assert!(
        told.starts_with("NO Client tried"),
        "the prefix has its case: {told}"
    );
    assert!(
        raw.append("INBOX.&AOQ-pfel", &[("", b"x")])
            .starts_with("OK")
    );
    assert_eq!(fake.messages("INBOX.&AMQ-pfel").len(), 1);
    assert!(fake.world().mailbox("INBOX.a").is_some());
    let (lines, _) = raw.look("NAMESPACE");
    assert_eq!(lines, ["* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL"]);
}

#[test]
fn opening_tells_what_is_kept() {
    let (fake, mut raw) = start(TargetWorld::with(&["Other"]));
    fake.world().mailbox_mut("INBOX").permanent_flags = Some("(\\Seen)".to_owned());
    fake.world().mailbox_mut("Other").permanent_flags = None;
    let permanent = |raw: &mut Raw, command: &str| {
        let (lines, told) = raw.look(command);
        let found = lines.iter().find(|l| l.contains("PERMANENTFLAGS"));
        (found.cloned().unwrap_or_default(), told)
    };
    for (command, flags, told) in [
        (
            "SELECT INBOX",
            "* OK [PERMANENTFLAGS (\\Seen)] kept",
            "OK [READ-WRITE] open",
        ),
        (
            "EXAMINE INBOX",
            "* OK [PERMANENTFLAGS ()] kept",
            "OK [READ-ONLY] open",
        ),
        ("SELECT Other", "", "OK [READ-WRITE] open"),
    ] {
        let expected = (flags.to_owned(), told.to_owned());
        assert_eq!(permanent(&mut raw, command), expected, "{command}");
    }
    fake.world().mailbox_mut("INBOX").read_only = true;
    let expected = (
        "* OK [PERMANENTFLAGS ()] kept".to_owned(),
        "OK [READ-ONLY] open".to_owned(),
    );
    assert_eq!(permanent(&mut raw, "SELECT INBOX"), expected);
    let (lines, _) = raw.look("SELECT Other");
    let told = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(told("* 0 EXISTS") && told("[UIDVALIDITY 1700000001]") && told("[UIDNEXT 1]"));
}
