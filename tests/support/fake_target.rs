//! A small stateful IMAP server that takes mail in, and goes wrong exactly as a test asks.
//!
//! [`TargetWorld`] is what it holds and how it behaves; a test may change it at any time. It reads
//! its connections as a stream of commands: where an APPEND is refused with BAD, the message that
//! follows without waiting is carried out line by line, as real servers do
//! (QUIRK(Dovecot, 2.3.19)). A server that was told to remove anything, or whose client sent it
//! mail as commands, fails its test when it is dropped.

mod append;
mod dispatch;
mod knobs;
mod list;
mod log;
mod mailboxes;
mod messages;
mod serve;
mod sign_in;
mod store;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use self::knobs::{AppendUid, Fault, RefuseBody, RefuseKeywords};
pub use self::log::{Append, Appended, Received, SignIn};
pub use self::world::{ALL_FLAGS, CAPABILITIES, TODAY, TargetMailbox, TargetMessage, TargetWorld};
pub use super::fake_imap::{Announce, Reaction, Refuse};

/// Sees each command as it is read, an APPEND at its first literal, and may change the world
/// before it is answered. [`Reaction::Say`] to an APPEND leaves its literal where it is.
pub type Hook = Box<dyn FnMut(&Received, &mut TargetWorld) -> Reaction + Send>;

/// Sorted flags, date and BLAKE3 of each message by the wire name of its mailbox; in order, so
/// that two runs can be compared that appended in another order.
pub type Contents = BTreeMap<String, Vec<(Vec<String>, String, String)>>;

/// What removes mail, or moves it out of sight.
const FORBIDDEN: [&str; 5] = ["EXPUNGE", "UID EXPUNGE", "DELETE", "RENAME", "CLOSE"];

pub struct FakeTarget {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    /// What the test does itself, or wants to see done.
    allowed: Mutex<Vec<String>>,
    may_smuggle: AtomicBool,
}

pub(in crate::support::fake_target) struct Shared {
    world: Mutex<TargetWorld>,
    hook: Mutex<Option<Hook>>,
    commands: Mutex<Vec<Received>>,
    appends: Mutex<Vec<Append>>,
    sign_ins: Mutex<Vec<SignIn>>,
    /// APPEND commands begun on all connections; never reset, faults are counted by it.
    appended: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
}

impl Shared {
    /// Puts a command down. A line that is empty outside of a refused body is no command.
    fn note(&self, command: &Received) {
        if command.smuggled || !command.line.is_empty() {
            lock(&self.commands).push(command.clone());
        }
    }
}

/// Poisoning comes from a test that has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeTarget {
    pub fn start(world: TargetWorld) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            hook: Mutex::new(None),
            commands: Mutex::default(),
            appends: Mutex::default(),
            sign_ins: Mutex::default(),
            appended: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
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
            allowed: Mutex::default(),
            may_smuggle: AtomicBool::new(false),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("imap://bob@127.0.0.1:{}", self.port)
    }

    /// What the server holds. Don't keep it across a replay.
    pub fn world(&self) -> MutexGuard<'_, TargetWorld> {
        lock(&self.shared.world)
    }

    /// Sees every command from now on.
    pub fn hook(&self, hook: impl FnMut(&Received, &mut TargetWorld) -> Reaction + Send + 'static) {
        *lock(&self.shared.hook) = Some(Box::new(hook));
    }

    /// Forgets what was asked so far; [`Self::assert_never_expunged`] comes first. APPENDs are
    /// counted on, for the faults.
    pub fn forget(&self) {
        self.assert_never_expunged();
        lock(&self.shared.commands).clear();
        lock(&self.shared.appends).clear();
        lock(&self.shared.sign_ins).clear();
    }

    /// Every command so far, in the order they were read.
    pub fn commands(&self) -> Vec<Received> {
        lock(&self.shared.commands).clone()
    }

    /// How often commands of this name came.
    pub fn count(&self, name: &str) -> usize {
        self.commands().iter().filter(|c| c.name == name).count()
    }

    /// Every APPEND that was read to its end, was refused or broke off, in the order of their
    /// ends.
    pub fn appends(&self) -> Vec<Append> {
        lock(&self.shared.appends).clone()
    }

    /// Every sign-in that could be read.
    pub fn sign_ins(&self) -> Vec<SignIn> {
        lock(&self.shared.sign_ins).clone()
    }

    /// Lines of mail that were read as commands, carried out or BAD.
    pub fn executed_from_body(&self) -> Vec<Received> {
        let mut commands = self.commands();
        commands.retain(|c| c.smuggled);
        commands
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// What a mailbox holds, in the order of arrival; panics if there is no such mailbox.
    pub fn messages(&self, wire: &str) -> Vec<TargetMessage> {
        self.world().mailbox_mut(wire).messages.clone()
    }

    /// What all mailboxes hold.
    pub fn contents(&self) -> Contents {
        let world = self.world();
        let mailboxes = world.mailboxes.iter().map(|mailbox| {
            let messages = mailbox.messages.iter().map(|message| {
                let mut flags = message.flags.clone();
                flags.sort();
                let hash = blake3::hash(&message.body).to_hex().to_string();
                (flags, message.date.clone(), hash)
            });
            let mut messages: Vec<_> = messages.collect();
            messages.sort();
            (mailbox.wire.clone(), messages)
        });
        mailboxes.collect()
    }

    /// The test does this itself: no complaint of it.
    pub fn allow(&self, name: &str) {
        lock(&self.allowed).push(name.to_owned());
    }

    /// The test wants to see mail run as commands: no complaint of that.
    pub fn allow_smuggling(&self) {
        self.may_smuggle.store(true, Ordering::SeqCst);
    }

    /// Panics if the client ever gave a command that removes anything, or had mail run as
    /// commands.
    pub fn assert_never_expunged(&self) {
        let allowed = lock(&self.allowed).clone();
        let may_smuggle = self.may_smuggle.load(Ordering::SeqCst);
        for command in self.commands() {
            assert!(
                may_smuggle || !command.smuggled,
                "mail was run as a command: `{}`",
                command.line
            );
            let forbidden = !command.smuggled && FORBIDDEN.contains(&command.name.as_str());
            assert!(
                !forbidden || allowed.contains(&command.name),
                "the client sent `{}`",
                command.line
            );
        }
    }
}

impl Drop for FakeTarget {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        if !std::thread::panicking() {
            self.assert_never_expunged();
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
        });
    }
}
