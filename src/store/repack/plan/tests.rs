use super::*;

const POLICY: RepackPolicy = RepackPolicy {
    full: 12_000,
    frames: 32,
    carry: 16_000,
    budget: 256_000,
};

/// Frames of these texts, a quarter of it on disk each, behind `before` bytes.
fn frames(before: u64, texts: &[u64]) -> (Vec<Frame>, u64) {
    let mut at = before;
    let mut frames = Vec::new();
    for text in texts {
        frames.push(Frame {
            offset: at,
            text: *text,
        });
        at += text / 4;
    }
    (frames, at)
}

fn decided(before: u64, texts: &[u64]) -> Option<Decision> {
    let (tail, len) = frames(before, texts);
    decide(&tail, len, &POLICY, POLICY.budget)
}

#[test]
fn few_small_frames_stay_and_many_or_enough_to_fill_one_do_not() {
    assert_eq!(decided(0, &[]), None);
    assert_eq!(decided(0, &[100; 31]), None);
    assert_eq!(decided(0, &[100; 32]).map(|d| d.merge), Some(0..32));
    assert_eq!(decided(0, &[2_999; 4]), None);
    assert_eq!(decided(0, &[2_999; 5]).map(|d| d.merge), Some(0..5));
    assert!(POLICY.is_small(2_999) && !POLICY.is_small(3_000));
}

#[test]
fn what_stands_before_is_carried_along_or_stays_sealed() {
    // Large frames before the tail: few bytes of them are copied, many are not.
    let little = decided(15_999, &[100; 32]).unwrap();
    assert_eq!((little.from, little.cost), (0, 15_999 + 3_200));
    let much = decided(16_000, &[100; 32]).unwrap();
    assert_eq!((much.from, much.cost), (16_000, 3_200));
}

#[test]
fn a_large_frame_of_the_tail_waits_until_there_is_as_much_behind_it() {
    let mut texts = vec![2_900];
    texts.extend([50; 32]);
    // 2,900 is more than half of 4,500.
    assert_eq!(decided(0, &texts).unwrap().merge, 1..33);
    texts.extend([50; 26]);
    assert_eq!(decided(0, &texts).unwrap().merge, 0..59);
    // It is carried along, not left to be sealed as it is.
    let carried = decided(20_000, &texts[..33]).unwrap();
    assert_eq!((carried.from, carried.merge), (20_000, 1..33));
}

#[test]
fn a_budget_takes_the_first_ones_and_leaves_the_rest_for_the_next_run() {
    let (tail, len) = frames(0, &[1_000; 100]);
    let first = decide(&tail, len, &POLICY, 40_000).unwrap();
    assert_eq!(first.merge, 0..40);
    // Forty merged, sixty copied.
    assert_eq!(first.cost, 40_000 + 60 * 250);
    // Not even one full frame: nothing is gained by a half-way job.
    assert_eq!(decide(&tail, len, &POLICY, 11_999), None);
    assert_eq!(decide(&tail, len, &POLICY, 0), None);
}

/// As the writer does it: frames in order, none split, a new one where the next does not fit.
fn merged(texts: &[u64]) -> Vec<u64> {
    let mut out: Vec<u64> = Vec::new();
    for text in texts {
        match out.last_mut() {
            Some(last) if *last + text <= POLICY.full => *last += text,
            _ => out.push(*text),
        }
    }
    out
}

/// Nights of so many bytes each; gives the frames at the end, and the bytes written again.
fn nights(count: usize, text: impl Fn(usize) -> u64) -> (Vec<u64>, u64, u64) {
    let (mut all, mut again, mut total) = (Vec::new(), 0, 0);
    for night in 0..count {
        all.push(text(night));
        total += text(night);
        let small = all
            .iter()
            .rev()
            .take_while(|text| POLICY.is_small(**text))
            .count();
        let tail_at = all.len() - small;
        if let Some(decision) = decided(0, &all[tail_at..]) {
            let start = tail_at + decision.merge.start;
            again += all[start..].iter().sum::<u64>();
            let new = merged(&all[start..]);
            all.truncate(start);
            all.extend(new);
            let tail: Vec<u64> = all[tail_at.min(all.len())..]
                .iter()
                .rev()
                .take_while(|text| POLICY.is_small(**text))
                .copied()
                .collect();
            let tail: Vec<u64> = tail.into_iter().rev().collect();
            assert_eq!(
                decided(0, &tail),
                None,
                "night {night}: once more in the same run"
            );
        }
    }
    (all, again, total)
}

#[test]
fn years_of_nights_leave_few_small_frames_and_move_little() {
    for (name, text) in [
        ("tiny", 3_u64),
        ("little", 60),
        ("some", 400),
        ("much", 2_900),
    ] {
        let (left, again, total) = nights(2_000, |_| text);
        let small = left.iter().filter(|t| POLICY.is_small(**t)).count();
        assert!(small < 32 + 12, "{name}: {small} small frames left");
        assert!(again < 12 * total, "{name}: {again} of {total} moved");
    }
    // By turns.
    let (left, again, total) = nights(2_000, |n| [5, 700, 60, 2_000, 1][n % 5]);
    let small = left.iter().filter(|t| POLICY.is_small(**t)).count();
    assert!(small < 32 + 12, "{small} small frames left");
    assert!(again < 12 * total, "{again} of {total} moved");
}
