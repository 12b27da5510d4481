# SPDX-License-Identifier: Apache-2.0
"""Streamed tasks through the built daemon: submit, record, events, cancel, control. [02 section 11]"""

import http.client
import json
import os
import re
import socket
import time
import uuid

import pytest

from conftest import wait_until
from test_backends import control, models_known, posts, told
from test_directory import asked

LIFECYCLE = "urn:iicp:profile:service-lifecycle:v1"
ADMISSION = "urn:iicp:profile:provider-admission:v1"
CHAT = "urn:iicp:intent:llm:chat:v1"
EMBEDDING = "urn:iicp:intent:llm:embedding:v1"
TOKENS = {"alice": "a" * 40, "bob": "b" * 40}


def delta(text):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}}


def who(name):
    return {"Authorization": f"Bearer {TOKENS.get(name, name)}"}


def envelope(task_id=None, key=None, text="hi", profiles=(LIFECYCLE,), **more):
    constraints = {"required_profiles": list(profiles), **more.pop("constraints", {})}
    return {"task_id": task_id or str(uuid.uuid4()), "idempotency_key": key or f"k-{uuid.uuid4()}", "intent": CHAT,
            "constraints": constraints, "payload": {"messages": [{"role": "user", "content": text}]}, **more}


def submit(node, body=None, name="alice", status=202, **more):
    body = body or envelope(**more)
    answer = node.post("/v1/tasks", body, who(name))
    assert answer.status == status, answer
    return body["task_id"]


def record(node, task_id, name="alice"):
    return node.get(f"/v1/tasks/{task_id}", who(name)).json()


def ended(node, task_id, name="alice"):
    return wait_until(lambda: (r := record(node, task_id, name))["is_final"] and r, what="end of the task")


class Events:
    """A reader of SSE on a connection of its own: (id, event, data) as they come, None at the end."""

    def __init__(self, node, path, headers=None, name="alice", rcvbuf=None, timeout=30):
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.connect((node.host, node.port))
        fields = {"Host": "127.0.0.1", "Accept": "text/event-stream", **who(name), **(headers or {})}
        self.sock.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
                           + "\r\n").encode())
        self.response = None

    def begin(self):
        self.response = http.client.HTTPResponse(self.sock)
        self.response.begin()
        assert self.response.status == 200, self.response.read()
        assert self.response.getheader("Content-Type") == "text/event-stream"
        assert self.response.readline() == b"retry: 2000\n" and self.response.readline() == b"\n"
        return self

    def block(self):
        """Lines up to a blank one; [] at the end."""
        lines = []
        while line := self.response.readline():
            if line == b"\n":
                return lines
            lines.append(line.decode().rstrip("\n"))
        return lines

    def next(self):
        while lines := self.block():
            if lines[0].startswith(":"):
                continue
            fields = dict(line.split(": ", 1) for line in lines)
            return fields.get("id"), fields["event"], json.loads(fields["data"])
        return None

    def rest(self):
        found = []
        while event := self.next():
            found.append(event[2])
        return found

    def close(self):
        self.sock.close()


def events(node, task_id, query="", **more):
    return Events(node, f"/v1/tasks/{task_id}/events{query}", **more).begin()


def dense(seen, first=0):
    assert [e["sequence"] for e in seen] == list(range(first, first + len(seen)))
    assert [e["is_final"] for e in seen] == [False] * (len(seen) - 1) + [True]


def text_of(seen):
    return "".join(e["result"] for e in seen if isinstance(e.get("result"), str))


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "callers"
    path.write_text("".join(f"{name}:{token}\n" for name, token in TOKENS.items()))
    path.chmod(0o600)
    return path


@pytest.fixture
def demo(node_factory, tokens):
    return node_factory(auth__caller_tokens=f"file:{tokens}", limits__max_concurrent=64)


@pytest.fixture
def live(node_factory, backend, tokens):
    node = node_factory(backend=backend, auth__caller_tokens=f"file:{tokens}", log__level="debug",
                        limits__drain="1s")
    models_known(node)
    return node


def stream(backend, pieces, piece_ms=0, forever=False):
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": "events", "piece_ms": piece_ms,
                             "forever": forever, "events": pieces}])


def hang(backend):
    stream(backend, [delta("once ")], piece_ms=600000)


# ---- negotiation ----


def test_IICPD_02_76_advertised_and_demanded(lab, node_factory):
    node = node_factory(lab=lab)
    health = node.get("/iicp/health").json()
    assert health["lifecycle"] == {
        "profile": LIFECYCLE, "submit": "/v1/tasks", "events": "/v1/tasks/{task_id}/events",
        "cancel": "/v1/tasks/{task_id}/cancel", "event_replay_window_ms": 3600000, "terminal_status_ttl_ms": 3600000}
    capabilities = asked(lab, "register")[0]["body"]["capabilities"]
    assert [LIFECYCLE in c.get("supported_profiles", []) for c in capabilities].count(True) == 1


def test_IICPD_02_76_each_profile_on_its_resource(demo):
    missing = demo.post("/v1/tasks", envelope(profiles=[]), who("alice"))
    assert missing.status == 422 and missing.json()["error"]["code"] == "validation_error"
    assert missing.json()["error"]["field"] == "constraints.required_profiles"
    buffered = demo.post("/v1/task", envelope())
    error = buffered.json()["error"]
    assert buffered.status == 422 and error["code"] == "unsupported_profile" and "/v1/tasks" in error["message"]
    assert error["profile"] == LIFECYCLE


def test_IICPD_02_76_switched_off(node_factory, tokens):
    node = node_factory(auth__caller_tokens=f"file:{tokens}", tasks__lifecycle="no")
    assert "lifecycle" not in node.get("/iicp/health").json()
    for method, path in (("POST", "/v1/tasks"), ("GET", "/v1/tasks/x"), ("GET", "/v1/stream"), ("POST", "/v1/control")):
        assert node.request(method, path, None if method == "GET" else {}, who("alice")).status == 404
    assert node.post("/v1/task", envelope()).json()["error"]["code"] == "unsupported_profile"


# ---- resources ----


def test_IICPD_02_77_submit_status_events_cancel(demo):
    body = envelope()
    path = f"/v1/tasks/{body['task_id']}"
    first = demo.post("/v1/tasks", body, who("alice"))
    assert first.status == 202
    assert first.json() == {"profile": LIFECYCLE, "task_id": body["task_id"], "state": "running",
                            "latest_sequence": 1, "is_final": False}
    again = demo.post("/v1/tasks", body, who("alice"))
    assert again.status == 200 and again.json()["task_id"] == body["task_id"]
    seen = events(demo, body["task_id"]).rest()
    dense(seen)
    end = record(demo, body["task_id"])
    assert end["state"] == "completed" and end["latest_sequence"] == seen[-1]["sequence"]
    assert end["receipt"] == seen[-1]["receipt"]
    lines = demo.get(path + "/events?after_sequence=2", who("alice"))
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == seen[3:]
    resumed = Events(demo, path + "/events", {"Last-Event-ID": "4"}).begin().rest()
    assert resumed == seen[5:]
    assert Events(demo, path + "/events?after_sequence=3", {"Last-Event-ID": "9"}).begin().rest() == seen[4:]
    head, get = demo.request("HEAD", path, headers=who("alice")), demo.get(path, who("alice"))
    assert head.status == 200 and head.body == b"" and head.headers["Content-Length"] == get.headers["Content-Length"]
    cancel = demo.post(path + "/cancel", {}, who("alice")).json()
    assert cancel["cancellation"] == "already_terminal" and cancel["state"] == "completed"


def test_IICPD_02_77_ndjson_follows_only_when_told(demo):
    task = submit(demo)
    now = demo.get(f"/v1/tasks/{task}/events", who("alice")).text.splitlines()
    assert not json.loads(now[-1])["is_final"]
    whole = demo.get(f"/v1/tasks/{task}/events?follow=1", who("alice")).text.splitlines()
    dense([json.loads(line) for line in whole])


def test_IICPD_02_77_what_is_not_there(demo):
    for method, path in (("GET", "/v1/tasks/none"), ("GET", "/v1/tasks/none/events"), ("POST", "/v1/tasks/none/cancel")):
        answer = demo.request(method, path, {} if method == "POST" else None, who("alice"))
        assert answer.status == 404 and answer.json()["error"]["code"] == "unknown_task"
    for path in ("/v1/tasks/", "/v1/tasks/a/b", "/v1/tasks/a/events/", "/v1/tasks/%00", "/v1/tasks/%zz",
                 "/v1/tasks/" + "x" * 129, "/api/v1/observe"):
        answer = demo.get(path, who("alice"))
        assert answer.status == 404 and answer.json()["error"]["code"] == "not_found", path
    for method, path, allow in (("HEAD", "/v1/tasks/a/events", "GET, OPTIONS"), ("HEAD", "/v1/stream", "GET, OPTIONS"),
                                ("GET", "/v1/tasks", "POST, OPTIONS"), ("POST", "/v1/tasks/a", "GET, HEAD, OPTIONS"),
                                ("GET", "/v1/tasks/a/cancel", "POST, OPTIONS"), ("GET", "/v1/control", "POST, OPTIONS")):
        answer = demo.request(method, path, {} if method == "POST" else None, who("alice"))
        assert answer.status == 405 and answer.headers["Allow"] == allow, (method, path)


def test_IICPD_02_77_cancel_body(demo):
    task = submit(demo)
    path = f"/v1/tasks/{task}/cancel"
    for bad, status in (({"task_id": "other"}, 422), ({"reason": "x" * 65}, 422), ({"reason": "a\nb"}, 422)):
        assert demo.post(path, bad, who("alice")).status == status
    assert demo.post(path, "[]", {**who("alice"), "Content-Type": "application/json"}).status == 400
    assert demo.post(path, json.dumps({"x": "y" * 65536}), {**who("alice"), "Content-Type": "application/json"}).status == 413
    fine = demo.post(path, {"task_id": task, "reason": "x" * 64}, who("alice"))
    assert fine.status == 200 and fine.json()["cancellation"] == "cancel_signalled"


def test_percent_decoding_of_ids(node_factory, tokens):
    node = node_factory(auth__caller_tokens=f"file:{tokens}", tasks__require_uuid="no")
    submit(node, task_id="a.b:c")
    assert record(node, "a%2Eb%3ac")["task_id"] == "a.b:c"
    assert node.get("/v1/tasks/a%252Eb%3ac", who("alice")).status == 404  # once, not twice


# ---- who ----


def test_LIFECYCLE_AUTH_01_LIFECYCLE_AUTH_02_LIFECYCLE_AUTH_03_credentials(demo):
    for headers in ({}, {"Authorization": "Bearer invalid"}, {"X-IICP-Consumer-Token": "invalid.invalid"}):
        answer = demo.post("/v1/tasks", envelope(), headers)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthorized"
        for path in ("/v1/tasks/x", "/v1/tasks/x/events", "/v1/stream?subject=call&subject_id=x"):
            assert demo.get(path, headers).status == 401
        for path in ("/v1/tasks/x/cancel", "/v1/control"):
            assert demo.post(path, {}, headers).status == 401
    submit(demo)
    submit(demo, {**envelope(), "auth": {"node_token": TOKENS["bob"]}}, name="invalid")


def test_LIFECYCLE_IDENTITY_01_ordinary_tasks_need_none(demo):
    assert demo.post("/v1/task", envelope(profiles=[])).status == 200


def test_LIFECYCLE_AUTH_05_foreign_tasks_are_concealed(demo):
    task = submit(demo)
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        foreign = demo.request(method, f"/v1/tasks/{task}{path}", {} if method == "POST" else None, who("bob"))
        nobody = demo.request(method, f"/v1/tasks/{uuid.uuid4()}{path}", {} if method == "POST" else None, who("bob"))
        assert foreign.status == nobody.status == 404 and foreign.body == nobody.body
    # Nor can bob block the id of alice, or find out about it.
    submit(demo, task_id=task, name="bob", text="another")
    assert record(demo, task, "bob")["task_id"] == task
    for word in ("principal", "owner", "alice", "credential", "endpoint"):
        assert word not in demo.get(f"/v1/tasks/{task}", who("alice")).text


def test_LIFECYCLE_AUTH_09_LIFECYCLE_IDENTITY_06_LIFECYCLE_IDENTITY_08_revoked(demo, tokens):
    task = submit(demo)
    tokens.write_text(f"alice:{'c' * 40}\n")  # the token of an older epoch is refused, the new one is the same caller
    assert demo.control("/v1/reload", "POST", {}).status == 200
    assert demo.post(f"/v1/tasks/{task}/cancel", {}, who("alice")).status == 401
    assert demo.get(f"/v1/tasks/{task}", who("alice")).status == 401
    assert record(demo, task, "c" * 40)["task_id"] == task


def test_LIFECYCLE_AUTH_10_LIFECYCLE_IDENTITY_09_LIFECYCLE_IDENTITY_10_LIFECYCLE_IDENTITY_11_operator(lab, node_factory, tokens):
    node = node_factory(lab=lab, auth__caller_tokens=f"file:{tokens}")
    asked(lab, "heartbeat")
    own = json.loads((node.state_dir / "identity.json").read_text())["node_token"]
    task = submit(node)
    answer = node.post(f"/v1/tasks/{task}/cancel", {}, who(own))
    assert answer.status == 200 and answer.json()["state"] == "cancelled"
    assert node.post(f"/v1/tasks/{task}/cancel", {}, who(own)).json()["cancellation"] == "already_terminal"
    wait_until(lambda: node.log_text().count("lifecycle_audit") == 2, what="a line for each")
    line = node.await_log(r"[^\n]*lifecycle_audit[^\n]*").group(0)
    assert re.search(r"cancel of task sha256:[0-9a-f]{16}.*operator sha256:[0-9a-f]{16}", line)
    assert task not in line and "alice" not in line and own not in line
    digest = re.search(r"task sha256:([0-9a-f]{16})", line).group(1)
    for folder, _, names in os.walk(node.folder):  # kept in the log alone: nothing to prune after 7 days
        for name in names:
            if not name.endswith((".err", ".sock")):
                with open(os.path.join(folder, name), "rb") as f:
                    assert digest.encode() not in f.read(), name


# ---- events ----


def test_IICPD_02_79_SERVICE_LIFECYCLE_02_as_they_come(live, backend):
    stream(backend, [delta("Hel"), delta("lo, "), delta("w\u00f6rld"), FINISH, USAGE, "[DONE]"], piece_ms=60)
    task = submit(live)
    reader, seen = events(live, task), []
    while event := reader.next():
        seen.append(event[2])
        assert event[0] == str(event[2]["sequence"]) and event[1] == event[2]["event"]
    dense(seen)
    assert [(e["event"], e["state"]) for e in seen] == [
        ("accepted", "accepted"), ("partial", "running"), ("partial", "streaming"), ("partial", "streaming"),
        ("partial", "streaming"), ("completed", "completed")]
    assert [e.get("result") for e in seen] == [None, None, "Hel", "lo, ", "w\u00f6rld", None]
    end = seen[-1]
    assert end["tokens_used"] == 5 and end["usage"]["total_tokens"] == 5 and end["finish_reason"] == "stop"
    assert end["model_used"] and end["metrics"]["node_id"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", e["observed_at"]) for e in seen)


def test_IICPD_02_79_whole_results(node_factory, backend_factory, tokens):
    """Intents that are no text: the object once."""
    node = node_factory(backend=backend_factory("--models", "tiny,embed-x"), auth__caller_tokens=f"file:{tokens}")
    models_known(node, 2)
    body = envelope(intent=EMBEDDING)
    body["payload"] = {"input": ["a", "b"], "model": "embed-x"}
    submit(node, body)
    seen = events(node, body["task_id"]).rest()
    dense(seen)
    assert [e["event"] for e in seen] == ["accepted", "partial", "completed"]
    assert len(seen[-1]["result"]["data"]) == 2 and seen[-1]["usage"]["total_tokens"] == 9


def test_calls_of_tools_are_not_lost(live, backend):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    control(backend, rules=[{"path": "/v1/chat/completions", "json": {"model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}}])
    body = envelope()
    body["payload"]["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    submit(live, body)
    seen = events(live, body["task_id"]).rest()
    assert [e["event"] for e in seen] == ["accepted", "partial", "completed"]
    assert seen[-1]["result"]["choices"][0]["message"]["tool_calls"] == [call]
    assert not json.loads(posts(backend)[-1]["body"]).get("stream")


def test_IICPD_02_79_keep_alive_comment(live, backend):
    hang(backend)
    task = submit(live)
    reader = events(live, task)
    for _ in range(3):
        reader.next()
    began = time.monotonic()
    assert reader.block() == [": k"]
    assert 14 < time.monotonic() - began < 20
    live.post(f"/v1/tasks/{task}/cancel", {}, who("alice"))
    assert reader.next()[1] == "cancelled" and reader.next() is None


def test_first_words_come_at_once(live, backend):
    """Nothing between backend and observer waits for more than the 25 ms of gathering."""
    stream(backend, [delta("x")], piece_ms=250, forever=True)
    task = submit(live, constraints={"timeout_ms": 60000})
    reader, gaps, last = events(live, task, "?after_sequence=2"), [], None
    for _ in range(6):
        assert reader.next()[2]["result"] == "x"
        now = time.monotonic()
        gaps += [now - last] if last else []
        last = now
    assert sorted(gaps)[len(gaps) // 2] < 0.4  # each by itself, none with the next
    live.post(f"/v1/tasks/{task}/cancel", {}, who("alice"))


def test_IICPD_02_81_text_stays_in_the_buffer(live, backend):
    secret = "marsupial-" + uuid.uuid4().hex
    stream(backend, [delta("prefix "), delta(secret), FINISH, "[DONE]"])
    task = submit(live, text="question-" + secret)
    assert secret in text_of(events(live, task).rest())
    ended(live, task)
    places = [live.log_text(), live.out_text(), live.get("/metrics").text, live.control("/v1/status").text,
              live.get(f"/v1/tasks/{task}", who("alice")).text, live.control("/v1/tasks").text]
    for folder, _, names in os.walk(live.folder):
        for name in names:
            if not name.endswith(".sock"):
                with open(os.path.join(folder, name), "rb") as f:
                    places.append(f.read().decode("utf-8", "replace"))
    assert not any(secret in place for place in places)


# ---- ends ----


def test_SERVICE_LIFECYCLE_06_deadline(live, backend):
    hang(backend)
    seen = events(live, submit(live, constraints={"timeout_ms": 700})).rest()
    dense(seen)
    assert (seen[-1]["event"], seen[-1]["state"]) == ("timed_out", "expired")
    assert seen[-1]["error"]["code"] == "task_timeout" and "result" not in seen[-1]
    wait_until(lambda: told(backend)["cancelled"] == 1, what="end of the backend call")


def test_SERVICE_LIFECYCLE_09_failure_after_text(live, backend):
    stream(backend, [delta("half")])
    seen = events(live, submit(live)).rest()
    dense(seen)
    assert text_of(seen) == "half" and seen[-1]["event"] == "failed"
    assert seen[-1]["error"]["code"] == "stream_incomplete" and "result" not in seen[-1]


def test_failures_carry_the_codes_of_the_table(live, backend):
    for rule, code in (({"status": 401}, "backend_error"), ({"status": 404, "body": "model 'x'"}, "model_not_found"),
                       ({"status": 429}, "IICP-E024"), ({"status": 400}, "validation_error")):
        control(backend, rules=[{"path": "/v1/chat/completions", **rule}])
        seen = events(live, submit(live)).rest()
        dense(seen)
        assert seen[-1]["event"] == "failed" and seen[-1]["error"]["code"] == code


def test_SERVICE_LIFECYCLE_05_CANCEL_RUNTIME_03_cancel_reaches_the_backend(live, backend):
    stream(backend, [delta("x ")], piece_ms=20, forever=True)
    task = submit(live)
    reader = events(live, task, "?after_sequence=1")
    reader.next()
    answer = live.post(f"/v1/tasks/{task}/cancel", {"reason": "enough"}, who("alice")).json()
    assert answer["cancellation"] == "cancel_signalled" and answer["evidence"] == "transport_aborted"
    assert answer["state"] == "cancelled" and answer["is_final"]
    assert reader.rest()[-1]["event"] == "cancelled"
    wait_until(lambda: told(backend)["cancelled"] == 1, what="closed backend connection")
    assert live.get("/iicp/health").json()["active_jobs"] == 0
    assert record(live, task)["state"] == "cancelled"


def test_SERVICE_LIFECYCLE_04_leaving_before_acceptance(node_factory, backend, tokens):
    node = node_factory(backend=backend, auth__caller_tokens=f"file:{tokens}", limits__max_concurrent=1,
                        limits__queue_wait="2s")
    models_known(node)
    hang(backend)
    first = submit(node)
    waiting = envelope(constraints={"qos": "realtime"})
    body = json.dumps(waiting).encode()
    with socket.create_connection((node.host, node.port)) as s:
        s.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer "
                  + TOKENS["alice"].encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: len(node.control("/v1/tasks").json()["tasks"]) == 2, what="a waiter")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: len(node.control("/v1/tasks").json()["tasks"]) == 1, what="its leaving")
    node.post(f"/v1/tasks/{first}/cancel", {}, who("alice"))
    assert node.get(f"/v1/tasks/{waiting['task_id']}", who("alice")).status == 404
    assert len(posts(backend)) == 1


def test_LIFECYCLE_11_the_same_submit_while_it_waits(node_factory, backend, tokens):
    """The second of two equal submits becomes the record of the first."""
    node = node_factory(backend=backend, auth__caller_tokens=f"file:{tokens}", limits__max_concurrent=1,
                        limits__queue_wait="2s")
    models_known(node)
    hang(backend)
    first = submit(node)
    body = json.dumps(envelope(constraints={"qos": "realtime"})).encode()
    head = (b"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Authorization: Bearer " + TOKENS["alice"].encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body))
    pair = [socket.create_connection((node.host, node.port)) for _ in range(1)]
    pair[0].sendall(head + body)
    wait_until(lambda: len(node.control("/v1/tasks").json()["tasks"]) == 2, what="a waiter")
    control(backend, rules=[])
    node.post(f"/v1/tasks/{first}/cancel", {}, who("alice"))
    assert pair[0].recv(64).startswith(b"HTTP/1.1 202")
    pair[0].close()
    again = node.post("/v1/tasks", body, {**who("alice"), "Content-Type": "application/json"})
    assert again.status == 200
    ended(node, json.loads(body)["task_id"])
    assert len(posts(backend)) == 2


def test_stop_ends_streams_with_a_true_event(live, backend):
    hang(backend)
    task = submit(live)
    reader = events(live, task)
    for _ in range(3):
        reader.next()
    live.popen.terminate()
    seen = reader.rest()
    assert seen[-1]["event"] == "failed" and seen[-1]["is_final"] and seen[-1]["error"]["code"] == "IICP-E024"
    assert live.wait() == 0


def test_drain_lets_streams_end(live, backend):
    stream(backend, [delta("a "), delta("b"), FINISH, "[DONE]"], piece_ms=100)
    task = submit(live)
    assert live.control("/v1/drain", "POST", {}).status == 200
    refused = live.post("/v1/tasks", envelope(), who("alice"))
    assert refused.status == 503
    known = live.post("/v1/tasks", envelope(task_id=task, key="other"), who("alice"))
    assert known.status == 409  # looked up before the drain
    assert text_of(events(live, task).rest()) == "a b"


# ---- replay and limits ----


def test_LIFECYCLE_10_IICPD_02_82_resume_unavailable(live, backend):
    stream(backend, [*[delta("y" * 300) for _ in range(400)], FINISH, "[DONE]"])
    task = submit(live)
    end = ended(live, task)
    assert end["latest_sequence"] == 402
    late = live.get(f"/v1/tasks/{task}/events?after_sequence=5", who("alice"))
    error = late.json()["error"]
    assert late.status == 409 and error["code"] == "resume_unavailable"
    assert error["state"] == "completed" and error["latest_sequence"] == 402
    kept = events(live, task, "?after_sequence=146").rest()
    dense(kept, 147)
    assert len(posts(backend)) == 1


def test_OBSERVE_RUNTIME_02_slow_observer_is_told(live, backend):
    stream(backend, [*[delta("z" * 4000) for _ in range(1500)], FINISH, "[DONE]"])
    task = submit(live)
    slow, other = events(live, task, rcvbuf=4096), events(live, task)
    seen = other.rest()
    assert seen[-1]["event"] == "completed" or "earliest_available" in seen[-1]
    end = ended(live, task)
    last = None
    while event := slow.next():
        last = event
    assert last[0] is None and last[1] == "observer_lagged"
    assert set(last[2]) == {"earliest_available", "latest_sequence"}
    assert last[2]["latest_sequence"] <= end["latest_sequence"] and end["state"] == "completed"
    assert live.metric("iicp_lifecycle_lagged_total") >= 1


def test_LIFECYCLE_13_leaving_and_coming_back(live, backend):
    stream(backend, [*[delta(f"w{i} ") for i in range(12)], FINISH, "[DONE]"], piece_ms=40)
    task = submit(live)
    first = events(live, task)
    seen = [first.next()[2] for _ in range(4)]
    first.close()
    seen += events(live, task, headers={"Last-Event-ID": str(seen[-1]["sequence"])}).rest()
    dense(seen)
    assert text_of(seen) == "".join(f"w{i} " for i in range(12))
    assert len(posts(backend)) == 1


def test_IICPD_02_82_many_observers(live, backend):
    stream(backend, [delta("x "), delta("y")], piece_ms=600000)
    task = submit(live)
    readers = [events(live, task) for _ in range(32)]
    wait_until(lambda: live.metric("iicp_lifecycle_observers") == 32, what="observers")
    over = live.get(f"/v1/tasks/{task}/events?follow=1", who("alice"))
    assert over.status == 429 and over.headers["Retry-After"]
    live.post(f"/v1/tasks/{task}/cancel", {}, who("alice"))
    for reader in readers:
        dense(reader.rest())
    wait_until(lambda: live.metric("iicp_lifecycle_observers") == 0, what="their end")


def test_one_thread_and_no_growth_for_many_streams(live, backend):
    def threads():
        return len(os.listdir(f"/proc/{live.pid}/task"))
    before = threads()
    stream(backend, [delta("x")], piece_ms=600000)
    tasks = [submit(live) for _ in range(4)]
    readers = [events(live, t) for t in tasks for _ in range(8)]
    for reader in readers:
        reader.next()
    assert threads() == before
    for t in tasks:
        live.post(f"/v1/tasks/{t}/cancel", {}, who("alice"))
    for reader in readers:
        reader.rest()


def test_streams_of_http_1_0(demo):
    task = submit(demo)
    raw = demo.raw(f"GET /v1/tasks/{task}/events HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
                   f"Authorization: Bearer {TOKENS['alice']}\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"200" in head.splitlines()[0] and b"chunked" not in head.lower()
    assert body.startswith(b"retry: 2000\n\nid: 0\n") and b"event: completed\n" in body


# ---- /v1/stream, /v1/control ----


def test_IICPD_02_83_stream_and_control(demo):
    task = submit(demo)
    reader = Events(demo, f"/v1/stream?subject=call&subject_id={task}&after_sequence=1").begin()
    seen = reader.rest()
    assert all(e["subject"] == "call" and e["subject_id"] == task and e["sequence"] == e["data"]["sequence"] for e in seen)
    assert [e["event_type"] for e in seen] == ["update"] * (len(seen) - 1) + ["end"]
    for query in ("", "?subject=node&subject_id=x", "?subject=call", "?subject=call&subject_id=x&after_sequence=y"):
        assert demo.get("/v1/stream" + query, who("alice")).status == 422
    assert demo.get("/v1/stream?subject=call&subject_id=none", who("alice")).status == 404
    other = submit(demo)
    done = demo.post("/v1/control", {"action": "cancel", "task_id": other, "reason": "over"}, who("alice"))
    assert done.status == 200 and done.json()["cancellation"] == "cancel_signalled"
    seen = Events(demo, f"/v1/stream?subject=call&subject_id={other}").begin().rest()
    assert seen[0]["event_type"] == "start" and seen[-1]["event_type"] == "error"
    for bad in ({}, {"action": "rate_limit"}, {"action": "credit_grant"}, {"action": "cancel"}, {"action": 1},
                {"action": "cancel", "task_id": other, "reason": "x\u00e9"}):
        answer = demo.post("/v1/control", bad, who("alice"))
        assert answer.status == 422 and answer.json()["error"]["code"] == "validation_error", bad
    assert demo.post("/v1/control", {"action": "cancel", "task_id": other}, who("bob")).status == 404
    for action in ("pause", "resume"):
        assert demo.post("/v1/control", {"action": action}, who("alice")).status == 403


def test_IICPD_02_83_pause_and_resume(lab, node_factory, tokens):
    node = node_factory(lab=lab, auth__caller_tokens=f"file:{tokens}")
    asked(lab, "heartbeat")
    own = who(json.loads((node.state_dir / "identity.json").read_text())["node_token"])
    for _ in range(2):
        answer = node.post("/v1/control", {"action": "pause"}, own)
        assert answer.status == 200 and answer.json() == {"ok": True}
    health = node.get("/iicp/health").json()
    assert health["available"] is False and health["backend_stability"]["backend_state"] == "draining"
    assert health["backend_stability"]["reason_class"] == "operator_paused"
    refused = node.post("/v1/task", envelope(profiles=[]))
    assert refused.status == 503 and refused.json()["error"]["reason"] == "operator_paused"
    assert node.post("/v1/control", {"action": "resume"}, own).json() == {"ok": True}
    assert node.post("/v1/task", envelope(profiles=[])).status == 200
