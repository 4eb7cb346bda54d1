//! What was where, and when: the catalog's history against what the test itself wrote down.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeMap;

use mailstow::archive::format::Record;
use mailstow::model::{ContentId, Flags, MailboxId, Renamed};

use support::nights::{
    DAY, FIRST, Night, Nights, State, imap, message, pop, rebuilt, state_at, state_now, words,
};

const FLAGS: [&[&str]; 4] = [
    &[],
    &["\\Seen"],
    &["\\Flagged", "\\Seen"],
    &["$Forwarded", "\\Answered"],
];

/// xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(sides)) as u32
    }
}

/// What a server would show: INBOX over IMAP with its epochs, and a maildrop over POP3.
#[derive(Default)]
struct Model {
    uidvalidity: u32,
    /// By epoch and UID: content and flags.
    inbox: BTreeMap<(u32, u32), (u32, usize)>,
    left: Vec<(u32, u32, u32)>,
    drop: BTreeMap<String, u32>,
    next: u32,
}

impl Model {
    fn state(&self) -> State {
        let mut state = State::new();
        for ((uidvalidity, uid), (n, flags)) in &self.inbox {
            if *uidvalidity == self.uidvalidity {
                let flags = words(&Flags::from_wire(FLAGS[*flags]));
                let id = ContentId::of(&message(*n));
                state.insert((
                    "INBOX".into(),
                    imap(*uidvalidity, *uid).to_string(),
                    flags,
                    id,
                ));
            }
        }
        for (uidl, n) in &self.drop {
            let id = ContentId::of(&message(*n));
            state.insert(("Drop".into(), uidl.clone(), Vec::new(), id));
        }
        state
    }

    /// One message of the present epoch.
    fn any(&self, dice: &mut Dice) -> Option<u32> {
        let uids: Vec<u32> = self
            .inbox
            .keys()
            .filter(|(v, _)| *v == self.uidvalidity)
            .map(|(_, uid)| *uid)
            .collect();
        (!uids.is_empty()).then(|| uids[dice.roll(uids.len() as u32) as usize])
    }

    /// Something happens, on the server and in the archive.
    fn happen(&mut self, dice: &mut Dice, night: &mut Night, inbox: MailboxId, drop: MailboxId) {
        self.next += 1;
        let (v, n) = (self.uidvalidity, self.next);
        let flags = dice.roll(4) as usize;
        match dice.roll(12) {
            0..=2 => {
                // Sometimes a content that is elsewhere already.
                let content = if dice.roll(3) == 0 { 1 + n / 2 } else { n };
                let content = content * 2;
                self.inbox.insert((v, n), (content, flags));
                night.place(inbox, imap(v, n), content, FLAGS[flags]);
            }
            3..=5 => {
                if let Some(uid) = self.any(dice) {
                    self.inbox.get_mut(&(v, uid)).unwrap().1 = flags;
                    night.flags(inbox, v, uid, FLAGS[flags]);
                }
            }
            6 => {
                if let Some(uid) = self.any(dice) {
                    let (content, _) = self.inbox.remove(&(v, uid)).unwrap();
                    self.left.push((v, uid, content));
                    night.gone(inbox, v, uid);
                }
            }
            7 => {
                // Back again, as itself or as another message.
                let (same, at) = (dice.roll(2) == 0, self.left.iter().position(|l| l.0 == v));
                if let Some(at) = at {
                    let (_, uid, content) = self.left.remove(at);
                    let content = if same { content } else { n * 2 };
                    self.inbox.insert((v, uid), (content, flags));
                    night.place(inbox, imap(v, uid), content, FLAGS[flags]);
                }
            }
            8 => {
                if let Some(uid) = self.any(dice) {
                    self.inbox.insert((v, uid), (n * 2, flags));
                    night.place(inbox, imap(v, uid), n * 2, FLAGS[flags]);
                }
            }
            9 => {
                // Another epoch, or one that was there before.
                self.uidvalidity = 7 + dice.roll(3);
                night.mailbox("INBOX", Some(self.uidvalidity));
                night.commit();
            }
            10 => {
                self.drop.insert(format!("u{n}"), n * 2 + 1);
                night.place(drop, pop(&format!("u{n}")), n * 2 + 1, &[]);
            }
            _ => {
                if let Some((from, content)) = self.drop.pop_first() {
                    let to = format!("u{n}");
                    self.drop.insert(to.clone(), content);
                    night.writer.record(Record::Renamed(Renamed {
                        mailbox: drop,
                        from,
                        to,
                        healed: false,
                    }));
                }
            }
        }
    }
}

/// Whatever happens, every run's end can be seen again, from the catalog of the writer, from one
/// that was rolled forward and from one that was rebuilt.
#[test]
fn every_run_can_be_seen_again_as_it_was() {
    for seed in 1..=8 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut nights = Nights::new();
        let mut model = Model {
            uidvalidity: 7,
            ..Model::default()
        };
        let mut ends = Vec::new();
        let mut complete = None;
        for _ in 0..12 {
            let mut night = nights.begin();
            let inbox = night.mailbox("INBOX", Some(model.uidvalidity));
            let drop = night.mailbox("Drop", None);
            for _ in 0..dice.roll(20) {
                model.happen(&mut dice, &mut night, inbox, drop);
                if dice.roll(4) == 0 {
                    night.commit();
                }
            }
            let exit = [0, 0, 3, 130, 6][dice.roll(5) as usize];
            let (_, at) = night.end(exit);
            if exit == 0 || exit == 3 {
                complete = Some(model.state());
            }
            ends.push((at, complete.clone()));
        }
        let live = nights.reader();
        assert!(!live.catalog().is_private());
        let again = rebuilt(&nights.root());
        assert_eq!(
            live.catalog().digests().unwrap(),
            again.catalog().digests().unwrap()
        );
        for reader in [&live, &again] {
            for (at, state) in &ends {
                assert_eq!(state_at(reader, *at), *state, "seed {seed}, as of {at}");
                let later = at + DAY - 1;
                assert_eq!(
                    state_at(reader, later),
                    *state,
                    "seed {seed}, as of {later}"
                );
            }
            assert_eq!(state_at(reader, FIRST - 1), None);
            assert_eq!(state_now(reader), model.state(), "seed {seed}");
        }
    }
}
