//! A small HTTP server that stands for a dead man's switch.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Stands in every URL, and may stand in no output.
pub(crate) const KEY: &str = "c4na7y-5b1e";

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) line: String,
    pub(crate) kind: String,
    pub(crate) body: String,
}

/// What the server answers: raw bytes, and silence for as long as the client stays.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Ok,
    Raw(&'static str),
    Silence,
}

/// A server that does as the closure says; it knows how many requests came before.
pub(crate) struct Switch {
    port: u16,
    scheme: &'static str,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// One for every request, as it comes.
    pub(crate) came: Receiver<()>,
}

impl Switch {
    pub(crate) fn start(answer: impl FnMut(usize) -> Answer + Send + 'static) -> Self {
        Self::with(None, answer)
    }

    pub(crate) fn with(
        tls: Option<Arc<ServerConfig>>,
        mut answer: impl FnMut(usize) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (tell, came) = channel();
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let stream: Box<dyn ReadWrite> = match &tls {
                    None => Box::new(stream),
                    Some(config) => {
                        let server = ServerConnection::new(Arc::clone(config)).unwrap();
                        Box::new(StreamOwned::new(server, stream))
                    }
                };
                // A handshake that failed is a client that does not trust us.
                let Some((request, stream)) = read(stream) else {
                    continue;
                };
                let before = {
                    let mut heard = shared.lock().unwrap();
                    heard.push(request);
                    heard.len() - 1
                };
                tell.send(()).unwrap_or_default();
                say(stream, answer(before));
            }
        });
        Self {
            port,
            scheme,
            heard,
            came,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}/{KEY}", self.scheme, self.port)
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Method and path of each request, with the key taken out.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heard = self.heard();
        heard.iter().map(|h| h.line.replace(KEY, "KEY")).collect()
    }
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

fn read(stream: Box<dyn ReadWrite>) -> Option<(Heard, Box<dyn ReadWrite>)> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let field = |name: &str| {
        let found = lines.iter().find_map(|l| {
            let (key, value) = l.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        });
        found.unwrap_or_default()
    };
    let mut body = vec![0; field("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let line = lines[0].strip_suffix(" HTTP/1.1")?.to_owned();
    let heard = Heard {
        line,
        kind: field("content-type"),
        body: String::from_utf8(body).unwrap(),
    };
    Some((heard, reader.into_inner()))
}

fn say(mut stream: Box<dyn ReadWrite>, answer: Answer) {
    let text = match answer {
        Answer::Ok => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK",
        Answer::Raw(text) => text,
        Answer::Silence => {
            // Not in the way of the next request; ends when the client goes.
            std::thread::spawn(move || stream.read(&mut [0; 16]).is_ok());
            return;
        }
    };
    // The client may be gone.
    drop(
        stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.flush()),
    );
}

/// A server for `localhost` and the file that makes it trusted.
pub(crate) fn tls(folder: &Path) -> (Arc<ServerConfig>, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = folder.join("trusted.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (Arc::new(config), file.to_str().unwrap().to_owned())
}
