# SPDX-License-Identifier: Apache-2.0
"""The relay operator over HTTP: long-poll workers, consumers, forwarding. [03 sections 14 to 17]"""

import json
import re
import socket
import uuid

import pytest

from conftest import TREE, free_port, wait_until
from longpoll import CHAT, Later, bearer, bind, bound, pull, raw_task, result, task_for, worker
from test_http_door import CORS

VECTORS = TREE / "tests" / "vectors" / "relay"
TASK = {"task_id": "t-1", "intent": CHAT, "payload": {"messages": [{"role": "user", "content": "hi"}]},
        "constraints": {"timeout_ms": 30000}}
NO_TOKEN = {"code": "IICP-E021", "message": "invalid or missing relay session token"}
NO_SESSION = {"code": "IICP-E030", "message": "no alive relay session for this worker"}
NO_TARGET = {"code": "IICP-E030", "message": "target not in peer list and not a bound relay worker"}
ALIVE = "worker_id has an alive relay session — rebind rejected"


@pytest.fixture
def operator(node_factory):
    def make(**keys):
        return node_factory(relay__operator="yes", relay__port=free_port(), **keys)

    return make


@pytest.fixture
def relay(operator):
    return operator()


def error(answer):
    return answer.status, answer.json()["error"]


def in_flight(node, worker_id):
    return node.control(f"/v1/sessions/{worker_id}").json()["sessions"][0]["in_flight"]


# ---- what was recorded ----


def same(recorded, answer):
    """Status and meaning; our form differs where 03 section 14 says so."""
    status = int(recorded["status_line"].split()[1])
    assert answer.status == status, answer
    for name, value in CORS.items():
        assert answer.headers[name] == value
    html = any("text/html" in h for h in recorded["headers"])
    if status == 204:
        assert answer.body == b""
    elif html:
        assert answer.json()["error"]["code"] in ("IICP-E001", "not_found")
    else:
        said, wanted = answer.json(), json.loads(recorded["body"])
        for name in ("session_token", "call_id"):
            if name in wanted:
                assert said.pop(name) and wanted.pop(name)
        if wanted.get("error", {}).get("message", "").startswith("relay failed:"):
            assert said["error"].pop("message").startswith("relay failed:") and wanted["error"].pop("message")
        assert said == wanted


def test_IICPD_03_45_exchanges_as_recorded(driven):
    d = driven(relay__operator="yes", relay__port=free_port())
    node, tokens, calls, waiting = d.node, {}, {}, {}
    for x in json.loads((VECTORS / "sdk-exchanges-http-poll.json").read_text())["exchanges"]:
        name, rq, body = x["name"], x["request"], x["request"]["body"]
        if name.startswith("bind_ticket") or name == "relay_fwd_dead":
            continue  # of other configurations
        headers = dict(rq["headers"])
        old = headers.get("Authorization", "").removeprefix("Bearer ")
        if old in tokens:
            headers["Authorization"] = f"Bearer {tokens[old]}"
        if name.startswith("result_ok"):
            body = {**body, "call_id": calls[body["call_id"]]}
        if name.startswith("pull_call"):
            # what was recorded behind it has to wait before it
            name, path, task = {"pull_call": ("task_for", "/v1/relay-for/w-1/v1/task", TASK), "pull_call2": (
                "relay_fwd_bound", "/v1/relay", {"target_node_id": "w-1", "task": {
                    "task_id": "t-2", "intent": CHAT, "payload": {}}})}[name]
            waiting[name] = Later(node.post, path, task)
        if name in waiting and x["name"] == name:
            answer = waiting[name].get()
        elif name == "pull_idle":
            idle = Later(pull, node, headers["Authorization"].removeprefix("Bearer "))
            d.until(idle.done, 40, "an empty pull")
            answer = idle.get()
        elif isinstance(body, str):
            answer = raw_task(node, rq["path"], body.encode(), headers)
        else:
            answer = node.request(rq["method"], rq["path"], body, headers)
        same(x["response"], answer)
        if answer.status == 200 and x["response"]["body"]:
            then = json.loads(x["response"]["body"])
            if "session_token" in then:
                tokens[then["session_token"]] = answer.json()["session_token"]
            if "call_id" in then:
                calls[then["call_id"]] = answer.json()["call_id"]


ADMISSION = [c for c in json.loads((VECTORS / "bind-admission.json").read_text())["cases"]
             if c["config"] in ({"ticket_mode": "soft"}, {"ticket_mode": "hard"}) and
             not set(c["state"]) - {"bound"} and c["state"].get("bound", {}).get("worker-1") != "dead"]


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_IICPD_03_45_bind_admission(operator, mode):
    node = operator(relay__tickets={"soft": "soft", "hard": "required"}[mode])
    cases = [c for c in ADMISSION if c["config"]["ticket_mode"] == mode]
    assert cases
    for c in cases:
        token = None
        if c["state"]:
            token = bound(node, "worker-1")
        answer = node.post("/v1/relay/bind", c["bind"])
        assert answer.status == c["http"]["status"], c["id"]
        if "error" in c["http"]:
            assert c["http"]["error"].items() <= answer.json()["error"].items(), c["id"]
        else:
            assert sorted(answer.json()) == sorted(c["http"]["body_keys"])
            token = answer.json()["session_token"]
        if token:
            assert node.post("/v1/relay/unbind", {}, bearer(token)).status == 204


# ---- routes ----


def test_IICPD_03_45_no_operator_no_routes(node_factory):
    node = node_factory()
    for method, path in (("POST", "/v1/relay/bind"), ("GET", "/v1/relay/pull"), ("POST", "/v1/relay/result"),
                         ("POST", "/v1/relay/unbind"), ("POST", "/v1/relay"), ("POST", "/v1/relay-for/w/v1/task"),
                         ("GET", "/v1/relay-for/w/iicp/health")):
        answer = node.request(method, path, {} if method == "POST" else None)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found"), path


def test_IICPD_03_46_malformed_json_and_methods(relay):
    token = bound(relay, "w-1")
    for path in ("bind", "result", "unbind"):
        answer = raw_task(relay, f"/v1/relay/{path}", b"{oops", bearer(token))
        if path == "unbind":
            assert answer.status == 204  # its body says nothing
            continue
        assert answer.status == 400 and answer.json()["error"]["code"] == "IICP-E001"
        assert answer.headers["content-type"] == "application/json"
        assert all(answer.headers[k] == v for k, v in CORS.items())
    token = bound(relay, "w-1")
    for path, status in (("/v1/relay", 400), ("/v1/relay-for/w-1/v1/task", 400)):
        assert error(raw_task(relay, path, b"{oops"))[1]["code"] == "IICP-E001"
        assert raw_task(relay, path, b"[]").status == 422 and raw_task(relay, path, b"{oops").status == status
    assert error(relay.post("/v1/relay/bind", {"worker_id": "a/b"}))[1]["code"] == "IICP-E001"
    answer = relay.request("HEAD", "/v1/relay/pull", None, bearer(token))
    assert answer.status == 405 and answer.headers["allow"] == "GET, OPTIONS"
    assert relay.get("/v1/relay/bind").status == 405
    assert raw_task(relay, "/v1/relay/bind", b"{}", {"Content-Encoding": "gzip"}).status == 415
    assert raw_task(relay, "/v1/relay/bind", b"{}", {"Content-Type": "text/plain"}).status == 415
    head, get = (relay.request(m, "/v1/relay-for/w-1/iicp/health") for m in ("HEAD", "GET"))
    assert head.status == get.status == 200 and head.body == b"" and get.json() == {
        "status": "ok", "node_id": "w-1", "via_relay": True, "models": []}
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path, limit", [("/v1/relay/bind", 65536), ("/v1/relay/unbind", 65536),
                                         ("/v1/relay/result", 1 << 20), ("/v1/relay", 1 << 20),
                                         ("/v1/relay-for/w-1/v1/task", 1 << 20)])
def test_IICPD_03_46_body_limits(relay, path, limit):
    token = bound(relay, "w-1")
    fits = b'{"x":"' + b"a" * (limit - 8) + b'"}'
    assert len(fits) == limit
    wanted = {"/v1/relay/unbind": 204, "/v1/relay-for/w-1/v1/task": None}.get(path, 422)
    if wanted is None:
        later = Later(raw_task, relay, path, fits)
        call = pull(relay, token).json()
        assert call["task"]["x"] == "a" * (limit - 8)
        assert result(relay, token, call["call_id"], {}).status == 204
        assert later.get().status == 200
    else:
        assert raw_task(relay, path, fits, bearer(token)).status == wanted
    answer = raw_task(relay, path, fits + b" ", bearer(token))
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_IICPD_03_46_larger_tasks_by_configuration(operator):
    relay = operator(relay__max_body="3MiB")
    token = bound(relay, "w-1")
    later = Later(raw_task, relay, "/v1/relay-for/w-1/v1/task", b'{"x":"' + b"a" * 3145720 + b'"}')
    call = pull(relay, token).json()
    assert result(relay, token, call["call_id"], {"result": {"y": "b" * 3100000}}).status == 204
    assert len(later.get().json()["result"]["y"]) == 3100000


# ---- sessions ----


def test_IICPD_03_47_token_is_needed_and_dies_with_its_session(relay):
    token = bound(relay, "w-1")
    for wrong in (None, "", token[:-1], token + "0", token.upper(), token[:16] + "0" * 48, "g" * 64):
        headers = bearer(wrong) if wrong is not None else {}
        assert error(relay.get("/v1/relay/pull", headers)) == (401, NO_TOKEN)
        assert error(relay.post("/v1/relay/result", {"call_id": "c", "result": {}}, headers)) == (401, NO_TOKEN)
        assert error(relay.post("/v1/relay/unbind", {}, headers)) == (401, NO_TOKEN)
    waiting = Later(pull, relay, token)
    wait_until(lambda: relay.control("/v1/sessions/w-1").json()["sessions"][0]["pulls"] == 1, what="a parked pull")
    assert relay.post("/v1/relay/unbind", {}, bearer(token)).status == 204
    assert error(waiting.get()) == (401, NO_TOKEN)
    assert error(pull(relay, token)) == (401, NO_TOKEN)
    again = bound(relay, "w-1")
    assert again != token and error(relay.post("/v1/relay/unbind", {}, bearer(token))) == (401, NO_TOKEN)
    log = relay.log_text()
    assert token not in log and again not in log


def test_DIR_RELAY_01_alive_session_stays(relay):
    token = bound(relay, "w-1", models=["m1"])
    assert error(bind(relay, "w-1", models=["other"])) == (409, {"code": "IICP-E038", "message": ALIVE})
    assert relay.get("/v1/relay-for/w-1/iicp/health").json()["models"] == ["m1"]
    later = Later(task_for, relay, "w-1", TASK)
    call = pull(relay, token).json()
    assert result(relay, token, call["call_id"], {"result": {"of": "the first"}}).status == 204
    assert later.get().json()["result"] == {"of": "the first"}


def test_IICPD_03_53_alive_for_90_s_and_as_long_as_a_pull_waits(driven):
    d = driven(relay__operator="yes", relay__port=free_port())
    token = bound(d.node, "w-1")
    d.advance(80)
    waiting = Later(pull, d.node, token)
    d.until(waiting.done, 40, "an empty pull")  # 105 s after the bind
    assert waiting.get().status == 204
    d.advance(80)
    assert bind(d.node, "w-1").status == 409
    d.advance(20)
    assert error(task_for(d.node, "w-1", TASK)) == (404, NO_SESSION)
    assert error(d.node.post("/v1/relay", {"target_node_id": "w-1", "task": TASK})) == (404, NO_TARGET)
    waiting = Later(pull, d.node, token)  # a late pull brings it back
    wait_until(lambda: d.node.get("/v1/relay-for/w-1/iicp/health").status == 200, what="alive again")
    d.until(waiting.done, 40, "an empty pull")
    d.advance(100)
    other = bound(d.node, "w-1")  # dead: displaced
    assert error(pull(d.node, token)) == (401, NO_TOKEN)
    assert d.node.post("/v1/relay/unbind", {}, bearer(other)).status == 204


# ---- pulls ----


def parked(node, worker_id, n):
    wait_until(lambda: node.control(f"/v1/sessions/{worker_id}").json()["sessions"][0]["pulls"] == n,
               what=f"{n} parked pulls")


def test_IICPD_03_48_parallel_pulls_take_one_call_each(relay):
    token = bound(relay, "w-1")
    pulls = [Later(pull, relay, token) for _ in range(3)]
    parked(relay, "w-1", 3)
    tasks = [Later(task_for, relay, "w-1", {"task_id": f"t-{i}"}) for i in range(3)]
    calls = [p.get().json() for p in pulls]
    assert len({c["call_id"] for c in calls}) == 3 and {c["task"]["task_id"] for c in calls} == {"t-0", "t-1", "t-2"}
    for c in reversed(calls):
        assert result(relay, token, c["call_id"], {"result": {"for": c["task"]["task_id"]}}).status == 204
    for i, t in enumerate(tasks):
        assert t.get().json() == {"task_id": f"t-{i}", "status": "completed", "result": {"for": f"t-{i}"},
                                  "generated_by_ai": True}


def raw_pull(node, token):
    s = socket.create_connection((node.host, node.port), 60)
    s.sendall(f"GET /v1/relay/pull HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return s


@pytest.mark.parametrize("how", ["close", "reset"])
def test_IICPD_03_48_a_pull_that_left_swallows_nothing(relay, how):
    token = bound(relay, "w-1")
    lost = [raw_pull(relay, token) for _ in range(3)]
    parked(relay, "w-1", 3)
    for s in lost:
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    parked(relay, "w-1", 0)
    tasks = [Later(task_for, relay, "w-1", {"task_id": f"t-{i}"}) for i in range(2)]
    seen = []
    for _ in tasks:
        call = pull(relay, token).json()
        seen.append(call["task"]["task_id"])
        assert result(relay, token, call["call_id"], {}).status == 204
    assert sorted(seen) == ["t-0", "t-1"]
    assert [t.get().status for t in tasks] == [200, 200]


def test_IICPD_03_48_a_call_that_was_not_delivered_comes_first(operator):
    """The answer of the first pull cannot be sent whole, and its caller leaves."""
    relay = operator(relay__max_body="15MiB")
    token = bound(relay, "w-1")
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.settimeout(60)
    stuck.connect((relay.host, relay.port))
    stuck.sendall(f"GET /v1/relay/pull HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    parked(relay, "w-1", 1)
    first = Later(raw_task, relay, "/v1/relay-for/w-1/v1/task", b'{"task_id":"big","x":"' + b"a" * 12_000_000 + b'"}')
    assert stuck.recv(64).startswith(b"HTTP/1.1 200")
    second = Later(task_for, relay, "w-1", {"task_id": "small"})
    wait_until(lambda: in_flight(relay, "w-1") == 2, what="two calls")
    stuck.close()  # unread bytes: a reset
    parked(relay, "w-1", 0)
    calls = [pull(relay, token).json() for _ in range(2)]
    if calls[0]["task"]["task_id"] == "small":  # the pull came before the news of the reset
        calls.reverse()
    assert [c["task"]["task_id"] for c in calls] == ["big", "small"]
    for c in calls:
        assert result(relay, token, c["call_id"], {}).status == 204
    assert first.get().status == second.get().status == 200


# ---- forwarding ----


def exchange(relay, token, value, task=None):
    """What a consumer gets when the worker answers so."""
    later = Later(task_for, relay, "w-1", task if task is not None else TASK)
    call = pull(relay, token).json()
    assert raw_task(relay, "/v1/relay/result", json.dumps({"call_id": call["call_id"]})[:-1].encode() +
                    b',"result":' + value + b"}", bearer(token)).status == 204
    return later.get()


def test_IICPD_03_49_IICPD_03_63_merged_bodies(relay):
    token = bound(relay, "w-1")
    rows = [
        (b'{"result":{"a":1}}', '{"task_id":"t-1","status":"completed","result":{"a":1},"generated_by_ai":true}'),
        (b'{"choices":[]}', '{"task_id":"t-1","status":"completed","result":{"choices":[]},"generated_by_ai":true}'),
        (b'{}', '{"task_id":"t-1","status":"completed","result":{},"generated_by_ai":true}'),
        (b'{"error":"text"}', '{"task_id":"t-1","status":"completed","error":"text","generated_by_ai":true}'),
        (b'{"task_id":"other","status":"error","error":{"code":"x","message":"y"}}',
         '{"task_id":"other","status":"error","error":{"code":"x","message":"y"},"generated_by_ai":true}'),
        (b'{"status":"encrypted","iicp_conf_resp":{"n":1e2}}',
         '{"task_id":"t-1","status":"encrypted","iicp_conf_resp":{"n":1e2},"generated_by_ai":true}'),
        (b'{"result":{},"generated_by_ai":false}',
         '{"task_id":"t-1","status":"completed","result":{},"generated_by_ai":true}'),
    ]
    for value, wanted in rows:
        answer = exchange(relay, token, value)
        assert answer.status == 200 and answer.json() == json.loads(wanted), value
        assert answer.headers["content-type"] == "application/json"
        assert all(answer.headers[k] == v for k, v in CORS.items())
    assert exchange(relay, token, b'{"result":{"n":1e2,"m":0.10,"big":123456789012345678901234567890}}').text.count(
        '"n":1e2,"m":0.10,"big":123456789012345678901234567890') == 1
    assert exchange(relay, token, b'{"result":{}}', {"intent": CHAT}).json()["task_id"] == ""
    for value in (b"[]", b'"text"', b"7", b"true"):
        status, e = error(exchange(relay, token, value))
        assert status == 502 and e["code"] == "IICP-E031"
        assert e["message"].startswith("relay session forward failed:")


def test_CX_03_tasks_pass_byte_for_byte(relay):
    """Spaces, number forms, escapes, doubled and unknown members: the worker gets what the consumer sent."""
    token = bound(relay, "w-1")
    body = (b'{ "task_id" : "t-\\u0031",\t"iicp_conf": {"v":1,"nonce":"AA\\/==","encrypted_body":"x", "a":1e2,'
            b'"a":0.10},"constraints":{"timeout_ms":3e4}, "cx_response_encryption":"required"\n}')
    for path, sent in (("/v1/relay-for/w-1/v1/task", body),
                       ("/v1/relay", b'{"target_node_id":"w-1","task":' + body + b"}")):
        later = Later(raw_task, relay, path, sent)
        got = pull(relay, token)
        assert got.body.endswith(b',"task":' + body + b"}")
        assert result(relay, token, got.json()["call_id"], {"status": "encrypted", "iicp_conf_resp": {"v": 1}}).status == 204
        assert later.get().json() == {"task_id": "t-1", "status": "encrypted", "iicp_conf_resp": {"v": 1},
                                      "generated_by_ai": True}


def test_IICPD_03_49_time_limits(driven):
    d = driven(relay__operator="yes", relay__port=free_port())
    token = bound(d.node, "w-1")
    short = Later(task_for, d.node, "w-1", {"task_id": "a", "constraints": {"timeout_ms": 5000}})
    call = pull(d.node, token).json()
    d.advance(5)
    assert not short.done()
    d.until(short.done, 10, "its own limit")
    assert error(short.get())[1]["code"] == "IICP-E031" and short.get().status == 502
    assert result(d.node, token, call["call_id"], {"result": {}}).status == 204  # too late, and no fault
    long = Later(task_for, d.node, "w-1", {"task_id": "b", "constraints": {"timeout_ms": 300000}}, timeout=300)
    pull(d.node, token)
    for _ in range(2):  # stays alive meanwhile
        empty = Later(pull, d.node, token)
        d.until(empty.done, 40, "an empty pull")
        d.advance(30)
    assert not long.done()
    d.until(long.done, 30, "the relay's own limit")
    assert long.get().status == 502


def test_IICPD_03_49_lost_sessions_at_once(relay):
    token = bound(relay, "w-1")
    tasks = [Later(task_for, relay, "w-1", TASK) for _ in range(2)]
    wait_until(lambda: in_flight(relay, "w-1") == 2, what="two calls")
    pull(relay, token)  # one is with the worker, one waits
    assert relay.post("/v1/relay/unbind", {}, bearer(token)).status == 204
    for t in tasks:
        status, e = error(t.get())
        assert (status, e["code"]) == (502, "IICP-E031")


def test_IICPD_03_50_in_flight_cap(operator):
    relay = operator(relay__max_in_flight=2)
    token = bound(relay, "w-1")
    tasks = [Later(task_for, relay, "w-1", {"task_id": f"t-{i}"}) for i in range(2)]
    wait_until(lambda: in_flight(relay, "w-1") == 2, what="two calls")
    full = task_for(relay, "w-1", TASK)
    assert error(full) == (429, {"code": "IICP-E021", "message": "capacity_exceeded"})
    assert full.headers["retry-after"] == "2"
    call = pull(relay, token).json()
    assert result(relay, token, call["call_id"], {}).status == 204
    last = Later(task_for, relay, "w-1", {"task_id": "t-2"})
    for _ in range(2):
        call = pull(relay, token).json()
        assert result(relay, token, call["call_id"], {}).status == 204
    assert [t.get().status for t in (*tasks, last)] == [200, 200, 200]


def test_IICPD_03_50_answers_of_vanished_consumers_are_dropped(relay):
    token = bound(relay, "w-1")
    body = json.dumps(TASK).encode()
    s = socket.create_connection((relay.host, relay.port), 60)
    s.sendall(b"POST /v1/relay-for/w-1/v1/task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              b"Content-Length: %d\r\n\r\n" % len(body) + body)
    call = pull(relay, token).json()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
    wait_until(lambda: in_flight(relay, "w-1") == 0, what="the call given up")
    assert result(relay, token, call["call_id"], {"result": {"for": "nobody"}}).status == 204
    assert exchange(relay, token, b'{"result":{"for":"somebody"}}').json()["result"] == {"for": "somebody"}


def test_IICPD_03_51_forward_to_bound_workers_and_nobody_else(relay):
    token = bound(relay, "w-1")
    for body in ({}, {"target_node_id": "w-1"}, {"task": {}}, {"target_node_id": "w-1", "task": []},
                 {"target_node_id": 1, "task": {}}):
        status, e = error(relay.post("/v1/relay", body))
        assert (status, e) == (422, {"code": "IICP-E001", "message": "target_node_id and task are required"})
    for target in ("zz", "../w-1", "w%2d1", "http://127.0.0.1:1"):
        assert error(relay.post("/v1/relay", {"target_node_id": target, "task": {}})) == (404, NO_TARGET)
    later = Later(relay.post, "/v1/relay", {"target_node_id": "w-1", "task": TASK}, {"X-IICP-Relay-Hop": "1"})
    call = pull(relay, token).json()  # a bound worker is no further hop
    assert result(relay, token, call["call_id"], {"result": {"a": 1}}).status == 204
    assert later.get().json() == {"task_id": "t-1", "status": "completed", "result": {"a": 1}, "generated_by_ai": True}


def test_IICPD_03_51_forward_to_a_peer_of_the_mesh(operator, lab, node_factory, backend):
    relay = operator(lab=lab, backend=backend, mesh__enabled="yes")
    wait_until(lambda: relay.status()["directory"]["state"] == "registered", 60, "registered", relay.popen)
    peer = node_factory(lab, backend, mesh__enabled="yes")
    peer_id = peer.status()["node"]["node_id"]
    wait_until(lambda: [p for p in relay.control("/v1/peers").json()["peers"] if p["node_id"] == peer_id and p["live"]],
               90, "a live peer", relay.popen)
    body = {"target_node_id": peer_id, "task": {**TASK, "task_id": str(uuid.uuid4())}}
    answer = relay.post("/v1/relay", body)
    assert answer.status == 200 and answer.json()["status"] == "success", answer
    assert answer.json()["result"]["choices"][0]["message"]["content"] == "Hello from the fake."
    # its refusals pass, too: status and body
    refused = relay.post("/v1/relay", {"target_node_id": peer_id, "task": {"task_id": "no uuid"}})
    assert refused.status == 422 and refused.json()["error"]["code"] == "validation_error"
    # one hop only
    hop = relay.post("/v1/relay", body, {"X-IICP-Relay-Hop": "1"})
    assert error(hop) == (404, NO_TARGET)
    peer.expect_exit = None
    peer.kill()
    status, e = error(relay.post("/v1/relay", body))
    assert status == 502 and e["code"] == "IICP-E031"
    assert e["message"].startswith("relay failed:") and "127.0.0.1" not in e["message"]


def test_IICPD_05_50_path_segment_is_decoded_once(relay):
    bound(relay, "w-1")
    for segment in ("w-1", "%77-1", "w%2D1"):
        assert relay.get(f"/v1/relay-for/{segment}/iicp/health").json()["node_id"] == "w-1"
    for segment in ("w%252d1", "%2e%2e", "w%2f1", "w-1%00", "w-1%20", "..", ".", "w-2"):
        assert error(relay.get(f"/v1/relay-for/{segment}/iicp/health")) == (404, NO_SESSION), segment
        assert error(task_for(relay, segment, TASK)) == (404, NO_SESSION), segment
    for path in ("/v1/relay-for//iicp/health", "/v1/relay-for/w-1/x/iicp/health", "/v1/relay-for/../w-1/iicp/health"):
        assert relay.get(path).json()["error"]["code"] == "not_found", path


def test_IICPD_03_45_events_are_judged(relay):
    token = bound(relay, "w-1")
    event = {"session_id": "s", "call_id": "c", "status": "partial", "result": "x", "tokens_used": 1, "is_final": False,
             "lifecycle": {"task_id": "t", "sequence": 0, "event": "partial", "is_final": False}}
    assert relay.post("/v1/relay/result", {"call_id": "c", "event": event}, bearer(token)).status == 204
    for change in ({"session_id": None}, {"call_id": "d"}, {"status": "done"}, {"is_final": True}, {"lifecycle": {}}):
        status, e = error(relay.post("/v1/relay/result", {"call_id": "c", "event": {**event, **change}}, bearer(token)))
        assert (status, e["code"]) == (422, "IICP-E001"), change


# ---- our own worker ----


@pytest.mark.parametrize("way", ["native", "http-poll"])
def test_IICPD_03_58_our_worker_under_our_operator(operator, lab, node_factory, backend, way):
    relay = operator(lab=lab, backend=backend)
    wait_until(lambda: relay.status()["directory"]["state"] == "registered", 60, "registered", relay.popen)
    port = relay.status()["relay"]["port"]
    hidden = node_factory(lab, backend, relay__worker=f"127.0.0.1:{port}" if way == "native" else relay.url)
    who = hidden.status()["node"]["node_id"]
    wait_until(lambda: hidden.status()["directory"]["state"] == "registered", 90, "registered through the relay", hidden.popen)
    session = relay.control(f"/v1/sessions/{who}").json()["sessions"][0]
    assert session["transport"] == way and session["alive"]
    for path, body in ((f"/v1/relay-for/{who}/v1/task", lambda t: t),
                       ("/v1/relay", lambda t: {"target_node_id": who, "task": t})):
        answer = relay.post(path, body({**TASK, "task_id": str(uuid.uuid4())}))
        assert answer.status == 200 and answer.json()["status"] == "success", answer
        assert answer.json()["result"]["choices"][0]["message"]["content"] == "Hello from the fake."
    # its refusals arrive as answers
    refused = relay.post(f"/v1/relay-for/{who}/v1/task", {**TASK, "task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:no:such:v1"})
    assert refused.status == 200 and refused.json()["error"]["code"], refused
    assert hidden.stop() == 0
    wait_until(lambda: relay.control(f"/v1/sessions/{who}").status == 404, 30, "unbound", relay.popen)


# ---- privacy ----


def test_DIR_RELAY_04_SEC_PRIV_03_nothing_of_a_task_in_the_log(operator):
    relay = operator(log__level="debug")
    secret, answer, ticket = "heliotrope", "marigold", "bellflower.ticket"
    bind(relay, "w-2", bind_ticket=ticket)
    with worker(relay, "w-1", lambda task: {"result": {"text": answer}}) as w:
        for path, task in (("/v1/relay-for/w-1/v1/task", {"task_id": "t-1", "payload": secret}),
                           ("/v1/relay", {"target_node_id": "w-1", "task": {"task_id": "t-1", "payload": secret}})):
            assert relay.post(path, task, {"X-IICP-Consumer-Token": "lavender"}).json()["result"] == {"text": answer}
        raw_task(relay, "/v1/relay/result", b'{"call_id":"c","result":"' + secret.encode(), bearer(w.token))
        token = w.token
    seen = relay.log_text() + relay.get("/metrics").text + relay.control("/v1/sessions").text + \
        relay.control("/v1/status").text + relay.control("/v1/metrics").text
    for word in (secret, answer, ticket, token, "lavender"):
        assert word not in seen
    # bound and gone, with a keyed hash of where from
    assert not re.search(r"127\.0\.0\.1(?!:)", "\n".join(line for line in relay.log_text().splitlines() if "w-1" in line))
