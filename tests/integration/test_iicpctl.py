# SPDX-License-Identifier: Apache-2.0
"""Commands of the operator's day: wait, explain, log."""

import json
import pathlib
import re
import subprocess

import pytest

from conftest import UnixConnection, ask, clean_environment, program


@pytest.fixture
def demo(node_factory):
    return node_factory()


class Nobody:
    def __init__(self, folder):
        self.control_socket = folder / "none.sock"


# ---- wait ----


def test_wait_returns_when_it_is_so(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    for state in ("registered", "ready", "degraded", "route"):
        result = iicpctl(node, "wait", state, "-t", 30)
        assert result.returncode == 0, (state, result.stderr)
        assert result.stdout.startswith(f"{state} after "), state
    document = json.loads(iicpctl(node, "wait", "ready", "--timeout=5", "--json").stdout)
    assert document["schema"] == "iicp.wait/1" and document["reached"] is True
    assert document["state"] == "ready"


def test_wait_runs_out_with_12_and_says_what_is(demo, iicpctl):
    result = iicpctl(demo, "wait", "drained", "-t", 0)
    assert result.returncode == 12
    assert "not drained after 0 s" in result.stderr and demo.status()["state"] in result.stderr
    result = iicpctl(demo, "--json", "wait", "drained", "--timeout", 0)
    assert result.returncode == 12 and json.loads(result.stdout)["error"]["code"] == "wait"
    assert iicpctl(demo, "drain").returncode == 0
    assert iicpctl(demo, "wait", "drained", "-t", 10).returncode == 0


def test_wait_looks_again_until_the_daemon_is_there_and_gone(demo, tmp_path, iicpctl):
    assert iicpctl(Nobody(tmp_path), "wait", "stopped", "-t", 0).returncode == 0
    result = iicpctl(Nobody(tmp_path), "wait", "ready", "-t", 0)
    assert result.returncode == 12 and "not running" in result.stderr
    assert iicpctl(demo, "wait", "stopped", "-t", 0).returncode == 12
    waiter = subprocess.Popen([program("iicpctl"), "-s", str(demo.control_socket), "wait", "stopped", "-t", "30"],
                              stdout=subprocess.PIPE, text=True, env=clean_environment())
    assert demo.stop() == 0
    assert waiter.communicate(timeout=40)[0].startswith("stopped after") and waiter.returncode == 0


def test_wait_says_what_can_be_waited_for(demo, iicpctl):
    result = iicpctl(demo, "wait", "redy")
    assert result.returncode == 2 and "did you mean 'ready'" in result.stderr
    assert iicpctl(demo, "wait").returncode == 2
    for time in ("-1", "abc", "86401"):
        assert iicpctl(demo, "wait", "ready", "-t", time).returncode == 2, time


# ---- explain ----

DAEMON = pathlib.Path(__file__).resolve().parents[2] / "daemon"


@pytest.fixture
def explain(tmp_path, iicpctl):
    return lambda *args: iicpctl(Nobody(tmp_path), "explain", *args)


def test_explain_knows_keys_events_codes_and_guidance_without_a_daemon(explain):
    for word, says in (("limits.max_concurrent", "default:"), ("backend.gpu.url", "backend.NAME.url"),
                       ("router_setting", "refuses this machine"), ("IICP-E036", "could not reach our endpoint"),
                       ("iicp-e024", "HTTP 503"), ("backend_error", "HTTP 502"), ("route_none", "no public route")):
        result = explain(word)
        assert result.returncode == 0 and says in result.stdout, (word, result)
    document = json.loads(explain("IICP-E010", "--json").stdout)
    assert document["schema"] == "iicp.explain/1"
    assert {m["kind"] for m in document["meanings"]} == {"refusal", "code"}


def test_explain_suggests_the_nearest_word(explain):
    result = explain("rout_none")
    assert result.returncode == 1 and "did you mean 'route_none'" in result.stderr
    assert "limits.max_concurrent" in explain("limits.max_concurent").stderr
    result = explain("nonsense-without-a-neighbour", "--json")
    assert result.returncode == 1 and json.loads(result.stdout)["error"]["code"] == "unknown_word"
    assert explain().returncode == 2 and explain("ready", "more").returncode == 2


def test_OX_01_every_event_of_the_log_is_explained(explain):
    call = re.compile(r'\blog_(?:err|warn|notice|info|debug)\(\s*"([a-z_]+)"|\blog_event\([^";]*"([a-z_]+)"')
    events = {a or b for source in DAEMON.rglob("*.c") for a, b in call.findall(source.read_text())}
    assert len(events) > 80
    unknown = [event for event in sorted(events) if explain(event).returncode != 0]
    assert unknown == []


def test_OX_02_a_bad_option_is_named(iicpctl, tmp_path):
    nobody = Nobody(tmp_path)
    for value in ("x", "0", "-3", "5s", ""):
        result = iicpctl(nobody, "-t", value, "status")
        assert result.returncode == 2
        assert result.stderr == f"iicpctl: -t wants seconds, 1 or more: '{value}': iicpctl --help\n"
    result = iicpctl(nobody, "--color=blue", "status")
    assert result.returncode == 2
    assert result.stderr == "iicpctl: --color wants auto, always or never: 'blue': iicpctl --help\n"
    result = iicpctl(nobody, "--json", "-t", "x", "status")
    assert result.returncode == 2 and "-t wants seconds" in json.loads(result.stdout)["error"]["message"]


def test_help_of_no_command_is_a_usage_error(iicpctl, tmp_path):
    result = iicpctl(Nobody(tmp_path), "help", "statos")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "iicpctl: unknown command 'statos': did you mean 'status'?\n"
    assert iicpctl(Nobody(tmp_path), "help", "status", "more").returncode == 2
    assert "status" in iicpctl(Nobody(tmp_path), "help", "status").stdout


@pytest.mark.parametrize("words", [["metrics"], ["events"], ["schema"], ["schema", "config"], ["status"], ["--json", "status"],
                                   ["help"], ["--help"], ["--version"], ["status", "--help"], ["config"]], ids=" ".join)
def test_what_cannot_be_written_is_told(demo, words):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([program("iicpctl"), "-s", str(demo.control_socket), *words], stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60, env=clean_environment(), check=False)
    assert (result.returncode, result.stderr) == (1, "iicpctl: cannot write: No space left on device\n")


def test_start_failed_says_the_problem_and_nothing_that_is_not_so(tmp_path):
    conf = tmp_path / "iicp.conf"
    conf.write_text("[log]\nlevel = info\n")
    result = subprocess.run([program("iicpd"), f"--config={conf}", "-o", "limits.max_concurrent=none"], capture_output=True,
                            text=True, timeout=60, env=clean_environment(), check=False)
    assert result.returncode == 78
    last = result.stderr.splitlines()[-1]
    assert "start_failed" in last and "-o" in last and "--check-config" not in last


# ---- log ----


def test_log_level_is_live_audited_and_gone_after_a_reload(demo, iicpctl):
    assert "info, as configured" in iicpctl(demo, "log").stdout
    result = iicpctl(demo, "log", "err")
    assert result.returncode == 0 and "err until a reload or restart (configured: info)" in result.stdout
    demo.await_log(r"notice control_action log-level err by ")
    assert iicpctl(demo, "log", "debug").returncode == 0
    demo.await_log(r"notice control_action log-level debug by ")
    now = json.loads(iicpctl(demo, "log", "--json").stdout)
    assert now.pop("by") and now == {"schema": "iicp.log/1", "level": "debug", "configured": "info"}
    assert iicpctl(demo, "reload").returncode == 0
    assert json.loads(iicpctl(demo, "log", "--json").stdout)["level"] == "info"


def test_log_level_refuses_what_is_no_level(demo, iicpctl):
    assert iicpctl(demo, "log", "loud").returncode == 2
    assert iicpctl(demo, "log", "info", "more").returncode == 2
    for body in (b"", b"[]", b"{}", b'{"level":7}', b'{"level":"loud"}'):
        answer = ask(UnixConnection(demo.control_socket), "PUT", "/v1/log", body, {"Content-Type": "application/json"})
        assert answer.status == 422, body
    assert ask(UnixConnection(demo.control_socket), "PUT", "/v1/log", b'{"level":"err"}',
               {"Content-Type": "text/plain"}).status == 403
