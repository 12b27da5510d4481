#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A wire with a memory: forwards TCP connections and writes what goes by into FILE, both directions,
so that a test can tell what was readable on the way.

    recorder.py --listen HOST:PORT --to HOST:PORT --file FILE      (port 0 takes a free one)

Says its URL in its first line."""

import argparse
import asyncio
import sys


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def copy(reader, writer, file):
    try:
        while data := await reader.read(65536):
            file.write(data)
            file.flush()
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--listen", type=address, required=True)
    p.add_argument("--to", type=address, required=True)
    p.add_argument("--file", required=True)
    a = p.parse_args()
    with open(a.file, "ab") as file:
        async def connected(reader, writer):
            try:
                upstream_reader, upstream_writer = await asyncio.open_connection(*a.to)
            except OSError:
                writer.close()
                return
            await asyncio.gather(copy(reader, upstream_writer, file), copy(upstream_reader, writer, file))

        server = await asyncio.start_server(connected, *a.listen)
        host, port = server.sockets[0].getsockname()[:2]
        print(f"http://{host}:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
