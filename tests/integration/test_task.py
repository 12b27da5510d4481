# SPDX-License-Identifier: Apache-2.0
"""The task corridor over HTTP: envelope, admission, answer. The backend is the demo one or the strict
fake; what a real server does stands in test_real_backends.py."""

import json
import socket
import threading
import uuid

import pytest

CHAT = "urn:iicp:intent:llm:chat:v1"
EMBEDDING = "urn:iicp:intent:llm:embedding:v1"


def task(**changes):
    body = {
        "task_id": str(uuid.uuid4()),
        "intent": CHAT,
        "payload": {"messages": [{"role": "user", "content": "Say hi."}]},
        "constraints": {"timeout_ms": 10000},
    }
    body.update(changes)
    return {k: v for k, v in body.items() if v is not ...}


@pytest.fixture
def demo(node_factory):
    return node_factory()


def refused(answer, status, code, **members):
    assert answer.status == status, answer
    body = answer.json()
    assert body["status"] == ("timeout" if status == 504 else "error")
    assert body["result"] is None
    assert "generated_by_ai" not in body
    assert body["error"]["code"] == code, body
    for name, value in members.items():
        assert body["error"].get(name) == value, body
    return body


# ---- the answer ----


def test_NODE_TASK_01_valid_task_is_answered(demo):
    answer = demo.post("/v1/task", task())
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["result"]["choices"][0]["message"]["content"].startswith("[demo]")


def test_NODE_TASK_02_answer_carries_the_task_id(demo):
    body = task()
    assert demo.post("/v1/task", body).json()["task_id"] == body["task_id"]


def test_PROTO_MSG_04_task_id_is_echoed_exactly(demo):
    upper = str(uuid.uuid4()).upper()
    assert demo.post("/v1/task", task(task_id=upper)).json()["task_id"] == upper


def test_NODE_TASK_03_status(demo):
    assert demo.post("/v1/task", task()).json()["status"] == "success"
    refused(demo.post("/v1/task", task(intent="nonsense")), 422, "validation_error")


def test_NODE_TASK_04_latency_is_an_integer(demo):
    metrics = demo.post("/v1/task", task()).json()["metrics"]
    assert isinstance(metrics["latency_ms"], int) and 0 <= metrics["latency_ms"] < 10000


def test_IICPD_02_49_members_of_a_success(demo):
    body = demo.post("/v1/task", task()).json()
    assert body["generated_by_ai"] is True
    assert body["error"] is None
    assert "attestation_receipt" not in body and "trace" not in body
    assert body["metrics"]["node_id"] == demo.get("/iicp/health").json()["node_id"]
    assert isinstance(body["usage"]["total_tokens"], int)
    assert body["metrics"]["tokens_used"] == body["usage"]["total_tokens"]


def test_IICPD_02_28_refusal_stands_in_a_task_answer(demo):
    body = task(payload=...)
    answer = refused(demo.post("/v1/task", body), 422, "validation_error", field="payload")
    assert answer["task_id"] == body["task_id"]
    assert "metrics" not in answer
    assert refused(demo.post("/v1/task", task(task_id="x" * 200)), 422, "validation_error")["task_id"] is None


# ---- envelope ----


@pytest.mark.parametrize("bad", ["", "not-a-uuid", 7, None, ["x"], "550e8400-e29b-11d4-a716-446655440000"])
def test_PROTO_MSG_01_task_id_must_be_uuid_v4(demo, bad):
    refused(demo.post("/v1/task", task(task_id=bad)), 422, "validation_error", field="task_id")


def test_PROTO_MSG_01_configured_relaxation(node_factory):
    node = node_factory(tasks__require_uuid="no")
    assert node.post("/v1/task", task(task_id="browser-1.2:3_4")).status == 200
    refused(node.post("/v1/task", task(task_id="no blanks")), 422, "validation_error", field="task_id")


def test_PROTO_MSG_02_intent_must_be_a_registered_urn(demo):
    refused(demo.post("/v1/task", task(intent=5)), 422, "validation_error", field="intent")
    refused(demo.post("/v1/task", task(intent=CHAT.upper())), 422, "validation_error")
    refused(demo.post("/v1/task", task(intent="urn:iicp:intent:llm:chat:v2")), 422, "unknown_intent")


def test_PROTO_URN_03_well_formed_but_not_served(demo):
    refused(demo.post("/v1/task", task(intent="urn:iicp:intent:weather:report:v1")), 422, "unknown_intent")


@pytest.mark.parametrize("timeout", [0, -1, 300001, 1.5, "1000", True])
def test_PROTO_MSG_03_wrong_timeouts(demo, timeout):
    refused(demo.post("/v1/task", task(constraints={"timeout_ms": timeout})), 422, "validation_error")


def test_PROTO_MSG_03_range_and_default(demo):
    for constraints in ({}, {"timeout_ms": 300000}, ...):
        assert demo.post("/v1/task", task(constraints=constraints)).status == 200


def test_IICPD_02_20_body_is_one_json_object(demo):
    for bad in ("", "[]", "null", "{", "{} {}", '{"a":1,"a":2}', "[" * 70 + "]" * 70, "\ufeff{}"):
        answer = demo.post("/v1/task", bad, {"Content-Type": "application/json"})
        refused(answer, 400, "invalid_http_body")
    answer = demo.post("/v1/task", b'{"task_id":"\xff"}', {"Content-Type": "application/json"})
    refused(answer, 400, "invalid_http_body")


def test_IICPD_02_55_modifier_is_not_stripped(demo):
    refused(demo.post("/v1/task", task(intent=CHAT + "+fast")), 422, "IICP-E028")


def test_IICPD_02_33_required_profiles(demo):
    profile = "urn:iicp:profile:service-lifecycle:v1"
    refused(demo.post("/v1/task", task(constraints={"required_profiles": [profile]})), 422,
            "unsupported_profile", profile=profile)
    assert demo.post("/v1/task", task(constraints={"optional_profiles": [profile]})).status == 200


# ---- policy ----


def test_CIP_A1_GATE_01_tools_are_not_executed(demo):
    for intent in ("urn:iicp:intent:tool:run:v1", "urn:iicp:intent:mcp:tools/call:v1"):
        refused(demo.post("/v1/task", task(intent=intent)), 403, "tool_execution_denied")


def test_IICPD_02_56_risk_taxonomy(demo, node_factory):
    prohibited = "urn:iicp:intent:gov:social-scoring:v1"
    high = "urn:iicp:intent:hr:employment:hiring:v1"
    body = refused(demo.post("/v1/task", task(intent=prohibited)), 403, "IICP-POLICY-001")
    assert body["error"]["category"] == "prohibited"
    refused(demo.post("/v1/task", task(intent=high)), 403, "IICP-POLICY-001", category="high_risk")
    allowing = node_factory(policy__allow_high_risk="yes")
    refused(allowing.post("/v1/task", task(intent=prohibited)), 403, "IICP-POLICY-001")
    refused(allowing.post("/v1/task", task(intent=high)), 422, "unknown_intent")


# ---- models ----


def test_IICPD_02_61_model(demo):
    refused(demo.post("/v1/task", task(constraints={"model": "nope"})), 404, "model_not_found",
            iicp_code="IICP-E029")
    payload = {"messages": [{"role": "user", "content": "x"}], "model": "demo"}
    assert demo.post("/v1/task", task(payload=payload)).json()["model_used"] == "demo"
    refused(demo.post("/v1/task", task(payload=payload, constraints={"model": "other"})), 422,
            "validation_error", field="constraints.model")


def test_IICPD_02_75_no_model_asked_goes_where_the_intent_is_served(node_factory, backend_factory):
    from conftest import wait_until

    embed, chat = backend_factory("--models", "nomic-embed-text"), backend_factory("--models", "m-a")
    node = node_factory(config={
        "backend.test.type": None, "backend.embed.type": "openai_compat", "backend.embed.url": embed.url,
        "backend.chat.type": "openai_compat", "backend.chat.url": chat.url})
    wait_until(lambda: len(node.get("/iicp/health").json()["models"]) == 2, what="both lists")
    for _ in range(3):
        assert node.post("/v1/task", task()).status == 200
    assert node.post("/v1/task", task(intent=EMBEDDING, payload={"input": "a"})).status == 200

    def asked(backend):
        return [r["path"] for r in backend.get("/_requests").json()["requests"] if r["method"] == "POST"]

    assert asked(chat) == ["/v1/chat/completions"] * 3
    assert asked(embed) == ["/v1/embeddings"]


# ---- replay ----


def test_NODE_TASK_06_duplicate_task_id(demo):
    body = task()
    assert demo.post("/v1/task", body).status == 200
    refused(demo.post("/v1/task", body), 409, "conflict", iicp_code="IICP-E010", reason="duplicate_task")


def test_IICPD_02_45_nonce(demo):
    assert demo.post("/v1/task", task(nonce="n-1")).status == 200
    refused(demo.post("/v1/task", task(nonce="n-1")), 409, "conflict", iicp_code="IICP-E011",
            reason="replay_detected")
    refused(demo.post("/v1/task", task(nonce=7)), 422, "validation_error", field="nonce")
    refused(demo.post("/v1/task", task(nonce="x" * 257)), 422, "validation_error", field="nonce")
    assert demo.post("/v1/task", task(nonce="x" * 256)).status == 200


def test_IICPD_02_40_a_refusal_consumes_nothing(demo):
    body = task(nonce="kept")
    refused(demo.post("/v1/task", {**body, "constraints": {"model": "nope"}}), 404, "model_not_found")
    assert demo.post("/v1/task", body).status == 200


# ---- authorization ----


def test_TASK_1_open_mode_takes_anonymous_and_wrong_credentials(demo):
    assert demo.post("/v1/task", task()).status == 200
    before = demo.metric("iicp_auth_failures_total")
    assert demo.post("/v1/task", task(auth={"node_token": "wrong"})).status == 200
    assert demo.post("/v1/task", task(), {"Authorization": "Bearer wrong"}).status == 200
    assert demo.metric("iicp_auth_failures_total") == before + 2


@pytest.fixture
def closed(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend, auth__mode="required")
    node.await_log("register_ok")
    return node


def own_token(node):
    return json.loads((node.state_dir / "identity.json").read_text())["node_token"]


def test_SEC_AUTH_01_no_credentials(closed):
    answer = closed.post("/v1/task", task())
    refused(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_SEC_AUTH_02_wrong_credentials(closed):
    refused(closed.post("/v1/task", task(auth={"node_token": "wrong"})), 401, "unauthorized")
    refused(closed.post("/v1/task", task(), {"Authorization": "Bearer wrong"}), 401, "unauthorized")


def test_SEC_RN_01_empty_token(closed):
    refused(closed.post("/v1/task", task(auth={"node_token": ""})), 401, "unauthorized")


def test_SEC_RN_01_an_empty_own_token_matches_nothing(node_factory):
    node = node_factory(auth__mode="required")
    refused(node.post("/v1/task", task(auth={"node_token": ""})), 401, "unauthorized")
    refused(node.post("/v1/task", task(), {"Authorization": "Bearer "}), 401, "unauthorized")


def test_SEC_RN_02_no_auth_member(closed):
    refused(closed.post("/v1/task", task(auth={})), 401, "unauthorized")


def test_NODE_TASK_05_own_token_opens(closed):
    token = own_token(closed)
    assert closed.post("/v1/task", task(auth={"node_token": token})).status == 200
    assert closed.post("/v1/task", task(auth={"token": token})).status == 200
    assert closed.post("/v1/task", task(), {"Authorization": f"Bearer {token}"}).status == 200
    assert token not in closed.log_text()


# ---- encryption: what needs no key of a caller ----


def cx(**changes):
    conf = {"version": 1, "recipient_key_id": "cx-0000000000000000", "kem_ciphertext": "A" * 43,
            "nonce": "A" * 16, "encrypted_body": "A" * 64}
    conf.update(changes)
    return conf


def test_CX_refusals_have_their_detail_code(node_factory, demo):
    plain = task(payload=...)
    refused(demo.post("/v1/task", {**plain, "iicp_conf": cx()}), 422, "IICP-E050", detail_code="IICP-E060")
    refused(demo.post("/v1/task", {**plain, "iicp_conf": cx(version=2)}), 422, "IICP-E050",
            detail_code="IICP-E061")
    refused(demo.post("/v1/task", task(iicp_conf=cx())), 422, "validation_error")
    refused(demo.post("/v1/task", {**plain, "iicp_conf": "x"}), 422, "validation_error")
    refused(demo.post("/v1/task", task(cx_response_encryption="required")), 422, "validation_error",
            field="cx_response_encryption")
    for body in (task(), plain):
        refused(demo.post("/v1/task", body, {"X-IICP-Require-E2E": "1"}), 422, "IICP-E050",
                detail_code="IICP-E064")
    demanding = node_factory(encryption__require="yes")
    refused(demanding.post("/v1/task", task()), 422, "IICP-E050", detail_code="IICP-E064")
    without = node_factory(encryption__enabled="no")
    refused(without.post("/v1/task", {**plain, "iicp_conf": cx()}), 422, "IICP-E050",
            detail_code="IICP-E064")


def test_CX_refused_task_may_come_again(demo):
    """422 at step 12 gives the id back; the task itself is then taken."""
    body = task()
    refused(demo.post("/v1/task", {**task(payload=..., task_id=body["task_id"]), "iicp_conf": cx()}), 422,
            "IICP-E050")
    assert demo.post("/v1/task", body).status == 200


# ---- traces ----


def test_TRACE_04_invalid_traceparent_gives_new_ids(demo):
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    good = f"00-{trace_id}-00f067aa0ba902b7-01"
    assert demo.post("/v1/task", task(), {"traceparent": good}).headers["X-IICP-Trace-Id"] == trace_id
    for bad in (good.replace("00-", "ff-", 1), good.replace(trace_id, "0" * 32), "junk", good.upper()):
        got = demo.post("/v1/task", task(), {"traceparent": bad}).headers["X-IICP-Trace-Id"]
        assert len(got) == 32 and got != trace_id and got != "0" * 32


# ---- rates ----


def test_IICPD_02_46_per_origin_limit(node_factory):
    node = node_factory(limits__per_origin=3)
    origin = {"Origin": "https://page.example.org"}
    for _ in range(3):
        assert node.post("/v1/task", task(), origin).status == 200
    answer = node.post("/v1/task", task(), origin)
    refused(answer, 429, "rate_limited", iicp_code="IICP-E023", retry_after_ms=60000)
    assert answer.headers["Retry-After"] == "60"
    assert node.post("/v1/task", task(), {"Origin": "https://other.example.org"}).status == 200
    assert node.post("/v1/task", task()).status == 200


# ---- capacity, budget, cancel: a backend that hangs ----


class Slow:
    """Tasks that hang at the backend until the test lets them go."""

    def __init__(self, node):
        self.node, self.sockets = node, []

    def start(self, **changes):
        body = json.dumps(task(**changes)).encode()
        s = socket.create_connection((self.node.host, self.node.port), 30)
        s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.sockets.append(s)
        return s

    def close(self):
        for s in self.sockets:
            s.close()


@pytest.fixture
def hanging(node_factory, backend):
    from conftest import wait_until

    node = node_factory(backend=backend, limits__max_concurrent=1)
    wait_until(lambda: node.get("/iicp/health").json()["models"] or node.status()["backends"][0]["models"],
               what="models")
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "mode": "hang"}]})
    slow = Slow(node)
    yield slow
    slow.close()


def active(node):
    return node.get("/iicp/health").json()["active_jobs"]


def until_active(node, n):
    from conftest import wait_until

    wait_until(lambda: active(node) == n, what=f"{n} active tasks")


def test_NODE_CONC_01_no_slot(hanging):
    hanging.start()
    until_active(hanging.node, 1)
    answer = hanging.node.post("/v1/task", task())
    refused(answer, 429, "capacity_exceeded", iicp_code="IICP-E021", qos_class="best-effort",
            retry_after_ms=2000, reason=None)
    assert answer.headers["Retry-After"] == "2"


def test_QOS_ADMIT_01_second_realtime_task_is_refused_at_once(hanging):
    hanging.start(constraints={"timeout_ms": 20000, "qos": "realtime"})
    until_active(hanging.node, 1)
    refused(hanging.node.post("/v1/task", task(constraints={"qos": "realtime"})), 429, "capacity_exceeded",
            qos_class="realtime", retry_after_ms=2000)


def test_TASK_3_health_tells_the_slots(hanging):
    assert hanging.node.get("/iicp/health").json()["available"] is True
    hanging.start()
    until_active(hanging.node, 1)
    health = hanging.node.get("/iicp/health").json()
    assert health["available"] is False and health["load"] == 1 and health["max_concurrent"] == 1


def test_TASK_4_budget_used_up(hanging):
    body = task(constraints={"timeout_ms": 300})
    answer = refused(hanging.node.post("/v1/task", body), 504, "task_timeout", iicp_code="IICP-E006")
    assert 300 <= answer["metrics"]["latency_ms"] < 3000
    until_active(hanging.node, 0)
    assert hanging.node.metric("iicp_tasks_total", status="timeout") == 1


def test_TASK_2_failed_attempt_gives_the_id_back(hanging):
    body = task(constraints={"timeout_ms": 200})
    for _ in range(2):
        refused(hanging.node.post("/v1/task", body), 504, "task_timeout")


def test_IICPD_02_48_caller_gone(hanging):
    s = hanging.start(constraints={"timeout_ms": 60000})
    until_active(hanging.node, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a half close
    s.close()
    until_active(hanging.node, 0)
    assert hanging.node.metric("iicp_tasks_total", status="aborted") == 1
    assert hanging.node.metric("iicp_tasks_total", status="success") == 0


def test_IICPD_02_44_queueing(node_factory, backend):
    from conftest import wait_until

    node = node_factory(backend=backend, limits__max_concurrent=1, limits__queue_wait="2s")
    wait_until(lambda: node.status()["backends"][0]["models"], what="models")
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "mode": "hang", "times": 1}]})
    slow = Slow(node)
    first = slow.start()
    until_active(node, 1)
    refused(node.post("/v1/task", task(constraints={"qos": "batch"})), 429, "capacity_exceeded")
    got = {}
    waiter = threading.Thread(target=lambda: got.update(
        answer=node.post("/v1/task", task(constraints={"qos": "interactive"}))))
    waiter.start()
    wait_until(lambda: node.status()["tasks"]["waiting"] == 1, what="a waiter")
    refused(node.post("/v1/task", task(constraints={"qos": "realtime"})), 429, "capacity_exceeded")
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.close()
    waiter.join()
    assert got["answer"].status == 200
    slow.close()


def test_IICPD_02_43_windows(node_factory):
    node = node_factory(limits__max_concurrent=4, availability__window="00:00-23:59 25%")
    health = node.get("/iicp/health").json()
    assert health["effective_max_concurrent"] == 1 and health["max_concurrent"] == 4


# ---- privacy ----


def test_TASK_5_payload_is_not_logged(node_factory):
    node = node_factory(log__level="debug", log__tasks="yes")
    words = "canary-prompt-5f0c"
    assert node.post("/v1/task", task(payload={"messages": [{"role": "user", "content": words}]})).status == 200
    refused(node.post("/v1/task", task(payload={"messages": words})), 422, "validation_error")
    assert words not in node.log_text()
    assert words not in node.get("/metrics").text
    assert words not in json.dumps(node.status())


def refusals(node):
    for body in (task(payload={"messages": "x"}), task(intent="x"), task(constraints={"model": "nope"}), "{"):
        yield node.post("/v1/task", body, {"Content-Type": "application/json"}).text


def test_SEC_LEAK_01_no_trace_in_refusals(demo):
    for text in refusals(demo):
        for word in ("Traceback", ".c:", "0x", " at "):
            assert word not in text, text


def test_SEC_LEAK_02_no_path_in_refusals(demo):
    for text in refusals(demo):
        assert "/" not in text, text


def test_NODE_TASK_08_answers_show_no_internal_path(demo):
    text = demo.post("/v1/task", task()).text
    for word in (str(demo.folder), "/usr/", "/home/", "/tmp/", ".conf", ".sock"):
        assert word not in text


def test_IICPD_02_22_answer_above_the_limit_is_a_failed_task(node_factory, backend):
    from conftest import wait_until

    node = node_factory(backend=backend)
    wait_until(lambda: node.status()["backends"][0]["models"], what="models")

    def reply(size):
        choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
        backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "json": {"choices": [choice]}}]})
        return node.post("/v1/task", task())

    answer = reply(1000000)
    assert answer.status == 200 and len(answer.body) <= 1048576
    refused(reply(1048576), 500, "response_too_large")
    assert node.metric("iicp_tasks_total", status="error") == 1
    until_active(node, 0)
