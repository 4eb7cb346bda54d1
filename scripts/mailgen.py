#!/usr/bin/env python3
"""Writes made-up mailboxes for measurements, as the Maildirs that scripts/dovecot.sh serves.

    mailgen.py --out DIR/mail/alice --messages 30000 --bytes 1000000000 --mailboxes 8
    mailgen.py --out DIR/mail/real --verbatim --corpus CORPUS      every corpus message as it is
    mailgen.py --out DIR/mail/many --tiny --messages 100000        next to nothing in each, in INBOX

The same options and the same corpus give the same files. Sizes are log-normal; bodies are text
of the corpus (a folder, a .tar.zst; by default the SpamAssassin one in ../shared/corpora) or,
without one, words under Zipf's law; there are quoted replies, HTML alternatives, a quarter of
all bytes in base64 attachments, and one message in twenty is an exact copy of another one in
another mailbox. It prints one line of JSON: what was written.
"""

import argparse
import base64
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import time

# Name and share of the messages.
MAILBOXES = {"INBOX": 40, "Archive/2023": 14, "Archive/2024": 12, "Sent": 10,
             "Lists/debian-user": 10, "Projects & Plans": 6, "Entwürfe": 4, "Trash": 4}
CORPORA = pathlib.Path(__file__).resolve().parents[2] / "shared/corpora"
DEFAULT_CORPUS = CORPORA / "spamassassin.tar.zst"
ATTACHED = 0.25  # of all bytes
COPIES = 0.05  # of all messages
SIGMA = 1.6  # of the log of the sizes: most mail is small, most bytes are in large mail
SMALLEST, LARGEST = 1500, 24_000_000  # bytes
ATTACHMENT = (b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
              b"Content-Disposition: attachment; filename=file.bin\n\n")
RECENT = 400  # messages that replies quote and copies are made of
FIRST_DAY, LAST_DAY = 1420070400, 1735689600  # 2015 to 2024


def mutf7(name):
    """The folder name of a mailbox: modified UTF-7, as Dovecot keeps it on disk."""
    out = []
    for plain, run in itertools.groupby(name, lambda c: " " <= c <= "~"):
        text = "".join(run)
        if plain:
            out.append(text.replace("&", "&-"))
        else:
            coded = base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=")
            out.append("&" + coded.replace("/", ",") + "-")
    return "".join(out)


def corpus_messages(corpus):
    """(name, bytes) of every message of a folder or of a .tar.zst, in the order of names."""
    if corpus.is_dir():
        files = sorted(path for path in corpus.rglob("*") if path.is_file())
        return [(str(path.relative_to(corpus)), path.read_bytes()) for path in files]
    found = []
    with subprocess.Popen(["zstd", "-dc", str(corpus)], stdout=subprocess.PIPE) as zstd:
        with tarfile.open(fileobj=zstd.stdout, mode="r|") as tar:
            for member in tar:
                if member.isfile():
                    found.append((member.name, tar.extractfile(member).read()))
        zstd.stdout.read()  # what tar pads its end with: zstd should not die of a closed pipe
    if zstd.returncode != 0:
        sys.exit(f"mailgen: zstd could not read {corpus}")
    return sorted(found)


def corpus_paragraphs(messages):
    """The paragraphs of the bodies, without what is an encoded attachment."""
    paragraphs = []
    for _, message in messages:
        _, _, body = message.replace(b"\r", b"").partition(b"\n\n")
        for paragraph in body.split(b"\n\n"):
            first = paragraph.partition(b"\n")[0]
            encoded = len(first) > 50 and b" " not in first
            if 40 < len(paragraph) < 4000 and not encoded and b"\0" not in paragraph:
                paragraphs.append(paragraph)
    return paragraphs


def zipf_paragraphs(rng, size):
    """`size` bytes of paragraphs of made-up words, frequent as in a language."""
    syllables = [c + v + e for c in "b br d f g k l m n p r s st t th w".split()
                 for v in "aeiou" for e in ["", "", "n", "r", "s", "ng"]]
    words = ["".join(rng.choices(syllables, k=n % 4 + 1)).encode() for n in range(30000)]
    weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(words))))
    paragraphs = []
    while size > 0:
        text = rng.choices(words, cum_weights=weights, k=rng.randrange(20, 160))
        lines = [b" ".join(text[at:at + 12]) for at in range(0, len(text), 12)]
        paragraphs.append(b"\n".join(lines).capitalize() + b".")
        size -= len(paragraphs[-1]) + 2
    return paragraphs


def base64_lines(rng, size):
    """About `size` bytes of base64 in lines, of bytes that nothing can compress."""
    raw = rng.randbytes(max(57, size * 57 // 77))
    text = base64.b64encode(raw)
    return b"\n".join(text[at:at + 76] for at in range(0, len(text), 76)) + b"\n"


class Writer:
    """Makes messages and files them."""

    def __init__(self, rng, paragraphs):
        self.rng = rng
        self.paragraphs = paragraphs
        self.recent = []  # (text, whole message, mailbox)
        names = b"anna bela cyril dora emil franz gita hanno ines jan".split()
        self.people = [b"%s.%d@%s.example" % (rng.choice(names), n, rng.choice(names))
                       for n in range(300)]

    def token(self, size=16):
        """A random word, as in message ids, boundaries, signatures and tracking links."""
        return base64.urlsafe_b64encode(self.rng.randbytes(size)).rstrip(b"=")

    def text(self, size):
        """Paragraphs of exactly `size` bytes, with the odd link between them."""
        parts, have, count = [], 0, len(self.paragraphs)
        while have < size:
            at = self.rng.randrange(count)
            for part in self.paragraphs[at:at + self.rng.randrange(1, 4)]:
                parts.append(part)
                have += len(part) + 2
            if self.rng.random() < 0.1:
                parts.append(b"https://www.%s.example/read?id=%s" % (self.token(4), self.token(24)))
                have += len(parts[-1]) + 2
        return b"\n\n".join(parts)[:max(size - 1, 0)] + b"\n"

    def headers(self, when, content_type):
        """A head as it has grown after three hops and two signatures."""
        rng, token = self.rng, self.token
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(when)).encode()
        sender, to = rng.choice(self.people), rng.choice(self.people)
        subject = self.paragraphs[rng.randrange(len(self.paragraphs))].split(b"\n")[0][:60]
        subject = bytes(b for b in subject if 32 <= b < 127)
        hops = b"".join(
            b"Received: from mx%d.%s (mx%d [192.0.2.%d])\n\tby mail.example with ESMTPS id %s\n"
            b"\tfor <%s>; %s\n" % (n, sender.partition(b"@")[2], n, rng.randrange(1, 255),
                                   token(9), to, date) for n in range(3))
        key = token(192)
        signature = b"\n\t ".join(key[at:at + 70] for at in range(0, len(key), 70))
        return (
            b"Return-Path: <%s>\nDelivered-To: %s\n%sDKIM-Signature: v=1; a=rsa-sha256; "
            b"c=relaxed/relaxed; d=%s; s=mail;\n\th=from:to:subject:date:message-id; bh=%s=;\n"
            b"\tb=%s\nMessage-ID: <%s@%s>\nDate: %s\nFrom: <%s>\nTo: <%s>\nSubject: %s\n"
            b"MIME-Version: 1.0\nContent-Type: %s\n\n"
        ) % (sender, to, hops, sender.partition(b"@")[2], token(32), signature, token(),
             sender.partition(b"@")[2], date, sender, to, subject, content_type)

    def message(self, size, attached, when):
        """A whole message of about `size` bytes, `attached` of them in an attachment."""
        rng = self.rng
        room = max(size - attached - 1500, 100)
        boundary = b"=_" + self.token()
        if rng.random() < 0.35:  # text and the same as HTML
            text = self.text(room * 9 // 20)
            html = text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(
                b"\n\n", b'</p>\n<p style="margin:0;font:14px sans-serif">').replace(b"\n", b"<br>\n")
            html = b"<html><body><p>%s</p></body></html>\n" % html[:room - len(text)]
            inner = b"=_" + self.token()
            body = (b'Content-Type: multipart/alternative; boundary="%s"\n\n--%s\n'
                    b"Content-Type: text/plain; charset=utf-8\n\n%s\n--%s\n"
                    b"Content-Type: text/html; charset=utf-8\n\n%s\n--%s--\n"
                    % (inner, inner, text, inner, html, inner))
        else:
            text = self.text(room)
            if self.recent and rng.random() < 0.4:  # a reply, most of it quoted
                quoted = b"> " + rng.choice(self.recent)[0][:room // 2].replace(b"\n", b"\n> ")
                text = text[:max(room - len(quoted) - 30, 40)] + b"\n\nSomebody wrote:\n" + quoted + b"\n"
            body = b"Content-Type: text/plain; charset=utf-8\n\n" + text
        if attached:
            message = b"".join((
                self.headers(when, b'multipart/mixed; boundary="%s"' % boundary),
                b"--%s\n%s--%s\n" % (boundary, body, boundary), ATTACHMENT,
                base64_lines(rng, attached), b"--%s--\n" % boundary))
        else:
            head, _, rest = body.partition(b"\n\n")
            message = self.headers(when, head.removeprefix(b"Content-Type: ")) + rest
        return text, message

    def big(self, size, when):
        """The pieces of one message with an attachment of `size` bytes."""
        yield self.headers(when, b'multipart/mixed; boundary="=_big"') + b"--=_big\n"
        yield b"Content-Type: text/plain\n\n" + self.text(2000) + b"--=_big\n" + ATTACHMENT
        while size > 0:
            piece = base64_lines(self.rng, min(size, 57 * 20000))
            size -= len(piece)
            yield piece
        yield b"--=_big--\n"


class Maildirs:
    """Files messages as Dovecot does: mailbox A/B is the folder A/B, INBOX the top one."""

    def __init__(self, out):
        self.out = pathlib.Path(out)
        self.count, self.bytes, self.folders = 0, 0, {}

    def folder(self, mailbox):
        """Path of a mailbox, made on first use."""
        if mailbox not in self.folders:
            path = self.out if mailbox == "INBOX" else self.out / mutf7(mailbox)
            for name in ("cur", "new", "tmp"):
                (path / name).mkdir(parents=True, exist_ok=True)
            self.folders[mailbox] = str(path)
        return self.folders[mailbox]

    def file(self, mailbox, pieces, when, flags):
        """Writes one message; its time of receipt is the file's."""
        folder = self.folder(mailbox)
        self.count += 1
        name = f"{when}.M{self.count:06}.mailgen"
        size = lines = 0
        with open(f"{folder}/tmp/{name}", "wb") as out:
            for piece in pieces:
                out.write(piece)
                size += len(piece)
                lines += piece.count(b"\n") - piece.count(b"\r\n")
        path = f"{folder}/cur/{name},S={size},W={size + lines}:2,{flags}"
        os.rename(f"{folder}/tmp/{name}", path)
        os.utime(path, (when, when))
        self.bytes += size + lines


def generate(args, rng, paragraphs):
    """Fills `args.out`; returns what was written."""
    writer, maildirs, copies = Writer(rng, paragraphs), Maildirs(args.out), 0
    more = {f"Folder {n}": 3 for n in range(len(MAILBOXES) + 1, args.mailboxes + 1)}
    names, shares = zip(*list((MAILBOXES | more).items())[:args.mailboxes])
    homes = rng.choices(names, shares, k=args.messages)
    homes[:len(names)] = names[:args.messages]  # none stays empty
    sizes = [rng.lognormvariate(0, SIGMA) for _ in range(args.messages)]
    scale = args.bytes / sum(sizes)
    sizes = [min(max(size * scale, SMALLEST), LARGEST) for size in sizes]
    candidates = sum(size for size in sizes if size > 12000) or 1
    chance = min(1.0, ATTACHED * args.bytes / (0.85 * candidates))
    left, step = sum(sizes), (LAST_DAY - FIRST_DAY) // args.messages
    for number, (mailbox, size) in enumerate(zip(homes, sizes)):
        when = FIRST_DAY + number * step + rng.randrange(step + 1)
        others = rng.sample(writer.recent, min(8, len(writer.recent))) if rng.random() < COPIES else []
        message = next((recent[1] for recent in others if recent[2] != mailbox), None)
        if message:
            copies += 1
        else:
            # What copies and limits added or took is spread over the rest, counted as IMAP does.
            target = int(size * max((args.bytes - maildirs.bytes) / left, 0.1) * 0.98)
            attached = int(target * 0.85) if size > 12000 and rng.random() < chance else 0
            text, message = writer.message(target, attached, when)
            if len(message) < 1_000_000:
                writer.recent.append((text[:20000], message, mailbox))
                if len(writer.recent) > RECENT:
                    writer.recent[rng.randrange(RECENT)] = writer.recent.pop()
        left -= size
        flags = "".join(f for f, p in (("F", 0.04), ("R", 0.15), ("S", 0.85)) if rng.random() < p)
        maildirs.file(mailbox, [message], when, flags)
    if args.big:
        maildirs.file("INBOX", writer.big(args.big, LAST_DAY), LAST_DAY, "S")
    return {"messages": maildirs.count, "bytes": maildirs.bytes, "copies": copies,
            "mailboxes": len(maildirs.folders)}


def generate_tiny(args):
    """Many messages of which no two are alike and none matters: a listing is what is wanted."""
    maildirs = Maildirs(args.out)
    for number in range(args.messages):
        when = FIRST_DAY + number * 60
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(when)).encode()
        message = b"Message-ID: <%d@tiny.example>\nDate: %s\nFrom: <a@tiny.example>\n\n%d\n" % (
            number, date, number)
        maildirs.file("INBOX", [message], when, "S")
    return {"messages": maildirs.count, "bytes": maildirs.bytes, "mailboxes": 1}


def main():
    parser = argparse.ArgumentParser(description="Writes made-up mailboxes for measurements.")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of one user's mail")
    parser.add_argument("--messages", type=int, default=30000)
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="total, as IMAP serves it")
    parser.add_argument("--mailboxes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--big", type=int, help="add a message with an attachment of that size")
    parser.add_argument("--corpus", type=pathlib.Path, help="folder or .tar.zst; `none`: words")
    parser.add_argument("--verbatim", action="store_true", help="the corpus itself, in INBOX")
    parser.add_argument("--tiny", action="store_true", help="some 100 bytes each, in INBOX")
    args = parser.parse_args()
    if args.corpus is None or str(args.corpus) == "none":
        args.corpus = DEFAULT_CORPUS if args.corpus is None and DEFAULT_CORPUS.exists() else None
    if args.corpus and not args.corpus.exists():
        parser.error(f"no such corpus: {args.corpus}")
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty")
    if args.verbatim and not args.corpus:
        parser.error("--verbatim needs a corpus")
    if args.tiny:
        print(json.dumps(generate_tiny(args)))
        return
    messages = corpus_messages(args.corpus) if args.corpus else []
    if args.verbatim:
        maildirs = Maildirs(args.out)
        for number, (_, message) in enumerate(messages):
            maildirs.file("INBOX", [message], FIRST_DAY + number * 3600, "S")
        written = {"messages": maildirs.count, "bytes": maildirs.bytes, "mailboxes": 1}
    else:
        rng = random.Random(args.seed)
        paragraphs = corpus_paragraphs(messages) if messages else zipf_paragraphs(rng, 24_000_000)
        written = generate(args, rng, paragraphs)
    print(json.dumps(written | {"corpus": args.corpus.name if args.corpus else None}))


if __name__ == "__main__":
    main()
