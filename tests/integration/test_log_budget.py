# SPDX-License-Identifier: Apache-2.0
"""The log is quiet when all is well and stays so under load. [operator design 9.3]"""

import concurrent.futures
import socket
import uuid

from conftest import wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"


def lines(node):
    return [l for l in node.log_text().splitlines() if " debug " not in l]


def test_OX_40_start_to_ready_and_an_idle_time_are_short(driven):
    d = driven()
    d.registered()
    d.until(lambda: " ready " in d.node.log_text(), 60, "ready")
    ready = next(i for i, l in enumerate(lines(d.node)) if " ready " in l)
    assert ready + 1 <= 6, lines(d.node)
    d.advance(60)
    begun = lines(d.node)
    d.advance(300)
    assert len(d.asked("heartbeat")) >= 8, "it was alive meanwhile"
    assert lines(d.node) == begun, "a line for nothing"


def task(node):
    return node.post("/v1/task", {"task_id": str(uuid.uuid4()), "intent": CHAT, "constraints": {},
                                  "payload": {"messages": [{"role": "user", "content": "x"}]}}).status


def test_OX_40_a_backend_that_fails_at_every_task_is_said_a_few_times(node_factory, backend, tmp_path):
    node = node_factory(backend=backend, limits__max_concurrent=8)
    wait_until(lambda: node.status()["state"] == "ready", 30, "ready", node.popen)
    before = len(lines(node))
    backend.kill()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: task(node), range(200)))
    assert set(answers) <= {429, 502, 503, 504} and len(answers) == 200
    said = lines(node)[before:]
    assert any("backend_down" in l for l in said) and len(said) <= 8, said


def test_OX_40_a_port_scan_is_said_in_a_few_lines(node_factory):
    node = node_factory()
    wait_until(lambda: node.status()["state"] == "ready", 30, "ready", node.popen)
    before = len(lines(node))
    for i in range(150):
        with socket.create_connection((node.host, node.port), 10) as s:
            s.sendall([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /%d HTTP/1.0\r\n\r\n" % i, b"\x00\xff\x00\xff", b"IICP\xff\xff\xff\xff",
                       b"SSH-2.0-x\r\n"][i % 5])
    wait_until(lambda: node.get("/iicp/health").status == 200, 30, "health", node.popen)
    said = lines(node)[before:]
    assert len(said) <= 12, said
