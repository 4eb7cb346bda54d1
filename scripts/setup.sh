#!/usr/bin/env bash
# Installs what the tests need (and, with --bench, what the measurements need) on Debian or a
# relative of it. Does nothing, and needs no rights, when everything is there already.
#
#   scripts/setup.sh [--bench] [--check]      --check only says what is missing (exit 1)
#
# Needs root or a sudo that asks for no password; where it has neither it says what to install.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

say() { printf 'setup: %s\n' "$*" >&2; }

bench=no check=no
for arg in "$@"; do
  case $arg in
    --bench) bench=yes ;;
    --check) check=yes ;;
    *) say "unknown option: $arg (known: --bench --check)"; exit 2 ;;
  esac
done

# PACKAGE:PROBE, where the probe is a command or, if it has a slash, a file.
wanted=(
  dovecot-imapd:/usr/lib/dovecot/imap dovecot-pop3d:/usr/lib/dovecot/pop3
  dovecot-lmtpd:/usr/lib/dovecot/lmtp
  zstd:zstd python3:python3 openssl:openssl tar:tar time:/usr/bin/time
)
if [[ $bench == yes ]]; then wanted+=(isync:mbsync restic:restic mpop:mpop python3-pip:pip3); fi

missing_packages() {
  local entry probe
  for entry in "${wanted[@]}"; do
    probe=${entry#*:}
    if [[ $probe == */* ]]; then [[ -x $probe ]] || echo "${entry%%:*}"
    else command -v "$probe" >/dev/null || echo "${entry%%:*}"; fi
  done
}

mapfile -t missing < <(missing_packages)
((${#missing[@]} == 0)) && exit 0
if [[ $check == yes ]]; then say "missing: ${missing[*]}"; exit 1; fi

if ! command -v apt-get >/dev/null; then
  say "this machine has no apt-get; install these by hand: ${missing[*]}"; exit 1
fi
as_root=()
if ((EUID != 0)); then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    say "not root, and no sudo without a password; run: apt-get install ${missing[*]}"; exit 1
  fi
fi

# A package brings its own server and would start it on every interface. We want the programs
# only: policy-rc.d is Debian's way to say so, put there for these seconds if nobody else has.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

say "installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -q --no-install-recommends "${missing[@]}" >&2

mapfile -t missing < <(missing_packages)
if ((${#missing[@]} > 0)); then say "still missing after apt-get: ${missing[*]}"; exit 1; fi
