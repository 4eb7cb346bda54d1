//! A small stateful POP3 server that lies, breaks off and misbehaves exactly as a test asks.
//!
//! [`World`] is what the maildrop holds and how it behaves; a test may change it at any time,
//! and a session sees what was there when it signed in. A sick [`Message`] misbehaves by
//! itself; everything else is done by a [`Hook`], which sees each command before it is
//! answered. Everything the client said is in the log. What no client may ever do (a second
//! session beside the first, pipelining where it is not announced, DELE where none was asked
//! for or in a session that also fetched) is written down and fails the test.

mod serve;
mod session;
pub mod trial;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use self::world::{Delivery, Message, World, mail, mail_dated, mail_with};

/// One command.
#[derive(Debug, Clone)]
pub struct Command {
    /// Which connection it came over, from 1.
    pub connection: usize,
    /// Its number on that connection, from 1.
    pub number: usize,
    /// In capitals.
    pub name: String,
    pub args: Vec<String>,
    /// As it came, without the line end.
    pub line: String,
    /// The unique-id of the message it names.
    pub uidl: Option<String>,
}

/// What a hook makes of a command.
#[derive(Debug, Clone)]
pub enum Reaction {
    /// The usual answer.
    Normal,
    /// These bytes and no more.
    Say(Vec<u8>),
    /// These bytes, then the connection is closed.
    HangUp(Vec<u8>),
    /// It is done as usual; the connection is closed instead of an answer.
    Swallow,
    /// No answer, until the client goes.
    Stall,
}

impl Reaction {
    pub fn say(text: &str) -> Self {
        Self::Say(text.as_bytes().to_vec())
    }

    pub fn hang_up(text: &str) -> Self {
        Self::HangUp(text.as_bytes().to_vec())
    }
}

/// Sees each command, and may change the world before it is answered.
pub type Hook = Box<dyn FnMut(&Command, &mut World) -> Reaction + Send>;

pub struct FakePop3 {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(in crate::support::fake_pop3) struct Shared {
    world: Mutex<World>,
    hook: Mutex<Option<Hook>>,
    commands: Mutex<Vec<Command>>,
    /// Unique-ids of the bodies that went out whole.
    sent: Mutex<Vec<String>>,
    /// Unique-ids of what QUIT took away.
    gone: Mutex<Vec<String>>,
    /// What no client may do.
    rude: Mutex<Vec<String>>,
    connections: AtomicUsize,
    sessions: AtomicUsize,
    /// Whether a session has the maildrop.
    locked: AtomicBool,
    /// The most lines that had come while an answer was under way.
    most_waiting: AtomicUsize,
    stopped: AtomicBool,
}

/// Poisoning comes from a test that has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakePop3 {
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

    pub fn url(&self) -> String {
        format!("pop3://alice@127.0.0.1:{}", self.port)
    }

    /// What the server holds. Don't keep it across a backup.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    /// Sees every command from now on.
    pub fn hook(&self, hook: impl FnMut(&Command, &mut World) -> Reaction + Send + 'static) {
        *lock(&self.shared.hook) = Some(Box::new(hook));
    }

    /// Takes the hook away.
    pub fn unhook(&self) {
        *lock(&self.shared.hook) = None;
    }

    /// Makes everything well and forgets what was asked so far.
    pub fn heal(&self) {
        self.unhook();
        self.world().heal();
        self.forget();
    }

    /// Forgets what was asked so far; [`Self::assert_manners`] comes first.
    pub fn forget(&self) {
        self.assert_manners();
        lock(&self.shared.commands).clear();
        lock(&self.shared.sent).clear();
        lock(&self.shared.gone).clear();
        self.shared.connections.store(0, Ordering::SeqCst);
        self.shared.sessions.store(0, Ordering::SeqCst);
        self.shared.most_waiting.store(0, Ordering::SeqCst);
    }

    /// Every command so far, in the order they were read.
    pub fn commands(&self) -> Vec<Command> {
        lock(&self.shared.commands).clone()
    }

    /// How often commands of this name came.
    pub fn count(&self, name: &str) -> usize {
        self.commands().iter().filter(|c| c.name == name).count()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Sign-ins let in so far.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.load(Ordering::SeqCst)
    }

    /// How often each message was named by this command, by unique-id.
    pub fn asked(&self, name: &str) -> BTreeMap<String, usize> {
        let commands = self.commands();
        let named = commands.into_iter().filter(|c| c.name == name);
        counted(named.map(|c| c.uidl.unwrap_or_default()))
    }

    /// How often each body went out whole.
    pub fn sent(&self) -> BTreeMap<String, usize> {
        counted(lock(&self.shared.sent).iter().cloned())
    }

    /// What QUIT took away, sorted.
    pub fn gone(&self) -> Vec<String> {
        let mut gone = lock(&self.shared.gone).clone();
        gone.sort();
        gone
    }

    /// The unique-ids there are, in order.
    pub fn uidls(&self) -> Vec<String> {
        self.world().messages.iter().map(Message::name).collect()
    }

    /// The most commands that had come while the answer to an earlier one was under way.
    pub fn most_waiting(&self) -> usize {
        self.shared.most_waiting.load(Ordering::SeqCst)
    }

    /// Panics if the client did what no client may do.
    #[track_caller]
    pub fn assert_manners(&self) {
        let rude = lock(&self.shared.rude).clone();
        assert!(rude.is_empty(), "the client was rude: {rude:#?}");
    }
}

impl Drop for FakePop3 {
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

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
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
