# SPDX-License-Identifier: Apache-2.0
"""Nodes of the official SDKs, unmodified, as workers of our relay, and the official Python client as their consumer:
through the lab directory, sealed and in clear. A table of what was seen is in the job's log; docs/client-matrix.md is
one of a day."""

import json
import subprocess
import sys
import time
import uuid

import pytest

import test_native_sdk
import test_official_sdk
from conftest import BUILD, LAB, Process, Server, clean_environment, free_port, wait_until
from longpoll import CHAT
from test_client_matrix import PYTHON, RUST, rust  # noqa: F401
from test_official_sdk import PUBLIC, SECRET, name_space, run_prefix, sdk  # noqa: F401

pytestmark = pytest.mark.real

sdk_frames = test_native_sdk.sdk


@pytest.fixture(scope="module")
def seen_here(request):
    rows = []
    yield lambda *row: rows.append(row)
    lines = ["| worker | way | consumer | what | seen |", "| --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    (BUILD / "relay-matrix.md").write_text("\n".join(lines) + "\n")
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for line in ["", "relay matrix:", *lines]:
        terminal.write_line(line)


class Relayed:
    """Operator, lab directory and a recorder before the operator, in a name space with a public-looking address."""

    def __init__(self, lab, node, recorder, wire, prefix, folder, sdk):  # noqa: F811
        self.lab, self.node, self.recorder, self.wire = lab, node, recorder, wire
        self.prefix, self.folder, self.sdk = prefix, folder, sdk

    def consumer(self, *args, env=None):
        return test_official_sdk.World(self.lab, self.node, self.recorder, self.wire, self.sdk, self.prefix,
                                       self.folder).consumer(*args, env=env)

    def worker(self, argv, node_id):
        """Starts the program of a worker; its words are kept."""
        p = Process(argv, self.folder, node_id, clean_environment({"HOME": str(self.folder)}), self.prefix)
        try:
            wait_until(lambda: self.session(node_id), 60, f"bind of {node_id}", p.popen)
        except AssertionError as error:
            words = p.out_text() + p.log_text()
            p.kill()
            raise AssertionError(f"{error}\n{words}\n{self.node.log_text()[-2000:]}") from None
        return p

    def session(self, node_id):
        answer = self.node.control(f"/v1/sessions/{node_id}")
        return answer.json()["sessions"][0] if answer.status == 200 else None

    def listed(self):
        """Endpoints that the directory names."""
        return [n["endpoint"] for n in json.loads(self.fetch(f"{self.lab.url}/v1/discover?intent={CHAT}"))["nodes"]]

    def fetch(self, url, body=None):
        """GET, or POST of a JSON body, from within the name space."""
        request = f"u.Request({url!r}, {json.dumps(body).encode() if body else None!r}, {{'Content-Type': 'application/json'}})"
        done = subprocess.run([*self.prefix, sys.executable, "-c",
                               f"import urllib.request as u; print(u.urlopen({request}, timeout=60).read().decode())"],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def relayed(sdk, name_space, lab_factory, node_factory, tmp_path):  # noqa: F811
    recorders = []

    def make(**keys):
        lab = lab_factory()
        http, frames = free_port(), free_port()
        wire = tmp_path / "wire"
        wire.touch()
        # workers dial the public address: a recorder stands before their frames and sees what the relay sees
        recorder = Server([sys.executable, LAB / "recorder.py", "--listen", f"{PUBLIC}:0", "--to", f"127.0.0.1:{frames}",
                           "--file", wire], tmp_path, "recorder", prefix=name_space)
        recorders.append(recorder)
        node = node_factory(lab=None, config={"listen.address": "0.0.0.0", "listen.port": http, "relay.operator": "yes",
                                              "relay.port": frames, "node.public_endpoint": f"http://{PUBLIC}:{http}", **keys})
        return Relayed(lab, node, recorder, wire, name_space, tmp_path, sdk)

    yield make
    for recorder in recorders:
        recorder.kill()


@pytest.mark.parametrize("kind", ["Python", "Rust"])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "clear"])
def test_IICPD_03_40_IICPD_03_63_official_workers_under_our_relay(seen_here, relayed, sdk_frames, request, kind, sealed):
    world = relayed()
    node_id = str(uuid.uuid4())
    program = [sdk_frames, LAB / "sdk_worker.py"] if kind == "Python" else [request.getfixturevalue("rust"), "worker"]
    p = world.worker([*program, world.lab.url, f"{PUBLIC}:{world.recorder.port}", node_id, str(free_port())], node_id)
    try:
        endpoint = f"http://{PUBLIC}:{world.node.port}/v1/relay-for/{node_id}"
        wait_until(lambda: endpoint in world.listed(), 60, "registered behind the relay", p.popen)
        chat = json.dumps({"messages": [{"role": "user", "content": f"say {SECRET}"}]})
        # the official clients seal wherever the node has a key, as these have; in clear it is a plain request
        if sealed:
            answer = world.consumer("task", CHAT, chat)
        else:
            answer = json.loads(world.fetch(f"{endpoint}/v1/task", {"task_id": str(uuid.uuid4()), "intent": CHAT,
                                                                     "payload": json.loads(chat)}))
        wire = world.wire.read_bytes()
        assert not answer.get("error"), (answer, p.log_text()[-1000:])
        said = json.dumps(answer["result"])
        assert f"from the {kind} worker" in said and SECRET in said
        assert (SECRET.encode() in wire) != sealed and (b'"iicp_conf"' in wire) == sealed
        session = world.session(node_id)
        assert session["calls"] >= 1 and session["failed"] == 0
        seen_here({"Python": PYTHON, "Rust": RUST}[kind], "native frames", PYTHON if sealed else "plain request", "chat",
                  f"{answer['status']}, {'sealed' if sealed else 'readable'} at the relay")
        # the worker is killed while it has nothing to do: its consumers are told at once
        p.kill()
        wait_until(lambda: not world.session(node_id), 30, "the session ended", world.node.popen)
        gone = world.node.control(f"/v1/sessions/{node_id}")
        assert gone.status == 404
    finally:
        p.kill()


def test_IICPD_03_57_official_worker_is_back_after_the_operator(seen_here, relayed, sdk_frames):
    world = relayed()
    node_id = str(uuid.uuid4())
    p = world.worker([sdk_frames, LAB / "sdk_worker.py", world.lab.url, f"{PUBLIC}:{world.recorder.port}", node_id,
                      str(free_port())], node_id)
    try:
        world.node.control(f"/v1/sessions/{node_id}/kick", "POST", {})
        start = time.monotonic()
        wait_until(lambda: world.session(node_id), 90, "bound again", p.popen)
        seen_here(PYTHON, "native frames", "-", "kicked, binds again", f"after {time.monotonic() - start:.1f} s")
    finally:
        p.kill()
