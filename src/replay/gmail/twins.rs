//! Messages of different bytes with one Message-ID: of those Gmail keeps one.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash as _, Hasher as _};

use crate::header;
use crate::model::{ContentId, StoredContent};
use crate::replay::recognise::{Failed, died, place};
use crate::replay::report::What;
use crate::replay::run::Replay;

/// Contents by Message-ID, where several have it.
type Twins = Vec<(String, Vec<ContentId>)>;

impl Replay<'_> {
    /// Names the messages that are to be sent and of which Gmail may keep others.
    pub(in crate::replay) async fn name_twins(&mut self) -> Result<(), Failed> {
        let mut by_content: HashMap<ContentId, StoredContent> = HashMap::new();
        let sent = self.outbound.iter().map(|out| &out.item);
        let unseen = self.gmail.unseen.iter().map(|(.., item)| item);
        for item in sent.chain(unseen) {
            let stored = by_content.entry(item.content);
            stored.or_insert_with(|| self.shared.stored(item));
        }
        let mut stored: Vec<StoredContent> = by_content.into_values().collect();
        stored.sort_by(|a, b| place(a).cmp(&place(b)));
        let mut mail = self.reader.mail();
        let reading = tokio::task::spawn_blocking(move || {
            find(&stored, |content| {
                // What cannot be read is not sent either.
                let header = mail.read_header(content).ok()?;
                header::summary(&header).message_id
            })
        });
        let twins = reading.await.map_err(died)?;
        let mut others: HashMap<ContentId, (String, usize)> = HashMap::new();
        for (id, contents) in twins {
            let more = contents.len() - 1;
            others.extend(contents.into_iter().map(|c| (c, (id.clone(), more))));
        }
        let outbound = std::mem::take(&mut self.outbound);
        for out in &outbound {
            let Some((id, more)) = others.get(&out.item.content) else {
                continue;
            };
            let messages = if *more == 1 {
                "another message has".to_owned()
            } else {
                format!("{more} other messages have")
            };
            let reason = format!(
                "{messages} its Message-ID <{id}> and other bytes; Gmail may keep one of them"
            );
            let note = self.note_of(What::SameMessageId, out, reason);
            self.report.note(note);
        }
        self.outbound = outbound;
        self.gmail.twins = others.into_keys().collect();
        Ok(())
    }
}

/// Finds contents that have their Message-ID in common. Pure, but for what reads it.
fn find(
    contents: &[StoredContent],
    mut id_of: impl FnMut(&StoredContent) -> Option<String>,
) -> Twins {
    // There may be a million, and hardly any of them are twins.
    let mut first: HashMap<u64, usize> = HashMap::new();
    let mut twins: HashMap<u64, (String, Vec<usize>)> = HashMap::new();
    for (n, content) in contents.iter().enumerate() {
        let Some(id) = id_of(content) else { continue };
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let hash = hasher.finish();
        match first.entry(hash) {
            Entry::Vacant(vacant) => {
                vacant.insert(n);
            }
            Entry::Occupied(first) => {
                let twins = twins
                    .entry(hash)
                    .or_insert_with(|| (id, vec![*first.get()]));
                twins.1.push(n);
            }
        }
    }
    let content = |n: usize| contents.get(n).map(|c| c.id);
    let named =
        |(id, all): (String, Vec<usize>)| (id, all.into_iter().filter_map(content).collect());
    let mut twins: Twins = twins.into_values().map(named).collect();
    twins.sort();
    twins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LineEnds, Location};

    #[test]
    fn contents_with_one_message_id_are_found_and_others_are_not() {
        let content = |n: u8| StoredContent {
            id: ContentId::of(&[n]),
            len: 1,
            eol: LineEnds::Raw,
            head: None,
            at: Location {
                segment: String::new(),
                frame: 0,
                pos: n.into(),
                size: 1,
            },
        };
        let contents: Vec<StoredContent> = (0..6).map(content).collect();
        let ids = [Some("a"), Some("b"), None, Some("a"), None, Some("a")];
        let id_of = |c: &StoredContent| {
            let n = usize::try_from(c.at.pos).unwrap();
            ids[n].map(str::to_owned)
        };
        let twins = find(&contents, id_of);
        let all = [0, 3, 5].map(|n: u8| ContentId::of(&[n])).to_vec();
        assert_eq!(twins, [("a".to_owned(), all)]);
    }
}
