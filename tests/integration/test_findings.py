# SPDX-License-Identifier: Apache-2.0
"""What needs attention: each first line by a real fault, the same words in every view."""

import json
import re
import subprocess
import sys

from conftest import TREE, free_port, wait_until


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


# ---- the pages ----


def page(name):
    return (TREE / "docs" / name).read_text()


def entries(text, section):
    part = text.split(f".Sh {section}\n", 1)[1].split("\n.Sh ", 1)[0]
    return re.findall(r"^\.It (?:\d+ )?Cm (\S+)(?: Pq (.*))?$", part, re.M)


def test_OX_1_the_page_has_every_finding_with_its_weight_and_no_other():
    table = (TREE / "daemon" / "findings" / "catalogue.c").read_text()
    code = dict(re.findall(r'\{"([a-z]+\.[a-z0-9_]+)", GROUP_\w+, SEVERITY_(\w+),', table))
    assert len(code) > 50
    assert {k: v.lower() for k, v in code.items()} == dict(entries(page("iicpd-findings.7"), "FINDINGS"))


def test_OX_1_the_page_has_every_guidance_code_and_error_code():
    text = page("iicpd-findings.7")
    words = (TREE / "daemon" / "guidance.c").read_text()
    assert [e[0] for e in entries(text, "GUIDANCE CODES")] == re.findall(r'^        \{"([a-z0-9_]+)",', words, re.M)
    codes = re.findall(r'\{"(IICP-E\d+)",', (TREE / "daemon" / "iicpctl" / "explain_words.c").read_text())
    assert [e[0] for e in entries(text, "ERROR CODES")] == codes and len(codes) > 10


LOG_CALL = re.compile(r'\blog_(err|warn|notice|info|debug)\(\s*"([a-z_]+)"|\blog_event\(([^";]*)"([a-z_]+)"')


def test_OX_40_the_page_of_events_is_what_the_sources_write():
    levels = {}
    for source in (TREE / "daemon").rglob("*.c"):
        for plain, name, given, other in LOG_CALL.findall(source.read_text()):
            levels.setdefault(name or other, set()).update([plain] if plain else [w.lower() for w in re.findall(r"LOG_L_(\w+)", given)])
    shown = {name: set(level.split(", ")) for name, level in entries(page("iicpd-events.7"), "EVENTS")}
    assert len(levels) > 100 and set(levels) <= set(shown)
    assert {n for n in levels if not levels[n] <= shown[n]} == set()
    # names that a choice picks, like reregister_fail, are on the page, too, and each stands in the sources
    everything = "".join(p.read_text() for p in (TREE / "daemon").rglob("*.c"))
    assert [n for n in shown if f'"{n}"' not in everything] == []


def test_OX_40_each_event_of_the_page_has_its_words_and_what_to_do():
    part = page("iicpd-events.7").split(".Sh EVENTS\n")[1].split("\n.Sh ")[0]
    for entry in part.split("\n.It Cm ")[1:]:
        assert "\nDo: " in entry, f"explain_words.c does not know {entry.split()[0]}"


def test_OX_25_the_pages_are_written_by_their_generator():
    made = subprocess.run([sys.executable, TREE / "docs" / "make-events-page"], capture_output=True, text=True, check=True)
    assert made.stdout == page("iicpd-events.7"), "make generate"
