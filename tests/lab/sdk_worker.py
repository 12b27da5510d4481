# SPDX-License-Identifier: Apache-2.0
"""A node of the official Python SDK that is reached through a relay, by its public interface; run with the python
of its own virtual environment until it is ended.

    sdk_worker.py DIRECTORY-URL RELAY-HOST:PORT NODE-ID PORT
"""

import asyncio
import json
import sys

from iicp_client import IicpNode, NodeConfig

INTENT = "urn:iicp:intent:llm:chat:v1"


async def answer(task):
    messages = task.get("payload", {}).get("messages") or [{"content": ""}]
    said = f"from the Python worker: {messages[-1]['content']}"
    return {"result": {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}}


async def main(directory, relay, node_id, port):
    node = IicpNode(NodeConfig(node_id=node_id, endpoint=f"http://127.0.0.1:{port}", intent=INTENT, model="echo",
                               directory_url=directory, relay_worker_endpoint=relay, nat_type="symmetric",
                               transport_method="turn_relay"))
    token = None
    try:
        token = await asyncio.to_thread(node.register) if not asyncio.iscoroutinefunction(node.register) else await node.register()
    except Exception as error:
        print(json.dumps({"register": f"{type(error).__name__}: {error}"}), flush=True)
    print(json.dumps({"token": token is not None}), flush=True)
    served = node.serve(answer, host="127.0.0.1", port=int(port), node_token=token)
    if asyncio.iscoroutine(served):
        await served


asyncio.run(main(*sys.argv[1:]))
