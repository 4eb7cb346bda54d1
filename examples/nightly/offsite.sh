#!/usr/bin/env bash
# Copies an archive off-site, encrypted before it leaves this machine. Nothing in the archive is
# changed. Run it after each backup; a copy that has all of it already costs next to nothing, as
# finished files never change.
#
#   offsite.sh ARCHIVE
#
# With restic (recommended: it encrypts names too, keeps older states, and checks itself):
#   RESTIC_REPOSITORY=sftp:you@elsewhere:mail    or rest:, s3:, b2:, rclone:…; made once, by hand,
#                                                with `restic init`
#   RESTIC_PASSWORD_FILE=/path                   without this password the copy is lost: keep it
#                                                where a fire here does not reach
# or with age and rclone (one encrypted file for each file; the names of mailboxes stay readable
# there, and only the newest state is kept):
#   AGE_RECIPIENT=age1…                          the key that opens it need not be on this machine
#   RCLONE_REMOTE=remote:mail
set -euo pipefail
export LC_ALL=C

archive=${1:?usage: offsite.sh ARCHIVE}
state=${STATE_DIRECTORY:-${XDG_STATE_HOME:-$HOME/.local/state}/mailstow-offsite}

# A damaged archive (7) must not take the place of a good copy. One with gaps is copied.
code=0
mailstow status -q "$archive" || code=$?
if ((code != 0)); then
  echo "offsite: $archive is not copied: mailstow status says $code" >&2
  exit "$code"
fi

# While a run writes, a copy would be of no one moment. This is the lock mailstow itself takes:
# we wait for a run at work, and a run that starts now exits with 8, or waits with --wait.
exec 9<"$archive/lock"
flock --shared --timeout 7200 9 || { echo "offsite: a run has worked for two hours" >&2; exit 8; }

# catalog.sqlite is an index that is made again from the journal, and rewritten every night.
# tmp/ is empty between runs. lock says only that the last run ended in good order.
with_restic() {
  restic backup --tag mailstow --exclude "$archive/catalog.sqlite*" --exclude "$archive/tmp" "$archive"
  # The archive forgets nothing by itself; older states are for the case that it is spoilt.
  restic forget --tag mailstow --group-by tags \
    --keep-daily 14 --keep-weekly 8 --keep-monthly 24 --prune
  # A twentieth of the data is read back each time, another one every day.
  restic check --read-data-subset "$(($(date +%s) / 86400 % 20 + 1))/20"
}

# One line for each file: path, size, time of change.
files() {
  (cd "$archive" && find . -type f ! -name 'catalog.sqlite*' ! -path './tmp/*' ! -name lock \
    -printf '%P\t%s\t%T@\n' | sort)
}

with_age() {
  local copied=$state/copied now=$state/now line
  mkdir -p "$state"
  touch "$copied"
  sort -u -o "$copied" "$copied"
  files >"$now"
  # The mail first, the journal, which names it, last: should this be interrupted, the copy is
  # an archive with mail that nothing names yet, which mailstow adopts, not one that lacks any.
  comm -13 "$copied" "$now" >"$state/new"
  { grep -v '^journal/' "$state/new" || true; grep '^journal/' "$state/new" || true; } |
    while IFS= read -r line; do
      age --encrypt --recipient "$AGE_RECIPIENT" <"$archive/${line%%$'\t'*}" |
        rclone rcat "$RCLONE_REMOTE/${line%%$'\t'*}.age"
      # Noted one by one, so that a copy that was interrupted goes on where it stopped.
      printf '%s\n' "$line" >>"$copied"
    done
  # What was repacked into other files goes, now that those are there.
  comm -23 <(cut -f1 "$copied" | sort -u) <(cut -f1 "$now" | sort -u) | sed 's/$/.age/' >"$state/gone"
  if [[ -s $state/gone ]]; then
    rclone delete --files-from-raw "$state/gone" "$RCLONE_REMOTE"
  fi
  mv "$now" "$copied"
}

if [[ -n ${RESTIC_REPOSITORY-} ]]; then
  with_restic
elif [[ -n ${AGE_RECIPIENT-} && -n ${RCLONE_REMOTE-} ]]; then
  with_age
else
  echo "offsite: set RESTIC_REPOSITORY, or AGE_RECIPIENT and RCLONE_REMOTE" >&2
  exit 2
fi
