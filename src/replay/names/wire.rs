//! From a name in the archive to one the target can have.

use unicode_normalization::UnicodeNormalization;

use super::TargetSpace;
use crate::imap::utf7;
use crate::source::decoded_name;

/// Most bytes of a wire name: one level more of a server's files would not hold.
const WIRE_MAX: usize = 255;

/// A name for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelled {
    pub(super) wire: String,
    /// For people, with `/` between levels.
    pub(super) name: String,
    /// What had to be changed.
    pub(super) notes: Vec<&'static str>,
}

/// Spells a name (decoded, `/` between levels) as the target wants it, and ends it in `~n` where
/// that is not 1. `None` where no name of at most 255 bytes comes of it.
pub(super) fn spell(name: &str, n: u32, space: &TargetSpace) -> Option<Spelled> {
    let mut notes = Vec::new();
    let mut levels: Vec<String> = name.split('/').map(|level| level.nfc().collect()).collect();
    let inbox = levels
        .first()
        .is_some_and(|first| first.eq_ignore_ascii_case("INBOX"));
    if inbox && levels.len() == 1 && n == 1 {
        return Some(Spelled {
            wire: "INBOX".into(),
            name: "INBOX".into(),
            notes,
        });
    }
    if inbox && let Some(first) = levels.first_mut() {
        *first = "INBOX".into();
    }
    let prefix = space.prefix.as_str();
    let levels_of_prefix = space
        .separator
        .map_or(prefix, |s| prefix.trim_end_matches(s));
    if inbox && levels.len() > 1 && levels_of_prefix.eq_ignore_ascii_case("INBOX") {
        // Where everything is below INBOX, that is not a level of its own.
        levels.remove(0);
    }
    let mut levels: Vec<String> = levels
        .iter()
        .map(|level| clean(level, space.separator, &mut notes))
        .collect();
    if space.separator.is_none() && levels.len() > 1 {
        notes.push("the target has no levels: they are joined by -");
        levels = vec![levels.join("-")];
    }
    let suffix = |n: u32| {
        if n == 1 {
            String::new()
        } else {
            format!("~{n}")
        }
    };
    let join = |levels: &[String]| {
        let encoded: Vec<String> = levels.iter().map(|level| utf7::encode(level)).collect();
        let separator = space.separator.map(String::from).unwrap_or_default();
        format!("{prefix}{}", encoded.join(&separator))
    };
    let whole = with_suffix(&levels, levels.len().checked_sub(1)?, &suffix(n));
    let mut wire = join(&whole);
    if wire.len() > WIRE_MAX {
        notes.push("shortened to 255 bytes");
        // The longest level, of equal ones the last; what is cut has a number in any case.
        let at =
            (0..levels.len()).max_by_key(|at| levels.get(*at).map(|l| utf7::encode(l).len()))?;
        let number = suffix(n.saturating_add(1));
        if let Some(level) = levels.get_mut(at) {
            *level = level.chars().take(WIRE_MAX).collect();
        }
        wire = join(&with_suffix(&levels, at, &number));
        while wire.len() > WIRE_MAX {
            let level = levels.get_mut(at)?;
            level.pop()?;
            let kept = level.trim_end().len();
            level.truncate(kept);
            if level.is_empty() {
                return None;
            }
            wire = join(&with_suffix(&levels, at, &number));
        }
    }
    Some(Spelled {
        name: decoded_name(&utf7::decode(&wire), space.separator),
        wire,
        notes,
    })
}

fn with_suffix(levels: &[String], at: usize, suffix: &str) -> Vec<String> {
    let mut levels = levels.to_vec();
    if let Some(level) = levels.get_mut(at) {
        level.push_str(suffix);
    }
    levels
}

/// Puts `_` for what servers refuse in a level.
fn clean(level: &str, separator: Option<char>, notes: &mut Vec<&'static str>) -> String {
    let mut note = |text: &'static str| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    if level.is_empty() {
        note("a level without a name is now _");
        return "_".into();
    }
    let chars: Vec<char> = level.chars().collect();
    let blank = |at: Option<usize>| {
        at.and_then(|at| chars.get(at))
            .is_none_or(|c| c.is_whitespace())
    };
    let replaced = chars.iter().enumerate().map(|(at, &c)| {
        if Some(c) == separator {
            note("the separator of the target within a level is now _");
        } else if c.is_control() {
            note("control characters are now _");
        } else if c.is_whitespace() && (blank(at.checked_sub(1)) || blank(at.checked_add(1))) {
            // QUIRK(Gmail, 2024): NO [CANNOT] Folder contains excess whitespace.
            note("blanks at an end, or more than one, are now _");
        } else {
            return c;
        }
        '_'
    });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space(separator: Option<char>, prefix: &str) -> TargetSpace {
        TargetSpace {
            separator,
            prefix: prefix.into(),
            mailboxes: Vec::new(),
        }
    }

    #[test]
    fn names_are_spelled_as_the_target_wants_them() {
        for (name, separator, prefix, wire, shown, notes) in [
            ("Work/2019", Some('/'), "", "Work/2019", "Work/2019", 0),
            (
                "Work/2019",
                Some('.'),
                "INBOX.",
                "INBOX.Work.2019",
                "INBOX/Work/2019",
                0,
            ),
            ("Work/2019", None, "", "Work-2019", "Work-2019", 1),
            (
                "Work/2019",
                None,
                "~me/",
                "~me/Work-2019",
                "~me\u{2215}Work-2019",
                1,
            ),
            ("inbox", Some('.'), "INBOX.", "INBOX", "INBOX", 0),
            ("Inbox", None, "Mail/", "INBOX", "INBOX", 0),
            (
                "INBOX/Sent",
                Some('.'),
                "INBOX.",
                "INBOX.Sent",
                "INBOX/Sent",
                0,
            ),
            ("Inbox/Sent", Some('/'), "", "INBOX/Sent", "INBOX/Sent", 0),
            (
                "INBOX/INBOX/Sent",
                Some('.'),
                "INBOX.",
                "INBOX.INBOX.Sent",
                "INBOX/INBOX/Sent",
                0,
            ),
            (
                "INBOX/Sent",
                Some('/'),
                "Mail/",
                "Mail/INBOX/Sent",
                "Mail/INBOX/Sent",
                0,
            ),
            ("v1.2/a_b", Some('.'), "", "v1_2.a_b", "v1_2/a_b", 1),
            (
                "a\u{2215}b/c",
                Some('/'),
                "",
                "a&IhU-b/c",
                "a\u{2215}b/c",
                0,
            ),
            (
                "a\u{2215}b/c",
                Some('.'),
                "",
                "a&IhU-b.c",
                "a\u{2215}b/c",
                0,
            ),
            (" a  b \t/ ", Some('/'), "", "_a__b__/_", "_a__b__/_", 2),
            ("a b", Some('/'), "", "a b", "a b", 0),
            ("a//b", Some('/'), "", "a/_/b", "a/_/b", 1),
            ("", Some('/'), "", "_", "_", 1),
            ("e\u{301}", Some('/'), "", "&AOk-", "\u{e9}", 0),
            ("a&b", Some('/'), "", "a&-b", "a&b", 0),
            ("a\r\nb", Some('/'), "", "a__b", "a__b", 1),
        ] {
            let spelled = spell(name, 1, &space(separator, prefix)).unwrap();
            assert_eq!((&*spelled.wire, &*spelled.name), (wire, shown), "{name:?}");
            assert_eq!(spelled.notes.len(), notes, "{name:?}: {:?}", spelled.notes);
        }
        let two = |name| spell(name, 2, &space(Some('/'), "")).unwrap().wire;
        assert_eq!(
            (two("a/b"), two("inbox")),
            ("a/b~2".into(), "INBOX~2".into())
        );
    }

    #[test]
    fn what_is_too_long_is_cut_at_its_longest_level_or_refused() {
        let slash = space(Some('/'), "");
        let long = "x".repeat(300);
        let spelled = spell(&long, 1, &slash).unwrap();
        assert_eq!(spelled.wire, format!("{}~2", "x".repeat(253)));
        assert_eq!(spelled.notes, ["shortened to 255 bytes"]);
        let third = spell(&long, 2, &slash).unwrap().wire;
        assert_eq!(third, format!("{}~3", "x".repeat(253)));
        let parent = spell(&format!("{long}/a"), 1, &slash).unwrap().wire;
        assert_eq!(parent, format!("{}~2/a", "x".repeat(251)));
        let cyrillic = spell(&"\u{44f}".repeat(200), 1, &slash).unwrap();
        assert!(cyrillic.wire.len() <= 255 && cyrillic.wire.len() > 245);
        assert_eq!(spell(&"x/".repeat(200), 1, &slash), None);
        assert!(spell(&"x".repeat(255), 1, &slash).unwrap().notes.is_empty());
    }

    proptest! {
        #[test]
        fn every_spelled_name_is_one_that_servers_take(
            name in "(?s)([ab ./\u{e9}\u{2215}&~\t]|INBOX|.){0,30}",
            long in prop_oneof![3 => Just(0usize), 1 => 0usize..300],
            n in 1u32..4,
            separator in proptest::option::of(proptest::sample::select(vec!['/', '.', '\\'])),
        ) {
            let name = format!("{name}{}", "\u{44f}".repeat(long));
            let Some(spelled) = spell(&name, n, &space(separator, "")) else {
                prop_assert!(name.split('/').count() > 60);
                return Ok(());
            };
            prop_assert!(spelled.wire.len() <= WIRE_MAX);
            prop_assert!(spelled.wire.bytes().all(|b| (b' '..=b'~').contains(&b)));
            for level in spelled.name.split('/') {
                prop_assert!(!level.is_empty() && level.trim() == level, "{:?}", spelled);
                prop_assert!(!level.chars().any(char::is_control));
                prop_assert!(!level.contains("  "));
            }
            if n == 1 && spelled.notes.is_empty() {
                let plain: String = name.nfc().collect();
                prop_assert!(spelled.name == plain || plain.to_uppercase().starts_with("INBOX"));
            }
        }
    }
}
