//! Time and fresh ids, as values that are handed in.
//!
//! Nothing below the engines reads the clock by itself: a test can fix it, and a plan made
//! twice from the same facts is the same plan.

use std::hash::{BuildHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::InternalDate;

/// Where "now" and fresh ids come from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A fixed instant in Unix seconds; ids derive from it alone.
    Fixed(i64),
}

impl Clock {
    /// Unix seconds.
    #[must_use]
    pub fn now_unix(&self) -> i64 {
        match self {
            Self::Fixed(at) => *at,
            Self::System if cfg!(feature = "testing") && test_now().is_some() => {
                test_now().unwrap_or(0)
            }
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the clock")]
                let now = SystemTime::now();
                now.duration_since(UNIX_EPOCH)
                    .ok()
                    .and_then(|d| i64::try_from(d.as_secs()).ok())
                    .unwrap_or(0)
            }
        }
    }

    /// RFC 3339 in UTC with seconds, such as `2026-11-22T16:25:51Z`.
    #[must_use]
    pub fn now(&self) -> String {
        rfc3339(self.now_unix())
    }

    /// A fresh 128-bit id in hex. Unguessable enough to tell two archives apart; no secret.
    #[must_use]
    pub fn fresh_id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.now_unix().to_le_bytes());
        if matches!(self, Self::System) {
            // RandomState is seeded by the operating system once per thread and process.
            for salt in 0..4u64 {
                let mut random = std::hash::RandomState::new().build_hasher();
                random.write_u64(salt);
                hasher.update(&random.finish().to_le_bytes());
            }
            hasher.update(&std::process::id().to_le_bytes());
        }
        hasher.finalize().to_hex().chars().take(32).collect()
    }
}

/// `MAILSTOW_TEST_NOW` fixes the time of a whole process, in Unix seconds.
fn test_now() -> Option<i64> {
    std::env::var("MAILSTOW_TEST_NOW").ok()?.parse().ok()
}

/// A Unix time as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map_or_else(|_| format!("@{unix}"), |t| t.to_string())
}

/// The Unix time of an RFC 3339 text as [`rfc3339`] writes it; `None` for anything else.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_second)
}

/// The midnight that began the day of a Unix time, in this machine's time zone and with it.
#[must_use]
pub fn local_day_start(unix: i64) -> InternalDate {
    let start = jiff::Timestamp::from_second(unix)
        .map(|t| t.to_zoned(jiff::tz::TimeZone::system()))
        .and_then(|t| t.start_of_day());
    start.map_or_else(
        |_| InternalDate::utc(unix),
        |t| InternalDate {
            unix: t.timestamp().as_second(),
            offset_minutes: i16::try_from(t.offset().seconds() / 60).unwrap_or(0),
        },
    )
}

/// The Unix time of the midnight that begins a day, `YYYY-MM-DD`, in this machine's time zone.
#[must_use]
pub fn local_midnight(day: &str) -> Option<i64> {
    let day: jiff::civil::Date = day.parse().ok()?;
    Some(
        day.to_zoned(jiff::tz::TimeZone::system())
            .ok()?
            .timestamp()
            .as_second(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_gives_the_same_time_and_id_and_the_system_clock_fresh_ids() {
        let fixed = Clock::Fixed(1_795_364_751);
        assert_eq!(fixed.now(), "2026-11-22T16:25:51Z");
        assert_eq!(parse_rfc3339(&fixed.now()), Some(1_795_364_751));
        assert_eq!(fixed.fresh_id(), fixed.fresh_id());
        assert_ne!(Clock::System.fresh_id(), Clock::System.fresh_id());
        assert_eq!(Clock::System.fresh_id().len(), 32);
    }
}
