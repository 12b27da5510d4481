# SPDX-License-Identifier: Apache-2.0
"""Native frames between iicpd and the official Python SDK, unmodified: its client at our port, our client
at its server. The SDK's frames need its extra `iicp-tcp`, so it has a virtual environment of its own."""

import json
import subprocess
import uuid

import pytest

from conftest import LAB, Server, clean_environment, official_sdk
from test_native import native_call

SDK = "iicp-client[iicp-tcp]==0.7.109"


@pytest.fixture(scope="session")
def sdk():
    return official_sdk(SDK, "sdk-native")


def test_IICPD_03_37_official_client_at_our_port(sdk, node_factory, backend):
    node = node_factory(backend=backend, listen__native="plaintext")
    done = subprocess.run([str(sdk), str(LAB / "sdk_native.py"), "client", node.host, str(node.port)], text=True,
                          capture_output=True, timeout=120, env=clean_environment(), stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    said, events = {}, []
    for line in map(json.loads, done.stdout.splitlines()):
        events += [line.pop("event")] if "event" in line else []
        said.update(line)
    assert said["ping"] == "abc" and said["discover"] == []
    for call in ("call", "again", "with_id"):
        assert said[call]["choices"][0]["message"]["content"] == "Hello from the fake."
    assert said["error"].startswith("server error 422")
    assert "wrong" not in said
    assert "".join(e["result"] or "" for e in events) == "Hello from the fake."
    assert [e["is_final"] for e in events] == [False] * (len(events) - 1) + [True] and events[-1]["status"] == "success"
    assert "native_fault" not in node.log_text()


def test_IICPD_03_30_our_client_at_the_official_server(sdk, tmp_path):
    server = Server([sdk, LAB / "sdk_native.py", "server"], tmp_path, "sdk-server", clean_environment())
    try:
        answers, state = native_call(server.host, server.port, '{"messages":[]}')
        assert state["state"] == "ready" and len(answers) == 1 and not answers[0]["failed"]
        assert "from the SDK" in json.dumps(answers[0]["result"])
        # it does not stream: its base RESPONSE is the terminal one
        answers, state = native_call(server.host, server.port, '{"messages":[]}', uuid.uuid4())
        assert state["state"] == "ready" and len(answers) == 1 and not answers[0]["failed"]
    finally:
        server.kill()
