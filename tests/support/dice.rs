//! Chance that can be repeated: a seed that is printed, and may be given.

/// A small generator (splitmix64), good enough to choose what happens next.
#[derive(Debug, Clone)]
pub struct Dice {
    pub seed: u64,
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// From `MAILSTOW_SEED`, else from the clock; says which.
    pub fn thrown(what: &str) -> Self {
        let given = std::env::var("MAILSTOW_SEED").ok();
        let seed = given.map_or_else(clock, |seed| seed.parse().expect("a number"));
        println!("{what}: MAILSTOW_SEED={seed}");
        Self::new(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A part of these, in order, of `n` at most.
    pub fn some<T: Copy>(&mut self, all: &[T], n: usize) -> Vec<T> {
        let mut chosen: Vec<usize> = (0..n).map(|_| self.below(all.len())).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
            .iter()
            .filter_map(|at| all.get(*at))
            .copied()
            .collect()
    }
}

fn clock() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs() * 1000 + u64::from(since.subsec_millis())
}
