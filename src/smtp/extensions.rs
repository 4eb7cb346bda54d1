//! What a server announces in its answer to EHLO or LHLO (RFC 5321 §4.1.1.1).

use super::reply::Reply;

/// The extensions that matter here. They differ before and after STARTTLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Extensions {
    /// Bodies with 8-bit text are carried as they are (RFC 6152).
    pub eight_bit_mime: bool,
    /// SIZE exists (RFC 1870), with or without a limit.
    pub declares_size: bool,
    /// The largest message taken, in bytes, as announced; nothing where no limit is.
    pub size: Option<u64>,
    /// Commands may be sent before earlier ones were answered (RFC 2920). Not used here.
    pub pipelining: bool,
    /// BDAT exists (RFC 3030). Not used here.
    pub chunking: bool,
    /// Addresses may be more than ASCII (RFC 6531). Not used here.
    pub smtp_utf8: bool,
    /// STARTTLS exists (RFC 3207).
    pub start_tls: bool,
    /// The mechanisms of AUTH (RFC 4954), in upper case.
    pub auth: Vec<String>,
}

impl Extensions {
    /// Reads a positive answer to EHLO or LHLO; its first line is a name and a greeting.
    pub(super) fn of(hello: &Reply) -> Self {
        let mut extensions = Self::default();
        let lines = hello.lines().iter().skip(1);
        lines.for_each(|line| extensions.add(line));
        extensions
    }

    /// Whether AUTH offers a mechanism, without regard to case.
    #[must_use]
    pub fn offers(&self, mechanism: &str) -> bool {
        self.auth.iter().any(|m| m.eq_ignore_ascii_case(mechanism))
    }

    fn add(&mut self, line: &str) {
        let line = line.to_ascii_uppercase();
        // QUIRK(Exchange 5.5 and its copies): `AUTH=LOGIN` beside, or instead of, `AUTH LOGIN`.
        let line = match line.strip_prefix("AUTH=") {
            Some(mechanisms) => format!("AUTH {mechanisms}"),
            None => line,
        };
        let mut words = line.split_ascii_whitespace();
        match words.next().unwrap_or_default() {
            "8BITMIME" => self.eight_bit_mime = true,
            "PIPELINING" => self.pipelining = true,
            "CHUNKING" => self.chunking = true,
            "SMTPUTF8" => self.smtp_utf8 = true,
            "STARTTLS" => self.start_tls = true,
            "AUTH" => {
                for mechanism in words.take(100) {
                    if !self.offers(mechanism) {
                        self.auth.push(mechanism.to_owned());
                    }
                }
            }
            "SIZE" => {
                self.declares_size = true;
                // RFC 1870 §4: 0 says that there is no fixed limit.
                let limit = words.next().and_then(|word| word.parse().ok());
                self.size = limit.filter(|limit| *limit > 0);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Extensions {
        let mut all = vec!["mail.example.org"];
        all.extend(lines);
        Extensions::of(&Reply::new(250, &all))
    }

    #[test]
    fn the_lists_of_real_servers_are_read() {
        let postfix = read(&[
            "PIPELINING",
            "SIZE 10240000",
            "VRFY",
            "ETRN",
            "STARTTLS",
            "AUTH PLAIN LOGIN",
            "AUTH=PLAIN LOGIN",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "DSN",
            "SMTPUTF8",
            "CHUNKING",
        ]);
        let expected = Extensions {
            eight_bit_mime: true,
            declares_size: true,
            size: Some(10_240_000),
            pipelining: true,
            chunking: true,
            smtp_utf8: true,
            start_tls: true,
            auth: vec!["PLAIN".into(), "LOGIN".into()],
        };
        assert_eq!(postfix, expected);
        assert_eq!(read(&[]), Extensions::default());
    }

    #[test]
    fn oddities_cost_nothing() {
        let odd = read(&[
            "size",
            "",
            "  ",
            "auth=login",
            "8bitmime ",
            "X-NEW 1",
            "AUTHOR x",
        ]);
        assert!(odd.declares_size && odd.eight_bit_mime);
        assert_eq!(
            (odd.size, odd.auth.as_slice()),
            (None, &["LOGIN".into()][..])
        );
        assert!(odd.offers("login") && !odd.offers("PLAIN"));
        for (line, size) in [("SIZE 0", None), ("SIZE x", None), ("SIZE 7 8", Some(7))] {
            assert_eq!(read(&[line]).size, size, "{line}");
        }
        // The first line is a name, whatever it says.
        let named = Extensions::of(&Reply::new(250, &["STARTTLS", "SIZE"]));
        assert!(!named.start_tls && named.declares_size);
    }
}
