//! What a maildrop offers: LIST and UIDL (RFC 1939 §5 and §7).

use super::error::Pop3Error;
use super::refusal::is_busy;
use super::session::Session;
use super::status::StatusLine;
use super::unique_id::unique_id;
use super::wire::Wire;

/// One message a maildrop offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// Its number, which holds for this session only.
    pub number: u32,
    /// Its size in bytes as the server says, which may be wrong.
    pub size: Option<u64>,
    /// Its unique-id as it is stored: verbatim where it is UTF-8, bytes from 0x80 on as
    /// U+F700 plus the byte where it is not, which no two unique-ids share. Never empty.
    pub uidl: Option<String>,
}

/// What a maildrop offers, by number, each number once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// The messages.
    pub messages: Vec<Offered>,
    /// The server has UIDL.
    pub uidl: bool,
}

/// The lines of an answer, which has to end before memory does.
#[derive(Default)]
struct Counted {
    lines: usize,
    bytes: usize,
}

impl Counted {
    /// More messages than any maildrop holds.
    const LINES_MAX: usize = 5_000_000;
    /// More bytes than any list of them needs.
    const BYTES_MAX: usize = 256 * 1024 * 1024;

    /// Counts a line; whether there may be more.
    const fn add(&mut self, line: &[u8]) -> bool {
        self.lines += 1;
        self.bytes += line.len();
        self.lines <= Self::LINES_MAX && self.bytes <= Self::BYTES_MAX
    }
}

const LIST: &str = "LIST";
const UIDL: &str = "UIDL";

impl Session {
    /// Asks what there is, by LIST and UIDL.
    ///
    /// A number that stands in one list only is there all the same; of a number that
    /// stands in a list twice the first line counts; a line without a number is passed
    /// over. A server that refuses one of the two commands is taken at its word for the
    /// other, unless it says that UIDL may be had later. Fails with [`Pop3Error::Refused`] then and
    /// if both are refused, and with
    /// [`Pop3Error::AnswersOutstanding`] while an answer to [`Self::ask`] is outstanding.
    ///
    /// A dropped future leaves the session of no use.
    pub async fn list(&mut self) -> Result<Listing, Pop3Error> {
        if !self.outstanding.is_empty() {
            return Err(Pop3Error::AnswersOutstanding);
        }
        let result = self.lists().await;
        if result.is_err() {
            self.wire.close();
        }
        result
    }

    async fn lists(&mut self) -> Result<Listing, Pop3Error> {
        let wire = &mut self.wire;
        let pipelined = self.capabilities.pipelining;
        let (mut sizes, mut ids) = (Vec::new(), Vec::new());
        wire.queue(b"LIST\r\n");
        if pipelined {
            wire.queue(b"UIDL\r\n");
        }
        let list = answer(wire, LIST, |number, rest| sizes.push((number, size(rest)))).await?;
        if !pipelined {
            wire.queue(b"UIDL\r\n");
        }
        // Asked for in any case: it costs a line, and without it nothing is incremental.
        let uidl = answer(wire, UIDL, |number, rest| {
            ids.push((number, unique_id(rest)))
        })
        .await?;
        if !list.is_positive() && !uidl.is_positive() {
            let words = list.words;
            return Err(Pop3Error::Refused {
                command: LIST,
                words,
            });
        }
        // "Not now" is no word on whether it has it.
        if !uidl.is_positive() && is_busy(&uidl.words) {
            return Err(Pop3Error::Refused {
                command: UIDL,
                words: uidl.words,
            });
        }
        Ok(Listing {
            messages: merge(sizes, ids),
            uidl: uidl.is_positive(),
        })
    }
}

/// Reads one answer; `on` gets the number of each line and what follows it.
async fn answer(
    wire: &mut Wire,
    command: &'static str,
    mut on: impl FnMut(u32, &[u8]),
) -> Result<StatusLine, Pop3Error> {
    let status = wire.status(command).await?;
    if !status.is_positive() {
        return Ok(status);
    }
    let mut counted = Counted::default();
    loop {
        let line = match wire.line().await? {
            b"." => return Ok(status),
            line => line.strip_prefix(b".").unwrap_or(line),
        };
        if !counted.add(line) {
            return Err(Pop3Error::AnswerTooLarge { command });
        }
        if let Some((number, rest)) = numbered(line) {
            on(number, rest);
        }
    }
}

/// The number a line begins with, and everything behind the blank that ends it except
/// blanks at the end of the line.
fn numbered(line: &[u8]) -> Option<(u32, &[u8])> {
    let line = line.trim_ascii_end().trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let (number, rest) = line.split_at(end.unwrap_or(line.len()));
    let number = decimal(number)?;
    let rest = rest.split_first().map_or(rest, |(_, rest)| rest);
    Some((
        u32::try_from(number).ok().filter(|number| *number > 0)?,
        rest,
    ))
}

/// The size behind the number; anything behind it is the server's own affair.
fn size(rest: &[u8]) -> Option<u64> {
    let mut words = rest.split(|byte| matches!(byte, b' ' | b'\t'));
    decimal(words.find(|word| !word.is_empty())?)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One entry for each number of either list.
fn merge(mut sizes: Vec<(u32, Option<u64>)>, mut ids: Vec<(u32, Option<String>)>) -> Vec<Offered> {
    // Both sorts are stable, so the first of several lines stays first.
    sizes.sort_by_key(|(number, _)| *number);
    sizes.dedup_by_key(|(number, _)| *number);
    ids.sort_by_key(|(number, _)| *number);
    ids.dedup_by_key(|(number, _)| *number);
    let mut messages = Vec::with_capacity(sizes.len().max(ids.len()));
    let mut ids = ids.into_iter().peekable();
    for (number, size) in sizes {
        while let Some((number, uidl)) = ids.next_if(|(id, _)| *id < number) {
            messages.push(Offered {
                number,
                size: None,
                uidl,
            });
        }
        let uidl = ids
            .next_if(|(id, _)| *id == number)
            .and_then(|(_, uidl)| uidl);
        messages.push(Offered { number, size, uidl });
    }
    messages.extend(ids.map(|(number, uidl)| Offered {
        number,
        size: None,
        uidl,
    }));
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_id_is_everything_behind_the_first_blank() {
        for (line, expected) in [
            ("1 abc", Some((1, "abc"))),
            ("  7\ta b  c \t", Some((7, "a b  c"))),
            ("1  x", Some((1, " x"))),
            ("1 ", Some((1, ""))),
            ("1", Some((1, ""))),
            ("007 x", Some((7, "x"))),
            ("4294967295 x", Some((u32::MAX, "x"))),
            ("4294967296 x", None),
            ("99999999999999999999999 x", None),
            ("0 x", None),
            ("-1 x", None),
            ("+1 x", None),
            ("1x y", None),
            ("", None),
            (" ", None),
            ("x 1", None),
        ] {
            let expected = expected.map(|(number, rest)| (number, rest.as_bytes()));
            assert_eq!(numbered(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn a_size_is_a_number_or_nothing() {
        for (rest, expected) in [
            ("120", Some(120)),
            (" 120 octets", Some(120)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(size(rest.as_bytes()), expected, "{rest:?}");
        }
    }

    #[test]
    fn two_lists_become_one_and_the_first_line_counts() {
        let id = |text: &str| Some(text.to_owned());
        let sizes = vec![(3, Some(30)), (1, Some(10)), (3, Some(31)), (5, None)];
        let ids = vec![
            (9, id("i")),
            (2, id("b")),
            (3, id("c")),
            (2, id("x")),
            (1, None),
        ];
        let offered = |number, size, uidl: Option<&str>| Offered {
            number,
            size,
            uidl: uidl.map(str::to_owned),
        };
        let expected = [
            offered(1, Some(10), None),
            offered(2, None, Some("b")),
            offered(3, Some(30), Some("c")),
            offered(5, None, None),
            offered(9, None, Some("i")),
        ];
        assert_eq!(merge(sizes, ids), expected);
        assert_eq!(merge(vec![], vec![]), []);
    }

    #[test]
    fn a_list_has_an_end() {
        let mut counted = Counted::default();
        assert!((0..Counted::LINES_MAX).all(|_| counted.add(b"")));
        assert!(!counted.add(b""));
        let line = vec![b'1'; Counted::BYTES_MAX];
        let mut counted = Counted::default();
        assert!(counted.add(&line) && counted.add(b"") && !counted.add(b"1"));
    }
}
