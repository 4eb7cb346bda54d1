//! What is known of servers that their capabilities do not say.

/// Whose server it is, where that changes what it does to messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Vendor {
    /// Nobody known for anything.
    #[default]
    Other,
    /// Gmail and Google Workspace.
    Gmail,
    /// Exchange, Exchange Online, outlook.com.
    Microsoft,
    /// Yahoo and AOL.
    Yahoo,
    /// Zoho.
    Zoho,
}

/// How hard a server may be worked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quirks {
    /// How many connections one account may hold, ours included.
    pub max_connections: usize,
    /// How many body FETCHes may be outstanding on one connection.
    pub depth: usize,
    /// Whose server it is.
    pub vendor: Vendor,
    /// A MULTIAPPEND that is refused has stored nothing, as RFC 3502 wants it.
    /// QUIRK(Stalwart, 0.11): messages in front of the one it refuses are stored all the same.
    pub whole_multiappend: bool,
}

impl Default for Quirks {
    /// Two connections, four commands deep: what a server bears that is not known for
    /// anything else.
    fn default() -> Self {
        Self {
            max_connections: 2,
            depth: 4,
            vendor: Vendor::Other,
            whole_multiappend: false,
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
                vendor: Vendor::Zoho,
                ..Self::default()
            };
        }
        let vendor = if greeting.contains("microsoft exchange") {
            Vendor::Microsoft
        } else if greeting.contains("gimap") {
            Vendor::Gmail
        } else if greeting.contains("yahoo") {
            Vendor::Yahoo
        } else {
            Vendor::Other
        };
        Self {
            vendor,
            whole_multiappend: greeting.contains("dovecot") || greeting.contains("cyrus"),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zoho_is_known_by_its_greeting_on_any_host() {
        let zoho = "svwall.zoho.com IMAP4 Server (Zoho Mail IMAP4rev1 Server version 1.0)";
        assert_eq!(Quirks::from_greeting(zoho).depth, 1);
        assert_eq!(Quirks::from_greeting("IMAP ready."), Quirks::default());
        assert!(Quirks::from_greeting("[CAPABILITY IMAP4rev1] Dovecot ready.").whole_multiappend);
        for (greeting, vendor) in [
            (zoho, Vendor::Zoho),
            ("Gimap ready for requests from 192.0.2.1", Vendor::Gmail),
            (
                "The Microsoft Exchange IMAP4 service is ready.",
                Vendor::Microsoft,
            ),
            ("IMAP4rev1 Hello Yahoo", Vendor::Yahoo),
        ] {
            assert_eq!(Quirks::from_greeting(greeting).vendor, vendor, "{greeting}");
        }
    }
}
