//! Mailbox patterns: `*` within a level, `**` across levels, everything else literal.

use std::fmt;

/// A pattern over decoded mailbox names with `/` between levels.
///
/// `*` matches any run of characters but `/`, `**` any run at all. There is no other special
/// character: `[Gmail]` and `?` mean themselves. INBOX is matched in any case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(String);

impl Glob {
    /// Takes a pattern; every text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let first = pattern.split('/').next().unwrap_or_default();
        if first.eq_ignore_ascii_case("INBOX") {
            return Self(format!(
                "INBOX{}",
                pattern.get(first.len()..).unwrap_or_default()
            ));
        }
        Self(pattern.to_owned())
    }

    /// Whether a mailbox name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let name: Vec<char> = name.chars().collect();
        // reachable[n]: the pattern so far matches the first n characters of the name.
        let mut reachable = vec![false; name.len() + 1];
        if let Some(first) = reachable.first_mut() {
            *first = true;
        }
        let mut at = 0;
        while let Some(c) = pattern.get(at) {
            let across = *c == '*' && pattern.get(at + 1) == Some(&'*');
            at += if across { 2 } else { 1 };
            let mut next = vec![false; name.len() + 1];
            let mut open = false;
            for (n, slot) in next.iter_mut().enumerate() {
                let here = reachable.get(n).copied().unwrap_or(false);
                let before = n.checked_sub(1);
                let previous = before.and_then(|b| name.get(b));
                if *c == '*' {
                    open = here || (open && (across || previous != Some(&'/')));
                    *slot = open;
                } else {
                    *slot = before
                        .and_then(|b| reachable.get(b))
                        .copied()
                        .unwrap_or(false)
                        && previous == Some(c);
                }
            }
            reachable = next;
        }
        reachable.last().copied().unwrap_or(false)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which names were selected, and which patterns matched nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    /// For each name, whether it is selected.
    pub chosen: Vec<bool>,
    /// Patterns that matched no name at all: most likely a typing error.
    pub idle: Vec<String>,
}

/// Chooses names: those that match one of `include` (all, when it is empty) and none of `exclude`.
#[must_use]
pub fn select<S: AsRef<str>>(names: &[S], include: &[String], exclude: &[String]) -> Selected {
    let include: Vec<Glob> = include.iter().map(|p| Glob::new(p)).collect();
    let exclude: Vec<Glob> = exclude.iter().map(|p| Glob::new(p)).collect();
    let any = |globs: &[Glob], name: &str| globs.iter().any(|g| g.matches(name));
    let chosen = names
        .iter()
        .map(|n| (include.is_empty() || any(&include, n.as_ref())) && !any(&exclude, n.as_ref()))
        .collect();
    let idle = include
        .iter()
        .chain(&exclude)
        .filter(|g| !names.iter().any(|n| g.matches(n.as_ref())))
        .map(Glob::to_string)
        .collect();
    Selected { chosen, idle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_levels_and_two_do_not() {
        for (pattern, name, want) in [
            ("INBOX", "INBOX", true),
            ("inbox/Work", "INBOX/Work", true),
            ("Work", "work", false),
            ("A/*", "A/b", true),
            ("A/*", "A/b/c", false),
            ("A/**", "A/b/c", true),
            ("**/c", "A/b/c", true),
            ("*", "A/b", false),
            ("**", "A/b", true),
            ("[Gmail]/*", "[Gmail]/Sent Mail", true),
            ("[G]*", "G", false),
            ("a?c", "abc", false),
            ("Про*", "Проекты", true),
            ("", "", true),
            ("*", "", true),
            ("a**b**c", "a/b/b/xc", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn exclusion_wins_and_idle_patterns_are_named() {
        let got = select(
            &["INBOX", "Sent", "Trash"],
            &[],
            &["Trash".into(), "Spma".into()],
        );
        assert_eq!(
            got,
            Selected {
                chosen: vec![true, true, false],
                idle: vec!["Spma".into()]
            }
        );
    }
}
