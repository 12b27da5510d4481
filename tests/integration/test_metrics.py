# SPDX-License-Identifier: Apache-2.0
"""Two texts of metrics: the public one and the operator's; and their manual page."""

import re
import subprocess

from conftest import TREE, wait_until
from test_task import task

# [02 section 8.2] and the metrics that 01 section 5 and 04 section 16 name
PUBLIC = {
    "iicp_build_info", "process_start_time_seconds", "iicp_tasks_total", "iicp_task_latency_ms", "iicp_tokens_used_total",
    "iicp_tasks_rejected_total", "iicp_active_tasks", "iicp_effective_max_concurrent", "iicp_auth_failures_total",
    "iicp_backend_requests_total", "iicp_backend_draining", "iicp_heartbeat_failures_total", "iicp_reachability_tier",
    "iicp_nat_renewals_total", "iicp_route_changes_total", "iicp_route_probes_total", "iicp_peers_active",
}


# words of the source that are no families: frames' members, a member of the health snapshot
OTHERS = {"iicp_conf", "iicp_conf_resp", "iicp_code", "process_epoch"}


def families(text):
    return set(re.findall(r"^# TYPE (\S+) ", text, re.M))


def series(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def documented():
    return set(re.findall(r"^\.It Cm ((?:iicp|process)_[a-z_]+)", (TREE / "docs/iicpd-metrics.7").read_text(), re.M))


def of_the_source():
    """Names of families in string literals of the daemon."""
    found = set()
    for path in (TREE / "daemon").rglob("*.c"):
        if path.parent.name in ("iicp", "iicpctl"):
            continue
        for name in re.findall(r'"(?:[^"\n]*# (?:HELP|TYPE) )?((?:iicp|process)_[a-z_]+)[ "\\{]', path.read_text()):
            found.add(re.sub(r"_(bucket|sum|count)$", "", name))
    return {n for n in found if not n.endswith("_")} - OTHERS


def test_OX_52_the_public_port_has_the_names_of_the_contract_alone(node_factory):
    node = node_factory()
    assert node.post("/v1/task", task()).status == 200
    public, everything = node.get("/metrics").text, node.control("/v1/metrics").text
    assert families(public) <= PUBLIC
    assert families(public) < families(everything)
    assert {"iicp_ready", "iicp_backend_up", "iicp_loop_lag_seconds", "process_open_fds"} <= families(everything)
    named = {re.match(r"[a-z_]+", s).group() for s in series(public)}
    assert {re.sub(r"_(bucket|sum|count)$", "", n) for n in named} <= PUBLIC


def test_OX_50_a_flood_of_foreign_names_makes_no_series(node_factory):
    node = node_factory()
    assert node.post("/v1/task", task()).status == 200
    node.post("/v1/task", task(model="model-x"))
    before = len(series(node.control("/v1/metrics").text))
    for i in range(60):
        node.post("/v1/task", task(model=f"model-{i}", intent=f"urn:iicp:intent:llm:thing{i}:v1"),
                  headers={"Origin": f"http://site{i}.example"})
        node.get(f"/path-{i}")
    after = series(node.control("/v1/metrics").text)
    assert len(after) <= 400
    assert len(after) <= before + 3  # codes of refusals that had not happened before
    assert not any("model-" in s or "thing" in s or "site" in s for s in after)


def test_OX_50_every_metric_is_in_the_manual(node_factory):
    node = node_factory()
    node.post("/v1/task", task())
    shown = families(node.control("/v1/metrics").text)
    assert shown <= documented()
    assert of_the_source() - documented() == set()


def test_the_manual_names_no_metric_that_is_not_there():
    text = "".join(p.read_text() for p in (TREE / "daemon").rglob("*.c"))
    assert {n for n in documented() if n not in text} == set()


def test_OX_52_promtool_accepts_the_text(node_factory, need):
    need("promtool")
    node = node_factory()
    node.post("/v1/task", task())
    result = subprocess.run(["promtool", "check", "metrics"], input=node.control("/v1/metrics").text, text=True,
                            capture_output=True, timeout=60)
    complaints = {line.split()[0] for line in (result.stdout + result.stderr).splitlines() if line}
    assert complaints <= {"iicp_task_latency_ms"}, result.stderr


def test_counts_of_a_task(node_factory):
    node = node_factory()
    assert node.post("/v1/task", task()).status == 200
    assert node.metric("iicp_tasks_by_door_total", door="http") == 1
    assert node.metric("iicp_task_overhead_seconds_count") == 1
    assert node.metric("iicp_backend_up", backend="test") == 1
    assert node.metric("iicp_lifecycle_info", state="degraded") + node.metric("iicp_lifecycle_info", state="ready") == 1
    node.write_config(limits__max_concurent=1)
    node.control("/v1/reload", "POST", {})
    assert node.metric("iicp_config_last_reload_success") == 0


def test_a_failing_backend_is_counted_by_name(node_factory, backend):
    node = node_factory(backend=backend)
    wait_until(lambda: node.metric("iicp_backend_models", backend="test") > 0, what="models")
    model = node.control("/v1/models").json()["models"][0]["model"]
    backend.kill()
    node.post("/v1/task", task(model=model))
    assert node.metric("iicp_backend_failures_total", backend="test") == 1
