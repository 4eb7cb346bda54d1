//! The one stream type everything above speaks to.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::client::TlsStream;

use super::dial::NetOptions;
use super::error::NetError;
use super::rate::RateLimiter;
use super::tls;

/// Bytes of protocol moved, before encryption.
#[derive(Debug, Default)]
pub struct ByteCounters {
    /// Bytes received.
    pub received: AtomicU64,
    /// Bytes sent.
    pub sent: AtomicU64,
}

/// A connected stream, encrypted or not, that never waits for ever.
///
/// Three rules hold for every read: the end of the stream is an error of kind
/// `UnexpectedEof`, never zero bytes; a wait longer than [`Timeouts::read`] is an error of
/// kind `TimedOut`; and so are five minutes of waiting for less than a kibibyte, which is
/// what a tarpit does. Only time in which somebody waits for bytes counts.
///
/// [`Timeouts::read`]: super::Timeouts::read
pub struct Transport {
    stream: Stream,
    counters: Arc<ByteCounters>,
    limiter: Option<Arc<RateLimiter>>,
    read_wait: Wait,
    write_wait: Wait,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl Transport {
    pub(super) fn plain(stream: TcpStream, options: &NetOptions) -> Self {
        Self::new(Stream::Plain(stream), options)
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, options: &NetOptions) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), options)
    }

    #[cfg(test)]
    pub(crate) fn memory(stream: tokio::io::DuplexStream, options: &NetOptions) -> Self {
        Self::new(Stream::Memory(stream), options)
    }

    fn new(stream: Stream, options: &NetOptions) -> Self {
        Self {
            stream,
            counters: Arc::clone(&options.counters),
            limiter: options.limiter.clone(),
            read_wait: Wait::new(options.timeouts.read),
            write_wait: Wait::new(options.timeouts.read),
            pace: Pace::default(),
            pause: None,
        }
    }

    /// Whether the bytes are encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Upgrades a plain connection after the protocol has agreed to it.
    ///
    /// The caller must hold no byte the server sent after its consent: such bytes were
    /// not protected and must end the connection. Dropping the future closes it.
    pub async fn start_tls(self, host: &str, options: &NetOptions) -> Result<Self, NetError> {
        let Stream::Plain(stream) = self.stream else {
            return Err(NetError::AlreadyTls {
                host: host.to_owned(),
            });
        };
        let client = tls::Client::new(host, &options.trust)?;
        let stream = client.handshake(stream, options.timeouts.tls).await?;
        Ok(Self::tls(stream, options))
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn received(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        self.counters.received.fetch_add(bytes, Ordering::Relaxed);
        let waited = self.read_wait.moved();
        self.charge(bytes);
        self.pace.received(bytes, waited)
    }

    /// Bytes count in both directions; one of the two is next to nothing.
    fn charge(&mut self, bytes: u64) {
        if let Some(limiter) = &self.limiter {
            let delay = limiter.charge(bytes, std::time::Instant::now());
            if !delay.is_zero() {
                self.pause = Some(Box::pin(tokio::time::sleep(delay)));
            }
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("encrypted", &self.is_encrypted())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_pause(cx));
        let limit = this
            .limiter
            .as_ref()
            .map_or(usize::MAX, |limiter| limiter.chunk());
        let result = poll_read_at_most(&mut this.stream, cx, buf, limit);
        match result {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ))),
            Poll::Ready(Ok(read)) => Poll::Ready(this.received(read)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.read_wait.poll_stalled(cx).map(Err),
        }
    }
}

fn poll_read_at_most(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    limit: usize,
) -> Poll<io::Result<usize>> {
    let mut part = ReadBuf::new(buf.initialize_unfilled_to(limit.min(buf.remaining())));
    ready!(Pin::new(stream).poll_read(cx, &mut part))?;
    let read = part.filled().len();
    buf.advance(read);
    Poll::Ready(Ok(read))
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pause(cx));
        let limit = this
            .limiter
            .as_ref()
            .map_or(buf.len(), |limiter| limiter.chunk().min(buf.len()));
        let part = buf.get(..limit).unwrap_or(buf);
        match Pin::new(&mut this.stream).poll_write(cx, part) {
            Poll::Ready(Ok(written)) => {
                this.charge(written as u64);
                this.counters
                    .sent
                    .fetch_add(written as u64, Ordering::Relaxed);
                this.write_wait.moved();
                // A new command starts a new answer, which may be slow in its own right.
                this.pace = Pace::default();
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.write_wait.poll_stalled(cx).map(Err),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Ready(result) => {
                this.write_wait.moved();
                Poll::Ready(result)
            }
            Poll::Pending => this.write_wait.poll_stalled(cx).map(Err),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => this.write_wait.poll_stalled(cx).map(Err),
        }
    }
}

/// A wait that ends in an error when nothing moves for too long.
struct Wait {
    limit: Duration,
    since: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Wait {
    const fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// Something moved: returns how long it was waited for.
    fn moved(&mut self) -> Duration {
        self.since
            .take()
            .map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        let (_, sleep) = self
            .since
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(limit))));
        ready!(sleep.as_mut().poll(cx));
        self.since = None;
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("nothing moved for {} s", limit.as_secs()),
        ))
    }
}

/// Finds a server that answers just often enough never to be silent.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    const WINDOW: Duration = Duration::from_secs(300);
    const LEAST: u64 = 1024;

    fn received(&mut self, bytes: u64, waited: Duration) -> io::Result<()> {
        self.waited += waited;
        self.bytes += bytes;
        if self.bytes >= Self::LEAST {
            *self = Self::default();
        } else if self.waited >= Self::WINDOW {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "only {} bytes came in {} s",
                    self.bytes,
                    self.waited.as_secs()
                ),
            ));
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
