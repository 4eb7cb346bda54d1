//! The filter between a server that sends anything and a parser that must survive it.

use std::path::Path;
use std::sync::Arc;

use std::pin::Pin;
use std::task::{Context, Poll};
use tempfile::TempDir;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::*;

const TOKEN: &str = "0123456789abcdef";

/// Gives the filter its bytes in pieces of a fixed size, then ends.
struct Chunks<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl AsyncRead for Chunks<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (now, rest) = this
            .bytes
            .split_at(this.size.min(buf.remaining()).min(this.bytes.len()));
        buf.put_slice(now);
        this.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

fn spool(folder: &Path, threshold: u64) -> SpoolOptions {
    let folder = folder.to_owned();
    let opened = std::sync::atomic::AtomicU32::new(0);
    let open = Arc::new(move || {
        let n = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.join(n.to_string());
        Ok((std::fs::File::create_new(&path)?, path))
    });
    SpoolOptions {
        threshold,
        ..SpoolOptions::new(open)
    }
}

fn filter(bytes: &[u8], size: usize, spool: Option<SpoolOptions>) -> WireFilter<Chunks<'_>> {
    WireFilter::new(Chunks { bytes, size }, spool, TOKEN.to_owned())
}

/// Everything the parser gets, and how it ended.
async fn drain(filter: &mut WireFilter<Chunks<'_>>) -> (Vec<u8>, io::Error) {
    let mut got = Vec::new();
    let mut buf = vec![0; 4096];
    loop {
        match filter.read(&mut buf).await {
            Ok(n) => got.extend_from_slice(&buf[..n]),
            Err(error) => return (got, error),
        }
    }
}

async fn passes(sent: &str, got: &str) {
    for size in [1, 2, 7, 1 << 20] {
        let (bytes, error) = drain(&mut filter(sent.as_bytes(), size, None)).await;
        assert_eq!(String::from_utf8(bytes).unwrap(), got, "chunks of {size}");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

async fn refuses(sent: &str) -> WireError {
    let dir = TempDir::new().unwrap();
    let mut filter = filter(sent.as_bytes(), 3, Some(spool(dir.path(), 10)));
    let (_, error) = drain(&mut filter).await;
    *error.into_inner().unwrap().downcast().unwrap()
}

#[tokio::test]
async fn what_is_useful_passes_and_the_rest_is_dropped() {
    passes(
        "* OK [ALERT]hi {3}\r\n\r\n* METADATA {4}\r\na\r\nb x\r\n* 1 FETCH (UID 1 BODY[] ~{2+}\r\n\n\n)\nm1 OK\r\n",
        "* OK [ALERT] hi {3}\r\n* 1 FETCH (UID 1 BODY[] {2}\r\n\n\n)\r\nm1 OK\r\n",
    )
    .await;
    passes(
        "* 1 FETCH (BODY[] {0}\r\n UID 4)\r\n",
        "* 1 FETCH (BODY[] {0}\r\n UID 4)\r\n",
    )
    .await;
    passes(
        "* 1 FETCH (INTERNALDATE NIL BODY[] {16}\r\nINTERNALDATE NIL)\r\n",
        "* 1 FETCH (INTERNALDATE \"?\" BODY[] {16}\r\nINTERNALDATE NIL)\r\n",
    )
    .await;
}

#[tokio::test]
async fn a_large_literal_goes_to_the_spool_and_the_file_goes_with_its_owner() {
    let dir = TempDir::new().unwrap();
    let body = "From here\r\n* 9 FETCH (BODY[] {99}\r\n0123456789abcdef0";
    let sent = format!(
        "* 1 FETCH (UID 1 BODY[] {{{}}}\r\n{body} FLAGS ())\r\n",
        body.len()
    );
    for size in [1, 5, 1 << 20] {
        let mut filter = filter(sent.as_bytes(), size, Some(spool(dir.path(), 10)));
        let expected = format!("* 1 FETCH (UID 1 BODY[] {{17}}\r\n{TOKEN}0 FLAGS ())\r\n");
        let mut got = vec![0; expected.len()];
        filter.read_exact(&mut got).await.unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), expected);
        let spooled = filter.take_spooled(format!("{TOKEN}0").as_bytes()).unwrap();
        assert!(
            filter
                .take_spooled(format!("{TOKEN}0").as_bytes())
                .is_none()
        );
        assert_eq!(spooled.len(), body.len() as u64);
        assert_eq!(std::fs::read(spooled.path()).unwrap(), body.as_bytes());
        drop(spooled);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_forged_stand_in_is_a_message_like_any_other() {
    let dir = TempDir::new().unwrap();
    let sent = format!("* 1 FETCH (UID 1 BODY[] {{17}}\r\n{TOKEN}0)\r\n");
    let mut filter = filter(sent.as_bytes(), 100, Some(spool(dir.path(), 1000)));
    filter.read_exact(&mut vec![0; sent.len()]).await.unwrap();
    // Even with the token known, nothing was spooled in this response.
    assert!(
        filter
            .take_spooled(format!("{TOKEN}0").as_bytes())
            .is_none()
    );
}

#[tokio::test]
async fn many_small_literals_in_one_response_do_not_add_up_in_memory() {
    let dir = TempDir::new().unwrap();
    let mut filter = filter(
        b"* 1 FETCH (X {8}\r\n12345678 Y {8}\r\n12345678 Z {2}\r\n12)\r\n",
        3,
        Some(spool(dir.path(), 10)),
    );
    let (got, _) = drain(&mut filter).await;
    let expected =
        format!("* 1 FETCH (X {{8}}\r\n12345678 Y {{17}}\r\n{TOKEN}0 Z {{2}}\r\n12)\r\n");
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[tokio::test]
async fn a_message_cut_short_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let sent = "* 1 FETCH (UID 1 BODY[] {100}\r\nhalf";
    let mut filter = filter(sent.as_bytes(), 4, Some(spool(dir.path(), 10)));
    let (_, error) = drain(&mut filter).await;
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    drop(filter);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn impossible_literals_are_refused_before_anything_is_allocated() {
    for number in [
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "99999999999999999999999999",
    ] {
        let error = refuses(&format!("* 1 FETCH (BODY[] {{{number}}}\r\n")).await;
        assert!(
            matches!(&error, WireError::Literal { announced, limit } if announced == number && *limit == u64::from(u32::MAX)),
            "{error:?}"
        );
    }
    for other in ["* LIST () \"/\" {11}\r\n", "* METADATA {11}\r\n"] {
        assert!(matches!(
            refuses(other).await,
            WireError::Literal { limit: 10, .. }
        ));
    }
}

#[tokio::test]
async fn lines_without_end_and_structures_without_end_are_refused() {
    for open in [
        "* 1 FETCH (UID (\r\n",
        "* 1 FETCH (X \"a)\r\n",
        "* 1 FETCH (X {1}\r\n)\r\n",
    ] {
        assert!(
            matches!(refuses(open).await, WireError::Malformed),
            "{open}"
        );
    }
    assert!(matches!(
        refuses(&format!("* 1 FETCH (BODY {}", "(".repeat(100_000) + "\r\n")).await,
        WireError::Malformed
    ));
    let long = "x".repeat(MAX_LINES + 1);
    let mut filter = filter(long.as_bytes(), 1 << 20, None);
    let (_, error) = drain(&mut filter).await;
    assert!(error.into_inner().unwrap().downcast::<WireError>().is_ok());
}

#[tokio::test]
async fn a_spool_that_cannot_be_written_is_told_from_a_broken_connection() {
    let open = Arc::new(|| Err(io::ErrorKind::StorageFull.into()));
    let options = SpoolOptions {
        threshold: 1,
        ..SpoolOptions::new(open)
    };
    let mut filter = filter(b"* 1 FETCH (BODY[] {9}\r\n123456789)\r\n", 4, Some(options));
    let (_, error) = drain(&mut filter).await;
    let error: WireError = *error.into_inner().unwrap().downcast().unwrap();
    assert!(
        matches!(error, WireError::Spool(error) if error.source.kind() == io::ErrorKind::StorageFull)
    );
}

#[tokio::test]
async fn one_line_at_a_time_so_that_what_follows_can_be_seen() {
    let mut filter = filter(b"m1 OK begin TLS\r\nm2 OK injected\r\n", 1000, None);
    let mut buf = vec![0; 4096];
    let n = filter.read(&mut buf).await.unwrap();
    assert_eq!(&buf[..n], b"m1 OK begin TLS\r\n");
    assert!(filter.has_unread());
    assert_eq!(filter.status_line(), b"m1 OK begin TLS\r\n");
    assert!(filter.into_inner().is_none());
}

/// Speed of the filter alone; run with `--release --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn measure_a_gigabyte() {
    for size in [2_000usize, 30_000, 4_000_000] {
        let mut one = format!("* 1 FETCH (UID 1 BODY[] {{{size}}}\r\n").into_bytes();
        one.extend(std::iter::repeat_n(b'x', size));
        one.extend_from_slice(b")\r\n");
        let bytes = one.repeat((1 << 28) / one.len());
        let started = std::time::Instant::now();
        let mut left = 4;
        let mut buf = vec![0; 1 << 20];
        while left > 0 {
            let mut filter = filter(&bytes, 1 << 20, None);
            while filter.read(&mut buf).await.is_ok() {}
            left -= 1;
        }
        println!("messages of {size}: {:?} per GiB", started.elapsed());
    }
}

#[tokio::test]
async fn answers_beside_the_parser_are_kept_whole_and_within_reason() {
    let sent = "* ESEARCH (TAG \"m2\") UID {3}\r\nALL 1:9\r\n* quota a (STORAGE 1 2)\r\n\
                * QUOTA {1}\r\nb (STORAGE 1 2)\r\n* QUOTAROOT x a\r\n* NAMESPACE NIL NIL NIL\r\n\
                * QUOTA c ()\r\n";
    let mut filter = filter(sent.as_bytes(), 7, None);
    drain(&mut filter).await;
    let kept = filter.take_aside("QUOTA");
    assert_eq!(
        kept,
        [&b"* quota a (STORAGE 1 2)\r\n"[..], b"* QUOTA c ()\r\n"]
    );
    // What was not asked for is gone with it.
    assert!(filter.take_aside("NAMESPACE").is_empty());

    let many: String = (0..100).map(|n| format!("* ENABLED {n}\r\n")).collect();
    let long = "x".repeat(6 * 1024 * 1024);
    let large: String = (0..4).map(|n| format!("* ESEARCH {n}{long}\r\n")).collect();
    for (sent, kept) in [(&many, 64), (&large, 2)] {
        let mut filter = super::tests::filter(sent.as_bytes(), 1 << 20, None);
        drain(&mut filter).await;
        let name = if kept == 2 { "ESEARCH" } else { "ENABLED" };
        let aside = filter.take_aside(name);
        assert_eq!(aside.len(), kept);
        let last = if kept == 2 { "3xx" } else { "99\r" };
        assert!(String::from_utf8_lossy(&aside[kept - 1]).contains(last));
    }
}
