//! Arguments of what a run does about changes on an IMAP server.

use clap::{Args, ValueEnum};
use mailstow::backup::FlagPolicy;

#[derive(Debug, Args)]
#[command(next_help_heading = "What changed on an IMAP server")]
pub(crate) struct ChangeArgs {
    /// How often to look at all flags on a server that cannot tell which changed
    ///
    /// Only servers without CONDSTORE are meant; the report tells how old the flags are. With
    /// always, every mailbox of any server is listed in full, whatever the server says has changed.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "weekly")]
    pub(crate) flags: Flags,
    /// Believe that messages are gone, however many
    ///
    /// Without it, half an account that is missing, or a mailbox the server no longer lists, is
    /// recorded as doubtful, and as gone once another night finds the same. The archive keeps the
    /// mail in any case.
    #[arg(long)]
    pub(crate) believe_deletions: bool,
}

/// How often flags are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flags {
    /// Once a week
    Weekly,
    /// In every run
    Always,
    /// Only when a message is new
    Never,
}

impl From<Flags> for FlagPolicy {
    fn from(flags: Flags) -> Self {
        match flags {
            Flags::Weekly => Self::Weekly,
            Flags::Always => Self::Always,
            Flags::Never => Self::Never,
        }
    }
}
