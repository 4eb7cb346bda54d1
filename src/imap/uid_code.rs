//! The UIDs a server tells of what it stored or moved (UIDPLUS, RFC 4315).

use imap_proto::ResponseCode;
use imap_proto::rfc4315::UidSetMember;

/// More UIDs than any command of ours makes: a set of four thousand millions is twenty bytes.
const MAX_UIDS: u64 = 4096;

/// APPENDUID or COPYUID, with its sets written out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum UidCode {
    Append {
        uidvalidity: u32,
        uids: Vec<u32>,
    },
    Copy {
        uidvalidity: u32,
        from: Vec<u32>,
        to: Vec<u32>,
    },
}

impl UidCode {
    /// `None` for any other code, and for sets that are too large or hold a zero.
    pub(super) fn of(code: &ResponseCode<'_>) -> Option<Self> {
        match code {
            ResponseCode::AppendUid(uidvalidity, set) => Some(Self::Append {
                uidvalidity: *uidvalidity,
                uids: uids(set)?,
            }),
            ResponseCode::CopyUid(uidvalidity, from, to) => Some(Self::Copy {
                uidvalidity: *uidvalidity,
                from: uids(from)?,
                to: uids(to)?,
            }),
            _ => None,
        }
    }
}

/// In the order written, a range upwards (RFC 4315 §3).
fn uids(set: &[UidSetMember]) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    let mut room = MAX_UIDS;
    for member in set {
        let (begin, end) = match member {
            UidSetMember::Uid(uid) => (*uid, *uid),
            UidSetMember::UidRange(range) => (*range.start(), *range.end()),
        };
        let count = u64::from(end.checked_sub(begin)?) + 1;
        room = room.checked_sub(count)?;
        if begin == 0 {
            return None;
        }
        all.extend(begin..=end);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_out_within_reason() {
        let one = UidSetMember::Uid;
        let many = |a, b| UidSetMember::UidRange(a..=b);
        for (set, written) in [
            (vec![one(7)], Some(vec![7])),
            (vec![many(7, 9), one(3)], Some(vec![7, 8, 9, 3])),
            (
                vec![many(u32::MAX - 1, u32::MAX)],
                Some(vec![u32::MAX - 1, u32::MAX]),
            ),
            (vec![many(1, 4096)], Some((1..=4096).collect())),
            (vec![many(1, 4096), one(5)], None),
            (vec![many(1, u32::MAX)], None),
            (vec![one(1), one(0)], None),
        ] {
            let code = ResponseCode::AppendUid(5, set);
            let told = written.map(|uids| UidCode::Append {
                uidvalidity: 5,
                uids,
            });
            assert_eq!(UidCode::of(&code), told);
        }
        assert_eq!(UidCode::of(&ResponseCode::UidNext(5)), None);
    }
}
