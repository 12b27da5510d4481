# SPDX-License-Identifier: Apache-2.0
"""A node of the official Python SDK as a relay operator, by its public interface; run with the python of its own
virtual environment until it is ended.

    sdk_relay.py NODE-ID HOST HTTP-PORT RELAY-PORT
"""

import asyncio
import sys

from iicp_client import IicpNode, NodeConfig

INTENT = "urn:iicp:intent:llm:chat:v1"


async def answer(task):
    del task
    return {"result": {"choices": []}}


async def main(node_id, host, port, relay_port):
    node = IicpNode(NodeConfig(node_id=node_id, endpoint=f"http://{host}:{port}", intent=INTENT, model="echo",
                               directory_url="http://127.0.0.1:1/api", relay_capable=True, relay_accept_port=int(relay_port)))
    served = node.serve(answer, host=host, port=int(port))
    if asyncio.iscoroutine(served):
        await served


asyncio.run(main(*sys.argv[1:]))
