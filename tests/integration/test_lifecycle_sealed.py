# SPDX-License-Identifier: Apache-2.0
"""Streamed tasks where they are encrypted: answers sealed for the consumer, iicp ask, TLS. [02 section 11]"""

import base64
import http.client
import json
import os
import signal
import subprocess
import uuid

import pytest

from conftest import clean_environment, program, wait_until
from test_backends import models_known, posts, told
from test_directory import asked
from test_lifecycle import (CHAT, FINISH, TOKENS, USAGE, delta, dense, envelope, events, stream, submit, text_of, tokens,  # noqa: F401
                            who)

# ---- encrypted ----


class Cipher:
    """A consumer's side of one encrypted task. [05 sections 3.5, 3.8]"""

    def __init__(self, key, task_id, intent=CHAT):
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
        self.task_id, self.intent, self.key_id = task_id, intent, key["key_id"]
        self.own = X25519PrivateKey.generate()
        self.shared = self.own.exchange(X25519PublicKey.from_public_bytes(self.bytes(key["key"])))

    @staticmethod
    def bytes(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    @staticmethod
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def cipher(self, salt, info):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        return AESGCM(HKDF(hashes.SHA256(), 32, salt, info.encode()).derive(self.shared))

    def conf(self, payload):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        own = self.own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        nonce, aad = os.urandom(12), f"{self.task_id}|{self.intent}".encode()
        key = self.cipher(nonce, "IICP-CX-v1" + self.task_id + self.intent)
        sealed = key.encrypt(nonce, json.dumps(payload).encode(), aad)
        return {"version": 1, "recipient_key_id": self.key_id, "nonce": self.text(nonce), "aad": self.text(aad),
                "kem_ciphertext": self.text(own), "encrypted_body": self.text(sealed)}

    def open(self, sealed, sequence):
        nonce = self.bytes(sealed["nonce"])
        return json.loads(self.cipher(nonce, "IICP-CX-RESP-v1" + self.task_id).decrypt(
            nonce, self.bytes(sealed["encrypted_body"]), f"{self.task_id}|{sequence}".encode()))


def test_IICPD_02_80_encrypted_events(lab, node_factory, backend, tokens):
    pytest.importorskip("cryptography")
    node = node_factory(lab=lab, backend=backend, auth__caller_tokens=f"file:{tokens}")
    models_known(node)
    key = asked(lab, "register")[0]["body"]["cx_public_key"]
    stream(backend, [delta("hidden "), delta("words"), FINISH, USAGE, "[DONE]"], piece_ms=60)
    body = envelope(cx_response_encryption="required")
    cipher = Cipher(key, body["task_id"])
    body["iicp_conf"] = cipher.conf(body.pop("payload"))
    submit(node, body)
    assert node.post("/v1/tasks", body, who("alice")).status == 200  # byte-identical
    reader, text, nonces = events(node, body["task_id"]), "", set()
    while event := reader.next():
        data = event[2]
        assert not {"result", "usage", "model_used", "finish_reason"} & set(data)
        if data["sequence"] < 2:
            assert "iicp_conf_resp" not in data
            continue
        nonces.add(data["iicp_conf_resp"]["nonce"])
        inner = cipher.open(data["iicp_conf_resp"], data["sequence"])
        assert inner["end"] is (data["event"] == "completed")
        text += inner.get("result", "")
    assert text == "hidden words" and inner["usage"]["total_tokens"] == 5 and inner["finish_reason"] == "stop"
    assert len(nonces) == data["sequence"] - 1
    other = envelope(task_id=str(uuid.uuid4()), cx_response_encryption="required")
    again = Cipher(key, other["task_id"])
    other["iicp_conf"] = again.conf(other.pop("payload"))
    other["request_digest"] = "sha256:" + "0" * 64
    submit(node, other)
    other["iicp_conf"] = again.conf({"messages": [{"role": "user", "content": "hi"}]})
    assert node.post("/v1/tasks", other, who("alice")).status == 200  # a retry with the digest


# ---- the consumer's side: iicp ask ----


@pytest.fixture
def mesh(lab, node_factory, backend, tokens, iicp, tmp_path):
    """A registered node and the program, which has a credential for it."""
    node = node_factory(lab=lab, backend=backend, auth__caller_tokens=f"file:{tokens}")
    models_known(node)
    asked(lab, "heartbeat")
    node_id = json.loads((node.state_dir / "identity.json").read_text())["node_id"]
    given = tmp_path / "provider-tokens"
    given.write_text(f"{node_id} {TOKENS['alice']}\n")
    given.chmod(0o600)
    conf = tmp_path / "consumer.conf"
    conf.write_text(f"[consumer]\nprovider_tokens = file:{given}\nallow_private_endpoints = yes\n")

    def ask(*args, **more):
        return iicp("--config", conf, "ask", *args, env={"IICP_DIRECTORY_URL": lab.url, "HOME": str(tmp_path)}, **more)

    node.given = given
    return node, ask


def paths(backend):
    return [r["path"] for r in posts(backend)]


def test_ask_streams_encrypted(mesh, backend):
    node, ask = mesh
    stream(backend, [delta("one "), delta("two "), delta("three"), FINISH, USAGE, "[DONE]"], piece_ms=50)
    done = ask("-q", "hi")
    assert done.returncode == 0 and done.stdout == "one two three\n", done.stderr
    assert node.metric("iicp_lifecycle_tasks") == 1
    assert json.loads(posts(backend)[-1]["body"])["stream"] is True
    events_ = ask("-q", "--json", "--stream", "hi")
    lines = [json.loads(line) for line in events_.stdout.splitlines()]
    assert [e["event"] for e in lines[:2]] == ["accepted", "partial"] and lines[-2]["event"] == "completed"
    assert lines[-1]["schema"] == "iicp.answer/1" and lines[-1]["text"] == "one two three"
    assert lines[-1]["metrics"]["tokens_used"] == 5
    assert all("result" not in e for e in lines[:-1])  # sealed


def test_ask_prints_once_without_a_credential(mesh, backend):
    node, ask = mesh
    node.given.write_text("another-node " + TOKENS["alice"] + "\n")
    done = ask("-q", "hi")
    assert done.returncode == 0 and done.stdout == "Hello from the fake.\n"
    assert node.metric("iicp_lifecycle_tasks") == 0


def test_ask_falls_back_when_the_credential_is_not_taken(mesh, backend):
    node, ask = mesh
    node.given.write_text(node.given.read_text().replace("a" * 40, "x" * 40))
    done = ask("-q", "hi")
    assert done.returncode == 0 and done.stdout == "Hello from the fake.\n", done.stderr
    assert node.metric("iicp_lifecycle_tasks") == 0


def test_SERVICE_LIFECYCLE_09_ask_keeps_what_was_said(mesh, backend):
    node, ask = mesh
    stream(backend, [delta("half an ans")])
    done = ask("hi")
    assert done.returncode == 1 and done.stdout == "half an ans\n"
    assert "cut off" in done.stderr
    assert len(posts(backend)) == 1  # nothing was asked again


def test_ask_interrupted_cancels_at_the_node(mesh, backend, lab, tmp_path):
    node, ask = mesh
    stream(backend, [delta("word ")], piece_ms=50, forever=True)
    env = clean_environment({"IICP_DIRECTORY_URL": lab.url, "HOME": str(tmp_path)})
    with subprocess.Popen([program("iicp"), "--config", tmp_path / "consumer.conf", "ask", "-q", "hi"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as running:
        assert running.stdout.read(5) == "word "
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=20)
    assert running.returncode == 130 and rest.replace("word ", "") == "\n"
    wait_until(lambda: told(backend)["cancelled"] == 1, what="end of the backend call")
    assert node.metric("iicp_lifecycle_tasks") == 1 and node.get("/iicp/health").json()["active_jobs"] == 0


def test_IICPD_02_79_events_behind_tls(node_factory, backend, tokens, tmp_path):
    """The stream leaves the HTTP library; the connection that it goes on with is the encrypted one."""
    pytest.importorskip("cryptography")
    from test_tls import certificate, context
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder)
    node = node_factory(backend=backend, ready=False, listen__tls_cert=f"file:{cert}", listen__tls_key=f"file:{key}",
                        auth__caller_tokens=f"file:{tokens}")
    wait_until(lambda: node._quiet(lambda: node.control("/v1/status").status == 200), what="start", process=node.popen)
    models_known(node)
    stream(backend, [*[delta(f"w{i} ") for i in range(20)], FINISH, "[DONE]"], piece_ms=10)
    c = http.client.HTTPSConnection(node.host, node.port, timeout=20, context=context())
    body = envelope()
    c.request("POST", "/v1/tasks", json.dumps(body), {"Content-Type": "application/json", **who("alice")})
    answer = c.getresponse()
    assert answer.status == 202 and answer.read()
    c.request("GET", f"/v1/tasks/{body['task_id']}/events?follow=1", headers=who("alice"))
    seen = [json.loads(line) for line in c.getresponse().read().splitlines()]
    dense(seen)
    assert text_of(seen) == "".join(f"w{i} " for i in range(20))
    c.close()
    wait_until(lambda: node.status()["route"]["connections"] == 0, what="the end is seen")
