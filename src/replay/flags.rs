//! Which flags of an archived message go along to the target. Pure.

use crate::model::Flags;

const SYSTEM: [&str; 5] = ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"];

/// What decides about flags besides the target's PERMANENTFLAGS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlagRules {
    /// `\Deleted` goes along too: the user asked for it. QUIRK(Gmail, 2024): a message appended
    /// with it is gone at once.
    pub deleted_too: bool,
    /// The target is Exchange or one of Microsoft's services.
    pub microsoft: bool,
}

/// The flags of one message, by how they get to the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Travelling {
    /// What stands in the APPEND: system flags of RFC 3501 and valid atoms, nothing else.
    pub append: Flags,
    /// What is added by a STORE once the message is there.
    pub store_after: Flags,
    /// What stays behind, in sorted order. `\Recent` is not told: it never was the message's.
    pub dropped: Vec<String>,
}

/// Sorts the flags of a message. `allows` is what PERMANENTFLAGS of the selected target mailbox
/// says of a flag or keyword.
///
/// Whatever could make the head of an APPEND fail stays behind (RFC 3501 §9, `flag`), since a
/// server may go on to execute the literal behind a head it refused.
pub fn travelling(flags: &Flags, rules: FlagRules, allows: impl Fn(&str) -> bool) -> Travelling {
    let (mut append, mut store_after, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    for flag in flags.iter() {
        if flag.eq_ignore_ascii_case("\\Recent") {
            continue;
        }
        if !can_travel(flag, rules) || !allows(flag) {
            dropped.push(flag.to_owned());
        } else if rules.microsoft && flag == "\\Flagged" {
            // QUIRK(Exchange Online, 2024): a flag set by APPEND shows over IMAP alone, one set
            // by STORE in every client.
            store_after.push(flag);
        } else {
            append.push(flag);
        }
    }
    Travelling {
        append: Flags::from_wire(append),
        store_after: Flags::from_wire(store_after),
        dropped,
    }
}

fn can_travel(flag: &str, rules: FlagRules) -> bool {
    if flag.starts_with('\\') {
        return SYSTEM.contains(&flag) && (rules.deleted_too || flag != "\\Deleted");
    }
    // QUIRK(Exchange Online, 2024): this one becomes a category everybody sees.
    let shows = rules.microsoft && flag.eq_ignore_ascii_case("$MDNSent");
    is_atom(flag) && !shows
}

/// RFC 3501 §9, `atom`.
fn is_atom(keyword: &str) -> bool {
    let special = |byte: u8| b"(){%*\"\\]".contains(&byte);
    !keyword.is_empty() && keyword.bytes().all(|b| b.is_ascii_graphic() && !special(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 9] = [
        "$Forwarded",
        "$Junk",
        "$MDNSent",
        "NonJunk",
        "\\Answered",
        "\\Deleted",
        "\\Draft",
        "\\Flagged",
        "\\Seen",
    ];

    fn listed(flags: &Flags) -> Vec<&str> {
        flags.iter().collect()
    }

    #[test]
    fn what_goes_along_depends_on_the_rules_and_on_what_the_target_keeps() {
        type Allows = fn(&str) -> bool;
        let any: Allows = |_| true;
        let system: Allows = |flag| flag.starts_with('\\');
        let none: Allows = |_| false;
        let (plain, deleted, microsoft) = (
            FlagRules::default(),
            FlagRules {
                deleted_too: true,
                microsoft: false,
            },
            FlagRules {
                deleted_too: false,
                microsoft: true,
            },
        );
        let cases: [(FlagRules, Allows, &str, &str, &str); 5] = [
            (
                plain,
                any,
                "$Forwarded $Junk $MDNSent NonJunk \\Answered \\Draft \\Flagged \\Seen",
                "",
                "\\Deleted",
            ),
            (
                deleted,
                system,
                "\\Answered \\Deleted \\Draft \\Flagged \\Seen",
                "",
                "$Forwarded $Junk $MDNSent NonJunk",
            ),
            (plain, none, "", "", &ALL.join(" ")),
            (
                microsoft,
                any,
                "$Forwarded $Junk NonJunk \\Answered \\Draft \\Seen",
                "\\Flagged",
                "$MDNSent \\Deleted",
            ),
            (microsoft, none, "", "", &ALL.join(" ")),
        ];
        for (rules, allows, append, store_after, dropped) in cases {
            let found = travelling(&Flags::from_wire(ALL), rules, allows);
            assert_eq!(listed(&found.append).join(" "), append, "{rules:?}");
            assert_eq!(
                listed(&found.store_after).join(" "),
                store_after,
                "{rules:?}"
            );
            assert_eq!(found.dropped.join(" "), dropped, "{rules:?}");
        }
    }

    #[test]
    fn what_is_no_flag_of_rfc_3501_stays_behind_whatever_the_target_allows() {
        for (flag, goes) in [
            ("$label1", true),
            ("a.b-c_d~e", true),
            ("wichtig!", true),
            ("[x", true),
            ("a b", false),
            ("a\r\nb DELETE x", false),
            ("a]", false),
            ("a)", false),
            ("(a", false),
            ("{5}", false),
            ("{5+}", false),
            ("a%", false),
            ("a*", false),
            ("a\"", false),
            ("a\\b", false),
            ("h\u{f6}chst", false),
            ("\u{7f}", false),
            ("\\*", false),
            ("\\Forwarded", false),
        ] {
            let found = travelling(&Flags::from_wire([flag]), FlagRules::default(), |_| true);
            assert_eq!(found.append.contains(flag), goes, "{flag:?}");
            assert_eq!(found.dropped.is_empty(), goes, "{flag:?}");
        }
    }

    #[test]
    fn recent_is_neither_sent_nor_told_even_where_an_archive_has_it() {
        let flags: Flags = serde_json::from_str(r#"["\\Recent","\\recent","\\Seen"]"#).unwrap();
        let found = travelling(&flags, FlagRules::default(), |_| true);
        assert_eq!(listed(&found.append), ["\\Seen"]);
        assert!(found.dropped.is_empty());
    }
}
