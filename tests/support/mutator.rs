//! Somebody who works in the mailboxes of a Dovecot, by chance and by a seed.

use std::path::PathBuf;

use super::dice::Dice;
use super::dovecot::{ALICE, Dovecot};
use super::raw_imap::{Mail, RawImap};

const NAMES: [&str; 9] = [
    "Work",
    "Work/2024",
    "Lists",
    "Lists/rust",
    "Archive",
    "Junk",
    "B c",
    "d.e",
    "Привет",
];
const FLAGS: [&[&str]; 7] = [
    &[],
    &["\\Seen"],
    &["\\Seen", "\\Answered"],
    &["\\Flagged", "$Forwarded"],
    &["\\Deleted"],
    &["$label1", "Later"],
    &["\\Draft", "\\Seen", "$Junk"],
];
/// Few, so that many messages have one date.
const DATES: [&str; 3] = [
    "07-Feb-2024 21:52:25 +0000",
    "07-Feb-2024 21:52:26 +0000",
    "29-Feb-2020 00:00:00 +0000",
];

pub struct Mutator<'a> {
    dovecot: &'a Dovecot,
    imap: RawImap,
    pub dice: Dice,
    /// Bodies so far; the next one has this number.
    bodies: u32,
    /// What was done, for whoever has to find out why.
    pub done: Vec<String>,
}

/// Of one size for each number of digits; every fourth has another message's name.
fn body(n: u32) -> Vec<u8> {
    format!(
        "From: Ada <ada@example.org>\r\nSubject: letter\r\nMessage-ID: <{:05}@x>\r\n\r\n{n:05}\r\n",
        if n % 4 == 3 { n - 1 } else { n }
    )
    .into_bytes()
}

impl<'a> Mutator<'a> {
    pub fn new(dovecot: &'a Dovecot, dice: Dice) -> Self {
        let imap = dovecot.connect(ALICE);
        let mut mutator = Self {
            dovecot,
            imap,
            dice,
            bodies: 0,
            done: Vec::new(),
        };
        for (name, count) in [
            ("INBOX", 40),
            ("Work", 25),
            ("Work/2024", 10),
            ("Lists", 30),
        ] {
            mutator.imap.create(name);
            mutator.deliver(name, count).unwrap();
        }
        mutator
    }

    fn deliver(&mut self, mailbox: &str, count: usize) -> Result<(), String> {
        let dice = &mut self.dice;
        let bodies: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                // Now and then a second copy of something.
                if self.bodies > 0 && dice.once_in(6) {
                    return body(u32::try_from(dice.below(self.bodies as usize)).unwrap());
                }
                self.bodies += 1;
                body(self.bodies - 1)
            })
            .collect();
        let mails: Vec<Mail<'_>> = bodies
            .iter()
            .map(|bytes| Mail {
                bytes,
                flags: dice.one_of::<&[&str]>(&FLAGS),
                received: Some(dice.one_of::<&str>(&DATES)),
            })
            .collect();
        self.imap.try_append_all(mailbox, &mails)
    }

    /// The names of all mailboxes, and one of them.
    fn any(&mut self) -> (Vec<String>, String) {
        let names = self.imap.mailboxes();
        let one = self.dice.one_of(&names).clone();
        (names, one)
    }

    /// Some UIDs of a mailbox, which is open afterwards.
    fn open(&mut self, mailbox: &str, most: usize) -> Result<String, String> {
        let uids = self.imap.uids(mailbox)?;
        let some = self.dice.some(&uids, most);
        let some: Vec<String> = some.iter().map(u32::to_string).collect();
        if some.is_empty() {
            return Err("it is empty".to_owned());
        }
        Ok(some.join(","))
    }

    /// Does something. Dovecot may refuse, or stumble over an index that was taken away.
    pub fn round(&mut self) {
        // It disconnects who has a mailbox open that was reset meanwhile.
        self.imap = self.dovecot.connect(ALICE);
        let (names, mailbox) = self.any();
        let other = self.dice.one_of(&names).clone();
        let new = (*self.dice.one_of(&NAMES)).to_owned();
        let is_new = !names.contains(&new);
        let (what, done) = match self.dice.below(24) {
            0..=5 => {
                let count = 1 + self.dice.below(4);
                (format!("deliver {count} to"), self.deliver(&mailbox, count))
            }
            6..=10 => ("flags in".to_owned(), self.flags(&mailbox)),
            11..=13 => ("expunge in".to_owned(), self.expunge(&mailbox)),
            14 | 15 => (
                format!("move to {other} from"),
                self.transfer("MOVE", &mailbox, &other),
            ),
            16 | 17 => (
                format!("copy to {other} from"),
                self.transfer("COPY", &mailbox, &other),
            ),
            18 if is_new => {
                self.imap.create(&new);
                (format!("create {new}, nothing in"), self.deliver(&new, 2))
            }
            19 if is_new && mailbox != "INBOX" => {
                (format!("rename to {new}"), self.imap.rename(&mailbox, &new))
            }
            20 if mailbox != "INBOX" && names.len() > 5 => {
                ("delete".to_owned(), self.imap.delete(&mailbox))
            }
            21 => ("reset".to_owned(), self.reset(&mailbox)),
            22 => {
                let value = format!("{}", 1_900_000_000 + self.done.len());
                let args = ["mailbox", "update", "-u", ALICE, "--uid-validity", &value];
                self.dovecot.doveadm(&[&args[..], &[&mailbox]].concat());
                (format!("UIDVALIDITY {value} for"), Ok(()))
            }
            _ => ("nothing in".to_owned(), Ok(())),
        };
        self.done.push(format!("{what} {mailbox}: {done:?}"));
    }

    fn expunge(&mut self, mailbox: &str) -> Result<(), String> {
        let uids = self.open(mailbox, 3)?;
        let mark = format!("UID STORE {uids} +FLAGS.SILENT (\\Deleted)");
        self.imap.try_command(&mark)?;
        let expunge = format!("UID EXPUNGE {uids}");
        self.imap.try_command(&expunge).map(drop)
    }

    fn flags(&mut self, mailbox: &str) -> Result<(), String> {
        let uids = self.open(mailbox, 5)?;
        let item = *self.dice.one_of(&["FLAGS", "+FLAGS", "-FLAGS"]);
        let flags = *self.dice.one_of::<&[&str]>(&FLAGS);
        let store = format!("UID STORE {uids} {item} ({})", flags.join(" "));
        self.imap.try_command(&store).map(drop)
    }

    fn transfer(&mut self, how: &str, from: &str, to: &str) -> Result<(), String> {
        let uids = self.open(from, 3)?;
        self.imap.transfer(how, &uids, to)
    }

    /// Takes what Dovecot knows of a mailbox away: it numbers its messages anew, under another
    /// UIDVALIDITY.
    fn reset(&mut self, mailbox: &str) -> Result<(), String> {
        let mut folder = self.dovecot.path().join("mail").join(ALICE);
        if mailbox != "INBOX" {
            folder.push(super::mutf7::encode(mailbox));
        }
        let is_index = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name == "dovecot-uidlist" || name.starts_with("dovecot.index")
        };
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let paths = entries.map(|entry| entry.unwrap().path());
        for path in paths.filter(is_index) {
            // Somebody else may have been faster.
            drop(std::fs::remove_file(path));
        }
        Ok(())
    }
}
