#!/usr/bin/env python3
"""Measures whole processes, and makes the table of scripts/bench.sh.

    measure.py run --name NAME --out RUNS.jsonl [--size PATH] -- COMMAND...
    measure.py report RUNS.jsonl --facts FACTS.json --json FILE --md FILE

`run` appends one line: wall and CPU seconds, peak resident memory, bytes of all files under
PATH afterwards. What a run measured includes what the command started and waited for, and not
the server. A raw drain or append says itself how long it took, which leaves out the start of
Python: that is its `drained`. `report` takes medians by name, sets them in proportion and against the targets.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# What a name measures, in the order of the table.
TITLES = {
    "drain": "raw socket drain, one connection",
    "backup": "mailstow backup, fresh",
    "again": "mailstow backup, nothing new",
    "verify": "mailstow verify",
    "mbsync": "mbsync, fresh, default fsync",
    "mbsync-again": "mbsync, nothing new",
    "mbsync-nofsync": "mbsync, fresh, FSync no",
    "drain-tls": "raw socket drain, TLS",
    "backup-tls": "mailstow backup, fresh, TLS",
    "real": "mailstow backup of real mail",
    "restic": "restic backup of the same files",
    "big": "mailstow backup with one large message",
    "mbsync-big": "mbsync, FSync no, with one large message",
    "pop3-drain": "POP3: raw pipelined drain",
    "pop3": "POP3: mailstow backup, fresh",
    "pop3-again": "POP3: mailstow backup, nothing new",
    "mpop": "POP3: mpop into a Maildir",
    "getmail": "POP3: getmail6 into a Maildir",
    "pop3-list-drain": "POP3: raw drain of a long listing",
    "pop3-list": "POP3: mailstow backup, all of a long listing held",
    "pop3-big": "POP3: mailstow backup with one large message",
    "nights": "night without news: mailstow",
    "nights-mbsync": "night without news: mbsync",
    "million-first": "a million messages: mailstow backup, fresh",
    "million-quiet": "a million messages: nothing new",
    "million-tenth": "a million messages: 100 new, 500 with other flags",
    "million-changed": "a million messages: 1,000 new, 5,000 with other flags",
    "catalog": "a million messages: `skips` with the catalog there",
    "catalog-rebuilt": "a million messages: `skips` with the catalog to be rebuilt",
    "append-1": "raw MULTIAPPEND, one connection",
    "replay-1": "mailstow replay, one connection",
    "append-2": "raw MULTIAPPEND, two connections",
    "replay-2": "mailstow replay, two connections",
    "replay-again": "mailstow replay, nothing to do",
    "mbsync-imap": "mbsync, IMAP to IMAP, default fsync",
    "mbsync-imap-nofsync": "mbsync, IMAP to IMAP, FSync no",
    "imapsync": "imapsync",
    "migrate": "mailstow migrate, empty archive and target",
    "append-1-delayed": "100 ms away: raw MULTIAPPEND, one connection",
    "replay-1-delayed": "100 ms away: mailstow replay, one connection",
    "append-2-delayed": "100 ms away: raw MULTIAPPEND, two connections",
    "replay-2-delayed": "100 ms away: mailstow replay, two connections",
    "replay-big": "mailstow replay with one large message",
}
# (name, measure, other name): how many times the first stands against the second; `drained` is the
# wall time of the first against what the second, a raw drain or append, says of itself.
RATIOS = [
    ("backup", "wall", "drain"), ("backup-tls", "wall", "drain-tls"),
    ("mbsync", "wall", "backup"), ("mbsync-nofsync", "wall", "backup"),
    ("mbsync", "cpu", "backup"), ("mbsync-again", "wall", "again"),
    ("mbsync", "size", "backup"), ("restic", "size", "real"), ("mbsync-big", "rss", "big"),
    ("mpop", "wall", "pop3"), ("getmail", "wall", "pop3"), ("mpop", "cpu", "pop3"),
    ("getmail", "cpu", "pop3"), ("nights-mbsync", "wall", "nights"),
    ("million-changed", "cpu", "million-tenth"),
    ("mbsync-imap", "wall", "replay-2"), ("mbsync-imap-nofsync", "wall", "replay-2"),
    ("mbsync-imap", "cpu", "replay-2"), ("imapsync", "wall", "replay-2"),
    ("imapsync", "wall", "migrate"), ("mbsync-imap", "wall", "migrate"),
    ("migrate", "wall", "replay-2"), ("migrate", "drained", "append-2"),
    ("mbsync-imap", "drained", "append-1"), ("mbsync-imap-nofsync", "drained", "append-1"),
    ("imapsync", "drained", "append-1"),
]
# (what, unit, value of the medians m, whether that is good enough). A drain counts without the
# start of Python: with it a slow start would be our gain.
TARGETS = [
    ("POP3 backup against the raw drain, at most 2", "times",
     lambda m: m["pop3"]["wall"] / m["pop3-drain"]["drained"], lambda v: v <= 2),
    ("mpop against POP3 backup, more than 1", "times",
     lambda m: m["mpop"]["wall"] / m["pop3"]["wall"], lambda v: v > 1),
    ("getmail against POP3 backup, at least 10", "times",
     lambda m: m["getmail"]["wall"] / m["pop3"]["wall"], lambda v: v >= 10),
    ("long listing, more than its raw drain, under 1", "s",
     lambda m: m["pop3-list"]["wall"] - m["pop3-list-drain"]["drained"], lambda v: v < 1),
    ("peak memory of a POP3 backup, at most 64", "MiB",
     lambda m: m["pop3"]["rss"] / 2**20, lambda v: v <= 64),
    ("peak memory with a long listing, at most 64", "MiB",
     lambda m: m["pop3-list"]["rss"] / 2**20, lambda v: v <= 64),
    ("peak memory with a large message, at most 96", "MiB",
     lambda m: m["pop3-big"]["rss"] / 2**20, lambda v: v <= 96),
    ("mbsync against mailstow without news, at least 10", "times",
     lambda m: m["nights-mbsync"]["wall"] / m["nights"]["wall"], lambda v: v >= 10),
    ("round trips after sign-in with a million messages and no news, at most 4", "",
     lambda m: m["million-quiet"]["trips"], lambda v: v <= 4),
    ("CPU with a million messages and no news, at most 0.2", "s",
     lambda m: m["million-quiet"]["cpu"], lambda v: v <= 0.2),
    ("peak memory with a million messages and no news, at most 64", "MiB",
     lambda m: m["million-quiet"]["rss"] / 2**20, lambda v: v <= 64),
    ("peak memory with a little news in a million messages, at most 64", "MiB",
     lambda m: m["million-changed"]["rss"] / 2**20, lambda v: v <= 64),
    ("bytes sent for 1,000 new and 5,000 flags in a million, below 5", "MB",
     lambda m: m["million-changed"]["sent"] / 1e6, lambda v: v < 5),
    ("catalog of a million placements, below 300", "MB",
     lambda m: m["catalog"]["size"] / 1e6, lambda v: v < 300),
    ("opening it, below 0.1", "s", lambda m: m["catalog"]["wall"], lambda v: v < 0.1),
    ("rebuilding it, below 60", "s", lambda m: m["catalog-rebuilt"]["wall"], lambda v: v < 60),
    ("replay against the raw append, one connection, at most 1.5", "times",
     lambda m: m["replay-1"]["wall"] / m["append-1"]["drained"], lambda v: v <= 1.5),
    ("replay against the raw append, two connections, at most 1.5", "times",
     lambda m: m["replay-2"]["wall"] / m["append-2"]["drained"], lambda v: v <= 1.5),
    ("mbsync IMAP to IMAP (FSync no) against replay on two connections, more than 1", "times",
     lambda m: m["mbsync-imap-nofsync"]["wall"] / m["replay-2"]["wall"], lambda v: v > 1),
    ("imapsync against migrate, at least 3", "times",
     lambda m: m["imapsync"]["wall"] / m["migrate"]["wall"], lambda v: v >= 3),
    ("replay with nothing to do, at most 1", "s",
     lambda m: m["replay-again"]["wall"], lambda v: v <= 1),
    ("replay against the raw append, 100 ms away, one connection, at most 1.3", "times",
     lambda m: m["replay-1-delayed"]["wall"] / m["append-1-delayed"]["drained"], lambda v: v <= 1.3),
    ("replay against the raw append, 100 ms away, two connections, at most 1.3", "times",
     lambda m: m["replay-2-delayed"]["wall"] / m["append-2-delayed"]["drained"], lambda v: v <= 1.3),
    ("peak memory of a replay, at most 96", "MiB",
     lambda m: max(m[n]["rss"] for n in ("replay-1", "replay-2")) / 2**20, lambda v: v <= 96),
    ("peak memory of a migration, at most 96", "MiB",
     lambda m: m["migrate"]["rss"] / 2**20, lambda v: v <= 96),
    ("peak memory of a replay with a large message, at most 96", "MiB",
     lambda m: m["replay-big"]["rss"] / 2**20, lambda v: v <= 96),
]
# Peak memory of a child that Python itself starts can't be seen below Python's own; GNU time's
# own is next to nothing.
GNU_TIME = "/usr/bin/time"


def size_of(path):
    """Bytes of all files under `path`, as their lengths say."""
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def run(args):
    """Runs one command and appends what it cost."""
    log = pathlib.Path(f"{args.out}.{args.name}.log")
    with tempfile.NamedTemporaryFile("r") as peak, open(log, "wb") as output:
        gnu = [GNU_TIME, "-f", "%M", "-o", peak.name] if os.access(GNU_TIME, os.X_OK) else []
        os.sync()  # so that nobody else's dirty pages are written on our time
        started = time.perf_counter()
        process = subprocess.Popen(gnu + args.command, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        rss = int(peak.read().split()[-1]) if gnu else usage.ru_maxrss
    if process.returncode != 0:
        tail = log.read_bytes()[-2000:].decode(errors="replace")
        sys.exit(f"measure: {args.name} ended with {process.returncode}\n{tail}")
    line = {"name": args.name, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
            "rss": rss * 1024}
    if args.drain:
        line["drained"] = json.loads(log.read_bytes())["seconds"]
    if args.size:
        line["size"] = size_of(args.size)
        line["parts"] = {path.name: size_of(path) for path in pathlib.Path(args.size).iterdir()}
    with open(args.out, "a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
    print(f"  {args.name:20} {wall:8.2f} s  cpu {line['cpu']:7.2f} s  "
          f"peak {line['rss'] / 2**20:6.1f} MiB", file=sys.stderr)


def medians(runs):
    """Median of every measure by name, in the order of TITLES."""
    found = {}
    for name in TITLES:
        mine = [line for line in runs if line["name"] == name]
        if mine:
            found[name] = {key: statistics.median(line[key] for line in mine)
                           for key in mine[0] if key not in ("name", "parts")} | {"runs": len(mine)}
    return found


def against_targets(found):
    """Rows of the table of targets, of what was measured."""
    rows = []
    for what, unit, value, is_met in TARGETS:
        try:
            got = value(found)
        except KeyError:
            continue
        rows.append({"target": what, "unit": unit, "value": got, "met": is_met(got)})
    return rows


def report(args):
    """Writes results.json and results.md, prints the latter."""
    runs = [json.loads(line) for line in args.runs.read_text("utf-8").splitlines()]
    facts = json.loads(args.facts.read_text("utf-8"))
    found = medians(runs)
    ratios = {}
    for name, key, other in RATIOS:
        own = found.get(name, {}).get("wall" if key == "drained" else key)
        others = found.get(other, {}).get(key)
        if own and others:
            ratios[f"{name}/{other} {'wall' if key == 'drained' else key}"] = own / others
    targets = against_targets(found)
    args.json.write_text(json.dumps({"facts": facts, "medians": found, "ratios": ratios,
                                     "targets": targets, "runs": runs}, indent=1) + "\n")
    lines = ["# Measurements", "", "Medians; CPU is that of the client alone, user and system; in",
             "brackets the time of a raw drain or append without the start of Python.", ""]
    lines += [f"* {key}: {value}" for key, value in facts.items()]
    lines += ["", "| what | runs | wall s | CPU s | peak MiB | on disk MB |", "|---|--:|--:|--:|--:|--:|"]
    for name, row in found.items():
        wall = f"{row['wall']:.2f}" + (f" ({row['drained']:.2f})" if "drained" in row else "")
        size = f"{row['size'] / 1e6:.1f}" if "size" in row else ""
        lines.append(f"| {TITLES[name]} | {row['runs']} | {wall} | {row['cpu']:.2f} "
                     f"| {row['rss'] / 2**20:.1f} | {size} |")
    if ratios:
        lines += ["", "| proportion | times |", "|---|--:|"]
        lines += [f"| {name} | {value:.2f} |" for name, value in ratios.items()]
    if targets:
        lines += ["", "| target | measured | met |", "|---|--:|---|"]
        lines += [f"| {row['target']} | {row['value']:.2f} {row['unit']} "
                  f"| {'yes' if row['met'] else 'no'} |" for row in targets]
    args.md.write_text("\n".join(lines) + "\n")
    print(args.md.read_text())


def main():
    """Reads the arguments and does it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(required=True)
    action = actions.add_parser("run")
    action.add_argument("--name", required=True, choices=TITLES)
    action.add_argument("--out", required=True)
    action.add_argument("--size")
    action.add_argument("--drain", action="store_true",
                        help="the command is raw_drain.py or raw_append.py")
    action.add_argument("command", nargs="+")
    action.set_defaults(do=run)
    action = actions.add_parser("report")
    action.add_argument("runs", type=pathlib.Path)
    action.add_argument("--facts", required=True, type=pathlib.Path)
    action.add_argument("--json", required=True, type=pathlib.Path)
    action.add_argument("--md", required=True, type=pathlib.Path)
    action.set_defaults(do=report)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
