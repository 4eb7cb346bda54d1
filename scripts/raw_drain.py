#!/usr/bin/env python3
"""Drains an account over IMAP as fast as one connection gives it, and throws the bytes away.

    raw_drain.py --port PORT --user USER [--tls --ca CA.pem]      password in MAILSTOW_PASSWORD

The floor for a measurement: EXAMINE and one `UID FETCH 1:* (UID BODY.PEEK[])` for each mailbox,
read with recv_into; the end of an answer is looked for only in the last bytes received. Prints
one line of JSON with bytes, seconds and mailboxes.
"""

import argparse
import json
import os
import re
import secrets
import socket
import ssl
import sys
import time

BUFFER = 1 << 20
TAIL = 512  # longer than any tagged line


class Connection:
    """A socket, a buffer and tags that no mail contains by chance."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = memoryview(bytearray(BUFFER))
        self.prefix = secrets.token_hex(8)
        self.count = self.received = 0

    def drain(self, command, keep=False):
        """Sends a command and reads up to its tagged OK; returns the answer only if `keep`."""
        self.count += 1
        tag = f"{self.prefix}.{self.count}".encode()
        self.sock.sendall(tag + b" " + command + b"\r\n")
        kept, tail = [], b"\r\n"
        while True:
            got = self.sock.recv_into(self.buffer)
            if got == 0:
                sys.exit("raw_drain: the server closed the connection")
            self.received += got
            if keep:
                kept.append(bytes(self.buffer[:got]))
            if got >= TAIL:
                tail = bytes(self.buffer[got - TAIL:got])
            else:
                tail = (tail + bytes(self.buffer[:got]))[-TAIL:]
            at = tail.rfind(b"\r\n" + tag + b" ")
            if at >= 0 and tail.endswith(b"\r\n"):
                status = tail[at + 3 + len(tag):]
                if not status.startswith(b"OK"):
                    sys.exit(f"raw_drain: {command.split()[0].decode()}: {status.decode().strip()}")
                return b"".join(kept)


def connect(args):
    """A connected socket that has read its greeting."""
    sock = socket.create_connection((args.host, args.port), timeout=120)
    if args.tls:
        context = ssl.create_default_context(cafile=args.ca)
        sock = context.wrap_socket(sock, server_hostname=args.host)
    greeting = b""
    while not greeting.endswith(b"\r\n"):
        more = sock.recv(4096)
        if not more:
            sys.exit("raw_drain: no greeting")
        greeting += more
    return sock


def main():
    """Signs in, lists, drains."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--ca", help="certificate authority to trust")
    args = parser.parse_args()
    password = os.environ.get("MAILSTOW_PASSWORD")
    if password is None:
        parser.error("MAILSTOW_PASSWORD is not set")
    user, password = (re.sub(r'(["\\])', r"\\\1", text) for text in (args.user, password))

    started = time.perf_counter()
    server = Connection(connect(args))
    server.drain(f'LOGIN "{user}" "{password}"'.encode())
    listed = server.drain(b'LIST "" "*"', keep=True)
    # The names stay as the server wrote them, quotes and all.
    names = re.findall(rb'^\* LIST \((?![^)]*\\Noselect)[^)]*\) (?:"[^"]*"|NIL) (.+)\r$', listed, re.M)
    for name in names:
        server.drain(b"EXAMINE " + name)
        server.drain(b"UID FETCH 1:* (UID BODY.PEEK[])")
    seconds = time.perf_counter() - started
    print(json.dumps({"bytes": server.received, "seconds": round(seconds, 3),
                      "mailboxes": len(names)}))


if __name__ == "__main__":
    main()
