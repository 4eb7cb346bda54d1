//! The workers of a run: as many as there are connections, until nothing is left to fetch.

use std::sync::Arc;

use super::Request;
use super::commit::Committer;
use super::fetch::{Ended, Worker};
use super::stop::Stop;
use super::work::Work;
use crate::event::{Event, Sink};
use crate::imap::{ImapError, Quirks, Scope, Session, SpoolOptions};

/// What everything after the plan works with.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) request: &'a Request,
    pub(super) spool: &'a SpoolOptions,
    pub(super) work: &'a Work,
    pub(super) committer: &'a Committer,
    pub(super) sink: &'a Arc<dyn Sink>,
    pub(super) stop: &'a Stop,
}

/// Runs the workers. Gives how the first to fail ended, and a session for re-listing if one
/// can still be had.
pub(super) async fn fetch_all(
    stage: &Stage<'_>,
    session: Option<Session>,
    quirks: Quirks,
) -> (Ended, Option<Session>) {
    let Stage {
        request,
        spool,
        work,
        committer,
        sink,
        stop,
    } = *stage;
    let batches = work.batches_left();
    if batches == 0 {
        return (Ended::Done, session);
    }
    let (depth, usual) = (quirks.depth, quirks.max_connections);
    let connections = request
        .source
        .connections
        .unwrap_or(usual)
        .clamp(1, batches.min(32));
    sink.event(Event::Connected {
        account: request.source.alias(),
        connections,
    });
    let worker = |first: bool| {
        Some(Worker {
            source: request.source.clone(),
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
                Ok((false, Ended::Failed(error))) if !is_local(&error) => {}
                Ok((_, ended)) => worst = graver(worst, ended),
                Err(_) => {
                    worst = graver(worst, Ended::Died);
                    stop.request();
                }
            }
        }
        if work.batches_left() == 0 || !matches!(worst, Ended::Done) || stop.is_requested() {
            break;
        }
        let Some(worker) = worker(true) else { break };
        workers.spawn(worker.run(None));
    }
    // Another worker may have finished what the first put back.
    if work.batches_left() == 0 && matches!(&worst, Ended::Failed(error) if !is_local(error)) {
        worst = Ended::Done;
    }
    (worst, None)
}

/// Which of two endings a run had: a failure of our own, then a wish to stop, then the server's.
fn graver(a: Ended, b: Ended) -> Ended {
    let rank = |ended: &Ended| match ended {
        Ended::Died => 4,
        Ended::Failed(error) if is_local(error) => 3,
        Ended::Stopped => 2,
        Ended::Failed(_) => 1,
        Ended::Done => 0,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// Whether it is this machine that failed, so that nobody else can do better.
pub(super) fn is_local(error: &ImapError) -> bool {
    error.disposition().0 == Scope::Run
}
