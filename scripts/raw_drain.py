#!/usr/bin/env python3
"""Drains an account as fast as one connection gives it, and throws the bytes away.

    raw_drain.py --port PORT --user USER [--pop3 [--listing]] [--tls --ca CA.pem]

The password is in MAILSTOW_PASSWORD. This is the floor for a measurement. Over IMAP: EXAMINE
and one `UID FETCH 1:* (UID BODY.PEEK[])` for each mailbox, read with recv_into; the end of an
answer is looked for only in the last bytes received. Over POP3: every RETR and a QUIT in one
pipeline (with --listing: UIDL, LIST, QUIT), read with recv_into up to the end of the stream,
which must be the answer to QUIT. Prints one line of JSON with bytes and seconds; the seconds
begin before the connection is made and leave out the start of Python.
"""

import argparse
import json
import os
import re
import secrets
import socket
import ssl
import sys
import threading
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

    def line(self, command):
        """Sends a POP3 command with an answer of one line; returns what follows the +OK."""
        self.sock.sendall(command + b"\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            more = self.sock.recv(4096)
            if not more:
                sys.exit("raw_drain: the server closed the connection")
            answer += more
        if not answer.startswith(b"+OK"):
            sys.exit(f"raw_drain: {command.split()[0].decode()}: {answer.decode().strip()}")
        return answer[3:].split()

    def drain_to_end(self, commands):
        """Sends POP3 commands, of which the last is QUIT, and reads until the server closes.

        They are sent from a thread of their own: a server that waits for us to read reads
        nothing either.
        """
        sender = threading.Thread(target=self.sock.sendall, args=(commands,), daemon=True)
        sender.start()
        before, tail = self.received, b""
        while got := self.sock.recv_into(self.buffer):
            self.received += got
            tail = (tail + bytes(self.buffer[max(got - TAIL, 0):got]))[-TAIL:]
        sender.join()
        if not re.search(rb"\r\n\.\r\n\+OK[^\r\n]*\r\n\Z", tail):
            sys.exit(f"raw_drain: the stream ended with {tail[-80:]!r}")
        return self.received - before


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


def drain_imap(server, user, password):
    """Everything of every mailbox; returns what there was."""
    user, password = (re.sub(r'(["\\])', r"\\\1", text) for text in (user, password))
    server.drain(f'LOGIN "{user}" "{password}"'.encode())
    listed = server.drain(b'LIST "" "*"', keep=True)
    # The names stay as the server wrote them, quotes and all.
    names = re.findall(rb'^\* LIST \((?![^)]*\\Noselect)[^)]*\) (?:"[^"]*"|NIL) (.+)\r$', listed, re.M)
    for name in names:
        server.drain(b"EXAMINE " + name)
        server.drain(b"UID FETCH 1:* (UID BODY.PEEK[])")
    return {"mailboxes": len(names)}


def drain_pop3(server, user, password, listing):
    """All messages of the maildrop, or its listing; returns what there was."""
    server.line(f"USER {user}".encode())
    server.line(f"PASS {password}".encode())
    count, size = (int(number) for number in server.line(b"STAT")[:2])
    if listing:
        wanted, least = [b"UIDL", b"LIST"], count * len("1 1\r\n1 1\r\n")
    else:
        wanted, least = [b"RETR %d" % number for number in range(1, count + 1)], size
    got = server.drain_to_end(b"\r\n".join([*wanted, b"QUIT", b""]))
    if got < least:  # one -ERR in the middle would else pass for a fast answer
        sys.exit(f"raw_drain: {got} bytes came, where at least {least} were due")
    return {"messages": count}


def main():
    """Signs in, lists, drains."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--pop3", action="store_true", help="not IMAP")
    parser.add_argument("--listing", action="store_true", help="with --pop3: UIDL and LIST only")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--ca", help="certificate authority to trust")
    args = parser.parse_args()
    password = os.environ.get("MAILSTOW_PASSWORD")
    if password is None:
        parser.error("MAILSTOW_PASSWORD is not set")

    started = time.perf_counter()
    server = Connection(connect(args))
    if args.pop3:
        found = drain_pop3(server, args.user, password, args.listing)
    else:
        found = drain_imap(server, args.user, password)
    seconds = time.perf_counter() - started
    print(json.dumps({"bytes": server.received, "seconds": round(seconds, 3)} | found))


if __name__ == "__main__":
    main()
