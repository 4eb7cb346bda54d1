//! Where messages wait that are too large for memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::spool::SpoolOptions;

/// A spool whose files lie in `tmp`.
pub(crate) fn spool_into(tmp: &Path) -> SpoolOptions {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let tmp = tmp.to_owned();
    SpoolOptions::new(Arc::new(move || {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = tmp.join(format!("spool-{}-{number}", std::process::id()));
        Ok((crate::durable::create_new(&path)?, path))
    }))
}
