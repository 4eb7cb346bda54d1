//! Text for people: escaping what came from elsewhere, numbers with units, tables.

use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Makes text from a server or a message harmless for a terminal: control characters, escape
/// sequences and bidirectional overrides become visible.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => {
                write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out
}

/// The same for a line of JSON, which stays the same JSON.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || is_invisible(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that reorder or hide what stands around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `12.3 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(n) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = tenths.div_ceil(1024);
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 {
        format!("{n} {name}")
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// `1 message`, `2 messages`.
pub(crate) fn count(n: u64, one: &str) -> String {
    let plural = if one.ends_with('x') { "es" } else { "s" };
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}{plural}")
    }
}

/// Writes to standard output. A reader that went away (a closed pipe) is no error.
pub(crate) fn out(text: &str) {
    to(&mut io::stdout().lock(), text);
}

/// Writes to standard error; if even that fails there is nobody left to tell.
pub(crate) fn err(text: &str) {
    to(&mut io::stderr().lock(), text);
}

fn to(sink: &mut dyn io::Write, text: &str) {
    let written = sink
        .write_all(text.as_bytes())
        .and_then(|()| sink.write_all(b"\n"))
        .and_then(|()| sink.flush());
    if let Err(error) = written {
        tracing::debug!(%error, "nobody reads the output any more");
    }
}

/// Writes raw bytes to standard output.
pub(crate) fn out_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// A table: the first column to the left, the others to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |n: usize| {
        let cells = rows
            .iter()
            .filter_map(|r| r.get(n))
            .map(|c| c.chars().count());
        cells
            .chain(head.get(n).map(|h| h.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (n, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            if n == 0 {
                text.push_str(cell);
                text.push_str(&pad);
            } else {
                text.push_str("  ");
                text.push_str(&pad);
                text.push_str(cell);
            }
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_gets_through() {
        let hostile = "a\u{1b}]52;c;x\u{7}\u{9b}31m\u{202e}b\r\n\u{7f}é";
        assert_eq!(
            escaped(hostile),
            "a\\u{1b}]52;c;x\\u{7}\\u{9b}31m\\u{202e}b\\r\\n\\u{7f}é"
        );
    }

    #[test]
    fn json_says_the_same_in_harmless_characters() {
        let value = serde_json::json!({"name": "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0001}é\n"});
        let escaped = escaped_json(&value.to_string());
        assert!(escaped.contains("\\u202e\\udb40\\udc01é"), "{escaped}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(count(1, "mailbox"), "1 mailbox");
        assert_eq!(count(2, "mailbox"), "2 mailboxes");
        assert_eq!(
            table(&["name", "n"], &[vec!["a".into(), "10".into()]]),
            "name   n\na     10"
        );
    }
}
