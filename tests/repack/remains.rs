//! What a run leaves behind that died while it wrote a segment anew.

use mailstow::model::ContentId;

use super::*;
use support::sweep::copy;

/// An archive before a repacking run, and the same after it. No death lies between.
struct Around {
    nights: Nights,
    before: PathBuf,
    after: PathBuf,
}

/// With `large` messages in a frame before the small ones.
fn around(large: u32) -> Around {
    let mut nights = Nights::new();
    let (before, after) = (
        nights.dir.path().join("before"),
        nights.dir.path().join("after"),
    );
    if large > 0 {
        night(&mut nights, 1_000..1_000 + large);
    }
    for n in 1..=6 {
        let mut night = begin(&mut nights, n..n + 1);
        night.commit();
        night.end(0);
    }
    // A death, so that nothing is marked clean.
    drop(begin(&mut nights, 1..1));
    copy(&nights.root(), &before);
    let mut night = begin(&mut nights, 7..8);
    night.commit();
    repack(&mut night.writer);
    drop(night);
    copy(&nights.root(), &after);
    Around {
        nights,
        before,
        after,
    }
}

fn mail(archive: &Path) -> PathBuf {
    archive.join("mail/me@example.org/INBOX")
}

/// Opens an archive for writing and ends in good order; gives what was found.
fn reopen(archive: &Path) -> mailstow::store::Findings {
    let options = mailstow::store::OpenOptions::default();
    let writer = support::nights::open(&options, archive);
    let findings = writer.findings().clone();
    writer.finish().unwrap();
    findings
}

fn hold(archive: &Path, messages: std::ops::RangeInclusive<u32>) {
    let state = state(archive);
    for n in messages {
        let id = ContentId::of(&support::nights::message(n)).to_string();
        assert!(state.contents.contains_key(&id), "message {n} is lost");
    }
}

#[test]
fn a_new_segment_that_nobody_named_is_removed_and_nothing_is_adopted() {
    let around = around(0);
    let archive = &around.before;
    std::fs::copy(
        mail(&around.after).join("000002.mbox.zst"),
        mail(archive).join("000002.mbox.zst"),
    )
    .unwrap();
    // Message 7 was committed after `before`, so this file has one that is held nowhere else.
    let findings = reopen(archive);
    assert_eq!(findings.adopted, 1, "{findings:?}");
    hold(archive, 1..=7);
    // Without it all are held.
    let around = self::around(0);
    let archive = &around.after;
    std::fs::copy(
        mail(archive).join("000002.mbox.zst"),
        mail(archive).join("000005.mbox.zst"),
    )
    .unwrap();
    let findings = reopen(archive);
    assert_eq!(findings, mailstow::store::Findings::default());
    assert_eq!(names(archive), ["000002.mbox.zst"]);
    hold(archive, 1..=7);
    drop(around.nights);
}

#[test]
fn an_old_segment_that_was_replaced_and_is_there_still_is_removed() {
    let around = around(0);
    let archive = &around.after;
    assert_eq!(names(archive), ["000002.mbox.zst"]);
    std::fs::copy(
        mail(&around.before).join("000001.mbox.zst"),
        mail(archive).join("000001.mbox.zst"),
    )
    .unwrap();
    let findings = reopen(archive);
    assert_eq!(findings, mailstow::store::Findings::default());
    assert_eq!(names(archive), ["000002.mbox.zst"]);
    hold(archive, 1..=7);
}

#[test]
fn a_copy_that_a_person_made_is_left_alone() {
    let around = around(0);
    let archive = &around.after;
    std::fs::copy(
        mail(archive).join("000002.mbox.zst"),
        mail(archive).join("mine.mbox.zst"),
    )
    .unwrap();
    reopen(archive);
    assert_eq!(names(archive), ["000002.mbox.zst", "mine.mbox.zst"]);
}

#[test]
fn an_old_segment_is_cut_back_to_the_part_that_stayed() {
    let around = around(400);
    let archive = &around.after;
    assert_eq!(names(archive), ["000001.mbox.zst", "000002.mbox.zst"]);
    let cut = std::fs::read(mail(archive).join("000001.mbox.zst")).unwrap();
    let uncut = mail(&around.before).join("000001.mbox.zst");
    assert!(std::fs::metadata(&uncut).unwrap().len() > cut.len() as u64);
    std::fs::copy(&uncut, mail(archive).join("000001.mbox.zst")).unwrap();
    // Whoever only reads meanwhile finds nothing wrong.
    let reader = mailstow::store::Reader::open(archive, None).unwrap();
    let report = mailstow::verify::verify(
        &reader,
        &mailstow::verify::VerifyOptions::default(),
        &mailstow::event::Silent,
    );
    let report = report.unwrap();
    assert_eq!((report.findings.len(), report.unnamed.len()), (0, 1));
    drop(reader);
    let findings = reopen(archive);
    assert_eq!(findings, mailstow::store::Findings::default());
    assert_eq!(
        std::fs::read(mail(archive).join("000001.mbox.zst")).unwrap(),
        cut
    );
    hold(archive, 1..=7);
}

/// The medium lost what it had promised: the old copy, if it is there still, is taken.
#[test]
fn the_old_copy_is_not_removed_when_the_new_one_is_broken() {
    for large in [0, 400] {
        let around = around(large);
        let archive = &around.after;
        std::fs::copy(
            mail(&around.before).join("000001.mbox.zst"),
            mail(archive).join("000001.mbox.zst"),
        )
        .unwrap();
        let new = mail(archive).join("000002.mbox.zst");
        let mut bytes = std::fs::read(&new).unwrap();
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        std::fs::write(&new, bytes).unwrap();
        let findings = reopen(archive);
        // Message 7 stood in the new file only.
        assert_eq!(findings.damaged.len(), 1, "{findings:?}");
        assert_eq!(findings.damaged[0].1, 1, "{findings:?}");
        let reader = mailstow::store::Reader::open(archive, None).unwrap();
        let mut mail = reader.mail();
        for n in 1..=6 {
            let id = ContentId::of(&support::nights::message(n));
            let content = reader.catalog().content(id).unwrap().unwrap();
            assert_eq!(
                mail.read_to_vec(&content).unwrap(),
                support::nights::message(n)
            );
            assert!(reader.catalog().holds(id).unwrap());
        }
        let sound = mailstow::verify::verify(
            &reader,
            &mailstow::verify::VerifyOptions::default(),
            &mailstow::event::Silent,
        );
        assert_eq!(sound.unwrap().findings, []);
    }
}
