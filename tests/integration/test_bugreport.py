# SPDX-License-Identifier: Apache-2.0
"""A bug report of a node that was fed with marked secrets, addresses and names holds none of them."""

import json
import re

from conftest import wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"
TASK = "33333333-3333-4333-8333-333333333333"
SECRET = "canaryKey0123456789canaryKey0123456789canaryKey"


def test_OX_24_bugreport_holds_no_canary(node_factory, lab, backend, tmp_path, iicpctl):
    key = tmp_path / "backend.key"
    key.write_text(SECRET)
    key.chmod(0o600)
    node = node_factory(lab=lab, backend=backend, node__name="canary-attic-gpu", backend__test__api_key=f"file:{key}",
                        nat__probe_url="https://probe.canary-host.example/?host={host}&port={port}", node__region="eu-central")
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 30, "registered", node.popen)
    node.post("/v1/task", {"task_id": TASK, "intent": CHAT, "constraints": {},
                           "payload": {"messages": [{"role": "user", "content": "canary-prompt"}]}})
    node_id = node.status()["node"]["node_id"]
    shown = iicpctl(node, "bugreport")
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout
    for title in ("versions", "status", "doctor", "configuration", "backends", "models", "detection", "failed tasks", "the unit",
                  "log of the last hour", "left out"):
        assert f"\n== {title}" in text, title
    for canary in (SECRET, "canaryKey", "canary-prompt", "canary-attic-gpu", "canary-host", node_id, node_id[:8], TASK):
        assert canary not in text, canary
    assert "host-" in text and "node-1" in text and "127.0.0.1" in text
    assert re.search(r"\d+ addresses as addr-N, [1-9]\d* ids as node-N, [1-9]\d* names of hosts as host-N", text)


def test_OX_24_bugreport_goes_into_a_file_of_its_own(node_factory, tmp_path, iicpctl):
    node = node_factory()
    path = tmp_path / "report.txt"
    shown = iicpctl(node, "bugreport", "-o", path)
    assert shown.returncode == 0 and "read it before you send it" in shown.stdout
    assert path.stat().st_mode & 0o777 == 0o600 and "== left out" in path.read_text()
    assert iicpctl(node, "bugreport", "-o", path).returncode == 1, "never over something that is there"
    document = json.loads(iicpctl(node, "--json", "bugreport").stdout)
    assert document["schema"] == "iicp.bugreport/1" and "== status" in document["text"]


def test_OX_24_bugreport_without_a_daemon(tmp_path, iicpctl):
    class Nobody:
        control_socket = tmp_path / "none.sock"

    shown = iicpctl(Nobody, "bugreport")
    assert shown.returncode == 0 and "iicpd is not running" in shown.stdout and "== doctor" in shown.stdout
