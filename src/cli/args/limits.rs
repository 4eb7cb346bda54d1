//! Where a run ends although there is more to do, and in which order it works.

use std::time::Duration;

use clap::Args;

#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// End in good order after this time, such as 2h, 30m or 90s; the next run goes on
    ///
    /// Nothing new is asked for then; what was asked for may come in for a minute and is
    /// committed. The exit code is 9. Time spent with --wait counts. Of several sources each may
    /// take an even share of what is left.
    #[arg(long, value_name = "DURATION", value_parser = crate::cli::values::span)]
    pub(crate) max_runtime: Option<Duration>,
    /// End in good order once this much mail was fetched, such as 2GB; the next run goes on
    ///
    /// The bytes of message bodies count, for each source by itself. The last message may go
    /// beyond, so one that is larger than the limit is fetched as well. The exit code is 9.
    #[arg(long, value_name = "SIZE", value_parser = crate::cli::values::size)]
    pub(crate) max_bytes: Option<u64>,
    /// Fetch the newest messages of each mailbox first
    #[arg(long)]
    pub(crate) newest_first: bool,
}
