//! A session that outlives its connections, for everything that needs only one at a time.

use std::io;

use super::patience::{Patience, Verdict};
use super::stop::Stop;
use crate::event::Sink;
use crate::imap::{ImapError, Quirks, Session, TargetSession};
use crate::net::Disposition;
use crate::source::ImapSource;
use crate::spool::SpoolOptions;

/// Connections lost over the same question, after which it is the question's fault.
const LOSSES: u32 = 3;

/// What can be dialled again: a session that looks, or one that may change things as well.
pub(crate) trait Dialled: Sized {
    /// Connects and signs in.
    async fn dial(source: &ImapSource, spool: SpoolOptions) -> Result<Self, ImapError>;
    /// The session, as far as it looks.
    fn looking(&mut self) -> &mut Session;
    /// Ends it politely.
    async fn part(self);
}

impl Dialled for Session {
    async fn dial(source: &ImapSource, spool: SpoolOptions) -> Result<Self, ImapError> {
        source.connect(spool).await
    }

    fn looking(&mut self) -> &mut Session {
        self
    }

    async fn part(self) {
        self.logout().await;
    }
}

impl Dialled for TargetSession {
    async fn dial(source: &ImapSource, spool: SpoolOptions) -> Result<Self, ImapError> {
        let ImapSource {
            endpoint,
            net,
            credentials,
            ..
        } = source;
        Self::connect(endpoint, net, credentials, Some(spool)).await
    }

    fn looking(&mut self) -> &mut Session {
        self.reading()
    }

    async fn part(self) {
        self.logout().await;
    }
}

/// A line to the server: dialled again when it breaks.
pub(crate) struct Line<'a, S = Session> {
    source: &'a ImapSource,
    spool: SpoolOptions,
    sink: &'a dyn Sink,
    stop: &'a Stop,
    session: Option<S>,
    quirks: Quirks,
    patience: Patience,
    /// An answer of QRESYNC could not be read.
    qresync_distrusted: bool,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What was asked for fails; the server can be asked something else.
    Answer(ImapError),
    /// The server cannot be had any more.
    Server(ImapError),
}

impl Trouble {
    pub(crate) fn into_error(self) -> ImapError {
        match self {
            Self::Answer(error) | Self::Server(error) => error,
        }
    }
}

impl<'a, S: Dialled> Line<'a, S> {
    /// The first contact. A server that cannot be reached is most often a slip of the user's,
    /// who wants to know at once; one that was reached and is busy or broke off is tried again.
    pub(crate) async fn open(
        source: &'a ImapSource,
        spool: SpoolOptions,
        sink: &'a dyn Sink,
        stop: &'a Stop,
    ) -> Result<Self, ImapError> {
        let (session, quirks, patience) = (None, Quirks::default(), Patience::default());
        let mut line = Self {
            source,
            spool,
            sink,
            stop,
            session,
            quirks,
            patience,
            qresync_distrusted: false,
        };
        let session = loop {
            match line.dial().await {
                Ok(session) => break session,
                Err(error) if was_reached(&error) => line.wait(error).await?,
                Err(error) => return Err(error),
            }
        };
        line.session = Some(session);
        Ok(line)
    }

    /// Works on the session, from the start again on a new one where the connection is lost.
    pub(crate) async fn run<T>(
        &mut self,
        work: impl AsyncFn(&mut S) -> Result<T, ImapError>,
    ) -> Result<T, Trouble> {
        self.run_until_lost(LOSSES, work).await
    }

    /// Works on the session once; for what can be done without.
    pub(crate) async fn try_once<T>(
        &mut self,
        work: impl AsyncFn(&mut S) -> Result<T, ImapError>,
    ) -> Result<T, Trouble> {
        self.run_until_lost(1, work).await
    }

    async fn run_until_lost<T>(
        &mut self,
        losses: u32,
        work: impl AsyncFn(&mut S) -> Result<T, ImapError>,
    ) -> Result<T, Trouble> {
        let mut lost = 0;
        loop {
            let mut session = self.session().await.map_err(Trouble::Server)?;
            let result = tokio::select! {
                result = work(&mut session) => result,
                () = self.stop.requested() => return Err(Trouble::Server(stopped())),
            };
            let error = match result {
                Ok(done) => {
                    self.patience.gained();
                    self.session = Some(session);
                    return Ok(done);
                }
                Err(error) => error,
            };
            // After an answer in good order the session goes on; after anything else it is lost.
            let answered = matches!(
                error,
                ImapError::No { .. }
                    | ImapError::Bad { .. }
                    | ImapError::MailboxGone { .. }
                    | ImapError::CommandTooLong { .. }
            );
            if answered {
                self.patience.gained();
                self.session = Some(session);
            }
            lost += 1;
            // "Busy" may pass; everything else in good order is the answer.
            if lost >= losses || !matches!(error.disposition().1, Disposition::RetryAfter(_)) {
                return Err(Trouble::Answer(error));
            }
            self.wait(error).await.map_err(Trouble::Server)?;
        }
    }

    /// Whether QRESYNC may be used where the server has it.
    pub(crate) const fn may_qresync(&self) -> bool {
        !self.qresync_distrusted
    }

    /// QRESYNC is not used any more in this run.
    pub(crate) const fn distrust_qresync(&mut self) {
        self.qresync_distrusted = true;
    }

    /// What is known of the server.
    pub(crate) const fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// Ends the session politely; what is asked next dials again.
    pub(crate) async fn hang_up(&mut self) {
        if let Some(session) = self.session.take() {
            session.part().await;
        }
    }

    /// The session, if there is one.
    pub(crate) fn into_session(self) -> Option<S> {
        self.session
    }

    async fn session(&mut self) -> Result<S, ImapError> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        loop {
            match self.dial().await {
                Ok(session) => return Ok(session),
                Err(error) => self.wait(error).await?,
            }
        }
    }

    async fn dial(&mut self) -> Result<S, ImapError> {
        let mut session = tokio::select! {
            session = S::dial(self.source, self.spool.clone()) => session?,
            () = self.stop.requested() => return Err(stopped()),
        };
        self.quirks = *session.looking().quirks();
        Ok(session)
    }

    /// Waits before the next attempt; the error itself when there is to be none.
    async fn wait(&mut self, error: ImapError) -> Result<(), ImapError> {
        let Disposition::RetryAfter(least) = error.disposition().1 else {
            return Err(error);
        };
        match self
            .patience
            .after(&error, least, self.sink, self.stop)
            .await
        {
            Verdict::Again => Ok(()),
            Verdict::Enough => Err(error),
            Verdict::Stopped => Err(stopped()),
        }
    }
}

fn was_reached(error: &ImapError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        ImapError::Capacity { .. } => true,
        // QUIRK(Zoho, 2024): a session too many is closed without a word.
        ImapError::Io { source } => {
            matches!(source.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
        }
        _ => false,
    }
}

fn stopped() -> ImapError {
    ImapError::Io {
        source: io::Error::new(
            io::ErrorKind::Interrupted,
            "stopped while asking the server",
        ),
    }
}
