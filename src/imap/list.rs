//! Which mailboxes there are.

use std::collections::{HashMap, HashSet};

use imap_proto::{MailboxDatum, MailboxListData, NameAttribute, Response};

use super::command::{Command, unescape_text};
use super::error::ImapError;
use super::select::status_of;
use super::session::Session;
use super::utf7;
use super::wire::Filter;
use crate::model::MailboxStatus;

/// A name the server lists. It need not be a mailbox that can be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedMailbox {
    /// The name as the server wrote it, without quotes. It identifies the mailbox. `INBOX`
    /// is always in capitals; bytes that are no UTF-8 became U+FFFD, and such a mailbox
    /// cannot be opened.
    pub wire: String,
    /// What separates the levels of the name; `None` for a flat name space.
    pub separator: Option<char>,
    /// The attributes, such as `\HasNoChildren` and `\Sent`, whether or not the server
    /// announces SPECIAL-USE.
    pub attributes: Vec<String>,
}

impl ListedMailbox {
    /// The name for people: see [`utf7::decode`].
    #[must_use]
    pub fn name(&self) -> String {
        utf7::decode(&self.wire).into_owned()
    }

    /// Whether it can be opened (RFC 3501 `\Noselect`, RFC 5258 `\NonExistent`).
    #[must_use]
    pub fn selectable(&self) -> bool {
        !self.has("\\Noselect") && !self.has("\\NonExistent")
    }

    /// Its special use (RFC 6154, RFC 8457), in the usual spelling.
    #[must_use]
    pub fn special_use(&self) -> Option<&'static str> {
        const USES: [&str; 8] = [
            "\\All",
            "\\Archive",
            "\\Drafts",
            "\\Flagged",
            "\\Important",
            "\\Junk",
            "\\Sent",
            "\\Trash",
        ];
        USES.into_iter().find(|name| self.has(name))
    }

    /// Whether it has an attribute, without regard to case.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes
            .iter()
            .any(|a| a.eq_ignore_ascii_case(attribute))
    }

    fn of(data: &MailboxListData<'_>, filter: &Filter) -> Self {
        let separator = data.delimiter.as_deref().map(unescape_text);
        Self {
            wire: name_of(&data.name, filter),
            separator: separator.and_then(|s| s.chars().next()),
            attributes: data.name_attributes.iter().map(attribute).collect(),
        }
    }
}

impl Session {
    /// All mailboxes, by one plain LIST: asking for more makes several servers fail
    /// (QUIRK(Zoho, 2026): `RETURN (SPECIAL-USE)` is BAD, yet the attributes come without).
    ///
    /// A name that is listed twice is returned once. An empty answer is returned as it is;
    /// Zoho has been seen to send one for a full account.
    pub async fn list(&mut self) -> Result<Vec<ListedMailbox>, ImapError> {
        let mut listed = self.listed("LIST").await?;
        keep_first(&mut listed);
        Ok(listed)
    }

    /// All mailboxes with their state, in one round trip (RFC 5819), each name once; one that is
    /// subscribed to has the attribute `\Subscribed`.
    ///
    /// `None` where the server does not announce that it can, or refuses: ask it by
    /// [`Self::list`], [`Self::subscribed`] and [`Self::status`]. A mailbox the answer has no
    /// state of must be examined.
    pub async fn list_with_status(
        &mut self,
    ) -> Result<Option<Vec<(ListedMailbox, Option<MailboxStatus>)>>, ImapError> {
        let capabilities = self.capabilities();
        if !capabilities.has("LIST-EXTENDED") || !capabilities.has("LIST-STATUS") {
            return Ok(None);
        }
        let mut options = String::from(" \"\" \"*\" RETURN (SUBSCRIBED ");
        if capabilities.has("SPECIAL-USE") {
            options.push_str("SPECIAL-USE ");
        }
        options.push_str("STATUS");
        options.push_str(self.status_items());
        options.push(')');
        let mut listed: Vec<ListedMailbox> = Vec::new();
        let mut states: HashMap<String, MailboxStatus> = HashMap::new();
        let on = |response: &Response<'_>, filter: &mut Filter| match response {
            Response::MailboxData(MailboxDatum::List(data)) => {
                listed.push(ListedMailbox::of(data, filter));
            }
            _ => states.extend(status_of(response, filter)),
        };
        match self.wire.run_ok(Command::new("LIST", &options), on).await {
            Ok(_) => {}
            Err(ImapError::No { .. } | ImapError::Bad { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        keep_first(&mut listed);
        let with_state = |m: ListedMailbox| {
            let state = states.get(&m.wire).copied();
            (m, state)
        };
        Ok(Some(listed.into_iter().map(with_state).collect()))
    }

    /// The wire names the user is subscribed to.
    pub async fn subscribed(&mut self) -> Result<Vec<String>, ImapError> {
        let listed = self.listed("LSUB").await?;
        // RFC 3501 §6.3.9: \Noselect here means that only a child is subscribed.
        let subscribed = listed.into_iter().filter(ListedMailbox::selectable);
        Ok(subscribed.map(|m| m.wire).collect())
    }

    async fn listed(&mut self, command: &'static str) -> Result<Vec<ListedMailbox>, ImapError> {
        let mut listed = Vec::new();
        self.wire
            .run_ok(Command::new(command, " \"\" \"*\""), |response, filter| {
                if let Response::MailboxData(MailboxDatum::List(data)) = response {
                    listed.push(ListedMailbox::of(data, filter));
                }
            })
            .await?;
        Ok(listed)
    }
}

/// Keeps the first of each name. Names that lost bytes may be distinct though they look alike.
fn keep_first(listed: &mut Vec<ListedMailbox>) {
    let mut seen = HashSet::new();
    listed.retain(|m| m.wire.contains('\u{FFFD}') || seen.insert(m.wire.clone()));
}

/// The name in a response: the parser leaves the escapes of quoted ones in.
pub(super) fn name_of(name: &str, filter: &Filter) -> String {
    if filter.had_literal() {
        name.to_owned()
    } else {
        unescape_text(name).into_owned()
    }
}

fn attribute(attribute: &NameAttribute<'_>) -> String {
    match attribute {
        NameAttribute::NoInferiors => "\\Noinferiors",
        NameAttribute::NoSelect => "\\Noselect",
        NameAttribute::Marked => "\\Marked",
        NameAttribute::Unmarked => "\\Unmarked",
        NameAttribute::All => "\\All",
        NameAttribute::Archive => "\\Archive",
        NameAttribute::Drafts => "\\Drafts",
        NameAttribute::Flagged => "\\Flagged",
        NameAttribute::Junk => "\\Junk",
        NameAttribute::Sent => "\\Sent",
        NameAttribute::Trash => "\\Trash",
        NameAttribute::Extension(name) => name,
        // The enum may grow; an attribute we have no word for has no meaning for us.
        _ => "",
    }
    .to_owned()
}
