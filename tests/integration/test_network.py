# SPDX-License-Identifier: Apache-2.0
"""Addresses come and go: directory, backend and node in a network name space of their own."""

import json
import os
import subprocess
import sys

import pytest

from conftest import wait_until

FIRST, SECOND = "93.184.215.14", "93.184.215.15"  # public, and of nobody in here


@pytest.fixture(scope="module")
def space():
    """Words that run a command in the name space; it is gone with its last process."""
    user = [] if os.geteuid() == 0 else ["-r"]
    try:
        holder = subprocess.Popen(["unshare", *user, "-n", sys.executable, "-c",
                                   "print('there', flush=True); import sys; sys.stdin.read()"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if holder.stdout.readline() != "there\n":
        holder.wait()
        pytest.skip("no network name space can be made here")
    words = ["nsenter", "-t", str(holder.pid), *(["-U", "--preserve-credentials"] if user else []), "-n", "--"]
    try:
        for line in ("link set lo up", "link add wan type veth peer name far", "link set far up", "link set wan up"):
            done = subprocess.run([*words, "ip", *line.split()], capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"ip {line}: {done.stderr.strip()}")
        yield words
    finally:
        holder.stdin.close()
        holder.wait(10)


@pytest.fixture
def ip(space):
    def run(*words):
        subprocess.run([*space, "ip", *words], check=True)

    run("address", "flush", "dev", "wan")
    return run


@pytest.fixture
def run_prefix(space):
    return tuple(space)


@pytest.fixture
def ask(space):
    """Asks the lab directory from inside."""
    def run(lab, method, path, body=None):
        code = ("import json, sys, urllib.request as u\n"
                "method, url, body = json.load(sys.stdin)\n"
                "r = u.Request(url, json.dumps(body).encode() if body is not None else None, "
                "{'Content-Type': 'application/json'}, method=method)\n"
                "o = u.build_opener(u.ProxyHandler({}))\n"
                "print(o.open(r, timeout=60).read().decode())")
        done = subprocess.run([*space, sys.executable, "-c", code], text=True, capture_output=True,
                              input=json.dumps([method, f"http://{lab.host}:{lab.port}{path}", body]))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def quick(lab, ask):
    ask(lab, "POST", "/lab/settings", {"next_heartbeat_ms": 5000})
    return lab


def asked(ask, lab, route, least=1, wait=40):
    seen = ask(lab, "GET", f"/lab/requests?route={route}&min={least}&wait={wait}")["requests"]
    assert len(seen) >= least, f"{route}: {len(seen)} of {least}"
    return seen


def start(node_factory, lab, backend, **keys):
    return node_factory(lab=lab, backend=backend, listen__address="0.0.0.0", nat__allow_private="no", **keys)


def test_IICPD_04_34_a_new_address_is_registered(space, ip, ask, quick, node_factory, backend):
    ip("address", "add", f"{FIRST}/32", "dev", "wan")
    node = start(node_factory, quick, backend)
    first = asked(ask, quick, "register")[0]
    assert first["body"]["endpoint"].startswith(f"http://{FIRST}:")
    asked(ask, quick, "heartbeat")
    ip("address", "add", f"{SECOND}/32", "dev", "wan")
    ip("address", "del", f"{FIRST}/32", "dev", "wan")
    second = asked(ask, quick, "register", 2)[1]
    assert second["body"]["endpoint"].startswith(f"http://{SECOND}:")
    assert second["body"]["current_node_token"] == first["answer"]["node_token"]
    assert second["body"]["node_id"] == first["body"]["node_id"]
    node.await_log("this machine has another address")


def test_IICPD_04_34_the_same_address_again_registers_nothing(space, ip, ask, quick, node_factory, backend):
    ip("address", "add", f"{FIRST}/32", "dev", "wan")
    node = start(node_factory, quick, backend)
    asked(ask, quick, "heartbeat")
    ip("address", "add", "10.7.7.7/24", "dev", "wan")  # private: of no interest
    beats = len(asked(ask, quick, "heartbeat"))
    asked(ask, quick, "heartbeat", beats + 3)
    assert len(asked(ask, quick, "register")) == 1
    assert node.status()["directory"]["registrations"] == 1


def test_IICPD_01_78_without_address_not_available_then_back(space, ip, ask, quick, node_factory, backend):
    ip("address", "add", f"{FIRST}/32", "dev", "wan")
    node = start(node_factory, quick, backend)
    asked(ask, quick, "heartbeat")
    ip("address", "del", f"{FIRST}/32", "dev", "wan")
    wait_until(lambda: asked(ask, quick, "heartbeat")[-1]["body"]["available"] is False, 40, "told")
    assert asked(ask, quick, "heartbeat")[-1]["body"].get("recovery_state") in ("endpoint_dead", "operator_action_needed")
    assert node.status()["state"] == "not ready"
    ip("address", "add", f"{FIRST}/32", "dev", "wan")
    wait_until(lambda: asked(ask, quick, "heartbeat")[-1]["body"]["available"] is True, 40, "back")
    assert len(asked(ask, quick, "register")) == 1  # the same route: nothing to register
    assert node.running()


def test_IICPD_01_97_supervised_restart_ends_with_76_after_the_last_beat(space, ip, ask, quick, node_factory, backend):
    ip("address", "add", f"{FIRST}/32", "dev", "wan")
    node = start(node_factory, quick, backend, recovery__grace=1, recovery__every=1, recovery__supervised="yes")
    asked(ask, quick, "heartbeat")
    ip("address", "del", f"{FIRST}/32", "dev", "wan")
    assert node.wait() == 76
    node.expect_exit = 76
    assert "recovery: supervisor_restart_pending" in node.log_text()
    assert "stopping on recovery" in node.log_text()
    assert asked(ask, quick, "heartbeat")[-1]["body"]["available"] is False
    assert not ask(quick, "GET", "/lab/requests?route=deregister")["requests"]
    kept = json.loads((node.state_dir / "identity.json").read_text())
    assert sum(1 for at in kept["restarts"] if at) == 1


def test_IICPD_01_97_unsupervised_goes_on_serving(space, ip, ask, quick, node_factory, backend):
    ip("address", "add", f"{FIRST}/32", "dev", "wan")
    node = start(node_factory, quick, backend, recovery__grace=1, recovery__every=1)
    asked(ask, quick, "heartbeat")
    ip("address", "del", f"{FIRST}/32", "dev", "wan")
    node.await_log("recovery: operator_action_needed", 60)
    beats = len(asked(ask, quick, "heartbeat"))
    asked(ask, quick, "heartbeat", beats + 2)
    assert node.running()
    assert node.log_text().count("recovery: operator_action_needed") == 1
