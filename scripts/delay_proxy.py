#!/usr/bin/env python3
"""A TCP proxy that makes a line long: every byte comes so much later, in each direction.

    delay_proxy.py --listen 127.0.0.1:0 --to HOST:PORT --ms 50

Bandwidth is not limited: what comes together arrives together, and any amount may be under way.
A round trip becomes twice --ms longer; connecting itself does not. Prints the port it listens
on as its only line, and runs until it is killed.
"""

import argparse
import asyncio

AT_ONCE = 1 << 18


async def carry(reader, writer, seconds):
    """Carries one direction up to and with its end."""
    clock = asyncio.get_running_loop().time
    under_way = asyncio.Queue()

    async def take():
        while True:
            try:
                data = await reader.read(AT_ONCE)
            except ConnectionError:
                data = b""
            under_way.put_nowait((clock() + seconds, data))
            if not data:
                return

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - clock())
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
    except (ConnectionError, OSError):
        # Who does not listen any more is told nothing; the other direction ends by itself.
        writer.transport.abort()
    finally:
        taking.cancel()


async def serve(args):
    """Listens, and connects whoever comes."""

    async def one(reader, writer):
        try:
            host, port = args.to
            far_reader, far_writer = await asyncio.open_connection(host, port, limit=AT_ONCE)
        except OSError:
            writer.transport.abort()
            return
        seconds = args.ms / 1000
        await asyncio.gather(carry(reader, far_writer, seconds), carry(far_reader, writer, seconds))
        writer.close()
        far_writer.close()

    host, port = args.listen
    server = await asyncio.start_server(one, host, port, limit=AT_ONCE)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def address(text):
    """HOST:PORT"""
    host, _, port = text.rpartition(":")
    return host, int(port)


def main():
    """Runs until killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--to", type=address, required=True, metavar="HOST:PORT")
    parser.add_argument("--ms", type=float, required=True, help="in each direction")
    try:
        asyncio.run(serve(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
