//! INTERNALDATE as servers write it.

use crate::model::InternalDate;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Reads `dd-Mon-yyyy hh:mm:ss +zzzz` (RFC 3501 `date-time`).
///
/// QUIRK(several, imapsync's `good_date`): two-digit years, dots for colons and a missing
/// zone, which is taken for UTC, are read as well.
pub(super) fn parse(text: &str) -> Option<InternalDate> {
    let mut words = text.split_ascii_whitespace();
    let (date, time) = (words.next()?, words.next()?);
    let zone = words.next().map_or(Some(0), zone)?;
    let mut date = date.split('-');
    let day: u8 = date.next()?.parse().ok()?;
    let month = date.next()?;
    let named = |name: &&str| name.eq_ignore_ascii_case(month);
    let month = MONTHS.iter().position(named)? + 1;
    let year = year(date.next()?)?;
    let mut time = time.split([':', '.']).map(str::parse::<u8>);
    let mut part = || time.next()?.ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let sign = if zone < 0 { '-' } else { '+' };
    let (hours, minutes) = (zone.abs() / 60, zone.abs() % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}"
    )
    .parse()
    .ok()
}

fn year(text: &str) -> Option<u16> {
    let year: u16 = text.parse().ok()?;
    Some(match year {
        _ if text.len() > 2 => year,
        0..=69 => 2000 + year,
        _ => 1900 + year,
    })
}

/// Writes `dd-Mon-yyyy hh:mm:ss +zzzz`, a day below ten with a space in front (RFC 3501
/// `date-time`). `None` for years the form has no room for, and zones of a day or more.
pub(super) fn render(date: InternalDate) -> Option<String> {
    // Before it is printed: a zone that is none would overflow there.
    if !(-1439..=1439).contains(&date.offset_minutes) {
        return None;
    }
    let text = date.to_string();
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (date.next()?, date.next()?, date.next()?);
    let fits = year.len() == 4 && year != "0000" && year.bytes().all(|b| b.is_ascii_digit());
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day: u8 = day.parse().ok()?;
    let (clock, zone) = time.split_at_checked(8)?;
    let zone = zone.replace(':', "");
    fits.then(|| format!("{day:>2}-{month}-{year} {clock} {zone}"))
}

/// Minutes east of UTC.
fn zone(text: &str) -> Option<i16> {
    if ["UT", "UTC", "GMT", "Z"].contains(&text) {
        return Some(0);
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits: i16 = text.get(1..)?.parse().ok()?;
    let minutes = digits.checked_div(100)? * 60 + digits % 100;
    (0..1440).contains(&minutes).then_some(sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_standard_and_of_the_wild_are_read() {
        for (text, read) in [
            ("17-Jul-1996 02:44:25 -0700", "1996-07-17T02:44:25-07:00"),
            (" 1-May-2024 10:00:00 +0000", "2024-05-01T10:00:00+00:00"),
            ("01-may-2024 10.00.00 +0530", "2024-05-01T10:00:00+05:30"),
            ("01-May-24 10:00:00", "2024-05-01T10:00:00+00:00"),
            ("01-May-99 10:00:00 GMT", "1999-05-01T10:00:00+00:00"),
            ("31-Dec-1969 23:59:59 +0000", "1969-12-31T23:59:59+00:00"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), read);
        }
        for bad in [
            "",
            "?",
            "32-May-2024 10:00:00 +0000",
            "1-Foo-2024 1:2:3",
            "1-May-2024 10:00",
            "1-May-2024 10:00:00 +ü",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_written_in_the_fixed_width_of_the_standard() {
        for (date, written) in [
            ("1996-07-17T02:44:25-07:00", "17-Jul-1996 02:44:25 -0700"),
            ("2024-05-01T10:00:00+05:30", " 1-May-2024 10:00:00 +0530"),
            ("1969-12-31T23:59:59+00:00", "31-Dec-1969 23:59:59 +0000"),
            ("0001-01-02T00:00:00+00:00", " 2-Jan-0001 00:00:00 +0000"),
            ("9999-12-30T00:00:00+00:00", "30-Dec-9999 00:00:00 +0000"),
        ] {
            let date: InternalDate = date.parse().unwrap();
            assert_eq!(render(date).as_deref(), Some(written));
            assert_eq!(parse(written), Some(date));
        }
        let of = |unix, offset_minutes| InternalDate {
            unix,
            offset_minutes,
        };
        for date in [
            of(i64::MAX, 0),
            of(i64::MIN, 0),
            // The first second of the year 0, the last of the year -1, and the first of 10000.
            of(-62_167_219_200, 0),
            of(-62_167_219_201, 0),
            of(253_402_300_800, 0),
            of(253_402_300_799, 1439),
            of(0, 1440),
            of(0, i16::MIN),
        ] {
            assert_eq!(render(date), None, "{date:?}");
        }
    }
}
