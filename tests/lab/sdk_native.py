# SPDX-License-Identifier: Apache-2.0
"""The native client and server of the official Python SDK, by their public interface; run with the
python of its own virtual environment. Prints one JSON object a line.

    sdk_native.py client HOST PORT      handshake, ping, discover, calls, a stream
    sdk_native.py call HOST PORT [INTENT PAYLOAD]...    the calls, each with its answer
    sdk_native.py server                serves on a free port until it is ended
"""

import asyncio
import json
import socket
import sys
import uuid

from iicp_client import IicpTcpClient, IicpTcpClientError, IicpTcpServer

INTENT = "urn:iicp:intent:llm:chat:v1"
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def say(**what):
    print(json.dumps(what, default=lambda b: b.decode("latin-1")), flush=True)


async def client(host, port):
    c = IicpTcpClient(host, int(port))
    await c.connect()
    await c.handshake()
    say(ping=await c.ping(b"abc"))
    say(ping_empty=await c.ping())
    say(discover=await c.discover(INTENT))
    say(call=await c.call(INTENT, CHAT))
    say(again=await c.call(INTENT, CHAT))
    say(with_id=await c.call(INTENT, CHAT, call_id=str(uuid.uuid4())))
    try:
        say(wrong=await c.call(INTENT, {"nothing": 1}))
    except IicpTcpClientError as error:
        say(error=str(error))
    async for m in c.stream_call(INTENT, CHAT, task_id=str(uuid.uuid4()), call_id=str(uuid.uuid4()),
                                 idempotency_key=uuid.uuid4().hex):
        say(event={k: m[k] for k in ("status", "result", "is_final") if k in m})
    await c.close()


async def calls(host, port, *pairs):
    c = IicpTcpClient(host, int(port))
    await c.connect()
    await c.handshake()
    for intent, payload in zip(pairs[::2], pairs[1::2], strict=True):
        try:
            say(intent=intent, result=await c.call(intent, json.loads(payload)))
        except IicpTcpClientError as error:
            say(intent=intent, error=str(error))
    await c.close()


async def server():
    async def answer(task):
        return {"result": {"content": "from the SDK", "intent": task.get("intent")}}

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    s = IicpTcpServer(host="127.0.0.1", port=port, node_id="sdk-node", handler=answer)
    await s.start()
    say(url=f"http://127.0.0.1:{port}")
    await asyncio.Event().wait()


asyncio.run({"client": client, "call": calls, "server": server}[sys.argv[1]](*sys.argv[2:]))
