//! Proving who we are, in the way that shows the server's own words when it fails.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::capabilities::Capabilities;
use super::command::Command;
use super::error::ImapError;
use super::reply::{Tagged, TaggedStatus};
use super::wire::Wire;
use crate::net::is_capacity;
use crate::secret::Credentials;

/// Signs in once; never tries again by itself.
///
/// AUTHENTICATE PLAIN comes first, since it carries every character as it is; LOGIN is for
/// servers that do not offer it. LOGINDISABLED forbids only the latter (RFC 3501 §7.2.1).
/// Acting for somebody else goes by PLAIN alone: LOGIN would open the user's own mail.
pub(super) async fn sign_in(
    wire: &mut Wire,
    capabilities: &Capabilities,
    credentials: &Credentials,
) -> Result<(), ImapError> {
    let Some(command) = command(capabilities, credentials) else {
        return Err(match credentials.authzid {
            Some(_) => ImapError::NoAuthzid,
            None => ImapError::LoginDisabled,
        });
    };
    let name = command.name;
    let result = match wire.run(command, |_, _| {}).await {
        Ok(reply) => judge(name, reply),
        Err(ImapError::Bye { words }) if is_capacity(&words) => Err(ImapError::Capacity { words }),
        Err(error) => Err(error),
    };
    // QUIRK(several): servers repeat the command they did not understand.
    result.map_err(|error| redact(error, credentials))
}

fn command(capabilities: &Capabilities, credentials: &Credentials) -> Option<Command> {
    if capabilities.has("AUTH=PLAIN") {
        let response = plain(credentials);
        return Some(if capabilities.has("SASL-IR") {
            Command::new("AUTHENTICATE", " PLAIN ")
                .text(&response)
                .sasl()
        } else {
            Command::new("AUTHENTICATE", " PLAIN")
                .on_request(&response)
                .sasl()
        });
    }
    if capabilities.has("LOGINDISABLED") || credentials.authzid.is_some() {
        return None;
    }
    Some(
        Command::new("LOGIN", "")
            .string(&credentials.user)
            .string(credentials.secret.expose()),
    )
}

fn plain(credentials: &Credentials) -> String {
    STANDARD.encode(credentials.plain())
}

fn judge(command: &'static str, reply: Tagged) -> Result<(), ImapError> {
    let words = reply.words;
    match reply.status {
        TaggedStatus::Ok => Ok(()),
        TaggedStatus::No | TaggedStatus::Bad if is_capacity(&words) => {
            Err(ImapError::Capacity { words })
        }
        TaggedStatus::No => Err(ImapError::SignInRefused { words }),
        TaggedStatus::Bad => Err(ImapError::Bad { command, words }),
    }
}

fn redact(mut error: ImapError, credentials: &Credentials) -> ImapError {
    let secret = credentials.secret.expose();
    let hidden = [
        secret.to_owned(),
        STANDARD.encode(secret),
        plain(credentials),
    ];
    if let ImapError::SignInRefused { words: text }
    | ImapError::Capacity { words: text }
    | ImapError::Bye { words: text }
    | ImapError::Bad { words: text, .. }
    | ImapError::Parse { detail: text } = &mut error
    {
        for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
            *text = text.replace(secret, "…");
        }
    }
    error
}
