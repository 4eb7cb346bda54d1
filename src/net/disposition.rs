//! What a server's words mean for the next attempt, in every mail protocol alike.

use std::time::Duration;

/// How much is lost by an error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// The messages asked for.
    Message,
    /// The mailbox.
    Mailbox,
    /// Everything of this account.
    Account,
    /// The whole run.
    Run,
}

/// What to do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Try again at once, asking for less.
    RetryNow,
    /// Try again on a new connection, after at least this long.
    RetryAfter(Duration),
    /// Record it and go on with the rest.
    Skip,
    /// Stop; trying again would change nothing or do harm.
    Abort,
}

/// What stands in brackets in front of the words (RFC 3501 §7.1, RFC 2449 §8).
pub(crate) fn code_of(words: &str) -> Option<&str> {
    let (code, _) = words.strip_prefix('[')?.split_once(']')?;
    Some(code)
}

/// Whether the words say that there are too many sessions or too much work, so that the
/// same sign-in may succeed later.
pub(crate) fn is_capacity(words: &str) -> bool {
    // QUIRK(Exchange Online, 2020): too many recent sessions come as an uncoded
    // "User is authenticated but not connected".
    const PHRASES: [&str; 9] = [
        "too many",
        "maximum number of",
        "simultaneous connections",
        "authenticated but not connected",
        "throttled",
        "backoff time",
        "rate limit",
        "try again later",
        "temporarily",
    ];
    const CODES: [&str; 7] = [
        "UNAVAILABLE",
        "INUSE",
        "IN-USE",
        "LIMIT",
        "THROTTLED",
        "OVERQUOTA",
        "SERVERBUG",
    ];
    let coded = code_of(words).and_then(|code| code.split(' ').next());
    match coded {
        Some(code) if CODES.iter().any(|c| c.eq_ignore_ascii_case(code)) => true,
        Some(code) if code.eq_ignore_ascii_case("AUTHENTICATIONFAILED") => false,
        _ => {
            let words = words.to_ascii_lowercase();
            PHRASES.iter().any(|phrase| words.contains(phrase))
        }
    }
}

/// The wait a server asks for: `Suggested Backoff Time: 299961 milliseconds`.
pub(crate) fn suggested_backoff(words: &str) -> Option<Duration> {
    let lower = words.to_ascii_lowercase();
    let (_, after) = lower.split_once("backoff time:")?;
    let digits: String = after
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    // A day is longer than any server means; a hostile one must not stop a run for ever.
    let wait = Duration::from_millis(digits.parse().ok()?);
    Some(wait.min(Duration::from_secs(24 * 3600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_lack_of_capacity() {
        for words in [
            "[UNAVAILABLE] Temporary authentication failure.",
            "[INUSE] busy",
            "[LIMIT] Too many",
            "[ALERT] Too many simultaneous connections. (Failure)",
            "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
            "User is authenticated but not connected.",
        ] {
            assert!(is_capacity(words), "{words}");
        }
        for words in [
            "[AUTHENTICATIONFAILED] Authentication failed, too many words",
            "LOGIN failed",
            "[ALERT] You are yet to enable IMAP for your account.",
        ] {
            assert!(!is_capacity(words), "{words}");
        }
    }

    #[test]
    fn a_suggested_wait_is_obeyed_within_reason() {
        let words = "Request is throttled. Suggested Backoff Time: 299961 milliseconds";
        assert_eq!(
            suggested_backoff(words),
            Some(Duration::from_millis(299_961))
        );
        let forever = "Backoff Time: 99999999999999 milliseconds";
        assert_eq!(
            suggested_backoff(forever),
            Some(Duration::from_secs(86_400))
        );
        assert_eq!(suggested_backoff("no"), None);
    }
}
