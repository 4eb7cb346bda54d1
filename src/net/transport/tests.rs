//! A transport ends every wait, one way or the other.

use std::num::NonZeroU64;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::net::Timeouts;

fn transport(options: &NetOptions) -> (Transport, DuplexStream) {
    let (ours, theirs) = duplex(1 << 16);
    (Transport::memory(ours, options), theirs)
}

fn quick() -> NetOptions {
    let wait = Duration::from_millis(50);
    NetOptions {
        timeouts: Timeouts {
            read: wait,
            ..Timeouts::default()
        },
        ..NetOptions::default()
    }
}

#[tokio::test]
async fn the_end_of_the_stream_is_an_error_and_bytes_are_counted() {
    let options = quick();
    let (mut transport, mut peer) = transport(&options);
    peer.write_all(b"abc").await.unwrap();
    transport.write_all(b"12345").await.unwrap();
    drop(peer);
    let mut got = vec![0; 3];
    transport.read_exact(&mut got).await.unwrap();
    assert_eq!(got, b"abc");
    let error = transport.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(options.counters.received.load(Ordering::Relaxed), 3);
    assert_eq!(options.counters.sent.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn reads_and_writes_that_stall_time_out() {
    let (mut transport, _peer) = transport(&quick());
    let error = transport.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let error = transport.write_all(&vec![0; 1 << 20]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_tarpit_is_found_by_its_pace() {
    let minute = Duration::from_secs(60);
    let mut pace = Pace::default();
    for _ in 0..4 {
        pace.received(1, minute).unwrap();
    }
    let error = pace.received(1, minute).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let mut pace = Pace::default();
    for _ in 0..100 {
        pace.received(1024, minute).unwrap();
    }
}

#[tokio::test]
async fn a_rate_limit_slows_reading_down() {
    let options = NetOptions {
        limiter: Some(Arc::new(RateLimiter::new(NonZeroU64::new(40_000).unwrap()))),
        ..NetOptions::default()
    };
    let (mut transport, mut peer) = transport(&options);
    peer.write_all(&[7; 30_000]).await.unwrap();
    let started = Instant::now();
    transport.read_exact(&mut [0; 30_000]).await.unwrap();
    // 0.75 s worth, less the burst and the last piece, which is waited for afterwards.
    assert!(
        started.elapsed() >= Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
}
