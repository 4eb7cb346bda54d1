//! A relay in front of a POP3 server that writes down what the client says, per session. It is
//! written down before it is passed on, so what a client was answered to is never missing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Is called with the number of the session, from 1, and a command, before that is passed on.
type Hook = Box<dyn FnMut(usize, &str) + Send>;

struct Shared {
    upstream: u16,
    /// The bytes each session sent.
    sent: Mutex<Vec<Vec<u8>>>,
    /// The most commands that came in one piece.
    largest: AtomicUsize,
    hook: Mutex<Option<Hook>>,
    stopped: AtomicBool,
}

pub struct Pop3Tap {
    host: &'static str,
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Pop3Tap {
    /// In front of a server on this port of 127.0.0.1.
    pub fn start(upstream: u16) -> Self {
        Self::start_at("127.0.0.1", upstream)
    }

    /// The same on another address of this machine.
    pub fn start_at(host: &'static str, upstream: u16) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            sent: Mutex::new(Vec::new()),
            largest: AtomicUsize::new(0),
            hook: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(&listener, &serving));
        Self {
            host,
            port,
            shared,
            thread: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, user: &str) -> String {
        format!("pop3://{user}@{}:{}", self.host, self.port)
    }

    /// The commands of every session, in order. Of a session in TLS there is nothing to read.
    pub fn sessions(&self) -> Vec<Vec<String>> {
        let lines = |bytes: &Vec<u8>| {
            String::from_utf8_lossy(bytes)
                .lines()
                .map(str::to_owned)
                .collect()
        };
        self.shared.sent.lock().unwrap().iter().map(lines).collect()
    }

    /// How often a command was given, in all sessions.
    pub fn count(&self, verb: &str) -> usize {
        let is_it = |line: &&String| line.split(' ').next() == Some(verb);
        self.sessions().iter().flatten().filter(is_it).count()
    }

    /// The most commands that came in one piece: more than one, and they were sent without
    /// waiting for an answer.
    pub fn largest_piece(&self) -> usize {
        self.shared.largest.load(Ordering::SeqCst)
    }

    /// Forgets what was said. No session may be open.
    pub fn forget(&self) {
        self.shared.sent.lock().unwrap().clear();
        self.shared.largest.store(0, Ordering::SeqCst);
    }

    /// Does something at a moment of a session.
    pub fn on_command(&self, hook: impl FnMut(usize, &str) + Send + 'static) {
        *self.shared.hook.lock().unwrap() = Some(Box::new(hook));
    }
}

impl Drop for Pop3Tap {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect((self.host, self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let client = client.unwrap();
        let number = {
            let mut sent = shared.sent.lock().unwrap();
            sent.push(Vec::new());
            sent.len()
        };
        let server = TcpStream::connect(("127.0.0.1", shared.upstream)).unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from_server, mut to_client) =
            (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            // Errors are connections that ended.
            drop(std::io::copy(&mut from_server, &mut to_client));
            drop(to_client.shutdown(Shutdown::Both));
        });
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            drop(listen(client, &server, number, &shared));
            drop(server.shutdown(Shutdown::Both));
        });
    }
}

fn listen(
    mut client: TcpStream,
    mut server: &TcpStream,
    number: usize,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut line = Vec::new();
    loop {
        let n = client.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        if let Some(sent) = shared.sent.lock().unwrap().get_mut(number - 1) {
            sent.extend_from_slice(&buffer[..n]);
        }
        let commands = buffer[..n].iter().filter(|b| **b == b'\n').count();
        shared.largest.fetch_max(commands, Ordering::SeqCst);
        line.extend_from_slice(&buffer[..n]);
        while let Some(end) = line.iter().position(|b| *b == b'\n') {
            let command: Vec<u8> = line.drain(..=end).collect();
            if let Some(hook) = shared.hook.lock().unwrap().as_mut() {
                hook(number, String::from_utf8_lossy(&command).trim_end());
            }
        }
        server.write_all(&buffer[..n])?;
    }
}
