//! An IMAP account as a source.

use crate::imap::{ImapError, ListedMailbox, Session};
use crate::model::MailboxStatus;
use crate::net::{Endpoint, NetOptions};
use crate::secret::Credentials;
use crate::spool::SpoolOptions;

/// An IMAP account: where it is, and how to sign in.
#[derive(Debug, Clone)]
pub struct ImapSource {
    /// The server.
    pub endpoint: Endpoint,
    /// Trust, time-outs and limits.
    pub net: NetOptions,
    /// User and password.
    pub credentials: Credentials,
    /// Connections to use; `None` leaves it to what is known of the server.
    pub connections: Option<usize>,
}

/// A mailbox as LIST and STATUS show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMailbox {
    /// The name as the server wrote it.
    pub wire: String,
    /// The decoded name with `/` between levels.
    pub name: String,
    /// The hierarchy separator.
    pub separator: Option<char>,
    /// Special use.
    pub special_use: Option<String>,
    /// Whether the user is subscribed to it.
    pub subscribed: bool,
    /// What STATUS says; `None` where it said nothing.
    pub status: Option<MailboxStatus>,
}

impl ImapSource {
    /// `user@host`, by which an account is recognised.
    #[must_use]
    pub fn alias(&self) -> String {
        format!("{}@{}", self.credentials.whose(), self.endpoint.host)
    }

    /// [`alias`](Self::alias), with the port where it is none of the usual two: by which a target is
    /// told from others.
    #[must_use]
    pub fn address(&self) -> String {
        match self.endpoint.port {
            143 | 993 => self.alias(),
            port => format!("{}:{port}", self.alias()),
        }
    }

    /// Connects and signs in.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub async fn connect(&self, spool: SpoolOptions) -> Result<Session, ImapError> {
        Session::connect(&self.endpoint, &self.net, &self.credentials, Some(spool)).await
    }

    /// Mailboxes that can be opened, with their state, in one round trip; `None` where the server
    /// cannot do that.
    ///
    /// # Errors
    /// LIST failed.
    pub async fn mailboxes_with_status(
        &self,
        session: &mut Session,
    ) -> Result<Option<Vec<SeenMailbox>>, ImapError> {
        let Some(listed) = session.list_with_status().await? else {
            return Ok(None);
        };
        let seen = listed
            .into_iter()
            .filter(|(m, _)| m.selectable())
            .map(|(m, status)| SeenMailbox {
                status,
                ..seen(&m, m.has("\\Subscribed"))
            });
        Ok(Some(seen.collect()))
    }

    /// Mailboxes that can be opened, as the server lists them, without their state.
    ///
    /// # Errors
    /// LIST failed. A server without LSUB is no error: subscriptions are then unknown.
    pub async fn mailboxes(&self, session: &mut Session) -> Result<Vec<SeenMailbox>, ImapError> {
        let listed: Vec<ListedMailbox> = session
            .list()
            .await?
            .into_iter()
            .filter(ListedMailbox::selectable)
            .collect();
        let subscribed = match session.subscribed().await {
            Ok(names) => names,
            Err(ImapError::No { .. } | ImapError::Bad { .. }) => Vec::new(),
            Err(e) => return Err(e),
        };
        let subscribed = |m: &ListedMailbox| subscribed.contains(&m.wire);
        Ok(listed.iter().map(|m| seen(m, subscribed(m))).collect())
    }

    /// The state of mailboxes in the order given, as far as the server tells it.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn statuses(
        &self,
        session: &mut Session,
        wires: &[String],
    ) -> Result<Vec<Option<MailboxStatus>>, ImapError> {
        match session.status(wires).await {
            Err(ImapError::No { .. } | ImapError::Bad { .. }) => Ok(vec![None; wires.len()]),
            other => other,
        }
    }
}

fn seen(m: &ListedMailbox, subscribed: bool) -> SeenMailbox {
    SeenMailbox {
        name: decoded_name(&m.name(), m.separator),
        special_use: m.special_use().map(str::to_owned),
        subscribed,
        separator: m.separator,
        wire: m.wire.clone(),
        status: None,
    }
}

/// Brings a decoded name to `/` between levels. A `/` that is part of a level, where the
/// separator is another, is shown as `∕` (U+2215), so that levels stay what they are.
#[must_use]
pub fn decoded_name(decoded: &str, separator: Option<char>) -> String {
    match separator {
        Some('/') => decoded.to_owned(),
        Some(separator) => decoded.replace('/', "\u{2215}").replace(separator, "/"),
        None => decoded.replace('/', "\u{2215}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_kept_apart_whatever_the_separator() {
        assert_eq!(decoded_name("a/b.c", Some('/')), "a/b.c");
        assert_eq!(decoded_name("a/b.c", Some('.')), "a\u{2215}b/c");
        assert_eq!(decoded_name("a/b.c", None), "a\u{2215}b.c");
    }
}
