# SPDX-License-Identifier: Apache-2.0
"""Kinds of servers besides the OpenAI dialect, and what their state does to the node."""

import http.server
import json
import ssl
import subprocess
import threading

import pytest

from conftest import wait_until
from test_backends import backend_state, control, header, models_known, posts, submit, told
from test_directory import asked

CHAT_PATH = "/v1/chat/completions"


def kind(node_factory, backend, type_, **keys):
    node = node_factory(config={"backend.test.type": type_, "backend.test.url": backend.url, **keys})
    models_known(node)
    return node


def test_IICPD_02_68_anthropic_messages(node_factory, backend_factory, tmp_path):
    (tmp_path / "key").write_text("sekrit")
    (tmp_path / "key").chmod(0o600)
    backend = backend_factory("--flavour", "anthropic", "--models", "claude-x")
    control(backend, key="sekrit")
    node = kind(node_factory, backend, "anthropic", **{"backend.test.api_key": f"file:{tmp_path}/key"})
    payload = {"messages": [{"role": "system", "content": "short"}, {"role": "user", "content": "hi"}],
               "temperature": 0.5, "stop": "END", "tools": [], "seed": 1}
    answer = submit(node, "claude-x", payload=payload)
    assert answer.status == 200
    result = answer.json()["result"]
    assert result["choices"][0]["message"]["content"] == "Hello from the fake."
    assert result["choices"][0]["finish_reason"] == "stop" and result["usage"]["total_tokens"] == 9
    assert answer.json()["metrics"]["tokens_used"] == 9
    sent = posts(backend)[-1]
    assert sent["path"] == "/v1/messages"
    assert json.loads(sent["body"]) == {
        "model": "claude-x", "messages": [{"role": "user", "content": "hi"}], "system": "short", "max_tokens": 4096,
        "temperature": 0.5, "stop_sequences": ["END"]}
    assert header(sent, "x-api-key") == ["sekrit"] and header(sent, "authorization") == []
    assert node.status()["backends"][0]["flavour"] == "anthropic"
    # a media URL is the service's to fetch
    payload = {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://img.example/a.png"}}]}]}
    assert submit(node, "claude-x", payload=payload).status == 200
    control(backend, rules=[{"path": "/v1/messages", "status": 529, "json": {
        "type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}}])
    answer = submit(node, "claude-x")
    assert (answer.status, answer.json()["error"]["reason"]) == (502, "backend_failed")


def test_IICPD_02_70_lmstudio_states(node_factory, backend_factory):
    backend = backend_factory("--flavour", "lmstudio")
    control(backend, rules=[{"path": "/api/v1/models", "json": {"models": [
        {"key": "tiny", "id": "tiny", "loaded_instances": [{"state": "loading"}]}]}}])
    node = kind(node_factory, backend, "openai_compat")
    wait_until(lambda: backend_state(node)["state"] == "draining", what="drain")
    assert backend_state(node)["reason"] == "backend_loading"
    node.await_log("backend 'test' is not ready: paused for 30 s")
    answer = submit(node, "tiny")
    assert (answer.status, answer.json()["error"]["reason"]) == (503, "backend_loading")
    assert 25 <= int(answer.headers["Retry-After"]) <= 30


def test_IICPD_02_70_meshllm_states(node_factory, backend_factory):
    backend = backend_factory("--flavour", "meshllm")
    control(backend, ready=False)
    node = kind(node_factory, backend, "meshllm")
    assert backend_state(node)["state"] == "draining"
    assert submit(node, "tiny").status == 503
    ready = backend_factory("--flavour", "meshllm", "--models", "mesh,tiny")
    node = kind(node_factory, ready, "meshllm")
    assert backend_state(node)["state"] == "ok"
    assert submit(node, "tiny").status == 200
    assert submit(node, "mesh").status == 404
    assert [m["model"] for m in node.control("/v1/models").json()["models"]] == ["tiny"]


def test_IICPD_02_71_a_draining_node_says_so_and_keeps_beating(lab, node_factory, backend):
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    node = node_factory(lab=lab, backend=backend)
    asked(lab, "heartbeat")
    assert node.get("/iicp/health").json()["available"] is True
    control(backend, rules=[{"path": CHAT_PATH, "mode": "reset"}])
    for _ in range(3):
        assert submit(node, "tiny").status == 502
    reached = len(posts(backend))
    answer = submit(node, "tiny")
    assert (answer.status, answer.json()["error"]["reason"]) == (503, "backend_unstable")
    assert len(posts(backend)) == reached
    assert node.get("/iicp/health").json()["available"] is False
    n = len(asked(lab, "heartbeat"))
    beats = asked(lab, "heartbeat", n + 2, 20)[n:]
    for beat in beats:
        assert beat["status"] == 200 and beat["body"]["available"] is False
        assert beat["body"]["backend_stability"]["backend_state"] == "draining"
        assert beat["body"]["backend_stability"]["reason_class"] == "backend_unstable"


def test_IICPD_02_72_a_changed_list_registers_again(lab, node_factory, backend):
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    node = node_factory(lab=lab, backend=backend)
    asked(lab, "heartbeat")
    assert len(asked(lab, "register")) == 1
    control(backend, models=["tiny", "more"])
    again = asked(lab, "register", 2, 40)[1]
    assert again["status"] == 201
    assert "more" in json.dumps(again["body"]["capabilities"])
    wait_until(lambda: node.get("/iicp/health").json()["models"] == ["tiny", "more"], what="models in health")


class Quiet(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_GET(self):
        self.seen.append(self.path)
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def https(tmp_path):
    """A server with a certificate that nobody trusts."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Quiet.seen.clear()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()


def test_IICPD_02_64_certificates_are_verified(node_factory, https):
    node = node_factory(config={"backend.test.type": "vllm", "backend.test.url": https, "backend.test.model": "m"})
    answer = submit(node, "m")
    assert (answer.status, answer.json()["error"]["reason"]) == (502, "backend_unreachable")
    assert Quiet.seen == []


def test_IICPD_02_75_no_second_try_on_a_backend_that_is_another_dialects_only(node_factory, backend_factory):
    """Chat only is no place for a completion, though it has the model."""
    one, other = backend_factory("--models", "m"), backend_factory("--models", "m", "--flavour", "anthropic")
    completion = "urn:iicp:intent:llm:completion:v1"
    node = node_factory(config={
        "backend.test.type": None, "backend.one.type": "openai_compat", "backend.one.url": one.url,
        "backend.two.type": "anthropic", "backend.two.url": other.url, "intents.default": completion})
    models_known(node, name="one")
    models_known(node, name="two")
    control(one, rules=[{"path": "/v1/completions", "mode": "reset"}])
    assert submit(node, "m", intent=completion, payload={"prompt": "x"}).status == 502
    assert all(r["method"] == "GET" for r in told(other)["requests"])
