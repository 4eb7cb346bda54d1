//! TLS: whose certificates are believed, and failures in words a person can act on.
//!
//! The only file that knows rustls. The provider is passed explicitly, nothing is
//! installed for the whole process, and no configuration skips the verification of
//! handshake signatures.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, OtherError,
    RootCertStore, SignatureScheme,
};

use super::error::NetError;

/// Whose certificates are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Those the operating system believes.
    System,
    /// Those issued by the certificates in a PEM file, and no others.
    CaFile(PathBuf),
    /// One certificate, whatever it says of its name, dates and issuer.
    ///
    /// Many self-hosted servers present a CA certificate as their own, which no verifier
    /// accepts; pinning it is the honest way to connect to them.
    Fingerprint(Fingerprint),
}

/// The SHA-256 of a certificate in DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Wraps a finished hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

/// Lower-case hexadecimal without separators.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not a SHA-256 fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 fingerprint has 64 hexadecimal digits")]
pub struct ParseFingerprintError;

/// With or without the colons `openssl x509 -fingerprint -sha256` prints.
impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Vec<u32> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).ok_or(ParseFingerprintError))
            .collect::<Result<_, _>>()?;
        if digits.len() != 64 {
            return Err(ParseFingerprintError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair.iter().fold(0, |sum, digit| sum * 16 + digit);
            *byte = u8::try_from(value).map_err(|_| ParseFingerprintError)?;
        }
        Ok(Self(bytes))
    }
}

/// Why a TLS handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFailure {
    /// Nobody we believe has issued the certificate.
    #[error("the certificate comes from an issuer that is not trusted")]
    UnknownIssuer,
    /// A signature does not fit: the issuer we know by that name did not sign the certificate
    /// (its key was made anew, as happens to private CAs), or the server does not hold its key.
    #[error("a signature of the certificate does not fit its issuer or its key")]
    BadSignature,
    /// The certificate's time is over.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate's time is yet to come, or this machine's clock is wrong.
    #[error("the certificate is not valid yet; is the clock of this machine right?")]
    NotYetValid,
    /// The certificate names other hosts.
    #[error("the certificate is for {}", names(.presented))]
    WrongHost {
        /// The names it holds, if they could be read.
        presented: Vec<String>,
    },
    /// The server presents a CA certificate as its own.
    #[error("the server presents a CA certificate as its own; pin its fingerprint")]
    CaAsLeaf,
    /// Another certificate than the pinned one.
    #[error("the certificate has the fingerprint {seen}, not the pinned {pinned}")]
    Fingerprint {
        /// The one the user gave.
        pinned: Fingerprint,
        /// The one the server presented.
        seen: Fingerprint,
    },
    /// What came is no TLS: most often a port that starts in plain text.
    #[error("the server does not speak TLS on this port; it may want STARTTLS")]
    NotTls,
    /// The server closed the connection, or it broke.
    #[error("the connection ended during the handshake ({0:?})")]
    Connection(io::ErrorKind),
    /// Anything else rustls found wrong.
    #[error("{0}")]
    Other(String),
}

impl TlsFailure {
    /// Whether the same handshake may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Connection(_))
    }

    fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else {
            return Self::Connection(error.kind());
        };
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            other => Self::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName => Self::WrongHost {
                presented: Vec::new(),
            },
            CertificateError::NotValidForNameContext { presented, .. } => Self::WrongHost {
                presented: presented.clone(),
            },
            CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Self>() {
                Some(ours) => ours.clone(),
                // webpki's own error type is not exported by rustls; its name is stable.
                None if other.to_string().contains("CaUsedAsEndEntity") => Self::CaAsLeaf,
                None => Self::Other(other.to_string()),
            },
            other => Self::Other(Error::InvalidCertificate(other.clone()).to_string()),
        }
    }
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "another host".to_owned();
    }
    let quoted: Vec<String> = presented.iter().map(|n| format!("`{n}`")).collect();
    quoted.join(", ")
}

/// A TLS client for one host.
pub(super) struct Client {
    host: String,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Client {
    pub(super) fn new(host: &str, trust: &Trust) -> Result<Self, NetError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| NetError::ServerName {
            host: host.to_owned(),
        })?;
        Ok(Self {
            host: host.to_owned(),
            name,
            config: Arc::new(client_config(trust)?),
        })
    }

    pub(super) async fn handshake(
        self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, NetError> {
        let handshake = TlsConnector::from(self.config).connect(self.name, stream);
        match tokio::time::timeout(limit, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(NetError::Tls {
                host: self.host,
                failure: TlsFailure::of(&error),
            }),
            Err(_) => Err(NetError::TlsTimeout {
                host: self.host,
                after: limit,
            }),
        }
    }
}

fn client_config(trust: &Trust) -> Result<ClientConfig, NetError> {
    let setup = |error: Error| NetError::TlsSetup {
        source: Box::new(error),
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    Ok(match trust {
        Trust::System => builder.with_platform_verifier().map_err(setup)?,
        Trust::CaFile(path) => builder.with_root_certificates(roots(path)?),
        Trust::Fingerprint(pinned) => {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(PinnedVerifier {
                    pinned: *pinned,
                    provider,
                }))
        }
    }
    .with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, NetError> {
    let unreadable = |source: Box<dyn StdError + Send + Sync>| NetError::CaFile {
        path: path.to_owned(),
        source,
    };
    let pem = std::fs::read(path).map_err(|e| unreadable(Box::new(e)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| unreadable(Box::new(e)))?;
        roots
            .add(certificate)
            .map_err(|e| unreadable(Box::new(e)))?;
    }
    if roots.is_empty() {
        return Err(NetError::CaFileEmpty {
            path: path.to_owned(),
        });
    }
    Ok(roots)
}

/// Believes one certificate. That the server holds its key is still proven by the
/// handshake signature, so a copy of the certificate is of no use to anybody.
#[derive(Debug)]
struct PinnedVerifier {
    pinned: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of(end_entity);
        if seen == self.pinned {
            return Ok(ServerCertVerified::assertion());
        }
        let failure = TlsFailure::Fingerprint {
            pinned: self.pinned,
            seen,
        };
        Err(CertificateError::Other(OtherError(Arc::new(failure))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Sixteen bytes of the operating system's randomness in hexadecimal, which no server can
/// guess. `None` if the system has none to give.
#[must_use]
pub fn random_token() -> Option<String> {
    let mut bytes = [0; 16];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .ok()?;
    Some(bytes.iter().fold(String::new(), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|n| char::from_digit(n.into(), 16).unwrap_or('0')));
        text
    }))
}

#[cfg(test)]
pub(crate) mod tests;
