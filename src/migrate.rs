//! Moving an account from one server to another: a backup, and a replay that follows it.
//!
//! ```text
//! source ─ backup ─► archive ─ commit ─► flow ─► target
//!                       └──── all of it ────► replay ─► report
//! ```
//!
//! While the backup runs, what is durable in the archive is sent on at once. When it has ended, a
//! whole replay looks at the target and sends what is left. The same request again is a delta, and
//! goes on where it was interrupted: what the archive has is not fetched again, and what the ledger
//! says is on the target is not sent again. Deletions are never repeated.

mod report;

use std::cell::OnceCell;
use std::sync::Arc;

use tokio::sync::watch;

use crate::backup::{self, BackupError};
use crate::contact::{Stop, describe};
use crate::event::{Event, Silent, Sink};
use crate::model::AccountId;
use crate::replay::{self, Flow, ReplayError, account_in};
use crate::report::Ending;

pub use crate::replay::Sent;
pub use report::{MigrateReport, Side};

/// What to migrate.
#[derive(Debug, Clone)]
pub struct Request {
    /// From the source into the archive. The time it may take is that of the whole migration.
    pub backup: backup::Request,
    /// From the archive to the target; its account is found by the backup's name.
    pub replay: replay::Request,
    /// The last pass: afterwards the target is looked at once more, to prove that it lists all.
    pub last: bool,
}

/// A migration that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The source or the archive.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The target or the ledger, before anything was fetched.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The target or the ledger, after the backup.
    #[error("{source}")]
    Sending {
        /// What was done before.
        report: Box<MigrateReport>,
        /// Why nothing more was sent.
        source: ReplayError,
    },
}

/// Migrates an account, or says what that would do.
///
/// Signs in to the target before anything is fetched. Asked to stop, both sides stop as they do by
/// themselves; once the time is up nothing new is fetched or sent. Dropping the future abandons
/// both where they stand, which is as safe as a kill.
///
/// # Errors
/// The source, the archive, the ledger or the target cannot be used at all. What was committed
/// stays, and so does what was sent.
pub async fn run(
    request: &Request,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<MigrateReport, MigrateError> {
    replay::sign_in(&request.replay, &*sink, stop).await?;
    if request.replay.dry_run {
        return dry_run(request, sink, stop).await;
    }
    let timed = stop.or_at(request.backup.limits.until);
    let (commits, committed) = watch::channel(State::default());
    let tee: Arc<dyn Sink> = Arc::new(Tee {
        sink: Arc::clone(&sink),
        commits: commits.clone(),
    });
    let backup = async {
        let report = backup::run(&request.backup, tee, stop).await;
        commits.send_modify(|state| state.over = true);
        report
    };
    let to = OnceCell::new();
    let mut flow = None;
    let (backup, ()) = tokio::join!(
        backup,
        follow(request, &to, &mut flow, &sink, &timed, committed)
    );
    let sent = flow.as_ref().map(Flow::sent).unwrap_or_default();
    let mut report = MigrateReport::new(backup?, sent);
    let replayed = finish(request, &to, flow, &sink, &timed).await;
    let replayed = match replayed {
        Err(error) if is_stop(&error) && timed.is_requested() => Ok(None),
        other => other,
    };
    let failed = match replayed {
        Ok(replay) => {
            report.replay = replay;
            None
        }
        Err(error) => Some(error),
    };
    report.conclude(timed.is_ordered(), timed.is_time_up());
    if let Some(source) = failed {
        let report = Box::new(report);
        return Err(MigrateError::Sending { report, source });
    }
    if request.last {
        prove(to.get(), &mut report, stop).await;
    }
    Ok(report)
}

/// The replay of all there is, unless somebody has asked to stop, or nothing was ever archived.
async fn finish<'a>(
    request: &Request,
    to: &'a OnceCell<replay::Request>,
    flow: Option<Flow<'a>>,
    sink: &Arc<dyn Sink>,
    stop: &'a Stop,
) -> Result<Option<replay::ReplayReport>, ReplayError> {
    if stop.is_requested() {
        return Ok(None);
    }
    let flow = match (flow, known(request, to)?) {
        (Some(flow), _) => flow,
        (None, Some(to)) => Flow::new(to, Arc::clone(sink), stop),
        (None, None) => return Ok(None),
    };
    flow.finish().await.map(Some)
}

/// Looks what a replay would have to send now.
async fn prove(to: Option<&replay::Request>, report: &mut MigrateReport, stop: &Stop) {
    let complete = (report.replay.as_ref()).is_some_and(|r| r.ending == Ending::Complete);
    let Some(to) = to.filter(|_| complete) else {
        report.unproven = Some("not everything could be sent".to_owned());
        return;
    };
    let mut again = to.clone();
    again.dry_run = true;
    match replay::run(&again, Arc::new(Silent), stop).await {
        Ok(proof) if proof.ending == Ending::Complete => report.proof = Some(proof),
        Ok(proof) => {
            let why = proof.error.unwrap_or_else(|| "interrupted".to_owned());
            report.unproven = Some(format!("the target could not be looked at again: {why}"));
        }
        Err(error) => {
            let why = describe(&error);
            report.unproven = Some(format!("the target could not be looked at again: {why}"));
        }
    }
}

/// Whether it failed for no other reason than that it was to stop.
fn is_stop(error: &ReplayError) -> bool {
    match error {
        ReplayError::Connect { source, .. } => source.is_stop(),
        ReplayError::List(source) => source.is_stop(),
        _ => false,
    }
}

/// Sends what the archive gets on to the target, until the backup is over.
async fn follow<'a>(
    request: &Request,
    to: &'a OnceCell<replay::Request>,
    flow: &mut Option<Flow<'a>>,
    sink: &Arc<dyn Sink>,
    stop: &'a Stop,
    mut committed: watch::Receiver<State>,
) {
    loop {
        // The sender lives as long as the backup.
        if committed.changed().await.is_err() || committed.borrow_and_update().over {
            return;
        }
        if stop.is_requested() {
            return;
        }
        let followed = async {
            if flow.is_none()
                && let Some(to) = known(request, to)?
            {
                *flow = Some(Flow::new(to, Arc::clone(sink), stop));
            }
            match flow {
                Some(flow) => flow.follow().await,
                None => Ok(true),
            }
        };
        match followed.await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) if is_stop(&error) => return,
            // What it is about is said at the end, if it has not passed by then.
            Err(error) => {
                sink.event(Event::Note {
                    text: format!(
                        "what is fetched is sent to the target at the end, not at once: {}",
                        describe(&error)
                    ),
                });
                return;
            }
        }
    }
}

/// The replay with its account, once the archive knows it.
fn known<'a>(
    request: &Request,
    to: &'a OnceCell<replay::Request>,
) -> Result<Option<&'a replay::Request>, ReplayError> {
    if let Some(to) = to.get() {
        return Ok(Some(to));
    }
    let Some(account) = account_of(request)? else {
        return Ok(None);
    };
    let mut replay = request.replay.clone();
    replay.account = account;
    Ok(Some(to.get_or_init(|| replay)))
}

fn account_of(request: &Request) -> Result<Option<AccountId>, ReplayError> {
    let backup::Request {
        archive,
        open,
        source,
        account,
        ..
    } = &request.backup;
    account_in(archive, open.catalog.as_deref(), account, &source.alias())
}

/// How far the backup is.
#[derive(Debug, Default)]
struct State {
    commits: u64,
    over: bool,
}

/// Hears of commits, and hands everything on.
struct Tee {
    sink: Arc<dyn Sink>,
    commits: watch::Sender<State>,
}

impl Sink for Tee {
    fn event(&self, event: Event) {
        if matches!(event, Event::Committed { .. }) {
            self.commits.send_modify(|state| state.commits += 1);
        }
        self.sink.event(event);
    }
}

async fn dry_run(
    request: &Request,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<MigrateReport, MigrateError> {
    let backup = backup::dry_run(&request.backup, Arc::clone(&sink), stop).await?;
    let mut report = MigrateReport::new(backup, Sent::default());
    // What is not in the archive yet cannot be looked at.
    if !request.backup.archive.join("archive.toml").exists() {
        return Ok(report);
    }
    if let Some(account) = account_of(request)? {
        let mut to = request.replay.clone();
        to.account = account;
        let stop = &stop.or_at(request.backup.limits.until);
        match replay::run(&to, sink, stop).await {
            Ok(replay) => report.replay = Some(replay),
            Err(error) if is_stop(&error) && stop.is_requested() => {}
            Err(source) => {
                let report = Box::new(report);
                return Err(MigrateError::Sending { report, source });
            }
        }
        report.conclude(stop.is_ordered(), stop.is_time_up());
    }
    Ok(report)
}
