//! The copies of a message that may have been sent in its stead. Pure.

use crate::replay::repair::{Repairs, repair};

/// The copies that a replay with repairs sends of a message, as far as a print tells them from
/// it: NULs and line ends are equal in a print anyway.
pub(in crate::replay) fn repaired_copies(message: &[u8]) -> Vec<Vec<u8>> {
    let [mut lines, mut receipts] = [Repairs::default(); 2];
    lines.long_lines = true;
    receipts.disarm_receipts = true;
    let both = Repairs {
        long_lines: true,
        disarm_receipts: true,
        ..Repairs::default()
    };
    [lines, receipts, both]
        .into_iter()
        .filter_map(|repairs| repair(message, repairs))
        .map(|repaired| repaired.bytes)
        .collect()
}
