# SPDX-License-Identifier: Apache-2.0
"""The control socket and iicpctl."""

import json
import os
import signal
import stat

import pytest

from conftest import wait_until


@pytest.fixture
def demo(node_factory):
    return node_factory()


# ---- API ----


def test_OX_03_documents_have_a_schema(demo):
    for name in ("status", "tasks", "backends", "models", "directory", "config", "version"):
        answer = demo.control(f"/v1/{name}")
        assert answer.status == 200, name
        assert answer.json()["schema"] == f"iicp.{name}/1"
    paths = {r["path"] for r in demo.control("/v1").json()["resources"]}
    assert {"/v1/status", "/v1/drain", "/v1/reload"} <= paths


def test_IICPD_05_41_control_is_on_the_unix_socket_only(demo):
    mode = stat.S_IMODE(os.stat(demo.control_socket).st_mode)
    assert mode in (0o600, 0o660)
    for path in ("/v1/status", "/v1/drain", "/v1/reload"):
        assert demo.get(path).status == 404
    assert demo.control("/v1/drain").status == 405
    assert demo.control("/nothing").status == 404


def test_OX_31_a_page_may_look_but_not_act(demo):
    from conftest import UnixConnection, ask

    def post(headers):
        return ask(UnixConnection(demo.control_socket), "POST", "/v1/drain", b"{}", headers)

    assert post({"Content-Type": "application/json", "Origin": "http://localhost"}).status == 403
    assert post({"Content-Type": "text/plain"}).status == 403
    assert demo.status()["draining"] is None
    assert post({"Content-Type": "application/json"}).status == 200
    assert demo.status()["draining"] == "draining"


def test_CONF_REG_01_status_shows_the_registration(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered")
    status = node.status()
    assert status["node"]["node_id"] == node.get("/iicp/health").json()["node_id"]
    assert status["state"] == "ready"
    assert status["directory"]["why"] == ""


def test_a_rejected_backend_key_is_degraded(node_factory, backend, iicpctl):
    backend.post("/_control", {"key": "the-right-one"})
    node = node_factory(backend=backend)
    wait_until(lambda: node.status()["state"] == "degraded", what="degraded", process=node.popen)
    result = iicpctl(node, "status")
    assert result.returncode == 10
    assert "rejects our key" in result.stdout.splitlines()[0]


# ---- drain ----


def test_IICPD_02_12_drain_refuses_with_503_and_undrain_takes_it_back(demo, iicpctl):
    from test_task import refused, task

    drained = iicpctl(demo, "drain", "--wait")
    assert drained.returncode == 0 and drained.stdout.splitlines()[-1] == "drained: 0 running"
    answer = demo.post("/v1/task", task())
    refused(answer, 503, "IICP-E024", reason="draining")
    assert int(answer.headers["Retry-After"]) >= 1
    assert demo.get("/iicp/health").json()["available"] is False
    assert demo.get("/iicp/health").json()["status"] == "ok"
    assert iicpctl(demo, "status").returncode == 11
    assert iicpctl(demo, "undrain").returncode == 0
    assert demo.post("/v1/task", task()).status == 200


# ---- reload ----


def test_OX_14_reload_tells_what_is_live_and_what_waits(demo, iicpctl):
    demo.write_config(limits__max_concurrent=8, listen__port=demo.port + 1)
    result = iicpctl(demo, "reload")
    assert result.returncode == 0, result.stderr
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if "->" in line}
    assert lines["limits.max_concurrent"].startswith("applied")
    assert lines["listen.port"].startswith("restart")
    assert demo.get("/iicp/health").json()["max_concurrent"] == 8


def test_OX_14_bad_file_is_rejected_as_a_whole(demo, iicpctl):
    before = demo.get("/iicp/health").json()["max_concurrent"]
    demo.write_config(limits__max_concurrent=9, limits__max_concurent=4)
    result = iicpctl(demo, "reload")
    assert result.returncode == 1
    assert "did you mean 'max_concurrent'" in result.stderr
    assert "old configuration stays" in result.stderr
    assert demo.get("/iicp/health").json()["max_concurrent"] == before
    document = json.loads(iicpctl(demo, "reload", "--json").stdout)
    assert document["ok"] is False and document["problems"][0]["line"] > 0


def test_OX_14_sighup_reloads_too(demo):
    demo.write_config(limits__max_concurrent=6)
    demo.signal(signal.SIGHUP)
    wait_until(lambda: demo.get("/iicp/health").json()["max_concurrent"] == 6, what="reload",
               process=demo.popen)
    demo.await_log("config_reloaded")


# ---- iicpctl ----


def test_OX_02_json_everywhere_with_the_same_exit_code(demo, iicpctl):
    for command in ("status", "tasks", "backends", "models", "directory", "config", "version"):
        text, document = iicpctl(demo, command), iicpctl(demo, command, "--json")
        assert text.returncode == document.returncode, command
        json.loads(document.stdout)
    result = iicpctl(demo, "--json", "nonsense")
    assert result.returncode == 2 and "error" in json.loads(result.stdout)


def test_OX_04_no_control_sequences_in_a_pipe(demo, iicpctl):
    assert "\x1b" not in iicpctl(demo, "status").stdout
    assert "\x1b[" in iicpctl(demo, "--color=always", "status").stdout


def test_OX_20_not_running_and_no_permission(tmp_path, iicpctl):
    class Nobody:
        control_socket = tmp_path / "none.sock"

    result = iicpctl(Nobody, "status")
    assert result.returncode == 3 and "not running" in result.stderr


def test_OX_13_config_shows_the_origin(node_factory, iicpctl):
    node = node_factory(env={"IICP_REGION": "eu-central"}, limits__max_concurrent=3)
    lines = {line.split()[0]: line for line in iicpctl(node, "config").stdout.splitlines() if "." in line}
    assert "eu-central" in lines["node.region"] and "IICP_REGION" in lines["node.region"]
    assert "iicp.conf:" in lines["limits.max_concurrent"]
    assert lines["limits.max_tokens"].rstrip().endswith("default")
    assert iicpctl(node, "config", "limits.max_concurrent").stdout.split()[1] == "3"
    assert iicpctl(node, "config", "no.such").returncode == 1
