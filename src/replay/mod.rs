//! Appending archived messages to another server: what of it is decided without asking anybody.
//!
//! Pure: no async, no clock, no I/O.

pub mod flags;
pub mod inspect;
pub mod ladder;
pub mod names;
pub mod repair;
