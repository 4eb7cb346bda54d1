-- The catalog's schema. Derived from journal and mail: another version is not migrated,
-- it is rebuilt (see mod.rs, SCHEMA_VERSION).

-- One row: the last journal frame that was applied.
CREATE TABLE position (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    archive   TEXT    NOT NULL,
    file      INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    "commit"  INTEGER NOT NULL
) STRICT;

-- The commits of the journal, in its order: what history is told by. at: Unix seconds.
CREATE TABLE commits (
    n   INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    at  INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    aliases TEXT NOT NULL,
    folder  TEXT NOT NULL
) STRICT;

CREATE TABLE mailboxes (
    id          INTEGER PRIMARY KEY,
    account     INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    wire        TEXT    NOT NULL,
    separator   TEXT,
    folder      TEXT    NOT NULL,
    uidvalidity INTEGER,
    special_use TEXT,
    subscribed  INTEGER NOT NULL,
    UNIQUE (account, wire)
) STRICT;

-- What a mailbox was called, and which of its epochs was the newest, from a commit on.
CREATE TABLE mailbox_states (
    mailbox     INTEGER NOT NULL,
    began       INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    wire        TEXT    NOT NULL,
    uidvalidity INTEGER,
    PRIMARY KEY (mailbox, began)
) STRICT, WITHOUT ROWID;

-- last_frame: where the last pair the journal knows of begins. len: bytes it was sealed with.
CREATE TABLE segments (
    id         INTEGER PRIMARY KEY,
    path       TEXT    NOT NULL UNIQUE,
    last_frame INTEGER NOT NULL,
    sealed     INTEGER NOT NULL DEFAULT 0,
    len        INTEGER
) STRICT;

-- A damaged content keeps its row, so that history stays readable, but counts as not held. So does
-- one that was forgotten on request: why, and with which commit. It lies in the segment '' then, and
-- nothing else is kept of it.
CREATE TABLE contents (
    no      INTEGER PRIMARY KEY,
    id      BLOB    NOT NULL UNIQUE,
    len     INTEGER NOT NULL,
    raw     INTEGER NOT NULL,
    head    TEXT,
    segment INTEGER NOT NULL,
    frame   INTEGER NOT NULL,
    pos     INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    damaged TEXT,
    forgotten    TEXT,
    forgotten_at INTEGER
) STRICT;

CREATE INDEX contents_by_place ON contents (segment, frame);

CREATE INDEX contents_damaged ON contents (no) WHERE damaged IS NOT NULL;

CREATE INDEX contents_forgotten ON contents (no) WHERE forgotten IS NOT NULL;

-- When a content was found damaged, and when it was stored again (reason is '' then).
CREATE TABLE damages (
    content  INTEGER NOT NULL,
    "commit" INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (content, "commit", reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE flag_sets (
    id    INTEGER PRIMARY KEY,
    flags TEXT NOT NULL UNIQUE
) STRICT;

-- uidl is '' for IMAP; uidvalidity and uid are 0 for POP3.
-- The last life of each: since and gone are commits, gone is 0 while it has not left. One of an
-- older epoch of its mailbox has not left and is history all the same.
CREATE TABLE placements (
    mailbox     INTEGER NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uid         INTEGER NOT NULL,
    uidl        TEXT    NOT NULL DEFAULT '',
    content     INTEGER NOT NULL,
    flags       INTEGER NOT NULL,
    date        INTEGER,
    zone        INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    healed      INTEGER NOT NULL,
    gone        INTEGER NOT NULL DEFAULT 0,
    since       INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uidvalidity, uid, uidl)
) STRICT, WITHOUT ROWID;

CREATE INDEX placements_by_content ON placements (content);
CREATE INDEX placements_healed ON placements (since) WHERE healed = 1;

-- Earlier lives of placements, that is of messages that were gone and came back, were fetched
-- anew, or gave their remote id to another message. They ended with the commit "until".
CREATE TABLE lives (
    mailbox     INTEGER NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uid         INTEGER NOT NULL,
    uidl        TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    content     INTEGER NOT NULL,
    flags       INTEGER NOT NULL,
    date        INTEGER,
    zone        INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    healed      INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uidvalidity, uid, uidl, since)
) STRICT, WITHOUT ROWID;

CREATE INDEX lives_by_content ON lives (content);

-- Flags that a message had until a commit gave it others. Only IMAP has flags.
CREATE TABLE earlier_flags (
    mailbox     INTEGER NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uid         INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    flags       INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uidvalidity, uid, until)
) STRICT, WITHOUT ROWID;

-- POP3: a maildrop goes by the mailbox its messages are filed in, spam aside.
CREATE TABLE maildrops (
    mailbox INTEGER PRIMARY KEY,
    server  TEXT NOT NULL,
    start   INTEGER,
    zone    INTEGER NOT NULL
) STRICT;

-- Placements that go by another UIDL since a commit.
CREATE TABLE renames (
    no       INTEGER PRIMARY KEY,
    mailbox  INTEGER NOT NULL,
    "from"   TEXT    NOT NULL,
    "to"     TEXT    NOT NULL,
    healed   INTEGER NOT NULL,
    "commit" INTEGER NOT NULL
) STRICT;

CREATE INDEX renames_by_mailbox ON renames (mailbox);

-- What mailstow deleted from a POP3 server, by the mailbox that stands for the maildrop.
CREATE TABLE removals (
    mailbox  INTEGER NOT NULL,
    uidl     TEXT    NOT NULL,
    "commit" INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uidl, "commit")
) STRICT, WITHOUT ROWID;

-- What is known of UIDLs beside placements. spam: by a header; NULL where nobody judged.
-- removed: the commit that says mailstow deleted it, or 0.
CREATE TABLE uidls (
    mailbox  INTEGER NOT NULL,
    uidl     TEXT    NOT NULL,
    baseline INTEGER NOT NULL DEFAULT 0,
    before   INTEGER NOT NULL DEFAULT 0,
    spam     INTEGER,
    evidence TEXT,
    removed  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (mailbox, uidl)
) STRICT, WITHOUT ROWID;

-- uid 0 without a uidl: messages the server counts and does not name; count says how many.
CREATE TABLE skips (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    mailbox     INTEGER NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uid         INTEGER NOT NULL,
    uidl        TEXT    NOT NULL DEFAULT '',
    count       INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    tries       INTEGER NOT NULL,
    first       TEXT    NOT NULL,
    last        TEXT    NOT NULL,
    accepted    TEXT,
    UNIQUE (mailbox, uidvalidity, uid, uidl)
) STRICT;

CREATE TABLE checkpoints (
    mailbox       INTEGER PRIMARY KEY,
    uidvalidity   INTEGER NOT NULL,
    uidnext       INTEGER NOT NULL,
    messages      INTEGER NOT NULL,
    highestmodseq INTEGER,
    excluded      INTEGER NOT NULL,
    listed_at     INTEGER,
    by_changes    INTEGER NOT NULL,
    fingerprint   TEXT    NOT NULL
) STRICT;

-- Messages the last run of an account did not find and did not take for gone.
CREATE TABLE doubts (
    account     INTEGER NOT NULL,
    mailbox     INTEGER NOT NULL,
    uidvalidity INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    uids        TEXT    NOT NULL,
    PRIMARY KEY (account, mailbox, uidvalidity, since)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    record  TEXT    NOT NULL
) STRICT;

-- commit: with which the run ended; NULL for one whose history is not in this archive.
CREATE TABLE runs (
    id       INTEGER PRIMARY KEY,
    record   TEXT    NOT NULL,
    "commit" INTEGER
) STRICT;
