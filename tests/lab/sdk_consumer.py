# SPDX-License-Identifier: Apache-2.0
"""The official Python SDK as a consumer, by its public interface; run with the python of its own
virtual environment. Prints one JSON object.

    sdk_consumer.py DIRECTORY-URL discover|chat|submit [PROMPT [MODEL]]
    sdk_consumer.py DIRECTORY-URL task INTENT PAYLOAD [TOKEN]
    sdk_consumer.py DIRECTORY-URL selfcheck NODE-ID PORT ENDPOINT     the node probes that the SDK carries
"""

import asyncio
import json
import sys

import iicp_client
from iicp_client import (ChatMessage, ChatOptions, ClientConfig, DiscoverOptions, IicpClient, IicpNode, NodeConfig,
                         TaskAuth, TaskRequest, run_conformance_checks)

INTENT = "urn:iicp:intent:llm:chat:v1"


def selfcheck(url, node_id, port, endpoint):
    node = IicpNode(NodeConfig(node_id=node_id, endpoint=endpoint, intent=INTENT, directory_url=url))
    report = asyncio.run(run_conformance_checks(node, int(port), node_token="not needed"))
    print(json.dumps({t.test_id: {"passed": t.passed, "message": t.message} for t in report.tests}))


def main():
    url, verb, *rest = sys.argv[1:]
    if verb == "selfcheck":
        selfcheck(url, *rest)
        return
    prompt = rest[0] if rest else "Hello"
    model = rest[1] if len(rest) > 1 else None
    client = IicpClient(ClientConfig(directory_url=url, timeout_ms=60000))
    out = {"sdk": getattr(iicp_client, "__version__", None)}
    try:
        if verb == "discover":
            found = client.discover(INTENT, DiscoverOptions(model=model))
            out["nodes"] = [n.node_id for n in found.nodes]
        elif verb == "chat":
            reply = client.chat([ChatMessage(role="user", content=prompt)],
                                ChatOptions(model=model, max_tokens=24))
            out.update(text=reply.choices[0].message.content, model=reply.model,
                       node_id=reply.iicp_node_id, finish=reply.choices[0].finish_reason,
                       prompt_tokens=reply.usage.prompt_tokens,
                       completion_tokens=reply.usage.completion_tokens)
        elif verb == "task":
            reply = client.submit(TaskRequest(intent=rest[0], payload=json.loads(rest[1]),
                                               auth=TaskAuth(node_token=rest[2] if len(rest) > 2 else None)))
            out.update(task_id=reply.task_id, status=reply.status, result=reply.result)
        else:
            payload = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 24}
            if model:
                payload["model"] = model
            reply = client.submit(TaskRequest(intent=INTENT, payload=payload))
            out.update(task_id=reply.task_id, status=reply.status, result=reply.result)
    except Exception as error:  # whatever the SDK raises is the result
        out["error"] = {"type": type(error).__name__, "code": str(getattr(error, "code", "")),
                        "text": str(error)[:500]}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
