//! A small SMTP and LMTP server that refuses, breaks off and forgets to answer as a test asks.
//!
//! [`World`] is how it behaves, and may be changed at any time. What it took is in
//! [`FakeSmtp::delivered`], with the envelope. What no client may do (speaking ahead of an
//! answer, declaring a wrong size, 8-bit text not declared, a message whose envelope was
//! refused) is written down and fails the test.

mod serve;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Greeting,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    End,
}

/// What becomes of a message whose answer is lost: the connection is closed instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    Delivered,
    NotDelivered,
}

#[derive(Debug, Clone)]
pub struct World {
    pub lmtp: bool,
    /// Lines of the answer to EHLO or LHLO, behind the first.
    pub extensions: Vec<String>,
    /// Who may send; anybody, and without AUTH, if nobody is named.
    pub user: Option<(String, String)>,
    /// Replies to give instead of consent, and how often still.
    pub refusals: BTreeMap<Stage, (String, usize)>,
    /// The answers to these messages are lost, by their number from 1 among those that came
    /// whole, over all connections.
    pub lost: BTreeMap<usize, Lost>,
    /// Messages after which a connection says 421 to the next MAIL.
    pub per_connection: Option<usize>,
    /// Messages after which everybody is turned away with 421, at MAIL and at the greeting.
    pub closes_after: Option<usize>,
}

impl Default for World {
    fn default() -> Self {
        let extensions = ["8BITMIME", "SIZE 100000000", "ENHANCEDSTATUSCODES"];
        Self {
            lmtp: false,
            extensions: extensions.map(str::to_owned).to_vec(),
            user: None,
            refusals: BTreeMap::new(),
            lost: BTreeMap::new(),
            per_connection: None,
            closes_after: None,
        }
    }
}

impl World {
    pub fn lmtp() -> Self {
        Self {
            lmtp: true,
            ..Self::default()
        }
    }

    /// With AUTH PLAIN and AUTH LOGIN, for one user.
    pub fn with_user(user: &str, password: &str) -> Self {
        let mut world = Self::default();
        world.extensions.push("AUTH PLAIN LOGIN".to_owned());
        world.user = Some((user.to_owned(), password.to_owned()));
        world
    }

    /// Gives this reply at a stage, so many times.
    pub fn refuse(&mut self, at: Stage, reply: &str, times: usize) {
        self.refusals.insert(at, (reply.to_owned(), times));
    }

    /// The refusal that is due now.
    fn refusal(&mut self, at: Stage) -> Option<String> {
        let (reply, times) = self.refusals.get_mut(&at)?;
        *times = times.checked_sub(1)?;
        Some(reply.clone())
    }

    fn announces(&self, keyword: &str) -> bool {
        let first = |line: &String| line.split(' ').next() == Some(keyword);
        self.extensions.iter().any(first)
    }
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The connection it came over, from 1.
    pub connection: usize,
    /// The reverse path, without brackets.
    pub from: String,
    pub to: String,
    /// What follows the reverse path, such as `SIZE=3`.
    pub parameters: Vec<String>,
    /// As it was before dots were stuffed, with its last CRLF.
    pub bytes: Vec<u8>,
}

pub struct FakeSmtp {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(in crate::support::fake_smtp) struct Shared {
    world: Mutex<World>,
    delivered: Mutex<Vec<Delivered>>,
    /// Every line but those of messages and of AUTH.
    said: Mutex<Vec<String>>,
    rude: Mutex<Vec<String>>,
    connections: AtomicUsize,
    sign_ins: AtomicUsize,
    /// Messages that came whole, whatever became of them.
    seen: AtomicUsize,
    stopped: AtomicBool,
}

/// Poisoning comes from a test that has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeSmtp {
    pub fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            ..Shared::default()
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            port,
            shared,
            accepting: Some(accepting),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `smtp://` or `lmtp://`, for the user there is, or for `alice`.
    pub fn url(&self) -> String {
        let world = self.world();
        let scheme = if world.lmtp { "lmtp" } else { "smtp" };
        let user = world.user.as_ref().map_or("alice", |(user, _)| user);
        format!("{scheme}://{user}@127.0.0.1:{}", self.port)
    }

    /// How the server behaves. Don't keep it across a command.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    /// The messages taken so far, in order.
    pub fn delivered(&self) -> Vec<Delivered> {
        lock(&self.shared.delivered).clone()
    }

    /// What was taken so far: how often each message.
    pub fn bytes(&self) -> BTreeMap<Vec<u8>, usize> {
        let mut counts = BTreeMap::new();
        for message in self.delivered() {
            *counts.entry(message.bytes).or_default() += 1;
        }
        counts
    }

    /// Every command so far but AUTH, as it came.
    pub fn said(&self) -> Vec<String> {
        lock(&self.shared.said).clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How often somebody tried to sign in.
    pub fn sign_ins(&self) -> usize {
        self.shared.sign_ins.load(Ordering::SeqCst)
    }

    /// Messages that came whole, taken or not.
    pub fn seen(&self) -> usize {
        self.shared.seen.load(Ordering::SeqCst)
    }

    /// Panics if the client did what no client may do.
    #[track_caller]
    pub fn assert_manners(&self) {
        let rude = lock(&self.shared.rude).clone();
        assert!(rude.is_empty(), "the client was rude: {rude:#?}");
    }

    /// What the client did that no client may do, and forgets it.
    pub fn take_rude(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.rude))
    }
}

impl Drop for FakeSmtp {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        if !std::thread::panicking() {
            self.assert_manners();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // An error is a client that went away, which clients may do.
            drop(serve::connection(&stream, &shared, number));
        });
    }
}
