# SPDX-License-Identifier: Apache-2.0
"""The control API itself: levels, methods, bounds, the second socket, server-sent events."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

import pytest

from conftest import TREE, UnixConnection, ask, wait_until

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def demo(node_factory):
    return node_factory(control__status_socket=True)


@pytest.fixture
def open_folder():
    """Where others get to; pytest's folders are ours alone."""
    folder = pathlib.Path(tempfile.mkdtemp())
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def at(path, method="GET", target="/v1/status", body=None, headers=None):
    return ask(UnixConnection(path), method, target, body, headers)


class Reader:
    """One reader of /v1/events."""

    def __init__(self, path, query="", headers=None, timeout=30):
        self.connection = UnixConnection(path, timeout)
        self.connection.request("GET", "/v1/events" + query, headers=headers or {})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.end = time.monotonic() + 60  # the stream itself never falls silent for long

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """(id, event, document); None at the end."""
        fields = {}
        while True:
            assert time.monotonic() < self.end, "nothing came"
            line = self.response.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if line.startswith(":"):
                continue
            if not line and fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value

    def until(self, event, **members):
        while True:
            got = self.next()
            assert got is not None, f"{event} did not come"
            if got[1] == event and all(got[2].get(k) == v for k, v in members.items()):
                return got


# ---- resources ----


def test_OX_30_levels_of_each_resource(demo):
    """The index says the level of each row, and what changes something is never read."""
    rows = demo.control("/v1").json()["resources"]
    assert all(r["level"] == "read" for r in rows if r["method"] == "GET")
    assert all(r["level"] in ("operate", "root") for r in rows if r["method"] != "GET")
    roots = {r["path"] for r in rows if r["level"] == "root"}
    assert roots == {"/v1/deregister", "/v1/identity/reset"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be")
def test_OX_30_root_level_is_for_root_and_the_daemon(open_folder, node_factory):
    """Somebody who may open the socket but is neither root nor the daemon operates, and no more."""
    node = node_factory(control__socket=open_folder / "control.sock")
    node.control_socket = open_folder / "control.sock"
    wait_until(node.control_socket.exists, what="socket", process=node.popen)
    os.chmod(node.control_socket, 0o666)
    script = (
        "import socket,sys,os\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for path in ('/v1/deregister', '/v1/identity/reset', '/v1/drain', '/v1/undrain'):\n"
        "    s = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect(sys.argv[1])\n"
        "    s.sendall(f'POST {path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\n'\n"
        "              'Content-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}'.encode())\n"
        "    print(path, s.recv(65536).split()[1].decode())\n")
    out = subprocess.run([sys.executable, "-c", script, str(node.control_socket)], text=True,
                         capture_output=True, check=True).stdout
    assert dict(line.split() for line in out.splitlines()) == {
        "/v1/deregister": "403", "/v1/identity/reset": "403", "/v1/drain": "200", "/v1/undrain": "200"}
    # the same from root passes the level and fails at the next thing
    assert demo_post(node, "/v1/identity/reset").status == 422


def demo_post(node, path, body=b"{}", headers=JSON):
    return at(node.control_socket, "POST", path, body, headers)


def test_OX_30_the_status_socket_is_for_everybody_and_shows_no_address(demo):
    path = demo.runtime_dir / "status.sock"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    own = demo.control("/v1/status").text
    assert "127.0.0.1" in own or "://" in own
    for target in ("/v1", "/v1/status", "/v1/health", "/v1/tasks", "/v1/backends", "/v1/models", "/v1/version",
                   "/v1/metrics"):
        answer = at(path, "GET", target)
        assert answer.status == 200, target
        assert not re.search(r"\b\d+\.\d+\.\d+\.\d+\b|://(?!hidden)", answer.text), (target, answer.text)
    for target in ("/v1/config", "/v1/routes", "/v1/directory", "/v1/credits"):
        assert at(path, "GET", target).status == 404, target
    for target in ("/v1/drain", "/v1/reload", "/v1/deregister"):
        assert at(path, "POST", target, b"{}", JSON).status == 404
    assert demo.status()["draining"] is None


def test_OX_30_no_status_socket_by_default(node_factory):
    assert not (node_factory().runtime_dir / "status.sock").exists()


@pytest.mark.parametrize("method,path,status,allow", [
    ("HEAD", "/v1/status", 200, None),
    ("DELETE", "/v1/status", 405, "GET, HEAD"),
    ("GET", "/v1/drain", 405, "POST"),
    ("POST", "/v1/log", 405, "GET, HEAD, PUT"),
    ("GET", "/v1/nothing", 404, None),
    ("GET", "/v1/backends/none", 404, None),
    ("GET", "/v1/config/no.such.key", 404, None),
    ("GET", "/v2/status", 404, None),
])
def test_methods_and_paths(demo, method, path, status, allow):
    answer = at(demo.control_socket, method, path)
    assert (answer.status, answer.headers["Allow"]) == (status, allow)
    if method == "HEAD":
        assert answer.body == b"" and int(answer.headers["Content-Length"]) > 10
    elif status >= 400:
        document = answer.json()
        assert document["schema"] == "iicp.error/1"
        assert set(document["error"]) == {"code", "message", "do"}


def test_one_item_of_a_list(demo):
    name = demo.control("/v1/backends").json()["backends"][0]["name"]
    assert [b["name"] for b in demo.control(f"/v1/backends/{name}").json()["backends"]] == [name]
    key = demo.control("/v1/config/control.status_socket").json()["keys"]
    assert len(key) == 1 and key[0]["value"] == "yes"


def test_OX_31_a_name_with_a_dot_is_another_site(demo):
    assert at(demo.control_socket, headers={"Host": "evil.example.org"}).status == 403
    assert at(demo.control_socket, headers={"Host": "localhost:8080"}).status == 200
    assert at(demo.control_socket, headers={"Host": "127.0.0.1:8080"}).status == 200


def test_OX_31_every_change_wants_json_and_no_origin(demo):
    for row in demo.control("/v1").json()["resources"]:
        if row["method"] == "GET":
            continue
        path = row["path"].replace("*", "x")
        for headers in ({}, {"Content-Type": "text/plain"}, {**JSON, "Origin": "null"},
                        {"Content-Type": "application/x-www-form-urlencoded"}):
            assert at(demo.control_socket, row["method"], path, b"{}", headers).status == 403, row
    assert demo.status()["draining"] is None


# ---- bounds ----


def test_a_request_has_at_most_64_KiB(demo):
    assert demo_post(demo, "/v1/drain", b" " * 65536).status == 200
    assert demo_post(demo, "/v1/undrain", b" " * 65537).status == 413
    assert demo.status()["draining"] == "draining"


def test_at_most_16_connections(demo):
    """The seventeenth is closed; when one ends there is room again."""
    held = []
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            s = stack.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX)))
            s.settimeout(30)
            s.connect(str(demo.control_socket))
            s.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
            held.append(s)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            demo.control("/v1/version")
        held.pop().close()
        wait_until(lambda: demo._quiet(lambda: demo.control("/v1/version").status == 200), what="room")


def test_a_change_need_not_be_waited_for(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered")
    with Reader(node.control_socket) as reader:
        answer = demo_post(node, "/v1/reregister?wait=0")
        assert answer.status == 202
        number = answer.json()["request"]
        event = reader.until("request_done")[2]
    assert event["message"] == f"request {number}, /v1/reregister: done (200)"


# ---- events ----


def test_events_come_with_number_type_and_text(demo):
    with Reader(demo.control_socket) as reader:
        demo_post(demo, "/v1/drain")
        number, event, document = reader.until("state_changed", subject="draining")
        assert document["schema"] == "iicp.event/1" and document["id"] == number
        assert document["type"] == "node" and document["subject"] == "draining"
        demo_post(demo, "/v1/undrain")
        again = reader.until("state_changed")
        assert again[0] > number and again[2]["reason"] == "draining"


def test_events_resume_behind_a_number_and_by_age(demo):
    demo_post(demo, "/v1/drain")
    wait_until(lambda: '"subject":"draining"' in demo.control("/v1/events?follow=0").text, what="event")
    everything = demo.control("/v1/events?follow=0").text
    numbers = [int(n) for n in re.findall(r"^id: (\d+)$", everything, re.M)]
    assert numbers == sorted(numbers) and len(numbers) >= 2
    rest = at(demo.control_socket, "GET", "/v1/events?follow=0", headers={"Last-Event-ID": str(numbers[0])}).text
    assert [int(n) for n in re.findall(r"^id: (\d+)$", rest, re.M)][:len(numbers) - 1] == numbers[1:]
    assert demo.control("/v1/events?follow=0&since=1h").text.startswith("id: 1\n")
    assert demo.control("/v1/events?follow=0&since=x").status == 422
    assert demo.control("/v1/events?follow=0&types=weather").status == 422


def test_events_of_some_types_and_tasks_only_on_demand(demo):
    from test_task import task

    assert demo.post("/v1/task", task()).status == 200
    plain = demo.control("/v1/events?follow=0").text
    assert "event: task_" not in plain
    tasks = demo.control("/v1/events?follow=0&types=task").text
    assert re.findall(r"^event: (\w+)$", tasks, re.M) == ["task_started", "task_ended"]
    documents = [json.loads(line[6:]) for line in tasks.splitlines() if line.startswith("data: ")]
    assert documents[1]["status"] == 200 and documents[0]["task_id"] == documents[1]["task_id"]
    assert "event: task_ended" in demo.control("/v1/events?follow=0&tasks=1").text


def test_iicpctl_events(demo, iicpctl):
    from test_task import task

    demo.post("/v1/task", task())
    demo_post(demo, "/v1/drain")
    text = iicpctl(demo, "events").stdout
    assert "drain_start" in text and "task_ended" not in text
    assert "task_ended" in iicpctl(demo, "events", "--tasks").stdout
    assert text.count("drain_start") == 1 and len(text.splitlines()) == demo.control("/v1/events?follow=0").text.count("data: ")
    documents = [json.loads(line) for line in iicpctl(demo, "--json", "events", "--type", "node").stdout.splitlines()]
    assert documents and {d["type"] for d in documents} == {"node"}
    for wrong in (("--type", "weather"), ("--since", "never"), ("--nonsense",), ("word",)):
        assert iicpctl(demo, "events", *wrong).returncode == 2, wrong


# ---- the manual ----


def test_OX_25_examples_of_the_manual_work(demo, need):
    need("curl")
    text = (TREE / "docs/iicpd-control.7").read_text()
    lines = re.findall(r"^curl .*$", text, re.M)
    assert len(lines) >= 8
    for line in lines:
        command = line.replace("\\e", "\\").replace("/run/iicpd/control.sock", str(demo.control_socket))
        result = subprocess.run(["sh", "-c", command + " -f"], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, (line, result.stderr)
        assert result.stdout.startswith("{" if "events" not in line else "id: "), line


def test_the_plain_task_of_the_manual_works(demo, need):
    need("curl")
    text = (TREE / "docs/iicpd.8").read_text().split(".Ss Tasks\n")[1]
    command = text.split(".Bd -literal\n")[1].split(".Ed\n")[0].replace("\\e\n", "\\\n")
    command = command.replace("http://localhost:9484", demo.url)
    result = subprocess.run(["sh", "-c", command.rstrip() + " -sS -f"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["status"] == "success"


def test_every_resource_is_in_the_manual(demo):
    text = (TREE / "docs/iicpd-control.7").read_text()
    for row in demo.control("/v1").json()["resources"]:
        path = row["path"]
        shown = [path.replace("*", word) for word in ("ID", "NAME", "KEY")]
        assert any(re.search(rf"(Pa|,) {re.escape(p)}( ,|$)", text, re.M) for p in shown), path
