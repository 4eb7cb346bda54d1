//! Arguments of questions to the history, of `find`, and of `forget`.

use clap::Args;

use super::ArchiveArgs;

#[derive(Debug, Args)]
pub(crate) struct AsOfArgs {
    /// As it was at the end of the last complete run by then (YYYY-MM-DD: by the end of that day)
    ///
    /// Membership and flags are those of the time. A run is complete when it went through all it
    /// had planned, also when messages were skipped (exit 0 or 3); each account has its own.
    #[arg(long = "as-of", value_name = "DATE", value_parser = crate::cli::values::end_of)]
    pub(crate) date: Option<i64>,
}

/// Which messages of an archive.
#[derive(Debug, Args)]
pub(crate) struct WhereArgs {
    /// Only this account
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Only mailboxes that match (can be repeated); * within a level, ** across levels
    #[arg(long = "mailbox", value_name = "GLOB")]
    pub(crate) mailboxes: Vec<String>,
    /// Leave out mailboxes that match (can be repeated)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Messages that have left their mailbox as well
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) as_of: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FindArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// In From, such as part of a name or an address; case does not matter, here and below
    #[arg(long, value_name = "TEXT")]
    pub(crate) from: Option<String>,
    /// In Subject
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// Anywhere in the header, such as an address, or X-Spam-Flag: YES
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// The Message-ID, whole and in its case
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// Arrived on this day or later (YYYY-MM-DD, or RFC 3339); messages without a date count
    #[arg(long, value_name = "DATE", value_parser = crate::cli::values::date)]
    pub(crate) since: Option<i64>,
    /// Arrived before this day; messages without a date count
    #[arg(long, value_name = "DATE", value_parser = crate::cli::values::date)]
    pub(crate) before: Option<i64>,
    /// Larger than this, such as 25M
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::values::size)]
    pub(crate) larger: Option<u64>,
    /// Smaller than this
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::values::size)]
    pub(crate) smaller: Option<u64>,
    #[command(flatten)]
    pub(crate) within: WhereArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Content id (or at least 6 digits it begins with), or a Message-ID
    ///
    /// Only a content id is looked up. For a Message-ID the headers of the whole archive are
    /// read, which takes as long as reading its mail; all messages that bear it are told of.
    /// One of nothing but hexadecimal digits has to stand in its brackets.
    #[arg(value_name = "MESSAGE-ID|CONTENT-ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Content ids as `ls` and `find` show them: whole, or their first 12 digits or more
    #[arg(required = true, value_name = "CONTENT-ID")]
    pub(crate) ids: Vec<String>,
    /// Why, such as "asked for by letter of 3 May"; recorded, and shown by `log`
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
}
