# SPDX-License-Identifier: Apache-2.0
"""The daemon against real inference servers. What they say differs by version: counts, shapes and finish
reasons are checked, not texts. IICPD_LAB_CACHE names the folder that keeps what was installed."""

import json
import os
import pathlib
import re
import socket
import struct
import subprocess
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


def test_IICPD_02_96_llamacpp_stops_when_the_caller_leaves(real, node_factory):
    url = real("llama-server", MODEL="slow")
    node = node_of(node_factory, "llamacpp", url)
    body = json.dumps({"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
                       "payload": {"model": "slow", "messages": [{"role": "user", "content": "x"}],
                                   "max_tokens": 2000}, "constraints": {"timeout_ms": 60000}}).encode()
    s = socket.create_connection((node.host, node.port))
    s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
              % (node.host.encode(), node.port, len(body), body))

    def working():
        out = subprocess.run(["curl", "-sf", url + "/slots"], capture_output=True, text=True, timeout=30, check=True)
        return sum(slot["is_processing"] for slot in json.loads(out.stdout))
    wait_until(lambda: working() == 1, what="generation")
    # a reset: one that only ended its sending side still waits
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    wait_until(lambda: first(node)["in_flight"] == 0, 2, "end of the call")
    wait_until(lambda: working() == 0, 3, "end of generation")


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
