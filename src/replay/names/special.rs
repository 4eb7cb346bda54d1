//! Special uses (RFC 6154), by attribute or by well-known names.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

/// Names of mailboxes by their use, for servers that list no attributes: what Exchange, iCloud,
/// Courier, Dovecot, Gmail and the common mail programs call them, in English and German.
const WELL_KNOWN: [(&str, &[&str]); 5] = [
    (
        "\\Sent",
        &[
            "Sent",
            "Sent Items",
            "Sent Messages",
            "Sent Mail",
            "Sent-Mail",
            "Gesendet",
            "Gesendete Elemente",
            "Gesendete Objekte",
            "Gesendete Nachrichten",
        ],
    ),
    ("\\Drafts", &["Drafts", "Draft", "Entw\u{fc}rfe"]),
    (
        "\\Trash",
        &[
            "Trash",
            "Deleted Items",
            "Deleted Messages",
            "Bin",
            "Papierkorb",
            "Gel\u{f6}schte Elemente",
            "Gel\u{f6}schte Objekte",
        ],
    ),
    (
        "\\Junk",
        &[
            "Junk",
            "Spam",
            "Junk E-mail",
            "Junk Email",
            "Junk Mail",
            "Bulk Mail",
            "Junk-E-Mail",
        ],
    ),
    ("\\Archive", &["Archive", "Archives", "Archiv"]),
];

/// The table by folded name: the use, and the place among its names.
static KNOWN: LazyLock<HashMap<String, (&str, usize)>> = LazyLock::new(|| {
    let all = WELL_KNOWN.iter().flat_map(|(used, names)| {
        let placed = names.iter().enumerate();
        placed.map(|(place, name)| (folded(name), (*used, place)))
    });
    all.collect()
});

/// The uses a mailbox of the user's own can have.
pub(super) fn uses() -> impl Iterator<Item = &'static str> {
    WELL_KNOWN.iter().map(|(name, _)| *name)
}

/// Gmail's mailboxes that show what lies elsewhere, below `[Gmail]/`.
const GMAIL_VIRTUAL: [(&str, &str); 6] = [
    ("all mail", "\\All"),
    ("alle nachrichten", "\\All"),
    ("important", "\\Important"),
    ("wichtig", "\\Important"),
    ("starred", "\\Flagged"),
    ("markiert", "\\Flagged"),
];

/// Below these Gmail keeps its own mailboxes; neither can be opened.
const GMAIL_ROOTS: [&str; 2] = ["[gmail]", "[google mail]"];

/// One text for names that are equal under case folding and normalisation.
pub(super) fn folded(name: &str) -> String {
    let upper: String = name.nfc().flat_map(char::to_uppercase).collect();
    upper.nfc().flat_map(char::to_lowercase).nfc().collect()
}

/// The special use of an archived mailbox in the usual spelling, if its own users may have one.
pub(super) fn by_attribute(attribute: Option<&str>) -> Option<&'static str> {
    uses().find(|name| attribute.is_some_and(|a| a.eq_ignore_ascii_case(name)))
}

/// The special use a name suggests, with its place in the table: a lower one is more usual.
/// Only names at the top, or right below INBOX or Gmail's own, suggest one.
pub(super) fn by_name(name: &str) -> Option<(&'static str, usize)> {
    let name = folded(name);
    let level = match name.split_once('/') {
        None => name.as_str(),
        Some((first, level)) => {
            (first == "inbox" || GMAIL_ROOTS.contains(&first)).then_some(level)?
        }
    };
    KNOWN.get(level).copied()
}

/// The use of a mailbox that only shows what lies elsewhere. INBOX is none, whatever it is
/// marked as.
pub(in crate::replay) fn virtual_use(name: &str, attribute: Option<&str>) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("INBOX") {
        return None;
    }
    let uses = ["\\All", "\\Important", "\\Flagged"];
    let by_attribute = uses
        .into_iter()
        .find(|name| attribute.is_some_and(|a| a.eq_ignore_ascii_case(name)));
    by_attribute.or_else(|| {
        let name = folded(name);
        let (root, level) = name.split_once('/')?;
        let mut known = GMAIL_VIRTUAL.iter();
        let known = known.find(|(known, _)| GMAIL_ROOTS.contains(&root) && *known == level);
        known.map(|(_, used)| *used)
    })
}

/// Whether it is what Gmail's own mailboxes hang below.
pub(super) fn is_gmail_root(name: &str) -> bool {
    GMAIL_ROOTS.contains(&folded(name).as_str())
}

/// Whether it is one of Gmail's own mailboxes.
pub(super) fn is_below_gmail(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(root, _)| is_gmail_root(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suggest_a_use_only_where_mail_programs_put_such_a_mailbox() {
        for (name, expected) in [
            ("Sent", Some("\\Sent")),
            ("SENT ITEMS", Some("\\Sent")),
            ("INBOX/Sent", Some("\\Sent")),
            ("[Gmail]/Sent Mail", Some("\\Sent")),
            ("[Google Mail]/Papierkorb", Some("\\Trash")),
            ("entwu\u{308}rfe", Some("\\Drafts")),
            ("INBOX/Junk E-Mail", Some("\\Junk")),
            ("Archives", Some("\\Archive")),
            ("Work/Sent", None),
            ("INBOX/Work/Sent", None),
            ("Sent/2019", None),
            ("INBOX", None),
            ("Sent ", None),
        ] {
            assert_eq!(by_name(name).map(|u| u.0), expected, "{name}");
        }
    }

    #[test]
    fn what_only_shows_other_mail_is_known_by_attribute_and_at_gmail_by_name() {
        for (name, attribute, expected) in [
            ("x", Some("\\all"), Some("\\All")),
            ("x", Some("\\Flagged"), Some("\\Flagged")),
            ("x", Some("\\Sent"), None),
            ("[Gmail]/All Mail", None, Some("\\All")),
            ("[Google Mail]/Wichtig", None, Some("\\Important")),
            ("[Gmail]/Starred", None, Some("\\Flagged")),
            ("[Gmail]/Chats", None, None),
            ("inbox", Some("\\All"), None),
            ("All Mail", None, None),
            ("Important", None, None),
        ] {
            assert_eq!(virtual_use(name, attribute), expected, "{name}");
        }
    }

    #[test]
    fn folding_knows_case_normalisation_and_letters_that_share_a_capital() {
        for (one, other) in [
            ("Stra\u{df}e", "STRASSE"),
            ("\u{3c3}", "\u{3c2}"),
            ("\u{e9}", "E\u{301}"),
        ] {
            assert_eq!(folded(one), folded(other));
        }
        assert_ne!(folded("a"), folded("\u{e4}"));
    }
}
