# SPDX-License-Identifier: Apache-2.0
"""Native frames on the task port of the running daemon: the vectors byte by byte, tasks, caps, ends."""

import contextlib
import gzip
import json
import re
import socket
import subprocess
import time
import uuid

import pytest

from conftest import BUILD, TREE, wait_until
from native import (ACK, CALL, CHAT, CLOSE, DISCOVER, INIT, PING, PONG, RESPONSE, Native, call_of, closed_with, dumps,
                    frame, loads)

VECTORS = TREE / "tests" / "vectors" / "framing"
MALFORMED = json.loads((VECTORS / "frames-malformed.json").read_text())
OURS = {1: 1, 2: 1, 5: [], 6: ["gzip"], 7: 16777216}


@pytest.fixture
def native(node_factory, backend):
    return node_factory(backend=backend, node__id="node-a", listen__native="plaintext")


def made(case):
    if "recipe" not in case:
        return b"".join(map(bytes.fromhex, case["send_hex"]))
    n = case["id"]
    if "52" in n:
        return frame(CALL, gzip.compress(bytes(33554433), 9), 1)
    if "53" in n:
        return frame(CALL, b"\x1f\x8b" + bytes(1048575), 1)[:12]
    return b""


def play(node, case):
    """Sends what the case says and compares with the exact bytes that it expects."""
    expect = case["expect"]
    with Native(node, bytes.fromhex(MALFORMED["handshake"]["init_hex"])[12:] if case["handshake_first"] else None,
                timeout=60) as c:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            c.raw(made(case))
        if expect["connection"] == "closed":
            assert c.rest().hex() == expect["reply_hex"], case["id"]
            return
        wanted = bytes.fromhex(expect["reply_hex"])
        assert c.exactly(len(wanted)) == wanted, case["id"]
        c.send(PING, {1: b"alive"})
        assert c.read() == (PONG, {1: b"alive"}), case["id"]


def cases(mode):
    return [c for c in MALFORMED["cases"] if c["role_under_test"] == "server" and c["mode"] in ("both", mode)
            and "expect_after_seconds" not in c]


def test_IICPD_03_33_IICPD_03_11_malformed_frames_of_the_table(native):
    # on the shared port other first bytes are HTTP
    wanted = [c for c in cases("compat") if c["id"] != "MAL-01-bad-magic"]
    assert len(wanted) > 50
    for case in wanted:
        play(native, case)
    assert native.status()["native"]["protocol_errors"] == sum(
        "close_key1" in c["expect"] or "magic" in c["id"] for c in wanted)


def test_IICPD_03_16_strict_receiver(node_factory, backend):
    node = node_factory(backend=backend, node__id="node-a", listen__native="plaintext", listen__native_strict="yes")
    for case in [c for c in cases("strict") if c["mode"] == "strict" or "PING" in c["id"]]:
        play(node, case)
    with Native(node, None) as c:
        c.send(INIT)
        assert closed_with(c.rest()) == "invalid_payload"


def test_IICPD_03_33_one_warn_line_without_payload(native):
    with Native(native) as c:
        c.send(CALL, {2: "secret-session", 3: 7, 5: b"secret-payload"})
        assert closed_with(c.rest()) == "invalid_payload"
    native.await_log(r"warn native_fault native connection of 127\.0\.0\.1 closed: invalid_payload, frame type 0x05")
    assert "secret" not in native.log_text()


def test_IICPD_03_29_version_negotiation(native):
    for case in json.loads((VECTORS / "version-negotiation.json").read_text())["cases"]:
        wanted = bytes.fromhex(case["reply_hex"])
        with Native(native, None) as c:
            c.raw(bytes.fromhex(case["init_hex"]))
            assert c.exactly(len(wanted)) == wanted, case["id"]


def test_FRAME_INIT_01_init_is_answered(native):
    for init in (b"\xa1\x01\x01", b"", dumps(OURS)):
        with Native(native, init) as c:
            assert c.ack[1] == 1 and c.ack[2] == "node-a" and c.ack[3] == []
            assert (c.ack.get(4) == "gzip") == (init == dumps(OURS))


def test_FRAME_PING_01_pong_mirrors_before_init_too(native):
    with Native(native, None) as c:
        for sent in (b"", dumps({}), dumps({1: b""}), dumps({1: bytes(64)})):
            c.send(PING, sent)
            assert c.wire() == frame(PONG, sent)


def test_IICPD_03_37_calls_of_shipped_clients(native):
    """What both SDKs send, in their key orders; sessions repeat."""
    for wire in ("VAL-CALL-01", "VAL-CALL-05", "VAL-CALL-01"):
        f = next(x for x in json.loads((VECTORS / "frames-valid.json").read_text())["frames"] if x["id"] == wire)
        with Native(native) as c:
            c.raw(bytes.fromhex(f["hex"]))
            kind, m = c.read()
            assert kind == RESPONSE and 100 not in m and m[2] == "call-1" and 15 not in m, m
            assert loads(m[5])["choices"][0]["message"]["content"]
    with Native(native) as c:
        unsorted = b"\xa4\x02" + dumps("call-1") + b"\x03" + dumps(CHAT) + b"\x0f" + dumps("call-9") + b"\x05" + dumps(
            b'{"messages":[{"role":"user","content":"hi"}]}')
        c.send(CALL, unsorted)
        _, m = c.read()
        assert m[15] == "call-9" and m[4] == "success"


def test_IICPD_03_24_both_key_sets_of_a_response(native):
    with Native(native) as c:
        call_id, trace = str(uuid.uuid4()), bytes(range(16))
        m = c.call(k1=1, k2=str(uuid.uuid4()), k13=trace, k15=call_id)
        assert m[1] == 1 and m[3] == m[15] == call_id and m[4] == "success" and m[9] == trace
        assert m[11] == "node-a" and m[12] is True and m[7] >= 0 and m[8] >= 0
        assert isinstance(m[5], bytes) and 13 not in m and 100 not in m
        m = c.call(k15=call_id)  # a repetition
        assert m[4] == "error" and m[100] == 409 and m[6][1] == "conflict" and m[101].startswith("IICP-E010: ")
        assert 5 not in m and m[6][2] == m[101].split(": ", 1)[1]


def test_IICPD_03_20_IICPD_02_41_same_admission_as_http(node_factory, backend):
    node = node_factory(backend=backend, listen__native="plaintext", limits__max_concurrent=1)
    bad = [({"k3": "urn:iicp:intent:tool:run:v1"}, 403), ({"k3": "no urn"}, 422), ({"k3": CHAT + "+x"}, 422)]
    with Native(node) as c:
        for keys, status in bad:
            m = c.call(**keys)
            body = {"task_id": str(uuid.uuid4()), "intent": keys["k3"], "payload": {"messages": []}}
            http = node.post("/v1/task", body)
            assert m[100] == http.status == status and m[6][1] == http.json()["error"]["code"], m
        m = c.call(b'{"messages":[{"role":"user","content":"x"}],"model":"nobody"}')
        assert m[100] == 404 and m[101].startswith("IICP-E029: ")
        assert node.control("/v1/drain", "POST", {}).status == 200
        assert c.call()[100] == 503
    assert node.metric("iicp_tasks_rejected_total", code="IICP-E024") == 1


def test_IICPD_03_19_keys_of_a_call(native):
    with Native(native) as c:
        assert c.call(k4="somebody-else")[100] == 422
        assert c.call(k4="node-a")[4] == "success"
        assert c.call(k21=["vision"])[100] == 422
        assert c.call(k21=[CHAT])[4] == "success"
        assert c.call(k24=str(uuid.uuid4()))[100] == 422  # without key 15
        assert c.call(k6=3600, k17=5, k18="interactive", k7=3)[4] == "success"
        c.send(CALL, call_of(k3=None))
        assert closed_with(c.rest()) == "invalid_payload"


def test_IICPD_03_21_key_5(native):
    ok = {"messages": [{"role": "user", "content": "hi"}]}
    with Native(native) as c:
        for payload in (json.dumps(ok).encode(), dumps(ok), ok):
            assert c.call(payload)[4] == "success"
        for payload in (b"", b"\xff", b"[]", b'"x"', b"{", dumps([1]), b'{"messages":[]}x'):
            m = c.call(payload)
            assert m[100] == 422 and m[6][1] == "validation_error", payload
        assert c.call(bytes(1048577))[100] == 413


def test_IICPD_05_14_integer_keyed_envelope_is_refused(native):
    with Native(native) as c:
        m = c.call(dumps({1: 1, 2: bytes(8), 3: bytes(32), 4: bytes(40), 5: bytes(12)}))
        assert m[100] == 422 and m[6][1] == "IICP-E050"


def test_IICPD_03_13_both_readings_of_compressed(native):
    plain = dumps(call_of())
    with Native(native) as c:
        c.send(CALL, gzip.compress(plain), 1)
        assert c.read()[1][4] == "success"
        c.send(CALL, call_of(gzip.compress(call_of()[5])), 1)
        assert c.read()[1][4] == "success"
        assert c.flags == 0  # not agreed
        # twice packed is not unpacked twice
        c.send(CALL, gzip.compress(dumps(call_of(gzip.compress(call_of()[5])))), 1)
        assert c.read()[1][100] == 422


def test_IICPD_03_13_IICPD_03_15_compressed_and_fragmented_only_when_agreed(node_factory, backend):
    node = node_factory(backend=backend, listen__native="plaintext")
    long = json.dumps({"messages": [{"role": "user", "content": "echo " + "word " * 40}]}).encode()
    with Native(node, dumps(OURS)) as c:
        c.send(CALL, call_of(long, k13=bytes(16)))
        b = c.wire()
        if b[6] & 1:
            assert loads(gzip.decompress(b[12:]))[4] == "success"
        else:
            assert len(b) < 12 + 1024
    with Native(node, dumps({1: 1, 2: 1, 5: []})) as c:
        c.send(CALL, call_of(long))
        assert c.wire()[6] == 0


def test_IICPD_03_14_fragments_of_a_call(native):
    payload = dumps(call_of())
    parts = [payload[i:i + 20] for i in range(0, len(payload), 20)]
    with Native(native) as c:
        for i in reversed(range(len(parts))):
            c.send(CALL, {1: "f", 2: i, 3: len(parts), 4: parts[i]}, 2)
            if i == 3:
                c.send(PING, {1: b"between"})
                assert c.read() == (PONG, {1: b"between"})
        assert c.read()[1][4] == "success"


def test_IICPD_03_22_third_failure_closes(node_factory, backend, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("friend:" + "t" * 40 + "\n")
    tokens.chmod(0o600)
    node = node_factory(backend=backend, listen__native="plaintext", auth__mode="required",
                        auth__caller_tokens=f"file:{tokens}")
    with Native(node) as c:
        assert c.call(k11="t" * 40)[4] == "success"
        for i in range(2):
            m = c.call(k11="x" * 40)
            assert m[100] == 401 and m[6][1] == "unauthorized"
        assert c.call()[100] == 401
        assert closed_with(c.rest()) == "auth_failed"
    assert "t" * 40 not in node.log_text() and "x" * 40 not in node.log_text()


def test_IICPD_03_34_IICPD_03_03_token_of_init_in_clear(native):
    with Native(native, None) as c:
        c.send(INIT, {1: 1, 3: "node-a", 4: "tok_" + "s" * 40})
        assert closed_with(c.rest()) == "auth_failed"
    native.await_log("auth_failed")
    assert "sssss" not in native.log_text()


def test_IICPD_03_28_discover_and_the_silent_ones(native):
    with Native(native) as c:
        c.send(DISCOVER, {2: "discover-1", 3: CHAT})
        assert c.read() == (RESPONSE, {1: 1, 2: "discover-1", 3: CHAT, 4: "success", 12: True, 20: []})
        c.send(DISCOVER, {1: CHAT, 2: 5})
        assert c.read()[1][3] == CHAT
        c.send(8, {1: "x", 2: 0.5})
        c.send(0x0b, {1: "rate_limit", 3: 5})
        c.send(0x0d, {1: "call", 2: "x", 3: "start"})
        c.send(0x0e, {1: "n", 2: 1, 3: {"cpu": 1}})
        c.send(PING)
        assert c.read() == (PONG, None)
        c.send(0x0e, {1: "n", 2: 1, 3: {}, 4: b"short"})
        assert closed_with(c.rest()) == "protocol_error"


def test_IICPD_03_32_answers_in_order_queue_and_ping(node_factory, backend_factory):
    backend = backend_factory()
    node = node_factory(backend=backend, listen__native="plaintext", limits__max_concurrent=4)
    with Native(node) as c:
        ids = [str(uuid.uuid4()) for _ in range(40)]
        c.raw(b"".join(frame(CALL, call_of(k15=i)) for i in ids) + frame(PING, {1: b"out of turn"}))
        seen, pong = [], False
        while len(seen) < 40 or not pong:
            kind, m = c.read()
            if kind == PONG:
                pong = True
            else:
                seen.append(m[15])
        assert seen == ids
        c.send(CLOSE)
        assert c.rest() == frame(CLOSE, {1: "graceful"})


def test_IICPD_03_32_close_waits_for_what_is_in_flight(native):
    with Native(native) as c:
        c.raw(frame(CALL, call_of()) + frame(CALL, call_of()) + frame(CLOSE))
        assert [c.read()[0] for _ in range(3)] == [RESPONSE, RESPONSE, CLOSE]
        assert c.rest() == b""


def test_IICPD_03_32_close_is_not_lost_to_a_reset(native):
    """Bytes that nobody reads any more must not swallow the reason."""
    with Native(native) as c:
        c.raw(frame(0xee, b"\xa0") + bytes(30000))
        assert closed_with(c.rest()) == "unknown_type"


def test_IICPD_03_32_stop_says_goodbye(native):
    with Native(native) as c:
        native.signal(15)
        assert c.rest() == frame(CLOSE, {1: "graceful"})


def test_IICPD_03_01_one_socket_for_both(native):
    with Native(native) as c:
        assert native.get("/iicp/health").status == 200
        assert c.call()[4] == "success"
    with socket.create_connection((native.host, native.port), 10) as s:
        for b in b"IICP":
            s.sendall(bytes([b]))
        s.sendall(frame(PING)[4:])
        assert s.recv(12) == frame(PONG)


def test_IICPD_03_02_plaintext_is_a_switch(node_factory, backend, native):
    native.await_log("warn native_plaintext ")
    node = node_factory(backend=backend)
    assert node.raw(frame(PING)) == b""
    assert "native_plaintext" not in node.log_text()


def test_IICPD_01_31_transport_endpoint_while_frames_are_served(node_factory, backend, lab):
    node = node_factory(lab=lab, backend=backend, listen__native="plaintext")
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registration")
    assert node.status()["route"]["transport_endpoint"] == f"iicp://127.0.0.1:{node.port}"
    registers = lab.get("/lab/requests?route=register&min=1&wait=5").json()["requests"]
    assert registers[-1]["body"]["transport_endpoint"] == f"iicp://127.0.0.1:{node.port}"


def test_IICPD_03_09_caps(node_factory, backend):
    node = node_factory(backend=backend, listen__native="plaintext", listen__max_native=4, listen__max_native_new=2)
    with contextlib.ExitStack() as stack:
        new = [stack.enter_context(Native(node, None)) for _ in range(2)]
        for c in new:
            c.send(PING)
            c.read()
        assert node.raw(frame(PING)) == b""
        for c in new:
            c.send(INIT, {1: 1})
            c.read()
        more = [stack.enter_context(Native(node)) for _ in range(2)]
        assert node.raw(frame(PING)) == b""
        more[0].s.close()
        wait_until(lambda: node.status()["native"]["connections"] == 3, what="one has gone")
        stack.enter_context(Native(node))
    assert node.metric("iicp_connections_refused_total", reason="native_cap") == 1
    assert node.metric("iicp_connections_refused_total", reason="native_new") == 1


def test_IICPD_03_36_a_caller_that_leaves_cancels(node_factory, backend_factory):
    backend = backend_factory()
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "mode": "hang"}]})
    node = node_factory(backend=backend, listen__native="plaintext")
    with Native(node) as c:
        c.send(CALL, call_of())
        wait_until(lambda: node.status()["tasks"]["active"] == 1, what="it runs")
    wait_until(lambda: node.status()["tasks"]["active"] == 0, what="it is cancelled")
    assert node.metric("iicp_tasks_total", status="aborted") == 1


def test_IICPD_03_31_timers_with_their_reasons(native):
    """The long ones at once: 10 s for INIT, 30 s for the rest of a frame and of fragments."""
    def begun(case, init):
        c = Native(native, init, timeout=60)
        c.raw(b"".join(map(bytes.fromhex, case)))
        return c

    by_id = {c["id"]: c for c in MALFORMED["cases"]}
    fragment = next(c for c in json.loads((VECTORS / "fragments.json").read_text())["cases"] if c["id"].startswith("FRAG-17"))
    started = time.monotonic()
    half = begun(by_id["MAL-55-half-init"]["send_hex"], None)
    rest = begun(by_id["MAL-08-partial-payload"]["send_hex"], b"\xa1\x01\x01")
    part = begun(fragment["frames_hex"], b"\xa1\x01\x01")
    assert half.rest().hex() == by_id["MAL-55-half-init"]["expect"]["reply_hex"]
    assert 9 < time.monotonic() - started < 20
    assert rest.rest().hex() == by_id["MAL-08-partial-payload"]["expect"]["reply_hex"]
    assert part.rest().hex() == fragment["expect"]["reply_hex"]
    assert 29 < time.monotonic() - started < 45


# ---- the service lifecycle ----


def streamed(c, **keys):
    """RESPONSEs of one lifecycle CALL up to the terminal one, checked for what holds for each."""
    task, call = keys.get("k24"), keys.get("k15")
    c.send(CALL, call_of(**keys))
    got = []
    while not got or not got[-1][12]:
        kind, m = c.read()
        assert kind == RESPONSE, (kind, m)
        assert m[1] == 1 and m[2] == "call-1" and m[3] == call and not {15, 100, 101} & set(m), m
        assert m[13] == {1: task, 2: len(got), 3: m[13][3], 4: m[12]}
        got.append(m)
    return got


def identity():
    return {"k24": str(uuid.uuid4()), "k15": str(uuid.uuid4()), "k16": "idem-" + uuid.uuid4().hex}


@pytest.fixture
def streaming(backend):
    text = "Hello from the fake."
    events = [{"choices": [{"index": 0, "delta": {"content": c}, "finish_reason": None}]} for c in text]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
               {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}}]
    backend.lines = ["data: " + json.dumps({"id": "x", "model": "tiny", **e}) + "\n\n" for e in events]
    return backend


def test_SERVICE_LIFECYCLE_14_SERVICE_LIFECYCLE_21_IICPD_03_35_partial_answers(native):
    with Native(native) as c:
        got = streamed(c, **identity())
        assert [m[4] for m in got] == ["partial"] * (len(got) - 1) + ["success"]
        assert got[-1][13][3] == "completed" and all(m[13][3] == "partial" for m in got[:-1])
        texts = [m[5] for m in got if 5 in m]
        assert texts and all(isinstance(t, str) for t in texts) and "".join(texts) == "Hello from the fake."
        assert got[-1][7] == 9
        # without key 24 nothing of it
        m = c.call(k15=str(uuid.uuid4()))
        assert 13 not in m and m[4] == "success"


def test_SERVICE_LIFECYCLE_15_error_after_partial_output_is_terminal(native, streaming):
    streaming.post("/_control", {"rules": [{"path": "/v1/chat/completions", "status": 200, "chunked": True, "mode": "close_mid",
                                            "headers": {"Content-Type": "text/event-stream"}, "body": "".join(streaming.lines)}]})
    with Native(native) as c:
        got = streamed(c, **identity())
        assert got[-1][4] == "error" and got[-1][13][3] == "failed" and got[-1][6][1]
        assert c.call(k4="other")[100] == 422  # the connection goes on


def test_SERVICE_LIFECYCLE_16_timeout_after_partial_output_is_terminal(native, streaming):
    streaming.post("/_control", {"rules": [{"path": "/v1/chat/completions", "status": 200, "mode": "trickle", "piece_ms": 20,
                                            "headers": {"Content-Type": "text/event-stream"},
                                            "body": "".join(streaming.lines)}]})
    with Native(native) as c:
        got = streamed(c, k6=1, **identity())
        assert got[-1][4] == "timeout" and got[-1][13][3] == "timed_out" and 5 not in got[-1]


def test_SERVICE_LIFECYCLE_22_a_retry_changes_the_call_id_only(native, backend):
    with Native(native) as c:
        who = identity()
        first = streamed(c, **who)
        again = streamed(c, **{**who, "k15": str(uuid.uuid4())})
        assert "".join(m.get(5, "") for m in again) == "".join(m.get(5, "") for m in first)
        asked = [r for r in backend.get("/_requests").json()["requests"] if r["path"].endswith("completions")]
        assert len(asked) == 1
        repeated = streamed(c, **who)  # the same call id
        assert repeated[0][4] == "error" and repeated[0][6][1] == "conflict"


def test_SERVICE_LIFECYCLE_23_conflicting_identity_is_refused_before_execution(native, backend):
    with Native(native) as c:
        who = identity()
        streamed(c, **who)
        for change in ({"k16": "another"}, {"payload": b'{"messages":[{"role":"user","content":"else"}]}'}):
            got = streamed(c, **{**who, "k15": str(uuid.uuid4()), **change})
            assert len(got) == 1 and got[0][4] == "error" and got[0][6][1] == "conflict", got
        m = c.call(k24=str(uuid.uuid4()))
        assert m[100] == 422 and 13 not in m  # no call id: a base RESPONSE
        asked = [r for r in backend.get("/_requests").json()["requests"] if r["path"].endswith("completions")]
        assert len(asked) == 1


def test_IICPD_03_36_leaving_cancels_a_lifecycle_task(native, backend):
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "mode": "hang"}]})
    with Native(native) as c:
        c.send(CALL, call_of(**identity()))
        wait_until(lambda: native.status()["tasks"]["active"] == 1, what="it runs")
    wait_until(lambda: native.status()["tasks"]["active"] == 0, what="it is cancelled")
    backend.post("/_control", {"rules": []})
    with Native(native) as c:
        assert c.call()[4] == "success"


# ---- what else must hold ----


def test_IICPD_03_27_nothing_unrequested(native, backend):
    """A shipped client takes the next frame for its answer: there is none but that."""
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "delay_ms": 1500, "times": 1,
                                          "json": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"},
                                                                "finish_reason": "stop"}]}}]})
    with Native(native) as c:
        assert c.call()[4] == "success"
        c.send(CLOSE)
        assert c.rest() == frame(CLOSE, {1: "graceful"})


def test_IICPD_05_14_envelope_inside_key_5_is_an_encrypted_task(native):
    """Opened, answered and sealed as over HTTP; a foreign key is refused with the code of encryption."""
    conf = {"version": "1", "recipient_key_id": "cx-0000000000000000", "kem_ciphertext": "A" * 43, "nonce": "A" * 16,
            "encrypted_body": "A" * 60}
    with Native(native) as c:
        m = c.call(json.dumps({"iicp_conf": conf}).encode(), k15=str(uuid.uuid4()))
        http = native.post("/v1/task", {"task_id": str(uuid.uuid4()), "intent": CHAT, "iicp_conf": conf})
        assert m[100] == http.status == 422 and m[6][1] == http.json()["error"]["code"] == "IICP-E050"
        # beside a clear payload it is data of that payload
        m = c.call(json.dumps({"iicp_conf": conf, "messages": [{"role": "user", "content": "hi"}]}).encode())
        assert m.get(100) != 422 or m[6][1] != "IICP-E050"


def native_call(*args):
    program = BUILD / "tests" / "lab" / "native-call"
    r = subprocess.run([str(program), *map(str, args)], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    *answers, state = map(json.loads, r.stdout.splitlines())
    return answers, state


def test_IICPD_03_30_our_client_against_our_port(native):
    payload = '{"messages":[{"role":"user","content":"hi"}]}'
    answers, state = native_call(native.host, native.port, payload)
    assert state == {"state": "ready", "why": ""} and len(answers) == 1
    assert answers[0]["result"]["choices"][0]["message"]["content"] == "Hello from the fake." and not answers[0]["failed"]
    answers, state = native_call(native.host, native.port, payload, uuid.uuid4())
    assert state["state"] == "ready" and answers[-1]["event"] == "completed"
    assert "".join(a["text"] or "" for a in answers) == "Hello from the fake."
    answers, state = native_call(native.host, native.port, "{}")
    assert answers[0]["failed"] and answers[0]["code"] == 422


def test_IICPD_05_14_IICPD_03_21_sealed_both_ways(native):
    """The task id of the CALL is the one that the envelope is bound to."""
    from test_encryption import current, opened, sealed
    call_id = str(uuid.uuid4())
    conf, shared = sealed(current(native), call_id, {"messages": [{"role": "user", "content": "hi"}]})
    payload = json.dumps({"iicp_conf": conf, "cx_response_encryption": "required"}).encode()
    with Native(native) as c:
        m = c.call(payload, k15=call_id)
        assert m[4] == "success", m
        inner = opened({"task_id": call_id, "iicp_conf_resp": loads(m[5])}, shared)
        assert inner["result"]["choices"][0]["message"]["content"] == "Hello from the fake."
        other = str(uuid.uuid4())
        assert c.call(payload, k15=other)[100] == 422  # bound to another id


def own_address():
    """An address of this machine that is not loopback, found without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("203.0.113.1", 9))
        except OSError:
            return None
        address = s.getsockname()[0]
        return None if address.startswith("127.") else address


def test_IICPD_05_47_thirty_protocol_errors_close_a_source(node_factory, backend):
    address = own_address()
    if not address:
        pytest.skip("this machine has no address but loopback")
    node = node_factory(backend=backend, listen__native="plaintext", listen__address=address)
    for _ in range(31):
        with Native(node) as c:
            c.send(0xee, b"\xa0")
            assert closed_with(c.rest()) == "unknown_type"
    assert node.raw(frame(PING)) == b""
    node.await_log("too many protocol errors of this source")
    assert node.get("/iicp/health").status == 200
    assert node.metric("iicp_connections_refused_total", reason="native_errors") >= 1


def test_IICPD_05_47_loopback_is_exempt(native):
    for _ in range(32):
        with Native(native, None) as c:
            c.send(0xee, b"\xa0")
            c.rest()
    with Native(native) as c:
        assert c.call()[4] == "success"
