//! `--notify-command`: a command of the user's hears how a run ended.

use std::path::Path;
use std::process::Stdio;

use mailstow::backup::Stop;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::unattended::seconds;

/// How long the command may take, in seconds.
const MOST: u32 = 60;

/// What the command gets to know.
#[derive(Debug)]
pub(crate) struct Notice<'a> {
    pub(crate) exit: u8,
    pub(crate) archive: &'a Path,
    pub(crate) accounts: &'a [String],
    /// For its standard input.
    pub(crate) report: &'a str,
}

/// Runs the command to its end, at most a minute long and until somebody asks to stop; then it
/// and what it started are killed. What it prints goes to our standard error, since our standard
/// output may be JSON.
///
/// # Errors
/// Why it did not run, or not well.
pub(crate) async fn run(command: &str, notice: &Notice<'_>, stop: &Stop) -> Result<(), String> {
    let failed = |why: String| format!("the notify command failed: {why}");
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    // Passwords, and the URL that keeps the dead man's switch quiet, are none of its business.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MAILSTOW_") {
            shell.env_remove(name);
        }
    }
    let mut child = shell
        .env("MAILSTOW_EXIT", notice.exit.to_string())
        .env("MAILSTOW_ARCHIVE", notice.archive)
        .env("MAILSTOW_ACCOUNTS", notice.accounts.join(", "))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(std::io::stderr()))
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let report = notice.report.to_owned();
        // On its own: the command need not read it, and may end before it has.
        drop(tokio::spawn(async move {
            if let Err(error) = stdin.write_all(report.as_bytes()).await {
                tracing::debug!(%error, "the notify command does not read the report");
            }
        }));
    }
    tokio::select! {
        ended = child.wait() => match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(status.to_string())),
            Err(error) => Err(failed(error.to_string())),
        },
        () = tokio::time::sleep(seconds(MOST)) => {
            kill(&mut child).await;
            Err(failed(format!("it was still running after {:?} and was killed", seconds(MOST))))
        }
        () = stop.requested() => {
            kill(&mut child).await;
            Err(failed("a signal came, and it was killed".to_owned()))
        }
    }
}

/// Kills the command's process group: `sh` alone would leave behind what it waits for.
async fn kill(child: &mut Child) {
    if let Some(id) = child.id() {
        let group = id.to_string();
        let killed = Command::new("sh")
            .args(["-c", "kill -s KILL -- \"-$1\"", "sh", &group])
            .stderr(Stdio::null())
            .status()
            .await;
        tracing::debug!(?killed, "killed the notify command");
    }
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "the notify command was gone already");
    }
}
