//! Where a user's own mailboxes are (RFC 2342).

use super::session::TargetSession;
use super::tokens::{Token, arguments};
use crate::imap::command::Command;
use crate::imap::error::ImapError;

/// The name space of the user's own mailboxes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// What the wire names of mailboxes other than INBOX begin with, such as `INBOX.`; most
    /// often empty.
    pub prefix: String,
    /// What separates the levels of a name; `None` for a flat name space.
    pub separator: Option<char>,
}

impl TargetSession {
    /// The personal name space, the first if there are several. `None` where the server has no
    /// NAMESPACE, refuses it, names none, or gives an answer that cannot be read.
    pub async fn namespace(&mut self) -> Result<Option<Namespace>, ImapError> {
        if !self.capabilities().has("NAMESPACE") {
            return Ok(None);
        }
        self.at_rest().await?;
        let wire = &mut self.session.wire;
        wire.forget_aside();
        let reply = wire.run(Command::new("NAMESPACE", ""), |_, _| {}).await?;
        let answer = wire.take_aside("NAMESPACE").pop();
        Ok(answer
            .filter(|_| reply.is_ok())
            .and_then(|line| personal(&line)))
    }
}

fn personal(line: &[u8]) -> Option<Namespace> {
    let mut tokens = arguments(line)?.into_iter();
    if (tokens.next()?, tokens.next()?) != (Token::Open, Token::Open) {
        return None;
    }
    let prefix = tokens.next().filter(|prefix| !prefix.is_nil())?;
    let separator = tokens.next()?;
    Some(Namespace {
        prefix: prefix.into_text()?,
        separator: if separator.is_nil() {
            None
        } else {
            let separator = separator.into_text()?;
            let mut chars = separator.chars();
            Some(chars.next().filter(|_| chars.next().is_none())?)
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_personal_name_space_is_read_and_nothing_is_guessed() {
        for (answer, read) in [
            (r#"((""  "/")) NIL NIL"#, Some(("", Some('/')))),
            (
                r##"(("INBOX." ".")("#x" "/")) (("~" ".")) NIL"##,
                Some(("INBOX.", Some('.'))),
            ),
            (r#"(("" "\\")) NIL NIL"#, Some(("", Some('\\')))),
            (r#"(("" NIL)) NIL NIL"#, Some(("", None))),
            (
                r#"(("" "/" "X-PARAM" ("FLAG1" "FLAG2"))) NIL NIL"#,
                Some(("", Some('/'))),
            ),
            (r#"NIL NIL (("" "/"))"#, None),
            (r#"(NIL) NIL NIL"#, None),
            (r#"(("" "//")) NIL NIL"#, None),
            (r#"(("" ""))"#, None),
            (r#"((""))"#, None),
            (r#"((("#, None),
            ("garbage", None),
        ] {
            let want = read.map(|(prefix, separator)| Namespace {
                prefix: prefix.to_owned(),
                separator,
            });
            let line = format!("* NAMESPACE {answer}\r\n");
            assert_eq!(personal(line.as_bytes()), want, "{answer}");
        }
    }
}
