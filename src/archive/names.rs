//! Folder names for accounts and mailboxes: readable, safe, and never shared by two.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

/// Most bytes of one component.
const COMPONENT_MAX: usize = 80;
/// Most levels; deeper ones are joined into the last.
const LEVELS_MAX: usize = 12;
/// Names Windows keeps for devices; an archive may be copied there.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Chooses a relative path for a decoded mailbox or account name, with `/` between levels.
///
/// The result has no component that is empty, `.`, `..`, hidden, longer than 80 bytes, a
/// device name, or looks like a segment; and it differs from every path in `taken` also
/// under case folding and Unicode normalisation, by `~2`, `~3` … at its end.
#[must_use]
pub fn folder_for<S: AsRef<str>>(name: &str, taken: &[S]) -> String {
    let taken: HashSet<String> = taken.iter().map(|t| folded(t.as_ref())).collect();
    let mut levels: Vec<String> = name.splitn(LEVELS_MAX, '/').map(component).collect();
    let last = levels.pop().unwrap_or_else(|| "_".to_owned());
    let mut prefix = levels.join("/");
    if !prefix.is_empty() {
        prefix.push('/');
    }
    let mut n = 1u32;
    loop {
        let suffix = if n == 1 {
            String::new()
        } else {
            format!("~{n}")
        };
        let path = format!(
            "{prefix}{}{suffix}",
            cut(&last, COMPONENT_MAX - suffix.len())
        );
        if !taken.contains(&folded(&path)) {
            return path;
        }
        n = n.saturating_add(1);
    }
}

/// What two paths have in common on a file system that folds case and normalises.
fn folded(path: &str) -> String {
    path.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

fn component(raw: &str) -> String {
    let safe: String = raw
        .nfc()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    let trimmed = cut(safe.trim(), COMPONENT_MAX - 1)
        .trim_end_matches(['.', ' '])
        .to_owned();
    let mut name = if trimmed.starts_with(['.', '-', '~']) {
        format!("_{}", cut(&trimmed, COMPONENT_MAX - 2))
    } else {
        trimmed
    };
    let stem = name.split('.').next().unwrap_or_default().to_lowercase();
    if name.is_empty() || DEVICES.contains(&stem.as_str()) || name.to_lowercase().ends_with(".zst")
    {
        name.push('_');
    }
    name
}

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || " -_.,+@()[]{}=!&'~#$%^".contains(c)
}

/// The longest prefix of at most `max` bytes that ends between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn hostile_and_odd_names() {
        let none: [&str; 0] = [];
        for (name, folder) in [
            ("INBOX", "INBOX"),
            ("Проекты/2024", "Проекты/2024"),
            ("../../etc/x", "_/_/etc/x"),
            ("/abs", "_/abs"),
            ("CON", "CON_"),
            ("con.txt/aux", "con.txt_/aux_"),
            ("a\u{0}b\u{1b}[31m\nc\\d", "a_b_[31m_c_d"),
            (".hidden/-rf", "_.hidden/_-rf"),
            ("dot. ", "dot"),
            ("000001.mbox.zst", "000001.mbox.zst_"),
            ("", "_"),
            ("a\u{202e}b", "a_b"),
        ] {
            assert_eq!(folder_for(name, &none), folder, "{name:?}");
        }
        let cyrillic = folder_for(&"я".repeat(200), &none);
        assert!(cyrillic.len() <= COMPONENT_MAX && cyrillic.chars().all(|c| c == 'я'));
    }

    #[test]
    fn names_that_a_folding_file_system_takes_for_one_get_a_number() {
        let mut taken = vec![folder_for("Foo", &[""; 0])];
        for name in ["foo", "FOO", "Foo"] {
            let folder = folder_for(name, &taken);
            taken.push(folder);
        }
        assert_eq!(taken, ["Foo", "foo~2", "FOO~3", "Foo~4"]);
        assert_eq!(folder_for("e\u{301}", &["\u{e9}"]), "\u{e9}~2");
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder_and_no_two_share_one(names in proptest::collection::vec("(?s).{0,30}", 1..12), long in "(?s).{0,400}") {
            let mut taken: Vec<String> = Vec::new();
            for name in names.iter().chain([&long]) {
                let folder = folder_for(name, &taken);
                for part in Path::new(&folder).components() {
                    prop_assert!(matches!(part, Component::Normal(p) if p.len() <= 80), "{:?}", folder);
                }
                prop_assert!(!folder.chars().any(char::is_control));
                prop_assert!(taken.iter().all(|t| folded(t) != folded(&folder)));
                taken.push(folder);
            }
        }
    }
}
