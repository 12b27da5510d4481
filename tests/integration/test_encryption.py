# SPDX-License-Identifier: Apache-2.0
"""IICP-CX at the task port of the built daemon: the decision table, rotation, the sealed state. The consumer's side is
written anew here, on another library."""

import base64
import json
import os
import pathlib
import stat
import subprocess
import uuid

import pytest

from conftest import clean_environment, program, wait_until
from test_directory import asked
from test_task import CHAT, refused, task

x25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.x25519")
from cryptography.exceptions import InvalidTag  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: E402

VECTORS = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "security"
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
CHAT_PAYLOAD = {"messages": [{"role": "user", "content": "Say hi."}]}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive(shared, nonce, info):
    return HKDF(hashes.SHA256(), 32, nonce, info.encode()).derive(shared)


def sealed(key, task_id, payload, intent=CHAT, plaintext=None):
    """(iicp_conf, shared secret)"""
    own = x25519.X25519PrivateKey.generate()
    shared = own.exchange(x25519.X25519PublicKey.from_public_bytes(unb64(key["key"])))
    nonce, aad = os.urandom(12), f"{task_id}|{intent}".encode()
    plaintext = json.dumps(payload).encode() if plaintext is None else plaintext
    body = AESGCM(derive(shared, nonce, "IICP-CX-v1" + task_id + intent)).encrypt(nonce, plaintext, aad)
    return {"version": 1, "recipient_key_id": key["key_id"], "kem_ciphertext": b64(own.public_key().public_bytes(*RAW)),
            "nonce": b64(nonce), "encrypted_body": b64(body), "aad": b64(aad), "plaintext_size": len(plaintext)}, shared


def opened(answer, shared):
    conf = answer["iicp_conf_resp"]
    key = derive(shared, unb64(conf["nonce"]), "IICP-CX-RESP-v1" + answer["task_id"])
    return json.loads(AESGCM(key).decrypt(unb64(conf["nonce"]), unb64(conf["encrypted_body"]),
                                          (answer["task_id"] + "|resp").encode()))


def keyring(node):
    return json.loads((node.folder / "state" / "cx" / "keyring.json").read_text())["keys"]


def current(node):
    key, = (k["cx_public_key"] for k in keyring(node) if k["state"] == "current")
    return key


def encrypted(key, payload=None, **changes):
    body = task(payload=..., **changes)
    body["iicp_conf"], shared = sealed(key, body["task_id"], payload or CHAT_PAYLOAD)
    return body, shared


@pytest.fixture
def demo(node_factory):
    return node_factory()


def test_IICPD_02_52_IICPD_05_11_nothing_is_readable_outside(demo):
    body, shared = encrypted(current(demo), cx_response_encryption="required")
    answer = demo.post("/v1/task", body)
    assert answer.status == 200
    outer = answer.json()
    assert set(outer) == {"task_id", "status", "iicp_conf_resp", "generated_by_ai"} and outer["status"] == "encrypted"
    inner = opened(outer, shared)
    assert inner["status"] == "success" and inner["task_id"] == body["task_id"] and inner["generated_by_ai"] is True
    assert inner["result"]["choices"][0]["message"]["content"].startswith("[demo]")
    with pytest.raises(InvalidTag):
        opened({**outer, "task_id": str(uuid.uuid4())}, shared)


def test_IICPD_02_52_errors_are_in_clear(node_factory, backend):
    node = node_factory(backend=backend)
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "status": 500}]})
    body, _ = encrypted(current(node), cx_response_encryption="required")
    refused(node.post("/v1/task", body), 502, "backend_error")


def test_IICPD_05_09_IICPD_02_51_decision_table(node_factory):
    """All 48 combinations of what a task may show."""
    on, off = node_factory(), node_factory(encryption__enabled="no")
    rows = json.loads((VECTORS / "cx-task-decision-v1.json").read_text())["rows"]
    assert len(rows) == 48
    for row in rows:
        node = on if row["cx_enabled"] else off
        body = task(payload=CHAT_PAYLOAD if row["payload_present"] else ...)
        shared = None
        if row["iicp_conf"] != "none":
            body["iicp_conf"], shared = sealed(current(on), body["task_id"], CHAT_PAYLOAD)
        if row["iicp_conf"] == "undecryptable":
            body["iicp_conf"]["encrypted_body"] = b64(os.urandom(64))
        if row["cx_response_encryption_required"]:
            body["cx_response_encryption"] = "required"
        headers = {"X-IICP-Require-E2E": "1"} if row["x_iicp_require_e2e"] else {}
        answer = node.post("/v1/task", body, headers=headers)
        assert answer.status == row["http_status"], (row, answer)
        if answer.status == 200:
            assert answer.json()["status"] == row["response_status"], row
            if row["response_status"] == "encrypted":
                assert opened(answer.json(), shared)["status"] == "success"
        else:
            error = answer.json()["error"]
            assert error["code"] == row["error_code"] and error.get("detail_code") == row.get("detail_code"), row


def test_IICPD_05_09_identifiers_are_those_of_the_outer_request(demo):
    key = current(demo)
    body, _ = encrypted(key)
    refused(demo.post("/v1/task", {**body, "task_id": str(uuid.uuid4())}), 422, "IICP-E050", detail_code="IICP-E062")
    moved = dict(body["iicp_conf"], aad=b64(b"another|thing"))
    refused(demo.post("/v1/task", {**body, "iicp_conf": moved}), 422, "IICP-E050", detail_code="IICP-E062")
    body = task(payload=...)
    for plaintext in (b"[]", b"{\xff}", b'{"a":' * 200 + b"1" + b"}" * 200, b""):
        conf, _ = sealed(key, body["task_id"], None, plaintext=plaintext)
        answer = refused(demo.post("/v1/task", {**body, "iicp_conf": conf}), 422, "validation_error")
        assert "detail_code" not in answer["error"]


def test_IICPD_05_02_zero_points_are_refused(demo):
    body, _ = encrypted(current(demo))
    for point in (bytes(32), b"\1" + bytes(31)):
        conf = dict(body["iicp_conf"], kem_ciphertext=b64(point))
        refused(demo.post("/v1/task", {**body, "iicp_conf": conf}), 422, "IICP-E050", detail_code="IICP-E062")


def test_IICPD_05_01_encodings_of_an_envelope(demo):
    key = current(demo)
    for change, good in ((lambda s: s + "=" * (-len(s) % 4), True), (lambda s: s[:-1], False),
                         (lambda s: s[:4] + "\n" + s[4:], False), (lambda s: "+/" + s[2:], False)):
        body, _ = encrypted(key)
        body["iicp_conf"]["kem_ciphertext"] = change(body["iicp_conf"]["kem_ciphertext"])
        answer = demo.post("/v1/task", body)
        if good:
            assert answer.status == 200, answer
        else:
            refused(answer, 422, "IICP-E050", detail_code="IICP-E062")


def test_IICPD_02_61_the_model_inside_counts(node_factory, backend):
    node = node_factory(backend=backend)
    wait_until(lambda: node.get("/iicp/health").json()["models"], what="models", process=node.popen)
    body, _ = encrypted(current(node), {**CHAT_PAYLOAD, "model": "other"})
    refused(node.post("/v1/task", body), 404, "model_not_found")


# ---- rotation ----


def test_CX_07_rotation_on_command_with_overlap(node_factory, lab, iicpctl):
    node = node_factory(lab=lab)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered", process=node.popen)
    old = current(node)
    assert old == asked(lab, "register")[0]["body"]["cx_public_key"]
    done = iicpctl(node, "rotate-key")
    assert done.returncode == 0 and "new encryption key" in done.stdout
    wait_until(lambda: node.status()["encryption"]["key_id"] != old["key_id"], what="the new key", process=node.popen)
    second = asked(lab, "register", 2)[1]["body"]
    assert second["cx_public_key"]["key_id"] == node.status()["encryption"]["key_id"] and second["current_node_token"]
    wait_until(lambda: current(node)["key_id"] != old["key_id"], what="the keyring")
    assert [k["state"] for k in keyring(node)] == ["current", "retired"]
    for key in (old, current(node)):
        assert node.post("/v1/task", encrypted(key)[0]).status == 200
    assert stat.S_IMODE((node.folder / "state" / "cx" / "keyring.json").stat().st_mode) == 0o600
    assert node.metric("iicp_encrypted_tasks_total", outcome="opened") == 2
    assert node.metric("iicp_encryption_key_pending") == 0


def test_IICPD_05_08_a_pending_key_is_offered_again_after_a_restart(node_factory, lab):
    node = node_factory(lab=lab)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered", process=node.popen)
    lab.post("/lab/faults", {"route": "register", "status": 503, "body": {}, "count": 100})
    old = current(node)
    node.control("/v1/rotate-key", method="POST", body={})
    wait_until(lambda: len(keyring(node)) == 2, what="the pending key", process=node.popen)
    pending, = (k["cx_public_key"] for k in keyring(node) if k["state"] == "pending")
    assert node.status()["encryption"]["pending"] == pending["key_id"]
    assert node.post("/v1/task", encrypted(pending)[0]).status == 200
    node.expect_exit = None
    node.kill()
    lab.request("DELETE", "/lab/faults")
    again = node_factory(lab=lab, config={"node.state_dir": node.folder / "state"})
    wait_until(lambda: current(node) == pending, what="taken by the directory", process=again.popen)
    assert again.post("/v1/task", encrypted(old)[0]).status == 200


def test_CX_07_a_node_that_registers_nowhere_rotates_too(demo):
    old = current(demo)
    assert demo.control("/v1/rotate-key", method="POST", body={}).status == 200
    wait_until(lambda: current(demo)["key_id"] != old["key_id"], what="the new key", process=demo.popen)
    assert demo.post("/v1/task", encrypted(old)[0]).status == 200


def test_IICPD_05_08_a_pending_key_of_a_node_that_registers_nowhere_is_taken_up(node_factory):
    node = node_factory()
    assert node.control("/v1/rotate-key", method="POST", body={}).status == 200
    wait_until(lambda: [k["state"] for k in keyring(node)] == ["current", "retired"], what="the new key")
    node.stop()
    # as if it had been killed between the two writes
    path = node.folder / "state" / "cx" / "keyring.json"
    ring = json.loads(path.read_text())
    new, old = ring["keys"]
    ring["keys"] = [{**old, "state": "current", "retired_at": None}, {**new, "state": "pending"}]
    path.write_text(json.dumps(ring))
    again = node_factory(config={"node.state_dir": node.folder / "state"})
    wait_until(lambda: again.status()["encryption"]["key_id"] == new["cx_public_key"]["key_id"], what="the pending key",
               process=again.popen)


# ---- the sealed state ----


def test_IICPD_05_31_state_key_seals_identity_and_keys(node_factory, tmp_path):
    key = tmp_path / "state-key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    node = node_factory(node__state_key=f"file:{key}")
    node_id = node.status()["node"]["node_id"]
    for name in ("identity.json", "cx/keyring.json"):
        record = json.loads((node.folder / "state" / name).read_text())
        assert set(record) == {"v", "alg", "node_id", "nonce", "ct"} and record["alg"] == "A256GCM"
        aad = f"{node_id}|{pathlib.Path(name).name}".encode()
        plain = AESGCM(bytes.fromhex(key.read_text())).decrypt(base64.b64decode(record["nonce"]),
                                                               base64.b64decode(record["ct"]), aad)
        assert json.loads(plain)["node_id"] == node_id
    assert key.read_text() not in node.log_text()
    node.stop()
    key.write_text(os.urandom(32).hex())
    again = node_factory(node__state_key=f"file:{key}", config={"node.state_dir": node.folder / "state"}, ready=False)
    again.expect_exit = 73
    assert again.wait() == 73
    assert "node.state_key" in again.log_text()


def test_unsealing_makes_no_node(tmp_path):
    nowhere = tmp_path / "none"
    done = subprocess.run([program("iicpd"), "-o", f"node.state_dir={nowhere}", "--unseal-state"],
                          capture_output=True, text=True, timeout=60, env=clean_environment())
    assert done.returncode == 73 and "nothing to unseal" in done.stderr and not nowhere.exists()
