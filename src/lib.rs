//! mailstow takes a mailbox out of a server, keeps every message once, byte for byte, in a
//! compressed archive that any mail tool can read, keeps it up to date, and puts it on another
//! server without a duplicate and without a gap.
//!
//! This page is the architecture document. It is kept true: whoever changes the structure
//! changes it here in the same commit. The archive format stands in [`archive::format`].
//!
//! # The flow
//!
//! ```text
//! source ─ enumerate ─► listing ─┐
//!                                ├─ plan ─► job ─► fetch + hash ─► dedup ─► compress ─► commit ─► catalog
//! catalog view ──────────────────┘         (async workers)     (one committer; a pool compresses frames for it)
//!
//! archive ─┐
//! ledger ──┼─ plan ─► outbound ─► intent ─► APPEND ─► outcome ─► settle ─► report                (replay)
//! target ──┘        (one reader)         (async workers; one thread writes the ledger)
//! ```
//!
//! * [`source`] is an account on a server; [`imap`] and [`pop3`] speak the protocols over a [`net`]
//!   transport that cannot hang and for which an end of stream is an error. Messages too large
//!   for memory pass through [`spool`]. [`contact`] dials again what broke, within reason.
//! * [`smtp`] sends one message at a time, by SMTP or LMTP, over the same transport, and says of each
//!   that did not arrive whether it may have been delivered all the same.
//! * [`backup`] enumerates, plans (pure), fetches, and closes the books: every message a mailbox
//!   held ends as stored, linked, held, excluded, left or skipped. What is the same for all
//!   protocols is the course of a run, with its limits; each protocol is a side of it. IMAP looks at
//!   each mailbox not at all, at what changed since its checkpoint (or the job that goes on), or at
//!   all of it, by a merge of two ascending lists of UIDs, and fetches over several connections; POP3
//!   goes by UIDL, over sessions that follow one another, and decides by headers ([`spam`],
//!   [`header`]) what a listing leaves open.
//! * [`store`] is an opened archive: the one committer, the order of writes, and what happens
//!   after a crash. Below it [`archive`] knows files and [`catalog`] knows rows, and [`durable`]
//!   is the only place that syncs, renames and locks.
//! * [`replay`] sets what the archive holds against its ledger of a target and against what is there,
//!   and appends what is missing; [`migrate`] is a backup and a replay that follows it. The rules by which
//!   mailboxes get their names, messages are recognised, flags travel and copies are repaired are pure.
//!   [`replay::deliver`] is for places without IMAP, over [`smtp`].
//! * [`verify`], [`export`], [`find`] and [`store::recover`] read; [`verify::against`] compares what is
//!   held with what the server has, and changes neither. History goes by the commits of the
//!   journal: the catalog keeps with which commit a placement came and left, what its flags were
//!   until which commit, and which epoch a mailbox had since which.
//!
//! # Layers
//!
//! | module | may know | must not know |
//! |---|---|---|
//! | [`model`] | nothing of the crate | everything else |
//! | [`clock`], [`secret`], [`event`], [`report`], [`header`], [`spool`] | [`model`] | everything else |
//! | [`spam`] | [`header`] | everything else |
//! | [`durable`] | the operating system | mail |
//! | [`net`] | [`secret`] | protocols |
//! | [`imap`], [`pop3`], [`smtp`] | [`net`], [`model`], [`secret`], [`spool`] | archive, catalog, policy |
//! | [`source`] | [`imap`], [`pop3`], [`net`] | [`imap::TargetSession`], archive, catalog, engines |
//! | [`contact`] | [`source`], [`imap`], [`pop3`], [`smtp`], [`net`], [`spool`], [`event`], [`durable`] | archive, catalog, engines |
//! | [`archive`] | [`durable`], [`model`], [`clock`], [`header`] | network, catalog, engines |
//! | [`catalog`] | the records of [`archive`], [`durable`], [`model`] | network, engines |
//! | [`store`] | [`archive`], [`catalog`], [`durable`] | network, engines |
//! | [`target`] | [`durable`], [`model`], the mbox encoding of [`archive`] | catalog, network, engines |
//! | [`backup`], [`verify`], [`export`], [`find`], [`replay`] | all of the above | the terminal |
//! | [`migrate`] | [`backup`], [`replay`] | protocols, catalog, the terminal |
//! | `cli` (binary only) | the library | – |
//!
//! `scripts/check-layers.sh` checks this, and that each external crate has one owner.
//!
//! # What must never break
//!
//! 1. **Order of writes** ([`store`]): message bytes durable → one journal frame appended and
//!    synced, which is the commit point → catalog → progress reported. Nothing refers to bytes
//!    that are not on disk. Lines marked `ORDER:` carry this.
//! 2. **Every durable step is a crash step** ([`durable::step`]). `tests/crash_steps*.rs` and
//!    `tests/forget.rs` die at each of them, by kill and by power cut, run again, and demand the
//!    same archive.
//! 3. **Identity is the content id** ([`model::ContentId`]), never a Message-ID.
//! 4. **The catalog is derived.** It is applied by one function from journal records, may be
//!    deleted at any time, and is never believed over the journal.
//! 5. **Damage is never repaired in passing.** A torn tail is cut, whole unnamed frames are
//!    adopted; everything else is reported and left as it is. A segment nobody names whose contents
//!    are all held elsewhere, and whole there, is what writing a segment anew left behind: it goes.
//!    Whoever asks for a content to be erased (`forget`) has its segments written anew without it; then
//!    it is in no file of the archive, and is not stored again.
//! 6. **The source is read only.** `EXAMINE` and `BODY.PEEK[]`; an [`imap::Session`] has no command
//!    that asks for a change. An [`imap::TargetSession`] has, and [`source`] and [`backup`] may not
//!    name it. [`pop3`] has `DELE`, and `backup/pop3/delete.rs` alone sends it, on
//!    the user's order, for what is held, re-read, and the same on the server still.
//! 7. **A plan is a value.** `backup/imap/{plan,delta,heal,brake}.rs`, `backup/pop3/plan.rs`,
//!    `verify/against/{compare,maildrop,choose}.rs`, `replay/{assign,flags,inspect,ladder,names,repair}`
//!    and `replay/verify/{compare,likeness,places}.rs` have no I/O, no clock and no async.
//! 8. **No byte of a message goes to a target before its intent is durable** in the ledger, and what
//!    has an open intent is not sent again before the target was looked at. Towards SMTP, where nobody
//!    can look, it is not sent again at all.
//! 9. **Nothing is removed from a target**: there is no EXPUNGE, DELETE or CLOSE. Flags are set and
//!    messages moved only where mailstow put them and nobody has touched them since.
//! 10. **What a server says has changed is believed only if it adds up** with how many messages there
//!     are; otherwise the mailbox is listed.
//!
//! # Where it differs from the first design
//!
//! * [`store`] stands above archive and catalog, so that neither knows the other and the order
//!   of writes has one home.
//! * In a segment the contents frame stands *before* the data frame it describes, and is itself
//!   compressed. A data frame that survived a crash then always has its description, so it can
//!   be adopted; the other way round a whole data frame without one would have to be cut.
//! * A frame's head names the critical kinds in it (`must`), so a reader can tell a record it
//!   may pass over from one it must not, without a list of the future.
//! * Data frames close at 12 MiB of text instead of 16: 2.5 % more space for 9 MiB less memory. Two
//!   may be open at once, so a maildrop that files in INBOX and Junk by turns is not cut into small
//!   ones.
//! * Small frames are put together at the end of a run, in segments that got mail in it, so a quiet
//!   night looks at none. The journal says so frame by frame (`repacked`), not message by message,
//!   and a frame is written again only when it at least doubles: both keep a mailbox of a few
//!   messages a night from costing more in journal and copies than it saves ([`store::RepackPolicy`]).
//! * A commit also closes at 16,384 records, which bounds memory where messages are tiny.
//! * When the UIDVALIDITY of a mailbox has changed, all placements of the old one are history from the
//!   commit of the mailbox's record on, without a record per message. UIDVALIDITY 0 stands for none
//!   and never makes an epoch old.
//! * A ledger is a folder, `replay/TARGET/`, with numbered files and a lock, as the journal is: so both
//!   are the same log, also beyond 64 MiB. Its unit is a *piece*, one message in one mailbox of the target,
//!   with a number that is never used again; `known` and `located` tell of messages that were found there.
//! * A message that mailstow brought to a target and that has left its mailbox there is not sent again
//!   unless a person says so: people tidy up while a migration lasts. More than half of a mailbox gone
//!   is said, and makes the exit code 3.
//! * Of a mailbox that shows all mail (Gmail), what lies in no other mailbox is replayed to the archive
//!   mailbox; otherwise archived mail would stay behind.
//! * What POP3 filed in a mailbox stays placed, since a message that is not offered has not gone.
//!   Where IMAP showed the same content in that account, IMAP knows more: lists and exports show
//!   its placement and not the other.

pub mod archive;
pub mod backup;
pub mod catalog;
pub mod clock;
pub mod contact;
pub mod durable;
pub mod event;
pub mod export;
pub mod find;
pub mod header;
pub mod imap;
pub mod migrate;
pub mod model;
pub mod net;
pub mod pop3;
pub mod replay;
pub mod report;
pub mod secret;
pub mod smtp;
pub mod source;
pub mod spam;
pub mod spool;
pub mod store;
pub mod target;
pub mod verify;
