//! Every cut and every flipped bit of a small log, and chains that do not fit.

use super::*;
use crate::archive::format::Seal;
use crate::durable;

fn record(n: u64) -> Record {
    Record::Seal(Seal {
        segment: format!("a/{n}"),
        len: n,
    })
}

fn write(dir: &Path, frames: u64) -> Vec<u64> {
    let mut log = LogWriter::<Record>::open(dir, "id", LogPosition::START).unwrap();
    (0..frames)
        .map(|n| {
            log.append(1, "2026-01-01T00:00:00Z", &[record(n)])
                .unwrap()
                .offset
        })
        .collect()
}

fn read(dir: &Path) -> (usize, Option<LogError>) {
    let mut reader = LogReader::<Record>::new(dir, "id", LogPosition::START);
    let mut count = 0;
    loop {
        match reader.next_frame() {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, None),
            Err(e) => return (count, Some(e)),
        }
    }
}

#[test]
fn a_cut_anywhere_is_a_torn_tail_and_writing_goes_on_behind_the_last_whole_frame() {
    let dir = tempfile::tempdir().unwrap();
    let ends = write(dir.path(), 3);
    let path = log_file(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    for end in 0..whole.len() {
        let cut = end as u64;
        std::fs::remove_file(&path).unwrap();
        durable::create_new(&path).unwrap();
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .map(|mut f| io::Write::write_all(&mut f, &whole[..end]))
            .unwrap()
            .unwrap();
        let whole_frames = ends.iter().filter(|e| **e <= cut).count();
        let (count, error) = read(dir.path());
        assert_eq!(count, whole_frames, "cut at {cut}");
        let at_boundary = cut == 0 || ends.contains(&cut);
        assert_eq!(
            matches!(error, Some(LogError::Torn { .. })),
            !at_boundary,
            "cut at {cut}: {error:?}"
        );

        let mut reader = LogReader::<Record>::new(dir.path(), "id", LogPosition::START);
        while let Ok(Some(_)) = reader.next_frame() {}
        let mut log = LogWriter::<Record>::open(dir.path(), "id", reader.position()).unwrap();
        log.append(2, "2026-01-02T00:00:00Z", &[record(9)]).unwrap();
        assert!(
            matches!(read(dir.path()), (n, None) if n == whole_frames + 1),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let ends = write(dir.path(), 3);
    let path = log_file(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        std::fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .map(|mut f| io::Write::write_all(&mut f, &bad))
            .unwrap()
            .unwrap();
        let (count, error) = read(dir.path());
        let frame = ends.iter().filter(|e| **e <= at as u64).count();
        // zstd has bits that change nothing. Such a frame says what it always said; the chain
        // still finds it out, at the frame behind it.
        assert!(
            count == frame || count == frame + 1,
            "flip at {at}: {count} frames read"
        );
        if frame < 2 {
            assert!(
                matches!(error, Some(LogError::Damaged { .. })),
                "flip at {at}: {error:?}"
            );
        } else if count == frame {
            assert!(
                matches!(
                    error,
                    Some(LogError::Torn { .. } | LogError::Damaged { .. })
                ),
                "flip at {at}: {error:?}"
            );
        }
    }
}

#[test]
fn another_archives_log_a_missing_file_and_a_swapped_frame_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let ends = write(dir.path(), 3);
    let mut other = LogReader::<Record>::new(dir.path(), "other", LogPosition::START);
    assert!(matches!(other.next_frame(), Err(LogError::Damaged { .. })));
    let ahead = LogPosition {
        file: 2,
        offset: 5,
        hash: [1; 32],
        commit: 9,
    };
    assert!(matches!(
        LogReader::<Record>::new(dir.path(), "id", ahead).next_frame(),
        Err(LogError::Damaged { .. })
    ));
    let ahead = LogPosition {
        file: 1,
        offset: ends[2] + 1,
        hash: [1; 32],
        commit: 4,
    };
    assert!(matches!(
        LogReader::<Record>::new(dir.path(), "id", ahead).next_frame(),
        Err(LogError::Damaged { .. })
    ));
    // Cut the first frame out: the rest is whole, but not a log.
    let path = log_file(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .map(|mut f| io::Write::write_all(&mut f, &whole[usize::try_from(ends[0]).unwrap()..]))
        .unwrap()
        .unwrap();
    assert!(matches!(
        read(dir.path()),
        (0, Some(LogError::Damaged { .. }))
    ));
}

#[test]
fn unknown_kinds_are_passed_over_and_unknown_critical_ones_are_named() {
    #[derive(Serialize, serde::Deserialize, Debug)]
    #[serde(tag = "k", rename_all = "lowercase")]
    enum Later {
        Sparkle { x: u8 },
        Shine { x: u8 },
    }
    impl LogRecord for Later {
        const KINDS: &'static [&'static str] = &["sparkle", "shine"];
        fn kind(&self) -> (&'static str, bool) {
            match self {
                Self::Sparkle { .. } => ("sparkle", false),
                Self::Shine { .. } => ("shine", true),
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::<Later>::open(dir.path(), "id", LogPosition::START).unwrap();
    log.append(1, "", &[Later::Sparkle { x: 1 }]).unwrap();
    log.append(1, "", &[Later::Shine { x: 1 }]).unwrap();
    let mut reader = LogReader::<Record>::new(dir.path(), "id", LogPosition::START);
    assert!(
        reader
            .next_frame()
            .unwrap()
            .unwrap()
            .unknown_critical
            .is_empty()
    );
    assert_eq!(
        reader.next_frame().unwrap().unwrap().unknown_critical,
        ["shine"]
    );
}

#[test]
fn a_file_missing_in_the_middle_is_damage_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2);
    durable::create_new(&log_file(dir.path(), 3)).unwrap();
    assert!(matches!(
        read(dir.path()),
        (2, Some(LogError::Damaged { .. }))
    ));
}
