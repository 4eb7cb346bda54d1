//! Connections: who is dialled, how TLS is verified, and a stream that cannot hang.
//!
//! Everything above speaks to one concrete type, [`Transport`], and never learns whether
//! it is encrypted. It must never hand out an end of stream as "no bytes": a connection
//! that ends is an error, so no protocol can take half a message for a whole one.

mod backoff;
mod dial;
mod disposition;
mod error;
mod rate;
mod tls;
mod transport;

pub use backoff::Backoff;
pub use dial::{Endpoint, NetOptions, Security, Timeouts, dial};
pub use disposition::{Disposition, Scope};
pub(crate) use disposition::{code_of, is_capacity, suggested_backoff};
pub use error::{ConnectAttempt, NetError};
pub use rate::RateLimiter;
pub use tls::{Fingerprint, TlsFailure, Trust, random_token};
pub use transport::{ByteCounters, Transport};

#[cfg(test)]
pub(crate) use tls::tests as tls_server;
