//! Arguments of `verify`, with a server or without.

use std::path::PathBuf;

use clap::Args;

use super::{ArchiveArgs, ConnectionArgs, MailboxArgs, PasswordArgs};
use crate::cli::values;

/// How much of something is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    /// So many messages. Where there is no server, a share.
    Number(u32),
    /// A share.
    Percent(f64),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Re-hash only this share of the mail, such as 10%; the structure is always checked whole
    ///
    /// With --against: how many messages to fetch from the server to compare their bytes, such as
    /// 50, or 10% of those on both sides [default: 20]. Each mailbox gives one before any gives a
    /// second, and half of the sample are messages that were recognised by their header only,
    /// after the server had renamed them.
    #[arg(long, value_name = "AMOUNT", value_parser = values::amount)]
    pub(crate) sample: Option<Amount>,
    /// Draw the same sample as a run that named this number
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) against: AgainstArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Comparing with a server")]
#[command(mut_group("MailboxArgs", |g| g.requires("against")))]
#[command(mut_group("ConnectionArgs", |g| g.requires("against")))]
#[command(mut_group("PasswordArgs", |g| g.requires("against")))]
// One connection is used, so there is nothing to choose.
#[command(mut_arg("connections", |a| a.hide(true)))]
pub(crate) struct AgainstArgs {
    /// Compare with this server, such as imaps://you@example.com@imap.example.com
    ///
    /// It may be the one the mail came from, or one it was replayed to: then it is compared with what
    /// was sent there, by the ledger of that replay. Where it is both, it is taken as the source.
    ///
    /// The archive itself is then not re-hashed, except what is in the sample; see --rehash. Over
    /// POP3, fetching the sample may mark messages as read on the server; --sample 0 fetches none.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) against: Option<String>,
    /// Fetch every message from the server and compare its bytes
    #[arg(long, requires = "against", conflicts_with = "sample")]
    pub(crate) full: bool,
    /// Re-read and re-hash the whole archive as well, as without --against
    #[arg(long, requires = "against")]
    pub(crate) rehash: bool,
    /// Name of the account in the archive [default: the one that was fetched from there, or
    /// replayed to it]
    #[arg(long, value_name = "NAME", requires = "against")]
    pub(crate) account: Option<String>,
    /// Take the server as the target of a replay, also where the mail came from there
    #[arg(long, requires = "against", conflicts_with = "as_source")]
    pub(crate) as_target: bool,
    /// Take the server as the source, also where the mail was only replayed there
    #[arg(long, requires = "against")]
    pub(crate) as_source: bool,
    /// The folder of the ledgers, if they are not kept in the archive (a target)
    #[arg(long, value_name = "DIR", requires = "against")]
    pub(crate) ledger: Option<PathBuf>,
    /// Of messages that are in a mailbox more than once the target needs one copy (a target)
    #[arg(long, requires = "against")]
    pub(crate) collapse_duplicates: bool,
    #[command(flatten)]
    pub(crate) mailboxes: MailboxArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}
