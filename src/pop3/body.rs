//! A message on its way in: unstuffed, counted, and put into the spool when it is large.

use super::dot_stuffing::Unstuffer;
use super::error::Pop3Error;
use crate::spool::{Body, SpoolOptions, Spooling};

/// A message being received. Memory is bounded by the threshold and one chunk.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    unstuffer: Unstuffer,
    /// Everything so far, or what is not in the spool yet.
    memory: Vec<u8>,
    spooling: Option<Spooling>,
    /// Bytes handed to the spool.
    spooled: u64,
}

/// Bytes that are gathered for one write to the spool: a mail of dots must not cost one
/// system call each.
const SPOOL_WRITE: usize = 64 * 1024;

impl Receiving {
    /// Takes what `input` holds of the message: the number of bytes, and whether it ended.
    ///
    /// `number` is only for errors. A message above the threshold of `spool` (of
    /// [`SpoolOptions::THRESHOLD`] without one) is spooled, one above the maximum an error.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        number: u32,
        spool: Option<&SpoolOptions>,
    ) -> Result<(usize, bool), Pop3Error> {
        let decoded = self.unstuffer.decode(input, &mut self.memory);
        let (threshold, limit) = spool.map_or(
            (SpoolOptions::THRESHOLD, SpoolOptions::THRESHOLD),
            |spool| (spool.threshold, spool.max),
        );
        let len = self.spooled + self.memory.len() as u64;
        if len > limit {
            return Err(Pop3Error::MessageTooLarge { number, limit });
        }
        if len > threshold
            && self.spooling.is_none()
            && let Some(spool) = spool
        {
            self.spooling = Some(Spooling::open(spool)?);
        }
        if let Some(spooling) = &mut self.spooling
            && (decoded.ended || self.memory.len() >= SPOOL_WRITE)
        {
            spooling.write(&self.memory)?;
            self.spooled = len;
            self.memory.clear();
            self.memory.shrink_to(2 * SPOOL_WRITE);
        }
        Ok((decoded.consumed, decoded.ended))
    }

    /// The message, once [`Self::take`] has said that it ended.
    pub(super) fn finish(self) -> Body {
        match self.spooling {
            Some(spooling) => Body::Spooled(spooling.finish()),
            None => Body::Memory(self.memory),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn spool(dir: &tempfile::TempDir, threshold: u64, max: u64) -> SpoolOptions {
        let path = dir.path().join("spooled");
        let open = Arc::new(move || Ok((std::fs::File::create_new(&path)?, path.clone())));
        SpoolOptions {
            threshold,
            max,
            ..SpoolOptions::new(open)
        }
    }

    /// Takes the chunk so many times, then an end.
    fn receive(
        chunk: &[u8],
        times: usize,
        spool: Option<&SpoolOptions>,
    ) -> Result<(Body, usize), Pop3Error> {
        let mut receiving = Receiving::default();
        let mut most = 0;
        for _ in 0..times {
            assert_eq!(receiving.take(chunk, 7, spool)?, (chunk.len(), false));
            most = most.max(receiving.memory.capacity());
        }
        assert_eq!(receiving.take(b".\r\n+OK", 7, spool)?, (3, true));
        Ok((receiving.finish(), most))
    }

    #[test]
    fn a_large_message_is_a_file_with_the_same_bytes_and_memory_is_bounded() {
        let dir = tempfile::TempDir::new().unwrap();
        let spool = spool(&dir, 1 << 20, 1 << 30);
        let chunk = b"..some text of some length\r\n".repeat(3000);
        let (body, memory) = receive(&chunk, 100, Some(&spool)).unwrap();
        assert!(memory <= 3 << 20, "{memory}");
        let expected = b".some text of some length\r\n".repeat(300_000);
        assert_eq!(body.len(), expected.len() as u64);
        let Body::Spooled(file) = body else {
            panic!("not spooled");
        };
        assert!(std::fs::read(file.path()).unwrap() == expected);
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_threshold_and_the_maximum_are_exact() {
        let dir = tempfile::TempDir::new().unwrap();
        let spool = spool(&dir, 10, 12);
        let (body, _) = receive(b"12345678\r\n", 1, Some(&spool)).unwrap();
        assert!(matches!(body, Body::Memory(bytes) if bytes == b"12345678\r\n"));
        let (body, _) = receive(b"1234567890\r\n", 1, Some(&spool)).unwrap();
        assert!(matches!(&body, Body::Spooled(file) if file.len() == 12));
        drop(body);
        let error = receive(b"1234567890x\r\n", 1, Some(&spool)).unwrap_err();
        let too_large = Pop3Error::MessageTooLarge {
            number: 7,
            limit: 12,
        };
        assert_eq!(error.to_string(), too_large.to_string());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_spool_a_large_message_is_an_error() {
        let chunk = b"1234567\r\n".repeat(1024);
        let error = receive(&chunk, 1000, None).unwrap_err();
        let limit = SpoolOptions::THRESHOLD;
        let too_large = Pop3Error::MessageTooLarge { number: 7, limit };
        assert_eq!(error.to_string(), too_large.to_string());
    }

    #[test]
    fn a_full_disk_is_our_own_failure() {
        let full = || Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let spool = SpoolOptions {
            threshold: 1,
            ..SpoolOptions::new(Arc::new(full))
        };
        let error = receive(b"more than one\r\n", 1, Some(&spool)).unwrap_err();
        assert!(matches!(error, Pop3Error::Spool(_)), "{error:?}");
    }
}
