# SPDX-License-Identifier: Apache-2.0
"""What iicpctl says of tasks, backends, models, settings and the log; and one task of its own."""

import json
import os
import signal

from conftest import wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"


def body(task_id, **constraints):
    return {"task_id": task_id, "intent": CHAT, "payload": {"messages": [{"role": "user", "content": "canary-prompt"}]},
            "constraints": constraints}


A, B = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def test_OX_tasks_shows_what_became_of_them_and_never_the_prompt(node_factory, backend_factory, iicpctl):
    backend = backend_factory()
    node = node_factory(backend=backend)
    assert node.post("/v1/task", body(A)).status == 200
    assert node.post("/v1/task", {**body(B), "intent": "urn:iicp:intent:no:such:v1"}).status in (404, 422)
    shown = iicpctl(node, "tasks")
    assert shown.returncode == 0 and "canary" not in shown.stdout
    lines = shown.stdout.splitlines()
    assert lines[0].split()[:7] == ["RUNNING", "AGE", "INTENT", "MODEL", "CALLER", "DOOR", "LEFT"] and lines[1] == "none"
    assert [l.split()[0] for l in lines[3:5]] == ["22222222", "11111111"], "the newest first"
    assert " 200" in lines[4] and "unknown_intent" in lines[3] and "anon" in lines[4]
    failed = iicpctl(node, "tasks", "--failed").stdout
    assert "22222222" in failed and "11111111" not in failed
    one = iicpctl(node, "tasks", "1111")
    assert one.returncode == 0
    for step in ("received", "admitted", "backend asked", "first byte", "answered", "result"):
        assert step in one.stdout, step
    document = json.loads(iicpctl(node, "tasks", A, "--json").stdout)
    steps = document["task"]["steps"]
    assert 0 == steps["received_ms"] <= steps["admitted_ms"] <= steps["backend_asked_ms"] <= steps["answered_ms"]
    assert iicpctl(node, "tasks", "9999").returncode == 1
    assert iicpctl(node, "tasks", "../x").returncode == 2


def test_OX_selftest_is_neither_counted_nor_paid(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend, auth__mode="required", encryption__required=None)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 30, "registered", node.popen)
    shown = iicpctl(node, "selftest")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("chat on ") and "not counted, not paid" in shown.stdout
    tasks = node.status()["tasks"]
    assert (tasks["success"], tasks["error"], tasks["refused"]) == (0, 0, 0)
    assert node.status()["awards"]["waiting"] == 0 and node.metric("iicp_tasks_total") == 0
    assert "selftest by" in node.log_text() and "neither counted nor paid" in node.log_text()
    backend.kill()
    shown = iicpctl(node, "selftest", "--json")
    assert shown.returncode == 1 and json.loads(shown.stdout)["error"]["code"] == "selftest_failed"
    assert node.status()["tasks"]["error"] == 0


def test_OX_backends_and_models_have_their_columns(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 30, "registered", node.popen)
    lines = iicpctl(node, "backends", "test").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "STATE", "MODELS", "IN", "FLIGHT", "OK/FAILED", "CHECKED"]
    assert lines[1].startswith("test ") and lines[1].endswith(" ago")
    assert iicpctl(node, "backends", "nobody").returncode == 1
    assert iicpctl(node, "backends", "a&b").returncode == 2
    lines = iicpctl(node, "models").stdout.splitlines()
    assert lines[0].split() == ["MODEL", "BACKEND", "CONTEXT", "THERE", "REGISTERED"]
    assert lines[1].split()[1] == "test" and lines[1].endswith("yes")


def test_OX_13_config_filters_in_json_too(node_factory, iicpctl):
    node = node_factory(limits__max_concurrent=3)
    one = json.loads(iicpctl(node, "--json", "config", "limits.max_concurrent").stdout)
    assert [k["key"] for k in one["keys"]] == ["limits.max_concurrent"] and one["keys"][0]["value"] == "3"
    changed = json.loads(iicpctl(node, "config", "--changed", "--json").stdout)["keys"]
    assert changed and all(k["from"] != "default" for k in changed)
    initial = json.loads(iicpctl(node, "config", "--defaults", "--json").stdout)["keys"]
    assert initial and all(k["from"] == "default" for k in initial)
    assert "limits.max_concurrent" in iicpctl(node, "config", "--explain", "limits.max_concurrent").stdout
    assert iicpctl(node, "config", "--nonsense").returncode == 2
    assert iicpctl(node, "config", "limits.max_concurent").returncode == 1


def test_OX_13_config_says_what_the_shell_and_the_file_say_in_vain(node_factory, iicpctl):
    node = node_factory()
    shown = iicpctl(node, "config", env={"IICP_REGION": "eu-west"})
    assert "note: IICP_REGION is set in your shell, not in the daemon" in shown.stdout
    node.write_config(limits__max_concurrent=7, listen__port=node.port + 1 if node.port < 65535 else 1024)
    later = os.stat(node.conf).st_mtime + 5
    os.utime(node.conf, (later, later))
    assert "iicpctl config --diff" in iicpctl(node, "config").stdout
    diff = iicpctl(node, "config", "--diff").stdout
    assert any(l.split()[:2] == ["live", "limits.max_concurrent"] and "-> 7" in l for l in diff.splitlines())
    assert any(l.split()[:2] == ["restart", "listen.port"] for l in diff.splitlines())
    node.conf.write_text("[nonsense]\n")
    shown = iicpctl(node, "config", "--diff")
    assert shown.returncode == 1 and "nonsense" in shown.stderr
    assert node.status()["tasks"]["slots"] != 7, "looking changes nothing"


def test_OX_log_level_goes_back_by_itself(driven, iicpctl):
    d = driven()
    d.registered()
    shown = iicpctl(d.node, "log", "debug", "--for", "2m")
    assert shown.returncode == 0 and "debug for 2 m more, then info again (by " in shown.stdout
    line = next(l for l in iicpctl(d.node, "config").stdout.splitlines() if l.startswith("log.level "))
    assert "debug" in line and "override by" in line and "left (configured: info)" in line
    d.advance(60)
    assert json.loads(iicpctl(d.node, "log", "--json").stdout)["level"] == "debug"
    d.until(lambda: json.loads(iicpctl(d.node, "log", "--json").stdout)["level"] == "info", 100, "info again")
    assert "log level back to info" in d.node.log_text()
    for bad in ("10", "0s", "25h", "x", "-1m"):
        assert iicpctl(d.node, "log", "debug", "--for", bad).returncode == 2, bad
    assert d.node.control("/v1/log", "PUT", {"level": "debug", "for_s": 0}).status == 422


def test_OX_check_sees_that_the_process_was_killed(node_factory, iicpctl):
    node = node_factory()
    wait_until(lambda: iicpctl(node, "check").returncode == 0, 30, "snapshot", node.popen)
    node.expect_exit = None
    node.signal(signal.SIGKILL)
    node.wait()
    shown = iicpctl(node, "check")
    assert shown.returncode == 1 and f"process {node.pid} has ended" in shown.stdout
    assert json.loads(iicpctl(node, "check", "--json").stdout)["liveness"] == "not_live"


def test_OX_35_a_node_that_wants_a_credential_is_not_worth_a_retry(node_factory, lab, backend, iicp, tmp_path):
    node = node_factory(lab=lab, backend=backend, auth__mode="required")
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 30, "registered", node.popen)
    conf = tmp_path / "consumer.conf"
    conf.write_text(f"[directory]\nurl = {lab.url}\n[consumer]\nallow_private_endpoints = yes\n")
    result = iicp("--config", conf, "ask", "hello")
    assert result.returncode == 1, result.stderr
    assert "wants a credential" in result.stderr and "Trying again does not help" in result.stderr
    assert "Worth a retry" not in result.stderr


def test_OX_outcome_of_a_change_is_logged(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 30, "registered", node.popen)
    assert iicpctl(node, "reregister").returncode == 0
    node.await_log(r"control_action reregister by .*: registered")
    assert iicpctl(node, "rotate-key").returncode == 0
    node.await_log(r"control_action rotate-key by .*: a new key is made")


def test_OX_14_sighup_says_what_was_meant(node_factory):
    node = node_factory()
    node.conf.write_text(node.conf.read_text() + "[limits]\nmax_concurent = 4\n")
    node.signal(signal.SIGHUP)
    node.await_log(r"config_rejected .*max_concurent.*did you mean 'max_concurrent'")
