//! The header of a message, whole or by fields, as FETCH gives it (RFC 3501 §6.4.5).

/// Everything up to and with the first empty line; all there is where there is none.
pub fn of(message: &[u8]) -> &[u8] {
    let mut at = 0;
    for line in message.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if line == b"\r\n" || line == b"\n" {
            break;
        }
    }
    &message[..at]
}

/// The fields with these names, such as `(DATE FROM)`, in the order of the header, and an empty
/// line.
pub fn only(header: &[u8], names: &str) -> Vec<u8> {
    let names: Vec<String> = names
        .trim_matches(['(', ')'])
        .split(' ')
        .map(str::to_ascii_lowercase)
        .collect();
    let (mut out, mut wanted) = (Vec::new(), false);
    for line in header.split_inclusive(|b| *b == b'\n') {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim_end().to_lowercase();
            wanted = names.contains(&name);
        }
        if wanted {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}
