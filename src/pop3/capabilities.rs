//! What a server announces (RFC 2449).

use std::time::Duration;

/// The answer to CAPA. It differs before and after STLS and sign-in, and by account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether the server answered at all. RFC 1939 knows no CAPA; if it was refused, [`Self::top`]
    /// and [`Self::uidl`] are true, since the commands may exist all the same.
    pub known: bool,
    /// Commands may be sent before earlier ones were answered (§6.6).
    pub pipelining: bool,
    /// TOP exists.
    pub top: bool,
    /// UIDL exists.
    pub uidl: bool,
    /// The least time between two sign-ins (§6.5), as announced and without a bound.
    pub login_delay: Option<Duration>,
    /// What the server says it is (§6.9), raw, at most a kibibyte.
    pub implementation: Option<String>,
    /// Messages with raw UTF-8 in the header come as they are once UTF8 was sent (RFC 6856).
    pub utf8: bool,
    /// STLS exists (RFC 2595).
    pub stls: bool,
    /// The mechanisms of AUTH (RFC 5034), in upper case.
    pub sasl: Vec<String>,
}

impl Capabilities {
    /// What is to be believed of a server that refuses CAPA.
    pub(super) fn unknown() -> Self {
        Self {
            top: true,
            uidl: true,
            ..Self::default()
        }
    }

    /// An empty list.
    pub(super) fn announced() -> Self {
        Self {
            known: true,
            ..Self::default()
        }
    }

    /// Whether AUTH offers a mechanism, without regard to case.
    #[must_use]
    pub fn offers(&self, mechanism: &str) -> bool {
        self.sasl.iter().any(|m| m.eq_ignore_ascii_case(mechanism))
    }

    /// Adds what one line of the list says; what nobody here needs is passed over.
    pub(super) fn add(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default().to_ascii_uppercase();
        match name.as_str() {
            "PIPELINING" => self.pipelining = true,
            "TOP" => self.top = true,
            "UIDL" => self.uidl = true,
            "UTF8" => self.utf8 = true,
            "STLS" => self.stls = true,
            "SASL" => self
                .sasl
                .extend(words.take(100).map(str::to_ascii_uppercase)),
            "LOGIN-DELAY" => {
                let seconds = words.next().and_then(|word| word.parse().ok());
                self.login_delay = seconds.map(Duration::from_secs);
            }
            "IMPLEMENTATION" => {
                let text = line.trim_start().split_once(char::is_whitespace);
                self.implementation = text.map(|(_, text)| super::status::cut(text.trim()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Capabilities {
        let mut capabilities = Capabilities::announced();
        lines
            .lines()
            .for_each(|line| capabilities.add(line.as_bytes()));
        capabilities
    }

    #[test]
    fn the_lists_of_real_servers_are_read() {
        let dovecot = read(
            "CAPA\nTOP\nUIDL\nRESP-CODES\nPIPELINING\nAUTH-RESP-CODE\nSTLS\nUSER\nSASL PLAIN LOGIN",
        );
        let expected = Capabilities {
            known: true,
            pipelining: true,
            top: true,
            uidl: true,
            stls: true,
            sasl: vec!["PLAIN".into(), "LOGIN".into()],
            ..Capabilities::default()
        };
        assert_eq!(dovecot, expected);
        let gmail = read(
            "USER\nRESP-CODES\nEXPIRE 0\nLOGIN-DELAY 300\nTOP\nUIDL\nX-GOOGLE-RICO\nSASL PLAIN XOAUTH2 OAUTHBEARER",
        );
        assert_eq!(gmail.login_delay, Some(Duration::from_secs(300)));
        assert!(gmail.offers("xoauth2") && !gmail.offers("OAUTH") && !gmail.pipelining);
        let cyrus = read(
            "SASL DIGEST-MD5\nEXPIRE NEVER\nLOGIN-DELAY 0\nIMPLEMENTATION Cyrus POP3 server v2.3.7  \nAUTH-RESP-CODE",
        );
        let name = cyrus.implementation.as_deref();
        assert_eq!(name, Some("Cyrus POP3 server v2.3.7"));
        assert!(!cyrus.uidl && !cyrus.top && !cyrus.offers("PLAIN"));
    }

    #[test]
    fn oddities_cost_nothing() {
        let odd = read(
            "sasl plain\nsasl\n\n \nLOGIN-DELAY\nLOGIN-DELAY soon\nIMPLEMENTATION\nUTF8 USER\nTOPPLE\ntop",
        );
        assert!(odd.offers("PLAIN") && odd.top && !odd.uidl);
        assert_eq!((odd.login_delay, odd.implementation), (None, None));
        assert_eq!(
            read("LOGIN-DELAY 60 USER").login_delay,
            Some(Duration::from_secs(60))
        );
        let unknown = Capabilities::unknown();
        assert!(unknown.top && unknown.uidl && !unknown.known && !unknown.pipelining);
    }
}
