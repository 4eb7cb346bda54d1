//! What the integration tests share. Each test binary compiles all of it and uses a part.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

pub mod archive_state;
pub mod archived;
pub mod compare;
pub mod corpora;
pub mod dice;
pub mod disk;
pub mod dovecot;
pub mod fake_imap;
pub mod fake_pop3;
pub mod fake_smtp;
pub mod fake_target;
pub mod fault_proxy;
pub mod fixture;
pub mod maildir;
pub mod maildrop;
pub mod mailstow;
pub mod migration;
pub mod mutator;
pub mod mutf7;
pub mod nights;
pub mod odd_mail;
pub mod past;
pub mod pop3_tap;
pub mod raw_imap;
pub mod raw_pop3;
pub mod replayed;
pub mod sweep;
pub mod sweep_pop3;
pub mod sweep_replay;
