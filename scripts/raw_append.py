#!/usr/bin/env python3
"""Appends messages as fast as a server takes them, by MULTIAPPEND with literals that don't wait.

    raw_append.py --port PORT --user USER --password-env VAR --connections N FOLDER

FOLDER has a folder for each mailbox, named as on the wire (modified UTF-7), with one file per
message, byte for byte what is appended; its date is the file's time. This is the floor for a
measurement: nothing is looked at, nothing written down, and no message is looked for afterwards.
Any answer but OK ends it. Needs a server with LITERAL+ and MULTIAPPEND, of one's own: a head it
does not like would have mail run as commands. Plain text, so loopback only.

Mailboxes are created first, then every connection takes the next batch that is left. Prints one
line of JSON with messages, bytes, seconds and connections; the seconds begin before the
connections are made, and leave out reading the files, creating mailboxes and the start of Python.
"""

import argparse
import ipaddress
import json
import os
import pathlib
import queue
import re
import socket
import sys
import threading
import time


class Failed(Exception):
    """The server said something else than OK."""


def quoted(text):
    """A quoted string (RFC 3501)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


class Connection:
    """A signed-in connection with one command at a time."""

    def __init__(self, args, password):
        self.delay = args.delay_ms / 1000
        self.sock = socket.create_connection((args.host, args.port), timeout=120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.sock.makefile("rb")
        self.count = 0
        greeting = self.lines.readline()
        if not greeting.startswith(b"* OK"):
            raise Failed(f"greeting: {greeting.decode(errors='replace').strip()}")
        self.ask(f"LOGIN {quoted(args.user)} {quoted(password)}".encode())

    def ask(self, *parts, allowed=b"OK"):
        """Sends a command and reads up to its answer, which must be OK or begin as allowed."""
        self.count += 1
        tag = b"r%d " % self.count
        time.sleep(self.delay)
        self.sock.sendall(b"".join([tag, *parts, b"\r\n"]))
        while line := self.lines.readline():
            if line.startswith(tag):
                if line[len(tag):].startswith((b"OK", allowed)):
                    return
                raise Failed(line.decode(errors="replace").strip())
        raise Failed("the server closed the connection")

    def close(self):
        """Takes leave."""
        self.ask(b"LOGOUT")
        self.sock.close()


def load(folder):
    """The messages of each mailbox, with what stands before their literals."""
    mailboxes = {}
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            sys.exit(f"raw_append: {path} is no folder")
        messages = mailboxes.setdefault(path.name, [])
        for file in sorted(path.iterdir()):
            date = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(file.stat().st_mtime))
            body = file.read_bytes()
            messages.append((f'"{date}" {{{len(body)}+}}\r\n'.encode(), body))
    return mailboxes


def batches(mailboxes, most_bytes, most_messages):
    """Mailbox by mailbox; a larger message stands alone."""
    for name, messages in mailboxes.items():
        batch, size = [], 0
        for message in messages:
            length = len(message[1])
            if batch and (size + length > most_bytes or len(batch) == most_messages):
                yield name, batch
                batch, size = [], 0
            batch.append(message)
            size += length
        if batch:
            yield name, batch


def drain(work, args, password, failures):
    """Appends batches over one connection until none is left."""
    try:
        server = Connection(args, password)
        while not failures:
            try:
                name, batch = work.get_nowait()
            except queue.Empty:
                break
            parts = [f"APPEND {quoted(name)}".encode()]
            for head, body in batch:
                parts += [b" ", head, body]
            server.ask(*parts)
        server.close()
    except (Failed, OSError) as failure:
        failures.append(failure)


def main():
    """Reads, creates, appends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password-env", required=True, metavar="VAR",
                        help="the variable with the password")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--batch-bytes", type=int, default=4 << 20)
    parser.add_argument("--batch-messages", type=int, default=50)
    parser.add_argument("--delay-ms", type=float, default=0,
                        help="wait so long before each command, as for a round trip")
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    password = os.environ.get(args.password_env)
    if password is None:
        parser.error(f"{args.password_env} is not set")
    addresses = {info[4][0] for info in socket.getaddrinfo(args.host, args.port)}
    if not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        parser.error("plain text goes to loopback only")
    mailboxes = load(args.folder)
    work, failures = queue.SimpleQueue(), []
    for batch in batches(mailboxes, args.batch_bytes, args.batch_messages):
        work.put(batch)
    try:
        server = Connection(args, password)
        for name in mailboxes:
            if name.upper() != "INBOX":
                server.ask(f"CREATE {quoted(name)}".encode(), allowed=b"NO [ALREADYEXISTS]")
        server.close()
    except (Failed, OSError) as failure:
        sys.exit(f"raw_append: {failure}")

    started = time.perf_counter()
    threads = [threading.Thread(target=drain, args=(work, args, password, failures))
               for _ in range(args.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures or not work.empty():
        sys.exit(f"raw_append: {failures[0] if failures else 'something is left'}")
    bodies = [body for messages in mailboxes.values() for _, body in messages]
    print(json.dumps({"messages": len(bodies), "bytes": sum(map(len, bodies)),
                      "seconds": round(seconds, 3), "connections": args.connections}))


if __name__ == "__main__":
    main()
