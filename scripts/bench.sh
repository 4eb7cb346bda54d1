#!/usr/bin/env bash
# Measures mailstow on loopback: over IMAP against a raw drain of the same server, mbsync and
# restic, over POP3 against a raw pipelined drain, mpop and getmail, as a target against a raw
# MULTIAPPEND, mbsync and imapsync.
#
#   scripts/bench.sh [options]
#     --runs N          repeat, take medians (default 3)
#     --messages N      of the made-up account (default 30000; of the one that is replayed 5000)
#     --bytes N         its size (default 1000000000; 141000000)
#     --big [BYTES]     also an account with a message of that size (default 150000000)
#     --nights          what a night costs alone: --only nights,million
#     --pop3            the POP3 parts alone: --only pop3,pop3-list,pop3-big
#     --pop3-messages N --pop3-bytes N    of the maildrop (default 5000, 140000000)
#     --pop3-list N     messages of the maildrop that is only listed (default 100000)
#     --pop3-big BYTES  of the large message in a maildrop (default 100000000)
#     --replay          the parts with a target alone: --only replay,replay-delay,replay-big
#     --replay-big BYTES  of the large message that is replayed (default 100000000)
#     --imapsync PATH   that program, which no distribution has (default: the one in PATH, if any)
#     --only LIST       some of: drain,backup,verify,mbsync,tls,real,big,pop3,pop3-list,pop3-big,
#                       nights,million,replay,replay-delay,replay-big (comma-separated; all down to
#                       pop3-list but `big` without it)
#     --mailstow PATH   a binary; without it `cargo build --release`
#     --keep            leave the temporary folder, and say where it is
#
# Everything happens in a temporary folder (TMPDIR) and in target/bench, where results.json and
# results.md are written. Real mail is the SpamAssassin corpus in ../shared/corpora; where that
# is absent, `real` is left out and the results say so. `million` is tests/nights_million.rs, run
# once: a scripted server in a test that counts round trips. CPU and memory there are those of the
# program that is measured, wall time is also the server's.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin"
say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
runs=3 messages='' bytes='' big=''
only=drain,backup,verify,mbsync,tls,real,pop3,pop3-list
pop3_messages=5000 pop3_bytes=140000000 pop3_list=100000 pop3_big=100000000
replay_big=100000000 imapsync=$(command -v imapsync || true)
mailstow='' keep=no
while (($#)); do
  case $1 in
    --keep) keep=yes ;;
    --big)
      big=150000000
      if [[ ${2-} =~ ^[0-9]+$ ]]; then big=$2; shift; fi
      ;;
    --nights) only=nights,million ;;
    --pop3) only=pop3,pop3-list,pop3-big ;;
    --replay) only=replay,replay-delay,replay-big ;;
    --runs | --messages | --bytes | --pop3-* | --replay-big | --imapsync | --only | --mailstow)
      (($# >= 2)) || die "$1 needs a value"
      name=${1#--} name=${name//-/_}
      [[ -v $name ]] || die "unknown option: $1 (they stand at the top of this script)"
      printf -v "$name" %s "$2"
      shift
      ;;
    *) die "unknown option: $1 (they stand at the top of this script)" ;;
  esac
  shift
done
if [[ -n $big ]]; then only+=,big; elif [[ ,$only, == *,big,* ]]; then big=150000000; fi
parts=drain,backup,verify,mbsync,tls,real,big,pop3,pop3-list,pop3-big,nights,million,replay,replay-delay,replay-big
for part in ${only//,/ }; do
  [[ ,$parts, == *",$part,"* ]] || die "--only knows no $part"
done
want() { # is one of these PARTS to be done?
  local part
  for part in "$@"; do [[ ,$only, == *",$part,"* ]] && return; done
  return 1
}

"$root/scripts/setup.sh" --bench
wants_replay() { want replay replay-delay replay-big; }
if [[ -z $mailstow ]] && { want backup verify tls real big pop3 pop3-list pop3-big nights million || wants_replay; }; then
  (cd "$root" && cargo build --release --quiet) || die "mailstow doesn't build"
  mailstow=${CARGO_TARGET_DIR:-$root/target}/release/mailstow
fi

if [[ -n $mailstow ]]; then mailstow=$(realpath -- "$mailstow"); fi
if [[ -n $imapsync ]]; then imapsync=$(realpath -- "$imapsync"); fi
users_home=$HOME # cargo's
if want million; then
  (cd "$root" && cargo test --quiet --locked --features testing --test nights_million --no-run) ||
    die "its tests don't build"
fi

umask 077
work=$(mktemp -d "${TMPDIR:-/tmp}/ms-bench.XXXXXX")
chmod a+x "$work" # for the server, which serves mail as nobody when we are root
delay_pid=''
finish() {
  if [[ -n $delay_pid ]]; then kill "$delay_pid" || true; fi
  "$root/scripts/dovecot.sh" stop "$work/server" || true
  if [[ $keep == yes ]]; then say "kept: $work"; else rm -rf -- "$work"; fi
}
trap finish EXIT

# ---- the server and its mail -------------------------------------------------------------------
MAILSTOW_PASSWORD=$(openssl rand -hex 12)
export MAILSTOW_PASSWORD
server=$work/server
mkdir -p "$server/mail"
export MAILSTOW_TARGET_PASSWORD=$MAILSTOW_PASSWORD
# shellcheck source=scripts/bench_replay.sh
. "$root/scripts/bench_replay.sh"
users=(made real big pop3 pop3-list pop3-big replay replay-big)
if wants_replay; then for ((n = 1; n <= runs * replay_targets; n++)); do users+=("target-$n"); done; fi
printf '%s:{PLAIN}'"$MAILSTOW_PASSWORD"'\n' "${users[@]}" >"$server/users"

generate() { # USER OPTIONS...
  local out=$server/mail/$1
  shift
  "$root/scripts/mailgen.py" --out "$out" "$@"
}
say "writing mail"
made=none real=none large=none maildrop=none listed=none large_maildrop=none replayed=none replay_large=none corpus=$root/../shared/corpora/spamassassin.tar.zst
if want drain backup verify mbsync tls nights; then
  made=$(generate made --messages "${messages:-30000}" --bytes "${bytes:-1000000000}")
fi
if want real && [[ ! -r $corpus ]]; then
  say "no corpus in ../shared/corpora: real mail is left out"
elif want real; then
  real=$(generate real --verbatim --corpus "$corpus")
  mkdir "$work/corpus"
  zstd -dc "$corpus" | tar -x -C "$work/corpus"
fi
if want big; then large=$(generate big --messages 100 --bytes 3000000 --big "$big"); fi
# A maildrop is one mailbox: POP3 sees the INBOX and nothing else.
if want pop3; then
  maildrop=$(generate pop3 --mailboxes 1 --messages "$pop3_messages" --bytes "$pop3_bytes")
fi
if want pop3-list; then listed=$(generate pop3-list --tiny --messages "$pop3_list"); fi
if want pop3-big; then
  large_maildrop=$(generate pop3-big --mailboxes 1 --messages 100 --bytes 3000000 --big "$pop3_big")
fi
if want replay replay-delay; then
  replayed=$(generate replay --mailboxes 4 --messages "${messages:-5000}" --bytes "${bytes:-141000000}")
fi
if want replay-big; then
  replay_large=$(generate replay-big --mailboxes 4 --messages 100 --bytes 3000000 --big "$replay_big")
fi
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
  local options=(--name "$name" --out "$work/runs.jsonl" ${size:+--size "$size"})
  if [[ $1 == */raw_drain.py || $1 == */raw_append.py ]]; then options+=(--drain); fi
  "$root/scripts/measure.py" run "${options[@]}" -- "$@"
}

drain() { # NAME|- USER tls|plain|pop3|listing
  local command=("$root/scripts/raw_drain.py" --user "$2")
  case $3 in
    tls) command+=(--port "$MS_IMAPS_PORT" --tls --ca "$MS_CA") ;;
    plain) command+=(--port "$MS_IMAP_PORT") ;;
    pop3) command+=(--pop3 --host 127.0.0.1 --port "$MS_POP3_PORT") ;;
    listing) command+=(--pop3 --listing --host 127.0.0.1 --port "$MS_POP3_PORT") ;;
  esac
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

pop3() { # NAME USER ARCHIVE
  measure "$1" "$3" "$mailstow" backup "pop3://$2@127.0.0.1:$MS_POP3_PORT" --to "$3"
}

mpop_fresh() { # USER
  mkdir -p "$work/mpop"/{cur,new,tmp}
  cat >"$work/mpoprc" <<CONF
account default
host 127.0.0.1
port $MS_POP3_PORT
user $1
password $MAILSTOW_PASSWORD
auth user
tls off
pipelining on
keep on
received_header off
uidls_file $work/mpop-uidls
delivery maildir $work/mpop
CONF
  measure mpop "$work/mpop" mpop -C "$work/mpoprc" --quiet
  expect_maildir "$work/mpop"
  rm -rf -- "$work/mpop" "$work/mpop-uidls"
}

# The one Debian 12 has (6.18.11) forks for every message and may miss the end of its child: it
# waits three minutes and fails. Later ones do not.
getmail_version=6.20.2
getmail_program() { # puts it in $work/getmail-program, from target/bench if it was had before
  local kept=$root/target/bench/getmail6-$getmail_version
  if [[ ! -d $kept ]]; then
    mkdir -p "$root/target/bench"
    rm -rf -- "$kept.new"
    pip3 install --quiet --no-deps --disable-pip-version-check --root-user-action ignore \
      --target "$kept.new" "getmail6==$getmail_version" || die "getmail6 can't be had from PyPI"
    mv -- "$kept.new" "$kept"
  fi
  cp -r -- "$kept" "$work/getmail-program"
  chmod -R a+rX "$work/getmail-program"
}

getmail_fresh() { # USER
  # Debian's own Python: any other may lie where only root can reach.
  local command=(env PYTHONPATH="$work/getmail-program" /usr/bin/python3
    "$work/getmail-program/bin/getmail" --getmaildir "$work/getmail-state" --rcfile rc)
  mkdir -p "$work/getmail"/{cur,new,tmp} "$work/getmail-state"
  cat >"$work/getmail-state/rc" <<CONF
[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = $MS_POP3_PORT
username = $1
password = $MAILSTOW_PASSWORD
[destination]
type = Maildir
path = $work/getmail/
[options]
delete = false
delivered_to = false
received = false
verbose = 0
CONF
  if ((EUID == 0)); then # getmail refuses to file mail as root
    chown -R "$MS_MAIL_OWNER" "$work/getmail" "$work/getmail-state"
    command=(setpriv --reuid "${MS_MAIL_OWNER%:*}" --regid "${MS_MAIL_OWNER#*:}" --clear-groups "${command[@]}")
  fi
  measure getmail "$work/getmail" "${command[@]}"
  expect_maildir "$work/getmail"
  rm -rf -- "$work/getmail" "$work/getmail-state"
}

# A client that gives up early would be a fast one.
expect_maildir() {
  local found
  found=$(find "$1/new" "$1/cur" -type f | wc -l)
  ((found == pop3_messages)) || die "$1 holds $found messages of $pop3_messages"
}

pop3_run() {
  if want pop3; then
    drain pop3-drain pop3 pop3
    pop3 pop3 pop3 "$work/archive"
    pop3 pop3-again pop3 "$work/archive"
    rm -rf -- "$work/archive"
    mpop_fresh pop3
    getmail_fresh pop3
  fi
  if want pop3-list; then
    drain pop3-list-drain pop3-list listing
    pop3 pop3-list pop3-list "$work/held"
  fi
  if want pop3-big; then
    pop3 pop3-big pop3-big "$work/archive"
    rm -rf -- "$work/archive"
  fi
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

nights() { # in turn, over what was had before the first of them
  backup nights made "$work/nights"
  measure nights-mbsync '' mbsync -c "$work/nights-mbsyncrc" -q all
}

million() {
  local variables=(HOME="$users_home" MAILSTOW_BENCH_OUT="$work/runs.jsonl" MAILSTOW_BENCH_BIN="$mailstow")
  (cd "$root" && env -u MAILSTOW_PASSWORD "${variables[@]}" cargo test --quiet --locked \
    --features testing --test nights_million -- --ignored --nocapture >&2) || die "million failed"
}

# The server reads everything once before the first measurement: indexes made, pages cached.
if [[ $made != none ]]; then drain - made plain; fi
if [[ -d $work/corpus ]]; then drain - real plain; fi
if want big; then drain - big plain; fi
if want pop3; then
  drain - pop3 pop3
  getmail_program
fi
if want pop3-big; then drain - pop3-big pop3; fi
if want pop3-list; then
  say "making the archive that holds the long listing"
  drain - pop3-list listing
  "$mailstow" backup -q "pop3://pop3-list@127.0.0.1:$MS_POP3_PORT" --to "$work/held"
fi
if want nights; then
  say "making the archive and the Maildir that nights find"
  "$mailstow" backup -q "imap://made@127.0.0.1:$MS_IMAP_PORT" --to "$work/nights"
  mbsync_config made "$work/nights-mbsync" no >"$work/nights-mbsyncrc"
  mbsync -c "$work/nights-mbsyncrc" -q all
  sleep 2 # as above
fi
if wants_replay; then replay_prepare; fi
: >"$work/runs.jsonl"
for ((run = 1; run <= runs; run++)); do
  say "run $run of $runs"
  one_run
  pop3_run
  if want nights; then nights; fi
  if wants_replay; then replay_run; fi
done
if want million; then million; fi

# ---- results -----------------------------------------------------------------------------------
mkdir -p "$root/target/bench"
none_or() { if [[ $1 == none ]]; then echo '"none"'; else echo "$1"; fi; }
versions="Dovecot $(dovecot --version | cut -d' ' -f1), $(mbsync --version), $(restic version | cut -d' ' -f1,2)"
versions+=", $(mpop --version | head -n 1), getmail6 $getmail_version"
if [[ -n $imapsync ]]; then
  versions+=", imapsync $("$imapsync" --version | tail -n 1)"
elif want replay; then
  say "imapsync is not to be had here: --imapsync PATH names it; it is left out"
  versions+=", no imapsync (it was not to be had)"
fi
cat >"$work/facts.json" <<JSON
{"made-up account": $(none_or "$made"), "real mail": $(none_or "$real"),
 "large message": $(none_or "$large"), "maildrop": $(none_or "$maildrop"),
 "long listing": $(none_or "$listed"), "maildrop with a large message": $(none_or "$large_maildrop"),
 "mail that is replayed": $(none_or "$replayed"), "replayed with a large message": $(none_or "$replay_large"),
 "cores": $(nproc), "runs": $runs, "versions": "$versions"}
JSON
"$root/scripts/measure.py" report "$work/runs.jsonl" --facts "$work/facts.json" \
  --json "$root/target/bench/results.json" --md "$root/target/bench/results.md"
