#!/usr/bin/env bash
# A one-shot full backup of one account, with comments. Copy it and change the first lines.
set -euo pipefail

# Who, where, and into which folder. The user name of most providers is the whole address;
# mailstow splits at the last @.
address=you@example.com
server=imap.zoho.com            # imappro.zoho.com if your address has a domain of your own
archive=$HOME/mail-archive

# Where the password comes from. Anything that prints it will do: pass, gopass, secret-tool,
# `security find-generic-password -w` … It is never written to the archive, a log or argv.
password_command="pass show mail/$address"

# First look: lists the mailboxes, counts, and writes nothing anywhere.
mailstow backup "imaps://$address@$server" --password-command "$password_command" \
  --to "$archive" --dry-run

# The backup. Interrupt it whenever you like; the same command goes on where it stopped.
# Exit 0 means that every message the server showed is in the archive.
mailstow backup "imaps://$address@$server" --password-command "$password_command" \
  --to "$archive"

# Read everything back and compare every hash. Do this before you close an account.
mailstow verify "$archive"

# What the server could not give us, if anything, with its own words.
mailstow skips "$archive"
