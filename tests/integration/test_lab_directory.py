# SPDX-License-Identifier: Apache-2.0
"""The lab directory itself: it must refuse what the published directories refuse."""

import json
import pathlib
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
VECTORS = TREE / "tests" / "vectors" / "directory"
sys.path.insert(0, str(TREE / "tests" / "lab"))
import directory as lab_directory  # noqa: E402

REGISTER = json.loads((VECTORS / "register-bodies.json").read_text())["cases"]
HEARTBEAT = json.loads((VECTORS / "heartbeat-bodies.json").read_text())["cases"]


@pytest.mark.parametrize("case", REGISTER, ids=lambda c: c["name"])
def test_register_bodies(case):
    d1 = lab_directory.check_register(case["body"], "d1")
    assert bool(d1.fields) == (not case["php"]["accept"]), d1.fields
    if "fields" in case["php"]:
        assert sorted(d1.fields) == sorted(case["php"]["fields"])
    d2 = lab_directory.check_register(case["body"], "d2")
    assert bool(d2.fields) == (not case["rust"]["accept"]), d2.fields
    if "code" in case["rust"]:
        assert d2.code == case["rust"]["code"]
    strict = lab_directory.check_register(case["body"])
    assert bool(strict.fields) == (not (case["php"]["accept"] and case["rust"]["accept"]))


@pytest.mark.parametrize("case", HEARTBEAT, ids=lambda c: c["name"])
def test_heartbeat_bodies(case):
    d1 = lab_directory.check_heartbeat(case["body"], "d1")
    assert bool(d1.fields) == (not case["php"]["accept"]), d1.fields
    if "fields" in case["php"]:
        assert sorted(d1.fields) == sorted(case["php"]["fields"])
    d2 = lab_directory.check_heartbeat(case["body"], "d2")
    assert bool(d2.fields) == (not case["rust"]["accept"]), d2.fields
    strict = lab_directory.check_heartbeat(case["body"])
    assert bool(strict.fields) == (not (case["php"]["accept"] and case["rust"]["accept"]))


def test_ownership_matrix():
    allowed = json.loads((VECTORS / "ownership-matrix.json").read_text())["allowed"]
    assert len(allowed) == 128
    for i, expected in enumerate(allowed):
        bits = [bool(i >> b & 1) for b in range(7)]
        assert lab_directory.ownership_allowed(*bits) == (expected == "1"), i


@pytest.fixture
def quiet_lab(lab_factory):
    """Without callbacks and limits."""
    return lab_factory("--no-probe", "--no-limits")


MINIMAL = REGISTER[0]["body"]


def enrol(lab, **more):
    answer = lab.post("/api/v1/register", {**MINIMAL, **more})
    assert answer.status == 201, answer
    return answer.json()


def beat(lab, credentials, **more):
    return lab.post("/api/v1/heartbeat", {"node_id": credentials["node_id"], **more},
                    {"Authorization": "Bearer " + credentials["node_token"],
                     "X-Node-Id": credentials["node_id"]})


def test_life_of_a_node(quiet_lab):
    first = enrol(quiet_lab, node_id="n1")
    answer = beat(quiet_lab, first, load=0.5, available=True)
    assert answer.status == 200
    good = {"key": first["node_hmac_key"], "message": answer.json()["challenge"]}
    import hashlib
    import hmac
    response = hmac.new(good["key"].encode(), good["message"].encode(), hashlib.sha256).hexdigest()
    assert beat(quiet_lab, first, challenge_response=response).status == 200
    assert beat(quiet_lab, first, challenge_response="0" * 64).status == 200
    node, = quiet_lab.get("/lab/nodes").json()["nodes"]
    assert node["challenges"] == {"answered": 2, "verified": 1, "wrong": 1}
    second = enrol(quiet_lab, node_id="n1", current_node_token=first["node_token"])
    assert second["recovered"] and second["node_token"] != first["node_token"]
    assert second["node_hmac_key"] != first["node_hmac_key"]
    assert beat(quiet_lab, first).status == 401
    found = quiet_lab.get("/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1").json()
    assert [n["node_id"] for n in found["nodes"]] == ["n1"]
    assert beat(quiet_lab, second, available=False).status == 200
    assert quiet_lab.get("/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1").json()["count"] == 0


def test_public_view_has_no_routes(quiet_lab):
    enrol(quiet_lab, node_id="7d1f0c56-9b1f-4a53-8f0c-2f6d3b8b7a10")
    node, = quiet_lab.get("/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1&view=public").json()["nodes"]
    assert node["node_id_prefix"] == "7d1f0c56"
    assert not {"node_id", "endpoint", "transport_endpoint", "transport_metadata", "cx_public_key"} & set(node)


def test_key_change_needs_the_token(quiet_lab):
    key = {"algorithm": "X25519", "encoding": "base64url", "key": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo",
           "key_id": "cx-300c9c9603b92a4b", "hybrid_pq": None}
    token = enrol(quiet_lab, node_id="n1", cx_public_key=key)["node_token"]
    body = {**MINIMAL, "node_id": "n1", "cx_public_key": {**key, "not_after": "2030-01-01T00:00:00Z"}}
    answer = quiet_lab.post("/api/v1/register", body)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "IICP-E049")
    assert quiet_lab.post("/api/v1/register", {**body, "current_node_token": token}).status == 201


def test_unreachable_endpoint_is_refused(lab):
    answer = lab.post("/api/v1/register", {**MINIMAL, "endpoint": "http://127.0.0.1:1"})
    assert answer.status == 422 and "IICP-E036" in answer.text


def test_limits(lab_factory):
    lab = lab_factory("--no-probe")
    statuses = [lab.post("/api/v1/register", {}).status for _ in range(61)]
    assert statuses == [422] * 60 + [429]


def test_faults_and_records(quiet_lab):
    quiet_lab.post("/lab/faults", {"route": "register", "status": 503, "body": {"error": "x"},
                                   "headers": {"Retry-After": "7"}})
    answer = quiet_lab.post("/api/v1/register", MINIMAL)
    assert answer.status == 503 and answer.headers["Retry-After"] == "7"
    assert quiet_lab.post("/api/v1/register", MINIMAL).status == 201
    seen = quiet_lab.get("/lab/requests?route=register&min=2&wait=5").json()["requests"]
    assert [r["status"] for r in seen] == [503, 201]
    assert seen[0]["body"] == MINIMAL and "content-type" in seen[0]["headers"]


def test_not_offered(quiet_lab):
    answer = quiet_lab.post("/api/v1/dispatch/ticket", {})
    assert answer.status == 404 and answer.json()["error"] == {"code": "not_found", "message": "not offered"}
    assert quiet_lab.get("/api/v1/directory-key").status == 503
    assert quiet_lab.post("/api/v1/heartbeat", {"node_id": "x"}).status == 401
