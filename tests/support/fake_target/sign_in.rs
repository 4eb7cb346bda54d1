//! LOGIN and AUTHENTICATE PLAIN (RFC 4616).

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::log::{Received, SignIn};
use super::serve::{End, Session, bad};
use super::wire::Wire;
use super::{Shared, lock};
use crate::support::fake_imap::{Announce, Refuse};

pub(super) fn sign_in(
    wire: &mut Wire<'_>,
    shared: &Shared,
    session: &mut Session,
    command: &Received,
    refuse: &Option<Refuse>,
) -> io::Result<End> {
    let given = match (command.name.as_str(), command.args.as_slice()) {
        ("LOGIN", [user, password]) => Some(SignIn {
            user: user.clone(),
            password: password.clone(),
            ..SignIn::default()
        }),
        ("AUTHENTICATE", [plain]) if is_plain(plain, shared) => {
            wire.out.extend_from_slice(b"+ \r\n");
            wire.send(lock(&shared.world).latency);
            let Some(line) = wire.line()? else {
                return Ok(End::Closed);
            };
            decoded(&line.bytes)
        }
        ("AUTHENTICATE", [plain, first])
            if is_plain(plain, shared) && lock(&shared.world).announces("SASL-IR") =>
        {
            decoded(first.as_bytes())
        }
        _ => None,
    };
    let Some(mut given) = given else {
        return Ok(End::Tagged(bad("no such sign-in")));
    };
    given.connection = command.connection;
    lock(&shared.sign_ins).push(given);
    let world = lock(&shared.world);
    let words = match (refuse, world.sign_in.as_str(), world.announce) {
        (Some(Refuse::SignIn(words)), ..) => words.clone(),
        (_, "OK", Announce::InCodes) => format!("OK [CAPABILITY {}] in", world.capabilities),
        (_, "OK", Announce::Untagged) => {
            write!(wire.out, "* CAPABILITY {}\r\n", world.capabilities)?;
            "OK Success".to_owned()
        }
        (_, words, _) => words.to_owned(),
    };
    session.signed_in = words.starts_with("OK");
    Ok(End::Tagged(words))
}

fn is_plain(mechanism: &str, shared: &Shared) -> bool {
    mechanism.eq_ignore_ascii_case("PLAIN") && lock(&shared.world).announces("AUTH=PLAIN")
}

fn decoded(text: &[u8]) -> Option<SignIn> {
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let mut parts = text.splitn(3, '\0').map(str::to_owned);
    Some(SignIn {
        connection: 0,
        authzid: parts.next()?,
        user: parts.next()?,
        password: parts.next()?,
    })
}
