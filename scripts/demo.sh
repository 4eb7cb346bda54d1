#!/usr/bin/env bash
# The main job in under a minute: a real mailbox on a real Dovecot becomes an archive, a second
# run fetches only what is new, the same account over POP3 stores nothing twice, and at the end it
# all moves to another account. Everything happens on this machine, in a temporary folder that is
# removed at the end.
#
# Needs a Rust toolchain, and root (or sudo without a password) only to install Dovecot when it
# is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
echo "building mailstow (once; a minute or two)"
cargo build --quiet --release --locked
mailstow=$PWD/target/release/mailstow

work=$(mktemp -d)
chmod a+x "$work" # the server runs as nobody when we are root, and must get through
clean_up() {
  scripts/dovecot.sh stop "$work/server" || true
  rm -rf -- "$work"
}
trap clean_up EXIT
step() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[[ -t 1 ]] || step() { printf '\n%s\n' "$1"; }
show() { printf '$ mailstow %s\n' "$*"; "$mailstow" "$@"; }

step "A private Dovecot with a sample mailbox"
mkdir -p "$work/server"
printf '%s:{PLAIN}demo-password\n' you new-you >"$work/server/users"
scripts/mailgen.py --messages 400 --bytes 12000000 --mailboxes 4 --corpus none --out "$work/server/mail/you" >/dev/null
scripts/dovecot.sh start "$work/server"
# shellcheck disable=SC1091
. "$work/server/env"
export MAILSTOW_PASSWORD=demo-password MAILSTOW_TARGET_PASSWORD=demo-password
url="imaps://you@localhost:$MS_IMAPS_PORT"
echo "serving on 127.0.0.1, port $MS_IMAPS_PORT, TLS, user you"

step "1. Back it up"
show backup "$url" --tls-ca "$MS_CA" --account you@example.com --to "$work/archive"

step "2. What the archive holds"
show status "$work/archive"

step "3. Two new messages arrive; back up again: only they are fetched"
for n in 1 2; do
  {
    printf 'From: friend@example.org\r\nTo: you@example.com\r\nSubject: new message %s\r\n' "$n"
    printf 'Message-ID: <new-%s@example.org>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\nHello.\r\n' "$n"
  } >"$work/new.eml"
  scripts/deliver.py --port "$MS_IMAP_PORT" --user you --password "$MAILSTOW_PASSWORD" INBOX "$work/new.eml"
done
show backup "$url" --tls-ca "$MS_CA" --account you@example.com --to "$work/archive"
"$mailstow" ls "$work/archive" INBOX | tail -n 2

step "4. The same account over POP3, into the same archive: fetched, but nothing is stored twice"
show backup "pop3s://you@localhost:$MS_POP3S_PORT" --tls-ca "$MS_CA" --account you@example.com --to "$work/archive"

step "5. Re-read and re-hash everything"
show verify "$work/archive"

step "6. Take the mail out again: one mbox per mailbox, complete"
show export "$work/archive" --format mbox --to "$work/mbox"
find "$work/mbox" -name '*.mbox' -printf '%P  %s bytes\n'

step "7. And without mailstow: stock zstd and any mail reader"
segment=$(find "$work/archive/mail" -path '*INBOX*' -name '*.mbox.zst' | head -n 1)
zstd -dc "$segment" >"$work/inbox.mbox"
python3 - "$work/inbox.mbox" <<'PYTHON'
import mailbox, sys
box = mailbox.mbox(sys.argv[1])
print(f"Python's mailbox module finds {len(box)} messages in the decompressed segment")
PYTHON

step "8. Move to another account: what the archive has is not fetched again, what comes is sent on"
migrate=(migrate "$url" "imaps://new-you@localhost:$MS_IMAPS_PORT" --via "$work/archive"
  --account you@example.com --tls-ca "$MS_CA" --target-tls-ca "$MS_CA")
show "${migrate[@]}"

step "9. One last message arrives at the old account; the final pass sends it, and proves the rest"
{
  printf 'From: friend@example.org\r\nTo: you@example.com\r\nSubject: one more\r\n'
  printf 'Message-ID: <last@example.org>\r\nDate: Sun, 22 Nov 2026 18:00:00 +0000\r\n\r\nBye.\r\n'
} >"$work/new.eml"
scripts/deliver.py --port "$MS_IMAP_PORT" --user you --password "$MAILSTOW_PASSWORD" INBOX "$work/new.eml"
show "${migrate[@]}" --final

step "10. And what Dovecot itself counts in the two accounts"
for user in you new-you; do
  doveadm -c "$MS_DOVECOT_CONF" mailbox status -t -u "$user" messages '*' | sed "s/^/$user: /"
done

step "Done"
