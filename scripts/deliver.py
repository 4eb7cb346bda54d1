#!/usr/bin/env python3
"""Puts message files into a mailbox of a server on this machine, by IMAP APPEND.

Used by demo.sh. Plain text, so loopback only: anything else is refused.
"""

import argparse
import imaplib
import pathlib
import sys


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True, help="of a throw-away account; others could see it")
    parser.add_argument("mailbox")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    with imaplib.IMAP4("127.0.0.1", args.port) as server:
        server.login(args.user, args.password)
        for path in args.files:
            status, answer = server.append(args.mailbox, None, None, path.read_bytes())
            if status != "OK":
                print(f"deliver.py: {path}: {answer}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
