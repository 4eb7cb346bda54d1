//! The command line, as clap sees it. The help texts are the doc comments.

mod against;
mod changes;
mod history;
mod limits;
mod migrate;
mod replay;
mod selection;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::unattended::UnattendedArgs;
pub(crate) use against::{AgainstArgs, Amount, VerifyArgs};
pub(crate) use changes::ChangeArgs;
pub(crate) use history::{AsOfArgs, FindArgs, ForgetArgs, LogArgs, WhereArgs};
pub(crate) use limits::LimitArgs;
pub(crate) use migrate::MigrateArgs;
pub(crate) use replay::{MannerArgs, Repair, ReplayArgs, TargetArgs};
pub(crate) use selection::{MailboxArgs, SelectionArgs};

/// Keeps a mailbox: every message once, byte for byte, in an archive any mail tool can read
///
/// mailstow takes mail out of a server over IMAP or POP3 and keeps it in a compressed archive.
/// The source is only read: nothing is moved or deleted unless --pop-delete says so. Run the same command again and
/// only what is new is fetched; interrupt it at any time and run it again.
#[derive(Debug, Parser)]
#[command(
    name = "mailstow",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  mailstow backup imaps://you@example.com@imap.zoho.com --to ~/mail
  mailstow backup pop3s://you@example.com@pop.zoho.com --to ~/mail
  mailstow status ~/mail
  mailstow ls ~/mail INBOX
  mailstow verify ~/mail
  mailstow verify ~/mail --against imaps://you@example.com@imap.zoho.com
  mailstow export ~/mail --format mbox --to ~/mail-as-mbox
  mailstow replay ~/mail --to imaps://you@example.com@imap.example.com
  mailstow migrate imaps://me@old.example imaps://me@new.example --via ~/mail

Exit codes:
  0 complete · 1 internal error · 2 usage · 3 finished, but something was skipped or does not
  add up · 4 configuration · 5 sign-in refused · 6 network or server · 7 archive damaged ·
  8 archive locked · 9 stopped at a limit, continues next time · 10 older than asked
  (status --max-age) · 129/130/143 ended by a signal, archive consistent")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How to say things.
#[derive(Debug, Args, Clone, Default)]
pub(crate) struct OutputArgs {
    /// Print one JSON object per event; the last one is the report
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing unless the exit code is not 0
    #[arg(short, long, global = true, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Say more; twice for debugging (never shows passwords)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back up accounts into an archive; run again, it fetches only what is new
    Backup(BackupArgs),
    /// Show what a backup would do, and keep it as a job that `resume` can run
    Plan(BackupArgs),
    /// Go on with an interrupted or planned job
    Resume(ResumeArgs),
    /// List the jobs of an archive and how far they have come
    Jobs(ArchiveArgs),
    /// Show what an archive holds, when it was last complete, and what is missing
    ///
    /// For monitors: with -q --max-age 36h it prints nothing and exits with 0 as long as all is
    /// well, and with 10 (or 7, if mail is damaged) otherwise.
    Status(StatusArgs),
    /// List messages that could not be archived, and why
    Skips(SkipsArgs),
    /// List mailboxes, or the messages of one
    Ls(LsArgs),
    /// Find messages by sender, subject, date, size, mailbox or anything in the header
    Find(FindArgs),
    /// Show one message: where it is kept, where it was seen, and its header
    Show(ShowArgs),
    /// Tell the life of a message: when it came, its flags, when it left
    Log(LogArgs),
    /// Re-read and re-hash everything, or compare with the server (--against)
    ///
    /// Without a server it checks journal, catalog and segments, and hashes every message again.
    ///
    /// With --against it compares the archive with what the server has now, and changes nothing on
    /// either side. With the server the mail came from: mailboxes, UIDs, sizes, dates and flags of all messages, and the bytes of a
    /// sample, each of which is read back from the archive as well. It exits with 3 if something
    /// is missing or differs. Messages that came after the last complete run, that the selection
    /// of that run leaves out, or that have left the server since, and flags, do not count.
    ///
    /// With a server the mail was replayed to: whether each message is there, by its UID, Message-ID,
    /// Date, From and Subject, the dates of arrival, the flags, and the bytes of a sample. It exits
    /// with 3 if a message is missing there or is another. What else is there, flags and dates of
    /// arrival do not count. The password is taken from $MAILSTOW_TARGET_PASSWORD then.
    Verify(VerifyArgs),
    /// Write mailboxes as mbox, Maildir or EML files, complete and byte for byte
    Export(ExportArgs),
    /// Put mail on another server: every message once, with its flags and its date
    ///
    /// What the target has already is not sent again, whoever put it there; so run it again after
    /// an interruption, or for what is new. Nothing is ever removed from the target. --dry-run names
    /// what would be made, refused and altered. A ledger in the archive remembers what was sent.
    Replay(ReplayArgs),
    /// Move an account to another server: back it up, and replay what comes while it comes
    ///
    /// Run it as often as you like: the first pass copies everything, later ones what is new or
    /// changed, until new mail goes to the target; then once more with --final. Nothing is changed
    /// at the source, and nothing is ever removed from the target. Interrupted, it goes on.
    Migrate(Box<MigrateArgs>),
    /// Erase messages for good, when a person has a right to it
    ///
    /// The archive forgets nothing by itself. This writes the segments anew without the messages, and
    /// records when and why. They are not stored again, wherever they turn up. What stays is their
    /// content id, size, a digest of four header lines, and where and when they were seen.
    /// Copies of the archive made before have them still.
    Forget(ForgetArgs),
    /// Salvage a damaged archive onto a new one; the damaged one is not touched
    Recover(RecoverArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Account to back up, such as imaps://you@example.com@imap.example.com (can be repeated)
    ///
    /// imaps:// and pop3s:// are TLS on ports 993 and 995. imap:// and pop3:// are ports 143 and
    /// 110, upgraded by STARTTLS, without which mailstow goes no further, except to this machine.
    /// The user name may hold an @.
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Archive to write to; made if it does not exist
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) to: PathBuf,
    /// Show what would be done and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Name of the account in the archive [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    #[command(flatten)]
    pub(crate) changes: ChangeArgs,
    #[command(flatten)]
    pub(crate) pop: PopArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) archive: CatalogArgs,
    #[command(flatten)]
    pub(crate) unattended: UnattendedArgs,
}

#[derive(Debug, Args, Default, Clone)]
#[command(next_help_heading = "POP3")]
pub(crate) struct PopArgs {
    /// Which messages of the maildrop [default: all]
    ///
    /// from-today: what is dated on the day of the first run or later, by the topmost Received
    /// field, else by Date, and everything that comes after that run, whatever its date. What is
    /// left out stays on the server and is fetched by a later run with all.
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) pop_messages: Option<PopMessages>,
    /// What to do with spam, as the server's filter marked it in the header [default: include]
    ///
    /// include: it is filed as Junk. exclude: it is not fetched. only: nothing else is. Fetched
    /// messages that are not recognised as spam are filed as INBOX.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) pop_spam: Option<PopSpam>,
    /// The server was set to deliver only spam (Zoho can be): file everything new as Junk
    #[arg(long)]
    pub(crate) pop_spam_from_server: bool,
    /// Delete from the server what is held: never, archived, or after-days=N [default: never]
    ///
    /// Only messages fetched and re-read from the archive, whose header is the same on the
    /// server still, in a session of its own after the backup; days count from when a message
    /// became durable in the archive. On Zoho this takes a message out of the POP queue, also
    /// where the server is set to retain it.
    #[arg(long, value_name = "WHEN", value_parser = super::values::delete_policy)]
    pub(crate) pop_delete: Option<mailstow::backup::DeletePolicy>,
    /// Go on with a server that has no UIDL: everything is fetched in every run, kept once
    #[arg(long)]
    pub(crate) pop_without_uidl: bool,
}

impl PopArgs {
    /// Whether any of them was given.
    pub(crate) const fn is_used(&self) -> bool {
        self.pop_messages.is_some()
            || self.pop_spam.is_some()
            || self.pop_spam_from_server
            || self.pop_delete.is_some()
            || self.pop_without_uidl
    }
}

/// Which messages of a maildrop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PopMessages {
    /// Everything in the maildrop
    All,
    /// What comes from today on
    FromToday,
}

/// What to do with spam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PopSpam {
    /// File it as Junk
    Include,
    /// Leave it on the server
    Exclude,
    /// Fetch nothing else
    Only,
}

#[derive(Debug, Args, Default, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Connections at once [default: what the server is known to bear, usually 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) connections: Option<u8>,
    /// Send one POP3 command at a time, also where the server says that it bears more
    #[arg(long)]
    pub(crate) no_pipelining: bool,
    /// Receive at most this many bytes per second, such as 2M
    #[arg(long, value_name = "RATE", value_parser = super::values::size)]
    pub(crate) limit_rate: Option<u64>,
    /// Trust the certificates of this PEM file and no others
    #[arg(long, value_name = "FILE", conflicts_with = "tls_fingerprint")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256, also a self-signed one
    #[arg(long, value_name = "HEX")]
    pub(crate) tls_fingerprint: Option<String>,
    /// Go on without TLS where the server offers none: everybody on the way can read along
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    /// Act for this user, for administrators who may (SASL PLAIN authorisation identity)
    #[arg(long, value_name = "USER")]
    pub(crate) authzid: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Password")]
pub(crate) struct PasswordArgs {
    /// Take the password from the first line this shell command prints
    ///
    /// It finds user and server in $MAILSTOW_USER and $MAILSTOW_HOST. Without it the password
    /// is taken from $MAILSTOW_PASSWORD, or asked for at the terminal.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) password_command: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Archive")]
pub(crate) struct CatalogArgs {
    /// Keep the catalog in this file, for an archive on a network share
    #[arg(long, value_name = "FILE")]
    pub(crate) catalog: Option<PathBuf>,
    /// Wait until another run on the archive has ended, instead of exiting with 8
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The archive
    pub(crate) archive: PathBuf,
    /// Number of the job [default: every open one]
    pub(crate) job: Option<u32>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) catalog: CatalogArgs,
    #[command(flatten)]
    pub(crate) unattended: UnattendedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Exit with 10 if the last complete run of an account is older than this, such as 36h, or
    /// if there was none (units: s, m, h, d)
    ///
    /// For monitors. Complete is a run that ended with exit code 0.
    #[arg(long, value_name = "AGE", value_parser = super::status::max_age)]
    pub(crate) max_age: Option<i64>,
    /// Only this account (can be repeated)
    #[arg(long = "account", value_name = "NAME")]
    pub(crate) accounts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// The archive
    pub(crate) archive: PathBuf,
    /// The catalog, if it is not kept in the archive
    #[arg(long, value_name = "FILE")]
    pub(crate) catalog: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SkipsArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Accept the loss of these messages for good, with a reason for the record
    ///
    /// They are not tried again and count as excluded, so that they do not make every run exit
    /// with 3. Messages the server counts and never lists are accepted as so many: one more,
    /// and all of them are skipped again.
    #[arg(long, num_args = 2.., value_names = ["ID", "REASON"])]
    pub(crate) accept: Option<Vec<String>>,
    /// Show accepted ones as well
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Mailbox to list [default: list the mailboxes]
    pub(crate) mailbox: Option<String>,
    /// Only this account
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Messages that have left the mailbox as well
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) as_of: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Content id of the message, or at least 6 digits it begins with
    pub(crate) id: String,
    /// Write the message itself to standard output, byte for byte
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) as_of: AsOfArgs,
}

/// Kinds of files an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One mbox file per mailbox (mboxrd)
    Mbox,
    /// A Maildir++ with flags in the names
    Maildir,
    /// One file per message
    Eml,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// What to write
    #[arg(long, value_enum)]
    pub(crate) format: Format,
    /// Folder to write to; must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) within: WhereArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The damaged archive
    pub(crate) archive: PathBuf,
    /// New archive to make
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) to: PathBuf,
}
