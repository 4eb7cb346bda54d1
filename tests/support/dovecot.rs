//! A private Dovecot for one test: `scripts/dovecot.sh` in a temporary folder, stopped on drop.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::raw_imap::{Mail, OracleMessage, RawImap};

/// The one user there is from the start.
pub const ALICE: &str = "alice";
/// The password of every user that [`Dovecot::add_user`] was not told another for.
pub const PASSWORD: &str = "correct horse";

/// The exit code by which the script says that there is no Dovecot on this machine.
const NOT_INSTALLED: i32 = 69;

pub struct Dovecot {
    dir: TempDir,
    env: HashMap<String, String>,
    passwords: BTreeMap<String, String>,
}

impl Dovecot {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With options of the script, e.g. `&["--separator", ".", "--set", "ssl=no"]`.
    pub fn start_with(options: &[&str]) -> Self {
        let dir = TempDir::with_prefix("ms-").unwrap();
        let passwords = BTreeMap::from([(ALICE.to_owned(), PASSWORD.to_owned())]);
        let mut dovecot = Self {
            dir,
            env: HashMap::new(),
            passwords,
        };
        dovecot.write_users();
        dovecot.boot(options);
        dovecot
    }

    /// Stops the server and starts it again on the same mail, on other ports.
    pub fn restart_with(&mut self, options: &[&str]) {
        succeed("dovecot.sh stop", &self.script("stop", &[]));
        self.boot(options);
    }

    fn boot(&mut self, options: &[&str]) {
        let started = self.script("start", options);
        assert!(
            started.status.code() != Some(NOT_INSTALLED),
            "These tests need a Dovecot, and there is none on this machine: run scripts/test.sh, \
             which installs it (or scripts/setup.sh, which does only that)."
        );
        succeed("dovecot.sh start", &started);
        let env = std::fs::read_to_string(self.path().join("env")).unwrap();
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        self.env = pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
    }

    fn script(&self, action: &str, options: &[&str]) -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dovecot.sh");
        let mut command = Command::new("bash");
        command
            .arg(script)
            .arg(action)
            .arg(self.path())
            .args(options);
        command.output().expect("run scripts/dovecot.sh")
    }

    /// The folder of this server: `mail/USER`, `log`, `dovecot.conf`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn port(&self, key: &str) -> u16 {
        self.env[key].parse().unwrap()
    }

    pub fn imap_port(&self) -> u16 {
        self.port("MS_IMAP_PORT")
    }

    pub fn imaps_port(&self) -> u16 {
        self.port("MS_IMAPS_PORT")
    }

    pub fn pop3_port(&self) -> u16 {
        self.port("MS_POP3_PORT")
    }

    pub fn pop3s_port(&self) -> u16 {
        self.port("MS_POP3S_PORT")
    }

    /// Plaintext with STARTTLS on offer; mail for `USER@anything` goes to USER's INBOX.
    pub fn lmtp_port(&self) -> u16 {
        self.port("MS_LMTP_PORT")
    }

    /// The certificate authority to trust; the server's certificate is for localhost, 127.0.0.1.
    pub fn ca(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    /// Plaintext with STARTTLS on offer.
    pub fn url(&self, user: &str) -> String {
        format!("imap://{user}@127.0.0.1:{}", self.imap_port())
    }

    pub fn imaps_url(&self, user: &str) -> String {
        format!("imaps://{user}@localhost:{}", self.imaps_port())
    }

    pub fn pop3_url(&self, user: &str) -> String {
        format!("pop3://{user}@127.0.0.1:{}", self.pop3_port())
    }

    pub fn pop3s_url(&self, user: &str) -> String {
        format!("pop3s://{user}@localhost:{}", self.pop3s_port())
    }

    /// Everything the server has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Adds a user or changes a password, while the server runs.
    pub fn add_user(&mut self, user: &str, password: &str) {
        self.passwords.insert(user.to_owned(), password.to_owned());
        self.write_users();
    }

    /// Adds many users with the usual password.
    pub fn add_users(&mut self, users: impl IntoIterator<Item = String>) {
        let words = users.into_iter().map(|user| (user, PASSWORD.to_owned()));
        self.passwords.extend(words);
        self.write_users();
    }

    pub fn password(&self, user: &str) -> &str {
        self.passwords
            .get(user)
            .unwrap_or_else(|| panic!("no user {user}"))
    }

    /// Written over in place, not by rename: the script has given the file to Dovecot's group.
    fn write_users(&self) {
        let lines = self
            .passwords
            .iter()
            .map(|(user, word)| format!("{user}:{{PLAIN}}{word}\n"));
        let text: String = lines.collect();
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let mut file = options.open(self.path().join("users")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Runs doveadm against this server, returns what it prints; panics with its stderr.
    pub fn doveadm(&self, args: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/bin";
        let mut command = Command::new("doveadm");
        command
            .env("PATH", path)
            .arg("-c")
            .arg(self.path().join("dovecot.conf"))
            .args(args);
        let output = command.output().expect("run doveadm");
        succeed(&format!("doveadm {args:?}"), &output);
        String::from_utf8(output.stdout).unwrap()
    }

    /// A connection of a raw client, signed in.
    pub fn connect(&self, user: &str) -> RawImap {
        RawImap::login(self.imap_port(), user, self.password(user))
    }

    /// Puts one message into a mailbox, which is made (and subscribed to) if it isn't there.
    pub fn deliver(
        &self,
        user: &str,
        mailbox: &str,
        bytes: &[u8],
        flags: &[&str],
        received: Option<&str>,
    ) {
        self.deliver_all(
            user,
            mailbox,
            &[Mail {
                bytes,
                flags,
                received,
            }],
        );
    }

    /// The same for many, over one connection.
    pub fn deliver_all(&self, user: &str, mailbox: &str, mails: &[Mail<'_>]) {
        let mut imap = self.connect(user);
        imap.create(mailbox);
        imap.append_all(mailbox, mails);
    }

    /// The oracle: all mail of a user as this server reports it, without changing a flag.
    pub fn fetch_all(&self, user: &str) -> BTreeMap<String, Vec<OracleMessage>> {
        let mut imap = self.connect(user);
        let names = imap.mailboxes();
        let read = |name: String| {
            let messages = imap.fetch_mailbox(&name);
            (name, messages)
        };
        names.into_iter().map(read).collect()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let stopped = self.script("stop", &[]);
        if !stopped.status.success() {
            eprintln!(
                "dovecot.sh stop: {}",
                String::from_utf8_lossy(&stopped.stderr)
            );
        }
    }
}

fn succeed(what: &str, output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what}: {}\n{stderr}",
        output.status
    );
}
