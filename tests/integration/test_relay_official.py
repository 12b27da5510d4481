# SPDX-License-Identifier: Apache-2.0
"""iicpd as a worker under nodes of the official SDKs, unmodified, as relay operators: native frames and long-poll, a
consumer of the official Python SDK through it, sealed and in clear; the operator killed and back. A table of what was
seen is in the job's log; docs/client-matrix.md is one of a day."""

import json
import subprocess
import time
import uuid

import pytest

import test_native_sdk
import test_official_sdk
from conftest import BUILD, LAB, Process, clean_environment, free_port, wait_until
from test_client_matrix import PYTHON, RUST, rust, switch  # noqa: F401
from test_official_sdk import PUBLIC, SECRET, name_space, run_prefix, sdk  # noqa: F401

pytestmark = pytest.mark.real
CHAT = "urn:iicp:intent:llm:chat:v1"
KINDS = {"Python": PYTHON, "Rust": RUST}

sdk_frames = test_native_sdk.sdk


@pytest.fixture(scope="module")
def seen_here(request):
    rows = []
    yield lambda *row: rows.append(row)
    lines = ["| operator | way | consumer | what | seen |", "| --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    (BUILD / "relay-official.md").write_text("\n".join(lines) + "\n")
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for line in ["", "relay operators:", *lines]:
        terminal.write_line(line)


class Operator:
    """The official node, on the address that is public in its name space."""

    def __init__(self, argv, folder, prefix):
        self.node_id, self.port, self.frames = str(uuid.uuid4()), free_port(), free_port()
        self.argv, self.folder, self.prefix, self.starts = argv, folder, prefix, 0
        self.process = None

    def start(self):
        self.starts += 1
        self.process = Process([*self.argv, self.node_id, PUBLIC, self.port, self.frames], self.folder, f"operator{self.starts}",
                               clean_environment({"HOME": str(self.folder)}), self.prefix)
        wait_until(lambda: self.reach("/iicp/health"), 60, "the operator's health", self.process.popen)
        return self

    def reach(self, path):
        done = subprocess.run([*self.prefix, "curl", "-s", "-m", "3", "-f", f"http://{PUBLIC}:{self.port}{path}"],
                              capture_output=True, text=True, timeout=20)
        return done.stdout if done.returncode == 0 else None

    def kill(self):
        if self.process:
            self.process.kill()


@pytest.fixture
def operator(request, sdk_frames, name_space, tmp_path, need):  # noqa: F811
    need("curl")
    made = []

    def make(kind):
        argv = [sdk_frames, LAB / "sdk_relay.py"] if kind == "Python" else [request.getfixturevalue("rust"), "relay"]
        made.append(Operator(argv, tmp_path, name_space).start())
        return made[-1]

    yield make
    for o in made:
        o.kill()


def relays(node):
    return node.control("/v1/relays").json()


def await_bound(node, timeout=90):
    return wait_until(lambda: (lambda r: r if r["state"] == "bound" else None)(relays(node)), timeout,
                      f"bound\n{node.log_text()[-2000:]}", node.popen)


@pytest.fixture
def worker(lab_factory, node_factory, backend_factory):
    def make(operator, way):
        lab = lab_factory()
        where = f"{PUBLIC}:{operator.frames}" if way == "native" else f"http://{PUBLIC}:{operator.port}"
        node = node_factory(lab=lab, backend=backend_factory(), relay__worker=where, listen__address="127.0.0.1")
        await_bound(node)
        wait_until(lambda: node.status()["directory"]["state"] == "registered", 90, "registered", node.popen)
        return lab, node
    return make


@pytest.mark.parametrize("kind", ["Python", "Rust"])
@pytest.mark.parametrize("way", ["native", "http-poll"])
def test_IICPD_03_57_IICPD_03_58_IICPD_03_59_under_official_operators(seen_here, operator, worker, sdk, name_space, tmp_path,  # noqa: F811
                                                                     kind, way):
    relay = operator(kind)
    lab, node = worker(relay, way)
    state = relays(node)
    assert state["transport"] == way and state["endpoint"].startswith(f"http://{PUBLIC}:{relay.port}/v1/relay-for/"), state
    world = test_official_sdk.World(lab, node, None, tmp_path / "wire", sdk, name_space, tmp_path)
    for sealed in (True, False):
        chat = json.dumps({"messages": [{"role": "user", "content": f"say {SECRET}"}]})
        answer = world.consumer("task", CHAT, chat, env=None if sealed else switch(False))
        assert "error" not in answer, (answer, node.log_text()[-2000:])
        assert "fake" in json.dumps(answer["result"]), answer
        seen_here(KINDS[kind], way, PYTHON, "chat, sealed" if sealed else "chat, in clear", answer["status"])
    # the operator is killed and comes back; its sessions are gone then
    relay.kill()
    relay.start()
    start = time.monotonic()
    wait_until(lambda: relays(node)["binds"] >= 2 and relays(node)["state"] == "bound", 120,
               f"bound again\n{node.log_text()[-2000:]}", node.popen)
    seen_here(KINDS[kind], way, "-", "operator killed, started again", f"bound again after {time.monotonic() - start:.1f} s")
