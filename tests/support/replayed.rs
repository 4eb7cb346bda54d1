//! What a replay has done, by its report and by what the server shows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dovecot::{ALICE, Dovecot};
use super::sweep_replay::{Arrived, TargetState, target_state};

/// What alice has, as a target should have it.
pub fn wanted(dovecot: &Dovecot) -> BTreeMap<String, Vec<Arrived>> {
    let mut mail = target_state(dovecot, ALICE).mail;
    for messages in mail.values_mut() {
        for (_, flags, _) in &mut *messages {
            flags.remove("\\Deleted");
        }
        messages.sort();
    }
    mail
}

/// Demands the same messages in the same mailboxes.
#[track_caller]
pub fn assert_same_mail(found: &TargetState, want: &BTreeMap<String, Vec<Arrived>>) {
    let short = |mail: &BTreeMap<String, Vec<Arrived>>| -> Vec<String> {
        let line = |name: &str, (body, flags, unix): &Arrived| {
            let start = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            format!("{name}: {start:?} {} {flags:?} {unix}", body.len())
        };
        let all = mail.iter();
        all.flat_map(|(name, list)| {
            let head = std::iter::once(format!("{name}: {}", list.len()));
            head.chain(list.iter().map(move |m| line(name, m)))
        })
        .collect()
    };
    assert_eq!(short(&found.mail), short(want));
    assert!(found.mail == *want, "other bytes");
}

/// What a report says happened, all mailboxes together.
#[track_caller]
pub fn happened(report: &Value) -> BTreeMap<&str, u64> {
    let total = report["total"].as_object().expect("a total");
    let numbers = total
        .iter()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_u64()?)));
    let numbers: BTreeMap<&str, u64> = numbers.filter(|(_, n)| *n > 0).collect();
    let n = |key: &str| numbers.get(key).copied().unwrap_or_default();
    assert_eq!(
        n("now"),
        n("before") + n("appended") + n("moved_in") - n("moved_out"),
        "{report:#}"
    );
    numbers
}

/// Nothing was sent, and all is there.
#[track_caller]
pub fn assert_nothing_to_do(report: &Value) {
    let happened = happened(report);
    let left: Vec<&&str> = happened.keys().collect();
    assert_eq!(
        left,
        [&"before", &"in_archive", &"now", &"there"],
        "{report:#}"
    );
    assert_eq!(happened["in_archive"], happened["there"]);
}
