//! How the value of one field is read.

use std::borrow::Cow;

use crate::header;

/// A verdict in a value.
#[derive(Debug)]
pub(super) struct Finding<'a> {
    pub(super) spam: bool,
    /// What in the value decided.
    pub(super) words: Cow<'a, [u8]>,
}

/// Words that say spam and words that say otherwise, in small letters; any other word is no
/// verdict. A final `*` stands for any end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) spam: &'static [&'static str],
    pub(super) ham: &'static [&'static str],
}

/// The kinds of value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    /// The first word decides.
    Word(Words),
    /// The first word behind a mark decides.
    WordAfter(&'static str, Words),
    /// Spam from this number on.
    AtLeast(i64),
    /// Spam where the number behind a mark is at least this.
    AtLeastAfter(&'static str, i64),
    /// Spam from so many leading `*` on.
    Stars(usize),
    /// The field is there only on spam.
    Present,
    /// A list of labels separated by commas that names this one.
    Label(&'static str),
    /// `SFV:SPM;CAT:SPM;SCL:5;...`
    Forefront,
    /// `rule=spam policy=default score=100 ...`
    Proofpoint,
    /// The subject, decoded, begins with one of these.
    SubjectPrefix(&'static [&'static str]),
}

impl Test {
    /// The verdict in a raw value; `None` where there is none.
    pub(super) fn read(self, value: &[u8]) -> Option<Finding<'_>> {
        let value = value.trim_ascii();
        let spam = match self {
            Self::Word(words) => words.read(first_word(value)),
            Self::WordAfter(mark, words) => words.read(first_word(behind(value, mark)?)),
            Self::AtLeast(limit) => Some(number(value)? >= limit),
            Self::AtLeastAfter(mark, limit) => {
                let (at, number) = (find(value, mark)?, number(behind(value, mark)?)?);
                return Some(Finding::new(number >= limit, value.get(at..)?));
            }
            Self::Stars(limit) => Some(value.iter().take_while(|b| **b == b'*').count() >= limit),
            Self::Present => Some(true),
            Self::Label(wanted) => has_label(&header::decoded(value), wanted).then_some(true),
            Self::Forefront => return forefront(value),
            Self::Proofpoint => return proofpoint(value),
            Self::SubjectPrefix(prefixes) => {
                let subject = header::decoded(value).trim_start().as_bytes().to_vec();
                let starts = |p: &str| {
                    let start = subject.get(..p.len());
                    start.is_some_and(|s| s.eq_ignore_ascii_case(p.as_bytes()))
                };
                return prefixes.iter().any(|p| starts(p)).then_some(Finding {
                    spam: true,
                    words: Cow::Owned(subject),
                });
            }
        };
        Some(Finding::new(spam?, value))
    }
}

impl<'a> Finding<'a> {
    fn new(spam: bool, words: &'a [u8]) -> Self {
        Self {
            spam,
            words: Cow::Borrowed(words),
        }
    }
}

impl Words {
    fn read(self, word: &[u8]) -> Option<bool> {
        let any = |list: &[&str]| list.iter().any(|wanted| is(word, wanted));
        if any(self.spam) {
            return Some(true);
        }
        any(self.ham).then_some(false)
    }
}

fn is(word: &[u8], wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => word
            .get(..start.len())
            .is_some_and(|w| w.eq_ignore_ascii_case(start.as_bytes())),
        None => word.eq_ignore_ascii_case(wanted.as_bytes()),
    }
}

/// Letters, digits and `_` up to anything else.
fn first_word(value: &[u8]) -> &[u8] {
    let end = value
        .iter()
        .position(|b| !b.is_ascii_alphanumeric() && *b != b'_');
    value.get(..end.unwrap_or(value.len())).unwrap_or_default()
}

fn find(value: &[u8], mark: &str) -> Option<usize> {
    memchr::memmem::find(value, mark.as_bytes())
}

fn behind<'a>(value: &'a [u8], mark: &str) -> Option<&'a [u8]> {
    let at = find(value, mark)? + mark.len();
    value.get(at..).map(<[u8]>::trim_ascii_start)
}

/// The whole number at the start, with its sign; a fraction is left off.
fn number(value: &[u8]) -> Option<i64> {
    let end = value
        .iter()
        .enumerate()
        .position(|(at, b)| !(b.is_ascii_digit() || at == 0 && matches!(b, b'-' | b'+')));
    let digits = value.get(..end.unwrap_or(value.len()))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn has_label(labels: &str, wanted: &str) -> bool {
    labels
        .split(',')
        .any(|label| label.trim().trim_matches('"').eq_ignore_ascii_case(wanted))
}

/// Microsoft's report: fields of key and value between semicolons.
///
/// QUIRK(Exchange Online, 2016 and later): a sender's tenant judges what goes *out* and leaves
/// `SFV:SPM;...;DIR:OUT` in the mail, on ordinary patches to kernel lists too. That is no
/// verdict of the server that delivered, whatever it says.
fn forefront(value: &[u8]) -> Option<Finding<'_>> {
    /// Filtered as spam; marked so by a rule, by the recipient, by a blocked sender.
    const SFV_SPAM: [&str; 4] = ["SPM", "SKS", "SKB", "BLK"];
    /// Let through by a rule, an administrator, a safe sender, or out of quarantine: these
    /// overrule the category, which stays.
    const SFV_ALLOWED: [&str; 4] = ["SKN", "SKA", "SFE", "SKQ"];
    const CAT_SPAM: [&str; 8] = [
        "SPM", "HSPM", "PHSH", "HPHSH", "HPHISH", "MALW", "BULK", "SPOOF",
    ];
    let parts = || {
        value.split(|b| *b == b';').filter_map(|part| {
            let part = part.trim_ascii();
            let colon = memchr::memchr(b':', part)?;
            let key = part.get(..colon)?.trim_ascii_end();
            Some((part, key, part.get(colon + 1..)?.trim_ascii_start()))
        })
    };
    let is = |word: &[u8], wanted: &str| word.eq_ignore_ascii_case(wanted.as_bytes());
    let any = |word: &[u8], list: &[&str]| list.iter().any(|wanted| is(word, wanted));
    if parts().any(|(_, key, value)| is(key, "DIR") && is(value, "OUT")) {
        return None;
    }
    let allowed = parts().find(|(_, key, value)| is(key, "SFV") && any(value, &SFV_ALLOWED));
    if let Some((part, ..)) = allowed {
        return Some(Finding::new(false, part));
    }
    let spam = parts().find(|(_, key, value)| {
        is(key, "SFV") && any(value, &SFV_SPAM)
            || is(key, "CAT") && any(value, &CAT_SPAM)
            || is(key, "SCL") && number(value).is_some_and(|scl| scl >= 5)
    });
    if let Some((part, ..)) = spam {
        return Some(Finding::new(true, part));
    }
    let ham = parts().find(|(_, key, value)| {
        is(key, "SFV") && is(value, "NSPM") || is(key, "SCL") && number(value).is_some()
    });
    ham.map(|(part, ..)| Finding::new(false, part))
}

/// Proofpoint's `rule=`, parts joined by `_`.
///
/// QUIRK(Proofpoint, 2019 and later): `rule=spam_outbound_notspam` and
/// `rule=outbound_notspam` are a sender's own outgoing filter and no verdict here.
fn proofpoint(value: &[u8]) -> Option<Finding<'_>> {
    const SPAM: [&str; 5] = ["spam", "definitive", "phish", "malware", "quarantine"];
    let at = find(value, "rule=")?;
    let rule = first_word(behind(value, "rule=")?);
    let has = |wanted: &str| {
        rule.split(|b| *b == b'_')
            .any(|part| part.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if has("outbound") {
        return None;
    }
    let words = value.get(at..)?;
    if has("notspam") {
        return Some(Finding::new(false, words));
    }
    let spam = SPAM.iter().any(|part| has(part));
    spam.then(|| Finding::new(true, words))
}
