//! Proving who we are, in the way that shows the server's own words when it fails.

use async_pop::sasl::Authenticator;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::capabilities::Capabilities;
use super::error::Pop3Error;
use super::sign_in_stream::{Reply, SignInStream};
use crate::secret::Credentials;

/// A line of AUTH with its response in it may have 255 bytes (RFC 5034 §4).
const AUTH_LINE_MAX: usize = 255;

/// AUTH PLAIN with its response, which async-pop encodes. Its own knows no authzid.
struct PlainAtOnce(String);

impl Authenticator for PlainAtOnce {
    fn mechanism(&self) -> &str {
        "PLAIN"
    }

    fn auth(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

/// AUTH PLAIN whose response waits until it is asked for.
struct PlainOnRequest;

impl Authenticator for PlainOnRequest {
    fn mechanism(&self) -> &str {
        "PLAIN"
    }
}

/// What must not be shown of a server's words: what holds another comes first.
pub(super) fn hidden(credentials: &Credentials) -> Vec<String> {
    let secret = credentials.secret.expose();
    vec![
        plain(credentials),
        STANDARD.encode(secret),
        secret.to_owned(),
    ]
}

/// What the server announces to a client that has not signed in.
pub(super) async fn capabilities(stream: &mut SignInStream) -> Result<Capabilities, Pop3Error> {
    stream.replay_greeting();
    // An error is either kept in the stream, or a refusal of CAPA and no error at all.
    drop(async_pop::new(&mut *stream).await);
    announced(stream)
}

/// Signs in once; never tries again by itself. Returns the capabilities as of afterwards.
///
/// AUTH PLAIN comes first, since it carries every character as it is; USER and PASS are for
/// servers that do not announce it.
pub(super) async fn sign_in(
    stream: &mut SignInStream,
    credentials: &Credentials,
) -> Result<Capabilities, Pop3Error> {
    stream.ask_for_utf8();
    let signed_in = attempt(stream, credentials).await?;
    if let Some(failure) = stream.take_failure() {
        return Err(failure);
    }
    if !signed_in {
        answer_challenge(stream, credentials).await?;
        // async-pop took the challenge for an error, so it has not asked yet.
        return capabilities(stream).await;
    }
    announced(stream)
}

/// Whether async-pop got us in. Its errors say little; the stream knows the reason.
async fn attempt(stream: &mut SignInStream, credentials: &Credentials) -> Result<bool, Pop3Error> {
    let (user, secret) = (&credentials.user, credentials.secret.expose());
    let fits = "AUTH PLAIN \r\n".len() + plain(credentials).len() <= AUTH_LINE_MAX;
    stream.replay_greeting();
    let Ok(mut client) = async_pop::new(&mut *stream).await else {
        return Ok(false);
    };
    // A token would go in here, by async-pop's OAuth2Authenticator and XOAUTH2.
    if client.has_auth_mechanism("PLAIN") {
        return Ok(if fits {
            client.auth(PlainAtOnce(credentials.plain())).await.is_ok()
        } else {
            client.auth(PlainOnRequest).await.is_ok()
        });
    }
    // USER and PASS would open the user's own maildrop.
    if credentials.authzid.is_some() {
        return Err(Pop3Error::NoAuthzid);
    }
    if [user.as_str(), secret]
        .iter()
        .any(|text| text.contains(['\r', '\n', '\0']))
    {
        return Err(Pop3Error::Unsendable);
    }
    // With PLAIN announced this would try PLAIN and then PASS: two failures for one.
    Ok(client.login(user, secret).await.is_ok())
}

/// Goes on where async-pop could not: the last answer says why.
async fn answer_challenge(
    stream: &mut SignInStream,
    credentials: &Credentials,
) -> Result<(), Pop3Error> {
    let (command, reply) = stream.reply();
    let mut reply = reply.clone();
    if reply == (Reply::Challenge { is_empty: true }) {
        // What we sent with AUTH was not looked at, or nothing was sent yet.
        reply = stream.respond(&plain(credentials)).await?;
        if reply == Reply::Positive {
            return Ok(());
        }
    }
    if let Reply::Challenge { .. } = reply {
        // A lone `*` ends an exchange we do not understand (RFC 5034 §4). Whatever the
        // answer is, nobody has signed in.
        reply = stream.respond("*").await?;
    }
    let words = match reply {
        Reply::Negative { words } => words,
        Reply::Positive | Reply::Challenge { .. } => String::new(),
    };
    let login_delay = stream.announced().and_then(|c| c.login_delay);
    Err(Pop3Error::of_sign_in(command, words, login_delay))
}

fn announced(stream: &mut SignInStream) -> Result<Capabilities, Pop3Error> {
    if let Some(failure) = stream.take_failure() {
        return Err(failure);
    }
    let announced = stream.announced().cloned();
    Ok(announced.unwrap_or_else(Capabilities::unknown))
}

fn plain(credentials: &Credentials) -> String {
    STANDARD.encode(credentials.plain())
}
