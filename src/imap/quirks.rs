//! What is known of servers that their capabilities do not say.

/// How hard a server may be worked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quirks {
    /// How many connections one account may hold, ours included.
    pub max_connections: usize,
    /// How many body FETCHes may be outstanding on one connection.
    pub depth: usize,
}

impl Default for Quirks {
    /// Two connections, four commands deep: what a server bears that is not known for
    /// anything else.
    fn default() -> Self {
        Self {
            max_connections: 2,
            depth: 4,
        }
    }
}

impl Quirks {
    /// What the greeting gives away; the host name does not, since providers serve other
    /// people's domains.
    #[must_use]
    pub fn from_greeting(greeting: &str) -> Self {
        let greeting = greeting.to_ascii_lowercase();
        // QUIRK(Zoho, IMAP4 Server, 2024): about three sessions per account, shared with
        // the user's phone; surplus ones are closed without a word, and a client that
        // pipelines is cut off in the middle of a FETCH.
        if greeting.contains("zoho") {
            return Self {
                max_connections: 1,
                depth: 1,
            };
        }
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zoho_is_known_by_its_greeting_on_any_host() {
        let zoho = "svwall.zoho.com IMAP4 Server (Zoho Mail IMAP4rev1 Server version 1.0)";
        assert_eq!(Quirks::from_greeting(zoho).depth, 1);
        assert_eq!(Quirks::from_greeting("Dovecot ready."), Quirks::default());
    }
}
