# SPDX-License-Identifier: Apache-2.0
"""Batches of counts, crashes and recovery, with the built daemon and the lab directory."""

import json
import signal

from conftest import wait_until
from test_backends import control, submit, task
from test_directory import asked


def quick(lab):
    """Heartbeats every five seconds."""
    assert lab.post("/lab/settings", {"next_heartbeat_ms": 5000}).status == 200
    return lab


def fault(lab, *faults):
    answer = lab.post("/lab/faults", list(faults))
    assert answer.status in (200, 201), answer


def beats(lab, least=1, wait=20):
    return [r["body"] for r in asked(lab, "heartbeat", least, wait)]


def metrics(lab):
    return [b for b in beats(lab, 0, 0) if "metrics" in b]


def await_metrics(lab, least=1):
    return wait_until(lambda: len(metrics(lab)) >= least and metrics(lab), 30, "a beat with counts")


def batch_file(node):
    return json.loads((node.state_dir / "metrics-batch.json").read_text())


def test_REP_01_REP_02_outcomes_are_counted_refusals_are_not(lab, node_factory, backend):
    node = node_factory(lab=quick(lab), backend=backend, limits__max_concurrent=1)
    beats(lab)
    wait_until(lambda: node.get("/iicp/health").json()["available"], what="a slot")
    for _ in range(3):
        assert submit(node).status == 200
    control(backend, rules=[{"path": "/v1/chat/completions", "times": 1, "mode": "garbage"}])
    assert submit(node).status in (500, 502)
    control(backend, rules=[{"path": "/v1/chat/completions", "times": 1, "mode": "hang"}])
    assert submit(node, timeout_ms=1000).status == 504
    same = task()
    assert node.post("/v1/task", same).status == 200
    assert node.post("/v1/task", same).status == 409
    assert node.post("/v1/task", {"task_id": "x"}).status in (400, 422)
    wait_until(lambda: sum(b["metrics"]["tasks_success"] for b in metrics(lab)) >= 4, 30, "all counts")
    told = {b["metrics_batch_id"]: b["metrics"] for b in metrics(lab)}.values()
    assert sum(m["tasks_success"] for m in told) == 4
    assert sum(m["tasks_failed"] for m in told) == 2
    assert all(m["avg_latency_ms"] > 0 for m in told)
    assert wait_until(lambda: lab.get("/lab/nodes").json()["nodes"][0].get("jobs") == 4, 20, "credited once")


def test_REP_09_the_same_batch_after_kill_9(lab, node_factory, backend):
    node = node_factory(lab=quick(lab), backend=backend)
    beats(lab)
    fault(lab, {"name": "beat-500", "count": 0})
    assert submit(node).status == 200
    first = await_metrics(lab)[0]
    assert batch_file(node)["metrics_batch_id"] == first["metrics_batch_id"]
    assert submit(node).status == 200  # waits aside
    await_metrics(lab, 3)
    node.signal(signal.SIGKILL)
    node.wait()
    node.expect_exit = -signal.SIGKILL
    lab.request("DELETE", "/lab/faults")
    again = node_factory(lab=lab, backend=backend, config={"node.state_dir": node.state_dir})
    wait_until(lambda: len({b["metrics_batch_id"] for b in metrics(lab)}) == 2, 40, "both batches")
    told = metrics(lab)
    assert {json.dumps(b["metrics"]) for b in told if b["metrics_batch_id"] == first["metrics_batch_id"]} == \
        {json.dumps(first["metrics"])}
    wait_until(lambda: lab.get("/lab/nodes").json()["nodes"][0].get("jobs") == 2, 20, "each task once")
    status = again.status()["directory"]
    assert status["batch"]["waiting"] == {"tasks_success": 0, "tasks_failed": 0}


def test_IICPD_01_74_kept_on_another_id(lab, node_factory, backend):
    node = node_factory(lab=quick(lab), backend=backend)
    beats(lab)
    fault(lab, {"name": "beat-other-batch", "count": 2})
    assert submit(node).status == 200
    told = await_metrics(lab, 3)
    assert len({b["metrics_batch_id"] for b in told[:3]}) == 1
    wait_until(lambda: "metrics_batch_id" not in batch_file(node), 20, "acknowledged")
    assert lab.get("/lab/nodes").json()["nodes"][0]["jobs"] == 1


def test_IICP_E2E_01_visible_within_120_s_of_a_good_beat(lab, node):
    beat = asked(lab, "heartbeat")[0]
    found = lab.get("/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1").json()["nodes"]
    assert beat["status"] == 200
    assert [n["node_id"] for n in found] == [beat["body"]["node_id"]]


def test_IICP_E2E_01_visible_again_after_an_outage(lab, node_factory, backend):
    node = node_factory(lab=quick(lab), backend=backend)
    beats(lab)
    lab.post("/lab/faults", {"forget": "*"})
    again = asked(lab, "register", 2, 60)[1]
    beat = wait_until(lambda: [b for b in asked(lab, "heartbeat", 0, 0) if b["began_s"] > again["ended_s"]], 30,
                      "the beat after it")[0]
    assert beat["status"] == 200
    found = lab.get("/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1").json()["nodes"]
    assert [n["endpoint"] for n in found] == [node.url]


def test_IICPD_01_95_absent_from_the_registry_registers_again(lab, node_factory, backend, iicpctl):
    node = node_factory(lab=quick(lab), backend=backend, recovery__every=1)
    asked(lab, "registry")
    assert node.status()["directory"]["recovery"]["state"] == "stable"
    fault(lab, {"route": "registry", "status": 404, "count": 2,
                "body": {"error": "REGISTRY-NODE-NOT-FOUND", "message": "x"}})
    register = asked(lab, "register", 2, 30)[1]
    assert register["body"]["current_node_token"]
    assert register["status"] == 201
    node.await_log("recovery: route_mismatch: the directory does not list us; registering again")
    wait_until(lambda: node.status()["directory"]["recovery"]["state"] == "stable", 40, "stable")
    node.await_log("recovery: stable again")
    assert "recovery: stable, no action" in iicpctl(node, "directory").stdout
    assert node.metric("iicp_recovery_info", state="stable", action="none") == 1
    told = [b["recovery_state"] for b in beats(lab, 0, 0) if "recovery_state" in b]
    assert set(told) <= {"route_mismatch"}


def test_IICPD_01_94_the_local_check_reaches_the_port(lab, node_factory, backend):
    node = node_factory(lab=quick(lab), backend=backend, recovery__every=1)
    wait_until(lambda: node.status()["directory"].get("recovery", {}).get("checks", 0) >= 2, 30, "two checks")
    assert node.status()["directory"]["recovery"]["state"] == "stable"
    assert node.status()["clock"]["state"] == "ok"
