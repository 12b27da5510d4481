# SPDX-License-Identifier: Apache-2.0
"""Who asks, what vouches for whom, and what is owed: tokens, replay guards, receipts, the operator's key."""

import base64
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from conftest import clean_environment, program, wait_until
from test_task import CHAT, EMBEDDING, own_token, refused, task

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "lab"))
from labdir import ed25519, trust  # noqa: E402

CALLERS = "alice:aliceTokenAliceTokenAliceTokenXX\nbob:bobTokenBobTokenBobTokenBobTokenXX\n"
ALICE, BOB = (line.split(":")[1] for line in CALLERS.split())
SEED = hashlib.sha256(b"iicp lab directory key one").digest()


def node_id(node):
    return json.loads((node.state_dir / "identity.json").read_text())["node_id"]


def token(node, seed=SEED, domain=None, **changes):
    now = int(time.time())
    claims = {"v": 1, "iss": "https://lab.example", "sub": "consumer-1", "aud": node_id(node), "intent": CHAT,
              "iat": now, "exp": now + 300, **changes}
    if domain is None:
        return trust.consumer_token(seed, claims)
    payload = trust.base64url(json.dumps(claims, separators=(",", ":")).encode())
    return payload + "." + ed25519.sign(seed, domain + payload.encode()).hex()


def shown(value):
    return {"X-IICP-Consumer-Token": value}


@pytest.fixture
def signing(lab):
    """A lab directory that signs."""
    assert lab.post("/lab/settings", {"directory_key": "one"}).status == 200
    return lab


def with_key(node):
    wait_until(lambda: node.status()["directory"]["key"], what="the directory's key")
    return node


@pytest.fixture
def closed(node_factory, signing, backend, tmp_path):
    callers = tmp_path / "callers"
    callers.write_text(CALLERS)
    callers.chmod(0o600)
    return with_key(node_factory(lab=signing, backend=backend, auth__mode="required",
                                 auth__caller_tokens=f"file:{callers}"))


# ---- tokens ----


def test_IICPD_05_18_consumer_token_opens_a_closed_node(closed):
    assert closed.post("/v1/task", task(), shown(token(closed))).status == 200
    assert closed.post("/v1/task", task(), shown(token(closed, intent="*"))).status == 200
    for wrong in (token(closed, intent=EMBEDDING), token(closed, aud="another"), token(closed, exp=int(time.time()) - 11),
                  token(closed, seed=b"2" * 32), "x.y"):
        refused(closed.post("/v1/task", task(), shown(wrong)), 401, "unauthorized")
    assert closed.metric("iicp_auth_failures_total", reason="intent") == 1
    assert closed.metric("iicp_auth_failures_total", reason="expired") == 1


def test_IICPD_05_20_a_dispatch_or_bind_ticket_is_no_admission(closed):
    for domain in (b"iicp:dispatch-route-ticket:v1\n", b"iicp:relay-bind-ticket:v1\n"):
        refused(closed.post("/v1/task", task(), shown(token(closed, domain=domain))), 401, "unauthorized")


def test_IICPD_05_17_caller_tokens_and_one_valid_suffices(closed):
    assert closed.post("/v1/task", task(auth={"node_token": ALICE})).status == 200
    assert closed.post("/v1/task", task(auth={"token": ALICE})).status == 200
    assert closed.post("/v1/task", task(), {"Authorization": f"Bearer {BOB}"}).status == 200
    assert closed.post("/v1/task", task(auth={"node_token": "wrong", "token": ALICE})).status == 200
    assert closed.post("/v1/task", task(auth={"node_token": "wrong"}), shown(token(closed))).status == 200
    bodies = set()
    for headers in ({}, {"Authorization": "Bearer x"}, shown("x.y"), shown(token(closed, aud="another"))):
        body = closed.post("/v1/task", task(task_id="00000000-0000-4000-8000-000000000000"), headers)
        bodies.add((body.status, body.text))
    assert len(bodies) == 1


def test_IICPD_05_18_an_open_node_takes_valid_and_invalid_ones(node_factory, signing, backend):
    node = with_key(node_factory(lab=signing, backend=backend))
    assert node.post("/v1/task", task(), shown(token(node))).status == 200
    assert node.post("/v1/task", task(), shown("x.y")).status == 200
    assert node.metric("iicp_auth_failures_total") == 1


def test_IICPD_02_39_without_a_key_tokens_count_as_absent(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend, auth__mode="required")
    node.await_log("directory_key_none")
    refused(node.post("/v1/task", task(), shown(token(node))), 401, "unauthorized")
    assert node.post("/v1/task", task(auth={"node_token": own_token(node)})).status == 200
    assert node.metric("iicp_auth_failures_total", reason="no_directory_key") == 1


def test_IICPD_05_19_a_new_key_is_fetched_when_a_signature_does_not_fit(closed, signing):
    other = hashlib.sha256(b"iicp lab directory key two").digest()
    signing.post("/lab/settings", {"directory_key": "two"})
    refused(closed.post("/v1/task", task(), shown(token(closed, seed=other))), 401, "unauthorized")
    closed.await_log("directory_key_changed")
    assert closed.post("/v1/task", task(), shown(token(closed, seed=other))).status == 200
    assert closed.post("/v1/task", task(), shown(token(closed))).status == 200  # the old one overlaps


def test_IICPD_05_16_warned_at_start_and_counted(node_factory, closed):
    node_factory().await_log(r"open_access .*anyone may run tasks here")
    closed.post("/v1/task", task())
    closed.await_log(r"auth_refused 1 task refused without valid credential")
    closed.post("/v1/task", task())
    assert len(re.findall("auth_refused", closed.log_text())) == 1


# ---- replay ----


def test_IICPD_05_24_guards_are_recorded_after_authorization_and_by_principal(closed):
    body = task(nonce="n")
    refused(closed.post("/v1/task", body), 401, "unauthorized")
    assert closed.post("/v1/task", {**body, "auth": {"node_token": ALICE}}).status == 200
    assert closed.post("/v1/task", {**body, "auth": {"node_token": BOB}}).status == 200
    assert closed.post("/v1/task", body, shown(token(closed))).status == 200
    refused(closed.post("/v1/task", {**body, "nonce": "other", "auth": {"node_token": ALICE}}), 409, "conflict",
            iicp_code="IICP-E010")
    refused(closed.post("/v1/task", {**task(), "nonce": "n", "auth": {"node_token": BOB}}), 409, "conflict",
            iicp_code="IICP-E011")


# ---- receipts ----


def credits_of(lab):
    return [n.get("credits") for n in lab.get("/lab/nodes").json()["nodes"]]


def test_IICPD_01_83_CIP_CR1_RUST_a_task_is_paid_for(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    node.await_log("register_ok")
    for _ in range(3):
        assert node.post("/v1/task", task()).status == 200
    wait_until(lambda: node.metric("iicp_awards_total", outcome="posted") == 3, what="three receipts")
    account = json.loads(iicpctl(node, "credits", "--json").stdout)
    assert account["account"]["balance"] > 0
    assert account["account"]["reconciles"] is True
    assert len(account["transactions"]) == 3
    assert account["awards"]["posted"] == 3
    assert not [v for v in lab.get("/lab/violations").json()["violations"]]


def test_IICPD_01_83_IICPD_05_44_receipts_survive_and_no_payload_is_kept(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend, log__level="debug")
    node.await_log("register_ok")
    lab.post("/lab/faults", {"name": "credits-500"})
    secret = "canaryPromptThatNobodyKeeps"
    assert node.post("/v1/task", task(payload={"messages": [{"role": "user", "content": secret}]})).status == 200
    wait_until(lambda: (node.state_dir / "awards.json").exists(), what="the queue on the disk")
    for path in node.state_dir.parent.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in node.log_text()
    assert os.readlink(f"/proc/{node.pid}/cwd") is not None
    limits = pathlib.Path(f"/proc/{node.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)


def test_DIR_CRED_01_DIR_CRED_02_DIR_CRED_04_account_and_quote(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    node.await_log("register_ok")
    shown_ = iicpctl(node, "credits")
    assert shown_.returncode == 0, shown_.stderr
    assert re.search(r"balance\s+0", shown_.stdout)
    quote = iicpctl(node, "credits", "--quote", CHAT, "--max-tokens", "2000")
    assert re.search(r"estimate\s+2", quote.stdout), quote
    assert iicpctl(node, "credits", "--quote", "no-intent").returncode == 1
    assert iicpctl(node, "credits", "--wrong").returncode == 2


def test_DIR_CRED_01_a_refused_token_is_told(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    node.await_log("register_ok")
    lab.post("/lab/settings", {"forget": "*"})
    answer = iicpctl(node, "credits")
    assert answer.returncode in (0, 1)
    unregistered = node_factory(backend=backend)
    answer = iicpctl(unregistered, "credits")
    assert answer.returncode == 1
    assert "not registered" in answer.stderr


# ---- the operator ----


def run(*args, home, **env):
    return subprocess.run([program("iicpctl"), *map(str, args)], text=True, capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL, env=clean_environment({"IICP_HOME": str(home), **env}))


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "sdk"
    folder.mkdir(mode=0o700)
    return folder


def test_DIR_OPID_01_a_delegated_node_is_the_operators(home, node_factory, lab, backend):
    made = run("operator", "init", "--name", "Lab", home=home)
    assert made.returncode == 0, made.stderr
    operator = json.loads((home / "operator.json").read_text())
    assert (home / "operator.json").stat().st_mode & 0o777 == 0o600
    node = node_factory(lab=lab, backend=backend)
    node.await_log("register_ok")
    written = run("operator", "delegate", "--node-id", node_id(node), "--ttl", "30d", "--out",
                  node.state_dir / "delegation.json", home=home)
    assert written.returncode == 0, written.stderr
    assert node.control("/v1/reload", "POST", {}).status == 200
    wait_until(lambda: [n["operator"] for n in lab.get("/lab/nodes").json()["nodes"]] == [operator["operator_id"]],
               what="the binding")
    assert node.status()["directory"]["operator"]["operator_pub"] == operator["operator_id"]
    assert node.metric("iicp_delegation_expiry_timestamp_seconds") > time.time() + 29 * 86400
    assert operator["operator_secret"] not in node.log_text()


def test_IICPD_05_27_sealed_and_never_from_argv(home):
    assert run("operator", "init", "--sealed", home=home).returncode == 1  # no terminal, no passphrase
    assert run("operator", "init", "--sealed", home=home, IICP_OPERATOR_PASSPHRASE="pass").returncode == 0
    operator = json.loads((home / "operator.json").read_text())
    assert operator["operator_secret"] == ""
    assert operator["operator_secret_enc"]["iter"] == 600000
    args = ("operator", "delegate", "--node-id", "n1")
    assert run(*args, home=home).returncode == 1
    assert run(*args, home=home, IICP_OPERATOR_PASSPHRASE="wrong").returncode == 1
    good = run(*args, home=home, IICP_OPERATOR_PASSPHRASE="pass")
    assert json.loads(good.stdout)["operator_pub"] == operator["operator_id"]
    assert run(*args, "--passphrase", "pass", home=home).returncode == 2
    for ttl in ("60s", "367d", "soon"):
        refused = run(*args, "--ttl", ttl, home=home)
        assert refused.returncode == 2 and "at most 366 days" in refused.stderr, ttl
    written = home / "delegation.json"
    written.write_text("kept")
    refused = run(*args, "--out", written, home=home, IICP_OPERATOR_PASSPHRASE="pass")
    assert refused.returncode == 1 and "is there already" in refused.stderr and written.read_text() == "kept"
    assert run("operator", "unseal", home=home, IICP_OPERATOR_PASSPHRASE="pass").returncode == 0
    assert len(base64.b64decode(json.loads((home / "operator.json").read_text())["operator_secret"])) == 32
    shown_ = run("operator", "show", home=home)
    assert operator["operator_id"] in shown_.stdout
    assert json.loads((home / "operator.json").read_text())["operator_secret"] not in shown_.stdout


def test_IICPD_05_26_an_edited_or_open_file_is_refused(home):
    run("operator", "init", home=home)
    path = home / "operator.json"
    path.chmod(0o644)
    assert "may be read by others" in run("operator", "show", home=home).stderr
    path.chmod(0o600)
    operator = json.loads(path.read_text())
    path.write_text(json.dumps({**operator, "created_at": "2020-01-01T00:00:00Z"}))
    assert "does not fit" in run("operator", "show", home=home).stderr
    path.write_text(json.dumps({**operator, "operator_id": "op-123"}))
    assert "old kind" in run("operator", "show", home=home).stderr
    assert run("operator", "init", home=home).returncode == 1  # never over what is there


def test_IICPD_05_32_the_daemon_signs_a_manifest(home, node_factory, lab, backend):
    run("operator", "init", home=home)
    manifest = home / "manifest.json"
    manifest.write_text(json.dumps({"version": "1", "remote_executor_can_read_prompt": True,
                                    "retention": {"task_payload": "none"}}))
    node = node_factory(lab=lab, backend=backend, operator__identity=f"file:{home / 'operator.json'}",
                        policy__manifest=manifest)
    node.await_log("register_ok")
    assert node.status()["directory"]["operator"]["manifest"] > "2026"
    assert node.status()["state"] == "ready"
    manifest.write_text(json.dumps({"version": "1"}))
    node.control("/v1/reload", "POST", {})
    node.await_log("manifest_left_out .*remote_executor_can_read_prompt")
    wait_until(lambda: node.status()["state"] == "degraded", what="degraded")
    signed = run("operator", "manifest", manifest, home=home)
    assert json.loads(signed.stdout)["signature"]["algorithm"] == "Ed25519"


def sdk_key(home, node):
    """A key file of the SDKs, from the vectors."""
    vectors = json.loads((TREE / "tests/vectors/security/cx-request-v1.json").read_text())
    private = bytes.fromhex(vectors["node_key"]["private_key_hex"])
    public = {"algorithm": "X25519", "encoding": "base64url",
              "key": trust.base64url(bytes.fromhex(vectors["node_key"]["public_key_hex"])),
              "key_id": vectors["node_key"]["key_id"]}
    folder = home / "cx"
    folder.mkdir(mode=0o700)
    path = folder / (hashlib.sha256(node.encode()).hexdigest()[:24] + ".json")
    path.write_text(json.dumps({"version": 1, "algorithm": "X25519", "private_key": trust.base64url(private),
                                "public_key": public}))
    path.chmod(0o600)
    return vectors["node_key"]["key_id"]


def test_IICPD_05_06_IICPD_05_26_import_of_an_sdk_home(home, node_factory, tmp_path, lab, backend):
    run("operator", "init", home=home)
    key_id = sdk_key(home, "sdk-node-1")
    state = tmp_path / "imported"
    args = ("import", home, "--node-id", "sdk-node-1", "--state-dir", state)
    asked = run(*args, home=home)
    assert asked.returncode == 0 and key_id in asked.stdout and not (state / "identity.json").exists()
    done = run(*args, "--yes", home=home)
    assert done.returncode == 0, done.stderr
    assert (state / "operator.json").stat().st_mode & 0o777 == 0o600
    node = node_factory(lab=lab, backend=backend, node__state_dir=state)
    node.await_log("register_ok")
    assert [n["node_id"] for n in lab.get("/lab/nodes").json()["nodes"]] == ["sdk-node-1"]
    assert key_id in node.get("/iicp/health").text + json.dumps(node.status())
    busy = run(*args, "--yes", home=home)
    assert busy.returncode == 1 and "stop iicpd" in busy.stderr + busy.stdout


def test_IICPD_05_06_import_compares_the_public_half(home, tmp_path):
    sdk_key(home, "sdk-node-1")
    path = next((home / "cx").iterdir())
    doc = json.loads(path.read_text())
    doc["public_key"]["key"] = trust.base64url(b"7" * 32)
    path.write_text(json.dumps(doc))
    done = run("import", home, "--node-id", "sdk-node-1", "--state-dir", tmp_path / "x", "--yes", home=home)
    assert done.returncode == 1 and "public half" in done.stderr


# ---- names, children, documents ----


def test_IICPD_05_45_node_names_over_their_whole_length(tmp_path):
    vectors = json.loads((TREE / "tests/vectors/security/operator-identity-v1.json").read_text())["node_names"]
    config = tmp_path / "c.conf"
    for case in vectors:
        if not case["name"] or "\0" in case["name"] or "\n" in case["name"]:
            continue  # no line of a file can hold them
        config.write_text(f"[node]\nname = {case['name']}\n")
        result = subprocess.run([program("iicpd"), f"--check-config={config}"], capture_output=True, text=True,
                                env=clean_environment())
        assert (result.returncode == 0) == case["valid"], (case, result.stderr)
    result = subprocess.run([program("iicpd"), "-o", "node.name=a\n", f"--check-config={tmp_path / 'none'}"],
                            capture_output=True, text=True, env=clean_environment())
    assert result.returncode != 0


def test_IICPD_05_52_nothing_is_forked(node):
    for _ in range(5):
        assert node.post("/v1/task", task()).status == 200
    children = pathlib.Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text()
    assert children == ""
    forbidden = re.compile(r"\b(fork|vfork|execv|execve|execvp|execl|execlp|posix_spawn|posix_spawnp|popen|system)\s*\(")
    # the helper of a tunnel, with the operator's yes only, is started in one place
    allowed = TREE / "daemon" / "tunnel" / "child.c"
    starts = forbidden.findall(allowed.read_text())
    assert sorted(starts) == ["execve", "fork"]
    for path in [*(TREE / "daemon").rglob("*.c"), *(TREE / "lib").rglob("*.c")]:
        # iicpctl is a program of the operator's terminal: it becomes journalctl, and serves the page beside itself
        assert path == allowed or "iicpctl" in path.parts or not forbidden.search(path.read_text()), path


def test_SEC_PRIV_01_the_manual_says_who_reads_tasks():
    manual = (TREE / "docs" / "iicpd.8").read_text()
    assert "reads the task and its answer in clear" in manual.replace("\n", " ")
