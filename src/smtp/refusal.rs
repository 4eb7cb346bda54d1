//! What a refusal means for the next attempt.

use std::time::Duration;

use super::send::Stage;
use crate::net::{Disposition, Scope, is_capacity, suggested_backoff};

/// A lost connection: the engine's back-off grows from here.
pub(super) const RECONNECT: Duration = Duration::from_secs(2);
/// Too much at once, or something of the server's that is down.
pub(super) const BUSY: Duration = Duration::from_secs(60);
/// The usual wait of servers that let nobody in at the first knock.
pub(super) const GREYLISTED: Duration = Duration::from_secs(300);

/// 421: the server closes the connection (RFC 5321 §3.8).
pub(super) const CLOSING: u16 = 421;

/// The enhanced code in front of the words (RFC 3463), if it is of the class of the reply's code.
fn enhanced(code: u16, words: &str) -> Option<&str> {
    let seen = words.split(' ').next()?;
    let mut parts = seen.split('.');
    let class: u16 = parts.next()?.parse().ok()?;
    let rest = [parts.next()?, parts.next()?];
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_code = class == code / 100 && rest.iter().all(is_number) && parts.next().is_none();
    is_code.then_some(seen)
}

/// Whether the words speak of too much at once, by which no message is meant in particular.
pub(super) fn is_busy(code: u16, words: &str) -> bool {
    if code == CLOSING {
        return true;
    }
    let seen = enhanced(code, words).unwrap_or_default();
    if code < 500 {
        // RFC 3463 §3: policy (of which rate limits are one), the system, congestion.
        return seen.starts_with("4.7.")
            || ["4.3.1", "4.3.2", "4.4.5", "4.5.3"].contains(&seen)
            || is_capacity(words);
    }
    // QUIRK(Gmail, Exchange Online, Zoho): the limits of a day come as a permanent refusal.
    // "Too many" alone is none of them: hops, headers and recipients are the message's own.
    const PHRASES: [&str; 8] = [
        "rate limit",
        "throttl",
        "sending limit",
        "sending activity",
        "too many messages",
        "too many emails",
        "too many connections",
        "submission quota",
    ];
    let words = words.to_ascii_lowercase();
    PHRASES.iter().any(|phrase| words.contains(phrase))
}

/// How long to stay away.
pub(super) fn wait_for(code: u16, words: &str) -> Duration {
    suggested_backoff(words).unwrap_or_else(|| {
        // A server that goes down for a moment says 421 too.
        if code == CLOSING && !is_capacity(words) && enhanced(code, words) != Some("4.7.0") {
            RECONNECT
        } else {
            BUSY
        }
    })
}

/// What the refusal of a message means. It is the message's alone, unless the words say that
/// it is about us, the recipient or the server.
pub(super) fn disposition(code: u16, words: &str, at: Stage) -> (Scope, Disposition) {
    use Disposition::{Abort, RetryAfter, Skip};
    // No such mailbox or domain, moved, or closed; and full.
    const RECIPIENT: [&str; 7] = [
        "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.2.2",
    ];
    if is_busy(code, words) {
        return (Scope::Account, RetryAfter(wait_for(code, words)));
    }
    let seen = enhanced(code, words).unwrap_or_default();
    match code {
        ..500 if at == Stage::RcptTo => (Scope::Account, RetryAfter(GREYLISTED)),
        ..500 => (Scope::Message, RetryAfter(BUSY)),
        // RFC 4954 §6: sign in first.
        530 => (Scope::Account, Abort),
        _ if at == Stage::RcptTo && RECIPIENT.contains(&seen) => (Scope::Account, Abort),
        _ => (Scope::Message, Skip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_messages_own_is_told_from_what_is_not() {
        use Disposition::{Abort, RetryAfter, Skip};
        use Stage::{Data, End, MailFrom, RcptTo};
        let busy = (Scope::Account, RetryAfter(BUSY));
        let skip = (Scope::Message, Skip);
        let abort = (Scope::Account, Abort);
        for (code, words, at, expected) in [
            (450, "4.7.1 Rate limited", MailFrom, busy),
            (451, "4.7.500 Server busy", End, busy),
            (452, "4.3.1 Insufficient system storage", MailFrom, busy),
            (454, "try again later", RcptTo, busy),
            (451, "rate limit exceeded", Data, busy),
            (550, "5.4.5 Daily user sending limit exceeded.", End, busy),
            (
                550,
                "5.4.6 Unusual sending activity detected.",
                MailFrom,
                busy,
            ),
            (
                451,
                "Backoff Time: 5000 milliseconds, throttled",
                End,
                (Scope::Account, RetryAfter(Duration::from_secs(5))),
            ),
            (
                450,
                "4.2.0 Greylisted",
                RcptTo,
                (Scope::Account, RetryAfter(GREYLISTED)),
            ),
            (
                451,
                "4.6.0 cannot scan this",
                End,
                (Scope::Message, RetryAfter(BUSY)),
            ),
            // Not of the class of the code, so it says nothing.
            (451, "5.7.0 odd", End, (Scope::Message, RetryAfter(BUSY))),
            (554, "5.4.6 Too many hops", End, skip),
            (552, "5.3.4 too large", MailFrom, skip),
            (550, "no", End, skip),
            (550, "5.1.1 no such user", End, skip),
            (550, "5.1.1 no such user", RcptTo, abort),
            (552, "5.2.2 over quota", RcptTo, abort),
            (550, "5.7.1 refused by policy", RcptTo, skip),
            (530, "5.7.0 Authentication required", MailFrom, abort),
        ] {
            assert_eq!(disposition(code, words, at), expected, "{code} {words}");
        }
    }

    #[test]
    fn enhanced_codes_are_read_where_they_are_ones() {
        for (code, words, expected) in [
            (450, "4.7.1 x", Some("4.7.1")),
            (550, "5.7.500", Some("5.7.500")),
            (450, "5.7.1 x", None),
            (450, "4.7 x", None),
            (450, "4.7.1.1 x", None),
            (450, "4.a.1 x", None),
            (450, "4..1 x", None),
            (450, "", None),
        ] {
            assert_eq!(enhanced(code, words), expected, "{words}");
        }
        for (words, wait) in [
            ("4.4.2 bye", RECONNECT),
            ("4.7.0 slow down", BUSY),
            ("too many connections", BUSY),
            ("Backoff Time: 1 milliseconds", Duration::from_millis(1)),
        ] {
            assert_eq!(wait_for(CLOSING, words), wait, "{words}");
        }
    }
}
