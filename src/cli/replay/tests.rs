use super::*;
use mailstow::replay::{LeftOut, LeftOutKind, MailboxRow, MessageNote, What};

const HOSTILE: &str = "<script>alert('1')</script>\"&\u{202e}\u{1b}[2J\r\n";

/// A replay in which everything happened that can happen.
fn eventful() -> ReplayReport {
    let inbox = MailboxRow {
        sources: vec!["INBOX".to_owned()],
        target: "INBOX".to_owned(),
        in_archive: 100,
        before: Some(20),
        appended: 60,
        bytes: 3_000_000,
        moved_in: 2,
        there: 17,
        removed: 3,
        collapsed: 1,
        refused: 5,
        doubtful: 4,
        lost: 1,
        excluded: 6,
        left: 1,
        now: Some(85),
        flags_set: 7,
        flags_kept: 8,
        ..MailboxRow::default()
    };
    let hostile = MailboxRow {
        sources: vec![format!("Old/{HOSTILE}"), "Other".to_owned()],
        target: HOSTILE.to_owned(),
        created: true,
        in_archive: 10,
        before: Some(3),
        appended: 9,
        bytes: 9,
        moved_out: 2,
        now: Some(8),
        notes: vec![HOSTILE.to_owned()],
        ..MailboxRow::default()
    };
    let mut report = ReplayReport {
        archive: "archive".to_owned(),
        archive_id: "0123".to_owned(),
        account: HOSTILE.to_owned(),
        target: "bob@example.org".to_owned(),
        delivery: false,
        dry_run: false,
        started: "2026-11-22T10:00:00Z".to_owned(),
        ended: "2026-11-22T11:02:03Z".to_owned(),
        as_of: Some("2026-01-02T03:04:05Z".to_owned()),
        selection: vec![format!("only mailboxes {HOSTILE}")],
        ending: Ending::Complete,
        error: None,
        mailboxes: vec![inbox, hostile],
        total: MailboxRow::default(),
        left_out: vec![LeftOut {
            name: HOSTILE.to_owned(),
            messages: 77,
            kind: LeftOutKind::View,
            reason: HOSTILE.to_owned(),
        }],
        messages: Vec::new(),
        noted: Vec::new(),
        warnings: vec![HOSTILE.to_owned()],
        notes: vec![HOSTILE.to_owned()],
        sent: 3_100_000,
    };
    let kinds = [
        (What::WithoutDate, 1),
        (What::Refused, 23),
        (What::Doubtful, 1),
        (What::Lost, 1),
        (What::Collapsed, 1),
        (What::Altered, 1),
        (What::WithoutKeywords, 1002),
    ];
    for (what, n) in kinds {
        for number in 0..n {
            report.note(MessageNote {
                what,
                mailbox: HOSTILE.to_owned(),
                content: format!("{number:064x}"),
                remote: "7:1".to_owned(),
                reason: HOSTILE.to_owned(),
            });
        }
    }
    report.add_up();
    report
}

fn words_of(report: &ReplayReport) -> String {
    words::of(report, Path::new("archive"))
}

fn page_of(report: &ReplayReport) -> String {
    html::page(report, Path::new("archive"), report.exit()).html()
}

#[test]
fn hostile_names_and_words_are_only_text_on_the_terminal_and_on_the_page() {
    let report = eventful();
    let words = words_of(&report);
    let odd = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!words.contains(odd), "{words}");
    let page = page_of(&report);
    assert!(!page.contains(odd) && !page.contains("<script"), "{page}");
    let shown =
        "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\\u{202e}\\u{1b}[2J\\r\\n";
    assert!(page.matches(shown).count() > 20, "{page}");
}

#[test]
fn columns_that_have_nothing_to_say_are_left_out() {
    let shorts = |report: &ReplayReport| {
        let columns = columns::shown(report);
        columns
            .iter()
            .map(|c| c.short)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut report = eventful();
    assert_eq!(
        shorts(&report),
        "in archive, before, appended, there, moved in, moved out, removed, collapsed, excluded, \
         refused, doubtful, lost, left, elsewhere, now"
    );
    report.mailboxes = vec![MailboxRow::default()];
    assert_eq!(
        shorts(&report),
        "in archive, before, appended, there, refused, doubtful"
    );
    report.mailboxes = vec![MailboxRow {
        now: Some(0),
        ..MailboxRow::default()
    }];
    report.dry_run = true;
    assert_eq!(
        shorts(&report),
        "in archive, before, to append, there, refused, doubtful, now"
    );
}

#[test]
fn the_two_sums_are_spelled_out_and_say_when_they_do_not_hold() {
    let sums = |report: &ReplayReport| {
        let said = equations::of(report);
        let marked = said
            .iter()
            .map(|s| format!("{} {}", u8::from(s.grave), s.text));
        marked.collect::<Vec<_>>().join("\n")
    };
    let row = |before: Option<u64>, now: Option<u64>| MailboxRow {
        target: "INBOX".to_owned(),
        in_archive: 10,
        appended: 6,
        there: 3,
        refused: 1,
        before,
        now,
        ..MailboxRow::default()
    };
    let archive = "0 In the archive: 10 = 6 appended + 3 already there + 1 refused.";
    let odd = "1 This does not hold for: INBOX.";
    for (before, now, want) in [
        (
            Some(4),
            Some(10),
            "0 On the target now: 10 = 4 before + 6 appended.",
        ),
        (
            Some(4),
            Some(12),
            "0 On the target now: 12 = 4 before + 6 appended + 2 from elsewhere.",
        ),
        (
            Some(4),
            Some(9),
            "1 On the target now: 9, which is 1 less than 4 before + 6 appended.",
        ),
        (
            Some(4),
            None,
            "0 On the target now: not counted in every mailbox, so there is no sum.",
        ),
    ] {
        let mut report = eventful();
        report.mailboxes = vec![row(before, now)];
        report.add_up();
        let end = if want.starts_with('1') { odd } else { "" };
        assert_eq!(
            sums(&report),
            format!("{archive}\n{want}\n{end}").trim_end()
        );
    }
    let mut report = eventful();
    report.mailboxes = vec![MailboxRow {
        there: 0,
        ..row(None, None)
    }];
    report.add_up();
    assert!(sums(&report).contains("1 In the archive: 10, but 6 appended + 1 refused make 7."));
    assert!(sums(&report).ends_with(odd));
    // The whole of it, moves included.
    report = eventful();
    let all = sums(&report);
    let target = "On the target now: 93 = 23 before + 69 appended + 2 moved in − 2 moved out + 1 from elsewhere.";
    assert!(all.contains(target), "{all}");
}

#[test]
fn the_last_line_says_how_it_ended_and_what_to_do_next() {
    let plain = || {
        let mut report = eventful();
        report.warnings.clear();
        report.mailboxes = vec![MailboxRow {
            target: "INBOX".to_owned(),
            in_archive: 412,
            before: Some(12),
            appended: 400,
            bytes: 12_058_624,
            there: 12,
            now: Some(412),
            ..MailboxRow::default()
        }];
        report
    };
    type Change = fn(&mut ReplayReport);
    let cases: [(Change, u8, &str); 11] = [
        (
            |_| {},
            0,
            "complete: 400 messages (11.5 MiB) appended, 12 were there already.",
        ),
        (
            |r| {
                let row = &mut r.mailboxes[0];
                (row.appended, row.there, row.now) = (0, 412, Some(12));
            },
            0,
            "complete: nothing to send, 412 messages there already.",
        ),
        (
            |r| {
                let row = &mut r.mailboxes[0];
                (row.appended, row.there, row.removed) = (0, 400, 12);
                (row.flags_set, row.now) = (3, Some(12));
            },
            0,
            "complete: nothing to send, flags of 3 brought up to date, 400 messages there already, 12 removed there since.",
        ),
        (
            |r| (r.dry_run, r.mailboxes[0].now) = (true, None),
            0,
            "a dry run, nothing was changed: 400 messages (11.5 MiB) would be appended, 12 are there already.",
        ),
        (
            |r| {
                let row = &mut r.mailboxes[0];
                (row.there, row.refused, row.doubtful) = (9, 2, 1);
            },
            3,
            "finished, but not everything is there: 400 messages (11.5 MiB) appended, 9 were there already, 2 refused, 1 doubtful.",
        ),
        (
            |r| r.mailboxes[0].there = 11,
            3,
            "finished, but it does not add up: 400 messages (11.5 MiB) appended, 11 were there already.",
        ),
        (
            |r| r.warnings.push("x".to_owned()),
            3,
            "finished, with something to look at: 400 messages (11.5 MiB) appended, 12 were there already.",
        ),
        (
            |r| {
                r.ending = Ending::Interrupted;
                let row = &mut r.mailboxes[0];
                (row.appended, row.left) = (0, 400);
            },
            130,
            "interrupted: nothing appended, 12 were there already, 400 left.\nRun the same command again: it sends what is missing, and nothing twice.",
        ),
        (
            |r| {
                r.ending = Ending::ServerLost;
                r.error = Some("BYE going down".to_owned());
            },
            6,
            "the target was lost: BYE going down\n400 messages (11.5 MiB) appended, 12 were there already.\nRun the same command again: it sends what is missing, and nothing twice.",
        ),
        (
            |r| {
                r.ending = Ending::Limit;
                r.error = Some("the target has no room left: [OVERQUOTA] full".to_owned());
            },
            9,
            "the target has no room left: [OVERQUOTA] full\n400 messages (11.5 MiB) appended, 12 were there already.\nMake room there and run the same command again: it sends what is missing.",
        ),
        (
            |r| (r.mailboxes[0].there, r.mailboxes[0].lost) = (11, 1),
            7,
            "finished, but not everything is there: 400 messages (11.5 MiB) appended, 11 were there already, 1 lost.",
        ),
    ];
    for (change, exit, want) in cases {
        let mut report = plain();
        change(&mut report);
        report.add_up();
        assert_eq!(report.exit(), exit, "{want}");
        assert_eq!(said::verdict(&report).join("\n"), want);
        assert!(words_of(&report).ends_with(&format!("\n\n{want}")));
    }
}

#[test]
fn of_many_messages_some_are_named_and_the_rest_is_counted() {
    let report = eventful();
    let words = words_of(&report);
    let named = |what: &str| words.matches(&format!("{what} 0000")).count();
    assert_eq!(named("! refused"), 20, "{words}");
    assert!(
        words.contains("! refused: 3 more; --json has all\n"),
        "{words}"
    );
    assert_eq!(named("  without keywords"), 20);
    let some = "  without keywords: 982 more; --json has 1000 of them\n";
    assert!(words.contains(some), "{words}");
    assert!(words.find("! lost") < words.find("! refused"), "{words}");
    let page = page_of(&report);
    let rows = |what: &str| page.matches(&format!("<bdi>{what}</bdi></th>")).count();
    // The glossary has a row for a column of that name as well.
    assert_eq!((rows("without keywords"), rows("lost")), (1000, 1 + 1));
    assert!(page.contains("without keywords: 2 more that are not named here"));
}

#[test]
fn what_a_person_may_do_next_is_said_where_there_is_something_to_do() {
    let words = words_of(&eventful());
    for advice in [
        "--resend-doubtful sends it again",
        "(--resend-removed does that)",
        "mailstow verify archive",
        "(mailstow show archive ID), and every replay tries it again",
    ] {
        assert_eq!(words.matches(advice).count(), 1, "{advice}: {words}");
    }
    assert!(!words.contains("--repair"), "{words}");
    let mut report = eventful();
    report.note(MessageNote {
        what: What::Refused,
        mailbox: "INBOX".to_owned(),
        content: String::new(),
        remote: String::new(),
        reason: "NO Message contains NUL characters".to_owned(),
    });
    assert!(words_of(&report).contains("--repair nul,long-lines,bare-lf"));
    let quiet = ReplayReport {
        mailboxes: Vec::new(),
        messages: Vec::new(),
        noted: Vec::new(),
        total: MailboxRow::default(),
        ..eventful()
    };
    assert!(!words_of(&quiet).contains("--re"), "{}", words_of(&quiet));
}

#[test]
fn a_mailbox_that_was_not_reached_shows_no_numbers() {
    let mut report = eventful();
    report.mailboxes = vec![
        MailboxRow {
            target: "Work".to_owned(),
            problem: Some("it was not reached".to_owned()),
            ..MailboxRow::default()
        },
        MailboxRow {
            target: "INBOX".to_owned(),
            before: Some(0),
            now: Some(0),
            ..MailboxRow::default()
        },
    ];
    report.add_up();
    let words = words_of(&report);
    let cells = |name: &str| {
        let line = words.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(cells("Work"), "? ? 0 0 0 0 ?");
    assert_eq!(cells("INBOX"), "0 0 0 0 0 0 0");
    assert_eq!(cells("total"), "? ? 0 0 0 0 ?");
    assert!(words.contains("! Work: it was not reached"), "{words}");
}
