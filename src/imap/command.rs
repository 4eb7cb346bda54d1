//! Commands as bytes, cut where the server must say `+` before more is sent.

use std::borrow::Cow;

/// No server we know accepts more; RFC 2683 §3.2.1.5 asks for less than a thousand.
pub(super) const MAX_LINE: usize = 8000;

/// A command without its tag. Its Debug would show passwords, so it has none.
pub(super) struct Command {
    /// The name, for errors.
    pub(super) name: &'static str,
    /// All but the last end where the server must agree before the next is sent.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Whether a `+` too many is answered by `*`, which ends a SASL exchange.
    pub(super) sasl: bool,
}

impl Command {
    /// A command with arguments that are plain text of ours.
    pub(super) fn new(name: &'static str, arguments: &str) -> Self {
        let mut text = name.as_bytes().to_vec();
        text.extend_from_slice(arguments.as_bytes());
        Self {
            name,
            pieces: vec![text],
            sasl: false,
        }
    }

    /// Adds a string of any content: quoted where that is possible, else as a
    /// synchronising literal, so nothing in it can end the command (RFC 3501 §4.3).
    pub(super) fn string(self, text: &str) -> Self {
        self.text(" ").bare_string(text)
    }

    /// [`Self::string`] without the space in front.
    pub(super) fn bare_string(mut self, text: &str) -> Self {
        if needs_literal(text) {
            self.append(format!("{{{}}}\r\n", text.len()).as_bytes());
            self.pieces.push(text.as_bytes().to_vec());
        } else {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            self.append(format!("\"{escaped}\"").as_bytes());
        }
        self
    }

    /// Adds plain text of ours.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.append(text.as_bytes());
        self
    }

    /// Adds a line the server asks for by `+`.
    pub(super) fn on_request(mut self, line: &str) -> Self {
        self.append(b"\r\n");
        self.pieces.push(line.as_bytes().to_vec());
        self
    }

    pub(super) const fn sasl(mut self) -> Self {
        self.sasl = true;
        self
    }

    pub(super) fn needs_consent(&self) -> bool {
        self.pieces.len() > 1
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(last) = self.pieces.last_mut() {
            last.extend_from_slice(bytes);
        }
    }
}

fn needs_literal(text: &str) -> bool {
    !text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Removes the escapes of a quoted string, which the parser leaves in.
pub(super) fn unescape(quoted: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            byte => plain.push(byte),
        }
    }
    plain
}

/// [`unescape`] for names.
pub(super) fn unescape_text(quoted: &str) -> Cow<'_, str> {
    if quoted.contains('\\') {
        let plain = unescape(quoted.as_bytes());
        Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
    } else {
        Cow::Borrowed(quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(command: &Command) -> Vec<String> {
        let text = |piece: &Vec<u8>| String::from_utf8(piece.clone()).unwrap();
        command.pieces.iter().map(text).collect()
    }

    #[test]
    fn strings_are_quoted_or_sent_as_literals_but_never_spliced() {
        let quoted = Command::new("EXAMINE", "").string(r#"a"b\c"#).text(" (X)");
        assert_eq!(pieces(&quoted), [r#"EXAMINE "a\"b\\c" (X)"#]);
        let literal = Command::new("EXAMINE", "").string("a\r\nb").text(" (X)");
        assert_eq!(pieces(&literal), ["EXAMINE {4}\r\n", "a\r\nb (X)"]);
        let eight_bit = Command::new("LOGIN", "").string("ü").string("p w");
        assert_eq!(pieces(&eight_bit), ["LOGIN {2}\r\n", "ü \"p w\""]);
    }

    #[test]
    fn escapes_are_removed() {
        assert_eq!(unescape(br#"a\"b\\c"#), br#"a"b\c"#);
        assert_eq!(unescape_text("plain"), "plain");
    }
}
