//! Errors become a message, its causes, what to do next, and an exit code. Only here.

use std::error::Error;
use std::io;

use mailstow::archive::{DirError, LogError, WriteError};
use mailstow::backup::{BackupError, ServerError};
use mailstow::durable::LockError;
use mailstow::imap::ImapError;
use mailstow::net::{NetError, TlsFailure};
use mailstow::pop3::Pop3Error;
use mailstow::smtp::SmtpError;
use mailstow::spool::SpoolError;
use mailstow::store::StoreError;

use super::text::escaped;

/// Exit codes, as the README documents them.
pub(crate) mod exit {
    /// Something that should not happen.
    pub(crate) const INTERNAL: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// Finished, but something was skipped or does not add up.
    pub(crate) const PARTIAL: u8 = 3;
    /// Configuration, files and folders the user named.
    pub(crate) const CONFIGURATION: u8 = 4;
    /// The server refused to sign in.
    pub(crate) const SIGN_IN: u8 = 5;
    /// Network or server; nothing more could be done.
    pub(crate) const NETWORK: u8 = 6;
    /// The archive is damaged.
    pub(crate) const DAMAGED: u8 = 7;
    /// Another run works on the archive.
    pub(crate) const LOCKED: u8 = 8;
    /// Stopped at a limit; the next run goes on.
    pub(crate) const LIMIT: u8 = 9;
    /// The last complete run is older than asked (`status --max-age`).
    pub(crate) const TOO_OLD: u8 = 10;
}

/// An error as a person gets to see it.
#[derive(Debug)]
pub(crate) struct CommandError {
    exit: u8,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    fn new(exit: u8, message: String) -> Self {
        Self {
            exit,
            message,
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: String) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// Something the user set up is wrong.
    pub(crate) fn configuration(message: String) -> Self {
        Self::new(exit::CONFIGURATION, message)
    }

    /// Something that should not happen.
    pub(crate) fn internal(message: String) -> Self {
        Self::new(exit::INTERNAL, message)
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> u8 {
        self.exit
    }

    /// What failed, without causes and hints; not escaped.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Replaces the exit code.
    pub(crate) const fn with_exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// The message with causes and hints, harmless for a terminal.
    pub(crate) fn render(&self) -> String {
        let mut lines = vec![format!("error: {}", escaped(&self.message))];
        lines.extend(
            self.causes
                .iter()
                .map(|c| format!("  caused by: {}", escaped(c))),
        );
        lines.extend(self.hints.iter().map(|h| format!("  hint: {}", escaped(h))));
        lines.join("\n")
    }

    /// For `--json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({"event": "error", "exit": self.exit, "message": self.message, "causes": self.causes, "hints": self.hints})
    }

    fn of(exit: u8, error: &dyn Error) -> Self {
        let mut made = Self::new(exit, error.to_string());
        let mut source = error.source();
        let mut last = made.message.clone();
        while let Some(cause) = source {
            let text = cause.to_string();
            if text != last {
                made.causes.push(text.clone());
            }
            last = text;
            source = cause.source();
        }
        made
    }
}

impl From<DirError> for CommandError {
    fn from(error: DirError) -> Self {
        let (code, hint) = match &error {
            DirError::Missing(_) => (
                exit::CONFIGURATION,
                "make one with: mailstow backup SOURCE --to ARCHIVE",
            ),
            DirError::NotAnArchive { .. } => (
                exit::CONFIGURATION,
                "name a folder that is empty or does not exist yet",
            ),
            DirError::Newer { .. } | DirError::UnknownLayout(_) => (
                exit::CONFIGURATION,
                "use the newer mailstow that made it; nothing was changed",
            ),
            DirError::Manifest { .. } => (
                exit::DAMAGED,
                "restore archive.toml from a copy, or salvage with: mailstow recover ARCHIVE --to NEW",
            ),
            DirError::Io { source, .. } => (exit::CONFIGURATION, io_hint(source)),
        };
        Self::of(code, &error).hint(hint)
    }
}

fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room and run the same command again; what was committed is safe"
        }
        io::ErrorKind::PermissionDenied => {
            "check who owns the folder and run mailstow as that user"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the archive lies on a read-only file system; mount it for writing"
        }
        io::ErrorKind::NotFound => "check the path; its parent folder must exist",
        _ => {
            "check the disk (dmesg may say more) and run the same command again; what was committed is safe"
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Dir(error) => error.into(),
            StoreError::Lock { ref source, .. } => match source {
                LockError::Held => Self::of(exit::LOCKED, &error).hint("wait for it to end, or use --wait"),
                LockError::Io(io) => Self::of(exit::CONFIGURATION, &error).hint(io_hint(io)),
            },
            StoreError::Journal(LogError::Damaged { .. } | LogError::Torn { .. }) => Self::of(exit::DAMAGED, &error)
                .hint("nothing was changed; restore the archive from a copy, or salvage it with: mailstow recover ARCHIVE --to NEW"),
            StoreError::Journal(LogError::Io { ref source, .. } | LogError::Write { ref source, .. }) => Self::of(exit::CONFIGURATION, &error).hint(io_hint(source)),
            StoreError::NewerRecords(_) => Self::of(exit::CONFIGURATION, &error).hint("use the newer mailstow that wrote them; nothing was changed"),
            StoreError::Mail(WriteError { ref source, .. }) | StoreError::Io { ref source, .. } => Self::of(exit::CONFIGURATION, &error).hint(io_hint(source)),
            StoreError::Catalog(ref catalog) if catalog.is_disk_full() => Self::of(exit::CONFIGURATION, &error).hint(io_hint(&io::ErrorKind::StorageFull.into())),
            StoreError::Catalog(_) => Self::of(exit::INTERNAL, &error)
                .hint("the catalog is only an index: delete catalog.sqlite and run the command again, it is made anew"),
        }
    }
}

impl From<BackupError> for CommandError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            BackupError::Connect { server, source } => {
                let inner = Self::from(*source);
                let mut made = Self::new(inner.exit, format!("cannot work with {server}: {}", inner.message));
                made.causes = inner.causes;
                made.hints = inner.hints;
                made
            }
            BackupError::List(error) => error.into(),
            BackupError::Catalog(error) => StoreError::Catalog(error).into(),
            BackupError::NoUidl => Self::of(exit::CONFIGURATION, &error)
                .hint("--pop-without-uidl fetches everything in every run and keeps each message once"),
            BackupError::NoVerdict { .. } => Self::of(exit::CONFIGURATION, &error)
                .hint("where the server can be set to deliver only spam (Zoho can), do that and run with --pop-spam-from-server; otherwise use --pop-spam include"),
            BackupError::IdlePatterns { patterns, mailboxes } => {
                let quoted = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
                Self::usage(format!("no mailbox matches {}", quoted(&patterns))).hint(format!("the mailboxes are {}", quoted(&mailboxes)))
            }
            BackupError::Thread(ref source) => Self::of(exit::INTERNAL, &error).hint(io_hint(source)),
            BackupError::Spool(_) => Self::of(exit::CONFIGURATION, &error)
                .hint("large messages need room in the archive's tmp/: make room and run the same command again; what was committed is safe"),
        }
    }
}

impl From<ServerError> for CommandError {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Imap(error) => error.into(),
            ServerError::Pop3(error) => error.into(),
            ServerError::Smtp(error) => error.into(),
        }
    }
}

impl From<Pop3Error> for CommandError {
    fn from(error: Pop3Error) -> Self {
        let hint = match &error {
            Pop3Error::Net(net) => return net_error(net),
            Pop3Error::SignInRefused { words } => {
                return Self::of(exit::SIGN_IN, &error).hint(pop_sign_in_hint(words));
            }
            Pop3Error::Unsendable => {
                return Self::of(exit::CONFIGURATION, &error).hint(
                    "check where the password comes from; a line end behind it is a usual slip",
                );
            }
            Pop3Error::NoAuthzid => {
                return Self::of(exit::SIGN_IN, &error).hint("sign in as the user whose mail it is; a Dovecot server may also take USER*MASTER as the user name");
            }
            Pop3Error::StartTlsUnavailable | Pop3Error::StartTlsRefused { .. } => {
                "use pop3s:// (port 995) if the server has it; --allow-plaintext would let everybody on the way read along"
            }
            Pop3Error::ResponseInjection => {
                "do not go on over this network; try pop3s:// (port 995)"
            }
            Pop3Error::NotPop3 { .. } => {
                "check host and port; 995 is usual for pop3s://, 110 for pop3://"
            }
            Pop3Error::Capacity { .. } => {
                "another program may hold the maildrop; close it or wait some minutes, then run the same command again"
            }
            Pop3Error::Spool(SpoolError { source, .. }) => {
                return Self::of(exit::CONFIGURATION, &error).hint(io_hint(source));
            }
            Pop3Error::Io { source } if source.kind() == io::ErrorKind::TimedOut => {
                "the server does not answer; pop3s:// wants the TLS port (usually 995), pop3:// the other (110)"
            }
            _ => "run the same command again; what was committed is not fetched twice",
        };
        Self::of(exit::NETWORK, &error).hint(hint)
    }
}

impl From<SmtpError> for CommandError {
    fn from(error: SmtpError) -> Self {
        let hint = match &error {
            SmtpError::Net(net) => return net_error(net),
            SmtpError::SignInRefused { words } => {
                return Self::of(exit::SIGN_IN, &error).hint(smtp_sign_in_hint(words));
            }
            SmtpError::AuthUnavailable { .. } => {
                return Self::of(exit::SIGN_IN, &error).hint("many servers offer sign-in only behind TLS: use smtps:// (port 465), or smtp:// with STARTTLS (port 587)");
            }
            SmtpError::Unsendable => {
                return Self::of(exit::CONFIGURATION, &error)
                    .hint("check where the password comes from");
            }
            SmtpError::Address { .. } => {
                return Self::of(exit::CONFIGURATION, &error).hint(
                    "an address is written name@domain, without brackets or a name in front",
                );
            }
            SmtpError::Body { source } => {
                return Self::of(exit::CONFIGURATION, &error).hint(io_hint(source));
            }
            SmtpError::Doubtful { .. } => {
                "look at the recipient's mailbox; a message in doubt is not sent again by itself"
            }
            SmtpError::StartTlsUnavailable | SmtpError::StartTlsRefused { .. } => {
                "use smtps:// (port 465) if the server has it; --allow-plaintext would let everybody on the way read along"
            }
            SmtpError::ResponseInjection => {
                "do not go on over this network; try smtps:// (port 465)"
            }
            SmtpError::NotSmtp { .. } => {
                "check host and port; 465 is usual for smtps://, 587 for smtp://, 24 for lmtp://"
            }
            SmtpError::Capacity { .. } | SmtpError::Closing { .. } => {
                "the server wants less at once: wait, use a lower --rate, then run the same command again; what was sent is not sent twice"
            }
            SmtpError::EightBit => {
                "the server cannot take this message unchanged; try another server, or replay to IMAP"
            }
            SmtpError::Io { source } if source.kind() == io::ErrorKind::TimedOut => {
                "the server does not answer; smtps:// wants the TLS port (usually 465), smtp:// the other (587)"
            }
            _ => "run the same command again; what was sent is not sent twice",
        };
        Self::of(exit::NETWORK, &error).hint(hint)
    }
}

impl From<ImapError> for CommandError {
    fn from(error: ImapError) -> Self {
        let hint = match &error {
            ImapError::Net(net) => return net_error(net),
            ImapError::SignInRefused { words } => {
                return Self::of(exit::SIGN_IN, &error).hint(sign_in_hint(words));
            }
            ImapError::LoginDisabled => {
                return Self::of(exit::SIGN_IN, &error).hint("use imaps://, or imap:// with --tls-ca or --tls-fingerprint so that STARTTLS is used");
            }
            ImapError::NoAuthzid => {
                return Self::of(exit::SIGN_IN, &error).hint("sign in as the user whose mail it is; a Dovecot server may also take USER*MASTER as the user name");
            }
            ImapError::StartTlsUnavailable
            | ImapError::StartTlsRefused { .. }
            | ImapError::Preauth => {
                "use imaps:// (port 993) if the server has it; --allow-plaintext would let everybody on the way read along"
            }
            ImapError::ResponseInjection => {
                "do not go on over this network; try imaps:// (port 993)"
            }
            ImapError::NotImap { .. } => {
                "check host and port; 993 is usual for imaps://, 143 for imap://"
            }
            ImapError::Capacity { .. } => {
                "close other mail programs or use --connections 1, then run the same command again"
            }
            ImapError::Spool(SpoolError { source, .. }) => {
                return Self::of(exit::CONFIGURATION, &error).hint(io_hint(source));
            }
            ImapError::Io { source } if source.kind() == io::ErrorKind::TimedOut => {
                "the server does not answer; imaps:// wants the TLS port (usually 993), imap:// the other (143)"
            }
            _ => "run the same command again; what was committed is not fetched twice",
        };
        Self::of(exit::NETWORK, &error).hint(hint)
    }
}

fn pop_sign_in_hint(words: &str) -> &'static str {
    let words = words.to_lowercase();
    if words.contains("application-specific") || words.contains("app password") {
        "make an application-specific password in the provider's security settings and use that"
    } else {
        "check user and password; POP has to be switched on at most providers (Zoho: Settings, Mail Accounts, POP Access; not on free plans), and with two-factor sign-in it wants an application-specific password"
    }
}

fn smtp_sign_in_hint(words: &str) -> &'static str {
    let words = words.to_lowercase();
    if words.contains("application-specific") || words.contains("app password") {
        "make an application-specific password in the provider's security settings and use that"
    } else {
        "check user and password; with two-factor sign-in most providers want an application-specific password, and some want SMTP switched on"
    }
}

fn sign_in_hint(words: &str) -> &'static str {
    let words = words.to_lowercase();
    if words.contains("yet to enable imap") {
        "switch IMAP on in Zoho's web mail: Settings, Mail Accounts, IMAP Access; an administrator may have to allow it"
    } else if words.contains("application-specific") || words.contains("app password") {
        "make an application-specific password in the provider's security settings and use that"
    } else {
        "check user and password; with two-factor sign-in most providers want an application-specific password, and IMAP switched on"
    }
}

fn net_error(error: &NetError) -> CommandError {
    let hint = match error {
        NetError::Tls { failure, .. } => match failure {
            TlsFailure::UnknownIssuer | TlsFailure::BadSignature | TlsFailure::CaAsLeaf => {
                "if it is your own server, name its CA with --tls-ca FILE or pin its certificate with --tls-fingerprint HEX"
            }
            TlsFailure::Expired | TlsFailure::NotYetValid => {
                "the server's certificate (or this machine's clock) is out of date; tell the server's operator"
            }
            TlsFailure::WrongHost { .. } => {
                "use the name that stands in the certificate, or pin it with --tls-fingerprint HEX if you know it is right"
            }
            TlsFailure::Fingerprint { .. } => {
                "if the certificate was renewed, check the new fingerprint with the server's operator and pin that"
            }
            TlsFailure::NotTls => {
                "this port does not speak TLS: use imap://, pop3:// or smtp:// for STARTTLS, or the TLS port (usually 993 for IMAP, 995 for POP3, 465 for SMTP)"
            }
            _ => {
                "check host and port; imaps://, pop3s:// and smtps:// want the TLS port, usually 993, 995 and 465"
            }
        },
        NetError::Resolve { .. } => "check the host's spelling and this machine's name service",
        NetError::Connect { .. } => "check host and port, and whether a firewall stands between",
        _ => "check the connection options",
    };
    let code = if matches!(
        error,
        NetError::CaFile { .. } | NetError::CaFileEmpty { .. }
    ) {
        exit::CONFIGURATION
    } else {
        exit::NETWORK
    };
    CommandError::of(code, error).hint(hint)
}
