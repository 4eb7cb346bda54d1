//! What people do to their mailboxes from one night to the next.

use super::World;
use crate::support::dice::Dice;

const FLAGS: [&str; 6] = [
    "",
    "\\Seen",
    "\\Seen \\Answered",
    "\\Flagged $Forwarded",
    "\\Deleted \\Seen",
    "Работа $label1",
];

/// A change: at most two messages leave a mailbox, so that five of them are no loss to be told.
pub fn change(world: &mut World, dice: &mut Dice) {
    let wires: Vec<String> = world
        .mailboxes
        .iter()
        .map(|m| String::from_utf8_lossy(&m.wire).into_owned())
        .collect();
    let (from, to) = (dice.one_of(&wires).clone(), dice.one_of(&wires).clone());
    let uids: Vec<u32> = world
        .mailbox_mut(&from)
        .messages
        .iter()
        .map(|m| m.uid)
        .collect();
    match dice.below(8) {
        0 | 1 => {
            for _ in 0..=dice.below(4) {
                world.mailbox_mut(&from).add(&[]);
            }
        }
        2 | 3 => {
            for uid in dice.some(&uids, 5) {
                world.mailbox_mut(&from).message(uid).flags = (*dice.one_of(&FLAGS)).to_owned();
            }
        }
        4 => {
            let gone = dice.some(&uids, 2);
            world.mailbox_mut(&from).expunge(&gone);
        }
        5 if from != to => {
            for uid in dice.some(&uids, 2) {
                copy(world, &from, uid, &to);
                world.mailbox_mut(&from).expunge(&[uid]);
            }
        }
        6 => {
            for uid in dice.some(&uids, 2) {
                copy(world, &from, uid, &to);
            }
        }
        _ => {
            // A message came and left unseen.
            let mailbox = world.mailbox_mut(&to);
            mailbox.uidnext = mailbox.uidnext.map(|next| next + 3);
        }
    }
}

/// A copy with flags and date, as IMAP's COPY makes it.
pub fn copy(world: &mut World, from: &str, uid: u32, to: &str) {
    let original = world.mailbox_mut(from).message(uid).clone();
    let copy = world.mailbox_mut(to).add(&original.body);
    (copy.flags, copy.date) = (original.flags, original.date);
}
