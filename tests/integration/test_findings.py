# SPDX-License-Identifier: Apache-2.0
"""What needs attention: each first line by a real fault, the same words in every view."""

import json
import re

from conftest import free_port, wait_until


def finding(node, id):
    return next((f for f in node.control("/v1/findings").json()["findings"] if f["id"] == id), None)


def await_finding(node, id):
    return wait_until(lambda: finding(node, id), 60, id, node.popen)


def test_OX_1_a_stopped_backend_is_one_finding_in_every_view(driven, iicpctl):
    d = driven()
    d.registered()
    node, backend = d.node, d.backend
    d.until(lambda: node.status()["state"] == "ready", 30, "ready")
    backend.kill()
    d.until(lambda: node.status()["state"] == "not ready", 300, "not ready")
    f = finding(node, "backend.unreachable")
    assert f["severity"] == "fail" and f["subject"] == "backend test" and f["caused_by"] is None
    assert f["why"] == f"nothing listens on 127.0.0.1:{backend.port}"
    assert f["evidence"]["last_failure"] == "connect" and f["see"] == "man:iicpd-findings(7)"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", f["since"])
    status = node.status()
    assert status["sentence"] == f["what"] == "backend 'test' refuses connections"
    assert [g["id"] for g in status["findings"]].count("backend.unreachable") == 1
    d.advance(120)
    assert finding(node, "backend.unreachable")["since"] == f["since"], "it stays while the fault does"
    shown = iicpctl(node, "status")
    assert shown.returncode == 11
    lines = shown.stdout.splitlines()
    assert re.fullmatch(r"● iicpd NOT READY for \d+ m: backend 'test' refuses connections", lines[0])
    assert lines[1].split(None, 1) == ["why", f["why"]]
    assert lines[2].split(None, 1)[0] == "do" and "no restart is needed" in lines[2]
    assert lines[3].split(None, 1) == ["meanwhile", "the mesh is told available=no"]
    assert 'iicp_finding_active{id="backend.unreachable",severity="fail"} 1' in iicpctl(node, "metrics").stdout


def test_OX_1_a_dead_directory_is_degraded_and_says_what_is_kept(driven, iicpctl):
    d = driven()
    d.registered()
    d.lab.kill()
    d.until(lambda: d.node.status()["state"] == "degraded", 200, "degraded")
    f = finding(d.node, "directory.unreachable")
    assert f["severity"] == "warn" and f["evidence"]["last_failure"] == "connect"
    assert "no answer from the directory" in f["what"] and "attempts failed in a row" in f["why"]
    assert "are kept, delivered when it answers" in f["until"]
    shown = iicpctl(d.node, "status")
    assert shown.returncode == 10 and "degraded" in shown.stdout.splitlines()[0]


def test_OX_1_a_name_that_is_not_found_is_the_cause(node_factory, backend):
    node = node_factory(backend=backend, directory__register=True, directory__url="http://directory.invalid/api",
                        directory__allow_http=True)
    f = await_finding(node, "dns.unavailable")
    assert "is not found" in f["what"] and "directory.invalid" in f["why"]
    refused = await_finding(node, "directory.transport")
    assert refused["caused_by"] == "dns.unavailable" and refused["evidence"]["class"] == "transport"
    status = node.status()
    assert status["state"] == "degraded" and status["sentence"] in (f["what"], "no internet: this machine has no default route")


def test_OX_1_drain_window_and_rejected_reload(node_factory, iicpctl):
    node = node_factory()
    assert finding(node, "backend.demo")["severity"] == "info"
    assert node.status()["state"] == "ready"
    iicpctl(node, "drain")
    f = finding(node, "tasks.draining")
    assert "drained by" in f["why"] and "undrain" in f["do"]
    shown = iicpctl(node, "status")
    assert shown.returncode == 11 and "draining" in shown.stdout.splitlines()[0]
    assert "by" in shown.stdout and "undrain takes it back" in shown.stdout
    iicpctl(node, "undrain")
    assert finding(node, "tasks.draining") is None
    good = node.conf.read_text()
    node.conf.write_text(good + "[nonsense]\nx = 1\n")
    assert iicpctl(node, "reload").returncode == 1
    f = finding(node, "config.rejected")
    assert "nonsense" in f["why"]
    assert "(iicpctl explain config.rejected)" in iicpctl(node, "status").stdout
    node.conf.write_text(good)
    assert iicpctl(node, "reload").returncode == 0
    assert finding(node, "config.rejected") is None
    node.write_config(listen__port=free_port())
    assert iicpctl(node, "reload").returncode == 0
    assert "listen.port" in finding(node, "config.restart_pending")["why"]
    assert "waiting for a restart" in iicpctl(node, "status").stdout


def test_OX_1_explain_knows_each_finding_offline(tmp_path, iicpctl):
    class Nobody:
        control_socket = tmp_path / "none.sock"

    shown = iicpctl(Nobody, "explain", "route.router_setting")
    assert shown.returncode == 0 and "causes:" in shown.stdout and "gone when:" in shown.stdout and "do:" in shown.stdout
    document = json.loads(iicpctl(Nobody, "explain", "backend.auth", "--json").stdout)
    assert document["meanings"][0]["kind"] == "finding"
    assert "did you mean 'backend.auth'" in iicpctl(Nobody, "explain", "backend.aut").stderr
