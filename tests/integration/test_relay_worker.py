# SPDX-License-Identifier: Apache-2.0
"""The relay worker against the strict relay of the laboratory (tests/lab/relay.py): bind, tasks, loss and return,
tickets, long-poll, and what the directory hears. [03 sections 13, 14, 18, 19]"""

import json
import socket
import sys
import uuid

import pytest

import native
from conftest import LAB, Server, clean_environment, wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"
LONG_S = 60


class Relay(Server):
    def state(self):
        return self.get("/lab/state").json()

    def set(self, **values):
        assert self.post("/lab/set", values).status == 200

    @property
    def native_port(self):
        return self.state()["native_port"]

    def await_state(self, good, what="the relay's state", timeout=LONG_S):
        return wait_until(lambda: (lambda s: s if good(s) else None)(self.state()), timeout, f"{what}: {self.state()}", self.popen)

    def task(self, node_id, body=None, headers=None):
        return self.post(f"/v1/relay-for/{node_id}/v1/task", body or task(), headers)


def task(content="hello", **more):
    return {"task_id": str(uuid.uuid4()), "intent": CHAT, "payload": {"messages": [{"role": "user", "content": content}]}, **more}


@pytest.fixture
def relay_factory(tmp_path, run_prefix):
    made = []

    def make(*args):
        r = Relay([sys.executable, LAB / "relay.py", *args], tmp_path, f"relay{len(made)}", clean_environment(), run_prefix)
        made.append(r)
        return r

    yield make
    for r in made:
        faults = r.state()["faults"] if r.running() else []
        r.kill()
        assert not faults, faults


@pytest.fixture
def relay(relay_factory):
    return relay_factory()


def relays(node):
    return node.control("/v1/relays").json()


def await_bound(node, timeout=LONG_S):
    return wait_until(lambda: (lambda r: r if r["state"] == "bound" else None)(relays(node)), timeout, "bound", node.popen)


def await_registered(node):
    wait_until(lambda: node.status()["directory"]["state"] == "registered", LONG_S, "registered", node.popen)


def worker(node_factory, lab, backend, relay, **keys):
    keys.setdefault("relay__worker", f"127.0.0.1:{relay.native_port}")
    return node_factory(lab=lab, backend=backend, **keys)


def node_id(node):
    return node.status()["node"]["node_id"]


def registered(lab, who):
    return [r["body"] for r in lab.get("/lab/requests?route=register").json()["requests"] if r["body"]["node_id"] == who]


def test_IICPD_03_56_IICPD_03_59_bound_without_token_then_registered_through_it(node_factory, lab, backend, relay):
    node = worker(node_factory, lab, backend, relay)
    await_bound(node)
    await_registered(node)
    who, state = node_id(node), relay.state()
    assert state["binds"][0]["ticket"] is False, "the first bind of a node without a token has no ticket"
    assert state["binds"][0]["profiles"] == ["urn:iicp:profile:service-lifecycle:v1"]
    body = registered(lab, who)[-1]
    assert body["endpoint"] == f"http://127.0.0.1:{relay.port}/v1/relay-for/{who}"
    assert body["transport_method"] == "turn_relay" and body["exposure_mode"] == "relay_required"
    assert body["nat_type"] == "unknown" and "transport_endpoint" not in body and not body.get("relay_capable")
    assert body["transport_metadata"] == {"tier": 3, "relay_for": who, "relay_host": "127.0.0.1", "relay_port": relay.port,
                                          "relay_endpoint": f"http://127.0.0.1:{relay.port}"}
    assert not lab.get("/lab/requests?route=deregister").json()["requests"]
    answer = relay.task(who).json()
    assert answer["status"] == "success" and answer["generated_by_ai"] is True, answer
    assert answer["result"]["choices"]
    assert node.metric("iicp_relay_bound") == 1
    assert "it can read tasks that are not encrypted" in node.log_text()
    assert "relay_plain" in node.log_text()


def test_IICPD_03_43_errors_pings_and_many_at_once(node_factory, lab, backend, relay):
    node = worker(node_factory, lab, backend, relay, limits__max_concurrent=2)
    await_bound(node)
    who = node_id(node)
    wrong = task()
    del wrong["payload"]
    answer = relay.task(who, wrong).json()
    assert answer["status"] == "error" and answer["task_id"] == wrong["task_id"]
    assert answer["error"]["code"] == "validation_error" and answer["error"]["message"]
    relay.post("/lab/ping", {})
    relay.await_state(lambda s: s["pongs"] == 1)
    # what the relay passes along beside the task
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    good = relay.task(who, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-IICP-Consumer-Token": "x.y"})
    assert good.json()["status"] == "success"


def test_IICPD_03_60_a_loss_is_told_and_the_same_relay_needs_no_register(node_factory, lab, backend, relay):
    node = worker(node_factory, lab, backend, relay)
    await_bound(node)
    await_registered(node)
    who = node_id(node)
    count = len(registered(lab, who))
    relay.set(refuse="no")  # a reason that nobody knows: the worker keeps trying
    relay.post("/lab/kick", {})
    node.await_log("relay_lost", LONG_S)

    def last():
        beats = lab.get("/lab/requests?route=heartbeat").json()["requests"]
        return beats[-1]["body"] if beats else {}
    told = wait_until(lambda: (lambda b: b if b.get("available") is False else None)(last()), LONG_S, "available false", node.popen)
    assert told["recovery_state"] == "tunnel_starting" and told["route_recovery_hint"] == "relay_lost" and "status" not in told
    assert node.metric("iicp_relay_bound") == 0
    relay.set(refuse=None)
    await_bound(node)
    wait_until(lambda: last().get("available") is True, LONG_S, "available true", node.popen)
    assert len(registered(lab, who)) == count, "the same relay again needs no REGISTER"
    assert relay.task(who).json()["status"] == "success"


def test_OX_1_a_fixed_relay_that_is_down_is_named(node_factory, lab, backend, relay, iicpctl):
    where = f"127.0.0.1:{relay.native_port}"
    node = worker(node_factory, lab, backend, relay)
    await_bound(node)
    await_registered(node)
    relay.kill()
    wanted = f"relay {where} cannot be reached"
    status = wait_until(lambda: (lambda s: s if s["sentence"] == wanted else None)(node.status()), LONG_S, wanted, node.popen)
    assert status["state"] == "not ready" and "relay.worker names" in status["why"] and "start that relay" in status["do"]
    causes = {f["id"]: f["caused_by"] for f in status["findings"]}
    assert causes["route.no_relay"] is None and causes["route.none"] == "route.no_relay", causes
    shown = iicpctl(node, "status")
    assert shown.returncode == 11
    assert shown.stdout.splitlines()[0].startswith("● iicpd NOT READY") and shown.stdout.splitlines()[0].endswith(": " + wanted)
    assert "a tunnel" not in shown.stdout and "none with room" not in shown.stdout, shown.stdout


def test_IICPD_03_54_tickets_by_the_current_token(node_factory, lab, backend, relay_factory):
    relay = relay_factory("--tickets", "soft")
    lab.post("/lab/settings", {"directory_key": "one"})
    node = worker(node_factory, lab, backend, relay)
    await_bound(node)
    await_registered(node)
    relay.post("/lab/kick", {})
    binds = relay.await_state(lambda s: len(s["binds"]) >= 2)["binds"]
    assert binds[1]["ticket"] is True and binds[1]["aud"] == "*", binds
    await_bound(node)
    relay.post("/lab/kick", {})
    relay.await_state(lambda s: len(s["binds"]) >= 3 and s["binds"][2]["ticket"])
    await_bound(node)  # a used ticket would have been refused
    tickets = lab.get("/lab/requests?route=relay-ticket").json()["requests"]
    assert len(tickets) == 2, "one for each bind"


def test_IICPD_03_58_IICPD_03_59_long_poll(node_factory, lab, backend, relay_factory):
    relay = relay_factory("--no-native", "--park", "1")
    node = worker(node_factory, lab, backend, relay, relay__worker=relay.url + "/")
    await_bound(node)
    await_registered(node)
    who = node_id(node)
    body = registered(lab, who)[-1]
    assert body["endpoint"] == f"{relay.url}/v1/relay-for/{who}"
    assert body["transport_metadata"]["relay_transport"] == "http-poll"
    for _ in range(3):
        assert relay.task(who).json()["status"] == "success"
    wrong = task(intent="urn:iicp:intent:none:such:v1")
    assert relay.task(who, wrong).json()["error"]["code"]
    relay.await_state(lambda s: s["pulls"] >= 6, "204 and pull again")
    # a session that the relay has lost: bind again
    relay.post("/lab/kick", {})
    relay.await_state(lambda s: len(s["binds"]) >= 2)
    await_bound(node)
    assert relay.task(who).json()["status"] == "success"
    assert node.stop() == 0
    assert {"unbind": who} in relay.state()["events"]


def test_IICPD_03_58_pulls_fail_and_come_back(node_factory, lab, backend, relay_factory):
    relay = relay_factory("--no-native", "--park", "1")
    node = worker(node_factory, lab, backend, relay, relay__worker=relay.url)
    await_bound(node)
    await_registered(node)
    relay.set(silent="pull")
    wait_until(lambda: not node.metric("iicp_relay_bound"), LONG_S, "not bound", node.popen)
    relay.set(silent=None)
    wait_until(lambda: node.metric("iicp_relay_bound"), LONG_S, "bound again", node.popen)
    assert len(relay.state()["binds"]) == 1, "the session itself was good"
    assert relay.task(node_id(node)).json()["status"] == "success"


def test_IICPD_03_57_stop_closes_the_session(node_factory, lab, backend, relay):
    node = worker(node_factory, lab, backend, relay)
    await_bound(node)
    assert node.stop() == 0
    relay.await_state(lambda s: {"close": "graceful"} in s["events"])


def test_IICPD_03_57_streams_are_answered_as_lifecycle(node_factory, lab, backend, relay):
    node = worker(node_factory, lab, backend, relay)
    await_bound(node)
    who, task_id = node_id(node), str(uuid.uuid4())
    body = task(task_id=task_id, idempotency_key=task_id)
    body["constraints"] = {"required_profiles": ["urn:iicp:profile:service-lifecycle:v1"]}
    relay.post("/lab/stream", {"worker_id": who, "session_id": "s-1", "task_id": task_id, "task": body})
    events = [e["stream"] for e in relay.state()["events"] if "stream" in e]
    assert events and events[-1]["12"] is True and events[-1]["4"] == "success", json.dumps(events)


@pytest.mark.parametrize("ack", [{1: 1}, {1: 1, 2: "relay-1"}, {1: 1, 2: "relay-1", 3: [], 5: 16777216}], ids=["relay", "task", "ours"])
def test_IICPD_03_04_IICPD_03_18_INIT_in_one_write_and_both_forms_of_ACK(node_factory, lab, backend, ack):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LONG_S)
        node = node_factory(lab=lab, backend=backend, relay__worker=f"127.0.0.1:{server.getsockname()[1]}")
        while True:
            conn, _ = server.accept()
            conn.settimeout(LONG_S)
            first = conn.recv(65536)  # one write is one piece on loopback
            if first[:4] == b"IICP":
                break
            conn.close()  # TLS comes first
        with conn:
            assert first == native.frame(native.INIT, {1: 1, 2: 1, 5: []})
            conn.sendall(native.frame(native.ACK, ack))
            bind = conn.recv(65536)
            assert bind[5] == 0x0b and len(bind) == 12 + int.from_bytes(bind[8:12], "big")
            assert native.loads(bind[12:])[1] == node_id(node)
