# SPDX-License-Identifier: Apache-2.0
"""Clocks that are set, machines that sleep, addresses that come and go: the built daemon on driven time, in
a time name space and in a network name space."""

import os
import shutil
import signal
import subprocess

import pytest

from conftest import Node, clean_environment, wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"
PUBLIC = ("20.20.20.20", "20.20.20.21")  # only inside the name space


def violations(w):
    return w.lab.get("/lab/violations").json()["violations"]


def identity(w):
    return {n["node_id"] for n in w.lab.get("/lab/nodes").json()["nodes"]}


@pytest.mark.parametrize("seconds", [86400 * 400, -86400 * 400, 3600, -3600, 90, -90])
def test_the_wall_clock_may_be_set_back_and_forth(driven, seconds):
    w = driven()
    w.registered()
    who, before = identity(w), len(w.asked("heartbeat"))
    w.warp.step_wall(seconds)
    w.advance(65)
    step = w.node.status()["clock"]["step_s"]
    assert abs(step - seconds) <= 1
    w.warp.step_wall(0)
    w.advance(65)
    assert abs(w.node.status()["clock"]["step_s"] + seconds) <= 1
    assert 3 <= len(w.asked("heartbeat")) - before <= 6
    assert len(w.asked("register")) == 1 and identity(w) == who
    assert violations(w) == [] and w.node.status()["directory"]["registered"]
    assert " clock_stepped " in w.node.log_text()


def test_IICPD_01_68_after_sleep_a_heartbeat_comes_first(driven):
    w = driven()
    w.registered()
    w.advance(60)
    w.warp.suspend(7200)
    n = w.lab.get("/lab/requests").json()["requests"][-1]["n"]
    w.until(lambda: w.lab.get(f"/lab/requests?after={n}&route=heartbeat").json()["requests"], 40, "a heartbeat")
    first = w.lab.get(f"/lab/requests?after={n}").json()["requests"][0]
    assert first["route"] == "heartbeat" and first["status"] == 200
    w.advance(90)
    assert len(w.asked("register")) == 1  # the route has not changed
    assert violations(w) == []
    assert "woke" in w.node.log_text()


def test_a_short_nap_is_no_event(driven):
    w = driven()
    w.registered()
    w.warp.suspend(3)
    w.advance(65)
    assert len(w.asked("register")) == 1 and violations(w) == []


def test_a_stopped_process_wakes_like_a_machine(driven):
    """SIGSTOP for minutes, as a debugger or a freezer of a container does it."""
    w = driven()
    w.registered()
    w.node.signal(signal.SIGSTOP)
    w.warp.forget(w.node.pid)
    w.advance(300)
    assert not w.lab.get("/lab/nodes").json()["nodes"][0]["visible"]
    w.node.signal(signal.SIGCONT)
    w.warp.watch(w.node.pid)
    w.until(lambda: w.lab.get("/lab/nodes").json()["nodes"][0]["visible"], 60, "listed again")
    assert len(w.asked("register")) == 1 and violations(w) == []


@pytest.mark.parametrize("fault", ["all-500", "beat-502-html", "beat-403"])
def test_a_directory_that_refuses_for_minutes_gets_no_more_heartbeats(driven, fault):
    w = driven()
    w.registered()
    w.lab.post("/lab/faults", {"name": fault, "for_s": 260})
    w.advance(400)
    assert violations(w) == []
    assert w.lab.get("/lab/nodes").json()["nodes"][0]["visible"]


def test_a_register_without_an_answer_is_not_sent_again_at_once(driven):
    """On a kept connection that ends, HTTP clients send once more by themselves; 5 s are between two REGISTERs."""
    w = driven()
    w.registered()
    w.lab.post("/lab/faults", {"name": "forgotten"})
    w.lab.post("/lab/faults", {"name": "register-cut"})
    w.until(lambda: len(w.asked("register")) == 3, 90, "registered again")
    assert violations(w) == []


@pytest.mark.real
def test_an_hour_without_a_directory_stops_no_task(driven):
    w = driven(lab=("--control",), log__level="debug")
    w.registered()
    w.lab.post("/lab/faults", {"name": "down-1h"})
    for i in range(12):
        w.advance(290)
        answer = w.node.post("/v1/task", {"task_id": f"00000000-0000-4000-8000-{i:012x}", "intent": CHAT,
                                          "payload": {"messages": [{"role": "user", "content": "x"}]}})
        assert answer.status == 200, answer.text + w.node.log_text()[-2000:]
    assert w.node.status()["directory"]["state"] == "unavailable"
    w.advance(200)
    listed, = w.lab.get("/lab/nodes").json()["nodes"]
    assert listed["visible"] and listed["counted"] == {"tasks_success": 12, "tasks_failed": 0}
    assert len(w.asked("register")) == 1 and violations(w) == []


# ---- the kernel's own name spaces ----


def test_a_time_name_space_changes_nothing(node_factory, lab, backend):
    """Another offset of CLOCK_BOOTTIME than of CLOCK_MONOTONIC, as after a long sleep before the start."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    words = ["unshare", "--time", "--fork", "--monotonic", "1000", "--boottime", "5000000"]
    try:
        done = subprocess.run([*words, "true"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no time name space: {error}")
    if done.returncode:
        pytest.skip(f"no time name space here: {done.stderr.strip()}")
    words.insert(3, "--kill-child=SIGTERM")
    node = node_factory(lab=lab, backend=backend, ready=False)
    node.expect_exit = None
    node.kill()
    inside = Node(node.folder, "inside", node.config, prefix=words, ready=False)
    try:
        inside.await_ready()
        seen = lab.get("/lab/requests?route=heartbeat&min=1&wait=20").json()["requests"]
        assert seen and seen[-1]["status"] == 200
        assert " woke " not in inside.log_text() and " clock_stepped " not in inside.log_text()
    finally:
        inside.kill()


@pytest.fixture
def place():
    """A network name space with PUBLIC[0] on an interface of its own; words to enter it."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("unshare, nsenter and ip are needed")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    holder = subprocess.Popen(
        ["unshare", *user, "--net", "sh", "-c",
         "ip link set lo up && ip link add wan type veth peer name far && ip link set far up && ip link set wan up && "
         f"ip addr add {PUBLIC[0]}/24 dev wan && ip route add default dev wan && echo up && exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if holder.stdout.readline() != b"up\n":
        pytest.skip(f"no network name space here: {holder.communicate()[1].decode().strip()}")
    enter = ["--user", "--preserve-credentials"] if user else []
    yield ("nsenter", "--target", str(holder.pid), "--net", *enter, "--")
    holder.communicate()


@pytest.fixture
def run_prefix(request):
    return request.getfixturevalue("place") if "place" in request.fixturenames else ()


def test_an_address_comes_and_goes(place, lab_factory, backend, node_factory):
    def ip(*words):
        subprocess.run([*place, "ip", *words], check=True, timeout=20, capture_output=True)

    def lab_get(path):
        done = subprocess.run([*place, "python3", "-c", "import sys, urllib.request as u; "
                               "print(u.urlopen(sys.argv[1], timeout=30).read().decode())",
                               lab.url.removesuffix("/api") + path], capture_output=True, text=True, timeout=60,
                              env=clean_environment())
        import json
        return json.loads(done.stdout)

    lab = lab_factory("--no-limits")
    node = node_factory(lab=lab, backend=backend, listen__address="0.0.0.0", nat__allow_private=None)
    endpoints = lambda: [r["body"]["endpoint"] for r in lab_get("/lab/requests?route=register")["requests"]  # noqa: E731
                         if r["status"] == 201]
    wait_until(lambda: endpoints() == [f"http://{PUBLIC[0]}:{node.port}"], 40, "registered with the first address",
               node.popen)
    ip("addr", "add", f"{PUBLIC[1]}/24", "dev", "wan")
    ip("addr", "del", f"{PUBLIC[0]}/24", "dev", "wan")
    # the kernel drops secondary addresses of the same net together with the first one
    ip("addr", "replace", f"{PUBLIC[1]}/24", "dev", "wan")
    ip("route", "replace", "default", "dev", "wan")
    wait_until(lambda: endpoints()[-1] == f"http://{PUBLIC[1]}:{node.port}", 60, "registered with the second address",
               node.popen)
    ids = {r["body"]["node_id"] for r in lab_get("/lab/requests?route=register")["requests"]}
    assert len(ids) == 1
    node.await_log("route_changed")
