//! What people read before there is an archive: help and refusals, under snapshot.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use insta::assert_snapshot;
use support::mailstow::{Ended, Mailstow};

fn redacted(mailstow: &Mailstow, ended: &Ended) -> String {
    let text = format!(
        "exit {}\n{}{}",
        ended.exit.unwrap(),
        ended.stdout,
        ended.stderr
    );
    let text = text.replace(mailstow.path().to_str().unwrap(), "DIR");
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn no_arguments_show_the_way() {
    let mailstow = Mailstow::bare();
    assert_snapshot!(redacted(&mailstow, &mailstow.run(&[])), @r#"
    exit 2
    Keeps a mailbox: every message once, byte for byte, in an archive any mail tool can read

    Usage: mailstow [OPTIONS] <COMMAND>

    Commands:
      backup       Back up accounts into an archive; run again, it fetches only what is new
      plan         Show what a backup would do, and keep it as a job that `resume` can run
      resume       Go on with an interrupted or planned job
      jobs         List the jobs of an archive and how far they have come
      status       Show what an archive holds, when it was last complete, and what is missing
      skips        List messages that could not be archived, and why
      ls           List mailboxes, or the messages of one
      find         Find messages by sender, subject, date, size, mailbox or anything in the header
      show         Show one message: where it is kept, where it was seen, and its header
      log          Tell the life of a message: when it came, its flags, when it left
      verify       Re-read and re-hash everything, or compare with the server (--against)
      export       Write mailboxes as mbox, Maildir or EML files, complete and byte for byte
      replay       Put mail on another server: every message once, with its flags and its date
      migrate      Move an account to another server: back it up, and replay what comes while it comes
      forget       Erase messages for good, when a person has a right to it
      recover      Salvage a damaged archive onto a new one; the damaged one is not touched
      completions  Print a completion script for a shell
      man          Print the manual page
      help         Print this message or the help of the given subcommand(s)

    Options:
          --json        Print one JSON object per event; the last one is the report
      -q, --quiet       Print nothing unless the exit code is not 0
      -v, --verbose...  Say more; twice for debugging (never shows passwords)
      -h, --help        Print help (see more with '--help')
      -V, --version     Print version

    Examples:
      mailstow backup imaps://you@example.com@imap.zoho.com --to ~/mail
      mailstow backup pop3s://you@example.com@pop.zoho.com --to ~/mail
      mailstow status ~/mail
      mailstow ls ~/mail INBOX
      mailstow verify ~/mail
      mailstow verify ~/mail --against imaps://you@example.com@imap.zoho.com
      mailstow export ~/mail --format mbox --to ~/mail-as-mbox
      mailstow replay ~/mail --to imaps://you@example.com@imap.example.com
      mailstow migrate imaps://me@old.example imaps://me@new.example --via ~/mail

    Exit codes:
      0 complete · 1 internal error · 2 usage · 3 finished, but something was skipped or does not
      add up · 4 configuration · 5 sign-in refused · 6 network or server · 7 archive damaged ·
      8 archive locked · 9 stopped at a limit, continues next time · 10 older than asked
      (status --max-age) · 129/130/143 ended by a signal, archive consistent
    "#);
}

#[test]
fn the_help_of_backup_can_be_learnt_from() {
    let mailstow = Mailstow::bare();
    assert_snapshot!(redacted(&mailstow, &mailstow.run(&["backup", "--help"])), @r#"
    exit 0
    Back up accounts into an archive; run again, it fetches only what is new

    Usage: mailstow backup [OPTIONS] --to <ARCHIVE> <SOURCE>...

    Arguments:
      <SOURCE>...
              Account to back up, such as imaps://you@example.com@imap.example.com (can be repeated)

              imaps:// and pop3s:// are TLS on ports 993 and 995. imap:// and pop3:// are ports 143 and
              110, upgraded by STARTTLS, without which mailstow goes no further, except to this machine.
              The user name may hold an @.

    Options:
          --to <ARCHIVE>
              Archive to write to; made if it does not exist

          --dry-run
              Show what would be done and change nothing

          --account <NAME>
              Name of the account in the archive [default: the address]

          --json
              Print one JSON object per event; the last one is the report

      -q, --quiet
              Print nothing unless the exit code is not 0

      -v, --verbose...
              Say more; twice for debugging (never shows passwords)

      -h, --help
              Print help (see a summary with '-h')

    Selection:
          --mailbox <GLOB>
              Only mailboxes that match (can be repeated); * within a level, ** across levels

          --exclude <GLOB>
              Leave out mailboxes that match (can be repeated)

          --since <DATE>
              Only messages that arrived on this day or later (YYYY-MM-DD, or RFC 3339)

          --before <DATE>
              Only messages that arrived before this day

          --max-size <SIZE>
              Only messages of at most this size, such as 25M

    What changed on an IMAP server:
          --flags <WHEN>
              How often to look at all flags on a server that cannot tell which changed

              Only servers without CONDSTORE are meant; the report tells how old the flags are. With
              always, every mailbox of any server is listed in full, whatever the server says has
              changed.

              Possible values:
              - weekly: Once a week
              - always: In every run
              - never:  Only when a message is new

              [default: weekly]

          --believe-deletions
              Believe that messages are gone, however many

              Without it, half an account that is missing, or a mailbox the server no longer lists, is
              recorded as doubtful, and as gone once another night finds the same. The archive keeps the
              mail in any case.

    POP3:
          --pop-messages <WHICH>
              Which messages of the maildrop [default: all]

              from-today: what is dated on the day of the first run or later, by the topmost Received
              field, else by Date, and everything that comes after that run, whatever its date. What is
              left out stays on the server and is fetched by a later run with all.

              Possible values:
              - all:        Everything in the maildrop
              - from-today: What comes from today on

          --pop-spam <WHAT>
              What to do with spam, as the server's filter marked it in the header [default: include]

              include: it is filed as Junk. exclude: it is not fetched. only: nothing else is. Fetched
              messages that are not recognised as spam are filed as INBOX.

              Possible values:
              - include: File it as Junk
              - exclude: Leave it on the server
              - only:    Fetch nothing else

          --pop-spam-from-server
              The server was set to deliver only spam (Zoho can be): file everything new as Junk

          --pop-delete <WHEN>
              Delete from the server what is held: never, archived, or after-days=N [default: never]

              Only messages fetched and re-read from the archive, whose header is the same on the server
              still, in a session of its own after the backup; days count from when a message became
              durable in the archive. On Zoho this takes a message out of the POP queue, also where the
              server is set to retain it.

          --pop-without-uidl
              Go on with a server that has no UIDL: everything is fetched in every run, kept once

    Limits:
          --max-runtime <DURATION>
              End in good order after this time, such as 2h, 30m or 90s; the next run goes on

              Nothing new is asked for then; what was asked for may come in for a minute and is
              committed. The exit code is 9. Time spent with --wait counts. Of several sources each may
              take an even share of what is left.

          --max-bytes <SIZE>
              End in good order once this much mail was fetched, such as 2GB; the next run goes on

              The bytes of message bodies count, for each source by itself. The last message may go
              beyond, so one that is larger than the limit is fetched as well. The exit code is 9.

          --newest-first
              Fetch the newest messages of each mailbox first

    Connection:
          --connections <N>
              Connections at once [default: what the server is known to bear, usually 2]

          --no-pipelining
              Send one POP3 command at a time, also where the server says that it bears more

          --limit-rate <RATE>
              Receive at most this many bytes per second, such as 2M

          --tls-ca <FILE>
              Trust the certificates of this PEM file and no others

          --tls-fingerprint <HEX>
              Trust exactly the certificate with this SHA-256, also a self-signed one

          --allow-plaintext
              Go on without TLS where the server offers none: everybody on the way can read along

          --authzid <USER>
              Act for this user, for administrators who may (SASL PLAIN authorisation identity)

    Password:
          --password-command <COMMAND>
              Take the password from the first line this shell command prints

              It finds user and server in $MAILSTOW_USER and $MAILSTOW_HOST. Without it the password is
              taken from $MAILSTOW_PASSWORD, or asked for at the terminal.

    Archive:
          --catalog <FILE>
              Keep the catalog in this file, for an archive on a network share

          --wait
              Wait until another run on the archive has ended, instead of exiting with 8

    Unattended:
          --report <FILE>
              Write the JSON report to this file when the run ends, also when it fails

              It is the last line of --json, or an array of them where several sources were worked on;
              of a run that failed before, its error. It replaces the file as a whole.

          --notify-command <COMMAND>
              Run this shell command when the exit code is not 0, with the report on standard input

              It finds $MAILSTOW_EXIT, $MAILSTOW_ARCHIVE and $MAILSTOW_ACCOUNTS, may take a minute, and
              changes neither the archive nor the exit code.

          --notify <WHEN>
              When to run it [default: failure]

              Possible values:
              - failure: When the exit code is not 0
              - always:  After every run

          --ping <URL>
              Tell a dead man's switch, such as healthchecks.io, that a run begins and how it ends

              GET URL/start, then GET URL on exit code 0, else POST URL/fail with the report. Other
              users of this machine can read a command line: without the option the URL is taken from
              $MAILSTOW_PING. Only https://, except to this machine or with --allow-plaintext.
    "#);
}

#[test]
fn a_source_that_is_none_is_explained() {
    let mailstow = Mailstow::new();
    let said = |source: &str| {
        redacted(
            &mailstow,
            &mailstow.backup(source, &mailstow.archive(), &[]),
        )
    };
    assert_snapshot!(said("you@example.com"), @r#"
    exit 2
    error: cannot use `you@example.com` as a source: it is no URL
      hint: a source looks like imaps://you@example.com@imap.example.com
    "#);
    assert_snapshot!(said("ftp://you@example.com"), @r#"
    exit 2
    error: cannot use `ftp://you@example.com` as a source: there is no protocol `ftp`
      hint: a source looks like imaps://you@example.com@imap.example.com
    "#);
    assert_snapshot!(said("pop3s://example.com"), @r#"
    exit 2
    error: cannot use `pop3s://example.com` as a source: it names no user
      hint: a source looks like imaps://you@example.com@imap.example.com
    "#);
    assert!(!mailstow.archive().exists());
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let mailstow = Mailstow::bare();
    let ended = mailstow.backup(
        "imaps://you:hunter2@imap.example.com",
        &mailstow.archive(),
        &[],
    );
    assert!(!ended.output().contains("hunter2"), "{ended:?}");
    assert_snapshot!(redacted(&mailstow, &ended), @r#"
    exit 2
    error: a password does not belong in a URL: other users of this machine can read it there
      hint: leave it out; mailstow asks for it, or takes it from MAILSTOW_PASSWORD or --password-command
    "#);
}

#[test]
fn without_an_archive_every_command_says_so() {
    let mailstow = Mailstow::bare();
    let archive = mailstow.archive();
    for command in ["status", "verify", "jobs", "skips", "resume"] {
        let ended = mailstow.run(&[command, archive.to_str().unwrap()]);
        ended.expect(4);
        assert!(
            ended.stderr.contains("there is no archive at"),
            "{command}: {}",
            ended.stderr
        );
        assert!(!archive.exists());
    }
    let ended = mailstow.run(&["ls", archive.to_str().unwrap()]);
    assert_snapshot!(redacted(&mailstow, &ended), @r#"
    exit 4
    error: there is no archive at `DIR/archive`
      hint: make one with: mailstow backup SOURCE --to ARCHIVE
    "#);
}
