//! Mailboxes of a target: opened for writing, made, subscribed to.

use super::head::{is_atom, unsendable};
use super::session::TargetSession;
use crate::imap::command::Command;
use crate::imap::error::{CREATE, ImapError, SELECT, SUBSCRIBE};

/// A mailbox opened for writing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selected {
    /// How many messages it holds.
    pub exists: u32,
    /// UIDVALIDITY; `None` where the server has none, 0 where it says 0.
    pub uidvalidity: Option<u32>,
    /// The UID the next message will get at least, where the server says.
    pub uidnext: Option<u32>,
    /// Which flags can be changed for good.
    pub permanent: PermanentFlags,
    /// Whether the server opened it for reading only, as it does with shared ones.
    pub read_only: bool,
    /// HIGHESTMODSEQ; `None` without CONDSTORE and for a mailbox without mod-sequences.
    pub highestmodseq: Option<u64>,
}

/// PERMANENTFLAGS (RFC 3501 §7.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PermanentFlags {
    /// Whether the server said anything. If not, all flags can be changed for good.
    pub told: bool,
    /// The flags and keywords, as the server wrote them, without `\*`.
    pub flags: Vec<String>,
    /// Whether new keywords can be made (`\*`).
    pub any_keyword: bool,
}

impl PermanentFlags {
    /// Whether a flag can be changed for good, without regard to case.
    #[must_use]
    pub fn allows(&self, flag: &str) -> bool {
        !self.told
            || self.any_keyword && !flag.starts_with('\\')
            || self
                .flags
                .iter()
                .any(|told| told.eq_ignore_ascii_case(flag))
    }

    fn of(told: Option<Vec<String>>) -> Self {
        let mut permanent = Self {
            told: told.is_some(),
            flags: told.unwrap_or_default(),
            any_keyword: false,
        };
        permanent.any_keyword = permanent.flags.iter().any(|flag| flag == "\\*");
        permanent.flags.retain(|flag| flag != "\\*");
        permanent
    }
}

/// What CREATE did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// The mailbox is new.
    New,
    /// There was one of this name.
    Existed,
}

impl TargetSession {
    /// Opens a mailbox for writing (RFC 3501 §6.3.1). Errors are those of
    /// [`Session::examine`](crate::imap::Session::examine).
    ///
    /// EXAMINE says nothing of flags: Dovecot 2.3.19 answers `PERMANENTFLAGS ()`.
    pub async fn select(&mut self, wire: &str) -> Result<Selected, ImapError> {
        self.at_rest().await?;
        let opened = self.session.open(SELECT, wire).await?;
        Ok(Selected {
            exists: opened.examined.exists,
            uidvalidity: opened.examined.uidvalidity,
            uidnext: opened.examined.uidnext,
            permanent: PermanentFlags::of(opened.permanent),
            read_only: opened.read_only,
            highestmodseq: opened.examined.highestmodseq,
        })
    }

    /// Makes a mailbox (RFC 3501 §6.3.3), with its special use (such as `\Sent`) where the server
    /// takes one (RFC 6154) and without where it does not. A mailbox that is there already stays
    /// as it is.
    pub async fn create(
        &mut self,
        wire: &str,
        special_use: Option<&str>,
    ) -> Result<Created, ImapError> {
        self.at_rest().await?;
        let plain = || Command::new(CREATE, "").string(wire);
        let able = self.capabilities().has("CREATE-SPECIAL-USE");
        if let Some(special_use) = special_use.filter(|_| able) {
            if !special_use.strip_prefix('\\').is_some_and(is_atom) {
                return Err(unsendable(&format!("the special use `{special_use}`")));
            }
            let command = plain().text(&format!(" (USE ({special_use}))"));
            match self.create_by(command).await {
                // QUIRK(several): a special use that is taken or unknown is NO with and without
                // [USEATTR], and BAD.
                Err(
                    ImapError::No { .. } | ImapError::Bad { .. } | ImapError::MailboxGone { .. },
                ) => {}
                other => return other,
            }
        }
        self.create_by(plain()).await
    }

    async fn create_by(&mut self, command: Command) -> Result<Created, ImapError> {
        let reply = self.session.wire.run(command, |_, _| {}).await?;
        if reply.is_ok() {
            Ok(Created::New)
        } else if reply.has_code("ALREADYEXISTS") {
            Ok(Created::Existed)
        } else {
            Err(ImapError::of_reply(CREATE, reply))
        }
    }

    /// Subscribes to a mailbox (RFC 3501 §6.3.6).
    pub async fn subscribe(&mut self, wire: &str) -> Result<(), ImapError> {
        self.at_rest().await?;
        let command = Command::new(SUBSCRIBE, "").string(wire);
        self.session.wire.run_ok(command, |_, _| {}).await.map(drop)
    }
}
