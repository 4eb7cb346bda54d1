use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::special::{by_name, folded};
use super::wire::spell;
use super::*;
use crate::imap::utf7;
use crate::source::decoded_name;

/// Names, each with a special use behind `=`, and with a record behind `@`.
fn sources(names: &[&str]) -> Vec<SourceName> {
    let source = |(id, text): (u32, &&str)| {
        let (text, recorded) = text
            .split_once('@')
            .map_or((*text, None), |(t, r)| (t, Some(r)));
        let (name, used) = text
            .split_once('=')
            .map_or((text, None), |(n, u)| (n, Some(u)));
        SourceName {
            id: MailboxId(id),
            name: name.into(),
            special_use: used.map(|u| format!("\\{u}")),
            recorded: recorded.map(str::to_owned),
        }
    };
    (0..).zip(names).map(source).collect()
}

/// Wire names, each with a special use behind `=`; a leading `!` is for one that cannot be opened.
fn space(separator: char, prefix: &str, names: &[&str]) -> TargetSpace {
    let target = |text: &&str| {
        let selectable = !text.starts_with('!');
        let text = text.trim_start_matches('!');
        let (wire, used) = text
            .split_once('=')
            .map_or((text, None), |(n, u)| (n, Some(u)));
        TargetName {
            wire: wire.into(),
            name: decoded_name(&utf7::decode(wire), Some(separator)),
            special_use: used.map(|u| format!("\\{u}")),
            selectable,
        }
    };
    TargetSpace {
        separator: Some(separator),
        prefix: prefix.into(),
        mailboxes: names.iter().map(target).collect(),
    }
}

fn map(pairs: &[(&str, &str)]) -> Rules {
    Rules {
        map: pairs
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect(),
        ..Rules::default()
    }
}

fn into(prefix: &str) -> Rules {
    Rules {
        into: Some(prefix.into()),
        ..Rules::default()
    }
}

/// One word for each destination: the wire name, `+` before it if it is to be created, what
/// CREATE asks for, and `!` for each note.
fn shown(destination: &Destination) -> String {
    match destination {
        Destination::Mailbox {
            wire,
            exists,
            special_use,
            notes,
            ..
        } => format!(
            "{}{wire}{}{}",
            if *exists { "" } else { "+" },
            special_use
                .as_deref()
                .unwrap_or_default()
                .replace('\\', "="),
            "!".repeat(notes.len())
        ),
        Destination::Virtual { leftovers } => format!("virtual {leftovers}"),
        Destination::Refused(_) => "refused".into(),
    }
}

fn mapped(names: &[&str], space: &TargetSpace, rules: &Rules) -> Vec<String> {
    let mapping = map_names(&sources(names), space, rules);
    let ids: Vec<u32> = mapping.mailboxes.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, (0..).take(names.len()).collect::<Vec<_>>());
    let destinations = mapping.mailboxes.iter().map(|(_, d)| d);
    destinations.chain(&mapping.leftovers).map(shown).collect()
}

#[track_caller]
fn check(names: &[&str], space: &TargetSpace, rules: &Rules, expected: &[&str]) {
    assert_eq!(mapped(names, space, rules), expected, "{names:?}");
}

#[test]
fn names_stay_what_they_are_below_the_prefix() {
    let none = Rules::default();
    let dovecot = space('/', "", &["INBOX", "Work"]);
    check(
        &["INBOX", "Work", "Work/2019", "INBOX/x"],
        &dovecot,
        &none,
        &["INBOX", "Work", "+Work/2019", "+INBOX/x"],
    );
    let courier = space('.', "INBOX.", &["INBOX", "INBOX.Work"]);
    check(
        &["inbox", "Work", "Work/2019", "INBOX/x", "v1.2"],
        &courier,
        &none,
        &[
            "INBOX",
            "INBOX.Work",
            "+INBOX.Work.2019",
            "+INBOX.x",
            "+INBOX.v1_2!",
        ],
    );
    check(
        &["INBOX", "Work"],
        &space('/', "", &[]),
        &none,
        &["INBOX", "+Work"],
    );
    check(
        &["Caf\u{e9}", "Cafe\u{301}s"],
        &space('/', "", &["Cafe&AwE-"]),
        &none,
        &["Cafe&AwE-", "+Caf&AOk-s"],
    );
    check(&["Work"], &space('/', "", &["!Work"]), &none, &["+Work!"]);
    check(&["Work"], &space('/', "", &["work"]), &none, &["work!"]);
    check(
        &["[Gmail]", "x"],
        &space('/', "", &["![Gmail]"]),
        &none,
        &["refused", "+x"],
    );
}

#[test]
fn special_uses_go_by_attribute_then_by_name_and_only_once() {
    let none = Rules::default();
    let gmail = space(
        '/',
        "",
        &[
            "INBOX",
            "![Gmail]",
            "[Gmail]/Sent Mail=Sent",
            "[Gmail]/Bin=Trash",
        ],
    );
    check(
        &["Sent=Sent", "Trash", "Drafts=Drafts", "Junk"],
        &gmail,
        &none,
        &[
            "[Gmail]/Sent Mail",
            "[Gmail]/Bin",
            "+Drafts=Drafts",
            "+Junk=Junk",
        ],
    );
    // An attribute beats a name, wherever it stands; the other one keeps its own.
    check(
        &["Sent", "Gesendet=Sent", "Mine=sent"],
        &gmail,
        &none,
        &["+Sent", "[Gmail]/Sent Mail", "+Mine"],
    );
    let plain = space(
        '.',
        "INBOX.",
        &["INBOX", "INBOX.Sent Items", "INBOX.Trash=Trash"],
    );
    check(
        &["INBOX/Sent", "[Gmail]/Trash"],
        &plain,
        &none,
        &["INBOX.Sent Items", "INBOX.Trash"],
    );
    // What is called the same goes first, among names and where nothing has an attribute.
    check(
        &["Deleted Items", "Trash"],
        &plain,
        &none,
        &["+INBOX.Deleted Items", "INBOX.Trash"],
    );
    let bare = space('/', "", &["Trash", "Spam", "Junk", "Mist"]);
    check(
        &["Deleted Items", "Trash"],
        &bare,
        &none,
        &["+Deleted Items", "Trash"],
    );
    check(&["Mist=Junk", "Spam"], &bare, &none, &["Mist", "Spam"]);
    check(&["Bulk Mail=Junk"], &bare, &none, &["Junk"]);
    // The prefix is no level of a name, and outside of it other people's mail may be.
    let below = space('/', "~me/", &["~me/Sent Items", "Trash"]);
    check(
        &["Sent", "Bin"],
        &below,
        &none,
        &["~me/Sent Items", "+~me/Bin=Trash"],
    );
    // Another's attribute makes a name no guess.
    check(
        &["Archive=Junk"],
        &space('/', "", &["Junk=Trash"]),
        &none,
        &["+Archive=Junk"],
    );
    // One that is taken is not shared.
    check(
        &["Sent=Sent", "a@[Gmail]/Sent Mail"],
        &gmail,
        &none,
        &["+Sent", "[Gmail]/Sent Mail"],
    );
    check(
        &["Sent=Sent"],
        &space('/', "", &["!Sent=Sent"]),
        &none,
        &["+Sent!"],
    );
    check(&["Work/Sent"], &gmail, &none, &["+Work/Sent"]);
}

#[test]
fn what_only_shows_other_mail_is_left_out_and_its_leftovers_are_archived() {
    let none = Rules::default();
    let all = ["[Gmail]/All Mail=All", "[Gmail]/Starred", "x=Important"];
    let gmail = space(
        '/',
        "",
        &["[Gmail]/Alle Nachrichten=All", "[Gmail]/Markiert=Flagged"],
    );
    let left_out = |rest: &'static str| ["virtual true", "virtual false", "virtual false", rest];
    check(&all, &gmail, &none, &left_out("[Gmail]/Alle Nachrichten"));
    check(
        &all,
        &space('/', "", &["All=All"]),
        &none,
        &left_out("+Archive=Archive"),
    );
    check(
        &all,
        &space('/', "", &["Archiv", "Old=Archive"]),
        &none,
        &left_out("Old"),
    );
    check(
        &all,
        &space('/', "", &["Archives", "Archiv"]),
        &none,
        &left_out("Archives"),
    );
    check(&all, &gmail, &into("Old"), &left_out("+Old/Archive"));
    check(
        &["x=All", "Mine=Archive"],
        &gmail,
        &none,
        &["virtual true", "+Mine=Archive", "+Mine=Archive"],
    );
    check(
        &["x=All", "Archive"],
        &gmail,
        &into("Old"),
        &["virtual true", "+Old/Archive", "+Old/Archive"],
    );
    check(
        &["x=All", "Archive=Junk"],
        &space('/', "", &[]),
        &none,
        &["virtual true", "+Archive=Junk", "+Archive~2=Archive!"],
    );
    check(&["x=Flagged"], &gmail, &none, &["virtual false"]);

    let too = Rules {
        virtual_too: true,
        ..Rules::default()
    };
    check(
        &all,
        &gmail,
        &too,
        &["[Gmail]/Alle Nachrichten", "[Gmail]/Markiert", "+x"],
    );
    check(
        &all[..1],
        &space('/', "", &["All=All"]),
        &too,
        &["+[Gmail]/All Mail"],
    );
    check(
        &all[..2],
        &gmail,
        &map(&[("[Gmail]/All Mail", "Everything")]),
        &["+Everything", "virtual false"],
    );
}

#[test]
fn the_user_goes_before_everything_and_may_merge() {
    let target = space('/', "", &["INBOX", "Sent=Sent", "Old", "![Gmail]"]);
    check(
        &["INBOX", "Work", "Sent=Sent", "Old"],
        &target,
        &map(&[("inbox", "Old"), ("Work", "Old"), ("Sent", "Inbox")]),
        &["Old", "Old", "INBOX", "Old"],
    );
    check(
        &["a", "b", "B"],
        &target,
        &map(&[("a", "b")]),
        &["+b", "+b", "+B~2!"],
    );
    check(&["a", "B"], &target, &map(&[("a", "b")]), &["+b", "+b!"]);
    check(
        &["a@Old", "b", "c"],
        &target,
        &map(&[("a", "new/a"), ("b", ""), ("c", "[gmail]")]),
        &["+new/a", "refused", "refused"],
    );
    check(
        &["Mist=Junk", "Spam"],
        &target,
        &map(&[("Mist", "Junk")]),
        &["+Junk=Junk", "+Spam"],
    );
    check(
        &["Mist=Sent"],
        &target,
        &map(&[("Mist", "My Sent")]),
        &["+My Sent"],
    );
    let rules = Rules {
        map: vec![("x/1".into(), "first".into())],
        map_regex: vec![
            (Regex::new("^x/(.*)$").unwrap(), "y/$1".into()),
            (Regex::new("^.*$").unwrap(), "z".into()),
        ],
        ..Rules::default()
    };
    check(
        &["x/1", "x/2", "other", "else"],
        &target,
        &rules,
        &["+first", "+y/2", "+z", "+z"],
    );
}

#[test]
fn an_earlier_run_goes_before_the_rules_whether_the_target_lists_it_or_not() {
    let target = space('/', "", &["INBOX", "Sent=Sent", "Work~2", "Old/Work"]);
    check(
        &["Work@Work~2", "work"],
        &target,
        &Rules::default(),
        &["Work~2", "+work"],
    );
    // Under another name all of it would come a second time.
    check(
        &["Work@gone", "b@gone", "gone"],
        &target,
        &Rules::default(),
        &["+gone!", "+b", "+gone~2!"],
    );
    check(&["Work@gone"], &target, &into("Old"), &["Old/Work"]);
    check(
        &["Mine@Sent", "Sent=Sent"],
        &target,
        &Rules::default(),
        &["Sent", "+Sent~2!"],
    );
    check(
        &["a@Work~2", "b@Work~2"],
        &target,
        &Rules::default(),
        &["Work~2", "+b"],
    );
    check(&["Work@Work~2"], &target, &into("Old"), &["Old/Work"]);
    check(&["Mine@Old/Work"], &target, &into("/Old/"), &["Old/Work"]);
    // A mailbox that an earlier run gave the use is not passed over for one of that name.
    check(
        &["Trash@Work~2", "Deleted Items"],
        &target,
        &Rules::default(),
        &["Work~2", "+Deleted Items"],
    );
}

#[test]
fn everything_goes_below_the_name_it_is_put_into() {
    let target = space('.', "INBOX.", &["INBOX", "INBOX.Sent=Sent"]);
    let names = ["INBOX", "Sent=Sent", "INBOX/x", "a/b", "m"];
    let rules = Rules {
        map: map(&[("m", "n")]).map,
        ..into("Old/Mail")
    };
    check(
        &names,
        &target,
        &rules,
        &[
            "+INBOX.Old.Mail.INBOX",
            "+INBOX.Old.Mail.Sent",
            "+INBOX.Old.Mail.INBOX.x",
            "+INBOX.Old.Mail.a.b",
            "+INBOX.Old.Mail.n",
        ],
    );
    check(
        &names[..2],
        &target,
        &into("INBOX/Old"),
        &["+INBOX.Old.INBOX", "+INBOX.Old.Sent"],
    );
}

#[test]
fn names_that_clash_get_a_number_unless_the_target_tells_them_apart() {
    let none = Rules::default();
    let long = "x".repeat(300);
    let empty = space('.', "", &[]);
    check(
        &["a.b", "a_b", "A_B", "INBOX", "inbox", "a_b~2"],
        &empty,
        &none,
        &[
            "+a_b!",
            "+a_b~3!",
            "+A_B~4!",
            "INBOX",
            "+INBOX~2!",
            "+a_b~2",
        ],
    );
    check(
        &["Work", "work"],
        &space('/', "", &["work", "Work"]),
        &none,
        &["Work", "work"],
    );
    check(
        &["Work", "work"],
        &space('/', "", &["work"]),
        &none,
        &["+Work~2!", "work"],
    );
    check(
        &["Work", "work"],
        &space('/', "", &["Work", "work~2"]),
        &none,
        &["Work", "work~2!"],
    );
    let shortened = format!("+{}~2!", "x".repeat(253));
    let next = format!("+{}~3!!", "x".repeat(253));
    check(
        &[&long, &format!("{long}x")],
        &space('/', "", &[]),
        &none,
        &[&shortened, &next],
    );
    check(
        &[&"x/".repeat(200)],
        &space('/', "", &[]),
        &none,
        &["refused"],
    );
}

const NAMES: [&str; 30] = [
    "INBOX",
    "Inbox",
    "inbox/Sent",
    "INBOX/Sent",
    "INBOX/Work",
    "Work",
    "work",
    "WORK~2",
    "Work~2",
    "Work/x",
    "W\u{f6}rk",
    "Wo\u{308}rk",
    "a.b",
    "a_b",
    "a/b",
    "a-b",
    " a",
    "_a",
    "Sent",
    "sent",
    "Sent Items",
    "[Gmail]/Sent Mail",
    "[Gmail]/All Mail",
    "[Gmail]",
    "Trash",
    "Deleted Items",
    "Archive",
    "Archive~2",
    "Stra\u{df}e",
    "STRASSE",
];

fn any_sources() -> impl Strategy<Value = Vec<SourceName>> {
    let used = prop_oneof![3 => Just(None), 1 => proptest::sample::select(vec!["Sent", "Trash", "Archive", "All"]).prop_map(Some)];
    let long = proptest::sample::select(vec![
        "x".repeat(254),
        "x".repeat(256),
        "x".repeat(400),
        "\u{44f}".repeat(120),
    ]);
    let name = prop_oneof![20 => proptest::sample::select(NAMES.to_vec()).prop_map(str::to_owned), 1 => long];
    let recorded = prop_oneof![5 => Just(None), 1 => proptest::sample::select(vec!["Work", "Sent", "a_b"]).prop_map(Some)];
    proptest::collection::vec((name, used, recorded), 0..14).prop_map(|all| {
        let source = |(id, (name, used, recorded)): (u32, (String, Option<&str>, Option<&str>))| {
            SourceName {
                id: MailboxId(id),
                name,
                special_use: used.map(|u| format!("\\{u}")),
                recorded: recorded.map(str::to_owned),
            }
        };
        (0..).zip(all).map(source).collect()
    })
}

fn any_space() -> impl Strategy<Value = TargetSpace> {
    let listed = proptest::sample::subsequence(
        vec![
            "Work",
            "work",
            "Work~2",
            "a_b",
            "a-b",
            "Sent",
            "Sent Items=Sent",
            "Trash",
            "Bin=Trash",
            "![Gmail]",
            "[Gmail]/x=All",
            "W&APY-rk",
            "Wo&AwgPG-rk",
            "!_a",
            "Archive",
            "INBOX",
        ],
        0..10,
    );
    let separator = proptest::option::of(proptest::sample::select(vec!['/', '.']));
    (listed, separator, any::<bool>()).prop_map(|(listed, separator, prefixed)| {
        let prefix = match separator {
            Some(separator) if prefixed => format!("INBOX{separator}"),
            _ => String::new(),
        };
        let below = |text: &&str| match text.strip_prefix('!') {
            _ if *text == "INBOX" => (*text).to_owned(),
            Some(name) => format!("!{prefix}{name}"),
            None => format!("{prefix}{text}"),
        };
        let listed: Vec<String> = listed.iter().map(below).collect();
        let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
        let mut space = space(separator.unwrap_or('\0'), &prefix, &listed);
        space.separator = separator;
        space
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (
        proptest::option::weighted(0.2, Just("Old")),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(into, virtual_too, mapped)| Rules {
            map: if mapped {
                map(&[("Work", "work"), ("Trash", "INBOX")]).map
            } else {
                Vec::new()
            },
            into: into.map(str::to_owned),
            virtual_too,
            ..Rules::default()
        })
}

fn wires(mapping: &Mapping) -> Vec<Option<String>> {
    let wire = |d: &Destination| match d {
        Destination::Mailbox { wire, .. } => Some(wire.clone()),
        _ => None,
    };
    mapping.mailboxes.iter().map(|(_, d)| wire(d)).collect()
}

proptest! {
    #[test]
    fn no_two_mailboxes_share_a_destination_the_user_did_not_give(
        sources in any_sources(), space in any_space(), rules in any_rules(),
    ) {
        let mapping = map_names(&sources, &space, &rules);
        prop_assert_eq!(mapping.mailboxes.len(), sources.len());
        let listed: HashMap<&str, &TargetName> =
            space.mailboxes.iter().map(|t| (&*t.wire, t)).collect();
        let (mut seen, mut alike) = (HashSet::new(), HashSet::new());
        // What an earlier run put there keeps its name, whatever has come beside it since.
        let unlisted = |wire: &String| !listed.contains_key(wire.as_str());
        let kept = sources.iter().any(|s| s.recorded.as_ref().is_some_and(unlisted));
        for (source, (id, destination)) in sources.iter().zip(&mapping.mailboxes) {
            prop_assert_eq!(source.id, *id);
            let Destination::Mailbox { wire, name, exists, special_use, .. } = destination else { continue };
            let target = listed.get(&**wire);
            let there = wire == "INBOX" || target.is_some_and(|t| t.selectable);
            prop_assert_eq!(*exists, there, "{:?}", destination);
            prop_assert!(!*exists || special_use.is_none());
            prop_assert!(wire.len() <= 255);
            prop_assert_eq!(name, &decoded_name(&utf7::decode(wire), space.separator));
            prop_assert!(name.to_lowercase() != "[gmail]");
            prop_assert!(target.is_some() || name.nfc().eq(name.chars()));
            let user = rules.map.iter().any(|(old, _)| *old == source.name);
            if !user {
                prop_assert!(seen.insert(wire.clone()), "{} twice", wire);
                let apart = target.is_some() || kept;
                prop_assert!(alike.insert(folded(name)) || apart, "{} looks like another", name);
            }
        }
        let asked: Vec<_> = mapping.mailboxes.iter().filter_map(|(_, d)| match d {
            Destination::Mailbox { special_use, .. } => special_use.clone(),
            _ => None,
        }).collect();
        prop_assert_eq!(asked.iter().collect::<HashSet<_>>().len(), asked.len());
    }

    #[test]
    fn once_everything_is_created_the_names_are_the_same_without_a_record(
        sources in any_sources(), mut space in any_space(), rules in any_rules(), honoured in any::<bool>(),
    ) {
        // Where one of two that come to one name has a special use, what lies there may be the
        // one's or the other's, and only the record tells: those are left out.
        let own = |s: &SourceName| spell(&s.name, 1, &space).map(|one| folded(&one.name));
        let with_use = |s: &SourceName| s.special_use.is_some() || by_name(&s.name).is_some();
        let mut seen: HashMap<_, bool> = HashMap::new();
        let mut sources = sources;
        sources.sort_by_key(|s| !with_use(s));
        sources.retain(|s| match seen.get(&own(s)) {
            Some(used) => !used,
            None => seen.insert(own(s), with_use(s)).is_none(),
        });
        sources.sort_by_key(|s| s.id);
        let sources: Vec<_> = sources.into_iter().map(|s| SourceName { recorded: None, ..s }).collect();
        let first = map_names(&sources, &space, &rules);
        for (_, destination) in first.mailboxes.iter().cloned() {
            if let Destination::Mailbox { wire, name, exists: false, special_use, .. } = destination {
                space.mailboxes.retain(|t| t.wire != wire);
                let special_use = special_use.filter(|_| honoured);
                space.mailboxes.push(TargetName { wire, name, special_use, selectable: true });
            }
        }
        prop_assert_eq!(wires(&map_names(&sources, &space, &rules)), wires(&first));
    }
}
