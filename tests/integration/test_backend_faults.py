# SPDX-License-Identifier: Apache-2.0
"""What goes wrong at a backend, each fault in each form a server is asked in: status, reason, slot and
memory. [02 sections 10.5, 10.8, 10.10]

whole: one answer. assembled: llama.cpp, which is asked to stream for a caller who wants the whole.
streamed: a caller who wants the text as it comes."""

import json
import pathlib
import re
import socket
import struct
import uuid

import pytest

from conftest import wait_until
from test_backends import backend_state, control, models_known, posts, submit, told

CHAT_PATH = "/v1/chat/completions"
GROWTH = 40 * 1024 * 1024  # an answer of 8 MiB in a buffer that grew by doubling, and a copy
DELTA = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
GZIP = "H4sIAAAAAAAAAwMAAAAAAAAAAAA="

REJECTED = (422, "validation_error", "backend_rejected_payload")
AUTH = (502, "backend_error", "backend_auth")
FAILED = (502, "backend_error", "backend_failed")
INVALID = (502, "backend_error", "backend_invalid_response")
UNREACHABLE = (502, "backend_error", "backend_unreachable")
MISSING = (502, "backend_error", "backend_endpoint_missing")
BUSY = (503, "IICP-E024", "backend_busy")
TIMEOUT = (504, "task_timeout", None)
INCOMPLETE = ("failed", "stream_incomplete", None)
BROKEN = ("failed", "invalid_backend_stream", None)
LIFECYCLE = "urn:iicp:profile:service-lifecycle:v1"

# whole, assembled and streamed, where they differ
FAULTS = {
    "reset": ({"mode": "reset"}, UNREACHABLE),
    "closed": ({"mode": "close"}, UNREACHABLE),
    "hang": ({"mode": "hang"}, TIMEOUT),
    "stalled in the middle": ({"mode": "stall"}, TIMEOUT),
    "slow trickle": ({"mode": "trickle", "piece_ms": 40}, TIMEOUT),
    "garbage": ({"mode": "garbage"}, INVALID),
    "not json": ({"body": "<html>"}, (INVALID, FAILED, INCOMPLETE)),
    "wrong shape": ({"json": {"choices": [{"index": 0}]}}, INVALID),
    "no choices": ({"json": {"choices": []}}, INVALID),
    "error in a 200": ({"json": {"error": "x"}}, FAILED),
    "closed in the middle": ({"mode": "close_mid"}, (UNREACHABLE, UNREACHABLE, INCOMPLETE)),
    "reset in the middle": ({"mode": "reset_mid"}, (UNREACHABLE, UNREACHABLE, INCOMPLETE)),
    "endless": ({"mode": "endless"}, (INVALID, INVALID, BROKEN)),
    "64 MiB": ({"size": 64 * 1024 * 1024}, (INVALID, INVALID, BROKEN)),
    "64 MiB of an error": ({"status": 500, "size": 64 * 1024 * 1024}, FAILED),
    "gzip": ({"headers": {"Content-Encoding": "gzip"}, "base64": GZIP}, (INVALID, FAILED, INCOMPLETE)),
    "redirect": ({"status": 302, "headers": {"Location": "/v1/models"}}, FAILED),
    **{f"status {s}": ({"status": s}, e) for s, e in {
        400: REJECTED, 413: REJECTED, 422: REJECTED, 401: AUTH, 403: AUTH, 404: MISSING, 408: FAILED, 409: FAILED,
        418: FAILED, 429: BUSY, 500: FAILED, 501: FAILED, 502: FAILED, 503: BUSY, 504: FAILED, 529: FAILED}.items()},
    "404 of the model": ({"status": 404, "body": "model 'x' not found"}, (404, "model_not_found", None)),
}

# of a stream only: put together, and given on
STREAM_FAULTS = {
    "cut before its finish": ({"mode": "events", "events": [DELTA]}, FAILED, INCOMPLETE),
    "finish missing, end mark there": ({"mode": "events", "events": [DELTA, "[DONE]"]}, FAILED, INCOMPLETE),
    "error event": ({"mode": "events", "events": [DELTA, {"error": {"code": 500}}, FINISH, "[DONE]"]}, FAILED, FAILED),
    "broken event": ({"mode": "events", "events": [DELTA, "{x", FINISH, "[DONE]"]}, INVALID, BROKEN),
    "endless events": ({"mode": "events", "events": [DELTA], "forever": True, "piece_ms": 1}, TIMEOUT, TIMEOUT),
    "endless after the end mark": ({"mode": "events", "events": ["[DONE]"], "forever": True}, FAILED, INCOMPLETE),
    "line of more than a mebibyte": ({"mode": "events", "events": ["x" * 1100000]}, INVALID, BROKEN),
}


BEARER = {"Authorization": "Bearer tester"}


def memory(node):
    text = pathlib.Path(f"/proc/{node.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024


def growth(node):
    """A sanitizer keeps what was freed for a while."""
    return GROWTH * (3 if "asan" in pathlib.Path(f"/proc/{node.pid}/maps").read_text() else 1)


def stream(node, **more):
    """Submits, follows to the end; the events."""
    key = str(uuid.uuid4())
    answer = node.post("/v1/tasks", {
        "task_id": key, "intent": "urn:iicp:intent:llm:chat:v1", "idempotency_key": key,
        "payload": {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]},
        "constraints": {"timeout_ms": 1000, "required_profiles": [LIFECYCLE], **more}}, BEARER)
    assert answer.status == 202, answer
    answer = node.get(f"/v1/tasks/{key}/events?follow=1", BEARER)
    assert answer.status == 200
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [e["sequence"] for e in events] == list(range(len(events))) and events[-1]["is_final"]
    return events


def text_of(events):
    return "".join(e.get("result", "") for e in events if e["event"] == "partial")


def all_is_well(node, backend, before, form):
    """No slot is left taken, nothing is kept, and the next task succeeds."""
    wait_until(lambda: backend_state(node)["in_flight"] == 0, what="free slot")
    assert memory(node) - before < growth(node)
    control(backend, rules=[])
    if backend_state(node)["state"] == "draining":
        return
    if form == "streamed":
        events = stream(node)
        assert events[-1]["event"] == "completed" and text_of(events) == "Hello from the fake."
        assert events[-1]["tokens_used"] == 9
    else:
        assert submit(node, "tiny").status == 200


def answer_of(node, name="", form="whole"):
    if form == "streamed":
        last = stream(node)[-1]
        assert "result" not in last and last["event"] in ("failed", "timed_out"), f"{name}: {last}"
        return last["event"], last["error"]["code"], None
    answer = submit(node, "tiny", timeout_ms=1000)
    body = answer.json()
    assert body["status"] == ("timeout" if answer.status == 504 else "error"), f"{name}: {answer}"
    assert body["result"] is None
    error = body["error"]
    return answer.status, error["code"], error.get("reason")


@pytest.fixture(params=["whole", "assembled", "streamed"])
def form(request):
    return request.param


@pytest.fixture(params=["own", "curl"])
def engine(request):
    """A name is something that only libcurl's client takes."""
    return request.param


@pytest.fixture
def served(node_factory, backend_factory, form, engine, tmp_path):
    (tmp_path / "callers").write_text("tester\n")
    (tmp_path / "callers").chmod(0o600)
    backend = backend_factory("--flavour", "llamacpp" if form == "assembled" else "custom")
    node = node_factory(config={"backend.test.type": "openai_compat",
                                "auth.caller_tokens": f"file:{tmp_path}/callers",
                                "backend.test.url": backend.url.replace("127.0.0.1", "backend.localhost") if engine == "curl" else backend.url})
    models_known(node)
    return node, backend


def expected(want, form):
    """A stream says in its last event what the answer says by status, code and reason."""
    if isinstance(want[0], tuple):
        want = want[("whole", "assembled", "streamed").index(form)]
    if form == "streamed" and isinstance(want[0], int):
        return "timed_out" if want[0] == 504 else "failed", want[1], None
    return want


def prove(served, form, faults):
    node, backend = served
    wrong = {}
    assert submit(node, "tiny").status == 200
    if form == "streamed":
        stream(node)
    before = memory(node)
    for name, rule, want in faults:
        control(backend, rules=[{"path": CHAT_PATH, **rule}])
        got = answer_of(node, name, form)
        if got != expected(want, form):
            wrong[name] = got
        all_is_well(node, backend, before, form)
    assert not wrong
    assert "<html>" not in node.log_text()


def test_IICPD_02_69_each_fault(served, form):
    prove(served, form, [(name, *fault) for name, fault in FAULTS.items()])


@pytest.mark.parametrize("form", ["assembled", "streamed"])  # nobody else asked for a stream
def test_IICPD_02_69_IICPD_02_97_each_fault_of_a_stream(served, form):
    prove(served, form, [(name, rule, given if form == "streamed" else whole)
                         for name, (rule, whole, given) in STREAM_FAULTS.items()])


def test_IICPD_02_69_refused(node_factory, backend_factory):
    backend = backend_factory()
    node = node_factory(backend=backend)
    models_known(node)
    backend.kill()
    assert answer_of(node) == UNREACHABLE
    assert backend_state(node)["in_flight"] == 0


def test_IICPD_02_96_a_caller_that_leaves_ends_a_stream(served, form):
    """The server's side of the connection is closed at once, whatever it was doing."""
    node, backend = served
    control(backend, rules=[{"path": CHAT_PATH, "mode": "events", "events": [DELTA], "forever": True, "piece_ms": 20}])
    body = json.dumps({"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
                       "payload": {"model": "tiny", "messages": [{"role": "user", "content": "x"}]},
                       "constraints": {"timeout_ms": 60000}}).encode()
    with socket.create_connection((node.host, node.port)) as s:
        s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                  % (node.host.encode(), node.port, len(body)) + body)
        wait_until(lambda: told(backend)["active"] == 1 and told(backend)["said"] > 2, what="stream")
        # a reset: one that only ended its sending side still waits
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: told(backend)["active"] == 0, timeout=1.5, what="end of the stream")
    wait_until(lambda: backend_state(node)["in_flight"] == 0, timeout=1.5, what="free slot")


def test_IICPD_02_75_a_stream_goes_elsewhere_only_before_its_first_text(node_factory, backend_factory, tmp_path):
    (tmp_path / "callers").write_text("tester\n")
    (tmp_path / "callers").chmod(0o600)
    one, other = backend_factory(), backend_factory()
    node = node_factory(config={
        "auth.caller_tokens": f"file:{tmp_path}/callers", "backend.test.type": None,
        "backend.one.type": "openai_compat", "backend.one.url": one.url,
        "backend.two.type": "openai_compat", "backend.two.url": other.url})
    models_known(node, name="one")
    models_known(node, name="two")
    for rule in ({"mode": "reset"}, {"status": 503}):
        control(one, rules=[{"path": CHAT_PATH, **rule}])
        events = stream(node)
        assert events[-1]["event"] == "completed" and text_of(events) == "Hello from the fake."
    n = len(posts(other))
    assert n == 2
    control(one, rules=[{"path": CHAT_PATH, "mode": "reset_mid"}])
    events = stream(node)
    assert events[-1]["error"]["code"] == "stream_incomplete" and text_of(events)
    assert len(posts(other)) == n
