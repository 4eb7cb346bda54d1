//! Dates in headers (RFC 5322 §3.3 and §4.3), as mail programs of forty years wrote them.
//!
//! `mail_parser` reads dates too, but gives up where the zone is missing or named and the
//! seconds are missing, and does not check day and hour; `tests/spam_corpora.rs` compares both.

use crate::model::InternalDate;

#[cfg(test)]
mod tests;

/// Years that can be the date of a mail; others are a broken clock.
const YEARS: std::ops::RangeInclusive<u16> = 1970..=2100;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Zones by name, in minutes east of UTC: those of RFC 5322 §4.3 and what else is common and
/// means one thing only. Any other name is read as UTC, as that section asks.
const ZONES: [(&str, i16); 12] = [
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("CET", 60),
    ("CEST", 120),
    ("MET", 60),
    ("MEST", 120),
];

/// When the message was delivered, as far as its header tells: the date of the topmost
/// `Received` field, else of the topmost `Date` field. The zone is kept; a missing one is UTC.
///
/// The next candidate is taken where one cannot be read or names a year outside 1970 to 2100.
#[must_use]
pub fn delivered(message: &[u8]) -> Option<InternalDate> {
    let topmost = |wanted: &[u8]| {
        super::fields(message)
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| String::from_utf8_lossy(value))
    };
    topmost(b"received")
        .and_then(|value| of_received(&value))
        .or_else(|| topmost(b"date").and_then(|value| of_date(&value)))
}

/// RFC 5321 §4.4: the date stands behind the last semicolon.
fn of_received(value: &str) -> Option<InternalDate> {
    let behind = |text: &str| text.rsplit_once(';').and_then(|(_, date)| parse(date));
    without_comments(value)
        .and_then(|text| behind(&text))
        .or_else(|| behind(value))
}

fn of_date(value: &str) -> Option<InternalDate> {
    without_comments(value).map_or_else(|| parse(value), |text| parse(&text))
}

/// `None` where a parenthesis is never closed, which is then an ordinary character.
fn without_comments(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut depth = 0_usize;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if depth > 0 => drop(chars.next()),
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                kept.push(' ');
            }
            _ if depth > 0 => {}
            _ => kept.push(c),
        }
    }
    (depth == 0).then_some(kept)
}

/// Reads a date without comments. The words tell what they are, so their order is free:
/// `Tue Jan  1 10:00:00 2002` (asctime) is read as well.
fn parse(text: &str) -> Option<InternalDate> {
    // A day name is dropped unread: in other languages it may look like a month (`mar.`).
    let text = match text.split_once(',') {
        Some((day, rest)) if day.split_whitespace().count() <= 1 && !has_digit(day) => rest,
        _ => text,
    };
    // The obsolete form allows white space around the colons of a time.
    let text = text.split(':').map(str::trim).collect::<Vec<_>>().join(":");
    let mut parts = Parts::default();
    for word in text.split(|c: char| c.is_ascii_whitespace() || c == ',') {
        parts.take(word)?;
    }
    parts.date()
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

#[derive(Default)]
struct Parts {
    day: Option<u8>,
    month: Option<usize>,
    year: Option<u16>,
    /// Hour, minute, second.
    time: Option<(u8, u8, u8)>,
    /// Minutes east of UTC.
    zone: Option<i16>,
}

impl Parts {
    /// `None` where the word can only be part of a broken date.
    fn take(&mut self, word: &str) -> Option<()> {
        let Some(first) = word.chars().next() else {
            return Some(());
        };
        if self.time.is_some() && matches!(first, '+' | '-') {
            self.zone.get_or_insert(numeric_zone(word)?);
        } else if first.is_ascii_digit() && word.contains(':') {
            let end = word.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.');
            let (time, rest) = word.split_at_checked(end.unwrap_or(word.len()))?;
            self.time = Some(self::time(time)?);
            self.take(rest)?;
        } else if first.is_ascii_digit() && word.contains('-') {
            for part in word.split('-') {
                self.take(part)?;
            }
        } else if first.is_ascii_digit() {
            self.number(word)?;
        } else if first.is_ascii_alphabetic() {
            self.name(word)?;
        }
        Some(())
    }

    fn number(&mut self, digits: &str) -> Option<()> {
        let number: u16 = digits.parse().ok()?;
        if digits.len() <= 2 && self.day.is_none() {
            self.day = Some(u8::try_from(number).ok()?);
        } else if self.year.is_none() {
            self.year = Some(match (digits.len(), number) {
                (1 | 2, 0..=49) => 2000 + number,
                // QUIRK(bulk mailers that print tm_year, 2002): `102` or `0102`.
                (_, 0..=999) => 1900 + number,
                _ => number,
            });
        }
        Some(())
    }

    fn name(&mut self, word: &str) -> Option<()> {
        let end = word.find(['+', '-']).unwrap_or(word.len());
        let (name, rest) = word.split_at_checked(end)?;
        let month = name.trim_end_matches('.').to_ascii_lowercase();
        let is_month = |full: &str| month.len() >= 3 && full.starts_with(&month);
        if self.month.is_none()
            && let Some(at) = MONTHS.iter().position(|full| is_month(full))
        {
            self.month = Some(at + 1);
            return rest.strip_prefix('-').map_or(Some(()), |r| self.take(r));
        }
        let Some((hour, minute, second)) = self.time else {
            return Some(());
        };
        if name.eq_ignore_ascii_case("pm") && hour < 12 {
            self.time = Some((hour + 12, minute, second));
        } else if name.eq_ignore_ascii_case("am") && hour == 12 {
            self.time = Some((0, minute, second));
        } else if !rest.is_empty() {
            // `GMT+0200`
            self.take(rest)?;
        } else if !["am", "pm"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            let known = ZONES.iter().find(|(n, _)| name.eq_ignore_ascii_case(n));
            self.zone.get_or_insert(known.map_or(0, |(_, zone)| *zone));
        }
        Some(())
    }

    fn date(self) -> Option<InternalDate> {
        let year = self.year.filter(|year| YEARS.contains(year))?;
        let (day, month, (hour, minute, second)) = (self.day?, self.month?, self.time?);
        // A leap second has no second of its own in Unix time.
        let second = if second == 60 { 59 } else { second };
        let zone = self.zone.unwrap_or(0);
        let sign = if zone < 0 { '-' } else { '+' };
        let (hours, minutes) = (zone.abs() / 60, zone.abs() % 60);
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}"
        )
        .parse()
        .ok()
    }
}

/// `10:00` or `10:00:00`, with or without a fraction.
fn time(text: &str) -> Option<(u8, u8, u8)> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let mut parts = whole.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next());
    parts.next().is_none().then_some(())?;
    Some((hour, minute, second.unwrap_or(Some(0))?))
}

/// `+0200`, `+02:00` or `+2`, in minutes east of UTC.
fn numeric_zone(text: &str) -> Option<i16> {
    // QUIRK(bulk mailers, 2002): `+-0500`.
    let text = text
        .strip_prefix("+")
        .filter(|t| t.starts_with('-'))
        .unwrap_or(text);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.get(1..)?.replace(':', "");
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i16 = digits.parse().ok()?;
    let minutes = match digits.len() {
        1 | 2 => number.checked_mul(60)?,
        _ => number / 100 * 60 + number % 100,
    };
    (minutes < 1440 && number % 100 < 60).then_some(sign * minutes)
}
