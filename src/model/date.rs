//! INTERNALDATE: an instant with the zone the server named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When a message arrived in a mailbox, as its server says (RFC 3501 §2.3.3).
///
/// Seconds since 1970 with the zone offset the server wrote, so that a replay can write
/// the same text again. Years 1 to 9999, also before 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InternalDate {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub unix: i64,
    /// Minutes east of UTC, -1439 to 1439.
    pub offset_minutes: i16,
}

impl InternalDate {
    /// An instant in UTC.
    #[must_use]
    pub const fn utc(unix: i64) -> Self {
        Self {
            unix,
            offset_minutes: 0,
        }
    }

    fn civil(self) -> Option<jiff::civil::DateTime> {
        let local = self.unix.checked_add(i64::from(self.offset_minutes) * 60)?;
        let instant = jiff::Timestamp::from_second(local).ok()?;
        Some(jiff::tz::Offset::UTC.to_datetime(instant))
    }

    /// `Thu Jan  1 00:00:00 1970` in UTC, the form of an mbox separator line.
    #[must_use]
    pub fn asctime_utc(self) -> String {
        Self::utc(self.unix).civil().map_or_else(
            || "Thu Jan  1 00:00:00 1970".to_owned(),
            |t| t.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        )
    }
}

/// RFC 3339, such as `2024-05-01T10:00:00+02:00`.
impl fmt::Display for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(t) = self.civil() else {
            return write!(f, "@{}", self.unix);
        };
        let (sign, off) = if self.offset_minutes < 0 {
            ('-', -self.offset_minutes)
        } else {
            ('+', self.offset_minutes)
        };
        write!(
            f,
            "{}{sign}{:02}:{:02}",
            t.strftime("%Y-%m-%dT%H:%M:%S"),
            off / 60,
            off % 60
        )
    }
}

/// The text is not an RFC 3339 date with a numeric zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 date with a zone")]
pub struct ParseDateError(String);

impl FromStr for InternalDate {
    type Err = ParseDateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseDateError(text.to_owned());
        if let Some(unix) = text.strip_prefix('@') {
            return Ok(Self::utc(unix.parse().map_err(|_| bad())?));
        }
        let (local, offset) = text.split_at_checked(19).ok_or_else(bad)?;
        let civil: jiff::civil::DateTime = local.parse().map_err(|_| bad())?;
        let minutes = parse_offset(offset).ok_or_else(bad)?;
        let unix = jiff::tz::Offset::UTC
            .to_timestamp(civil)
            .map_err(|_| bad())?
            .as_second();
        Ok(Self {
            unix: unix - i64::from(minutes) * 60,
            offset_minutes: minutes,
        })
    }
}

fn parse_offset(text: &str) -> Option<i16> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let minutes = hours
        .parse::<i16>()
        .ok()?
        .checked_mul(60)?
        .checked_add(minutes.parse::<i16>().ok()?)?;
    (0..1440).contains(&minutes).then_some(sign * minutes)
}

impl Serialize for InternalDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InternalDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_with_its_zone() {
        for (unix, offset) in [
            (0, 0),
            (1_714_550_400, 120),
            (-86_400 * 365 * 20, -330),
            (253_402_214_400, 0),
        ] {
            let date = InternalDate {
                unix,
                offset_minutes: offset,
            };
            assert_eq!(
                date.to_string().parse::<InternalDate>().unwrap(),
                date,
                "{date}"
            );
        }
        assert_eq!(
            InternalDate {
                unix: 0,
                offset_minutes: -90
            }
            .to_string(),
            "1969-12-31T22:30:00-01:30"
        );
        assert_eq!(
            InternalDate {
                unix: 0,
                offset_minutes: -90
            }
            .asctime_utc(),
            "Thu Jan  1 00:00:00 1970"
        );
    }
}
