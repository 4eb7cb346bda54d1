//! From a host name to a connected stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{ConnectAttempt, NetError};
use super::rate::RateLimiter;
use super::tls::{self, Trust};
use super::transport::{ByteCounters, Transport};

/// How the bytes between us and the server are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// Plain text until the protocol's own upgrade, which must succeed.
    StartTls,
    /// No protection; only for loopback, or when the user asked for it by name.
    Plaintext,
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// A DNS name or an address, without brackets around IPv6.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

/// How long each wait may last. None of them is unbounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Resolving a name, and connecting to each of its addresses.
    pub connect: Duration,
    /// The whole TLS handshake.
    pub tls: Duration,
    /// The server's first line.
    pub greeting: Duration,
    /// A read or write during which nothing moves.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            tls: Duration::from_secs(60),
            greeting: greeting(),
            read: Duration::from_secs(120),
        }
    }
}

fn greeting() -> Duration {
    // A test of a server that never greets does not sit through a minute.
    let bound = if cfg!(feature = "testing") {
        std::env::var("MAILSTOW_TEST_GREETING_MS").ok()
    } else {
        None
    };
    bound
        .and_then(|ms| ms.parse().ok())
        .map_or(Duration::from_secs(60), Duration::from_millis)
}

/// What every connection of a run shares.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// How long each wait may last.
    pub timeouts: Timeouts,
    /// Bytes on the wire, over all connections.
    pub counters: Arc<ByteCounters>,
    /// A bound on received bytes per second, over all connections.
    pub limiter: Option<Arc<RateLimiter>>,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            timeouts: Timeouts::default(),
            counters: Arc::default(),
            limiter: None,
        }
    }
}

/// Connects to an endpoint: all its addresses in turn, then TLS where the endpoint wants
/// it from the first byte.
///
/// With [`Security::StartTls`] the result is still plain text; the protocol upgrades it
/// by [`Transport::start_tls`]. Safe to drop at any await.
pub async fn dial(endpoint: &Endpoint, options: &NetOptions) -> Result<Transport, NetError> {
    // A bad CA file is the user's mistake: say so before anybody is bothered.
    let tls = match endpoint.security {
        Security::Tls => Some(tls::Client::new(&endpoint.host, &options.trust)?),
        Security::StartTls | Security::Plaintext => None,
    };
    let stream = connect(endpoint, options.timeouts.connect).await?;
    Ok(match tls {
        Some(tls) => {
            let stream = tls.handshake(stream, options.timeouts.tls).await?;
            Transport::tls(stream, options)
        }
        None => Transport::plain(stream, options),
    })
}

async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, NetError> {
    let Endpoint { host, port, .. } = endpoint;
    let resolve = |source| NetError::Resolve {
        host: host.clone(),
        source,
    };
    let addresses = timeout(limit, tokio::net::lookup_host((host.as_str(), *port)))
        .await
        .map_err(|_| resolve(io::ErrorKind::TimedOut.into()))?
        .map_err(resolve)?;
    let mut attempts = Vec::new();
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small commands must not wait for the acknowledgement of earlier ones.
                // A refusal costs time, not correctness.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Ok(Err(error)) => attempts.push(ConnectAttempt { address, error }),
            Err(_) => attempts.push(ConnectAttempt {
                address,
                error: io::ErrorKind::TimedOut.into(),
            }),
        }
    }
    if attempts.is_empty() {
        return Err(resolve(io::ErrorKind::NotFound.into()));
    }
    Err(NetError::Connect {
        host: host.clone(),
        port: *port,
        attempts,
    })
}
