//! Modified UTF-7 (RFC 3501, 5.1.3), written a second time: the crate's own is what is tested.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

pub fn encode(name: &str) -> String {
    let mut out = String::new();
    let mut shifted = String::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            flush(&mut out, &mut shifted);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            shifted.push(c);
        }
    }
    flush(&mut out, &mut shifted);
    out
}

fn flush(out: &mut String, shifted: &mut String) {
    if shifted.is_empty() {
        return;
    }
    let utf16: Vec<u8> = shifted.encode_utf16().flat_map(u16::to_be_bytes).collect();
    out.push('&');
    out.push_str(&ENGINE.encode(utf16));
    out.push('-');
    shifted.clear();
}

pub fn decode(wire: &str) -> String {
    try_decode(wire).expect("a mailbox name in modified UTF-7")
}

/// `None` where it is no modified UTF-7.
pub fn try_decode(wire: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = wire;
    while let Some((plain, after)) = rest.split_once('&') {
        let (coded, tail) = after.split_once('-')?;
        out.push_str(plain);
        if coded.is_empty() {
            out.push('&');
        } else {
            let bytes = ENGINE.decode(coded).ok()?;
            let utf16: Vec<u16> = bytes
                .chunks(2)
                .map(|pair| Some(u16::from_be_bytes([pair[0], *pair.get(1)?])))
                .collect::<Option<_>>()?;
            out.push_str(&String::from_utf16(&utf16).ok()?);
        }
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}
