//! Recognising messages that a server gave other UIDs, without downloading them. Pure.
//!
//! Size and INTERNALDATE nominate a held message, the digest of its header decides. Whatever is
//! not clear beyond that is downloaded.

use std::collections::HashMap;

use crate::catalog::PoolRow;
use crate::model::{Listed, UidSet};

/// Held messages by size and date.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<PoolRow>);

impl Pool {
    pub(super) fn new(mut rows: Vec<PoolRow>) -> Self {
        rows.sort_unstable();
        Self(rows)
    }

    /// The rows of one size and date.
    fn like(&self, message: &Listed) -> &[PoolRow] {
        let Some(date) = message.date() else {
            return &[];
        };
        let key = (message.size, date.unix);
        let begin = self.0.partition_point(|row| (row.size, row.date) < key);
        let end = self.0.partition_point(|row| (row.size, row.date) <= key);
        self.0.get(begin..end).unwrap_or_default()
    }

    /// The messages of which the headers are worth asking for.
    pub(super) fn nominate(&self, messages: &[Listed]) -> UidSet {
        let nominated = messages.iter().filter(|m| !self.like(m).is_empty());
        nominated.map(|m| m.uid).collect()
    }

    /// The messages that are recognised, with the catalog's number of their content.
    ///
    /// Of contents that share size, date and digest none is chosen, and of messages that would
    /// all be the same one there are never more than were held of it: one of them may be new.
    pub(super) fn recognise(
        &self,
        messages: &[Listed],
        heads: &HashMap<u32, u128>,
    ) -> Vec<(Listed, i64)> {
        let mut found = Vec::new();
        let mut claims: HashMap<i64, usize> = HashMap::new();
        for message in messages {
            let Some(head) = heads.get(&message.uid) else {
                continue;
            };
            let mut same = self.like(message).iter().filter(|row| row.head == *head);
            let Some(first) = same.next() else { continue };
            if same.all(|row| row.content == first.content) {
                *claims.entry(first.content).or_default() += 1;
                found.push((*message, first.content));
            }
        }
        found.retain(|(message, content)| {
            let there = self
                .like(message)
                .iter()
                .filter(|row| row.content == *content);
            claims.get(content).copied().unwrap_or(0) <= there.count()
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FlagSetId, InternalDate};

    fn row(size: u32, date: i64, head: u128, content: i64) -> PoolRow {
        PoolRow {
            size,
            date,
            head,
            content,
        }
    }

    fn listed(uid: u32, size: u32, date: i64) -> Listed {
        Listed::new(uid, size, FlagSetId::UNKNOWN, Some(InternalDate::utc(date)))
    }

    fn recognised(pool: &Pool, messages: &[Listed], heads: &[(u32, u128)]) -> Vec<(u32, i64)> {
        let heads = heads.iter().copied().collect();
        let found = pool.recognise(messages, &heads);
        found.iter().map(|(m, content)| (m.uid, *content)).collect()
    }

    #[test]
    fn only_equal_size_date_and_digest_are_recognised() {
        let pool = Pool::new(vec![
            row(10, 5, 1, 100),
            row(10, 5, 2, 101),
            row(11, 5, 1, 102),
        ]);
        let messages = [
            listed(1, 10, 5),
            listed(2, 10, 5),
            listed(3, 10, 6),
            listed(4, 12, 5),
        ];
        assert_eq!(pool.nominate(&messages).to_string(), "1:2");
        assert_eq!(
            recognised(&pool, &messages, &[(1, 2), (2, 3), (3, 1), (4, 1)]),
            [(1, 101)]
        );
        let undated = Listed::new(9, 10, FlagSetId::UNKNOWN, None);
        assert!(pool.nominate(&[undated]).is_empty());
    }

    #[test]
    fn what_could_be_several_is_downloaded() {
        // Two contents that look alike.
        let pool = Pool::new(vec![row(10, 5, 1, 100), row(10, 5, 1, 101)]);
        assert_eq!(recognised(&pool, &[listed(1, 10, 5)], &[(1, 1)]), []);
        // A twin that was not there before.
        let pool = Pool::new(vec![row(10, 5, 1, 100)]);
        let twins = [listed(1, 10, 5), listed(2, 10, 5)];
        assert_eq!(recognised(&pool, &twins, &[(1, 1), (2, 1)]), []);
        // Two copies then and now.
        let pool = Pool::new(vec![row(10, 5, 1, 100), row(10, 5, 1, 100)]);
        assert_eq!(
            recognised(&pool, &twins, &[(1, 1), (2, 1)]),
            [(1, 100), (2, 100)]
        );
    }
}
