//! The archive against the oracle: what the server itself reports, byte for byte.

use std::path::Path;

use mailstow::store::Reader;

use super::dovecot::Dovecot;

/// The name mailstow shows for a mailbox: `/` between levels, whatever the server uses.
pub fn shown(name: &str, separator: char) -> String {
    if separator == '/' {
        name.to_owned()
    } else {
        name.replace('/', "\u{2215}").replace(separator, "/")
    }
}

/// Demands that what the archive holds as present under an account is what the server reports
/// for the user: the same mailboxes, and in each the same UIDs, bytes, flags and dates. Gives
/// the number of messages.
#[track_caller]
pub fn assert_same(dovecot: &Dovecot, user: &str, archive: &Path, account: &str) -> usize {
    assert_same_with(dovecot, user, archive, account, '/')
}

/// The same for a server with another separator.
#[track_caller]
pub fn assert_same_with(
    dovecot: &Dovecot,
    user: &str,
    archive: &Path,
    account: &str,
    separator: char,
) -> usize {
    let server = dovecot.fetch_all(user);
    let reader = Reader::open(archive, None).unwrap();
    let catalog = reader.catalog();
    let accounts = catalog.accounts().unwrap();
    let found = accounts.iter().find(|a| a.name == account);
    let id = found
        .unwrap_or_else(|| panic!("no account {account} among {accounts:?}"))
        .id;
    let mailboxes = catalog.mailboxes(Some(id)).unwrap();
    let mut names: Vec<String> = mailboxes.iter().map(|m| m.name.clone()).collect();
    let mut wanted: Vec<String> = server.keys().map(|name| shown(name, separator)).collect();
    names.sort();
    wanted.sort();
    assert_eq!(names, wanted);
    let mut mail = reader.mail();
    let mut count = 0;
    for (name, messages) in &server {
        let name = shown(name, separator);
        let mailbox = mailboxes.iter().find(|m| m.name == name).unwrap();
        let rows = catalog.placements(mailbox.id, false).unwrap();
        let uid = |remote: &mailstow::model::RemoteId| {
            remote
                .to_string()
                .rsplit(':')
                .next()
                .unwrap()
                .parse::<u32>()
                .unwrap()
        };
        let mut held: Vec<u32> = rows.iter().map(|row| uid(&row.remote)).collect();
        held.sort_unstable();
        assert_eq!(
            held,
            messages.iter().map(|m| m.uid).collect::<Vec<_>>(),
            "{name}"
        );
        for message in messages {
            let at = format!("{name}, UID {}", message.uid);
            let row = rows
                .iter()
                .find(|row| uid(&row.remote) == message.uid)
                .unwrap();
            let bytes = mail.read_to_vec(&row.content).unwrap();
            assert!(bytes == message.body, "{at}: other bytes");
            let mut flags: Vec<&str> = row.flags.iter().collect();
            let mut wanted: Vec<&str> = message.flags.iter().map(String::as_str).collect();
            flags.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(flags, wanted, "{at}");
            let date = row.date.expect("a date");
            assert_eq!(
                (date.unix, date.offset_minutes),
                instant(&message.internaldate),
                "{at}"
            );
            assert_eq!(u64::from(row.size), message.size, "{at}");
            count += 1;
        }
    }
    count
}

/// Unix time and zone of `07-Feb-2024 21:52:25 +0100`.
pub fn instant(internaldate: &str) -> (i64, i16) {
    let zoned = jiff::fmt::strtime::parse("%e-%b-%Y %H:%M:%S %z", internaldate.trim()).unwrap();
    let minutes = zoned.offset().unwrap().seconds() / 60;
    (
        zoned.to_timestamp().unwrap().as_second(),
        i16::try_from(minutes).unwrap(),
    )
}
