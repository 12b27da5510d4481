# SPDX-License-Identifier: Apache-2.0
"""The service manager holds the port: sockets that were passed, stop and start without a refused caller."""

import http.client
import signal
import socket
import subprocess
import threading
import uuid

import pytest

from conftest import START_S, STOP_S, ask, clean_environment, die_with_parent, program, render, wait_until

TASK = {"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
        "payload": {"messages": [{"role": "user", "content": "Hello"}]}}


class Held:
    """A listening socket that outlives the daemons it is passed to, as systemd's does."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.daemons = []

    def start(self, name, **changes):
        for sub in ("state", "run"):
            (self.folder / sub).mkdir(mode=0o700, exist_ok=True)
        conf = self.folder / "iicp.conf"
        conf.write_text(render({
            "node.state_dir": self.folder / "state", "node.runtime_dir": self.folder / "run",
            "listen.address": "127.0.0.1", "listen.port": self.port, "directory.register": "no",
            "backend.test.type": "demo", "log.format": "text", **changes}))
        script = f'exec 3<&{self.socket.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=iicpd.socket exec "$@"'
        log = open(self.folder / f"{name}.log", "wb")
        with log:
            daemon = subprocess.Popen(
                ["/bin/bash", "-c", script, "bash", program("iicpd"), "--config", conf],
                pass_fds=[self.socket.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=clean_environment(), preexec_fn=die_with_parent)
        self.daemons.append(daemon)
        return daemon

    def log(self, name):
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def ask(self, method, path, body=None, timeout=START_S):
        return ask(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout), method, path, body)

    def health(self, timeout=START_S):
        return self.ask("GET", "/iicp/health", timeout=timeout).status

    def models(self):
        return self.ask("GET", "/iicp/health").json().get("models")


@pytest.fixture
def held(tmp_path):
    held = Held(tmp_path)
    yield held
    for daemon in held.daemons:
        daemon.kill()
        daemon.wait()
    held.socket.close()


def test_a_restart_refuses_nobody(held):
    """A caller that comes while nobody serves waits, and the next daemon answers it."""
    first = held.start("first")
    assert held.health() == 200
    first.send_signal(signal.SIGTERM)
    assert first.wait(STOP_S) == 0, held.log("first")
    got = []
    caller = threading.Thread(target=lambda: got.append(held.health(60)))
    caller.start()  # in the queue of the kernel
    held.start("second")
    caller.join(90)
    assert got == [200]


def test_a_stop_leaves_new_callers_to_the_next(held, backend_factory):
    """While running tasks end, who comes new is neither refused nor told 503 by the daemon that goes."""
    backend = backend_factory()
    first = held.start("first", **{"backend.test.type": "openai_compat", "backend.test.url": backend.url})
    wait_until(lambda: held.health() == 200 and held.models(), what="models")
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "delay_ms": 2000, "json": {
        "id": "x", "object": "chat.completion", "model": held.models()[0], "choices": [{
            "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "late"}}]}}]})
    ran, came = [], []
    running = threading.Thread(target=lambda: ran.append(held.ask("POST", "/v1/task", TASK)))
    running.start()
    wait_until(lambda: "iicp_active_tasks 1" in held.ask("GET", "/metrics").text, what="the task runs")
    first.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping on" in held.log("first"), what="the stop begins")
    caller = threading.Thread(target=lambda: came.append(held.ask("GET", "/iicp/health", timeout=60).status))
    caller.start()
    running.join(STOP_S)
    assert [a.status for a in ran] == [200], ran
    assert first.wait(STOP_S) == 0, held.log("first")
    assert came == []
    held.start("second")
    caller.join(90)
    assert came == [200]


def test_a_socket_of_another_port_is_an_error(held):
    daemon = held.start("other", **{"listen.port": held.port - 1})
    assert daemon.wait(START_S) == 69
    log = held.log("other")
    assert f"passed a socket on port {held.port}, but listen.port is {held.port - 1}" in log, log
