//! Proving who we are (RFC 4954), once.
//!
//! Said through lettre, but not by its own `auth`: that gives up on a PLAIN whose first response
//! was not looked at, and on prompts of LOGIN other than `Username:` and `Password:`. Sign-in is
//! never retried, so it has to work the first time.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::SmtpError;
use super::reply::Reply;
use super::session::SmtpSession;
use crate::secret::Credentials;

/// The server waits for the next response.
const CHALLENGE: u16 = 334;

impl SmtpSession {
    /// Signs in by PLAIN where it is announced, else by LOGIN; never tries again by itself.
    pub(super) async fn sign_in(&mut self, credentials: &Credentials) -> Result<(), SmtpError> {
        let Credentials {
            user,
            secret,
            authzid,
        } = credentials;
        let secret = secret.expose();
        let authzid = authzid.as_deref().unwrap_or_default();
        if [user, secret, authzid]
            .iter()
            .any(|text| text.contains('\0'))
        {
            return Err(SmtpError::Unsendable);
        }
        let plain = STANDARD.encode(format!("{authzid}\0{user}\0{secret}"));
        // What holds another comes first.
        let hidden = [&plain, &STANDARD.encode(secret), secret].map(|text| text.to_owned());
        self.stream.hide(hidden.to_vec());
        let (start, responses) = if self.extensions.offers("PLAIN") {
            (format!("AUTH PLAIN {plain}"), vec![plain])
        } else if self.extensions.offers("LOGIN") && authzid.is_empty() {
            let responses = [user.as_str(), secret].map(|text| STANDARD.encode(text));
            ("AUTH LOGIN".to_owned(), responses.to_vec())
        } else {
            let mechanisms = self.extensions.auth.join(" ").chars().take(300).collect();
            return Err(SmtpError::AuthUnavailable { mechanisms });
        };
        let mut reply = self.say_secret(start).await?;
        for response in responses {
            // QUIRK(several): what was sent with AUTH is asked for again.
            if reply.code == CHALLENGE {
                reply = self.say_secret(response).await?;
            }
        }
        if reply.code == CHALLENGE {
            // A lone `*` ends an exchange we do not understand (RFC 4954 §4). Whatever the
            // answer is, nobody has signed in.
            let words = self.say_secret("*").await?.words();
            return Err(SmtpError::SignInRefused { words });
        }
        self.stream.hide(Vec::new());
        if reply.is_negative() {
            return Err(SmtpError::of_sign_in(&reply));
        }
        if reply.is_positive() {
            return Ok(());
        }
        Err(SmtpError::of("AUTH", &reply))
    }

    async fn say_secret(&mut self, line: impl Display + Send) -> Result<Reply, SmtpError> {
        self.command("AUTH", format!("{line}\r\n")).await
    }
}
