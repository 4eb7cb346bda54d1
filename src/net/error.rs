//! What can go wrong before a protocol has said its first word.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::tls::TlsFailure;

/// A connection that could not be made. One variant per operation.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name has no address, or nobody could be asked.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The name asked for.
        host: String,
        /// The resolver's answer.
        #[source]
        source: io::Error,
    },
    /// Every address of the host was tried and none answered.
    #[error("cannot connect to `{host}` port {port}: {}", list(.attempts))]
    Connect {
        /// The host dialled.
        host: String,
        /// Its port.
        port: u16,
        /// One entry per address, in the order tried.
        attempts: Vec<ConnectAttempt>,
    },
    /// The host is neither a DNS name nor an address, so no certificate can name it.
    #[error("`{host}` is not a host name a certificate could be issued for")]
    ServerName {
        /// The text given.
        host: String,
    },
    /// The file of `--tls-ca` cannot be read.
    #[error("cannot read the certificates in `{path}`")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file of `--tls-ca` holds no certificate.
    #[error("`{path}` holds no PEM certificate")]
    CaFileEmpty {
        /// The file.
        path: PathBuf,
    },
    /// TLS could not be set up on this machine, for instance without system certificates.
    #[error("cannot set up TLS on this machine")]
    TlsSetup {
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The TLS handshake failed.
    #[error("TLS with `{host}` failed: {failure}")]
    Tls {
        /// The host dialled.
        host: String,
        /// Why.
        failure: TlsFailure,
    },
    /// The TLS handshake did not end in time.
    #[error("TLS handshake with `{host}` did not finish within {} s", .after.as_secs())]
    TlsTimeout {
        /// The host dialled.
        host: String,
        /// How long it was given.
        after: Duration,
    },
    /// STARTTLS was asked for on a connection that is encrypted already.
    #[error("the connection to `{host}` is encrypted already")]
    AlreadyTls {
        /// The host dialled.
        host: String,
    },
}

impl NetError {
    /// Whether the same dial may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::TlsTimeout { .. } => true,
            Self::Tls { failure, .. } => failure.is_transient(),
            Self::ServerName { .. }
            | Self::CaFile { .. }
            | Self::CaFileEmpty { .. }
            | Self::TlsSetup { .. }
            | Self::AlreadyTls { .. } => false,
        }
    }
}

/// One address that was tried.
#[derive(Debug)]
pub struct ConnectAttempt {
    /// The address.
    pub address: SocketAddr,
    /// Why it failed; of kind `TimedOut` when it did not answer.
    pub error: io::Error,
}

fn list(attempts: &[ConnectAttempt]) -> String {
    let attempts: Vec<String> = attempts
        .iter()
        .map(|a| format!("{}: {}", a.address.ip(), a.error))
        .collect();
    attempts.join("; ")
}
