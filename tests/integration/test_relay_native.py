# SPDX-License-Identifier: Apache-2.0
"""The relay operator on its accept port, with native workers. [03 sections 12, 13, 16, 17]"""

import json
import re
import signal
import socket
import ssl
import threading

import pytest

from conftest import free_port, wait_until
from longpoll import Later, raw_task, task_for, worker
from native import CHAT, RESPONSE, dumps
from relaynative import bind, dial, native_worker
from test_tls import certificate

TASK = {"task_id": "t-1", "intent": CHAT, "payload": {"messages": [{"role": "user", "content": "SECRET-PROMPT"}]}}


@pytest.fixture
def operator(node_factory):
    def make(**keys):
        port = free_port()
        node = node_factory(relay__operator="yes", relay__port=port, **keys)
        node.relay_port = port
        return node

    return make


def echo(task):
    return json.dumps({"result": {"echo": json.loads(task)["task_id"], "text": "SECRET-RESULT"}}).encode()


def test_IICPD_03_39_IICPD_03_40_native_and_long_poll_in_one_table(operator):
    node = operator()
    with native_worker(node, node.relay_port, "w-native", echo), \
         worker(node, "w-poll", lambda task: {"result": {"echo": task["task_id"]}}):
        for name in ("w-native", "w-poll"):
            answer = task_for(node, name, TASK)
            assert answer.status == 200, answer
            body = answer.json()
            assert body["task_id"] == "t-1" and body["status"] == "completed" and body["generated_by_ai"] is True
            assert body["result"]["echo"] == "t-1"
        # transports count together: neither is displaced by the other
        assert node.post("/v1/relay/bind", {"worker_id": "w-native"}).status == 409
        with dial(node, node.relay_port) as other:
            assert bind(other, "w-poll") == {1: "error", 2: "w-poll", 3: "worker_id already bound to an alive session"}
            assert other.rest() == b""
        health = node.get("/v1/relay-for/w-native/iicp/health").json()
        assert health == {"status": "ok", "node_id": "w-native", "via_relay": True, "models": ["m1"]}
    wait_until(lambda: node.get("/v1/relay-for/w-native/iicp/health").status == 404, what="the session is gone")


def test_CX_03_IICPD_03_40_bytes_and_headers_travel_as_they_are(operator):
    node = operator()
    body = b'{ "task_id":"x", "iicp_conf":{"encrypted_body":"A\\/=","n":1e2} , "z":1.50 }'
    with native_worker(node, node.relay_port, "w", lambda task: b'{"status":"encrypted","iicp_conf_resp":{"b":1.0e1}}') as w:
        answer = raw_task(node, "/v1/relay-for/w/v1/task", body, {
            "X-IICP-Consumer-Token": "consumer.token", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert answer.status == 200, answer
    assert w.calls[0][5] == body
    assert w.calls[0][11] == "consumer.token"
    assert w.calls[0][13].hex() == "0af7651916cd43dd8448eb211c80319c" and w.calls[0][14].hex() == "b7ad6b7169203331"
    assert answer.body == b'{"task_id":"x","status":"encrypted","iicp_conf_resp":{"b":1.0e1},"generated_by_ai":true}'


def test_IICPD_03_42_many_at_once_and_none_is_crossed(operator):
    node = operator()
    waiting, lock = [], threading.Lock()

    def hold(task):
        with lock:
            waiting.append(json.loads(task)["task_id"])

    with native_worker(node, node.relay_port, "w", hold) as w:
        later = [Later(task_for, node, "w", {**TASK, "task_id": f"t-{i}"}) for i in range(20)]
        wait_until(lambda: len(waiting) == 20, what="all calls are there")
        for call in reversed(list(w.calls)):
            w.send(RESPONSE, dumps({5: echo(call[5]), 15: call[15]}))
        for i, one in enumerate(later):
            body = one.get().json()
            assert body["task_id"] == f"t-{i}" and body["result"]["echo"] == f"t-{i}"


def test_IICPD_03_42_IICPD_03_49_a_killed_worker_fails_its_tasks_at_once(operator):
    node = operator()
    w = native_worker(node, node.relay_port, "w", lambda task: None)
    with w as bound:
        later = [Later(task_for, node, "w", TASK) for _ in range(3)]
        wait_until(lambda: len(bound.calls) == 3, what="the calls are there")
        bound.conn.s.shutdown(2)
        for one in later:
            answer = one.get()
            assert answer.status == 502, answer
            assert answer.json()["error"]["code"] == "IICP-E031"
            assert answer.json()["error"]["message"].startswith("relay session forward failed:")
    # the same worker is welcome again
    with native_worker(node, node.relay_port, "w", echo):
        assert task_for(node, "w", TASK).status == 200


def test_SEC_PRIV_03_DIR_RELAY_04_logs_say_nothing_of_tasks_and_addresses(operator):
    node = operator(log__level="debug")
    ticket = "SECRET-TICKET.00"
    with native_worker(node, node.relay_port, "w", echo):
        assert task_for(node, "w", TASK).status == 200
        with dial(node, node.relay_port) as faulty:
            bind(faulty, "w2", _4=ticket)
            faulty.send(0xF3, b"SECRET-FRAME")
            faulty.rest()
        node.await_log(r"relay_fault relay connection of source [0-9a-f]{8} closed: unsupported_extension")
        with native_worker(node, node.relay_port, "w3", lambda task: b"SECRET-NO-JSON"):
            assert task_for(node, "w3", TASK).status == 502
    text = node.log_text()
    assert "relay_session worker w bound" in text
    assert "SECRET" not in text
    lines = [line for line in text.splitlines() if re.search(r" relay_\w+ | sessions?_\w+ ", line)]
    assert lines and not [line for line in lines if re.search(r"127\.0\.0\.1|::1", line)]


def test_IICPD_03_02_IICPD_03_40_tls_first_and_plain_only_when_allowed(operator, tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    node = operator(ready=False, listen__tls_cert=f"file:{cert}", listen__tls_key=f"file:{key}")
    node.await_log(r"relay_plaintext port \d+ takes workers in clear")
    with dial(node, node.relay_port, context.wrap_socket) as secure, dial(node, node.relay_port) as plain:
        assert secure.s.version() == "TLSv1.3"
        assert bind(secure, "w-tls")[1] == "ok" and bind(plain, "w-plain")[1] == "ok"
    strict = operator(ready=False, listen__tls_cert=f"file:{cert}", listen__tls_key=f"file:{key}", relay__plaintext="no")
    strict.await_log(r"relay_open relay: workers may dial port \d+ \(TLS\)")
    with dial(strict, strict.relay_port, context.wrap_socket) as secure:
        assert bind(secure, "w-tls")[1] == "ok"
    with pytest.raises((EOFError, OSError)):
        dial(strict, strict.relay_port)
    assert "relay_plaintext" not in strict.log_text()


def test_IICPD_03_40_a_worker_that_tries_tls_at_a_plain_port_is_no_fault(operator, iicpctl):
    node = operator(log__level="debug")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", node.relay_port), timeout=60) as s, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(s)
    node.await_log("relay_no_tls a connection that began with TLS is closed")
    assert node.metric("iicp_connections_refused_total", reason="no_tls") == 1
    assert "relay_fault" not in node.log_text()
    with dial(node, node.relay_port) as plain:
        assert bind(plain, "w-plain")[1] == "ok"
    with socket.create_connection(("127.0.0.1", node.relay_port), timeout=60) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        node.await_log("relay_fault .* bad_magic")
    said = iicpctl(node, "explain", "bad_magic")
    assert said.returncode == 0 and "another protocol" in said.stdout


def test_IICPD_03_02_no_tls_and_no_plaintext_is_no_port(operator):
    node = operator(relay__plaintext="no")
    node.await_log("relay_closed the relay port is not opened")
    with pytest.raises(OSError):
        dial(node, node.relay_port)
    # long-poll stays
    assert node.post("/v1/relay/bind", {"worker_id": "w"}).status == 200


def test_DIR_RELAY_03_IICPD_03_55_required_without_a_key_admits_nobody(operator):
    node = operator(relay__tickets="required")
    with dial(node, node.relay_port) as c:
        assert bind(c, "w", _4="a.b")[3] == "relay bind ticket required"
        assert c.rest() == b""
    with dial(node, node.relay_port) as c:
        assert bind(c, "w")[3] == "relay bind ticket required"


def test_DIR_RELAY_02_bind_rate_of_a_source(operator):
    node = operator(relay__bind_rate=2)
    for i in range(2):
        with dial(node, node.relay_port) as c:
            assert bind(c, f"w-{i}")[1] == "ok"
    with dial(node, node.relay_port) as c:
        assert bind(c, "w-2")[3] == "relay_bind_rate_limited"
    assert node.post("/v1/relay/bind", {"worker_id": "w-3"}).status == 429  # counted together


def test_IICPD_03_42_stopping_lets_tasks_end_and_says_goodbye(operator):
    node = operator()
    held = threading.Event()

    def slow(task):
        held.wait(60)
        return echo(task)

    with native_worker(node, node.relay_port, "w", slow) as w:
        later = Later(task_for, node, "w", TASK)
        wait_until(lambda: w.calls, what="the call is there")
        node.popen.send_signal(signal.SIGTERM)
        node.await_log("stop_start")
        held.set()
        assert later.get().status == 200
        wait_until(lambda: w.closed, what="the goodbye")
        assert w.closed == "graceful"
        assert node.popen.wait(60) == 0
