//! Arguments of `migrate`.

use std::path::PathBuf;

use clap::Args;

use super::{
    ChangeArgs, ConnectionArgs, LimitArgs, MannerArgs, PasswordArgs, PopArgs, SelectionArgs,
    TargetArgs,
};

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Account to move from, such as imaps://you@example.com@imap.zoho.com
    #[arg(value_name = "SOURCE", required_unless_present = "accounts")]
    pub(crate) source: Option<String>,
    /// Account to move to, such as imaps://you@example.com@imap.example.com
    #[arg(value_name = "TARGET", required_unless_present = "accounts")]
    pub(crate) target: Option<String>,
    /// Archive on the way; made if it does not exist. With --accounts a folder of archives
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) via: PathBuf,
    /// The last pass, after new mail goes to the target: proves afterwards that all is there
    ///
    /// The report has both sides then, and is written as a page beside the ledger unless --report
    /// names another file.
    #[arg(long = "final")]
    pub(crate) last: bool,
    /// Say what would be done and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Name of the account in the archive [default: the address]
    #[arg(long, value_name = "NAME", conflicts_with = "accounts")]
    pub(crate) account: Option<String>,
    /// Migrate the pairs of accounts in this CSV file, each through an archive of its own
    ///
    /// Its first line names the columns: source and target, and where wanted account,
    /// password_command, target_password_command, authzid, target_authzid. There is no column for
    /// passwords: a file of passwords gets lost.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "target"])]
    pub(crate) accounts: Option<PathBuf>,
    /// Pairs of accounts at once
    #[arg(long, value_name = "N", default_value = "2", requires = "accounts",
          value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) jobs: u8,
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
    pub(crate) manner: MannerArgs,
    #[command(flatten)]
    pub(crate) to: TargetArgs,
}
