//! The workers of a run: as many as there are connections, until nothing is left to fetch.

use std::sync::Arc;

use super::fetch::Worker;
use super::work::Work;
use crate::backup::commit::Committer;
use crate::backup::side::{Ended, Ground};
use crate::event::Event;
use crate::imap::{Quirks, Session};
use crate::source::ImapSource;

/// What everything after the plan works with.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) ground: Ground<'a>,
    pub(super) source: &'a ImapSource,
    pub(super) work: &'a Work,
    pub(super) committer: &'a Committer,
}

/// Runs the workers. Gives how the first to fail ended, and a session for re-listing if one
/// can still be had.
pub(super) async fn fetch_all(
    stage: &Stage<'_>,
    session: Option<Session>,
    quirks: Quirks,
) -> (Ended, Option<Session>) {
    let Stage {
        ground,
        source,
        work,
        committer,
    } = *stage;
    let Ground {
        spool, sink, stop, ..
    } = ground;
    let commands = work.commands();
    if commands == 0 {
        return (Ended::Done, session);
    }
    let (depth, usual) = (quirks.depth, quirks.max_connections);
    let connections = source
        .connections
        .unwrap_or(usual)
        .clamp(1, commands.min(32));
    sink.event(Event::Connected {
        account: source.alias(),
        connections,
    });
    let worker = |first: bool| {
        Some(Worker {
            source: source.clone(),
            spool: spool.clone(),
            work: work.clone(),
            queue: committer.queue()?,
            stop: stop.clone(),
            sink: Arc::clone(sink),
            depth,
            first,
            gained: false,
        })
    };
    let mut workers = tokio::task::JoinSet::new();
    let mut session = session;
    for n in 0..connections {
        let Some(worker) = worker(n == 0) else { break };
        workers.spawn(worker.run(session.take()));
    }
    let mut worst = Ended::Done;
    loop {
        while let Some(joined) = workers.join_next().await {
            match joined {
                Ok((_, Ended::Done)) => {}
                // What another put back when it left, the first takes up again below.
                Ok((false, Ended::Failed(error))) if !error.is_local() => {}
                Ok((_, ended)) => worst = graver(worst, ended),
                Err(_) => {
                    worst = graver(worst, Ended::Died);
                    work.lose_track();
                    stop.request();
                }
            }
        }
        let may_go_on = work.may_take() && !stop.is_requested();
        if !may_go_on || !matches!(worst, Ended::Done) {
            break;
        }
        let Some(worker) = worker(true) else { break };
        workers.spawn(worker.run(None));
    }
    // Another worker may have finished what the first put back.
    if work.batches_left() == 0 && matches!(&worst, Ended::Failed(error) if !error.is_local()) {
        worst = Ended::Done;
    }
    (worst, None)
}

/// Which of two endings a run had: a failure of our own, then a wish to stop, then the server's.
fn graver(a: Ended, b: Ended) -> Ended {
    let rank = |ended: &Ended| match ended {
        Ended::Died => 4,
        Ended::Failed(error) if error.is_local() => 3,
        Ended::Stopped => 2,
        Ended::Failed(_) | Ended::Short => 1,
        Ended::Done => 0,
    };
    if rank(&b) > rank(&a) { b } else { a }
}
