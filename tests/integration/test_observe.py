# SPDX-License-Identifier: Apache-2.0
"""What others may see of a node: snapshot and check, events.jsonl, spans, the ops listener."""

import http.server
import json
import os
import re
import signal
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

from conftest import free_port, wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def task(text="Hello", **members):
    return {"task_id": str(uuid.uuid4()), "intent": CHAT,
            "payload": {"messages": [{"role": "user", "content": text}]}, **members}


def snapshot_path(node):
    """In the folder of its own where the runtime directory lets a group in."""
    own = node.runtime_dir / "health" / "health-v1.json"
    return own if own.parent.exists() else node.runtime_dir / "health-v1.json"


def snapshot(node):
    return wait_until(lambda: snapshot_path(node).exists() and json.loads(snapshot_path(node).read_text()),
                      what="a snapshot")


def test_IICPD_02_89_snapshot_file(node_factory):
    node = node_factory()
    first = snapshot(node)
    path = snapshot_path(node)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert first["health_schema_version"] == 1 and first["pid"] == node.pid
    assert uuid.UUID(first["process_epoch"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["emitted_at"])
    # the next one comes within its 5 s, with progress of the loop and under another file
    inode = path.stat().st_ino
    second = wait_until(lambda: (s := json.loads(path.read_text()))["sequence"] > first["sequence"] and s,
                        timeout=15, what="the next snapshot")
    assert path.stat().st_ino != inode
    assert second["process_epoch"] == first["process_epoch"]
    assert second["progress"]["runtime"]["sequence"] > first["progress"]["runtime"]["sequence"]
    assert not list(path.parent.glob(".*new")), "a temporary file was left"
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    assert not path.exists(), "an ended node must not look alive"


def test_IICPD_02_89_a_runtime_dir_for_a_group_has_a_private_folder(node_factory, iicpctl, tmp_path):
    run = tmp_path / "shared"
    run.mkdir()
    run.chmod(0o750)
    node = node_factory(node__runtime_dir=run, control__socket=run / "control.sock")
    path = run / "health" / "health-v1.json"
    wait_until(path.exists, what="the snapshot")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not (run / "health-v1.json").exists()
    node.control_socket = run / "control.sock"
    assert iicpctl(node, "check").returncode == 0


def test_IICPD_02_90_check_command(node_factory, iicpctl):
    node = node_factory(backend__test__type="demo", directory__register="no")
    snapshot(node)
    live = iicpctl(node, "check")
    assert (live.returncode, live.stdout) == (0, "live, ready\n"), live
    assert iicpctl(node, "check", "--ready").returncode == 0
    doc = json.loads(iicpctl(node, "--json", "check").stdout)
    assert doc["ok"] is True and doc["liveness"] == "live" and doc["age_s"] <= 30
    assert iicpctl(node, "check", "--sometimes").returncode == 2
    # without the socket, too: it hangs with the daemon, the file does not
    node.signal(signal.SIGSTOP)
    try:
        assert iicpctl(node, "check").returncode == 0
        path = snapshot_path(node)
        old = time.time() - 40
        os.utime(path, (old, old))
        stale = iicpctl(node, "check")
        assert stale.returncode == 1 and "40 s old" in stale.stdout, stale
        os.utime(path, (old + 12, old + 12))  # 28 s: within the limit
        assert iicpctl(node, "check").returncode == 0
        path.write_text("{}")
        assert iicpctl(node, "check").returncode == 2
    finally:
        node.signal(signal.SIGCONT)
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    gone = iicpctl(node, "check")
    assert gone.returncode == 2 and "no health snapshot" in gone.stderr


def test_IICPD_02_90_not_ready_is_live(node_factory, iicpctl):
    node = node_factory(backend__test__type="openai_compat", backend__test__url="http://127.0.0.1:9")
    wait_until(lambda: snapshot_path(node).exists() and
               json.loads(snapshot_path(node).read_text())["readiness"] == "not_ready", timeout=40, what="not ready")
    assert iicpctl(node, "check").returncode == 0
    result = iicpctl(node, "check", "--ready", "--allow-degraded")
    assert result.returncode == 1 and "PROVIDER_UNAVAILABLE" in result.stdout, result


def test_IICPD_02_92_events_file(node_factory, lab, backend, tmp_path):
    events = tmp_path / "events"
    node = node_factory(lab=lab, backend=backend, log__events_dir=events, log__level="err")
    path = events / "events.jsonl"

    def lines():
        return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []

    wait_until(lambda: any(e["event"] == "heartbeat_ok" for e in lines()), timeout=30, what="a beat in the file")
    assert node.post("/v1/task", task("a secret prompt")).status == 200
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    got = lines()
    assert [e["event"] for e in got[:2]] == ["serve_start", "register_ok"], got
    for e in got:
        assert sorted(e) == ["details", "event", "node_id", "ts"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", e["ts"])
        assert not e["event"].startswith("task")
    assert "secret prompt" not in path.read_text()


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.got, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def spans_of(collector):
    return [s for _, _, doc in collector.got for r in doc["resourceSpans"] for scope in r["scopeSpans"]
            for s in scope["spans"]]


def test_TRACE_01_TRACE_02_TRACE_03_spans_of_a_task(node_factory, backend, collector):
    node = node_factory(backend=backend, trace__endpoint=f"http://127.0.0.1:{collector.server_port}",
                        directory__register="no")
    wait_until(lambda: node.get("/iicp/health").json()["models"], what="models")
    body = task()
    answer = node.post("/v1/task", body, {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"})
    assert answer.status == 200
    assert answer.headers["X-IICP-Trace-Id"] == TRACE
    spans = {s["name"]: s for s in wait_until(lambda: len(spans_of(collector)) >= 3 and spans_of(collector),
                                              timeout=30, what="three spans")}
    validate, execute, call = (spans[n] for n in ("iicp.task.validate", "iicp.task.execute", "iicp.backend.call"))
    assert {s["traceId"] for s in spans.values()} == {TRACE}
    assert validate["parentSpanId"] == execute["parentSpanId"] == PARENT
    assert call["parentSpanId"] == execute["spanId"]
    assert (validate["kind"], execute["kind"], call["kind"]) == (2, 2, 3)
    keys = {a["key"]: a["value"]["stringValue"] for a in execute["attributes"]}
    assert keys == {"iicp.task_id": body["task_id"], "iicp.intent": CHAT}
    assert {a["key"] for a in validate["attributes"]} == {"iicp.task_id"}
    assert all(s["status"]["code"] == 1 for s in spans.values())
    assert int(execute["startTimeUnixNano"]) <= int(execute["endTimeUnixNano"])
    assert abs(int(execute["endTimeUnixNano"]) / 1e9 - time.time()) < 60
    path, content_type, doc = collector.got[0]
    assert (path, content_type) == ("/v1/traces", "application/json")
    assert doc["resourceSpans"][0]["resource"]["attributes"] == \
        [{"key": "service.name", "value": {"stringValue": "iicpd"}}]
    assert "Hello" not in json.dumps(collector.got)
    # the backend saw the same trace, under the span that was exported
    seen = [r for r in backend.get("/_control/requests").json()["requests"] if r["path"] == "/v1/chat/completions"]
    headers = {k.lower(): v for k, v in seen[-1]["headers"]}
    assert headers["traceparent"] == f"00-{TRACE}-{call['spanId']}-01"
    assert headers["tracestate"] == "vendor=1"
    assert headers["x-iicp-trace-id"] == TRACE


def test_TRACE_02_a_refused_task_leaves_a_failed_span(node_factory, collector):
    node = node_factory(backend__test__type="demo", directory__register="no",
                        trace__traces_endpoint=f"http://127.0.0.1:{collector.server_port}/otlp")
    answer = node.post("/v1/task", task(intent="urn:iicp:intent:llm:nothing:v1"), {"X-IICP-Trace-Id": "mine"})
    assert answer.status >= 400
    assert answer.headers["X-IICP-Trace-Id"] == "mine"
    spans = wait_until(lambda: spans_of(collector), timeout=30, what="a span")
    assert [s["name"] for s in spans] == ["iicp.task.validate"]
    assert spans[0]["status"]["code"] == 2 and "parentSpanId" not in spans[0]
    assert collector.got[0][0] == "/otlp"


def test_IICPD_02_93_a_dead_collector_delays_nothing(node_factory):
    with socket.socket() as deaf:  # accepts by its backlog and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        node = node_factory(backend__test__type="demo", directory__register="no", limits__max_concurrent=64,
                            trace__endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        began = time.monotonic()
        for _ in range(250):  # 750 spans: more than a batch holds
            assert node.post("/v1/task", task()).status == 200
        assert time.monotonic() - began < 60
        node.await_log(r"trace_export_failed \d+ spans are lost", timeout=30)
        assert node.metric("iicp_trace_spans_dropped_total") > 0


def test_IICPD_02_93_off_without_an_endpoint(node_factory, collector):
    node = node_factory(backend__test__type="demo", directory__register="no")
    assert node.post("/v1/task", task()).status == 200
    assert not collector.got


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def test_ops_listener_takes_the_metrics_over(node_factory):
    port = free_port()
    node = node_factory(backend__test__type="demo", directory__register="no", metrics__listen=f"127.0.0.1:{port}")
    base = f"http://127.0.0.1:{port}"
    status, text = get(base + "/metrics")
    assert status == 200 and "iicp_tasks_total" in text
    assert node.get("/metrics").status == 404
    assert get(base + "/livez") == (200, "live\n")
    assert get(base + "/readyz") == (200, "ready\n")
    assert get(base + "/v1/task")[0] == 404
    assert get(base + "/iicp/health")[0] == 404
    node.control("/v1/drain", "POST", "{}")
    assert get(base + "/livez")[0] == 200
    request = urllib.request.Request(base + "/livez", b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 405 and refused.value.headers["Allow"] == "GET, HEAD"


def test_ops_listener_says_not_ready_in_words(node_factory):
    port = free_port()
    node_factory(backend__test__type="openai_compat", backend__test__url="http://127.0.0.1:9",
                 metrics__listen=f"127.0.0.1:{port}")
    status, text = wait_until(lambda: (a := get(f"http://127.0.0.1:{port}/readyz"))[0] == 503 and a,
                              timeout=40, what="not ready")
    assert text.startswith("not ready: ") and len(text) > len("not ready: \n")


def test_ops_listener_on_a_taken_address_is_a_start_error(node_factory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        node = node_factory(ready=False, metrics__listen=f"127.0.0.1:{taken.getsockname()[1]}")
        node.expect_exit = 69
        assert node.wait(20) == 69
        assert "metrics.listen" in node.log_text()
