//! Choosing a sample. Pure: the same seed and the same mail give the same sample.

use std::collections::BinaryHeap;

/// The place of a message in the queue for a sample, by chance.
#[must_use]
pub(crate) fn priority(seed: u64, mailbox: &str, name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    // A zero byte is in neither name, so no two pairs run together.
    hasher
        .update(&seed.to_le_bytes())
        .update(mailbox.as_bytes())
        .update(&[0])
        .update(name.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The candidates of one mailbox: those that come first in the queue, as many as can be needed.
#[derive(Debug)]
pub(crate) struct Pool {
    most: usize,
    healed: BinaryHeap<(u64, u32)>,
    others: BinaryHeap<(u64, u32)>,
}

impl Pool {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            most,
            healed: BinaryHeap::new(),
            others: BinaryHeap::new(),
        }
    }

    /// Adds a candidate; `id` tells it from others of its mailbox.
    pub(crate) fn push(&mut self, priority: u64, id: u32, healed: bool) {
        let heap = if healed {
            &mut self.healed
        } else {
            &mut self.others
        };
        heap.push((priority, id));
        if heap.len() > self.most {
            heap.pop();
        }
    }
}

/// Draws `n` messages: up to half of them from the healed ones, which are proven least, and the
/// rest from the others, or from the healed ones where there are not enough. Each mailbox gives
/// one before any gives a second.
#[must_use]
pub(crate) fn draw(pools: Vec<Pool>, n: usize) -> Vec<Vec<u32>> {
    let mut chosen: Vec<Vec<u32>> = vec![Vec::new(); pools.len()];
    let (mut healed, mut others) = (Vec::new(), Vec::new());
    for (mailbox, pool) in pools.into_iter().enumerate() {
        for (heap, queue) in [(pool.healed, &mut healed), (pool.others, &mut others)] {
            let ranked = heap.into_sorted_vec().into_iter().enumerate();
            queue.extend(ranked.map(|(rank, (priority, id))| (rank, priority, mailbox, id)));
        }
    }
    healed.sort_unstable();
    others.sort_unstable();
    let rest = healed.split_off(n.div_ceil(2).min(healed.len()));
    let queue = healed.into_iter().chain(others).chain(rest);
    for (_, _, mailbox, id) in queue.take(n) {
        if let Some(ids) = chosen.get_mut(mailbox) {
            ids.push(id);
        }
    }
    chosen.iter_mut().for_each(|ids| ids.sort_unstable());
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mailboxes with so many healed and other messages; ids below 1000 are healed.
    fn sample(mailboxes: &[(u32, u32)], n: usize, seed: u64) -> Vec<Vec<u32>> {
        let pool = |(at, (healed, others)): (usize, &(u32, u32))| {
            let mut pool = Pool::new(n);
            let ids = (0..*healed).chain(1000..1000 + others);
            for id in ids {
                pool.push(
                    priority(seed, &at.to_string(), &id.to_string()),
                    id,
                    id < 1000,
                );
            }
            pool
        };
        draw(mailboxes.iter().enumerate().map(pool).collect(), n)
    }

    #[test]
    fn every_mailbox_gives_one_before_any_gives_two() {
        let sizes = |chosen: &[Vec<u32>]| chosen.iter().map(Vec::len).collect::<Vec<_>>();
        let chosen = sample(&[(0, 500), (0, 1), (0, 3), (0, 0)], 6, 7);
        let got = sizes(&chosen);
        assert_eq!((got[1], got[3], got.iter().sum::<usize>()), (1, 0, 6));
        assert!(got[0] >= 2 && got[2] >= 2, "{got:?}");
    }

    #[test]
    fn half_of_it_is_healed_where_there_are_as_many() {
        let healed = |chosen: &[Vec<u32>]| chosen.iter().flatten().filter(|id| **id < 1000).count();
        assert_eq!(healed(&sample(&[(50, 50), (9, 90)], 20, 1)), 10);
        assert_eq!(healed(&sample(&[(3, 50)], 20, 1)), 3);
        assert_eq!(healed(&sample(&[(50, 4)], 20, 1)), 16);
        assert_eq!(healed(&sample(&[(1, 50)], 1, 1)), 1);
    }

    proptest! {
        #[test]
        fn a_sample_is_as_large_as_asked_and_the_same_for_the_same_seed(
            mailboxes in proptest::collection::vec((0u32..30, 0u32..30), 0..6),
            n in 0usize..60,
            seed: u64,
        ) {
            let chosen = sample(&mailboxes, n, seed);
            let all: u32 = mailboxes.iter().map(|(a, b)| a + b).sum();
            prop_assert_eq!(chosen.iter().map(Vec::len).sum::<usize>(), n.min(all as usize));
            for (ids, (healed, others)) in chosen.iter().zip(&mailboxes) {
                let mut unique = ids.clone();
                unique.dedup();
                prop_assert_eq!(unique.len(), ids.len());
                prop_assert!(ids.iter().all(|id| id < healed || (1000..1000 + others).contains(id)));
            }
            prop_assert_eq!(&sample(&mailboxes, n, seed), &chosen);
        }
    }

    #[test]
    fn another_seed_gives_another_sample() {
        assert_ne!(sample(&[(0, 900)], 20, 1), sample(&[(0, 900)], 20, 2));
    }
}
