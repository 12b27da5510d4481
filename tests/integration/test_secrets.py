# SPDX-License-Identifier: Apache-2.0
"""Canaries: each secret and each private text has words that are then looked for wherever a node says or
leaves something. [05 section 16]"""

import base64
import json
import os
import pathlib
import signal
import uuid

import pytest

CHAT = "urn:iicp:intent:llm:chat:v1"
CONTROL = ("status", "tasks", "backends", "models", "directory", "config", "metrics", "version", "health")
API_KEY = "canary-api-key-7be1c2"
CALLER = "canary-caller-token-b1f07c55d2e9444ea0"
PROMPT = "canary-prompt-heliotrope"
RESULT = "canary-result-chrysanthemum"
STRANGER = "canary-wrong-token-00c0ffee00c0ffee00"


def secret_file(folder, name, text):
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return f"file:{path}"


def task(text=PROMPT, **members):
    return {"task_id": str(uuid.uuid4()), "intent": CHAT,
            "payload": {"messages": [{"role": "user", "content": text}]}, **members}


@pytest.fixture
def world(driven, tmp_path):
    vault = tmp_path / "vault"
    vault.mkdir(mode=0o700)
    (tmp_path / "events").mkdir()
    w = driven(log__level="debug", log__format="json", auth__mode="required",
               auth__caller_tokens=secret_file(vault, "callers", f"friend:{CALLER}"),
               backend__test__api_key=secret_file(vault, "key", API_KEY),
               log__events_dir=tmp_path / "events")
    w.lab.post("/lab/settings", {"directory_key": "one"})
    w.backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "json": {
        "id": "x", "object": "chat.completion", "created": 1, "model": "tiny",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": RESULT}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}}]})
    return w


def live(w):
    """A life in which each secret is used, and refused, at least once; returns what was answered."""
    friend = {"Authorization": f"Bearer {CALLER}"}
    stranger = {"Authorization": f"Bearer {STRANGER}"}
    w.registered()
    answers = [w.node.post("/v1/task", task(), friend)]
    assert answers[0].status == 200 and RESULT in answers[0].text
    refused = [
        w.node.post("/v1/task", task(), stranger),
        w.node.post("/v1/task", task(auth={"node_token": STRANGER})),
        w.node.post("/v1/task", task(), {"X-IICP-Consumer-Token": f"{STRANGER}.{'00' * 64}"}),
        w.node.post("/v1/task", json.dumps(task())[:-5], {**friend, "Content-Type": "application/json"}),
        w.node.post("/v1/task", {**task(), "payload": {"messages": PROMPT}}, friend),
        w.node.post("/v1/task", {**task(), "intent": "urn:iicp:intent:llm:nothing:v1"}, friend),
        w.node.post("/v1/task", {**task(), "iicp_conf": {"ciphertext": PROMPT}}, friend),
        w.node.get(f"/v1/task?token={STRANGER}", friend),
        w.node.post(f"/{STRANGER}", task(), friend),
    ]
    assert all(r.status >= 400 for r in refused), refused
    w.backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "status": 500, "json": {
        "error": {"message": f"{RESULT} {API_KEY} {PROMPT}"}}}]})
    refused.append(w.node.post("/v1/task", task(), friend))
    assert refused[-1].status >= 500
    # a wrong token at the directory, a rotation, a rotation that got lost, a restart of the acquaintance
    for fault in ("forgotten", "rotation-lost", "beat-401", "register-403-e049-d1", "beat-500", "register-html"):
        w.lab.post("/lab/faults", {"name": fault})
        w.advance(40)
    w.lab.request("DELETE", "/lab/faults")
    w.advance(90)
    w.node.signal(signal.SIGHUP)
    w.advance(5)
    return refused


def secrets_of(w):
    found = {"api key": API_KEY, "caller token": CALLER, "prompt": PROMPT, "result": RESULT, "wrong token": STRANGER}
    for i, r in enumerate(w.asked("register")):
        for name in ("node_token", "node_hmac_key", "proxy_token"):
            if isinstance(r["answer"], dict) and name in r["answer"]:
                found[f"{name} {i}"] = r["answer"][name]
    return found


def kept_keys(w):
    """Private keys in the state folder, as they are written there."""
    keys = {}
    for path in (w.node.state_dir / "cx").glob("*"):
        def look(value, path=path):
            if isinstance(value, dict):
                for k, v in value.items():
                    if isinstance(v, str) and k in ("private", "private_key", "secret", "d", "seed"):
                        keys[f"{path.name} {k}"] = v
                    look(v)
            elif isinstance(value, list):
                for v in value:
                    look(v)
        try:
            look(json.loads(path.read_text()))
        except ValueError:
            pass
    return keys


def test_IICPD_05_53_SEC_LOG_01_no_secret_in_log_argv_metrics_control_or_errors(world):
    refused = live(world)
    node = world.node
    places = {"log": node.log_text() + node.out_text(), "metrics": node.get("/metrics").text,
              "health": node.get("/iicp/health").text,
              "argv": pathlib.Path(f"/proc/{node.pid}/cmdline").read_text(),
              "environment": pathlib.Path(f"/proc/{node.pid}/environ").read_text()}
    for path in CONTROL:
        places[f"control {path}"] = node.control(f"/v1/{path}").text
    for i, r in enumerate(refused):
        places[f"error {i}"] = r.text + str(r.headers)
    for path in (*node.runtime_dir.rglob("*"), *(node.folder.parent / "events").rglob("*")):
        if path.is_file():
            places[str(path)] = path.read_text("utf-8", "replace")
    assert any("events" in p and text for p, text in places.items())
    assert '"level":"debug"' in places["log"].replace(" ", "")
    canaries = {**secrets_of(world), **kept_keys(world)}
    assert len([n for n in canaries if n.startswith("node_token")]) >= 2
    found = [f"{name} in {place}" for place, text in places.items() for name, value in canaries.items()
             if value in text or base64.b64encode(value.encode()).decode().rstrip("=") in text]
    assert found == []
    # that they were there to be leaked
    keys = [r["headers"] for r in world.backend.get("/_requests").json()["requests"]]
    assert any(API_KEY in json.dumps(k) for k in keys)


def test_IICPD_05_44_secrets_in_requests_go_where_they_belong(world):
    live(world)
    for r in world.lab.get("/lab/requests").json()["requests"]:
        text = r["raw"] + json.dumps(r["headers"]) + r["path"]
        for value in (API_KEY, CALLER, PROMPT, RESULT, STRANGER):
            assert value not in text, r["route"]
        if r["route"] in ("register", "registry", "directory-key", "node"):
            assert "authorization" not in r["headers"]
    tokens = [v for n, v in secrets_of(world).items() if n.startswith("node_")]
    seen = json.dumps(world.backend.get("/_requests").json())
    assert not [t for t in tokens if t in seen]


def test_IICPD_05_55_no_core_is_written(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend)
    limits = pathlib.Path(f"/proc/{node.pid}/limits").read_text()
    core, = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]
    node.expect_exit = None
    # dumps core by default, no sanitizer takes it for a fault of ours, no shell ignores it for its children
    os.kill(node.pid, signal.SIGXCPU)
    _, status = os.waitpid(node.pid, 0)
    node.popen.returncode = -signal.SIGXCPU
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU and not os.WCOREDUMP(status)


def test_a_caller_token_that_no_header_can_carry_is_refused(node_factory, tmp_path):
    tokens = tmp_path / "callers"
    tokens.write_text("alice:tok-of-alice\nbob tok-of-bob\n")
    tokens.chmod(0o600)
    node = node_factory(auth__caller_tokens=f"file:{tokens}", ready=False)
    node.expect_exit = 78
    assert node.wait() == 78
    assert "auth.caller_tokens: line 2 has a blank in it" in node.log_text()
    assert "tok-of-bob" not in node.log_text()
