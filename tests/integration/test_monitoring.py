# SPDX-License-Identifier: Apache-2.0
"""Alert rules and board: on series scraped from a real run, with promtool.

The rules see what a node said: healthy, they are silent for hours; with one thing wrong, the alert for it fires. What
can be broken for real is broken and scraped again; the rest is the same scrape with the one series changed."""

import json
import re
import shutil
import subprocess
import time
import uuid

import pytest

from conftest import TREE, program, wait_until

RULES = TREE / "packaging" / "prometheus" / "iicpd.rules.yml"
BOARD = TREE / "packaging" / "grafana" / "iicpd.json"
NAME = re.compile(r"\b(?:iicp|process)_[a-z_]+\b")
# promtool wants base units; these two are the contract's names
CONTRACT_NAMES = {"iicp_task_latency_ms", "iicp_proxy_routing_ms"}

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian: prometheus) is not installed")


def task():
    return {"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
            "payload": {"messages": [{"role": "user", "content": "Hello"}]}}


def promtool(*args, stdin=None):
    return subprocess.run(["promtool", *map(str, args)], input=stdin, capture_output=True, text=True, timeout=120)


def scrape(node):
    """Series that rules look at and their values, and the moment."""
    known = set(NAME.findall(RULES.read_text()))
    series = {}
    for line in node.control("/v1/metrics").text.splitlines():
        key, _, value = line.rpartition(" ")
        if name_of(key) in known:
            series[key] = float(value)
    return series, time.time()


def name_of(key):
    return key.partition("{")[0]


def labelled(key, instance):
    name, _, labels = key.rstrip("}").partition("{")
    return f'{name}{{{labels + "," if labels else ""}instance="{instance}",job="iicpd"}}'


def values(key, value, now):
    """Nothing happens. The clock of promtool begins at 0: moments become ages."""
    name = name_of(key)
    if re.search(r"_last_(success|inbound)_timestamp_seconds$", name):
        return f"{value - now:.0f}+60xN"
    if name.endswith("_timestamp_seconds") or name == "process_start_time_seconds":
        return f"{value - now:.0f}xN"
    return f"{value:.10g}xN"


def inputs(scraped, instance, changes=()):
    """changes: (pattern of series, values) or (pattern, None: gone); a pattern that matches none is a new series."""
    series, now = scraped
    text = {key: values(key, value, now) for key, value in series.items()}
    text["up"] = "1xN"
    for pattern, new in changes:
        hits = [key for key in text if re.fullmatch(pattern, key)]
        if not hits:
            assert "\\" not in pattern and "*" not in pattern, f"no series is like {pattern}"
            hits = [pattern]
        for key in hits:
            text[key] = new
    return [{"series": labelled(key, instance), "values": v} for key, v in text.items() if v is not None]


def lasting(series, minutes):
    """N becomes as many minutes as the test looks at."""
    return [{"series": s["series"], "values": s["values"].replace("N", str(minutes + 5))} for s in series]


def fires(alert, series, minutes):
    where = "" if alert == "IicpdDirectoryDown" else ',instance="a"'
    return {"interval": "1m", "input_series": lasting(series, minutes), "promql_expr_test": [{
        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"{where}}}) > 0', "eval_time": f"{minutes}m",
        "exp_samples": [{"labels": "{}", "value": 1}]}]}


def is_silent(series, *minutes):
    return {"interval": "1m", "input_series": lasting(series, max(minutes)), "promql_expr_test": [
        {"expr": "count by (alertname) (ALERTS)", "eval_time": f"{m}m", "exp_samples": []} for m in minutes]}


def judge(tmp_path, tests):
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    said = promtool("test", "rules", rules)
    assert said.returncode == 0, said.stdout + said.stderr


COUNTING, STILL = "0+1xN", "0xN"


def bucket_changes(name, series, limit):
    """A histogram whose every value is above the limit."""
    for key in series:
        le = re.search(r'le="([^"]+)"', key)
        if name_of(key) == name and le:
            yield re.escape(key), "0+10xN" if le[1] == "+Inf" or float(le[1]) > limit else STILL


def cases(series):
    """Alert: minutes until it must fire, and what is wrong."""
    tasks = next(k for k in series if k.startswith("iicp_tasks_total") and 'status="success"' in k)
    max_fds = series["process_max_fds"]
    return {
        "IicpdDown": (6, [("up", STILL)]),
        "IicpdRestartLoop": (15, [("process_start_time_seconds", "0+60xN")]),
        "IicpdNotReady": (11, [("iicp_ready", STILL)]),
        "IicpdUnregistered": (4, [("iicp_registered", STILL)]),
        "IicpdNoRoute": (11, [("iicp_reachability_tier", "4xN")]),
        "IicpdRouteFlapping": (61, [("iicp_route_changes_total", COUNTING)]),
        "IicpdListedButSilent": (12, [("iicp_last_inbound_timestamp_seconds", "-43300xN"),
                                      ("iicp_reachability_tier", "1xN")]),
        "IicpdLeaseNotRenewed": (30, [(r'iicp_nat_renewals_total\{outcome="failed"\}', COUNTING)]),
        "IicpdBackendDown": (6, [(r"iicp_backend_up\{.*", STILL)]),
        "IicpdBackendAuth": (6, [('iicp_finding_active{id="backend.auth",severity="warn"}', "1xN"),
                                 (r"iicp_backend_up\{.*", STILL)]),
        "IicpdTaskErrors": (22, [(re.escape(tasks), "0+9xN"),
                                 (re.escape(tasks.replace('status="success"', 'status="error"')), COUNTING)]),
        "IicpdSlow": (33, list(bucket_changes("iicp_task_overhead_seconds_bucket", series, 0.05))),
        "IicpdSaturated": (65, [('iicp_tasks_rejected_total{code="IICP-E021"}', COUNTING), (re.escape(tasks), COUNTING)]),
        "IicpdRelayFull": (6, [('iicp_relay_sessions{transport="native"}', "950xN"),
                               ("iicp_relay_sessions_max", "1000xN")]),
        "IicpdRelayBindsRefused": (33, [('iicp_relay_binds_total{outcome="full"}', COUNTING),
                                        ('iicp_relay_binds_total{outcome="ok"}', COUNTING)]),
        "IicpdReputationFalling": (1500, [("iicp_reputation_ratio", "0.9x100 0.5xN")]),
        "IicpdClockOff": (6, [('iicp_finding_active{id="clock.off",severity="warn"}', "1xN")]),
        "IicpdKeyExpiring": (62, [("iicp_encryption_key_expiry_timestamp_seconds", "500000xN")]),
        "IicpdReloadFailed": (1, [("iicp_config_last_reload_success", STILL)]),
        "IicpdStateWrites": (5, [("iicp_state_write_failures_total", COUNTING)]),
        "IicpdLoopLag": (25, list(bucket_changes("iicp_loop_lag_seconds_bucket", series, 0.25))),
        "IicpdFilesNear": (6, [("process_open_fds", f"{max_fds * 0.9:.0f}xN")]),
    }


@pytest.fixture
def served(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: scrape(node)[0]["iicp_registered"] == 1, what="registered")
    wait_until(lambda: node.post("/v1/task", task()).status == 200, what="a task is answered")
    return node


def test_OX_51_each_alert_fires_and_health_is_silent(served, tmp_path):
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    healthy = scrape(served)
    # nobody from outside can call a test's node
    there = [("iicp_last_inbound_timestamp_seconds", "0+60xN"), ("iicp_reachability_tier", "1xN")]
    other = inputs(healthy, "b", there)
    tests = [is_silent(inputs(healthy, "a", there) + other, 5, 60, 150)]
    known = cases(healthy[0])
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert len(alerts) == len(set(alerts))
    for alert in alerts:
        if alert == "IicpdDirectoryDown":
            gone = [("iicp_directory_last_success_timestamp_seconds", "-300xN")]
            tests.append(fires(alert, inputs(healthy, "a", gone) + inputs(healthy, "b", gone), 4))
            continue
        minutes, changes = known.pop(alert)
        assert changes, f"{alert}: nothing to change"
        if alert == "IicpdReputationFalling":
            said = [{"series": labelled("iicp_reputation_ratio", "a"), "values": changes[0][1]}]  # a day of all takes long
        else:
            said = inputs(healthy, "a", there + changes) + other
        tests.append(fires(alert, said, minutes))
    assert not known, f"no rule for {sorted(known)}"
    judge(tmp_path, tests)


def test_OX_51_alerts_of_a_real_fault(served, backend, tmp_path):
    """A backend that went, and a reload that was rejected, as the node itself tells them."""
    backend.kill()
    served.write_config(limits__max_concurrent="seven")
    assert served.control("/v1/reload", "POST", {}).status != 200
    served.write_config(limits__max_concurrent=4)
    wait_until(lambda: served.post("/v1/task", task()).status != 200
               and scrape(served)[0]['iicp_backend_up{backend="test"}'] == 0, 60, "the backend counts as down")
    broken = scrape(served)
    judge(tmp_path, [fires(alert, inputs(broken, "a"), 12)
                     for alert in ("IicpdBackendDown", "IicpdNotReady", "IicpdReloadFailed")])


def existing_names(served):
    """What a run shows, and what the source prints when there is something to show."""
    names = {name_of(line) for line in re.findall(r"^([a-z]\S*) ", served.control("/v1/metrics").text, re.M)}
    for source in (TREE / "daemon").rglob("*.c"):
        names.update(re.findall(r'"(?:# (?:HELP|TYPE) )?((?:iicp|process)_[a-z_]+)', source.read_text()))
    return names


def test_OX_51_rules_and_board_name_what_exists(served):
    names = existing_names(served)
    board = json.loads(BOARD.read_text())
    expressions = re.findall(r"expr: (?:>-\n)?((?:.+\n)+?) +(?:for|labels):", RULES.read_text())
    assert len(expressions) == len(re.findall(r"alert:", RULES.read_text()))
    for panel in board["panels"]:
        expressions += [t["expr"] for t in panel.get("targets", [])]
    expressions += [a["expr"] for a in board["annotations"]["list"]]
    used = {n for e in expressions for n in NAME.findall(e)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", n) for n in used}
    assert len(used) > 30
    assert not [n for n in sorted(bases) if n not in names and f"{n}_bucket" not in names]


def test_OX_51_each_alert_names_what_iicpctl_explains(served):
    for word in set(re.findall(r"see: (\S+)", RULES.read_text())):
        said = subprocess.run([program("iicpctl"), "explain", word], capture_output=True, text=True, timeout=30)
        assert said.returncode == 0, f"{word}: {said.stdout}{said.stderr}"


def test_OX_52_promtool_takes_the_metrics(served):
    """It complains of the contract's names and of nothing else."""
    said = promtool("check", "metrics", stdin=served.control("/v1/metrics").text)
    lines = [line for line in (said.stdout + said.stderr).splitlines() if line.split(" ")[0] not in CONTRACT_NAMES]
    assert not lines, lines
