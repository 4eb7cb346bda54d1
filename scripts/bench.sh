#!/usr/bin/env bash
# Measures mailstow against a raw drain of the same server, mbsync and restic, on loopback.
#
#   scripts/bench.sh [options]
#     --runs N          repeat, take medians (default 3)
#     --messages N      of the made-up account (default 30000)
#     --bytes N         its size (default 1000000000)
#     --big [BYTES]     also an account with a message of that size (default 150000000)
#     --only LIST       some of: drain,backup,verify,mbsync,tls,real,big (comma-separated)
#     --mailstow PATH   a binary; without it `cargo build --release`
#     --keep            leave the temporary folder, and say where it is
#
# Everything happens in a temporary folder (TMPDIR) and in target/bench, where results.json and
# results.md are written. Real mail is the SpamAssassin corpus in ../shared/corpora; where that
# is absent, `real` is left out and the results say so.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin"
say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
runs=3 messages=30000 bytes=1000000000 big='' only=drain,backup,verify,mbsync,tls,real
mailstow='' keep=no
while (($#)); do
  case $1 in
    --keep) keep=yes ;;
    --big)
      big=150000000
      if [[ ${2-} =~ ^[0-9]+$ ]]; then big=$2; shift; fi
      ;;
    --runs | --messages | --bytes | --only | --mailstow)
      (($# >= 2)) || die "$1 needs a value"
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    *) die "unknown option: $1 (they stand at the top of this script)" ;;
  esac
  shift
done
if [[ -n $big ]]; then only+=,big; elif [[ ,$only, == *,big,* ]]; then big=150000000; fi
for part in ${only//,/ }; do
  [[ ,drain,backup,verify,mbsync,tls,real,big, == *",$part,"* ]] || die "--only knows no $part"
done
want() { [[ ,$only, == *",$1,"* ]]; }

"$root/scripts/setup.sh" --bench
if [[ -z $mailstow ]] && { want backup || want verify || want tls || want real || want big; }; then
  (cd "$root" && cargo build --release --quiet) || die "mailstow doesn't build"
  mailstow=${CARGO_TARGET_DIR:-$root/target}/release/mailstow
fi

umask 077
work=$(mktemp -d "${TMPDIR:-/tmp}/ms-bench.XXXXXX")
chmod a+x "$work" # for the server, which serves mail as nobody when we are root
finish() {
  "$root/scripts/dovecot.sh" stop "$work/server" || true
  if [[ $keep == yes ]]; then say "kept: $work"; else rm -rf -- "$work"; fi
}
trap finish EXIT

# ---- the server and its mail -------------------------------------------------------------------
MAILSTOW_PASSWORD=$(openssl rand -hex 12)
export MAILSTOW_PASSWORD
server=$work/server
mkdir -p "$server/mail"
printf '%s:{PLAIN}'"$MAILSTOW_PASSWORD"'\n' made real big >"$server/users"

generate() { # USER OPTIONS...
  local out=$server/mail/$1
  shift
  "$root/scripts/mailgen.py" --out "$out" "$@"
}
say "writing mail"
made=none real=none large=none corpus=$root/../shared/corpora/spamassassin.tar.zst
if want drain || want backup || want verify || want mbsync || want tls; then
  made=$(generate made --messages "$messages" --bytes "$bytes")
fi
if want real && [[ ! -r $corpus ]]; then
  say "no corpus in ../shared/corpora: real mail is left out"
elif want real; then
  real=$(generate real --verbatim --corpus "$corpus")
  mkdir "$work/corpus"
  zstd -dc "$corpus" | tar -x -C "$work/corpus"
fi
if want big; then large=$(generate big --messages 100 --bytes 3000000 --big "$big"); fi
"$root/scripts/dovecot.sh" start "$server"
# shellcheck source=/dev/null
. "$server/env"

# ---- what is measured --------------------------------------------------------------------------
# Nobody's configuration or cache is read or written.
export HOME=$work/home XDG_CONFIG_HOME=$work/home XDG_CACHE_HOME=$work/home XDG_STATE_HOME=$work/home
mkdir "$HOME"

measure() { # NAME SIZE_OF COMMAND...
  local name=$1 size=$2
  shift 2
  "$root/scripts/measure.py" run --name "$name" --out "$work/runs.jsonl" ${size:+--size "$size"} -- "$@"
}

drain() { # NAME|- USER tls|plain
  local command=("$root/scripts/raw_drain.py" --user "$2")
  if [[ $3 == tls ]]; then command+=(--port "$MS_IMAPS_PORT" --tls --ca "$MS_CA")
  else command+=(--port "$MS_IMAP_PORT"); fi
  if [[ $1 == - ]]; then "${command[@]}" >/dev/null; else measure "$1" '' "${command[@]}"; fi
}

backup() { # NAME USER ARCHIVE
  measure "$1" "$3" "$mailstow" backup "imap://$2@127.0.0.1:$MS_IMAP_PORT" --to "$3"
}

mbsync_config() { # USER DIR FSYNC
  mkdir -p "$2"
  cat <<CONF
FSync $3
IMAPAccount far
Host 127.0.0.1
Port $MS_IMAP_PORT
User $1
Pass $MAILSTOW_PASSWORD
SSLType None
AuthMechs LOGIN
Timeout 600

IMAPStore far
Account far

MaildirStore near
Path $2/
Inbox $2/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Sync Pull
SyncState *
CONF
}

mbsync_fresh() { # NAME USER FSYNC
  mbsync_config "$2" "$work/mbsync" "$3" >"$work/mbsyncrc"
  measure "$1" "$work/mbsync" mbsync -c "$work/mbsyncrc" -q all
}

one_run() {
  if want drain; then drain drain made plain; fi
  if want backup || want verify; then
    backup backup made "$work/archive"
    if want backup; then backup again made "$work/archive"; fi
    if want verify; then measure verify '' "$mailstow" verify "$work/archive"; fi
    rm -rf -- "$work/archive"
  fi
  if want mbsync; then
    mbsync_fresh mbsync made yes
    # mbsync waits out the second in which a Maildir was written; no nightly run meets that.
    sleep 2
    measure mbsync-again '' mbsync -c "$work/mbsyncrc" -q all
    rm -rf -- "$work/mbsync"
    mbsync_fresh mbsync-nofsync made no
    rm -rf -- "$work/mbsync"
  fi
  if want tls; then
    drain drain-tls made tls
    measure backup-tls "$work/archive" "$mailstow" backup \
      "imaps://made@localhost:$MS_IMAPS_PORT" --tls-ca "$MS_CA" --to "$work/archive"
    rm -rf -- "$work/archive"
  fi
  if want real && [[ -d $work/corpus ]]; then
    backup real real "$work/archive"
    rm -rf -- "$work/archive"
    export RESTIC_REPOSITORY=$work/restic RESTIC_PASSWORD=$MAILSTOW_PASSWORD
    restic init --quiet
    measure restic "$work/restic" restic --no-cache --quiet backup "$work/corpus"
    rm -rf -- "$work/restic"
  fi
  if want big; then
    backup big big "$work/archive"
    rm -rf -- "$work/archive"
    mbsync_fresh mbsync-big big no
    rm -rf -- "$work/mbsync"
  fi
}

# The server reads everything once before the first measurement: indexes made, pages cached.
if [[ $made != none ]]; then drain - made plain; fi
if [[ -d $work/corpus ]]; then drain - real plain; fi
if want big; then drain - big plain; fi
: >"$work/runs.jsonl"
for ((run = 1; run <= runs; run++)); do
  say "run $run of $runs"
  one_run
done

# ---- results -----------------------------------------------------------------------------------
mkdir -p "$root/target/bench"
none_or() { if [[ $1 == none ]]; then echo '"none"'; else echo "$1"; fi; }
cat >"$work/facts.json" <<JSON
{"made-up account": $(none_or "$made"), "real mail": $(none_or "$real"),
 "large message": $(none_or "$large"), "cores": $(nproc), "runs": $runs,
 "versions": "Dovecot $(dovecot --version | cut -d' ' -f1), $(mbsync --version), $(restic version | cut -d' ' -f1,2)"}
JSON
"$root/scripts/measure.py" report "$work/runs.jsonl" --facts "$work/facts.json" \
  --json "$root/target/bench/results.json" --md "$root/target/bench/results.md"
