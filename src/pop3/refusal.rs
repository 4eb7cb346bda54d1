//! What `-ERR` means for the next attempt: response codes, and words where there are none.

use std::time::Duration;

use crate::net::{code_of, is_capacity, suggested_backoff};

/// A lost connection: the engine's back-off grows from here.
pub(super) const RECONNECT: Duration = Duration::from_secs(2);
/// A maildrop that is locked is mostly free again soon.
pub(super) const BUSY: Duration = Duration::from_secs(30);
/// The longest LOGIN-DELAY that is believed.
const LOGIN_DELAY_MAX: Duration = Duration::from_secs(15 * 60);

/// Whether the words carry a code, or a finer one below it (RFC 2449 §8).
fn has_code(words: &str, code: &str) -> bool {
    let Some(seen) = code_of(words) else {
        return false;
    };
    let seen = seen.trim().to_ascii_uppercase();
    seen.strip_prefix(code)
        .is_some_and(|finer| finer.is_empty() || finer.starts_with('/'))
}

/// RFC 3206 §4: somebody has to repair something first.
pub(super) fn is_permanent(words: &str) -> bool {
    has_code(words, "SYS/PERM")
}

/// Whether the same command may succeed later (RFC 2449 §8, RFC 3206 §4).
pub(super) fn is_busy(words: &str) -> bool {
    if has_code(words, "AUTH") || is_permanent(words) {
        return false;
    }
    ["IN-USE", "LOGIN-DELAY", "SYS/TEMP"]
        .iter()
        .any(|code| has_code(words, code))
        || is_capacity(words)
        || is_locked(words)
}

/// Whether the words speak of a maildrop that another session holds. An account that is
/// locked is none: trying again is what keeps it locked.
fn is_locked(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let has = |word: &str| {
        words
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|w| w == word)
    };
    // QUIRK(UW ipop3d, 2000s): an uncoded "Can't get lock.  Mailbox in use".
    // QUIRK(qpopper, 2000s): an uncoded "mailbox.pop lock busy!  Is another session active?".
    let lock = ["lock", "locked", "locking"].into_iter().any(has);
    let session = [
        "locked",
        "open",
        "opened",
        "use",
        "used",
        "logged",
        "connected",
        "active",
    ]
    .into_iter()
    .chain(["session", "another"])
    .any(has);
    lock && !has("account")
        || words.contains("in use")
        || words.contains("another session")
        || has("already") && session
}

/// How long to stay away.
pub(super) fn wait_for(words: &str, login_delay: Option<Duration>) -> Duration {
    if let Some(wait) = suggested_backoff(words) {
        return wait;
    }
    match login_delay {
        Some(delay) if has_code(words, "LOGIN-DELAY") => delay.min(LOGIN_DELAY_MAX),
        _ if is_busy(words) => BUSY,
        _ => RECONNECT,
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Pop3Error;
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_maildrop_in_use() {
        let kind = |words: &str| {
            let delay = Some(Duration::from_secs(3600));
            match Pop3Error::of_sign_in("PASS", words.to_owned(), delay) {
                Pop3Error::Capacity { wait, .. } => format!("{}", wait.as_secs()),
                Pop3Error::SignInRefused { .. } => "refused".into(),
                Pop3Error::Refused { .. } => "permanent".into(),
                other => panic!("{other:?}"),
            }
        };
        for (words, expected) in [
            ("[IN-USE] Do you have another POP session running?", "30"),
            ("[in-use/other] x", "30"),
            (
                "[LOGIN-DELAY] minimum time between mail checks violation",
                "900",
            ),
            ("[SYS/TEMP] Internal error", "30"),
            (
                "/var/mail/.anna.pop lock busy!  Is another session active? (11)",
                "30",
            ),
            ("Can't get lock.  Mailbox in use", "30"),
            (
                "Unable to lock maildrop: Mailbox is locked by POP server",
                "30",
            ),
            ("maildrop already locked", "30"),
            ("you are already logged in", "30"),
            ("Too many connections from your IP", "30"),
            (
                "Request is throttled. Suggested Backoff Time: 4000 milliseconds",
                "4",
            ),
            ("[SYS/PERM] lock cannot be created", "permanent"),
            ("[SYS/PERMANENT] x", "refused"),
            (
                "[AUTH] Your account is already in use, temporarily",
                "refused",
            ),
            ("[AUTH] Authentication failed.", "refused"),
            (
                "Logon failure: unknown user name or bad password.",
                "refused",
            ),
            ("Your account has been locked", "refused"),
            ("Your address is blocked", "refused"),
            ("This was tried already", "refused"),
            ("", "refused"),
        ] {
            assert_eq!(kind(words), expected, "{words}");
        }
        let delay = |delay| wait_for("[LOGIN-DELAY] x", delay);
        assert_eq!(delay(None), BUSY);
        let minute = Duration::from_secs(60);
        assert_eq!(delay(Some(minute)), minute);
    }
}
