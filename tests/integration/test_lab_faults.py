# SPDX-License-Identifier: Apache-2.0
"""The lab directory's misbehaviour, watch, trust and credits: the measuring instrument is measured."""

import hashlib
import hmac
import http.client
import json
import pathlib
import shutil
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import wait_until

TREE = pathlib.Path(__file__).resolve().parents[2]
VECTORS = TREE / "tests" / "vectors" / "directory"
sys.path.insert(0, str(TREE / "tests" / "lab"))
from labdir import credits, ed25519, faults, trust  # noqa: E402

REGISTER = json.loads((VECTORS / "register-bodies.json").read_text())["cases"]
MINIMAL = REGISTER[0]["body"]
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


@pytest.fixture
def quiet(lab_factory):
    return lab_factory("--no-probe", "--no-limits")


def enrol(lab, **more):
    answer = lab.post("/api/v1/register", {**MINIMAL, "node_id": "n1", **more})
    assert answer.status == 201, answer
    return answer.json()


def bearer(credentials):
    return {"Authorization": "Bearer " + credentials["node_token"], "X-Node-Id": credentials["node_id"]}


def beat(lab, credentials, **more):
    return lab.post("/api/v1/heartbeat", {"node_id": credentials["node_id"], **more}, bearer(credentials))


def violations(lab):
    return [v["rule"] for v in lab.get("/lab/violations").json()["violations"]]


def test_ed25519_is_that_of_rfc_8032():
    assert ed25519.public_key(SEED).hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = ed25519.sign(SEED, b"")
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a")
    assert ed25519.verify(ed25519.public_key(SEED), b"", signature)
    assert not ed25519.verify(ed25519.public_key(SEED), b"x", signature)


def test_every_named_fault_can_be_set(quiet):
    assert quiet.get("/lab/catalogue").json().keys() == faults.CATALOGUE.keys()
    for name in faults.CATALOGUE:
        if name not in ("down", "down-1h"):
            assert quiet.post("/lab/faults", {"name": name}).status == 200


@pytest.mark.parametrize("name", [n for n, f in faults.CATALOGUE.items() if f.get("route") == "register"
                                  and "status" in f])
def test_register_refusals_come_as_written(quiet, name):
    quiet.post("/lab/faults", {"name": name})
    answer = quiet.post("/api/v1/register", MINIMAL)
    fault = faults.CATALOGUE[name]
    assert answer.status == fault["status"]
    body = fault["body"]
    assert answer.text == body if isinstance(body, str) else answer.json() == body


def test_an_answer_can_be_lost_half_or_garbage(quiet):
    for name in ("rotation-lost", "register-half", "garbage"):
        quiet.post("/lab/faults", {"name": name})
        with pytest.raises((http.client.HTTPException, OSError)):
            quiet.post("/api/v1/register", {**MINIMAL, "node_id": name})
    nodes = {n["node_id"] for n in quiet.get("/lab/nodes").json()["nodes"]}
    assert nodes == {"rotation-lost", "register-half"}


def test_members_of_an_answer_change(quiet):
    first = enrol(quiet)
    quiet.post("/lab/faults", [{"name": "beat-other-batch"}, {"name": "beat-no-challenge"}])
    answer = beat(quiet, first, metrics={"tasks_success": 1}, metrics_batch_id="b1").json()
    assert answer["metrics_batch_accepted"] == "another-batch" and "challenge" in answer
    assert "challenge" not in beat(quiet, first).json()
    node, = quiet.get("/lab/nodes").json()["nodes"]
    assert node["counted"] == {"tasks_success": 1, "tasks_failed": 0}


def test_redirects_name_where_they_lead(quiet):
    quiet.post("/lab/faults", [{"name": "register-307-same"}, {"name": "register-307-elsewhere"}])
    same, other = (quiet.post("/api/v1/register?x=1", MINIMAL) for _ in range(2))
    assert (same.status, same.headers["Location"]) == (307, quiet.url + "/v1/register?x=1")
    assert (other.status, other.headers["Location"]) == (307, "http://127.0.0.1:9/api/v1/register?x=1")


def test_down_refuses_and_comes_back_with_its_memory(lab_factory):
    lab = lab_factory("--no-probe", "--control")
    control = lab.await_words(r"control http://[^:]*:(\d+)").group(1)
    first = enrol(lab)
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{control}/lab/faults", b'{"down_s": 4}',
                                                  {"Content-Type": "application/json"})).read()

    def up():
        try:
            return lab.get("/lab/nodes").status == 200
        except OSError:
            return False
    wait_until(lambda: not up(), what="down")
    wait_until(up, what="up again")
    assert beat(lab, first).status == 200


def test_tls_of_each_kind(lab_factory, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    lab = lab_factory("--tls", tmp_path / "tls", "--control")
    control = lab.await_words(r"control (http://\S+)").group(1)
    trusting = ssl.create_default_context(cafile=tmp_path / "tls" / "ca.pem")

    def fetch():
        with urllib.request.urlopen(lab.url + "/v1/stats", context=trusting, timeout=10) as answer:
            return answer.status
    assert fetch() == 200
    for kind in ("expired", "other-name", "self-signed"):
        urllib.request.urlopen(urllib.request.Request(control + "/lab/settings", json.dumps({"tls": kind}).encode()))
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch()
    urllib.request.urlopen(urllib.request.Request(control + "/lab/settings", b'{"tls": "tls12"}'))
    trusting.minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises(urllib.error.URLError):
        fetch()


# ---- the watch ----


def test_a_clean_life_has_no_violations(quiet):
    first = enrol(quiet)
    assert beat(quiet, first).status == 200
    assert violations(quiet) == []


def test_the_watch_sees_each_breach(quiet):
    first = enrol(quiet)
    beat(quiet, first, metrics={"tasks_success": 1}, metrics_batch_id="b1")
    beat(quiet, first, metrics={"tasks_success": 2}, metrics_batch_id="b1")
    assert violations(quiet) == ["a batch keeps its content", "heartbeats keep the cadence"]
    assert len(quiet.request("DELETE", "/lab/violations").json()["violations"]) == 2
    second = enrol(quiet, current_node_token=first["node_token"])
    assert violations(quiet) == ["5 s between REGISTERs"]
    beat(quiet, second, metrics={"tasks_success": 0, "tasks_failed": 0}, metrics_batch_id="b2")
    assert violations(quiet)[1:] == ["no all-zero metrics"]
    enrol(quiet, node_id="n2")
    assert violations(quiet)[2:] == ["one identity"]


def test_extra_heartbeats_are_allowed_ten_seconds_apart(quiet):
    first = enrol(quiet)
    beat(quiet, first, available=True)
    beat(quiet, first, available=False)
    beat(quiet, first, available=True)
    assert violations(quiet) == []
    beat(quiet, first, available=False)
    beat(quiet, first, available=True)
    assert violations(quiet) == ["10 s between extra heartbeats"]


def test_a_fast_retry_of_a_lost_heartbeat_is_allowed(quiet):
    first = enrol(quiet)
    quiet.post("/lab/faults", {"name": "beat-answer-lost"})
    with pytest.raises((http.client.HTTPException, OSError)):
        beat(quiet, first, load=0.5)
    beat(quiet, first, load=0.5)
    assert violations(quiet) == []
    beat(quiet, first, load=0.5)
    assert violations(quiet) == ["heartbeats keep the cadence"]


def test_the_watch_sees_two_registers_in_flight(quiet):
    quiet.post("/lab/faults", {"route": "register", "delay_ms": 2000})
    body = json.dumps({**MINIMAL, "node_id": "n1"})
    slow = http.client.HTTPConnection(quiet.host, quiet.port)
    slow.request("POST", "/api/v1/register", body, {"Content-Type": "application/json"})
    # taken by the slow one as soon as it is at work
    wait_until(lambda: quiet.post("/lab/faults", []).json()["faults"] == 0, what="the slow one")
    quiet.post("/api/v1/register", {**MINIMAL, "node_id": "n1"})
    assert slow.getresponse().status == 201
    slow.close()
    assert violations(quiet) == ["one REGISTER in flight", "5 s between REGISTERs"]


# ---- trust and credits ----


def test_directory_key_and_consumer_token(quiet):
    assert quiet.get("/api/v1/directory-key").status == 503
    quiet.post("/lab/settings", {"directory_key": "one"})
    key = quiet.get("/api/v1/directory-key").json()
    assert key["algorithm"] == "ed25519"
    caller = enrol(quiet)
    enrol(quiet, node_id="n2")
    body = {"target_node_id": "n2", "intent": "*"}
    assert quiet.post("/api/v1/consumer-token", body).status == 401
    answer = quiet.post("/api/v1/consumer-token", body, bearer(caller))
    assert answer.status == 201
    payload, _, signature = answer.json()["token"].partition(".")
    assert len(signature) == 128
    assert ed25519.verify(bytes.fromhex(key["public_key"]), trust.TOKEN_DOMAIN + payload.encode(),
                          bytes.fromhex(signature))
    quiet.post("/lab/settings", {"directory_key": "two"})
    assert quiet.get("/api/v1/directory-key").json()["public_key"] != key["public_key"]


def receipt(credentials, **more):
    body = {"node_id": "n1", "task_id": "t1", "tokens_used": 512, "amount": 0.512, "nonce": "ab" * 16,
            "expires_at": "2099-01-01T00:00:00Z", "response_hash": "00" * 32, "reason": "task_completion", **more}
    body.setdefault("signature", hmac.new(credentials["node_hmac_key"].encode(), credits.canonical(body).encode(),
                                          hashlib.sha256).hexdigest())
    return body


def test_canonical_text_of_receipts():
    for case in json.loads((VECTORS / "cip-receipt.json").read_text())["cases"]:
        if case.get("send") and "body" in case:
            assert credits.canonical(case["body"]) == case["canonical"], case["name"]


@pytest.mark.parametrize("who, good, replayed", [("d1", 200, 422), ("d2", 201, 409)])
def test_award(lab_factory, who, good, replayed):
    lab = lab_factory("--no-probe", "--personality", who)
    mine = enrol(lab)
    award = lambda **more: lab.post("/api/v1/credits/award", receipt(mine, **more), bearer(mine))  # noqa: E731
    assert award().status == good
    assert award().status == replayed
    assert award(task_id="t2", nonce="cd" * 16, amount=2).json()["error"]["code"] == "IICP-E027"
    assert award(task_id="t2", nonce="cd" * 16, signature="00" * 32).json()["error"]["code"] == "IICP-E027"
    balance = lab.get("/api/v1/credits/balance", bearer(mine)).json()
    assert balance["balance"] == 0.512 and balance["unit"] == "credit"
    summary = lab.get("/api/v1/credits/summary", bearer(mine)).json()
    assert summary["tx_count"] == 1 and summary["reconciles"] is True
    rows = lab.get("/api/v1/credits/transactions", bearer(mine)).json()["transactions"]
    assert [r["task_id"] for r in rows] == ["t1"]
    assert lab.get("/api/v1/credits/balance").status == 401


# ---- personalities ----


def test_personalities_differ_as_the_field_does(lab_factory):
    d1 = lab_factory("--no-probe", "--personality", "d1")
    assert d1.post("/v1/register", MINIMAL).status == 404
    assert d1.request("PUT", "/api/v1/register").status == 500
    first = enrol(d1, relay_capable=True, transport_method="direct")
    enrol(d1, current_node_token=first["node_token"])
    node, = d1.get("/lab/nodes").json()["nodes"]
    assert node["registered"]["relay_capable"] is True and node["registered"]["transport_method"] == "direct"
    d2 = lab_factory("--no-probe", "--personality", "d2")
    assert d2.post("/v1/register", {**MINIMAL, "node_id": "x"}).json()["recovered"] is True
    enrol(d2, relay_capable=True)
    d2.post("/lab/settings", {"unknown_404": True})
    assert d2.post("/v1/heartbeat", {"node_id": "nobody"}).json()["error"]["code"] == "IICP-E003"


def test_replica_redirects_writes_and_signs_reads(lab_factory):
    seed = lab_factory("--no-probe", "--no-limits")
    replica = lab_factory("--personality", "replica", "--seed", seed.url)
    replica.post("/lab/settings", {"directory_key": "r"})
    enrol(seed)
    answer = replica.post("/api/v1/register", MINIMAL)
    assert answer.status == 307 and answer.headers["Location"] == seed.url + "/v1/register"
    assert answer.headers["X-IICP-Replica-Redirect"] == "true"
    path = "/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1"
    answer = replica.get(path)
    assert [n["node_id"] for n in answer.json()["nodes"]] == ["n1"]
    jwk = replica.get("/.well-known/did.json").json()["verificationMethod"][0]["publicKeyJwk"]
    assert jwk["crv"] == "Ed25519" and len(answer.headers["X-IICP-Replica-Sig"]) == 128


def test_replica_signature_vectors():
    cases = json.loads((VECTORS / "replica-signature.json").read_text())
    for case in cases["cases"]:
        query = case["query"]
        pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
        text = "&".join(f"{urllib.parse.quote(k, safe='-._~')}={urllib.parse.quote(v, safe='-._~')}"
                        for k, v in pairs)
        assert text == case["query_canonical"]
