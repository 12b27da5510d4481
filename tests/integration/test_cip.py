# SPDX-License-Identifier: Apache-2.0
"""Cooperative inference: the duties of a worker."""

import datetime
import hashlib
import hmac
import json
import threading
import uuid

import pytest

from conftest import wait_until
from test_directory import asked
from test_intents import with_models
from test_task import CHAT, refused, task

SESSION, PARENT = "session-é-1", "22222222-2222-4222-8222-222222222222"
WORKER = {"cip_role": "worker", "cip_session_key": SESSION, "cip_parent_task_id": PARENT}
TRACE = {"cip_role": "worker", "cip_session_key": SESSION, "cip_parent_task_id": PARENT}


def sub_task(**changes):
    return task(cip=WORKER, trace={"cip_role": "coordinator", "origin_node": "coordinator-1"}, **changes)


@pytest.fixture
def worker(node_factory, lab, backend):
    node = with_models(node_factory(lab=lab, backend=backend, cip__enabled="yes", cip__worker="yes"))
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered", process=node.popen)
    return node


def test_CIP_W02_GATE_CIP_CONF_02_role_off_is_403(node_factory, backend):
    node = with_models(node_factory(backend=backend))
    refused(node.post("/v1/task", sub_task()), 403, "forbidden")
    refused(node.post("/v1/task", task(trace={"cip_role": "worker"})), 403, "forbidden")
    assert node.post("/v1/task", task(trace={"cip_role": "coordinator"})).status == 200


@pytest.mark.parametrize("keys", [{"cip__enabled": "yes"}, {"cip__worker": "yes"}])
def test_CIP_W02_ALLOW_both_switches_are_needed(node_factory, backend, keys):
    node = with_models(node_factory(backend=backend, **keys))
    refused(node.post("/v1/task", sub_task()), 403, "forbidden")


def test_CIP_V08_fields_are_checked_with_the_role_off_too(node_factory, backend):
    node = with_models(node_factory(backend=backend))
    refused(node.post("/v1/task", task(constraints={"cip": {"replicas": 1}})), 422, "IICP-E028")
    refused(node.post("/v1/task", task(constraints={"cip": {"policy": "majority_vote", "replicas": 4}})), 422, "IICP-E025")
    refused(node.post("/v1/task", task(cip={"cip_role": "boss"})), 422, "IICP-E028")


def test_IICPD_05_42_policy_block_only_with_the_role(worker, lab, node_factory, lab_factory, backend):
    body = asked(lab, "register")[-1]["body"]
    assert body["policy"] == {"allow_remote_inference": True, "allow_tool_execution": False, "allow_file_access": False}
    other = lab_factory()
    node_factory(lab=other, backend=backend, cip__enabled="yes")
    assert "policy" not in asked(other, "register")[-1]["body"]


def test_CIP_A1_GATE_05_CIP_W01_CIP_V05_CIP_SESSION_a_sub_task_runs_and_its_answer_says_so(worker):
    answer = worker.post("/v1/task", sub_task())
    assert answer.status == 200, answer
    assert answer.json()["trace"] == TRACE
    assert "trace" not in worker.post("/v1/task", task()).json()
    assert "cip_receipt" not in worker.post("/v1/task", task()).json()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def test_CIP_TC9C_RUST_CIP_CR1_ADAPTER_CIP_04_CIP_04_RUST_IICPD_02_87_the_receipt_is_signed(worker, lab):
    querying = str(uuid.uuid4())
    body = worker.post("/v1/task", sub_task(source_node_id=querying)).json()
    receipt = body["cip_receipt"]
    assert receipt["task_id"] == body["task_id"] and receipt["cip_parent_task_id"] == PARENT
    assert receipt["cip_session_key"] == SESSION and receipt["querying_node_id"] == querying
    assert receipt["tokens_used"] == body["metrics"]["tokens_used"] == 9
    assert receipt["worker_node_id"] == body["metrics"]["node_id"]
    issued, expires = (datetime.datetime.strptime(receipt[k], "%Y-%m-%dT%H:%M:%SZ") for k in ("issued_at", "expires_at"))
    assert (expires - issued).total_seconds() == 300
    assert receipt["response_hash"] == hashlib.sha256(canonical(body["result"]).encode()).hexdigest()
    identity = json.loads((worker.folder / "state" / "identity.json").read_text())
    text = ":".join([receipt["task_id"], "9", PARENT, SESSION, receipt["nonce"], receipt["response_hash"], querying])
    assert receipt["signature"] == hmac.new(identity["node_hmac_key"].encode(), text.encode(), "sha256").hexdigest()
    assert len(receipt["nonce"]) == 32
    # the coordinator settles: nothing is claimed by us
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    assert lab.get("/lab/requests?route=award").json()["requests"] == []


def test_CIP_W01_RUST_errors_after_acceptance_carry_the_trace(worker, backend):
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "status": 500}]})
    body = refused(worker.post("/v1/task", sub_task()), 502, "backend_error", reason="backend_failed")
    assert body["trace"] == TRACE
    body = refused(worker.post("/v1/task", sub_task(payload={})), 422, "validation_error")
    assert body["trace"] == TRACE


def test_CIP_TC9C_RUST_without_a_key_there_is_no_receipt(node_factory, backend):
    node = with_models(node_factory(backend=backend, cip__enabled="yes", cip__worker="yes"))
    body = node.post("/v1/task", sub_task()).json()
    assert body["cip_receipt"] is None and body["trace"] == TRACE


def test_CIP_A1_GATE_02_CIP_02_tools_and_vendor_intents_are_no_inference(node_factory, backend):
    vendor = "urn:iicp:intent:x.acme:talk:v1"
    node = with_models(node_factory(backend=backend, cip__enabled="yes", cip__worker="yes",
                                    intents__custom=f"{vendor}={CHAT}"))
    refused(node.post("/v1/task", sub_task(intent="urn:iicp:intent:mcp:bash:v1")), 403, "tool_execution_denied")
    refused(node.post("/v1/task", sub_task(intent=vendor)), 403, "forbidden")
    refused(node.post("/v1/task", sub_task(constraints={"cip": {"policy": "best_of_n", "replicas": 2}})), 422, "IICP-E028")
    assert node.post("/v1/task", sub_task()).status == 200


def test_CIP_A1_GATE_06_worker_slots_are_their_own_and_never_wait(node_factory, backend):
    node = with_models(node_factory(backend=backend, cip__enabled="yes", cip__worker="yes", cip__max_concurrent=1,
                                    limits__max_concurrent=4, limits__queue_wait="2s"))
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "delay_ms": 1500, "times": 1}]})
    first = []
    thread = threading.Thread(target=lambda: first.append(node.post("/v1/task", sub_task())))
    thread.start()
    wait_until(lambda: node.status()["tasks"]["active"] == 1, what="running")
    answer = node.post("/v1/task", sub_task(constraints={"qos": "realtime"}))
    body = refused(answer, 503, "IICP-E021", reason="capacity_exhausted")
    assert int(answer.headers["Retry-After"]) >= 1 and "1" not in body["error"]["message"]
    assert node.post("/v1/task", task()).status == 200
    thread.join()
    assert first[0].status == 200
    assert node.post("/v1/task", sub_task()).status == 200


def test_CIP_W01_GATE_CIP_02_a_node_never_fans_out(worker, backend):
    backend.post("/_forget", {})
    three = {"cip": {"policy": "majority_vote", "replicas": 3}}
    assert worker.post("/v1/task", task(constraints=three)).status == 200
    assert len([r for r in backend.get("/_requests").json()["requests"] if r["method"] == "POST"]) == 1


def test_IICPD_02_85_checks_of_a_source_are_limited(node_factory, backend):
    node = with_models(node_factory(backend=backend, cip__enabled="yes", cip__worker="yes",
                                    listen__trusted_proxies="127.0.0.1"))
    source, other = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "192.0.2.8"}
    for _ in range(100):
        assert node.post("/v1/task", sub_task(), headers=source).status == 200
    answer = node.post("/v1/task", sub_task(), headers=source)
    refused(answer, 429, "rate_limited", iicp_code="IICP-E023")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert node.post("/v1/task", task(), headers=source).status == 200
    assert node.post("/v1/task", sub_task(), headers=other).status == 200


def test_IICPD_02_84_time_is_capped(node_factory, backend):
    node = with_models(node_factory(backend=backend, cip__enabled="yes", cip__worker="yes", cip__max_timeout="1s"))
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "delay_ms": 5000}]})
    body = refused(node.post("/v1/task", sub_task(constraints={"timeout_ms": 20000})), 504, "task_timeout")
    assert 900 <= body["metrics"]["latency_ms"] < 4000


@pytest.mark.parametrize("floor, known, wanted", [("0.5", True, 200), ("0.51", True, 403), ("0.5", False, 403)])
def test_CIP_A1_GATE_03_the_directory_is_asked_about_the_coordinator(node_factory, lab, backend, floor, known, wanted):
    node = with_models(node_factory(lab=lab, backend=backend, cip__enabled="yes", cip__worker="yes",
                                    cip__min_reputation=floor))
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered", process=node.popen)
    # any registered node may coordinate; the lab gives each of them 0.5
    coordinator = node.status()["node"]["node_id"] if known else "unknown-node"
    before = lab.get("/lab/requests?route=node").json()["requests"]
    for _ in range(2):
        answer = node.post("/v1/task", task(cip=WORKER, trace={"cip_role": "coordinator", "origin_node": coordinator}))
        if wanted == 200:
            assert answer.status == 200, answer
        else:
            refused(answer, 403, "IICP-E020")
    refused(node.post("/v1/task", task(cip=WORKER)), 403, "IICP-E020")
    now = lab.get("/lab/requests?route=node").json()["requests"]
    seen = [r for r in now[len(before):] if r["path"].endswith("/" + coordinator)]
    assert len(seen) == (1 if known else 2)  # an answer is kept for a minute, a failure is not
