# SPDX-License-Identifier: Apache-2.0
"""The task port seen from raw sockets: listener, heads, bodies, refusals, connections. [02 sections 1, 2, 3, 8]"""

import json
import os
import pathlib
import re
import socket
import struct
import time
import uuid

import pytest

from conftest import TREE, wait_until

LIMIT = 1048576
HOST = b"Host: localhost\r\n"
HEALTH = b"GET /iicp/health HTTP/1.1\r\n" + HOST + b"\r\n"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "Content-Type, Authorization, X-IICP-Consumer-Token, X-IICP-Trace-Id, "
                                    "X-IICP-Require-E2E, traceparent, tracestate, Last-Event-ID",
    "access-control-expose-headers": "Retry-After, X-IICP-Trace-Id, X-IICP-Version, X-IICP-Framing",
}


class Reply:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.fields[name.strip().lower()] = value.strip()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]


@pytest.fixture
def door(node_factory):
    """A node that needs nobody else: the demo backend, no directory."""
    return node_factory()


def dial(node, timeout=15):
    return socket.create_connection((node.host, node.port), timeout)


def read_all(s):
    got = b""
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return got
        if not piece:
            return got
        got += piece


def read_one(s, head_only=False):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(65536)
        assert piece, f"closed after {got!r}"
        got += piece
    if not head_only:
        n = int(re.search(rb"(?i)content-length: (\d+)", got).group(1))
        while len(got.partition(b"\r\n\r\n")[2]) < n:
            got += s.recv(65536)
    return Reply(got)


def ask(node, data, half=False):
    """One exchange; the request must make the node close the connection."""
    with dial(node) as s:
        try:
            s.sendall(data)
        except OSError:
            pass  # refused before all was sent
        if half:
            s.shutdown(socket.SHUT_WR)
        return Reply(read_all(s))


def request(node, method, path, fields=b""):
    head = f"{method} {path} HTTP/1.1\r\n".encode() + HOST + fields + b"Connection: close\r\n\r\n"
    return ask(node, head)


def post(body, fields=b"Content-Type: application/json\r\n", length=None, close=True):
    n = len(body) if length is None else length
    return (b"POST /v1/task HTTP/1.1\r\n" + HOST + fields + (b"Connection: close\r\n" if close else b"") +
            f"Content-Length: {n}\r\n\r\n".encode() + body)


def chunked(body, piece=65536):
    data = b"POST /v1/task HTTP/1.1\r\n" + HOST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    for i in range(0, len(body), piece):
        part = body[i:i + piece]
        data += f"{len(part):x}\r\n".encode() + part + b"\r\n"
    return data + b"0\r\n\r\n"


def padded(n):
    """A well-formed JSON object of n bytes that no admission accepts."""
    return b'{"x":"' + b"a" * (n - 8) + b'"}'


# ---- resources ----


def test_IICPD_02_13_paths(door):
    for method, path in (("GET", "/"), ("GET", "/iicp/health/"), ("GET", "/iicp/%68ealth"), ("POST", "/v1/Task")):
        reply = request(door, method, path)
        assert (reply.status, reply.code) == (404, "not_found"), path
    for method, path, allow in (("GET", "/v1/task", "POST, OPTIONS"), ("POST", "/iicp/health", "GET, HEAD, OPTIONS"),
                                ("DELETE", "/metrics", "GET, HEAD, OPTIONS")):
        reply = request(door, method, path)
        assert (reply.status, reply.code, reply.fields["allow"]) == (405, "method_not_allowed", allow)
    assert request(door, "GET", "/iicp/health?a=/metrics").json()["status"] == "ok"


@pytest.mark.parametrize("path", ["/iicp/health", "/metrics"])
def test_IICPD_02_14_head_is_get_without_body(door, path):
    get, head = request(door, "GET", path), request(door, "HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.fields["content-type"] == get.fields["content-type"]
    if path != "/metrics":  # which counts on
        assert head.fields["content-length"] == get.fields["content-length"]


def test_IICPD_02_15_foreign_resources(door):
    for path in ("/v1/models", "/v1/telemetry", "/v1/custom/urn:iicp:intent:a:b:v1", "/api/tags"):
        for method in ("GET", "POST"):
            assert request(door, method, path).status == 404


def test_NODE_HEALTH_01_status_is_ok(door):
    reply = request(door, "GET", "/iicp/health")
    assert (reply.status, reply.json()["status"]) == (200, "ok")
    assert reply.fields["cache-control"] == "no-store"


def test_NODE_HEALTH_02_load_and_jobs_are_numbers(door):
    body = request(door, "GET", "/iicp/health").json()
    assert body["load"] == 0 and body["active_jobs"] == 0
    assert not isinstance(body["load"], (bool, str)) and isinstance(body["active_jobs"], int)


def test_CONF_HEALTH_01_members(door):
    body = request(door, "GET", "/iicp/health").json()
    assert {"status", "node_id", "region", "load", "models"} <= body.keys()
    assert body["region"] == "unknown" and isinstance(body["models"], list)


def test_IICPD_02_53_available_and_nothing_internal(door):
    body = request(door, "GET", "/iicp/health").json()
    assert body["available"] is True
    assert body["pinhole_state"] == {"active": False}
    assert set(body["backend_stability"]) <= {"backend_state", "reason_class", "retry_after_s", "drain_until"}
    assert set(body) == {"status", "node_id", "region", "load", "active_jobs", "max_concurrent",
                         "effective_max_concurrent", "available", "model", "models", "intent", "intents",
                         "pinhole_state", "backend_stability", "lifecycle", "admission"}


def test_DIR_PROBE_NODE_01_directory_probes(door):
    """What a directory sends: HTTP/1.1 GET and HEAD with its own Host, no more than that."""
    for method in ("GET", "HEAD"):
        reply = request(door, method, "/iicp/health")
        assert reply.status == 200 and int(reply.fields["content-length"]) > 0


def test_IICPD_01_43_health_is_never_limited(door):
    with dial(door) as s:
        began = time.monotonic()
        for _ in range(100):
            s.sendall(HEALTH)
            assert read_one(s).status == 200
        assert time.monotonic() - began < 10


def test_METRICS_01_is_served(door):
    assert request(door, "GET", "/metrics").status == 200


def test_METRICS_03_content_type(door):
    reply = request(door, "GET", "/metrics")
    assert reply.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_METRICS_04_mandatory_families(door):
    text = request(door, "GET", "/metrics").body.decode()
    for name, kind in (("iicp_tasks_total", "counter"), ("iicp_task_latency_ms", "histogram"),
                       ("iicp_tokens_used_total", "counter")):
        assert f"# TYPE {name} {kind}\n" in text


def test_metrics_switched_off_is_404(node_factory):
    assert request(node_factory(metrics__enabled=False), "GET", "/metrics").status == 404


# ---- what every answer has ----


@pytest.mark.parametrize("data", [
    HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"GET /x HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    b"PUT /v1/task HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", post(b"{"), post(b"{}"),
    post(b"{}", b"Content-Type: text/plain\r\n"), post(b"", length=LIMIT + 1),
], ids=["200", "404", "405", "400", "422", "415", "413"])
def test_ERR_1_json_and_cors_on_each_answer(door, data):
    reply = ask(door, data)
    assert reply.fields["content-type"] == "application/json"
    assert isinstance(reply.json(), dict)
    if reply.status != 200:
        assert {"code", "message"} <= reply.json()["error"].keys()


def test_IICPD_02_25_cors_on_every_answer(door):
    for path in ("/iicp/health", "/metrics", "/nothing", "/v1/task"):
        reply = request(door, "GET", path)
        for name, value in CORS.items():
            assert reply.fields[name] == value
        assert "access-control-allow-credentials" not in reply.fields


def test_TLS_2_messages_are_json(door):
    for reply in (request(door, "GET", "/iicp/health"), request(door, "GET", "/nothing"), ask(door, post(b"{}"))):
        assert reply.fields["content-type"] == "application/json"
        assert isinstance(reply.json(), dict)


def test_NODE_HEALTH_03_content_type(door):
    assert request(door, "GET", "/iicp/health").fields["content-type"] == "application/json"
    assert request(door, "GET", "/nothing").fields["content-type"] == "application/json"


def test_IICPD_02_26_options(door):
    for path in ("/v1/task", "/nothing", "*"):
        reply = request(door, "OPTIONS", path, b"Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n")
        assert (reply.status, reply.body) == (204, b"")
        assert reply.fields["access-control-max-age"] == "86400"
        assert all(reply.fields[name] == value for name, value in CORS.items())
        assert "access-control-allow-credentials" not in reply.fields


def test_IICPD_02_27_no_version_in_server(door):
    reply = request(door, "GET", "/iicp/health")
    assert not re.search(r"\d", reply.fields.get("server", ""))
    assert reply.fields["x-iicp-version"] == "1.5"


# ---- bodies ----


def test_IICPD_02_16_encoding_is_refused_before_reading(door):
    reply = ask(door, post(b"", b"Content-Encoding: gzip\r\n", length=1000))
    assert (reply.status, reply.code) == (415, "unsupported_content_encoding")
    assert ask(door, post(b"{", b"Content-Encoding: Identity\r\n")).status == 400


@pytest.mark.parametrize("fields", [
    b"Content-Length: 2\r\nContent-Length: 3\r\n", b"Content-Length: +2\r\n", b"Content-Length: 2x\r\n",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
])
def test_IICPD_02_17_bad_lengths(door, fields):
    assert ask(door, b"POST /v1/task HTTP/1.1\r\n" + HOST + fields + b"\r\n{}").status == 400


def test_IICPD_02_18_size(door):
    reply = ask(door, post(b"", length=LIMIT + 1))
    assert (reply.status, reply.code) == (413, "request_too_large")
    reply = ask(door, post(padded(LIMIT + 1)))
    assert (reply.status, reply.code) == (413, "request_too_large")
    reply = ask(door, chunked(padded(LIMIT + 1)))
    assert (reply.status, reply.code) == (413, "request_too_large")
    # exactly the limit is read: the refusal is about its content
    assert ask(door, post(padded(LIMIT))).status == 422
    assert ask(door, chunked(padded(LIMIT))).status == 422


def test_IICPD_02_19_short_body_and_broken_chunks(door):
    reply = ask(door, post(b'{"a":', length=100), half=True)
    assert (reply.status, reply.code) == (400, "invalid_http_body")
    assert ask(door, b"POST /v1/task HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n").status == 400


def test_IICPD_02_21_boundary_vectors(door):
    folder = os.environ.get("IICP_PUBLIC_VECTORS") or TREE.parent / "shared" / "vectors"
    path = pathlib.Path(folder) / "node" / "http-task-resource-boundary-v1.json"
    if not path.is_file():
        pytest.skip("the public vectors are not here (IICP_PUBLIC_VECTORS)")
    done = set()
    for v in json.loads(path.read_text())["vectors"]:
        if v["direction"] != "request":
            continue
        if v["id"] == "malformed_json":
            data = post(b'{"a":}')
        elif v["id"] == "disconnect_before_declared_length":
            data = post(b'{"a"', length=100)
        elif v.get("content_length_values"):
            data = b"POST /v1/task HTTP/1.1\r\n" + HOST + b"".join(
                b"Content-Length: %d\r\n" % n for n in v["content_length_values"]) + b"\r\n{}"
        elif v.get("content_encoding"):
            data = post(b"", b"Content-Encoding: " + v["content_encoding"].encode() + b"\r\n", length=10)
        elif v.get("transfer_encoding"):
            data = chunked(padded(v["encoded_bytes"]))
        elif "content_length" in v:
            data = post(b"", length=v["content_length"])
        else:
            data = post(padded(v["encoded_bytes"]))
        reply = ask(door, data, half=v["id"] == "disconnect_before_declared_length")
        if v["expected"] == "accept":
            assert reply.status == 422, v["id"]
        else:
            assert (reply.status, reply.code) == (v["http_status"], v["error_code"]), v["id"]
        done.add(v["id"])
    assert len(done) == 9


def test_IICPD_02_21_boundary_errors_close(door):
    for data in (post(b"{}", b"Content-Type: text/plain\r\n", close=False),
                 post(b"", b"Content-Encoding: br\r\n", length=9, close=False),
                 post(b"", length=LIMIT + 1, close=False)):
        reply = ask(door, data)  # returns because the node closes
        assert reply.fields["connection"].lower() == "close"


def test_IICPD_02_23_cbor(door):
    for kind in (b"application/cbor", b"application/iicp+cbor"):
        reply = ask(door, post(b"\xa0", b"Content-Type: " + kind + b"\r\n"))
        assert reply.status == 415
        assert reply.body == b'{"error":{"code":"unsupported_media_type","message":"CBOR encoding not supported"}}'


def test_IICPD_02_24_accept_is_ignored(door):
    for kind in (b"text/event-stream", b"text/html", b"image/png;q=1"):
        reply = ask(door, post(b"{}", b"Accept: " + kind + b"\r\n"))
        assert (reply.status, reply.fields["content-type"]) == (422, "application/json")


def test_PROTO_MSG_05_content_types(door):
    def status(fields):
        return ask(door, post(b"{}", fields)).status

    assert status(b"") == 422
    assert status(b"Origin: https://page.example\r\n") == 415
    assert status(b"Content-Type: application/vnd.x+json; charset=utf-8\r\n") == 422
    assert status(b"Content-Type: text/plain\r\n") == 415
    assert status(b"Content-Type: application/x-www-form-urlencoded\r\n") == 415


# ---- connections ----


def test_IICPD_02_04_first_bytes_decide(door):
    with dial(door) as silent, dial(door) as part:
        part.sendall(b"IIC")
        assert request(door, "GET", "/iicp/health").status == 200  # others go on
        part.sendall(b"X /x HTTP/1.1\r\n" + HOST + b"\r\n")
        assert read_one(part).status == 404
        silent.shutdown(socket.SHUT_WR)
        assert silent.recv(10) == b""


def test_IICPD_02_05_native_magic_is_closed_without_a_byte(door):
    with dial(door) as s:
        s.sendall(b"IICP")
        assert s.recv(10) == b""


def test_IICPD_02_07_plain_http_is_told_once(node_factory):
    node = node_factory(listen__address="0.0.0.0")
    request(node, "GET", "/iicp/health")
    assert len(re.findall(r"plain HTTP", node.log_text())) == 1


def test_IICPD_02_08_versions_keep_alive_and_continue(door):
    assert Reply(door.raw(b"GET /iicp/health HTTP/1.0\r\n\r\n")).status == 200
    with dial(door) as s:
        for _ in range(3):
            s.sendall(HEALTH)
            assert read_one(s).status == 200
        s.sendall(HEALTH * 3)  # pipelined
        got = b""
        while got.count(b"HTTP/1.1 200") < 3 or not got.endswith(b"}"):
            got += s.recv(65536)
        s.sendall(b"POST /v1/task HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert read_one(s, head_only=True).status == 100
        s.sendall(b"{}")
        assert read_one(s).status == 422
    assert b" 200 " not in door.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def sockets(node):
    """Sockets of the process: name -> descriptor."""
    found = {}
    for fd in os.listdir(f"/proc/{node.pid}/fd"):
        try:
            found[os.readlink(f"/proc/{node.pid}/fd/{fd}")] = fd
        except OSError:
            pass
    return {name: fd for name, fd in found.items() if name.startswith("socket:")}


def test_IICPD_02_08_kept_connection_survives_a_silence(door):
    """A silent connection is put aside under another descriptor; nothing of that shows outside."""
    before = sockets(door)
    with dial(door) as s:
        s.sendall(HEALTH)
        assert read_one(s).status == 200
        (name,) = sockets(door).keys() - before.keys()
        for _ in range(2):
            fd = sockets(door)[name]
            wait_until(lambda: sockets(door).get(name) not in (None, fd), what="put aside")
            s.sendall(HEALTH[:12])
            s.sendall(HEALTH[12:])
            assert read_one(s).status == 200


def test_IICPD_02_09_head_has_ten_seconds(door):
    with dial(door, 25) as silent, dial(door, 25) as slow:
        began = time.monotonic()
        slow.sendall(HEALTH[:20])
        assert silent.recv(10) == b""
        assert slow.recv(10) == b""
        assert 9 < time.monotonic() - began < 13


def test_IICPD_02_09_slow_head_on_a_kept_connection(door):
    with dial(door, 25) as s:
        s.sendall(HEALTH)
        assert read_one(s).status == 200
        began = time.monotonic()
        s.sendall(HEALTH[:20])
        assert s.recv(10) == b""
        assert 9 < time.monotonic() - began < 15


def test_IICPD_02_10_cap_in_all(node_factory):
    node = node_factory(listen__max_connections=16)
    held = []
    for _ in range(16):  # each has sent a head, and waits for its body to go on
        s = dial(node)
        s.sendall(post(b"", b"Expect: 100-continue\r\n", length=50, close=False))
        assert read_one(s, head_only=True).status == 100
        held.append(s)
    with dial(node) as s:
        s.sendall(HEALTH)
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
    for s in held:
        s.close()


def test_IICPD_02_11_large_heads(door):
    def status(fields):
        return request(door, "GET", "/iicp/health", fields).status

    assert status(b"X-Pad: " + b"a" * 16000 + b"\r\n") == 200
    for n in (16384, 40000, 100000):
        assert status(b"X-Pad: " + b"a" * n + b"\r\n") == 431
    assert status(b"".join(b"X-%d: a\r\n" % i for i in range(62))) == 200  # with Host and Connection: 64
    assert status(b"".join(b"X-%d: a\r\n" % i for i in range(63))) == 431
    assert status(b"".join(b"X-%d: a\r\n" % i for i in range(3000))) == 431


def test_IICPD_02_104_silent_connections_make_room(node_factory):
    node = node_factory(listen__max_connections=32)
    held = []
    for i in range(200):
        s = dial(node)
        if i % 2:
            s.sendall(b"GET /")
        held.append(s)
    assert request(node, "GET", "/iicp/health").status == 200
    assert held[0].recv(10) == b""
    for s in held:
        s.close()


def test_IICPD_02_105_absolute_form_and_half_close(door):
    assert request(door, "GET", "http://localhost/iicp/health").status == 200
    assert request(door, "GET", "http://elsewhere.example/iicp/health").status == 421
    reply = ask(door, post(b"{}"), half=True)
    assert reply.status == 422


def test_IICPD_02_105_lingering_close_lets_the_answer_arrive(door):
    for _ in range(20):
        with dial(door) as s:
            s.sendall(post(b"x" * 60000, length=LIMIT + 1))
            assert Reply(read_all(s)).status == 413


def test_IICPD_02_108_descriptor_exhaustion(door):
    import resource
    have = len(os.listdir(f"/proc/{door.pid}/fd"))
    with dial(door) as kept:
        kept.sendall(HEALTH)
        assert read_one(kept).status == 200
        resource.prlimit(door.pid, resource.RLIMIT_NOFILE, (have + 5, have + 5))
        held = [dial(door) for _ in range(20)]
        door.await_log("accept_paused|accepting connections pauses")
        cpu = cpu_ticks(door)
        kept.sendall(HEALTH)
        assert read_one(kept).status == 200
        assert cpu_ticks(door) - cpu < 50
        for s in held:
            s.close()
        wait_until(lambda: request(door, "GET", "/iicp/health").status == 200, what="accepting again")


def cpu_ticks(node):
    fields = pathlib.Path(f"/proc/{node.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_IICPD_05_41_foreign_host_is_misdirected(door):
    def status(host):
        return ask(door, b"GET /iicp/health HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")

    for host in (b"localhost", b"127.0.0.1:9484", b"[::1]:80", b"LocalHost:1"):
        assert status(host).status == 200
    for host in (b"evil.example", b"127.0.0.1.evil.example", b"localhost:x", b"0.0.0.0"):
        reply = status(host)
        assert (reply.status, reply.code) == (421, "misdirected_request")


def test_reset_client_ends_its_body(door):
    with dial(door) as s:
        s.sendall(post(b'{"a":', length=100))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert request(door, "GET", "/iicp/health").status == 200


def test_METRICS_06_each_executed_task_counts_once(door):
    def total():
        return door.metric("iicp_tasks_total", intent="urn:iicp:intent:llm:chat:v1", status="success")

    for n in range(1, 3):
        task = {"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
                "payload": {"messages": [{"role": "user", "content": "hello"}]}}
        assert ask(door, post(json.dumps(task).encode())).status == 200
        assert total() == n
    assert ask(door, post(b"{}")).status == 422  # refused, not executed
    assert total() == 2


def test_DIR_REG_04_health_does_not_wait_for_the_directory(node_factory):
    node = node_factory(directory__url="http://127.0.0.1:9/api", directory__register=True)
    for method in ("GET", "HEAD"):
        assert request(node, method, "/iicp/health").status == 200
