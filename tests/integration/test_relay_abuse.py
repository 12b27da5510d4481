# SPDX-License-Identifier: Apache-2.0
"""What strangers do to a relay operator over HTTP, and what it does to the others: nothing. [03 sections 14 to 17;
05 section 15]"""

import base64
import json
import re
import socket
import time
import uuid

import pytest

from conftest import free_port, wait_until
from longpoll import Later, bearer, bind, bound, pull, raw_task, result, task_for, worker
from schema import check
from test_relay_http import error, in_flight, operator, parked, relay  # noqa: F401


def echo(task):
    return {"result": {"for": task.get("task_id")}}


def serves(node, worker_id="honest", n=5):
    for i in range(n):
        answer = task_for(node, worker_id, {"task_id": f"t-{i}"})
        assert answer.status == 200 and answer.json()["result"] == {"for": f"t-{i}"}, answer


def resident(node):
    with open(f"/proc/{node.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


def test_DIR_RELAY_02_bind_flood_is_refused_and_harms_nobody(operator):  # noqa: F811
    node = operator(relay__bind_rate=30)
    with worker(node, "honest", echo):
        serves(node)
        verdicts = [bind(node, f"w-{i}") for i in range(200)]
        assert [v.status for v in verdicts[:29]] == [200] * 29
        assert {v.status for v in verdicts[29:]} == {429}
        wanted = {"code": "IICP-E039", "message": "relay bind rate limit exceeded", "reason": "relay_bind_rate_limited"}
        assert error(verdicts[-1])[1] == wanted and int(verdicts[-1].headers["retry-after"]) > 0
        assert node.control("/v1/sessions?limit=5").json()["alive"] == 30
        serves(node)
        # one line about it, not one for each
        assert 1 <= node.log_text().count("rate") < 10
        assert "127.0.0.1" not in "\n".join(x for x in node.log_text().splitlines() if "session" in x)


def ticket_maker(seed):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)

    def make(worker_id, audience="*", life=100, jti=None, **changes):
        now = int(time.time())
        claims = {"v": 1, "typ": "relay-bind-ticket", "jti": jti or uuid.uuid4().hex, "iss": "lab", "sub": worker_id,
                  "aud": audience, "iat": now, "exp": now + life, **changes}
        text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{text}.{key.sign(b'iicp:relay-bind-ticket:v1' + bytes([10]) + text.encode()).hex()}"

    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return make, raw.hex()


def test_DIR_RELAY_03_forged_foreign_and_replayed_tickets(operator):  # noqa: F811
    make, public = ticket_maker(b"1" * 32)
    forge, _ = ticket_maker(b"2" * 32)
    node = operator(relay__tickets="required", relay__ticket_key=public, relay__bind_rate=0)
    me = node.status()["node"]["node_id"]
    wrong = [forge("w-1"), make("w-2"), make("w-1", audience="other"), make("w-1", life=0), make("w-1", v=2),
             make("w-1", jti="X" * 32), make("w-1")[:-1], make("w-1") + "0", "a.b", ""]
    for t in wrong:
        status, e = error(bind(node, "w-1", bind_ticket=t))
        assert (status, e["code"]) == (401, "IICP-E040") and e["message"].startswith("relay bind ticket "), t
    assert error(bind(node, "w-1")) == (401, {"code": "IICP-E040", "message": "relay bind ticket required"})
    good, other = make("w-1"), make("w-1", audience=me)
    token = bound(node, "w-1", bind_ticket=good)
    # not used up by a bind that was refused for another reason
    assert bind(node, "w-1", bind_ticket=other).status == 409
    assert node.post("/v1/relay/unbind", {}, bearer(token)).status == 204
    assert error(bind(node, "w-1", bind_ticket=good)) == (
        409, {"code": "IICP-E040", "message": "relay bind ticket replayed"})
    bound(node, "w-1", bind_ticket=other)
    assert node.control("/v1/sessions/w-1").json()["sessions"][0]["ticket"] is True
    for t in (*wrong, good, other):
        assert len(t) < 20 or t not in node.log_text()


def test_DIR_RELAY_02_full_table(operator):  # noqa: F811
    node = operator(relay__max_sessions=3, relay__bind_rate=0)
    tokens = [bound(node, f"w-{i}") for i in range(3)]
    assert error(bind(node, "w-3")) == (503, {"code": "IICP-E039",
                                             "message": "relay at session capacity — try another relay"})
    assert node.post("/v1/relay/unbind", {}, bearer(tokens[0])).status == 204
    bound(node, "w-3")


def test_IICPD_03_47_tokens_cannot_be_guessed_or_swapped(relay):  # noqa: F811
    """Also with half of a real one: the place where it is found is no secret."""
    one, other = bound(relay, "one"), bound(relay, "other")
    later = Later(task_for, relay, "one", {"task_id": "t-1"})
    call = pull(relay, one).json()
    for i in range(200):
        guess = f"{one[:16]}{i:048x}"
        assert relay.get("/v1/relay/pull", bearer(guess)).status == 401
    # the other worker cannot answer for this one, nor take its call away
    assert result(relay, other, call["call_id"], {"result": {"by": "other"}}).status == 204
    assert relay.post("/v1/relay/unbind", {}, bearer(one[:16] + other[16:])).status == 401
    assert not later.done()
    assert result(relay, one, call["call_id"], {"result": {"by": "one"}}).status == 204
    assert later.get().json()["result"] == {"by": "one"}
    # twice: the second one is for nobody
    assert result(relay, one, call["call_id"], {"result": {"by": "one again"}}).status == 204


def test_IICPD_03_49_oversize_answers(relay):  # noqa: F811
    token = bound(relay, "w-1")
    later = Later(task_for, relay, "w-1", {"task_id": "t-1", "constraints": {"timeout_ms": 1}})
    call = pull(relay, token).json()
    head = b'{"call_id":"%s","result":{"result":"' % call["call_id"].encode()
    answer = raw_task(relay, "/v1/relay/result", head + b"a" * (1 << 20) + b'"}}', bearer(token))
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert error(later.get())[1]["code"] == "IICP-E031"  # its own time limit: nobody answered
    with worker(relay, "honest", echo):
        serves(relay)


def test_IICPD_03_50_slow_workers_hold_their_own_tasks_only(operator):  # noqa: F811
    """Workers that take and never answer: their callers wait, the others do not."""
    node = operator(relay__max_in_flight=8)
    slow = bound(node, "slow")
    lost = [Later(task_for, node, "slow", {"task_id": f"s-{i}", "payload": "x" * 100000}) for i in range(8)]
    wait_until(lambda: in_flight(node, "slow") == 8, what="tasks at the slow worker")
    for _ in range(4):
        assert pull(node, slow).status == 200
    assert task_for(node, "slow", {"task_id": "t"}).status == 429
    with worker(node, "honest", echo, pulls=2):
        serves(node, n=20)
    assert not any(t.done() for t in lost)
    assert node.post("/v1/relay/unbind", {}, bearer(slow)).status == 204
    assert {t.get().status for t in lost} == {502}


def test_IICPD_03_48_more_pulls_than_anybody_needs(relay):  # noqa: F811
    """The oldest ones of a session give way; the connections are the listener's matter."""
    token = bound(relay, "w-1")
    with worker(relay, "honest", echo):
        pulls = [Later(pull, relay, token) for _ in range(70)]
        parked(relay, "w-1", 64)
        wait_until(lambda: sum(p.done() for p in pulls) == 6, what="six sent away")
        assert all(p.get().status == 204 for p in pulls if p.done())
        serves(relay)
    assert relay.post("/v1/relay/unbind", {}, bearer(token)).status == 204
    assert sorted(p.get().status for p in pulls) == [204] * 6 + [401] * 64


def test_IICPD_03_50_half_sent_bodies_cost_little(relay):  # noqa: F811
    bound(relay, "w-1")
    head = b"POST /v1/relay-for/w-1/v1/task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n{"
    with worker(relay, "honest", echo):
        serves(relay)
        before = resident(relay)
        half_open = [socket.create_connection((relay.host, relay.port), 30) for _ in range(100)]
        for s in half_open:
            s.sendall(head)
        serves(relay)
        # announced are 100 MB
        assert resident(relay) - before < 30_000_000
        for s in half_open:
            s.close()
        serves(relay)


def test_IICPD_03_49_a_worker_that_vanished_loses_its_tasks(driven):
    """Cut off, killed, asleep: it is not heard of, and after 90 s its tasks have failed, not after 120."""
    d = driven(relay__operator="yes", relay__port=free_port())
    token = bound(d.node, "w-1")
    later = Later(task_for, d.node, "w-1", {"task_id": "t", "constraints": {"timeout_ms": 300000}}, timeout=300)
    assert pull(d.node, token).status == 200
    d.advance(80)
    assert not later.done()
    d.until(later.done, 25, "the end of the session")
    assert error(later.get())[0] == 502 and "session ended" in later.get().json()["error"]["message"]


def test_IICPD_03_49_a_stop_lets_workers_finish(relay):  # noqa: F811
    token = bound(relay, "w-1")
    with_worker, waiting = (Later(task_for, relay, "w-1", {"task_id": f"t-{i}"}) for i in range(2))
    wait_until(lambda: in_flight(relay, "w-1") == 2, what="two tasks")
    call = pull(relay, token).json()
    relay.popen.terminate()
    relay.await_log(r"stopping|draining")
    assert result(relay, token, call["call_id"], {"result": {"a": 1}}).status == 204
    first, second = (with_worker, waiting) if call["task"]["task_id"] == "t-0" else (waiting, with_worker)
    assert first.get().json()["result"] == {"a": 1}
    call = pull(relay, token)
    if call.status == 200:
        assert result(relay, token, call.json()["call_id"], {"result": {"b": 1}}).status == 204
        assert second.get().status == 200
    assert relay.wait() == 0


def test_IICPD_03_49_a_killed_operator_leaves_no_false_success(relay):  # noqa: F811
    token = bound(relay, "w-1")
    later = Later(task_for, relay, "w-1", {"task_id": "t-1"})
    pull(relay, token)
    relay.expect_exit = None
    relay.kill()
    with pytest.raises((OSError, Exception)):
        later.get()


# ---- the operator's hand ----


def test_OX_sessions_list_one_and_kick(operator, iicpctl):  # noqa: F811
    node = operator(relay__bind_rate=0)
    tokens = {f"worker-{i}": bound(node, f"worker-{i}", intent="urn:iicp:intent:llm:chat:v1", models=["m1"]) for i in range(5)}
    for i in range(3):
        later = Later(task_for, node, "worker-2", {"task_id": "t"})
        call = pull(node, tokens["worker-2"]).json()
        assert result(node, tokens["worker-2"], call["call_id"], {} if i else []).status == 204
        later.get()
    doc = node.control("/v1/sessions").json()
    assert doc["schema"] == "iicp.sessions/1" and doc["alive"] == 5 and doc["long_poll"] == 5 and doc["native"] == 0
    assert [s["worker_id"] for s in doc["sessions"]] == sorted(tokens) and doc["next"] is None
    one = {s["worker_id"]: s for s in doc["sessions"]}["worker-2"]
    assert (one["calls"], one["failed"], one["in_flight"], one["models"]) == (3, 1, 0, ["m1"])
    assert re.fullmatch(r"h:[0-9a-f]{8}", one["source"]) and "127.0.0.1" not in json.dumps(doc)
    page = node.control("/v1/sessions?limit=2").json()
    assert [s["worker_id"] for s in page["sessions"]] == ["worker-0", "worker-1"] and page["next"] == "worker-1"
    page = node.control("/v1/sessions?limit=2&after=worker-3").json()
    assert [s["worker_id"] for s in page["sessions"]] == ["worker-4"] and page["next"] is None
    assert node.control("/v1/sessions?after=nobody").status == 409
    for bad in ("sort=colour", "limit=0", "limit=x", "by=colour"):
        assert node.control(f"/v1/sessions?{bad}").status == 422, bad
    assert node.control("/v1/sessions?sort=failed&limit=1").json()["sessions"][0]["worker_id"] == "worker-2"
    sources = node.control("/v1/sessions?by=source").json()
    for said in (doc, page, sources, node.control("/v1/sessions/worker-2").json()):
        check(said)
    assert sources["n_sources"] == 1 and sources["sources"][0]["sessions"] == 5

    shown = iicpctl(node, "sessions", "--sort", "failed")
    assert shown.returncode == 0 and shown.stdout.startswith("5 of ") and "long-poll 5" in shown.stdout
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert [r[0] for r in rows if r and r[0].startswith("worker-")][0] == "worker-2"
    assert "worker-3" in iicpctl(node, "sessions", "worker-3").stdout
    assert "5" in iicpctl(node, "sessions", "--by-source").stdout
    assert json.loads(iicpctl(node, "--json", "sessions", "worker-3").stdout)["sessions"][0]["worker_id"] == "worker-3"
    for words in (("sessions", "--limit", "0"), ("sessions", "kick"), ("sessions", "a", "b"), ("sessions", "--for", "10m"),
                  ("sessions", "kick", "worker-3", "--for", "10 years"), ("sessions", "--sort", "colour")):
        assert iicpctl(node, *words).returncode == 2, words
    assert iicpctl(node, "sessions", "kick", "nobody").returncode == 1
    assert iicpctl(node, "sessions", "worker").returncode == 1  # five of them
    assert "first 4 characters" in iicpctl(node, "sessions", "wo").stderr

    waiting = Later(pull, node, tokens["worker-3"])
    parked(node, "worker-3", 1)
    kicked = iicpctl(node, "sessions", "kick", "worker-3", "--for", "10m")
    assert kicked.returncode == 0 and "600 s" in kicked.stdout
    assert waiting.get().status == 401 and pull(node, tokens["worker-3"]).status == 401
    assert bind(node, "worker-3").status == 503
    doc = node.control("/v1/sessions").json()
    assert doc["held_out"][0]["worker_id"] == "worker-3" and 500 < doc["held_out"][0]["left_s"] <= 600
    shown = iicpctl(node, "sessions").stdout
    assert "held out by a kick: worker-3" in shown and "capacity 0, held out by a kick 1" in shown, shown
    assert iicpctl(node, "sessions", "kick", "worker-4").returncode == 0
    bound(node, "worker-4")
    log = node.log_text()
    assert re.search(r"control_action.*kick of worker worker-3 for 600 s by ", log) and "session_kicked" in log
    assert "bind of a worker refused: held out by a kick; source " in log and "refused: relay at session capacity" not in log


def test_OX_sessions_without_a_relay(node_factory, iicpctl):
    node = node_factory()
    answer = node.control("/v1/sessions")
    assert (answer.status, answer.json()["error"]["code"]) == (409, "no_relay")
    said = iicpctl(node, "sessions")
    assert said.returncode == 1 and "relay.operator" in said.stderr
    assert "relay" not in node.control("/v1/status").json() or node.control("/v1/status").json()["relay"] is None


def test_OX_52_metrics_of_the_relay_are_the_operators(operator, iicpctl):  # noqa: F811
    node = operator()
    with worker(node, "honest", echo):
        serves(node)
        bind(node, "honest")
        text = node.control("/v1/metrics").text
        assert "iicp_relay" not in node.get("/metrics").text
        status = node.status()["relay"]
        assert status["sessions"] == 1 and "1 of " in iicpctl(node, "status").stdout
    series = dict(re.findall(r"^(iicp_relay_\S+) (\S+)$", text, re.M))
    assert series['iicp_relay_sessions{transport="http-poll"}'] == "1"
    assert series['iicp_relay_sessions{transport="native"}'] == "0"
    assert series['iicp_relay_binds_total{outcome="ok"}'] == "1"
    assert series['iicp_relay_binds_total{outcome="alive"}'] == "1"
    assert series['iicp_relay_calls_total{outcome="ok"}'] == "5" and series["iicp_relay_seconds_count"] == "5"
    assert series["iicp_relay_in_flight"] == "0" and int(series["iicp_relay_sessions_max"]) >= 256
    assert int(series['iicp_relay_bytes_total{direction="to_worker"}']) > 0
    names = {n.split("{")[0].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for n in series}
    for name in names | {"iicp_relay_seconds"}:
        assert text.count(f"# TYPE {name} ") <= 1
