//! Opening and listing a mailbox, also one of which not every answer can be read.

use super::line::{Dialled, Line, Trouble};
use crate::imap::{Examined, ImapError};
use crate::model::Listing;

/// A mailbox that was opened and listed.
pub(crate) struct Opened {
    pub(crate) examined: Examined,
    pub(crate) listing: Listing,
    pub(crate) unreadable: Vec<(u32, String)>,
}

pub(crate) async fn open<S: Dialled>(
    line: &mut Line<'_, S>,
    wire: &str,
) -> Result<Opened, Trouble> {
    let whole = line
        .run(async |session: &mut S| {
            let session = session.looking();
            let examined = session.examine(wire).await?;
            // QUIRK(several): a FETCH in an empty mailbox is BAD.
            let listing = if examined.exists == 0 {
                Listing::default()
            } else {
                session.list_messages("1:*").await?
            };
            Ok((examined, listing))
        })
        .await;
    match whole {
        Ok((examined, listing)) => Ok(Opened {
            examined,
            listing,
            unreadable: Vec::new(),
        }),
        Err(Trouble::Answer(error)) if is_unreadable(&error) => {
            open_in_parts(line, wire, error).await
        }
        Err(trouble) => Err(trouble),
    }
}

/// Connections spent on finding what cannot be read in one listing; a few messages cost two
/// dozen each.
const PARTS: u32 = 200;

/// Lists a mailbox by halves until the answers that cannot be read stand alone.
async fn open_in_parts<S: Dialled>(
    line: &mut Line<'_, S>,
    wire: &str,
    first: ImapError,
) -> Result<Opened, Trouble> {
    let examined = line
        .run(async |session: &mut S| session.looking().examine(wire).await)
        .await?;
    let mut opened = Opened {
        examined,
        listing: Listing::default(),
        unreadable: Vec::new(),
    };
    // A stack: the lowest UIDs on top.
    let mut ranges = vec![(
        1,
        examined
            .uidnext
            .map_or(u32::MAX, |next| next.saturating_sub(1).max(1)),
        first,
    )];
    let mut broken = 0;
    while let Some((from, to, error)) = ranges.pop() {
        if from == to {
            opened.unreadable.push((from, error.to_string()));
            continue;
        }
        let middle = from + (to - from) / 2;
        for (from, to) in [(from, middle), (middle + 1, to)] {
            let range = format!("{from}:{to}");
            let part = line
                .run(async |session: &mut S| {
                    let session = session.looking();
                    session.examine(wire).await?;
                    session.list_messages(&range).await
                })
                .await;
            match part {
                Ok(part) => opened.listing.absorb(part, from..=to),
                Err(Trouble::Answer(error)) if is_unreadable(&error) && broken < PARTS => {
                    broken += 1;
                    ranges.push((from, to, error));
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }
    opened.listing.messages.sort_by_key(|message| message.uid);
    opened.unreadable.sort();
    Ok(opened)
}

pub(crate) const fn is_unreadable(error: &ImapError) -> bool {
    matches!(
        error,
        ImapError::Parse { .. } | ImapError::LiteralTooLarge { .. } | ImapError::AnswerTooLarge
    )
}
