//! Passwords and tokens, in a type that cannot be printed.

use std::fmt;

/// A password or token. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself, for the one line that sends it to its server.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A user name and its password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name, often the whole address.
    pub user: String,
    /// The password.
    pub secret: Secret,
    /// Whom `user` acts for (RFC 4616 authorisation identity), as an administrator or a master
    /// user may; `None` for themselves. Only AUTH=PLAIN carries it.
    pub authzid: Option<String>,
}

impl Credentials {
    /// Whose mail is meant: the one acted for, else the user.
    #[must_use]
    pub fn whose(&self) -> &str {
        self.authzid.as_deref().unwrap_or(&self.user)
    }

    /// The message of SASL PLAIN (RFC 4616), not encoded: whom to act for, user, password.
    pub(crate) fn plain(&self) -> String {
        let authzid = self.authzid.as_deref().unwrap_or_default();
        format!("{authzid}\0{}\0{}", self.user, self.secret.expose())
    }
}
