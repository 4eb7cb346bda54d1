//! A maildrop of a Dovecot: filling it, and comparing an archive with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mailstow::store::Reader;

use super::archive_state::{archive_state, assert_sound, files};
use super::dovecot::Dovecot;
use super::mailstow::Mailstow;
use super::raw_imap::Mail;
use super::raw_pop3::RawPop3;

/// Messages into the INBOX of a user, which is the maildrop.
pub fn deliver<B: AsRef<[u8]>>(dovecot: &Dovecot, user: &str, bodies: &[B]) {
    let mails: Vec<Mail<'_>> = bodies
        .iter()
        .map(|bytes| Mail {
            bytes: bytes.as_ref(),
            flags: &[],
            received: None,
        })
        .collect();
    dovecot.deliver_all(user, "INBOX", &mails);
}

/// What a raw client gets over POP3, by UIDL.
pub fn drain(dovecot: &Dovecot, user: &str) -> BTreeMap<String, Vec<u8>> {
    let mut pop3 = RawPop3::login(dovecot.pop3_port(), user, dovecot.password(user));
    let drained = pop3.drain();
    pop3.quit();
    drained
}

/// UIDLs in the order of the maildrop.
pub fn uidls(dovecot: &Dovecot, user: &str) -> Vec<String> {
    let mut pop3 = RawPop3::login(dovecot.pop3_port(), user, dovecot.password(user));
    let uidls = pop3.uidls().into_values().collect();
    pop3.quit();
    uidls
}

/// What is in the INBOX of a user, without a flag changed.
pub fn on_server(dovecot: &Dovecot, user: &str) -> Vec<Vec<u8>> {
    let mut imap = dovecot.connect(user);
    let messages = imap.fetch_mailbox("INBOX");
    messages.into_iter().map(|m| m.body).collect()
}

/// Removes messages from the INBOX as another mail program would: those for which `which` holds.
pub fn expunge(dovecot: &Dovecot, user: &str, which: impl Fn(&[u8]) -> bool) {
    let mut imap = dovecot.connect(user);
    let uids: Vec<String> = imap
        .fetch_mailbox("INBOX")
        .into_iter()
        .filter(|m| which(&m.body))
        .map(|m| m.uid.to_string())
        .collect();
    assert!(!uids.is_empty(), "no message to remove");
    imap.select("INBOX");
    imap.expunge(&uids.join(","));
}

/// What the archive shows as held over POP3 under an account: the mailbox it is filed in and its
/// bytes, by UIDL.
pub fn held(archive: &Path, account: &str) -> BTreeMap<String, (String, Vec<u8>)> {
    let reader = Reader::open(archive, None).unwrap();
    let catalog = reader.catalog();
    let accounts = catalog.accounts().unwrap();
    let found = accounts.iter().find(|a| a.name == account);
    let id = found
        .unwrap_or_else(|| panic!("no account {account} among {accounts:?}"))
        .id;
    let mut mail = reader.mail();
    let mut held = BTreeMap::new();
    for mailbox in catalog.mailboxes(Some(id)).unwrap() {
        for row in catalog.placements(mailbox.id, false).unwrap() {
            let bytes = mail.read_to_vec(&row.content).unwrap();
            let uidl = row.remote.to_string();
            let before = held.insert(uidl.clone(), (mailbox.name.clone(), bytes));
            assert!(before.is_none(), "{uidl} is placed twice");
        }
    }
    held
}

/// Demands that what the archive holds under an account is what a raw client gets from the
/// server: the same UIDLs with the same bytes. Gives the number of messages.
#[track_caller]
pub fn assert_drained(dovecot: &Dovecot, user: &str, archive: &Path, account: &str) -> usize {
    let (server, held) = (drain(dovecot, user), held(archive, account));
    let keys = |n: Vec<&String>| n.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(held.keys().collect()),
        keys(server.keys().collect()),
        "other UIDLs"
    );
    for (uidl, bytes) in &server {
        assert!(held[uidl].1 == *bytes, "{uidl}: other bytes");
    }
    server.len()
}

/// Demands that the archive holds this mail over POP3 and no other, shows it, exports it, and is sound.
#[track_caller]
pub fn assert_kept(
    mailstow: &Mailstow,
    archive: &Path,
    account: &str,
    mail: &BTreeMap<String, Vec<u8>>,
) {
    let kept: BTreeMap<String, Vec<u8>> = held(archive, account)
        .into_iter()
        .map(|(uidl, (_, bytes))| (uidl, bytes))
        .collect();
    assert!(kept == *mail, "the archive holds other mail");
    assert_sound(archive);
    let to = archive.to_str().unwrap();
    let verified = mailstow.run(&["verify", to]);
    verified.expect(0);
    let mut shown = 0;
    for mailbox in archive_state(archive).mailboxes {
        let listed = mailstow.run(&["ls", to, &mailbox.name]);
        shown += listed.expect(0).stdout.lines().count();
    }
    assert_eq!(shown, mail.len());
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("eml");
    let args = [
        "export",
        to,
        "--format",
        "eml",
        "--to",
        folder.to_str().unwrap(),
    ];
    mailstow.run(&args).expect(0);
    let is_mail = |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|e| e == "eml");
    let mut exported: Vec<Vec<u8>> = files(&folder)
        .into_iter()
        .filter(is_mail)
        .map(|(_, bytes)| bytes)
        .collect();
    let mut want: Vec<Vec<u8>> = mail.values().cloned().collect();
    exported.sort();
    want.sort();
    assert!(exported == want, "other mail was exported");
}

/// Waits for something that will happen, such as a line in the log of a server.
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
