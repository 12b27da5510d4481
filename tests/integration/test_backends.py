# SPDX-License-Identifier: Apache-2.0
"""The daemon against a strict fake of an inference server: requests, failures, choice, stability."""

import concurrent.futures
import json
import socket
import struct
import uuid

import pytest

from conftest import wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"


def task(model=None, text="hi", timeout_ms=20000, intent=CHAT, payload=None):
    payload = payload or {"messages": [{"role": "user", "content": text}]}
    if model:
        payload = {**payload, "model": model}
    return {"task_id": str(uuid.uuid4()), "intent": intent, "payload": payload,
            "constraints": {"timeout_ms": timeout_ms}}


def submit(node, *args, headers=None, **kw):
    return node.post("/v1/task", task(*args, **kw), headers)


def told(backend):
    return backend.get("/_requests").json()


def posts(backend):
    return [r for r in told(backend)["requests"] if r["method"] == "POST"]


def control(backend, **change):
    assert backend.post("/_control", change).status == 200


def header(request, name):
    return [v for k, v in request["headers"] if k.lower() == name]


def backend_state(node, name="test"):
    return next(b for b in node.status()["backends"] if b["name"] == name)


def models_known(node, n=1, name="test"):
    wait_until(lambda: backend_state(node, name)["models"] >= n and backend_state(node, name)["list_ok"],
               what="model list")


@pytest.fixture
def alone(node_factory, backend):
    node = node_factory(backend=backend)
    models_known(node)
    return node


def test_SDK_NODE_02_task_reaches_backend_and_result_comes_back(alone, backend):
    answer = submit(alone, "tiny", "what?")
    assert answer.status == 200
    assert answer.json()["status"] == "success"
    assert answer.json()["result"]["choices"][0]["message"]["content"] == "Hello from the fake."
    sent = json.loads(posts(backend)[-1]["body"])
    assert sent == {"model": "tiny", "messages": [{"role": "user", "content": "what?"}]}


def test_IICPD_02_59_dropped_members_do_not_reach_the_backend(alone, backend):
    payload = {"messages": [{"role": "user", "content": "x"}], "stream": True, "stream_options": {"a": 1},
               "_proxy": 1, "top_p": None, "seed": 7}
    assert submit(alone, "tiny", payload=payload).status == 200
    assert json.loads(posts(backend)[-1]["body"]) == {
        "model": "tiny", "messages": [{"role": "user", "content": "x"}], "seed": 7}


def test_IICPD_02_62_smallest_limit_is_sent(node_factory, backend):
    node = node_factory(backend=backend, limits__max_tokens=50)
    models_known(node)
    payload = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 90}
    assert submit(node, "tiny", payload=payload).json()["metrics"]["max_tokens_applied"] == 50
    assert json.loads(posts(backend)[-1]["body"])["max_tokens"] == 50


def test_IICPD_02_64_redirect_is_not_followed_and_v1_in_the_url_counts_once(node_factory, backend):
    node = node_factory(config={"backend.test.type": "openai_compat", "backend.test.url": backend.url + "/v1/"},
                        env={"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"})
    models_known(node)
    assert submit(node, "tiny").status == 200
    assert posts(backend)[-1]["path"] == "/v1/chat/completions"
    control(backend, rules=[{"path": "/v1/chat/completions", "status": 307,
                             "headers": {"Location": "/v1/completions"}}])
    answer = submit(node, "tiny")
    assert (answer.status, answer.json()["error"]["reason"]) == (502, "backend_failed")
    assert posts(backend)[-1]["path"] == "/v1/chat/completions"


def test_IICPD_02_64_answers_are_capped(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": "endless"}])
    answer = submit(alone, "tiny")
    assert (answer.status, answer.json()["error"]["reason"]) == (502, "backend_invalid_response")


def test_IICPD_02_65_key_goes_to_its_backend_only(node_factory, backend_factory, tmp_path):
    (tmp_path / "key").write_text("sekrit")
    (tmp_path / "key").chmod(0o600)
    mine, other = backend_factory("--models", "a"), backend_factory("--models", "b")
    node = node_factory(config={
        "backend.test.type": "openai_compat", "backend.test.url": mine.url,
        "backend.test.api_key": f"file:{tmp_path}/key",
        "backend.two.type": "openai_compat", "backend.two.url": other.url})
    models_known(node)
    models_known(node, name="two")
    assert submit(node, "a").status == submit(node, "b").status == 200
    assert all(header(r, "authorization") == ["Bearer sekrit"] for r in told(mine)["requests"])
    assert any(r["method"] == "GET" for r in told(mine)["requests"])
    assert all(header(r, "authorization") == [] for r in told(other)["requests"])
    assert "sekrit" not in node.log_text() + node.control("/v1/status").text


@pytest.mark.parametrize("flavour,seen", [("ollama", "ollama"), ("llamacpp", "llamacpp"), ("vllm", "vllm"),
                                          ("lmstudio", "lmstudio"), ("custom", "custom")])
def test_IICPD_02_66_flavour(node_factory, backend_factory, flavour, seen):
    node = node_factory(backend=backend_factory("--flavour", flavour))
    models_known(node)
    wait_until(lambda: backend_state(node)["flavour"] == seen, what="flavour")


def test_IICPD_02_67_list_order_exclusions_and_none_at_all(node_factory, backend_factory):
    backend = backend_factory("--models", "b,a,b,secret-x")
    node = node_factory(backend=backend,
                        config={"backend.test.exclude": "secret-*"})
    models_known(node, 2)
    assert [m["model"] for m in node.control("/v1/models").json()["models"]] == ["b", "a"]
    empty = backend_factory("--models", "")
    node = node_factory(backend=empty)
    wait_until(lambda: len(told(empty)["requests"]) >= 3, what="first probe")
    control(empty, models=["late"])
    models_known(node)  # probed again within 5 s


FAILURES = [
    ({"status": 400}, 422, "validation_error", "backend_rejected_payload"),
    ({"status": 413}, 422, "validation_error", "backend_rejected_payload"),
    ({"status": 422}, 422, "validation_error", "backend_rejected_payload"),
    ({"status": 401, "body": "no"}, 502, "backend_error", "backend_auth"),
    ({"status": 403}, 502, "backend_error", "backend_auth"),
    ({"status": 404, "body": "The Model is gone"}, 404, "model_not_found", None),
    ({"status": 404, "body": "no such page"}, 502, "backend_error", "backend_endpoint_missing"),
    ({"status": 408}, 502, "backend_error", "backend_failed"),
    ({"status": 504}, 502, "backend_error", "backend_failed"),
    ({"status": 500, "json": {"error": "is required"}}, 502, "backend_error", "backend_failed"),
    ({"status": 418}, 502, "backend_error", "backend_failed"),
    ({"status": 200, "body": "not json"}, 502, "backend_error", "backend_invalid_response"),
    ({"status": 200, "json": {"choices": []}}, 502, "backend_error", "backend_invalid_response"),
    ({"status": 200, "json": {"choices": [{"text": "x"}]}}, 502, "backend_error", "backend_invalid_response"),
    ({"status": 200, "json": {"error": {"message": "secret text"}}}, 502, "backend_error", "backend_failed"),
    ({"mode": "garbage"}, 502, "backend_error", "backend_invalid_response"),
    ({"mode": "reset"}, 502, "backend_error", "backend_unreachable"),
    ({"mode": "close_mid"}, 502, "backend_error", "backend_unreachable"),
    ({"headers": {"Content-Encoding": "gzip"}, "base64": "H4sIAAAAAAAAAwMAAAAAAAAAAAA="}, 502, "backend_error",
     "backend_invalid_response"),
]


@pytest.mark.parametrize("rule,status,code,reason", FAILURES)
def test_IICPD_02_69_failures(alone, backend, rule, status, code, reason):
    control(backend, rules=[{"path": "/v1/chat/completions", **rule}])
    answer = submit(alone, "tiny")
    error = answer.json()["error"]
    assert (answer.status, error["code"], error.get("reason")) == (status, code, reason)
    assert answer.json()["status"] == "error" and answer.json()["result"] is None
    assert "secret text" not in answer.text


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("given,seen", [("7", "7"), ("9999", "300"), (None, "2")])
def test_IICPD_02_69_busy(alone, backend, status, given, seen):
    control(backend, rules=[{"path": "/v1/chat/completions", "status": status,
                             "headers": {"Retry-After": given} if given else {}}])
    answer = submit(alone, "tiny")
    assert (answer.status, answer.json()["error"]["iicp_code"]) == (503, "IICP-E024")
    assert answer.json()["error"]["reason"] == "backend_busy" and answer.headers["Retry-After"] == seen


def test_IICPD_02_69_timeout(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": "hang"}])
    answer = submit(alone, "tiny", timeout_ms=300)
    assert (answer.status, answer.json()["error"]["code"]) == (504, "task_timeout")


def test_NODE_TASK_07_backend_error_without_its_text(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "status": 500, "body": "Traceback: /srv/secret.py"}])
    answer = submit(alone, "tiny")
    assert answer.status == 502 and "secret" not in answer.text + alone.log_text()


def two(node_factory, backend_factory, **more):
    one, other = backend_factory("--models", "m,a"), backend_factory("--models", "m,b")
    node = node_factory(config={
        "backend.test.type": None, "backend.one.type": "openai_compat", "backend.one.url": one.url,
        "backend.two.type": "openai_compat", "backend.two.url": other.url, "backend.two.model": "b", **more})
    models_known(node, 2, "one")
    models_known(node, 2, "two")
    return node, one, other


def test_IICPD_02_75_joined_list_choice_and_second_try(node_factory, backend_factory):
    node, one, other = two(node_factory, backend_factory)
    assert node.get("/iicp/health").json()["models"] == ["b", "m", "a"]
    assert submit(node, "a").status == submit(node, "b").status == submit(node, "m").status == 200
    assert len(posts(one)) == 2 and len(posts(other)) == 1
    control(one, rules=[{"path": "/v1/chat/completions", "mode": "reset"}])
    assert submit(node, "m").status == 200
    assert len(posts(other)) == 2
    assert submit(node, "a").status == 502
    control(one, rules=[{"path": "/v1/chat/completions", "status": 500}])
    assert submit(node, "m").status == 502  # no second try after a failure of its own


def test_IICPD_02_75_least_busy_one_is_taken(node_factory, backend_factory):
    node, one, other = two(node_factory, backend_factory)
    control(one, rules=[{"path": "/v1/chat/completions", "mode": "hang", "times": 1}])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(submit, node, "m", timeout_ms=1500)
        wait_until(lambda: told(one)["active"] == 1, what="task at the first backend")
        assert submit(node, "m").status == 200
        assert len(posts(other)) == 1
        assert first.result().status == 504, first.result()


def test_IICPD_02_94_headers_are_of_our_own_making(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "headers": {"X-Inner": "address", "Set-Cookie": "a=b"}}])
    answer = submit(alone, "tiny", headers={"Origin": "http://elsewhere.example", "Cookie": "c=d",
                                            "Authorization": "Bearer caller", "X-Other": "1"})
    assert answer.status == 200 and "X-Inner" not in answer.headers and "Set-Cookie" not in answer.headers
    sent = posts(backend)[-1]
    assert header(sent, "host") == [f"127.0.0.1:{backend.port}"]
    assert header(sent, "content-type") == ["application/json"]
    for name in ("origin", "cookie", "authorization", "x-other", "expect"):
        assert header(sent, name) == []


def test_IICPD_05_48_nothing_of_the_payload_is_fetched(alone, backend):
    payload = {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": backend.url + "/picture"}}]}]}
    assert submit(alone, "tiny", payload=payload).status == 422
    assert all(r["path"] != "/picture" for r in told(backend)["requests"])


def test_IICPD_02_95_models_are_checked_by_us(node_factory, backend_factory):
    backend = backend_factory("--models", "tiny:latest")
    node = node_factory(backend=backend)
    models_known(node)
    assert submit(node, "tiny").status == submit(node, "tiny:latest").status == 200
    assert json.loads(posts(backend)[-1]["body"])["model"] == "tiny:latest"
    answer = submit(node, "other")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert len(posts(backend)) == 2


def test_IICPD_02_98_never_more_than_the_slots_of_llamacpp(node_factory, backend_factory):
    backend = backend_factory("--flavour", "llamacpp")
    node = node_factory(backend=backend, limits__max_concurrent=16)
    models_known(node)
    wait_until(lambda: backend_state(node)["slots"] == 2, what="slots")
    control(backend, rules=[{"path": "/v1/chat/completions", "delay_ms": 200}])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit(node, "tiny").status, range(8)))
    assert told(backend)["most_active"] <= 2
    assert set(answers) <= {200, 429} and answers.count(200) >= 2


def test_IICPD_02_96_llamacpp_is_asked_by_stream(node_factory, backend_factory):
    backend = backend_factory("--flavour", "llamacpp")
    node = node_factory(backend=backend)
    models_known(node)
    wait_until(lambda: backend_state(node)["flavour"] == "llamacpp", what="flavour")
    answer = submit(node, "tiny").json()
    sent = json.loads(posts(backend)[-1]["body"])
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True}
    assert answer["result"]["choices"][0]["message"]["content"] == "Hello from the fake."
    assert answer["result"]["usage"]["total_tokens"] == 9
    payload = {"messages": [{"role": "user", "content": "x"}], "n": 2}
    submit(node, "tiny", payload=payload)
    assert "stream" not in json.loads(posts(backend)[-1]["body"])


def test_IICPD_02_97_stream_without_finish_is_a_failure(node_factory, backend_factory):
    backend = backend_factory("--flavour", "llamacpp")
    node = node_factory(backend=backend)
    models_known(node)
    wait_until(lambda: backend_state(node)["flavour"] == "llamacpp", what="flavour")
    for text in ('data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
                 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: {"error":"x"}\n\n'):
        control(backend, rules=[{"path": "/v1/chat/completions", "body": text}])
        assert submit(node, "tiny").json()["error"]["reason"] == "backend_failed"


def test_IICPD_02_99_context_is_shown_and_a_cut_prompt_marked(node_factory, backend_factory):
    backend = backend_factory("--flavour", "ollama")
    control(backend, context=5)
    node = node_factory(backend=backend)
    models_known(node)
    assert node.control("/v1/models").json()["models"][0]["context"] == 5
    assert submit(node, "tiny").json()["metrics"]["prompt_truncated"] is True


def test_IICPD_02_101_loading_is_no_failure(node_factory, backend_factory):
    backend = backend_factory("--flavour", "llamacpp")
    node = node_factory(backend=backend)
    models_known(node)
    wait_until(lambda: backend_state(node)["flavour"] == "llamacpp", what="flavour")
    control(backend, rules=[{"path": "/v1/chat/completions", "status": 500, "times": 1, "json": {
        "error": {"message": "image input is not supported"}}}])
    assert submit(node, "tiny").status == 422
    control(backend, rules=[{"path": "/v1/chat/completions", "status": 503, "json": {
        "error": {"message": "Loading model", "code": 503}}}])
    answer = submit(node, "tiny")
    assert (answer.status, answer.json()["error"]["reason"]) == (503, "backend_loading")
    assert (backend_state(node)["state"], backend_state(node)["reason"]) == ("draining", "backend_loading")


@pytest.mark.parametrize("mode", ["reset", "close"])
def test_IICPD_02_102_stale_connection_is_retried_once(alone, backend, mode):
    assert submit(alone, "tiny").status == 200
    before = len(posts(backend))
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": mode, "on_reused": True}])
    assert submit(alone, "tiny").status == 200
    tries = posts(backend)[before:]
    assert len(tries) == 2 and tries[1]["nth"] == 1
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": mode}])
    before = len(posts(backend))
    assert submit(alone, "tiny").status == 502
    assert len(posts(backend)) - before <= 2


def test_IICPD_02_102_connection_of_an_error_answer_is_not_used_again(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "status": 500, "times": 1}])
    assert submit(alone, "tiny").status == 502
    failed = posts(backend)[-1]["connection"]
    assert submit(alone, "tiny").status == 200
    assert posts(backend)[-1]["connection"] != failed


def test_IICPD_02_109_dead_backend_is_seen_without_a_task(alone, backend):
    backend.kill()
    # two lists that fail in a row: the heartbeat looks, or the next probe after a failed one
    wait_until(lambda: backend_state(alone)["reason"] == "backend_unstable", 70, "drain")
    health = alone.get("/iicp/health").json()
    assert health["available"] is False
    assert health["backend_stability"]["backend_state"] == "draining"
    assert submit(alone, "tiny").status == 503


def test_IICPD_02_109_three_unreachable_tasks_drain(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": "reset"}])
    for _ in range(3):
        assert submit(alone, "tiny").status == 502
    assert backend_state(alone)["reason"] == "backend_unstable"
    assert "backend_down" in alone.log_text() or "failed 3 times in a row" in alone.log_text()


def test_IICPD_02_96_caller_that_leaves_ends_the_call(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": "hang"}])
    s = socket.create_connection((alone.host, alone.port))
    body = json.dumps(task("tiny", timeout_ms=120000)).encode()
    s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
              % (alone.host.encode(), alone.port, len(body), body))
    wait_until(lambda: told(backend)["active"] == 1, what="call")
    # a reset: one that only ended its sending side still waits
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    wait_until(lambda: told(backend)["cancelled"] == 1 and told(backend)["active"] == 0, timeout=5, what="cancel")
    assert backend_state(alone)["in_flight"] == 0


def test_IICPD_02_100_no_first_byte_timeout_but_the_budget(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "mode": "trickle", "piece_ms": 5}])
    assert submit(alone, "tiny").status == 200


def test_chunked_answers_are_read(alone, backend):
    control(backend, rules=[{"path": "/v1/chat/completions", "chunked": True}])
    assert submit(alone, "tiny").status == 200
