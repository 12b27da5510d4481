# SPDX-License-Identifier: Apache-2.0
"""What goes wrong at a backend, each fault in each form a server is asked in: status, reason, slot and
memory. [02 sections 10.5, 10.8, 10.10]

whole: one answer. assembled: llama.cpp, which is asked to stream for a caller who wants the whole."""

import json
import pathlib
import re
import socket
import struct
import uuid

import pytest

from conftest import wait_until
from test_backends import backend_state, control, models_known, submit, told

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
BUSY = (503, "backend_busy", "backend_busy")
TIMEOUT = (504, "task_timeout", None)

FAULTS = {
    "reset": ({"mode": "reset"}, UNREACHABLE),
    "closed": ({"mode": "close"}, UNREACHABLE),
    "hang": ({"mode": "hang"}, TIMEOUT),
    "stalled in the middle": ({"mode": "stall"}, TIMEOUT),
    "slow trickle": ({"mode": "trickle", "piece_ms": 40}, TIMEOUT),
    "garbage": ({"mode": "garbage"}, INVALID),
    "not json": ({"body": "<html>"}, (INVALID, FAILED)),
    "wrong shape": ({"json": {"choices": [{"index": 0}]}}, INVALID),
    "no choices": ({"json": {"choices": []}}, INVALID),
    "error in a 200": ({"json": {"error": "x"}}, FAILED),
    "closed in the middle": ({"mode": "close_mid"}, UNREACHABLE),
    "reset in the middle": ({"mode": "reset_mid"}, UNREACHABLE),
    "endless": ({"mode": "endless"}, INVALID),
    "64 MiB": ({"size": 64 * 1024 * 1024}, INVALID),
    "64 MiB of an error": ({"status": 500, "size": 64 * 1024 * 1024}, FAILED),
    "gzip": ({"headers": {"Content-Encoding": "gzip"}, "base64": GZIP}, (INVALID, FAILED)),
    "redirect": ({"status": 302, "headers": {"Location": "/v1/models"}}, FAILED),
    **{f"status {s}": ({"status": s}, e) for s, e in {
        400: REJECTED, 413: REJECTED, 422: REJECTED, 401: AUTH, 403: AUTH, 404: MISSING, 408: FAILED, 409: FAILED,
        418: FAILED, 429: BUSY, 500: FAILED, 501: FAILED, 502: FAILED, 503: BUSY, 504: FAILED, 529: FAILED}.items()},
    "404 of the model": ({"status": 404, "body": "model 'x' not found"}, (404, "model_not_found", None)),
}

# of a stream only
STREAM_FAULTS = {
    "cut before its finish": ({"mode": "events", "events": [DELTA]}, FAILED),
    "finish missing, end mark there": ({"mode": "events", "events": [DELTA, "[DONE]"]}, FAILED),
    "error event": ({"mode": "events", "events": [DELTA, {"error": {"code": 500}}, FINISH, "[DONE]"]}, FAILED),
    "broken event": ({"mode": "events", "events": [DELTA, "{x", FINISH, "[DONE]"]}, INVALID),
    "endless events": ({"mode": "events", "events": [DELTA], "forever": True, "piece_ms": 1}, TIMEOUT),
    "endless comments": ({"mode": "events", "events": ["[DONE]"], "forever": True}, FAILED),
}


def memory(node):
    text = pathlib.Path(f"/proc/{node.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024


def all_is_well(node, backend, before):
    """No slot is left taken, nothing is kept, and the next task succeeds."""
    wait_until(lambda: backend_state(node)["in_flight"] == 0, what="free slot")
    assert memory(node) - before < GROWTH
    control(backend, rules=[])
    if backend_state(node)["state"] == "draining":
        return
    assert submit(node, "tiny").status == 200


def answer_of(node, name=""):
    answer = submit(node, "tiny", timeout_ms=1000)
    body = answer.json()
    assert body["status"] == ("timeout" if answer.status == 504 else "error"), f"{name}: {answer}"
    assert body["result"] is None
    error = body["error"]
    return answer.status, error["code"], error.get("reason")


@pytest.fixture(params=["whole", "assembled"])
def form(request):
    return request.param


@pytest.fixture(params=["own", "curl"])
def engine(request):
    """A name is something that only libcurl's client takes."""
    return request.param


@pytest.fixture
def served(node_factory, backend_factory, form, engine):
    backend = backend_factory("--flavour", "llamacpp" if form == "assembled" else "custom")
    node = node_factory(config={"backend.test.type": "openai_compat",
                                "backend.test.url": backend.url.replace("127.0.0.1", "backend.localhost") if engine == "curl" else backend.url})
    models_known(node)
    return node, backend


def expected(want, form):
    return want[form == "assembled"] if isinstance(want[0], tuple) else want


def test_IICPD_02_69_each_fault(served, form):
    node, backend = served
    wrong = {}
    assert submit(node, "tiny").status == 200
    before = memory(node)
    for name, (rule, want) in FAULTS.items():
        control(backend, rules=[{"path": CHAT_PATH, **rule}])
        got = answer_of(node, name)
        if got != expected(want, form) and not (got[0] == 503 == want[0] and got[2] == want[2]):
            wrong[name] = got
        all_is_well(node, backend, before)
    assert not wrong
    assert "<html>" not in node.log_text()


def test_IICPD_02_69_IICPD_02_97_each_fault_of_a_stream(served, form):
    if form == "whole":
        pytest.skip("nobody asked for a stream")
    node, backend = served
    wrong = {}
    assert submit(node, "tiny").status == 200
    before = memory(node)
    for name, (rule, want) in STREAM_FAULTS.items():
        control(backend, rules=[{"path": CHAT_PATH, **rule}])
        got = answer_of(node, name)
        if got != want:
            wrong[name] = got
        all_is_well(node, backend, before)
    assert not wrong


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
