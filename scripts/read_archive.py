#!/usr/bin/env python3
"""Reads a mailstow archive without mailstow: Python 3 and zstd, nothing else.

  read_archive.py list ARCHIVE              mailboxes with the number of messages present
  read_archive.py extract ARCHIVE --to DIR  every placement's exact bytes, one .eml each

Written from the description of format 1 alone (src/archive/format.rs). Where the journal is
missing it falls back to what the segments say of themselves. With the module `blake3` every
message is checked against its content id, without it against its length.
"""
import argparse, collections, json, os, pathlib, re, struct, subprocess, sys

CONTENTS_MAGIC = 0x184D2A5C
try:
    import blake3
except ImportError:
    blake3 = None
try:
    import zstandard
except ImportError:
    zstandard = None


def unzstd(data):
    """Decompresses all frames in `data`; skippable frames are passed over."""
    if not data:
        return b""
    if zstandard:
        out = b""
        for part in [zstandard.ZstdDecompressor(max_window_size=1 << 24).stream_reader(data, read_across_frames=True)]:
            out += part.read()
        return out
    done = subprocess.run(["zstd", "-dcq", "--memory=64MB"], input=data, capture_output=True)
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def json_lines(data):
    return [json.loads(line) for line in data.split(b"\n") if line]


def pairs(path):
    """Yields (offset, head, lines, data frame) of a segment."""
    with open(path, "rb") as file:
        while header := file.read(8):
            offset = file.tell() - len(header)
            if len(header) < 8:
                break
            magic, length = struct.unpack("<II", header)
            if magic != CONTENTS_MAGIC:
                raise ValueError(f"{path}: no contents frame at {offset}")
            head, *lines = json_lines(unzstd(file.read(length)))
            yield offset, head, lines, file.read(head["data"])


def decode(text, line):
    """The wire bytes of one message: undo the quoting, restore the line ends, cut to length."""
    stored = text[line["pos"] : line["pos"] + line["size"]]
    body = stored[stored.index(b"\n") + 1 :]
    body = re.sub(rb"(?m)^>(?=>*From )", b"", body)
    if line["eol"] == "crlf":
        body = body.replace(b"\n", b"\r\n")
    return body[: line["len"]]


def check(content, wire, length):
    if len(wire) != length:
        raise ValueError(f"{content}: {len(wire)} bytes instead of {length}")
    if blake3 and blake3.blake3(wire).hexdigest() != content:
        raise ValueError(f"{content}: not the bytes that were stored")


def remote(record):
    return record["uidl"] if "uidl" in record else (record["v"], record["u"])


def uids(text):
    for part in text.split(","):
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)


class Archive:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.boxes = {}  # number: (account, name)
        self.placements = collections.OrderedDict()  # (mailbox, remote): [content, date, flags, gone]
        self.forgotten = set()  # contents that were erased on request; their placements are history
        self.where = {}  # content: record with segment, frame, pos, size, len, eol
        journal = sorted((self.root / "journal").glob("*.jsonl.zst")) if (self.root / "journal").is_dir() else []
        if journal:
            self.from_journal(journal)
        else:
            self.from_segments()

    def from_journal(self, files):
        accounts = {}
        # A file's end inside a frame is a commit that never happened: what comes out before
        # that is what counts, so zstd's complaint about the end is passed over.
        for path in files:
            out = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True).stdout
            for line in out[: out.rfind(b"\n") + 1].split(b"\n"):
                if not line:
                    continue
                record = json.loads(line)
                kind = record["k"]
                if kind == "account":
                    accounts[record["id"]] = record["name"]
                elif kind == "mailbox":
                    self.boxes[record["id"]] = (accounts[record["account"]], record["name"])
                elif kind == "store":
                    self.where[record["id"]] = record
                elif kind == "moved":
                    self.where[record["id"]].update(record)
                elif kind == "forgotten":
                    self.where.pop(record["id"], None)
                    self.forgotten.add(record["id"])
                elif kind == "repacked":
                    self.repacked(record)
                elif kind == "place":
                    value = [record["c"], record.get("d"), record.get("f", []), False]
                    self.placements[record["m"], remote(record)] = value
                elif kind in ("flags", "gone"):
                    for uid in uids(record["uids"]):
                        placement = self.placements.get((record["m"], (record["v"], uid)))
                        if placement and kind == "flags":
                            placement[2] = record["f"]
                        elif placement:
                            placement[3] = True

    def repacked(self, record):
        """Frames of one segment lie in another now, each a known way further into the text."""
        frames = {old: (new, shift) for old, new, shift in record["frames"]}
        for at in self.where.values():
            if at["segment"] == record["segment"] and at["frame"] in frames:
                frame, shift = frames[at["frame"]]
                at.update(segment=record["into"], frame=frame, pos=at["pos"] + shift)

    def from_segments(self):
        print("no journal: flags that changed later, and second mailboxes of a message, are not shown", file=sys.stderr)
        for path in sorted((self.root / "mail").rglob("*.mbox.zst")):
            segment = path.relative_to(self.root / "mail").as_posix()
            for frame, head, lines, _ in pairs(path):
                key = (head["account"], head["wire"])
                self.boxes.setdefault(key, (head["account"], head["mailbox"]))
                for line in lines:
                    self.where[line["c"]] = dict(line, segment=segment, frame=frame)
                    self.placements[key, remote(line)] = [line["c"], line.get("d"), line.get("f", []), False]

    def list(self):
        for number, (account, name) in self.boxes.items():
            mine = [p for (box, _), p in self.placements.items() if box == number]
            gone = sum(p[3] for p in mine)
            print(f"{len(mine) - gone}\t{gone}\t{account}\t{name!r}")

    def extract(self, to):
        """Segment by segment, frame by frame, so that each is decompressed once."""
        wanted = collections.defaultdict(lambda: collections.defaultdict(list))
        for (box, _), (content, date, flags, gone) in self.placements.items():
            if content in self.forgotten:
                continue
            at = self.where[content]
            wanted[at["segment"]][at["frame"]].append((at, box, content, date, flags, gone))
        index, count, lost = [], collections.Counter(), 0
        for segment, frames in sorted(wanted.items()):
            for frame, _, _, data in pairs(self.root / "mail" / segment):
                if frame not in frames:
                    continue
                text = unzstd(data)
                for at, box, content, date, flags, gone in frames.pop(frame):
                    wire = decode(text, at)
                    check(content, wire, at["len"])
                    folder = "{:03}-{}".format(list(self.boxes).index(box) + 1, re.sub(r"[^\w.@ +-]", "_", self.boxes[box][1]))
                    count[folder] += 1
                    name = f"{folder}/{count[folder]:06}-{content[:12]}.eml"
                    os.makedirs(os.path.join(to, folder), mode=0o700, exist_ok=True)
                    with open(os.path.join(to, name), "xb") as file:
                        file.write(wire)
                    index.append({"file": name, "mailbox": self.boxes[box][1], "id": content, "date": date, "flags": flags, "gone": gone})
            for missing in frames.values():
                lost += len(missing)
        with open(os.path.join(to, "index.jsonl"), "x") as file:
            file.writelines(json.dumps(line) + "\n" for line in index)
        print(f"{len(index)} messages, {lost} lost, {'hashes' if blake3 else 'lengths'} checked")
        return 1 if lost else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list").add_argument("archive")
    extract = commands.add_parser("extract")
    extract.add_argument("archive")
    extract.add_argument("--to", required=True)
    args = parser.parse_args()
    archive = Archive(args.archive)
    if args.command == "list":
        archive.list()
        return 0
    os.makedirs(args.to, mode=0o700)
    return archive.extract(args.to)


if __name__ == "__main__":
    sys.exit(main())
