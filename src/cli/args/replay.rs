//! Arguments of commands that bring mail to another server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ArchiveArgs, AsOfArgs, ConnectionArgs, MailboxArgs};
use crate::cli::values;

/// What of a message may be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Repair {
    /// NUL bytes, which IMAP cannot carry
    Nul,
    /// Lines longer than 998 bytes
    LongLines,
    /// Line ends without a CR
    BareLf,
}

/// Where messages go, and how.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Replay")]
pub(crate) struct MannerArgs {
    /// Send the mailbox OLD to NEW, such as "Sent=Gesendet" (can be repeated); / between levels
    #[arg(long, value_name = "OLD=NEW", value_parser = values::pair)]
    pub(crate) map: Vec<(String, String)>,
    /// The same for names that match a regular expression: "^Old/(.*)=Archive/$1"
    #[arg(long, value_name = "REGEX=NEW", value_parser = values::pair)]
    pub(crate) map_regex: Vec<(String, String)>,
    /// Send everything below this mailbox of the target
    #[arg(long, value_name = "PREFIX")]
    pub(crate) into: Option<String>,
    /// Copy mailboxes that only show what lies in others as well (All Mail, Starred, Important)
    #[arg(long = "virtual")]
    pub(crate) virtual_too: bool,
    /// Send one copy of messages that are in a mailbox more than once
    #[arg(long)]
    pub(crate) collapse_duplicates: bool,
    /// Messages marked as deleted keep that mark; mail programs may then remove them
    #[arg(long)]
    pub(crate) keep_deleted: bool,
    /// Send again what may be on the target or not, after an answer was lost
    #[arg(long)]
    pub(crate) resend_doubtful: bool,
    /// Send again what was on the target and was removed or moved there since
    #[arg(long)]
    pub(crate) resend_removed: bool,
    /// Repair the copy that is sent, never the archive: nul, long-lines, bare-lf
    ///
    /// Some targets refuse such messages. Each repair is reported.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) repair: Vec<Repair>,
    /// Rename requests for read receipts in the copy that is sent, so that none goes out again
    #[arg(long)]
    pub(crate) disarm_receipts: bool,
    /// Keep the ledger (what was sent where) in this folder, for an archive that is read-only
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,
    /// Write the report as a page for a browser as well, in one file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// How the target is reached.
#[derive(Debug, Args, Default, Clone)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// Connections to the target at once [default: what it is known to bear, usually 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) target_connections: Option<u8>,
    /// Trust the certificates of this PEM file and no others
    #[arg(long, value_name = "FILE", conflicts_with = "target_tls_fingerprint")]
    pub(crate) target_tls_ca: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256, also a self-signed one
    #[arg(long, value_name = "HEX")]
    pub(crate) target_tls_fingerprint: Option<String>,
    /// Go on without TLS where the target offers none: everybody on the way can read along
    #[arg(long)]
    pub(crate) target_allow_plaintext: bool,
    /// Move at most this many bytes per second, such as 2M
    #[arg(long, value_name = "RATE", value_parser = values::size)]
    pub(crate) target_limit_rate: Option<u64>,
    /// Take the target's password from the first line this shell command prints
    ///
    /// It finds user and server in $MAILSTOW_USER and $MAILSTOW_HOST. Without it the password is
    /// taken from $MAILSTOW_TARGET_PASSWORD, or asked for at the terminal.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) target_password_command: Option<String>,
    /// Act for this user, for administrators who may (SASL PLAIN authorisation identity)
    #[arg(long, value_name = "USER")]
    pub(crate) target_authzid: Option<String>,
}

impl TargetArgs {
    /// The options of its connection.
    pub(crate) fn connection(&self) -> ConnectionArgs {
        ConnectionArgs {
            connections: self.target_connections,
            no_pipelining: false,
            limit_rate: self.target_limit_rate,
            tls_ca: self.target_tls_ca.clone(),
            tls_fingerprint: self.target_tls_fingerprint.clone(),
            allow_plaintext: self.target_allow_plaintext,
            authzid: self.target_authzid.clone(),
        }
    }
}

/// How mail is delivered where there is no IMAP.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Delivery by SMTP and LMTP")]
pub(crate) struct DeliveryArgs {
    /// Who gets the mail; needed with smtps://, smtp:// and lmtp://
    ///
    /// Each message is sent once, its bytes unchanged, in whichever mailboxes it lies. Dates of
    /// arrival, flags and mailboxes cannot travel. What may have been delivered when a connection
    /// was lost is not sent again by itself.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) deliver_to: Option<String>,
    /// Who is told if it cannot be delivered later (MAIL FROM) [default: the user who signs in]
    #[arg(long, value_name = "ADDRESS", requires = "deliver_to")]
    pub(crate) mail_from: Option<String>,
    /// How many messages to send in a second, a minute, an hour or a day
    #[arg(long, value_name = "N/UNIT", default_value = "30/min", value_parser = values::rate, requires = "deliver_to")]
    pub(crate) rate: Option<std::time::Duration>,
    /// Do not ask before mail is delivered; needed where there is no terminal
    #[arg(long, requires = "deliver_to")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// The account on its new server, such as imaps://you@example.com@imap.example.com
    ///
    /// smtps://user@host (port 465), smtp:// (587, upgraded by STARTTLS) and lmtp:// deliver the mail to
    /// the address --deliver-to names.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// Say what would be made, sent, refused and altered, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Account of the archive [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) mailboxes: MailboxArgs,
    /// Only messages that arrived on this day or later (YYYY-MM-DD, or RFC 3339)
    #[arg(long, value_name = "DATE", value_parser = values::date, help_heading = "Selection")]
    pub(crate) since: Option<i64>,
    /// Only messages that arrived before this day
    #[arg(long, value_name = "DATE", value_parser = values::date, help_heading = "Selection")]
    pub(crate) before: Option<i64>,
    #[command(flatten)]
    pub(crate) as_of: AsOfArgs,
    #[command(flatten)]
    pub(crate) manner: MannerArgs,
    #[command(flatten)]
    pub(crate) delivery: DeliveryArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}
