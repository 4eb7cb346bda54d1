//! Arguments that choose mailboxes and messages.

use clap::Args;

use crate::cli::values;

#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Selection")]
pub(crate) struct MailboxArgs {
    /// Only mailboxes that match (can be repeated); * within a level, ** across levels
    #[arg(long = "mailbox", value_name = "GLOB")]
    pub(crate) mailboxes: Vec<String>,
    /// Leave out mailboxes that match (can be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    #[command(flatten)]
    pub(crate) mailboxes: MailboxArgs,
    /// Only messages that arrived on this day or later (YYYY-MM-DD, or RFC 3339)
    #[arg(long, value_name = "DATE", value_parser = values::date)]
    pub(crate) since: Option<i64>,
    /// Only messages that arrived before this day
    #[arg(long, value_name = "DATE", value_parser = values::date)]
    pub(crate) before: Option<i64>,
    /// Only messages of at most this size, such as 25M
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) max_size: Option<u64>,
}
