#!/usr/bin/env bash
# A private Dovecot on loopback, with its own ports, certificate, users and mail.
#
#   scripts/dovecot.sh start DIR [options]     start it (DIR is made if absent)
#   scripts/dovecot.sh stop DIR                stop it and wait until every process is gone
#
#   --separator CHAR         hierarchy separator, `/` (default) or `.`
#   --max-connections N      mail_max_userip_connections (default 20)
#   --set KEY=VALUE          any other global Dovecot setting, repeatable
#   --include FILE           Dovecot configuration appended as it is, for plugin { } blocks
#
# In DIR:  users            `name:{PLAIN}password`, a line each; read again whenever it changes
#          mail/NAME        mail of a user (see below); anything laid there before `start` is served
#          env              MS_IMAP_PORT MS_IMAPS_PORT MS_POP3_PORT MS_POP3S_PORT MS_LMTP_PORT
#                           MS_CA MS_DOVECOT_CONF MS_DOVECOT_LOG MS_MAIL_OWNER (uid:gid); no LMTP port where dovecot-lmtpd
#                           isn't installed
#          ca.pem           trust this; the server's certificate is for localhost and 127.0.0.1
#          dovecot.conf     for `doveadm -c DIR/dovecot.conf ...`
#          log              what Dovecot says
#
# Storage is Maildir with LAYOUT=fs and the listescape plugin: mailbox A/B is mail/NAME/A/B/{cur,
# new,tmp}, INBOX is mail/NAME itself, folder names are modified UTF-7. So names may hold dots,
# spaces, quotes, `&`, `\`, a leading `~`, non-ASCII, and even the other separator; only `cur`,
# `new` and `tmp` can't be names of mailboxes. CONDSTORE and QRESYNC are on, as always in 2.3.
#
# Works as root (mail then belongs to `nobody`: Dovecot refuses to serve mail as uid 0) and as
# anybody else. Any number of instances may run. Exit: 0, 1 failed, 2 usage, 69 no Dovecot here.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

fail() { printf 'dovecot.sh: %s\n' "$1" >&2; exit "${2:-1}"; }

# ---- certificate -------------------------------------------------------------------------------
make_certificate() {
  [[ -s $dir/server.pem ]] && return
  local ec=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  {
    openssl req -x509 "${ec[@]}" -days 3650 -subj "/CN=mailstow test CA" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
      -keyout "$dir/ca.key" -out "$dir/ca.pem"
    openssl req "${ec[@]}" -subj "/CN=localhost" -keyout "$dir/server.key" -out "$dir/server.csr"
    printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
      'extendedKeyUsage=serverAuth' 'subjectAltName=DNS:localhost,IP:127.0.0.1' >"$dir/server.ext"
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
      -CAcreateserial -days 365 -extfile "$dir/server.ext" -out "$dir/server.new"
  } >"$dir/openssl.log" 2>&1 || fail "openssl failed: $(tail -n 3 "$dir/openssl.log")"
  mv "$dir/server.new" "$dir/server.pem"
}

# ---- ports -------------------------------------------------------------------------------------
# Below the range from which the kernel takes ports for outgoing connections, so that nobody's
# client sits on one by chance. Somebody may still take a port before Dovecot binds it: start
# then tries again with others.
free_port() {
  local port
  while :; do
    port=$((20000 + SRANDOM % 12000))
    [[ " ${ports[*]-} " == *" $port "* ]] && continue
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  ports+=("$port")
}

# ---- configuration -----------------------------------------------------------------------------
listener() { printf '  inet_listener %s {\n    address = 127.0.0.1\n    port = %s\n%s  }\n' "$@"; }

# Mail for NAME@anything is NAME's. Nothing but a Return-Path and a Delivered-To is put before it.
lmtp_config() {
  [[ -n $lmtp ]] || return 0
  cat <<CONF
lmtp_add_received_header = no
protocol lmtp {
  auth_username_format = %Ln
  postmaster_address = postmaster@localhost
}
service lmtp {
$(listener lmtp "${ports[4]}" '')
}
CONF
}

write_config() {
  local ssl=$'    ssl = yes\n' setting
  cat <<CONF
base_dir = $run_dir
state_dir = $dir/state
log_path = $dir/log
protocols = imap pop3$lmtp
listen = 127.0.0.1
login_greeting = Dovecot (test $token) ready.
ssl = yes
ssl_cert = <$dir/server.pem
ssl_key = <$dir/server.key
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:$dir/mail/%u:LAYOUT=fs
mail_plugins = listescape
mail_fsync = never
mail_max_userip_connections = $max_connections
first_valid_uid = 1
default_vsz_limit = 0
default_process_limit = 400
default_client_limit = 2000
default_internal_user = $internal_user
default_internal_group = $internal_group
default_login_user = $login_user
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u $dir/users
}
userdb {
  driver = static
  args = uid=${owner%:*} gid=${owner#*:} home=$dir/home/%u
}
namespace inbox {
  inbox = yes
  separator = $separator
  mailbox Drafts {
    special_use = \\Drafts
  }
  mailbox Junk {
    special_use = \\Junk
  }
  mailbox Sent {
    special_use = \\Sent
  }
  mailbox Trash {
    special_use = \\Trash
  }
}
service imap-login {
$chroot$(listener imap "${ports[0]}" '')
$(listener imaps "${ports[1]}" "$ssl")
}
service pop3-login {
$chroot$(listener pop3 "${ports[2]}" '')
$(listener pop3s "${ports[3]}" "$ssl")
}
$(lmtp_config)
service anvil {
$chroot  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
CONF
  for setting in "${settings[@]}"; do printf '%s = %s\n' "${setting%%=*}" "${setting#*=}"; done
  if [[ -n $include ]]; then cat "$include"; fi
}

# ---- start -------------------------------------------------------------------------------------
greeted() { # PORT: is it *our* server that answers there?
  local line
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  IFS= read -r -t 5 line <&3 || line=''
  exec 3>&- 3<&-
  [[ $line == *"(test $token)"* ]]
}

await_greeting() {
  local deadline=$((SECONDS + 20)) port
  for port in "${ports[0]}" "${ports[2]}" ${lmtp:+"${ports[4]}"}; do
    until greeted "$port"; do
      ((SECONDS < deadline)) || return 1
      sleep 0.02
    done
  done
}

start() {
  local separator=/ max_connections=20 include='' settings=() ports=() token run_dir attempt lmtp=''
  local owner internal_user internal_group login_user chroot=''
  while (($#)); do
    (($# >= 2)) || fail "$1 needs a value" 2
    case $1 in
      --separator) separator=$2 ;;
      --max-connections) max_connections=$2 ;;
      --set) settings+=("$2") ;;
      --include) include=$2 ;;
      *) fail "unknown option: $1" 2 ;;
    esac
    shift 2
  done
  [[ -n $(command -v dovecot) && -x /usr/lib/dovecot/imap && -x /usr/lib/dovecot/pop3 ]] ||
    fail "Dovecot (dovecot-imapd, dovecot-pop3d) isn't installed; scripts/setup.sh installs it" 69
  command -v openssl >/dev/null || fail "openssl isn't installed; scripts/setup.sh installs it" 69
  alive && fail "already running in $dir"
  [[ -x /usr/lib/dovecot/lmtp ]] && lmtp=' lmtp'

  umask 077
  mkdir -p "$dir/mail" "$dir/home" "$dir/state"
  touch "$dir/users"
  if ((EUID == 0)); then
    owner=$(id -u nobody):$(id -g nobody)
    internal_user=dovecot internal_group=dovecot login_user=dovenull
    # Dovecot's processes give up root before they reach for the mail and for `users`.
    chmod a+x "$dir"
    chown -R "$owner" "$dir/mail" "$dir/home"
    chgrp dovecot "$dir/users" && chmod 640 "$dir/users"
    setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups test -x "$dir/mail" ||
      fail "user nobody can't reach $dir/mail: a folder above it forbids that"
  else
    owner=$(id -u):$(id -g)
    internal_user=$(id -un) internal_group=$(id -gn) login_user=$internal_user
    chroot=$'  chroot =\n' # needs root
  fi
  make_certificate
  # A socket's path is limited to 107 bytes; where DIR is long they go elsewhere.
  run_dir=$dir/run
  if ((${#dir} > 70)); then run_dir=$(mktemp -d /tmp/ms-dovecot.XXXXXX); chmod 755 "$run_dir"; fi
  printf '%s\n' "$run_dir" >"$dir/run_dir"
  token=$(printf '%08x%08x' "$SRANDOM" "$SRANDOM")

  for attempt in {1..20}; do
    ports=()
    free_port; free_port; free_port; free_port; free_port
    write_config >"$dir/dovecot.conf"
    dovecot -c "$dir/dovecot.conf" >"$dir/start.log" 2>&1 && break
    if ((attempt == 20)) || ! grep -q 'in use' "$dir/start.log" "$dir/log" 2>/dev/null; then
      fail "Dovecot didn't start: $(tail -n 5 "$dir/start.log")"
    fi
    : >"$dir/log"
  done
  if ! await_greeting; then
    stop
    fail "Dovecot gave no greeting within 20 s: $(tail -n 5 "$dir/log")"
  fi
  printf 'MS_%s=%q\n' IMAP_PORT "${ports[0]}" IMAPS_PORT "${ports[1]}" POP3_PORT "${ports[2]}" \
    POP3S_PORT "${ports[3]}" LMTP_PORT "${lmtp:+${ports[4]}}" CA "$dir/ca.pem" DOVECOT_CONF "$dir/dovecot.conf" \
    DOVECOT_LOG "$dir/log" MAIL_OWNER "$owner" >"$dir/env"
}

# ---- stop --------------------------------------------------------------------------------------
alive() { # sets pid; a number the kernel has given to another program since is not ours
  [[ -r $dir/run_dir ]] && pid=$(cat "$(<"$dir/run_dir")/master.pid" 2>/dev/null) &&
    [[ $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) == *"$dir/dovecot.conf"* ]]
}

session_left() { # SID: `pid name` of the living processes of that session; the master leads it
  local stat line state sid
  for stat in /proc/[0-9]*/stat; do
    { line=$(<"$stat"); } 2>/dev/null || continue
    read -r state _ _ sid _ <<<"${line##*) }"
    if [[ $sid == "$1" && $state != Z ]]; then
      line=${line%)*}
      echo "${line%% *} ${line#*\(}"
    fi
  done
}

stop() {
  local pid='' left deadline=$((SECONDS + 10))
  if alive; then
    kill -TERM "$pid"
    while left=$(session_left "$pid") && [[ -n $left ]]; do
      # Master and log wait a second for each other; nothing is lost when they don't.
      if ((SECONDS >= deadline)) || ! grep -qvE ' (dovecot|log)$' <<<"$left"; then
        cut -d' ' -f1 <<<"$left" | xargs kill -KILL 2>/dev/null || true
      fi
      sleep 0.02
    done
    rm -f -- "$(<"$dir/run_dir")/master.pid"
  fi
  if [[ -r $dir/run_dir && $(<"$dir/run_dir") == /tmp/ms-dovecot.* ]]; then
    rm -rf -- "$(<"$dir/run_dir")"
  fi
  rm -f -- "$dir/env" "$dir/run_dir"
}

(($# >= 2)) || fail "usage: dovecot.sh start DIR [options] | stop DIR" 2
action=$1
case $action in
  start) mkdir -p -- "$2" ;;
  stop) [[ -d $2 ]] || exit 0 ;;
  *) fail "unknown action: $action" 2 ;;
esac
dir=$(cd -- "$2" && pwd -P)
case $dir in *[[:space:]%]*) fail "DIR may not contain blanks or %: $dir" 2 ;; esac
shift 2
"$action" "$@"
