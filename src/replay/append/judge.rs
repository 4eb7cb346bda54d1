//! What a refusal of an APPEND means. Pure.

use crate::imap::Tagged;

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The server is busy: the same again, later.
    Later,
    /// The server is busy, or cannot cope with this message: it says the same of both.
    Stumbles,
    /// There is no room left in the account.
    Full,
    /// The mailbox is not there.
    NoMailbox,
    /// It will not have this message.
    Refused,
}

/// Judges a NO to an APPEND (RFC 3501 §6.3.11, RFC 5530, RFC 7889).
pub(super) fn judge(reply: &Tagged) -> Judgement {
    let words = reply.words.to_ascii_lowercase();
    // QUIRK(imapsync, FAQ.APPEND_errors): many servers refuse without a code.
    const FULL: [&str; 4] = [
        "quota exceeded",
        "over quota",
        "quota limit will be exceeded",
        "mailbox is full",
    ];
    if reply.has_code("OVERQUOTA") || FULL.iter().any(|text| words.contains(text)) {
        return Judgement::Full;
    }
    if reply.has_code("TRYCREATE") || reply.has_code("NONEXISTENT") {
        return Judgement::NoMailbox;
    }
    // [LIMIT] is said of a mailbox that takes no more as well as of a client that is too fast.
    let fast = words.contains("rate limit") || words.contains("backoff");
    if reply.has_code("LIMIT") && !fast {
        return Judgement::Refused;
    }
    // QUIRK(Dovecot, 2.3): [SERVERBUG] and [UNAVAILABLE] are said of single messages as well.
    let stumbles = ["UNAVAILABLE", "SERVERBUG", "CONTACTADMIN"];
    if stumbles.iter().any(|code| reply.has_code(code)) {
        Judgement::Stumbles
    } else if reply.has_code("INUSE") || reply.has_code("THROTTLED") || reply.is_throttle() {
        Judgement::Later
    } else {
        Judgement::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::TaggedStatus;

    #[test]
    fn refusals_are_judged_by_code_and_by_words() {
        use Judgement::{Full, Later, NoMailbox, Refused, Stumbles};
        for (words, want) in [
            ("[OVERQUOTA] no room", Full),
            ("Quota exceeded (mailbox for user is full)", Full),
            ("[TRYCREATE] no such mailbox", NoMailbox),
            ("[TOOBIG] message too large", Refused),
            ("[LIMIT] mailbox takes no more", Refused),
            ("[LIMIT] APPEND Rate limit hit.", Later),
            ("[UNAVAILABLE] try again", Stumbles),
            ("[SERVERBUG] Internal error occurred.", Stumbles),
            ("[THROTTLED] slow down", Later),
            (
                "Request is throttled. Suggested Backoff Time: 5000 milliseconds",
                Later,
            ),
            ("Message contains NUL characters", Refused),
            ("refused because it contains a virus", Refused),
            ("", Refused),
        ] {
            let code = words.strip_prefix('[').and_then(|w| w.split_once(']'));
            let reply = Tagged {
                status: TaggedStatus::No,
                code: code.map(|(code, _)| code.to_owned()),
                words: words.to_owned(),
            };
            assert_eq!(judge(&reply), want, "{words}");
        }
    }
}
