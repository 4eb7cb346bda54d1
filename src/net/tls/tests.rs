//! Handshakes with a real TLS server and certificates made for the occasion.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::*;
use crate::net::{Endpoint, NetOptions, Security, Timeouts, dial};

/// A certificate authority and the file its certificate stands in.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A server's certificate and key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Authorities of one name would be taken for one another.
        let name = random_token().unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ca.pem");
        std::io::Write::write_all(
            &mut std::fs::File::create_new(path).unwrap(),
            issuer.pem().as_bytes(),
        )
        .unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn issue(&self, host: &str) -> Identity {
        self.issue_with(host, |_| {})
    }

    fn issue_with(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            key: key.serialize_der().into(),
        }
    }

    /// A CA certificate as a server's own, as many self-hosted servers have it.
    fn self_signed_leaf() -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            key: key.serialize_der().into(),
        }
    }
}

impl Identity {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key().into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that says "hello" over TLS to everybody; its port.
async fn hello(identity: &Identity) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = identity.acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                drop(stream.write_all(b"hello").await);
                drop(stream.shutdown().await);
            }
        }
    });
    port
}

pub(crate) fn options(trust: Trust) -> NetOptions {
    let wait = Duration::from_secs(5);
    NetOptions {
        trust,
        timeouts: Timeouts {
            connect: wait,
            tls: wait,
            greeting: wait,
            read: wait,
        },
        ..NetOptions::default()
    }
}

async fn greeting(host: &str, port: u16, trust: Trust) -> Result<String, NetError> {
    let endpoint = Endpoint {
        host: host.to_owned(),
        port,
        security: Security::Tls,
    };
    let options = options(trust);
    let mut transport = dial(&endpoint, &options).await?;
    assert!(transport.is_encrypted());
    let mut hello = vec![0; 5];
    transport.read_exact(&mut hello).await.unwrap();
    let end = transport.read(&mut [0]).await.unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    let received = &options.counters.received;
    assert_eq!(received.load(std::sync::atomic::Ordering::Relaxed), 5);
    Ok(String::from_utf8(hello).unwrap())
}

async fn failure(host: &str, port: u16, trust: Trust) -> TlsFailure {
    match greeting(host, port, trust).await {
        Err(NetError::Tls { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn certificates_are_believed_for_the_right_reasons_only() {
    let authority = Authority::new();
    let ca = || Trust::CaFile(authority.file());
    let good = authority.issue("localhost");
    let port = hello(&good).await;
    assert_eq!(greeting("localhost", port, ca()).await.unwrap(), "hello");
    let wrong_host = failure("127.0.0.1", port, ca()).await;
    assert!(
        matches!(&wrong_host, TlsFailure::WrongHost { .. }),
        "{wrong_host:?}"
    );
    assert!(wrong_host.to_string().contains("localhost"), "{wrong_host}");
    let other = Authority::new();
    let unknown = failure("localhost", port, Trust::CaFile(other.file())).await;
    assert_eq!(unknown, TlsFailure::UnknownIssuer);

    let expired = authority.issue_with("localhost", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let port = hello(&expired).await;
    assert_eq!(failure("localhost", port, ca()).await, TlsFailure::Expired);
    let future = authority.issue_with("localhost", |params| {
        params.not_before = date_time_ymd(2999, 1, 1);
        params.not_after = date_time_ymd(3000, 1, 1);
    });
    let port = hello(&future).await;
    assert_eq!(
        failure("localhost", port, ca()).await,
        TlsFailure::NotYetValid
    );
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_whatever_it_says_and_no_other_is() {
    let own = Authority::self_signed_leaf();
    let port = hello(&own).await;
    let pinned = Trust::Fingerprint(own.fingerprint());
    assert_eq!(greeting("127.0.0.1", port, pinned).await.unwrap(), "hello");
    let other = Fingerprint::from_bytes([7; 32]);
    let wrong = failure("127.0.0.1", port, Trust::Fingerprint(other)).await;
    let expected = TlsFailure::Fingerprint {
        pinned: other,
        seen: own.fingerprint(),
    };
    assert_eq!(wrong, expected);
    assert!(wrong.to_string().contains(&own.fingerprint().to_string()));
    let system = failure("localhost", port, Trust::System).await;
    assert!(
        matches!(system, TlsFailure::CaAsLeaf | TlsFailure::UnknownIssuer),
        "{system:?}"
    );
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_does_not_pass_the_pin() {
    let own = Authority::self_signed_leaf();
    let thief = Identity {
        certificate: own.certificate.clone(),
        key: Authority::self_signed_leaf().key,
    };
    let provider = ring::default_provider();
    let key = provider
        .key_provider
        .load_private_key(thief.key.clone_key().into())
        .unwrap();
    let certified = tokio_rustls::rustls::sign::CertifiedKey::new(vec![thief.certificate], key);
    let resolver = tokio_rustls::rustls::sign::SingleCertAndKey::from(certified);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(TlsAcceptor::from(Arc::new(config)).accept(stream).await);
    });
    let pinned = Trust::Fingerprint(own.fingerprint());
    let failure = failure("localhost", port, pinned).await;
    assert!(matches!(failure, TlsFailure::BadSignature), "{failure}");
}

#[tokio::test]
async fn tls_on_a_plain_port_is_named_and_ca_files_are_checked_before_dialling() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(b"* OK IMAP4rev1 ready\r\n").await);
            drop(stream.read(&mut [0; 512]).await);
        }
    });
    let pin = Trust::Fingerprint(Fingerprint::from_bytes([0; 32]));
    assert_eq!(failure("localhost", port, pin).await, TlsFailure::NotTls);

    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::File::create_new(&empty).unwrap();
    let error = greeting("localhost", 1, Trust::CaFile(empty))
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::CaFileEmpty { .. }), "{error:?}");
    let missing = Trust::CaFile(dir.path().join("missing.pem"));
    let error = greeting("localhost", 1, missing).await.unwrap_err();
    assert!(matches!(error, NetError::CaFile { .. }), "{error:?}");
    let error = greeting("not a host", 1, Trust::System).await.unwrap_err();
    assert!(matches!(error, NetError::ServerName { .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_port_is_reported_per_address() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let pin = Trust::Fingerprint(Fingerprint::from_bytes([0; 32]));
    let error = greeting("127.0.0.1", port, pin).await.unwrap_err();
    let NetError::Connect { attempts, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(attempts[0].error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.is_transient());
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = Endpoint {
        host: "localhost".into(),
        port: listener.local_addr().unwrap().port(),
        security: Security::Tls,
    };
    let mut options = options(Trust::Fingerprint(Fingerprint::from_bytes([0; 32])));
    options.timeouts.tls = Duration::from_millis(50);
    let error = dial(&endpoint, &options).await.unwrap_err();
    assert!(matches!(error, NetError::TlsTimeout { .. }), "{error:?}");
}

#[test]
fn fingerprints_are_read_with_and_without_colons() {
    let fingerprint = Fingerprint::of(b"x");
    let hex = fingerprint.to_string();
    assert_eq!(hex.parse(), Ok(fingerprint));
    let mut colons = hex.to_uppercase();
    for at in (2..64).step_by(2).rev() {
        colons.insert(at, ':');
    }
    assert_eq!(colons.parse(), Ok(fingerprint));
    for bad in ["", "00", &"zz".repeat(32), &"é".repeat(64)] {
        assert_eq!(bad.parse::<Fingerprint>(), Err(ParseFingerprintError));
    }
}

#[test]
fn tokens_differ() {
    let (a, b) = (random_token().unwrap(), random_token().unwrap());
    assert_eq!(a.len(), 32);
    assert_ne!(a, b);
}
