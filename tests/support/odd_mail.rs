//! A source full of mail that other programs lose, double or run as commands, and what has to be
//! on a target once it was replayed.

use super::fake_imap::{FakeMailbox, Message, World};
use super::fake_target::{Contents, FakeTarget};

/// Same Message-ID, Date, From and Subject as [`TWIN`], other text.
pub const ONE: &[u8] = b"Message-ID: <1@x>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\
    From: a@x\r\nSubject: twins\r\n\r\nthe first\r\n";
pub const TWIN: &[u8] = b"Message-ID: <1@x>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\
    From: a@x\r\nSubject: twins\r\n\r\nthe second\r\n";
/// Is in a mailbox more than once.
pub const COPIED: &[u8] = b"Message-ID: <copied@x>\r\nReceived: by a.example\r\n\
    Date: Tue, 2 Jan 2024 10:00:00 +0000\r\nFrom: b@x\r\nSubject: copied\r\n\r\ncopied\r\n";
pub const NO_ID: &[u8] = b"From: c@x\r\nSubject: no id\r\n\r\nno id, no date\r\n";
/// Commands from the first line on.
pub const ORDERS: &[u8] =
    b"x DELETE INBOX\r\nm7 NOOP\r\nx1 DELETE Sent\r\nx2 CREATE Owned\r\nx3 LOGOUT\r\n";
/// Commands in its text.
pub const LETTER_OF_ORDERS: &[u8] = b"Subject: orders\r\n\r\n)\r\n\"\r\nx DELETE Sent\r\n\
    m7 NOOP\r\nx1 UID STORE 1:* FLAGS (\\Deleted)\r\nx2 EXPUNGE\r\n{3+}\r\nabc\r\nx3 CREATE Owned\r\n";
const EMPTY_FIRST: &[u8] = b"\r\n\r\nempty lines first\r\n";
const NO_END: &[u8] = b"Subject: no end\r\n\r\nno line end at the end";
const NUL: &[u8] = b"Subject: nul\r\n\r\na\0b\0\0c \t\r\nblanks before the line end  \r\n";
const BARE: &[u8] = b"Subject: bare\n\nbare\nline\r\nends\n";
const EIGHT: &[u8] = b"Subject: Gr\xfc\xdfe\r\n\r\n8 bit \xff\xfe\r\n";

/// INBOX, Sent and a nested mailbox, with about everything in them that has broken a replay.
pub fn world() -> World {
    let mut inbox = FakeMailbox::new("INBOX");
    let long = [b"Subject: long\r\n\r\n", &vec![b'x'; 20_000][..], b"\r\n"].concat();
    for (flags, date, body) in [
        ("", "01-Feb-2024 10:00:00 +0000", ONE),
        ("\\Seen", "01-Feb-2024 10:00:00 +0000", TWIN),
        ("\\Seen", "02-Feb-2024 10:00:00 +0000", COPIED),
        ("\\Flagged $Forwarded", "03-Feb-2024 10:00:00 -0330", COPIED),
        ("\\Flagged $Forwarded", "03-Feb-2024 10:00:00 -0330", COPIED),
        ("\\Answered", "04-Feb-2024 23:59:59 +0545", NO_ID),
        ("\\Seen", "05-Feb-2024 10:00:00 +0000", ORDERS),
        (
            "\\Seen \\Draft",
            "31-Dec-1969 23:59:59 +0000",
            LETTER_OF_ORDERS,
        ),
        ("", "30-Dec-9999 00:00:00 +0000", EMPTY_FIRST),
        ("", " 8-Feb-2024 10:00:00 +1400", NO_END),
        ("\\Seen", "09-Feb-2024 10:00:00 +0000", NUL),
        ("NonJunk", "10-Feb-2024 10:00:00 -1200", BARE),
        ("\\Seen", "11-Feb-2024 10:00:00 +0000", EIGHT),
        ("", "12-Feb-2024 10:00:00 +0000", &long),
    ] {
        put(&mut inbox, flags, date, body);
    }
    let mut sent = FakeMailbox::new("Sent");
    sent.attributes.push_str(" \\Sent");
    put(&mut sent, "\\Seen", "02-Feb-2024 10:00:01 +0000", COPIED);
    put(
        &mut sent,
        "\\Seen",
        "13-Feb-2024 10:00:00 +0000",
        LETTER_OF_ORDERS,
    );
    let mut nested = FakeMailbox::new("Work/Old/&U,BTFw-");
    put(&mut nested, "", "14-Feb-2024 10:00:00 +0000", TWIN);
    put(&mut nested, "\\Seen", "14-Feb-2024 10:00:00 +0000", ORDERS);
    World::with([inbox, sent, nested])
}

/// Fewer of them, for a target that goes wrong at each of them in turn.
pub fn few() -> World {
    let mut inbox = FakeMailbox::new("INBOX");
    for (flags, date, body) in [
        ("\\Seen", "01-Feb-2024 10:00:00 +0000", ONE),
        ("\\Seen", "02-Feb-2024 10:00:00 +0000", COPIED),
        ("\\Flagged", "03-Feb-2024 10:00:00 -0330", COPIED),
        ("\\Seen", "04-Feb-2024 10:00:00 +0000", NO_ID),
        ("\\Seen", "05-Feb-2024 10:00:00 +0000", ORDERS),
        ("\\Seen", "06-Feb-2024 10:00:00 +0000", TWIN),
    ] {
        put(&mut inbox, flags, date, body);
    }
    let mut sent = FakeMailbox::new("Sent");
    put(&mut sent, "\\Seen", "02-Feb-2024 10:00:00 +0000", COPIED);
    put(
        &mut sent,
        "\\Seen",
        "13-Feb-2024 10:00:00 +0000",
        LETTER_OF_ORDERS,
    );
    World::with([inbox, sent])
}

/// Adds a message with these flags and this date.
pub fn put<'m>(
    mailbox: &'m mut FakeMailbox,
    flags: &str,
    date: &str,
    body: &[u8],
) -> &'m mut Message {
    let message = mailbox.add(body);
    message.flags = flags.to_owned();
    message.date = date.to_owned();
    message
}

/// What a target is to have of it: the same mailboxes, and in each the same flags, dates and
/// bytes. Days below ten have two places.
pub fn expected(world: &World) -> Contents {
    let mailboxes = world.mailboxes.iter().map(|mailbox| {
        let messages = mailbox.messages.iter().map(|message| {
            let mut flags: Vec<String> = message
                .flags
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            flags.sort();
            let hash = blake3::hash(&message.body).to_hex().to_string();
            (flags, two_places(&message.date), hash)
        });
        let mut messages: Vec<_> = messages.collect();
        messages.sort();
        (String::from_utf8(mailbox.wire.clone()).unwrap(), messages)
    });
    mailboxes.collect()
}

/// What a target has, without names that cannot be opened; days below ten have two places.
pub fn contents(target: &FakeTarget) -> Contents {
    let mut contents = target.contents();
    let world = target.world();
    contents.retain(|wire, _| !world.mailbox(wire).unwrap().attributes.contains("Noselect"));
    for messages in contents.values_mut() {
        for (_, date, _) in messages.iter_mut() {
            *date = two_places(date);
        }
        messages.sort();
    }
    contents
}

fn two_places(date: &str) -> String {
    date.strip_prefix(' ')
        .map_or_else(|| date.to_owned(), |day| format!("0{day}"))
}
