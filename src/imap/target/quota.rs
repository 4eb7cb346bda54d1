//! How much room there is (RFC 9208, before it RFC 2087).

use super::session::TargetSession;
use super::tokens::{Token, arguments};
use crate::imap::command::Command;
use crate::imap::error::ImapError;

/// One resource that is limited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    /// The quota root: mailboxes of the same root share the limit.
    pub root: String,
    /// What is counted, in upper case: `STORAGE` in units of 1024 bytes, `MESSAGE` in messages.
    pub resource: String,
    /// How much is used.
    pub usage: u64,
    /// How much may be used.
    pub limit: u64,
}

/// A server has one or two.
const MAX_RESOURCES: usize = 256;

impl TargetSession {
    /// The limits that hold for a mailbox. Empty where there are none, and where the server has
    /// no QUOTA, refuses, or gives answers that cannot be read.
    pub async fn quota(&mut self, wire_name: &str) -> Result<Vec<Quota>, ImapError> {
        let is_quota = |name: &str| name == "QUOTA" || name.starts_with("QUOTA=");
        if !self.capabilities().iter().any(is_quota) {
            return Ok(Vec::new());
        }
        self.at_rest().await?;
        let wire = &mut self.session.wire;
        wire.forget_aside();
        let command = Command::new("GETQUOTAROOT", "").string(wire_name);
        let reply = wire.run(command, |_, _| {}).await?;
        let answers = wire.take_aside("QUOTA");
        if !reply.is_ok() {
            return Ok(Vec::new());
        }
        let read = answers.iter().filter_map(|line| resources(line)).flatten();
        Ok(read.take(MAX_RESOURCES).collect())
    }
}

/// `root (STORAGE 10 512 MESSAGE 3 100)`.
fn resources(line: &[u8]) -> Option<Vec<Quota>> {
    let mut tokens = arguments(line)?.into_iter();
    let root = tokens.next()?.into_text()?;
    if tokens.next()? != Token::Open {
        return None;
    }
    let mut all = Vec::new();
    loop {
        let resource = match tokens.next()? {
            Token::Close => return Some(all),
            other => other.into_text()?,
        };
        all.push(Quota {
            root: root.clone(),
            resource: resource.to_ascii_uppercase(),
            usage: tokens.next()?.into_text()?.parse().ok()?,
            limit: tokens.next()?.into_text()?.parse().ok()?,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_or_the_line_is_left_out() {
        let quota = |root: &str, resource: &str, usage, limit| Quota {
            root: root.to_owned(),
            resource: resource.to_owned(),
            usage,
            limit,
        };
        for (answer, read) in [
            (
                r#""" (STORAGE 10 512 message 3 100)"#,
                Some(vec![
                    quota("", "STORAGE", 10, 512),
                    quota("", "MESSAGE", 3, 100),
                ]),
            ),
            (
                r#"User\ (STORAGE 1 18446744073709551615)"#,
                Some(vec![quota("User\\", "STORAGE", 1, u64::MAX)]),
            ),
            (r#""User quota" ()"#, Some(vec![])),
            (r#""" (STORAGE 10)"#, None),
            (r#""" (STORAGE x 5)"#, None),
            (r#""" (STORAGE 1 18446744073709551616)"#, None),
            (r#""" (STORAGE 1 2"#, None),
            (r#""""#, None),
            ("NIL NIL", None),
        ] {
            let line = format!("* QUOTA {answer}\r\n");
            assert_eq!(resources(line.as_bytes()), read, "{answer}");
        }
    }
}
