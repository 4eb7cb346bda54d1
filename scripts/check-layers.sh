#!/usr/bin/env bash
# Who may import whom (src/lib.rs tells why), checked in the text of src/, comments left out.
#
#   scripts/check-layers.sh [--self-test]
#
# `own CRATE PATHS`: nobody outside src/PATHS names CRATE. `ban PATHS REGEXP`: nobody inside does
# that. `only PATHS REGEXP`: nobody outside does. PATHS and REGEXP are Perl's. A grouped
# `use crate::{a, b::c};` counts as crate::a and crate::b, over several lines too.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
src=${MAILSTOW_SRC:-src}

# search MODE PATHS REGEXP WORDS: prints FILE:LINE: WORDS: TEXT, in files whose name below src
# matches PATHS (`in`) or does not (`out`).
search() {
  find "$src" -name '*.rs' -print0 | sort -z | perl -0 -ne '
    BEGIN { ($src, $mode, $paths, $regexp, $words) = splice @ARGV, 0, 5 }
    chomp; my $file = $_; (my $name = $file) =~ s{^\Q$src\E/}{};
    next if ($name =~ m{^(?:$paths)}) != ($mode eq "in");
    open my $in, "<", $file or die "$file: $!"; local $/; $_ = <$in>;
    s{/\*.*?\*/|(?<![:"])//[^\n]*}{my $c = $&; $c =~ tr/\n//cd; $c}gse;
    my @lines = split /\n/; my %seen;
    while (m{$regexp}g) {
      my $line = 1 + (substr($_, 0, $-[0]) =~ tr/\n//);
      (my $text = $lines[$line - 1]) =~ s/^\s+//;
      print "$file:$line: $words: $text\n" unless $seen{$line}++;
    }' "$src" "$@"
}
own() { search out "$2" "\\b$1(?=::|;| as |,|\\})(?<!\\.$1)(?<!::$1)" "$1 belongs to $2"; }
ban() { search in "$1" "$2" "not in $1"; }
only() { search out "$1" "$2" "only in $1"; }
# A path into one of these modules of the crate, alone or in a group.
into() { printf '(?:\\bcrate|\\bmailstow)::(?:\\{(?:[^;]*?[{,\\s])?)?(?:%s)\\b' "$1"; }

rules() {
  own '(?:clap|clap_complete|clap_mangen)' 'cli/'
  own indicatif 'cli/progress'
  own rusqlite 'catalog/'
  own zstd 'archive/'
  own '(?:async_imap|imap_proto)' 'imap/'
  own async_pop 'pop3/'
  own lettre 'smtp/'
  own '(?:tokio_rustls|rustls_platform_verifier)' 'net/'
  own rustix 'durable'
  own mail_parser 'header'
  own jiff 'model/date|clock|cli/'
  own ureq 'cli/ping'
  own regex 'replay/names|cli/'
  ban 'model/' "$(into '(?!model\b)[a-z_]+')"
  ban 'source/|imap/|pop3/|smtp/' "$(into 'catalog|archive|store|backup|replay|event')"
  ban 'source/|imap/|pop3/|smtp/|net/' "$(into 'contact')"
  ban 'smtp/' "$(into 'imap|pop3|source|target')"
  ban 'source/|backup/' '\bTargetSession\b'
  ban 'contact/' "$(into 'catalog|archive|store|target|backup|verify|export|find|report')"
  ban 'spam/' "$(into '(?!spam\b|header\b|model\b)[a-z_]+')"
  ban 'target/' "$(into 'catalog|store|net|imap|source|backup|replay|event')"
  ban 'catalog/|archive/' "$(into 'net|imap|pop3|smtp|source|contact|target|store|backup|replay|event')"
  ban 'archive/' "$(into 'catalog')"
  ban 'backup/(?:imap|pop3)/plan\.rs' "$(into 'net|imap|source|catalog|archive|durable')"
  ban 'backup/(?:imap|pop3)/plan\.rs' 'async fn|\.await\b|\bInstant::now|\bSystemTime\b'
  ban 'verify/against/(?:choose|compare|fates|maildrop|report)\.rs' "$(into 'net|imap|source|contact|catalog|archive|store|durable|event')"
  ban 'verify/against/(?:choose|compare|fates|maildrop|report)\.rs' 'async fn|\.await\b|\bInstant::now|\bSystemTime\b'
  ban 'replay/(?:flags|inspect|ladder|names|repair)\b' "$(into '(?!model\b|header\b|imap\b|source\b|replay\b)[a-z_]+')"
  ban 'replay/(?:flags|inspect|ladder|names|repair)\b' 'async fn|\.await\b|\bInstant::now|\bSystemTime\b'
  ban 'replay/verify/(?:compare|likeness|places|report)\.rs' "$(into 'net|imap|source|contact|catalog|store|durable|event')"
  ban 'replay/verify/(?:compare|likeness|places|report)\.rs' 'async fn|\.await\b|\bInstant::now|\bSystemTime\b'
  ban 'replay/verify/' '\bTargetSession\b'
  only 'cli/|main\.rs' "$(into cli)"
  only 'durable' '\b(?:sync_all|sync_data|fdatasync|flock)\b\s*\(|\bfs::rename\b'
}

# Plants one violation at a time (and things that are none) and looks whether they are named.
self_test() {
  local copy planted=0 file text found
  copy=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf -- '$copy'" EXIT
  expect() { # yes|no FILE TEXT
    rm -rf -- "${copy:?}/src" && mkdir -p "$copy/src/$(dirname "$2")"
    printf 'fn before() {}\n%b\n' "$3" >"$copy/src/$2"
    found=$(MAILSTOW_SRC=$copy/src bash scripts/check-layers.sh 2>&1) && found=''
    if [[ $1 == yes && $found != *"$2:"* || $1 == no && -n $found ]]; then
      printf 'check-layers: self-test: %s, expected %s: %s\n%s\n' "$2" "$1" "$3" "$found"; exit 1
    fi
    planted=$((planted + 1))
  }
  while IFS='|' read -r verdict file text; do expect "$verdict" "$file" "$text"; done <<'PLANTED'
yes|catalog/mod.rs|use clap::Parser;
yes|report.rs|fn f() -> clap_mangen::Man {}
yes|cli/backup.rs|use indicatif::ProgressBar;
no|cli/progress.rs|use indicatif::ProgressBar;
yes|archive/open.rs|use rusqlite::{Connection, params};
no|catalog/schema.rs|use rusqlite::{Connection, params};
yes|backup/commit.rs|let x = zstd::bulk::compress(b, 3);
yes|catalog/mod.rs|use zstd as z;
yes|source/imap.rs|use async_imap::Session;
yes|net/tls.rs|use imap_proto::Response;
yes|imap/session.rs|use tokio_rustls::TlsConnector;
yes|cli/mod.rs|use rustls_platform_verifier::Verifier;
yes|archive/open.rs|use rustix::fs::flock;
no|durable.rs|use rustix::fs::flock; fn f() { flock(a); file.sync_all(); std::fs::rename(a, b); }
yes|model/message.rs|use mail_parser::MessageParser;
yes|backup/mod.rs|let now = jiff::Timestamp::now();
no|model/date.rs|use jiff::Timestamp;
yes|model/message.rs|use crate::durable::File;
yes|model/mod.rs|use crate::{\n    clock::Clock,\n    model::Date,\n};
no|model/mod.rs|use crate::model::{date::Date, flags};
yes|imap/fetch.rs|use crate::archive::Archive;
yes|source/imap.rs|use crate::{imap::Session, event::Event};
yes|backup/imap/fetch.rs|use crate::imap::{Session, TargetSession};
no|imap/target/session.rs|pub struct TargetSession { session: Session }
yes|catalog/apply.rs|use crate::{\n    durable,\n    net,\n};
yes|archive/reader.rs|fn f(x: &crate::backup::Plan) {}
no|catalog/apply.rs|use crate::{archive::record::Record, durable, model};
yes|backup/imap/plan.rs|pub async fn plan() {}
yes|backup/pop3/plan.rs|let t = std::time::Instant::now();
yes|backup/imap/plan.rs|use crate::catalog::View;
no|backup/imap/plan.rs|use crate::model::job::Job;
yes|verify/against/compare.rs|use crate::catalog::Catalog;
yes|verify/against/choose.rs|async fn draw() {}
no|verify/against/maildrop.rs|use crate::pop3::Offered;
yes|replay/verify/likeness.rs|use crate::{header, store::HeldMail};
yes|replay/verify/compare.rs|pub(super) async fn stand() {}
yes|replay/verify/fetch.rs|use crate::imap::{Session, TargetSession};
no|replay/verify/fetch.rs|use crate::imap::{BodyEvent, Session};
no|replay/verify/places.rs|use crate::replay::ledger::LedgerState;
yes|imap/session.rs|use async_pop::Client;
no|pop3/sign_in.rs|use async_pop::Client;
yes|net/transport.rs|use lettre::transport::smtp::client::AsyncTokioStream;
no|smtp/stream.rs|use lettre::transport::smtp::client::AsyncTokioStream;
yes|smtp/send.rs|use crate::{archive::Archive, net::NetError};
yes|smtp/session.rs|use crate::contact::Line;
yes|smtp/session.rs|use crate::pop3::Session;
no|smtp/session.rs|use crate::{net::NetError, secret::Credentials, spool::Body};
yes|archive/reader.rs|use crate::smtp::SmtpSession;
yes|spam/judge.rs|use crate::catalog::Catalog;
yes|contact/line.rs|use crate::{catalog::Catalog, imap::Session};
no|contact/line.rs|use crate::source::ImapSource;
yes|source/imap.rs|use crate::contact::Line;
yes|replay/ladder/prints.rs|use regex::Regex;
no|replay/names/mod.rs|use regex::Regex;
yes|replay/repair.rs|use crate::{header, archive::Reader};
yes|replay/names/assign.rs|async fn map() {}
no|replay/names/wire.rs|use crate::imap::utf7; use crate::replay::inspect;
no|replay/append.rs|use crate::catalog::Catalog; pub async fn append() {}
yes|report.rs|use crate::cli::json;
no|main.rs|use crate::cli::run;
yes|archive/segment.rs|file.sync_data()?;
yes|cli/init.rs|std::fs::rename(a, b)?;
no|archive/segment.rs|// zstd::bulk, crate::net, file.sync_all()\n/* use clap::Parser;\n crate::source */\n/// [`crate::backup`]
yes|model/message.rs|const U: &str = "imap://x"; use crate::net;
no|model/message.rs|struct S { zstd: u8 } fn f(s: S) { s.zstd; }
PLANTED
  echo "check-layers: self-test: $planted planted, all judged rightly"
}

case ${1-} in
  --self-test) self_test; exit ;;
  '') ;;
  *) echo "usage: check-layers.sh [--self-test]" >&2; exit 2 ;;
esac
[[ -d $src ]] || { echo "check-layers: no folder $src" >&2; exit 2; }
found=$(rules)
if [[ -n $found ]]; then
  printf '%s\n' "$found"
  echo "check-layers: $(wc -l <<<"$found") violations"
  exit 1
fi
echo "check-layers: nothing found in $(find "$src" -name '*.rs' | wc -l) files"
