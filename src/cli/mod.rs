//! The command line: the only part of mailstow that prints, asks, or knows a terminal.
//!
//! One file per command. A command parses nothing and decides nothing about mail: it turns
//! arguments into a request, calls an engine, and turns its report into text or JSON.

mod accounts;
mod against;
mod args;
mod as_of;
mod backup;
mod completions;
mod export;
mod failure;
mod find;
mod forget;
mod jobs;
mod log;
mod ls;
mod migrate;
mod notify;
mod output;
mod page;
mod ping;
mod plain;
mod progress;
mod recover;
mod replay;
mod report;
mod report_file;
mod resume;
mod show;
mod signals;
mod skips;
mod source_arg;
mod status;
mod text;
mod unattended;
mod values;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::Output;

/// Parses the command line, runs the command, and gives the exit code.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    start_tracing(cli.output.verbose);
    let output = Output::new(&cli.output);
    let result = match cli.command {
        Command::Backup(args) => backup::run(&args, &output, false),
        Command::Plan(args) => backup::run(&args, &output, true),
        Command::Resume(args) => resume::run(&args, &output),
        Command::Jobs(args) => jobs::run(&args, &output),
        Command::Status(args) => status::run(&args, &output),
        Command::Skips(args) => skips::run(&args, &output),
        Command::Ls(args) => ls::run(&args, &output),
        Command::Find(args) => find::run(&args, &output),
        Command::Show(args) => show::run(&args, &output),
        Command::Log(args) => log::run(&args, &output),
        Command::Verify(args) => verify::run(&args, &output),
        Command::Export(args) => export::run(&args, &output),
        Command::Migrate(args) => migrate::run(&args, &output),
        Command::Replay(args) => replay::run(&args, &output),
        Command::Forget(args) => forget::run(&args, &output),
        Command::Recover(args) => recover::run(&args, &output),
        Command::Completions { shell } => completions::shell(shell),
        Command::Man => completions::man(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit())
        }
    }
}

/// Our own events only: async-imap writes passwords to the log at trace level.
fn start_tracing(verbose: u8) {
    if verbose > 0 {
        let level = if verbose > 1 {
            "mailstow=trace"
        } else {
            "mailstow=debug"
        };
        tracing_subscriber::fmt()
            .with_env_filter(level)
            .with_writer(std::io::stderr)
            .with_target(false)
            .init();
    }
}
