//! An archive full of the mail that tools get wrong, made in-process.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a test's own making"
)]

use std::collections::BTreeSet;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use mailstow::archive::mboxrd::LineEndScan;
use mailstow::archive::{Body, NewContent};
use mailstow::clock::Clock;
use mailstow::model::{AccountId, ContentId, Flags, InternalDate, Mailbox, MailboxId, RemoteId};
use mailstow::store::{Arrived, OpenOptions, Reader, Writer};

/// Mailboxes: decoded name, wire name.
pub const MAILBOXES: [(&str, &str); 7] = [
    ("INBOX", "INBOX"),
    ("Проекты/2024", "&BB8EQAQ+BDUEOgRCBEs-/2024"),
    ("v1.0/100%", "v1.0/100%"),
    ("CON", "CON"),
    ("Foo", "Foo"),
    ("foo", "foo"),
    ("a\tb & c", "a\tb &- c"),
];

/// One message as it was put in.
#[derive(Clone, Debug)]
pub struct Mail {
    pub mailbox: usize,
    pub uid: u32,
    pub bytes: Vec<u8>,
    pub flags: Vec<&'static str>,
    pub date: Option<InternalDate>,
}

impl Mail {
    pub fn id(&self) -> ContentId {
        ContentId::of(&self.bytes)
    }
}

/// A placement as the archive tells it: account, mailbox, UID, flags, date, content.
pub type Placed = (String, String, String, Vec<String>, String, ContentId);

/// An archive and what was put into it.
pub struct Fixture {
    pub root: PathBuf,
    pub mails: Vec<Mail>,
    pub dir: tempfile::TempDir,
}

/// Messages each of which has broken somebody's mail program.
pub fn hostile() -> Vec<Vec<u8>> {
    let zstd_magic = [0x28, 0xb5, 0x2f, 0xfd];
    let mut list: Vec<Vec<u8>> = [
        &b""[..],
        b"\n",
        b"\r\n",
        b"From me\r\n\r\nno header at all\r\n",
        b"\r\nbegins with an empty line\r\n",
        b"Subject: header only\r\n",
        b"Subject: no line end",
        b"Subject: From\r\n\r\nFrom the start\r\n>From quoted\r\n>>From twice\r\nFromage\r\nFrom",
        b"Subject: lf\n\nFrom lf\n>From lf\n\nend\n",
        b"Subject: mixed\r\n\nFrom a\r\nb\nc\rd\r\r\n",
        b"Subject: nul \0 here\r\n\r\n\0\0\0\r\n",
        b"Subject: eight \xe4\xf6\xfc bit\r\n\r\n\xff\xfe\r\n",
        b"SQLite format 3\0\x10\0\x01\x01\0 as a body\r\n",
        b"A1 DELETE INBOX\r\nA2 LOGOUT\r\n",
        b"Content-Length: 5\r\nStatus: RO\r\n\r\nlonger than it says\r\n",
        b"Subject: dots\r\n\r\n.\r\n..\r\n",
        b"Subject: ends in blank lines\r\n\r\n\r\n\r\n\r\n",
        b">From at the very start\n",
        b"\r",
        b"x",
    ]
    .iter()
    .map(|m| m.to_vec())
    .collect();
    let mut long = b"Subject: one long line\r\n\r\n".to_vec();
    long.extend(std::iter::repeat_n(b'x', 70_000));
    list.push(long);
    let inner = zstd::bulk::compress(
        b"From inner@example.org Thu Jan  1 00:00:00 1970\n\nbody\n\n",
        3,
    )
    .unwrap();
    list.push(
        [
            b"Subject: a zstd frame\r\n\r\n",
            &inner[..],
            &zstd_magic[..],
        ]
        .concat(),
    );
    list.push(pair_in_a_message());
    for n in 0..30 {
        let noise: String = (0..n * 37)
            .map(|i| char::from(b'a' + ((i * i + n) % 26) as u8))
            .collect();
        let text = format!(
            "From: <a{n}@example.org>\r\nTo: b@example.org\r\nSubject: number {n}\r\nDate: Mon, 1 Jan 2024 00:00:{n:02} +0000\r\n\
             Message-ID: <{n}@example.org>\r\n\r\n{noise}\r\nFrom the {n}th\r\n"
        );
        list.push(text.into_bytes());
    }
    list
}

/// A message that holds a whole pair of ours, as it would stand in a segment (A10).
pub fn pair_in_a_message() -> Vec<u8> {
    let fake = b"Subject: never sent\r\n\r\nforged\r\n";
    let text = [
        &b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"[..],
        b"Subject: never sent\n\nforged\n\n",
    ]
    .concat();
    let data = zstd::bulk::compress(&text, 3).unwrap();
    let contents = format!(
        "{{\"k\":\"contents\",\"account\":\"me@example.org\",\"mailbox\":\"INBOX\",\"wire\":\"INBOX\",\"sep\":\"/\",\"data\":{},\"text\":{}}}\n\
         {{\"c\":\"{}\",\"len\":{},\"eol\":\"crlf\",\"pos\":0,\"size\":{},\"v\":7,\"u\":999}}\n",
        data.len(),
        text.len(),
        ContentId::of(fake),
        fake.len(),
        text.len()
    );
    let contents = zstd::bulk::compress(contents.as_bytes(), 3).unwrap();
    let mut pair = 0x184D_2A5Cu32.to_le_bytes().to_vec();
    pair.extend((contents.len() as u32).to_le_bytes());
    pair.extend(contents);
    pair.extend(data);
    [
        b"Subject: a pair\r\n\r\n",
        &pair[..],
        b"\r\n",
        &pair[..],
        b"\r\n",
    ]
    .concat()
}

/// The forged message inside [`pair_in_a_message`].
pub fn forged() -> ContentId {
    ContentId::of(b"Subject: never sent\r\n\r\nforged\r\n")
}

/// Everything a fixture holds: hostile messages over all mailboxes, some in two of them, one
/// twice in one.
pub fn mails() -> Vec<Mail> {
    let mut uids = [0u32; MAILBOXES.len()];
    let mut list: Vec<Mail> = Vec::new();
    let mut add = |mailbox: usize, bytes: Vec<u8>, flags: Vec<&'static str>, date| {
        uids[mailbox] += 3;
        list.push(Mail {
            mailbox,
            uid: uids[mailbox],
            bytes,
            flags,
            date,
        });
    };
    let flags = [
        &["\\Seen"][..],
        &[],
        &["\\Answered", "\\Seen", "$Forwarded"],
        &["\\Flagged", "work", "\\Draft"],
        &["\\Deleted"],
    ];
    for (n, bytes) in hostile().into_iter().enumerate() {
        let date = match n % 11 {
            0 => None,
            1 => Some(InternalDate {
                unix: -86_400 * 400,
                offset_minutes: -330,
            }),
            _ => Some(InternalDate {
                unix: 1_700_000_000 + n as i64 / 3 * 61,
                offset_minutes: 120,
            }),
        };
        add(
            n % MAILBOXES.len(),
            bytes.clone(),
            flags[n % flags.len()].to_vec(),
            date,
        );
        if n % 4 == 0 {
            add(
                (n + 1) % MAILBOXES.len(),
                bytes.clone(),
                flags[(n + 1) % flags.len()].to_vec(),
                Some(InternalDate::utc(1_600_000_000)),
            );
        }
        if n == 40 {
            add(
                0,
                bytes.clone(),
                vec![],
                Some(InternalDate::utc(1_500_000_000)),
            );
            add(
                0,
                bytes,
                vec!["\\Seen", "again"],
                Some(InternalDate::utc(1_500_000_001)),
            );
        }
    }
    list
}

/// The mailboxes of a writer, made if they are missing.
pub fn mailboxes(writer: &mut Writer) -> Vec<Mailbox> {
    let account = writer
        .account("me@example.org", "me@imap.example.org")
        .unwrap();
    let mut known = writer.catalog().mailboxes(None).unwrap();
    MAILBOXES
        .iter()
        .map(|(name, wire)| {
            let seen = Mailbox {
                id: MailboxId(0),
                account: AccountId(0),
                name: (*name).to_owned(),
                wire: (*wire).to_owned(),
                separator: Some('/'),
                folder: String::new(),
                uidvalidity: Some(7),
                special_use: (*name == "foo").then(|| "\\Junk".to_owned()),
                subscribed: *name == "Foo",
            };
            writer.mailbox(&account, seen, &mut known)
        })
        .collect()
}

pub fn arrived(mailbox: &Mailbox, mail: &Mail) -> Arrived {
    let content = NewContent {
        id: mail.id(),
        len: mail.bytes.len() as u64,
        eol: LineEndScan::of(&mail.bytes),
        head: mailstow::header::digest(&mail.bytes),
        date: mail.date,
        remote: RemoteId::Imap {
            uidvalidity: 7,
            uid: mail.uid,
        },
        flags: Flags::from_wire(mail.flags.iter()),
    };
    let body = if mail.bytes.len() > 1 << 20 {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&mail.bytes).unwrap();
        file.rewind().unwrap();
        Body::Spooled(file)
    } else {
        Body::Memory(mail.bytes.clone())
    };
    Arrived {
        mailbox: mailbox.id,
        content,
        reported: mail.bytes.len() as u32 + 1,
        body,
        pop: None,
    }
}

pub fn options() -> OpenOptions {
    OpenOptions {
        create: true,
        clock: Clock::Fixed(1_795_364_751),
        threads: 1,
        ..OpenOptions::default()
    }
}

/// Puts mail into an archive, `per_commit` messages to a commit, and ends in good order.
pub fn fill(root: &Path, mails: &[Mail], per_commit: usize) {
    let mut writer = options().open(root).unwrap();
    let boxes = mailboxes(&mut writer);
    for part in mails.chunks(per_commit) {
        for mail in part {
            writer.arrive(arrived(&boxes[mail.mailbox], mail)).unwrap();
        }
        writer.commit().unwrap();
    }
    writer.finish().unwrap();
}

/// The usual archive: every hostile message, seven to a commit.
pub fn build() -> Fixture {
    build_of(mails(), 7)
}

pub fn build_of(mails: Vec<Mail>, per_commit: usize) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    fill(&root, &mails, per_commit);
    Fixture { root, mails, dir }
}

impl Fixture {
    /// A copy of the archive as it is, elsewhere in the same temporary folder.
    pub fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        copy_tree(&self.root, &to);
        to
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.root, None).unwrap()
    }

    /// What was put in, as [`placed`] tells it.
    pub fn expected(&self) -> BTreeSet<Placed> {
        self.mails
            .iter()
            .map(|m| {
                let flags = Flags::from_wire(m.flags.iter())
                    .iter()
                    .map(str::to_owned)
                    .collect();
                let date = m.date.map_or(String::new(), |d| d.to_string());
                (
                    "me@example.org".to_owned(),
                    MAILBOXES[m.mailbox].0.to_owned(),
                    format!("7:{}", m.uid),
                    flags,
                    date,
                    m.id(),
                )
            })
            .collect()
    }

    /// The one segment of a mailbox.
    pub fn segment(&self, mailbox: usize) -> PathBuf {
        let reader = self.reader();
        let name = MAILBOXES[mailbox].0;
        let found = reader
            .catalog()
            .mailboxes(None)
            .unwrap()
            .into_iter()
            .find(|m| m.name == name)
            .unwrap();
        self.root.join(format!(
            "mail/me@example.org/{}/000001.mbox.zst",
            found.folder
        ))
    }
}

/// Every present placement an archive tells of.
pub fn placed(root: &Path) -> BTreeSet<Placed> {
    let reader = Reader::open(root, None).unwrap();
    let catalog = reader.catalog();
    let mut all = BTreeSet::new();
    for account in catalog.accounts().unwrap() {
        for mailbox in catalog.mailboxes(Some(account.id)).unwrap() {
            for row in catalog.placements(mailbox.id, false).unwrap() {
                let flags = row.flags.iter().map(str::to_owned).collect();
                let date = row.date.map_or(String::new(), |d| d.to_string());
                all.insert((
                    account.name.clone(),
                    mailbox.name.clone(),
                    row.remote.to_string(),
                    flags,
                    date,
                    row.content.id,
                ));
            }
        }
    }
    all
}

pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder with its bytes.
pub fn snapshot(root: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut files = std::collections::BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(
                    entry.path().strip_prefix(root).unwrap().to_owned(),
                    std::fs::read(entry.path()).unwrap(),
                );
            }
        }
    }
    files
}

/// Flips one bit of a file.
pub fn flip(path: &Path, byte: usize, bit: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[byte] ^= 1 << bit;
    std::fs::write(path, bytes).unwrap();
}
