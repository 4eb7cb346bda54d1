# shellcheck shell=bash disable=SC2154
# The replay parts of scripts/bench.sh, which sources this: the same mail into Dovecot by a raw
# MULTIAPPEND, by `mailstow replay` and `migrate`, by mbsync from IMAP to IMAP, and by imapsync
# where that is to be had. Every measurement has a target account of its own, which nobody used
# before; only replay-again comes back to one. Afterwards the messages on the target are counted:
# who gives up early would be fast.
#
# Needs of bench.sh: root work server mailstow imapsync, measure say die want drain, MS_* and the
# passwords; that it makes replay_targets accounts for each run before Dovecot starts (which does
# not notice at once when there are more), and ends delay_pid.

replay_delay=50 # ms in each direction, so 100 ms more for a round trip
# shellcheck disable=SC2034
replay_targets=20 # accounts in a run, more than it needs
targets=0 replay_messages=0

fresh_target() { # sets target
  ((++targets))
  target=target-$targets
}

messages_in() { # USER
  { find "$server/mail/$1" \( -path '*/cur/*' -o -path '*/new/*' \) -type f || true; } | wc -l
}

expect_replayed() { # NAME [MESSAGES]: that the target has all of them; then makes room
  local found expected=${2:-$replay_messages}
  found=$(messages_in "$target")
  ((found == expected)) || die "$1: the target has $found messages of $expected"
  rm -rf -- "${server:?}/mail/$target"
}

# One folder for a mailbox and one file for a message, as on the wire, dated as it arrived. What
# separates levels would make folders of them; here a name is as good as another.
export_for_raw() { # USER FOLDER
  python3 - "$server/mail/$1" "$2" <<'PYTHON'
import os, pathlib, sys
mail, out = map(pathlib.Path, sys.argv[1:])
for folder in [mail, *mail.rglob("*")]:
    if not (folder / "cur").is_dir():
        continue
    name = "INBOX" if folder == mail else str(folder.relative_to(mail)).replace("/", "-")
    (out / name).mkdir(parents=True)
    for n, file in enumerate(sorted((folder / "cur").iterdir())):
        body = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        copy = out / name / f"{n:06}"
        copy.write_bytes(body)
        os.utime(copy, (file.stat().st_mtime,) * 2)
PYTHON
}

raw_append() { # NAME PORT CONNECTIONS
  fresh_target
  measure "$1" '' "$root/scripts/raw_append.py" --port "$2" --user "$target" \
    --password-env MAILSTOW_TARGET_PASSWORD --connections "$3" "$work/messages"
  expect_replayed "$1"
}

replay_to() { # NAME ARCHIVE PORT OPTIONS...
  local name=$1 archive=$2 port=$3
  shift 3
  measure "$name" '' "$mailstow" replay "$archive" --to "imap://$target@127.0.0.1:$port" "$@"
}

mbsync_imap() { # NAME FSYNC
  fresh_target
  mkdir "$work/mbsync-state"
  cat >"$work/mbsync-imap" <<CONF
FSync $2
IMAPAccount source
Host 127.0.0.1
Port $MS_IMAP_PORT
User replay
Pass $MAILSTOW_PASSWORD
SSLType None
AuthMechs LOGIN
Timeout 600

IMAPStore source
Account source

IMAPAccount target
Host 127.0.0.1
Port $MS_IMAP_PORT
User $target
Pass $MAILSTOW_TARGET_PASSWORD
SSLType None
AuthMechs LOGIN
Timeout 600

IMAPStore target
Account target

Channel all
Far :source:
Near :target:
Patterns *
Create Near
Sync Pull
CopyArrivalDate yes
SyncState $work/mbsync-state/
CONF
  measure "$1" '' mbsync -c "$work/mbsync-imap" -q all
  expect_replayed "$1"
  rm -rf -- "$work/mbsync-state"
}

# No distribution of ours has it, so it is measured where somebody put it. It signs in without TLS
# here as all others do, looks for no new release, and writes no log.
imapsync_fresh() {
  fresh_target
  printf '%s\n' "$MAILSTOW_PASSWORD" >"$work/imapsync-1"
  printf '%s\n' "$MAILSTOW_TARGET_PASSWORD" >"$work/imapsync-2"
  measure imapsync '' "$imapsync" --nolog --noreleasecheck --nofoldersizes --nofoldersizesatend \
    --pidfile "$work/imapsync.pid" --tmpdir "$work" \
    --host1 127.0.0.1 --port1 "$MS_IMAP_PORT" --user1 replay --passfile1 "$work/imapsync-1" \
    --nossl1 --notls1 \
    --host2 127.0.0.1 --port2 "$MS_IMAP_PORT" --user2 "$target" --passfile2 "$work/imapsync-2" \
    --nossl2 --notls2
  expect_replayed imapsync
}

start_delay() { # sets delayed, its port, and delay_pid
  local line
  coproc DELAY { exec "$root/scripts/delay_proxy.py" --to "127.0.0.1:$MS_IMAP_PORT" --ms "$replay_delay"; }
  # shellcheck disable=SC2153,SC2034
  delay_pid=$DELAY_PID
  read -r -t 20 line <&"${DELAY[0]}" || die "the delaying proxy doesn't start"
  delayed=$line
}

# Mail, archives and folders that are found by every run; bench.sh calls it once Dovecot runs.
replay_prepare() {
  if want replay replay-delay; then
    say "making the archive and the folders that are replayed"
    replay_messages=$(messages_in replay)
    drain - replay plain
    export_for_raw replay "$work/messages"
    "$mailstow" backup -q "imap://replay@127.0.0.1:$MS_IMAP_PORT" --to "$work/replayed"
  fi
  if want replay-big; then
    "$mailstow" backup -q "imap://replay-big@127.0.0.1:$MS_IMAP_PORT" --to "$work/replayed-big"
  fi
  if want replay-delay; then start_delay; fi
}

replay_run() {
  local connections
  if want replay; then
    for connections in 1 2; do
      raw_append "append-$connections" "$MS_IMAP_PORT" "$connections"
      fresh_target
      replay_to "replay-$connections" "$work/replayed" "$MS_IMAP_PORT" --target-connections "$connections"
      if ((connections == 2)); then
        replay_to replay-again "$work/replayed" "$MS_IMAP_PORT" --target-connections 2
      fi
      expect_replayed "replay-$connections"
    done
    mbsync_imap mbsync-imap yes
    mbsync_imap mbsync-imap-nofsync no
    if [[ -n $imapsync ]]; then imapsync_fresh; fi
    fresh_target
    measure migrate "$work/migrated" "$mailstow" migrate "imap://replay@127.0.0.1:$MS_IMAP_PORT" \
      "imap://$target@127.0.0.1:$MS_IMAP_PORT" --via "$work/migrated"
    expect_replayed migrate
    rm -rf -- "$work/migrated"
  fi
  if want replay-delay; then
    for connections in 1 2; do
      raw_append "append-$connections-delayed" "$delayed" "$connections"
      fresh_target
      replay_to "replay-$connections-delayed" "$work/replayed" "$delayed" --target-connections "$connections"
      expect_replayed "replay-$connections-delayed"
    done
  fi
  if want replay-big; then
    fresh_target
    replay_to replay-big "$work/replayed-big" "$MS_IMAP_PORT"
    expect_replayed replay-big "$(messages_in replay-big)"
  fi
}
