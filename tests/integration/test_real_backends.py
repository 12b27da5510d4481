# SPDX-License-Identifier: Apache-2.0
"""The daemon against real inference servers. What they say differs by version: counts, shapes and finish
reasons are checked, not texts. IICPD_LAB_CACHE names the folder that keeps what was installed."""

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time
import urllib.request
import uuid

import pytest

from conftest import LAB, free_port, wait_until

pytestmark = pytest.mark.real

CACHE = pathlib.Path(os.environ.get("IICPD_LAB_CACHE", pathlib.Path.home() / ".cache" / "iicpd-lab"))
SCRIPT = LAB / "real-backend.sh"
INSTALL_S = 900


@pytest.fixture
def real():
    started = []

    def start(kind, **env):
        port = free_port()
        # its output goes to files: the server that stays would keep a pipe open
        CACHE.mkdir(parents=True, exist_ok=True)
        words = CACHE / f"{port}.start"
        with open(words, "w") as out:
            done = subprocess.run([SCRIPT, kind, str(port), CACHE], env={**os.environ, **env}, stdout=out,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=INSTALL_S)
        text = words.read_text()
        words.unlink()
        if done.returncode:
            pytest.skip(f"{kind} cannot be had here: {text[-400:]}")
        started.append(port)
        return re.search(r"http://[\w.:]+", text).group(0)

    yield start
    for port in started:
        subprocess.run([SCRIPT, "stop", str(port), CACHE], check=False, stdin=subprocess.DEVNULL,
                       capture_output=True)


def node_of(node_factory, type_, url, **keys):
    node = node_factory(config={"backend.test.type": type_, "backend.test.url": url}, **keys)
    wait_until(lambda: first(node)["list_ok"], what="model list")
    return node


def first(node):
    return node.status()["backends"][0]


def submit(node, model, text="Say hi.", kind="chat", timeout_ms=60000, **more):
    payload = {"messages": [{"role": "user", "content": text}]} if kind == "chat" else {}
    return node.request("POST", "/v1/task", {
        "task_id": str(uuid.uuid4()), "intent": f"urn:iicp:intent:llm:{kind}:v1",
        "payload": {"model": model, **payload, **more}, "constraints": {"timeout_ms": timeout_ms}}, None, 120)


def check_chat(node, model):
    answer = submit(node, model, temperature=0, max_tokens=8)
    assert answer.status == 200, answer
    result = answer.json()["result"]
    assert result["usage"]["prompt_tokens"] == 27 and result["usage"]["completion_tokens"] <= 8
    assert result["choices"][0]["finish_reason"] in ("length", "stop")
    assert isinstance(result["choices"][0]["message"]["content"], str)
    return answer


@pytest.mark.parametrize("type_", ["openai_compat", "llamacpp"])
def test_SDK_NODE_02_llamacpp(real, node_factory, type_):
    node = node_of(node_factory, type_, real("llama-server"))
    assert first(node)["flavour"] == "llamacpp"
    wait_until(lambda: first(node)["slots"] == 2, what="slots")
    check_chat(node, "tiny")
    assert submit(node, "nope").status == 404  # the server would have answered
    assert submit(node, "tiny", text="x" * 9000).json()["error"]["reason"] == "backend_rejected_payload"
    assert node.control("/v1/models").json()["models"][0]["context"] == 2048


def leave_behind(node, model, begun, **more):
    """A caller that resets its connection as soon as begun() is true."""
    body = json.dumps({"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
                       "payload": {"model": model, "messages": [{"role": "user", "content": "x"}], **more},
                       "constraints": {"timeout_ms": 60000}}).encode()
    with socket.create_connection((node.host, node.port)) as s:
        s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                  % (node.host.encode(), node.port, len(body), body))
        wait_until(begun, what="generation")
        # a reset: one that only ended its sending side still waits
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def working(url):
    """Slots at work, by the server's own word."""
    with urllib.request.urlopen(url + "/slots", timeout=30) as answer:
        return sum(slot["is_processing"] for slot in json.load(answer))


def stream_beside(url, model, tokens):
    """Another caller's stream, straight to the server; close() ends it."""
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps({
        "model": model, "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": "y"}]}).encode(),
        {"Content-Type": "application/json"})
    answer = urllib.request.urlopen(request, timeout=60)
    answer.readline()
    return answer


@pytest.mark.parametrize("type_", ["llamacpp", "anthropic"])
@pytest.mark.parametrize("beside", [False, True])
def test_IICPD_02_96_llamacpp_stops_when_the_caller_leaves(real, node_factory, type_, beside):
    url = real("llama-server", MODEL="slow", CTX="8192")
    node = node_of(node_factory, type_, url)
    wait_until(lambda: first(node)["slots"] == 2, what="slots")
    other = stream_beside(url, "slow", 6000) if beside else None
    at_rest = 1 if beside else 0
    wait_until(lambda: working(url) == at_rest, what="the other stream")
    leave_behind(node, "slow", lambda: working(url) == at_rest + 1, max_tokens=6000)
    began = time.monotonic()
    wait_until(lambda: working(url) == at_rest, 3, "end of generation")
    assert time.monotonic() - began < 1.0
    assert first(node)["in_flight"] == 0
    if other:
        assert other.readline() and working(url) == 1  # which went on
        other.close()


BEARER = {"Authorization": "Bearer tester"}


@pytest.fixture
def callers(tmp_path):
    (tmp_path / "callers").write_text("tester\n")
    (tmp_path / "callers").chmod(0o600)
    return f"file:{tmp_path}/callers"


def begin_stream(node, model, **more):
    """A streamed task; its id."""
    key = str(uuid.uuid4())
    answer = node.post("/v1/tasks", {
        "task_id": key, "intent": "urn:iicp:intent:llm:chat:v1", "idempotency_key": key,
        "payload": {"model": model, "messages": [{"role": "user", "content": "Say hi."}], **more},
        "constraints": {"timeout_ms": 60000, "required_profiles": ["urn:iicp:profile:service-lifecycle:v1"]}}, BEARER)
    assert answer.status == 202, answer
    return key


def events_of(node, key, follow=1):
    answer = node.get(f"/v1/tasks/{key}/events?follow={follow}", BEARER)
    assert answer.status == 200, answer
    return [json.loads(line) for line in answer.text.splitlines()]


def text_of(events):
    return "".join(e.get("result", "") for e in events if e["event"] == "partial")


@pytest.mark.parametrize("kind,type_", [("llama-server", "llamacpp"), ("llama-server", "anthropic"), ("ollama", "ollama"),
                                        ("ollama", "anthropic")])
def test_IICPD_02_73_streams_of_real_servers(real, node_factory, callers, kind, type_):
    node = node_of(node_factory, type_, real(kind), auth__caller_tokens=callers)
    whole = submit(node, "endless" if kind == "ollama" else "tiny", temperature=0, max_tokens=60)
    assert whole.status == 200
    events = events_of(node, begin_stream(node, "endless" if kind == "ollama" else "tiny", temperature=0, max_tokens=60))
    assert events[-1]["event"] == "completed" and events[-1]["finish_reason"] in ("length", "stop")
    assert text_of(events) and text_of(events) == whole.json()["result"]["choices"][0]["message"]["content"]
    assert events[-1]["usage"]["completion_tokens"] == whole.json()["result"]["usage"]["completion_tokens"]
    assert events[-1]["usage"]["prompt_tokens"] == whole.json()["result"]["usage"]["prompt_tokens"]


@pytest.mark.parametrize("type_", ["llamacpp", "anthropic"])
@pytest.mark.parametrize("beside", [False, True])
def test_IICPD_02_96_llamacpp_stops_when_a_stream_is_cancelled(real, node_factory, callers, type_, beside):
    url = real("llama-server", MODEL="slow", CTX="8192")
    node = node_of(node_factory, type_, url, auth__caller_tokens=callers)
    wait_until(lambda: first(node)["slots"] == 2, what="slots")
    other = stream_beside(url, "slow", 6000) if beside else None
    at_rest = 1 if beside else 0
    key = begin_stream(node, "slow", max_tokens=6000)
    wait_until(lambda: text_of(events_of(node, key, 0)) and working(url) == at_rest + 1, what="generation")
    began = time.monotonic()
    answer = node.post(f"/v1/tasks/{key}/cancel", {}, BEARER)
    assert answer.json()["cancellation"] == "cancel_signalled"
    wait_until(lambda: working(url) == at_rest, 3, "end of generation")
    assert time.monotonic() - began < 1.0
    assert events_of(node, key)[-1]["event"] == "cancelled"
    if other:
        assert other.readline() and working(url) == 1
        other.close()


@pytest.mark.parametrize("kind,model", [("llama-server", "tiny"), ("ollama", "tiny:latest")])
def test_IICPD_02_68_messages_of_real_servers(real, node_factory, kind, model):
    node = node_of(node_factory, "anthropic", real(kind))
    assert first(node)["flavour"] == "anthropic"
    check_chat(node, model)
    answer = submit(node, model, max_tokens=3, temperature=1, top_p=1, stop=["never said"])
    assert answer.status == 200
    assert answer.json()["result"]["usage"]["completion_tokens"] <= 3
    if kind == "ollama":
        assert submit(node, "nope").status == 404
    assert submit(node, model, max_tokens=5, messages=[
        {"role": "system", "content": "Be short."}, {"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]).status == 200


def runners(url):
    """Ollama's processes that generate: {pid: CPU time so far in ticks}."""
    server = (CACHE / (url.rpartition(":")[2] + ".pid")).read_text().strip()
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
            if fields[1] == server and b"runner" in stat.with_name("cmdline").read_bytes():
                found[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return found


def at_work(url):
    """True once a runner has computed for a tenth of a second more than when this was made."""
    before = sum(runners(url).values())
    return lambda: sum(runners(url).values()) > before + 10


def test_IICPD_02_96_ollama_stops_when_the_caller_leaves(real, node_factory):
    """It has one place, and tells of none: the next task is served long before the first could have ended."""
    url = real("ollama", OLLAMA_NUM_PARALLEL="1")
    node = node_of(node_factory, "ollama", url)
    assert submit(node, "endless", max_tokens=1).status == 200  # loaded
    leave_behind(node, "endless", at_work(url))
    wait_until(lambda: first(node)["in_flight"] == 0, 1, "end of the call")
    began = time.monotonic()
    assert submit(node, "endless", max_tokens=1).status == 200
    assert time.monotonic() - began < 1.5


def test_IICPD_02_97_ollama_whose_runner_dies(real, node_factory):
    url = real("ollama", OLLAMA_NUM_PARALLEL="1")
    node = node_of(node_factory, "ollama", url)
    assert submit(node, "endless", max_tokens=1).status == 200
    begun = at_work(url)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(submit, node, "endless")
        wait_until(begun, what="generation")
        for pid in runners(url):
            os.kill(pid, signal.SIGKILL)
        answer = answer.result()
    assert (answer.status, answer.json()["error"]["reason"]) == (502, "backend_failed")
    assert submit(node, "endless", max_tokens=1).status == 200  # it loads anew


@pytest.mark.parametrize("type_", ["ollama", "anthropic"])
def test_IICPD_02_97_ollama_whose_runner_dies_in_a_stream(real, node_factory, callers, type_):
    """It ends the body cleanly then, with no error in it."""
    url = real("ollama", OLLAMA_NUM_PARALLEL="1")
    node = node_of(node_factory, type_, url, auth__caller_tokens=callers)
    assert submit(node, "endless", max_tokens=1).status == 200
    key = begin_stream(node, "endless", max_tokens=8000)
    wait_until(lambda: text_of(events_of(node, key, 0)), what="text")
    for pid in runners(url):
        os.kill(pid, signal.SIGKILL)
    last = events_of(node, key)[-1]
    assert (last["event"], last["error"]["code"]) in [("failed", "stream_incomplete"), ("failed", "backend_error")]
    assert first(node)["in_flight"] == 0


def test_IICPD_02_96_ollama_stops_when_a_stream_is_cancelled(real, node_factory, callers):
    url = real("ollama", OLLAMA_NUM_PARALLEL="1")
    node = node_of(node_factory, "ollama", url, auth__caller_tokens=callers)
    assert submit(node, "endless", max_tokens=1).status == 200
    key = begin_stream(node, "endless")
    wait_until(lambda: text_of(events_of(node, key, 0)), what="text")
    assert node.post(f"/v1/tasks/{key}/cancel", {}, BEARER).status == 200
    began = time.monotonic()
    assert submit(node, "endless", max_tokens=1).status == 200
    assert time.monotonic() - began < 1.5


def test_SDK_NODE_02_embeddings(real, node_factory):
    node = node_of(node_factory, "llamacpp", real("embed"),
                   intents__default="urn:iicp:intent:llm:embedding:v1")
    model = node.control("/v1/models").json()["models"][0]["model"]
    answer = submit(node, model, kind="embedding", input=["a cat", "a kitten"])
    assert answer.status == 200, answer
    assert [len(d["embedding"]) for d in answer.json()["result"]["data"]] == [384, 384]


def test_IICPD_02_65_llamacpp_with_a_key(real, node_factory, tmp_path):
    (tmp_path / "key").write_text("k1")
    (tmp_path / "key").chmod(0o600)
    url = real("llama-server", API_KEY="k1")
    node = node_factory(config={"backend.test.type": "llamacpp", "backend.test.url": url,
                                "backend.test.api_key": f"file:{tmp_path}/key"})
    wait_until(lambda: first(node)["list_ok"], what="model list")
    check_chat(node, "tiny")


@pytest.mark.parametrize("type_", ["openai_compat", "ollama"])
def test_SDK_NODE_02_ollama(real, node_factory, type_):
    node = node_of(node_factory, type_, real("ollama"))
    assert first(node)["flavour"] == "ollama"
    check_chat(node, "tiny")
    check_chat(node, "tiny:latest")
    assert submit(node, "nope").status == 404


def test_SDK_NODE_02_ollama_embeddings_and_llamacpp_completions(real, node_factory):
    node = node_of(node_factory, "ollama", real("ollama"), intents__default="urn:iicp:intent:llm:embedding:v1")
    assert submit(node, "minilm", kind="embedding", input="a cat").status == 200
    node = node_of(node_factory, "llamacpp", real("llama-server"),
                   intents__default="urn:iicp:intent:llm:completion:v1")
    answer = submit(node, "tiny", kind="completion", prompt="x", max_tokens=4)
    assert answer.status == 200 and isinstance(answer.json()["result"]["choices"][0]["text"], str)
