//! Mail that is made up as it is asked for, so that a million messages need no memory. Each is
//! another one, by its mailbox and UID, and RFC822.SIZE is true without writing it.

use super::world::FakeMailbox;

const FLAGS: [&str; 4] = ["\\Seen", "", "\\Seen \\Answered", "$Junk"];

fn padding(uid: u32) -> usize {
    40 + uid as usize % 97
}

fn head(name: &str, uid: u32) -> String {
    format!(
        "Message-ID: <{uid:010}@bulk.example>\r\nDate: Wed, 07 Feb 2024 20:52:{:02} +0000\r\n\
         From: {name}@bulk.example\r\nSubject: number {uid:010}\r\n\r\n",
        uid % 60
    )
}

/// How a made-up message is listed.
pub(super) struct Bulk {
    pub(super) flags: String,
    pub(super) date: String,
    pub(super) size: usize,
}

impl FakeMailbox {
    fn bulk_name(&self) -> String {
        String::from_utf8_lossy(&self.wire).into_owned()
    }

    pub(super) fn bulk_body(&self, uid: u32) -> Vec<u8> {
        let line = "x".repeat(padding(uid));
        format!("{}{line}\r\n", head(&self.bulk_name(), uid)).into_bytes()
    }

    pub(super) fn bulk_listing(&self, uid: u32, head_length: usize) -> Bulk {
        let own = self.reflagged.get(&uid);
        Bulk {
            flags: own.map_or(FLAGS[uid as usize % 4], String::as_str).into(),
            date: format!("{:02}-Feb-2024 21:52:{:02} +0100", uid % 28 + 1, uid % 60),
            size: head_length + padding(uid) + 2,
        }
    }

    /// The same for every UID: numbers have leading zeroes.
    pub(super) fn bulk_head_length(&self) -> usize {
        head(&self.bulk_name(), 1).len()
    }
}
