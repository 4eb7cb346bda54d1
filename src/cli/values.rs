//! Values on the command line: dates, spans of time, sizes, shares.

use std::time::Duration;

use mailstow::backup::DeletePolicy;

use super::args::Amount;

/// `YYYY-MM-DD` is the local midnight that begins the day; RFC 3339 is an instant.
pub(crate) fn date(text: &str) -> Result<i64, String> {
    if let Some(at) = mailstow::clock::parse_rfc3339(text) {
        return Ok(at);
    }
    mailstow::clock::local_midnight(text)
        .ok_or_else(|| "write it as YYYY-MM-DD or 2026-05-01T12:00:00Z".to_owned())
}

/// `YYYY-MM-DD` is the last second of the day by local time; RFC 3339 is an instant.
pub(crate) fn end_of(text: &str) -> Result<i64, String> {
    match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() == 10 => {
            let next = day.tomorrow().map_err(|e| e.to_string())?;
            Ok(date(&next.to_string())? - 1)
        }
        _ => date(text),
    }
}

/// `90s`, `30m`, `2h`, `2d`; more than nothing.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let bad = || {
        "write it as a number of seconds, minutes, hours or days, such as 90s, 30m, 36h or 2d"
            .to_owned()
    };
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3_600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        _ => return Err(bad()),
    };
    let number: u32 = digits.unwrap_or_default().parse().map_err(|_| bad())?;
    if number == 0 {
        return Err("it has to be more than nothing".to_owned());
    }
    Ok(Duration::from_secs(u64::from(number) * unit))
}

/// Bytes, with k, M, G, T for powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bad = || "write it as a number of bytes, such as 500k, 25M or 1G".to_owned();
    let trimmed = text.trim_end_matches(['B', 'b']).trim_end_matches('i');
    let (digits, power) = match trimmed.char_indices().last() {
        Some((at, 'k' | 'K')) => (trimmed.get(..at), 1u32),
        Some((at, 'm' | 'M')) => (trimmed.get(..at), 2),
        Some((at, 'g' | 'G')) => (trimmed.get(..at), 3),
        Some((at, 't' | 'T')) => (trimmed.get(..at), 4),
        _ => (Some(trimmed), 0),
    };
    let number: u64 = digits.unwrap_or_default().parse().map_err(|_| bad())?;
    1024u64
        .checked_pow(power)
        .and_then(|unit| number.checked_mul(unit))
        .filter(|n| *n > 0)
        .ok_or_else(bad)
}

/// `OLD=NEW`, split at the first `=`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let bad = || "write it as OLD=NEW".to_owned();
    let (old, new) = text.split_once('=').ok_or_else(bad)?;
    if old.is_empty() || new.is_empty() {
        return Err(bad());
    }
    Ok((old.to_owned(), new.to_owned()))
}

/// `30/min`: the time between two.
pub(crate) fn rate(text: &str) -> Result<Duration, String> {
    let bad = || "write it as a number per second, minute, hour or day, such as 30/min".to_owned();
    let (number, unit) = text.split_once('/').ok_or_else(bad)?;
    let number: u32 = number.trim().parse().map_err(|_| bad())?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3_600,
        "d" | "day" => 86_400,
        _ => return Err(bad()),
    };
    if number == 0 {
        return Err("it has to be more than nothing".to_owned());
    }
    Ok(Duration::from_secs(seconds) / number)
}

/// `10%` or `10`.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let share: f64 = text
        .trim_end_matches('%')
        .parse()
        .map_err(|_| "write it as a share, such as 10%".to_owned())?;
    if share > 0.0 && share <= 100.0 {
        Ok(share)
    } else {
        Err("a share lies above 0% and is at most 100%".to_owned())
    }
}

/// `20` or `10%`.
pub(crate) fn amount(text: &str) -> Result<Amount, String> {
    if text.ends_with('%') {
        return percent(text).map(Amount::Percent);
    }
    let bad = |_| "write it as a number such as 20, or as a share such as 10%".to_owned();
    text.parse().map(Amount::Number).map_err(bad)
}

/// `never`, `archived` or `after-days=N`.
pub(crate) fn delete_policy(text: &str) -> Result<DeletePolicy, String> {
    match text.split_once('=') {
        None if text == "never" => Ok(DeletePolicy::Never),
        None if text == "archived" => Ok(DeletePolicy::Archived),
        Some(("after-days", days)) => days
            .parse()
            .map(DeletePolicy::AfterDays)
            .map_err(|_| format!("`{days}` is no number of days")),
        _ => Err("it is never, archived, or after-days=N such as after-days=30".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(span("36h"), Ok(Duration::from_secs(129_600)));
        assert_eq!(span("2d"), Ok(Duration::from_secs(172_800)));
        for bad in [
            "",
            "h",
            "36",
            "0h",
            "-1h",
            "1.5h",
            "36 h",
            "1w",
            "99999999999d",
        ] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_shares() {
        assert_eq!(size("25M"), Ok(25 << 20));
        assert_eq!(size("1KiB"), Ok(1024));
        assert_eq!(size("7"), Ok(7));
        for bad in ["", "M", "-1", "0", "9999999999999T", "1x"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(
            percent("10%").is_ok()
                && percent("0").is_err()
                && percent("101%").is_err()
                && percent("nan").is_err()
        );
    }

    #[test]
    fn dates() {
        assert_eq!(date("1970-01-02T00:00:00Z"), Ok(86_400));
        assert!(date("2026-05-01").is_ok());
        assert!(date("yesterday").is_err() && date("2026-13-01").is_err());
        assert_eq!(
            end_of("2026-05-01"),
            date("2026-05-02").map(|next| next - 1)
        );
        assert_eq!(end_of("1970-01-02T00:00:00Z"), Ok(86_400));
        assert!(end_of("2026-02-30").is_err() && end_of("").is_err());
    }
}
