//! The way through a header, from the top.

use crate::header;

use super::rules::{RULES, Rule};
use super::value::{Finding, Test};

/// What the filter that writes `X-Spam-Level` says in words.
const VERDICTS_BESIDE_STARS: [&str; 2] = ["X-Spam-Flag", "X-Spam-Status"];

/// Characters of a value that are kept as evidence.
const EVIDENCE_CHARS: usize = 80;

/// Bytes of a value that are looked at for evidence.
const EVIDENCE_BYTES: usize = 1 << 10;

/// What a header says about spam, and by which words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether a verdict says *spam*. `false` is no proof of the opposite.
    pub spam: bool,
    /// The field that decided, such as `X-Spam-Flag: YES`: the name as in the table, the words
    /// that decided, unfolded, printable, at most 80 characters.
    pub evidence: String,
}

/// Judges a header, or a message by its header; `None` where it carries no verdict of the table.
///
/// Of fields of one name only the topmost counts, since the last server to stamp writes above
/// the others. Any verdict *spam* wins over all that say otherwise, but for stars beside a
/// verdict of the filter that gave them. Takes time linear in the
/// header, of which [`header::HEADER_MAX`] bytes are read.
#[must_use]
pub fn judge(header: &[u8]) -> Option<Judgement> {
    let mut met = [false; RULES.len()];
    let mut otherwise = None;
    let mut stars = None;
    let mut spoken = false;
    for (name, value) in header::fields(header) {
        let rule = RULES
            .iter()
            .zip(&mut met)
            .find(|(rule, _)| rule.header.as_bytes().eq_ignore_ascii_case(name));
        let Some((rule, met)) = rule.filter(|(_, met)| !**met) else {
            continue;
        };
        *met = true;
        match rule.test.read(value) {
            Some(found) if found.spam && matches!(rule.test, Test::Stars(_)) => {
                stars = Some(judgement(rule, &found));
            }
            Some(found) if found.spam => return Some(judgement(rule, &found)),
            Some(found) => {
                spoken |= VERDICTS_BESIDE_STARS.contains(&rule.header);
                otherwise.get_or_insert_with(|| judgement(rule, &found));
            }
            None => {}
        }
    }
    // Stars are a score: where the same filter says what it makes of it, that counts.
    stars.filter(|_| !spoken).or(otherwise)
}

fn judgement(rule: &Rule, found: &Finding<'_>) -> Judgement {
    let words = found
        .words
        .get(..EVIDENCE_BYTES.min(found.words.len()))
        .unwrap_or_default();
    let words = String::from_utf8_lossy(words);
    let words: Vec<&str> = words.split_whitespace().collect();
    let words: String = words
        .join(" ")
        .chars()
        .map(|c| if printable(c) { c } else { '?' })
        .take(EVIDENCE_CHARS)
        .collect();
    Judgement {
        spam: found.spam,
        evidence: format!("{}: {words}", rule.header).trim_end().to_owned(),
    }
}

/// Letters and digits of any script; of the rest ASCII only, which leaves out control
/// characters and what turns the direction of a line.
fn printable(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric()
}
