//! A small stateful IMAP server that lies, breaks off and misbehaves exactly as a test asks.
//!
//! [`World`] is what the server holds and how it behaves; a test may change it at any time.
//! A sick [`Message`] misbehaves by itself; everything else is done by a [`Hook`], which sees
//! each command before it is answered. Everything the client said is in the log, and a server
//! that was asked for a change fails its test when it is dropped.

mod bulk;
mod changes;
pub mod changes_of_mind;
pub mod command;
mod fetch;
pub mod headers;
mod history;
mod mailboxes;
pub mod mirror;
pub mod serve;
pub mod trial;
mod world;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use self::changes::Lies;
pub use self::command::Command;
pub use self::history::History;
pub use self::world::{Announce, Delivery, FakeMailbox, Listing, Message, Refuse, Status, World};

/// What a hook makes of a command.
#[derive(Debug, Clone)]
pub enum Reaction {
    /// The usual answer.
    Normal,
    /// These bytes, then the usual answer.
    First(Vec<u8>),
    /// These bytes and no more; `TAG` in them is the command's tag.
    Say(Vec<u8>),
    /// These bytes, then the connection is closed.
    HangUp(Vec<u8>),
    /// That, once this has come true by what another connection does.
    Once(Arc<AtomicBool>, Box<Reaction>),
}

impl Reaction {
    pub fn say(text: &str) -> Self {
        Self::Say(text.as_bytes().to_vec())
    }

    pub fn first(text: &str) -> Self {
        Self::First(text.as_bytes().to_vec())
    }

    pub fn hang_up(text: &str) -> Self {
        Self::HangUp(text.as_bytes().to_vec())
    }
}

/// Sees each command, and may change the world before it is answered.
pub type Hook = Box<dyn FnMut(&Command, &mut World) -> Reaction + Send>;

/// A mailbox by its wire name, and a UID.
pub type Remote = (String, u32);

pub struct FakeImap {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

pub(in crate::support::fake_imap) struct Shared {
    world: Mutex<World>,
    hook: Mutex<Option<Hook>>,
    commands: Mutex<Vec<Command>>,
    /// Bodies that went out whole.
    sent: Mutex<Vec<Remote>>,
    /// Bytes that went out.
    bytes: AtomicU64,
    connections: AtomicUsize,
    open: AtomicUsize,
    /// Whether a client was caught with two commands under way.
    caught: AtomicBool,
    stopped: AtomicBool,
}

/// Poisoning comes from a test that has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeImap {
    pub fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            hook: Mutex::new(None),
            commands: Mutex::default(),
            sent: Mutex::default(),
            bytes: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            caught: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
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
        format!("imap://alice@127.0.0.1:{}", self.port)
    }

    /// What the server holds. Don't keep it across a backup.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    /// Does not wait for a first client to pipeline, where none is borne.
    pub fn trust_first(&self) {
        self.shared.caught.store(true, Ordering::SeqCst);
    }

    /// Sees every command from now on.
    pub fn hook(&self, hook: impl FnMut(&Command, &mut World) -> Reaction + Send + 'static) {
        *lock(&self.shared.hook) = Some(Box::new(hook));
    }

    /// Makes everything well and forgets what was asked so far.
    pub fn heal(&self) {
        *lock(&self.shared.hook) = None;
        self.world().heal();
        self.forget();
    }

    /// Forgets what was asked so far; [`Self::assert_only_looked`] comes first.
    pub fn forget(&self) {
        self.assert_only_looked();
        lock(&self.shared.commands).clear();
        lock(&self.shared.sent).clear();
        self.shared.bytes.store(0, Ordering::SeqCst);
    }

    /// Bytes sent since the last [`Self::forget`].
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// Round trips after sign-in, LOGOUT included: commands that came one after another without
    /// waiting cost one together.
    pub fn round_trips(&self) -> usize {
        const BEFORE: [&str; 4] = ["CAPABILITY", "STARTTLS", "LOGIN", "AUTHENTICATE"];
        let commands = self.commands();
        let after = commands.iter().filter(|c| {
            let sign_in = commands.iter().filter(|s| s.connection == c.connection);
            let sign_in = sign_in.filter(|s| BEFORE[2..].contains(&s.name.as_str()));
            !BEFORE.contains(&c.name.as_str()) || sign_in.map(|s| s.number).max() < Some(c.number)
        });
        after
            .filter(|c| !c.pipelined && !BEFORE[2..].contains(&c.name.as_str()))
            .count()
    }

    /// How often each header was asked for.
    pub fn asked_headers(&self) -> BTreeMap<Remote, usize> {
        self.resolved(Command::wants_headers)
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

    /// How often each body was asked for, with sets resolved against what is held now.
    pub fn asked(&self) -> BTreeMap<Remote, usize> {
        self.resolved(Command::wants_bodies)
    }

    fn resolved(&self, wanted: fn(&Command) -> bool) -> BTreeMap<Remote, usize> {
        let world = self.world();
        let mut asked = BTreeMap::new();
        for command in self.commands().iter().filter(|c| wanted(c)) {
            let wire = command.selected.clone().unwrap_or_default();
            let uids = world
                .mailbox(&wire)
                .map(|m| m.resolve(&command.args[0]))
                .unwrap_or_default();
            for uid in uids {
                *asked.entry((wire.clone(), uid)).or_default() += 1;
            }
        }
        asked
    }

    /// How often each body went out whole.
    pub fn sent(&self) -> BTreeMap<Remote, usize> {
        let mut sent = BTreeMap::new();
        for remote in lock(&self.shared.sent).iter() {
            *sent.entry(remote.clone()).or_default() += 1;
        }
        sent
    }

    /// Panics if the client ever gave a command that could change something.
    pub fn assert_only_looked(&self) {
        for command in self.commands() {
            assert!(command.only_looks(), "the client sent `{}`", command.line);
        }
    }
}

impl Drop for FakeImap {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        if !std::thread::panicking() {
            self.assert_only_looked();
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
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // An error is a client that went away, which clients may do.
            drop(serve::connection(&stream, &shared, number, open));
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}
