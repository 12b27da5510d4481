# SPDX-License-Identifier: Apache-2.0
"""The node's side of the directory, with the built daemon and the lab directory."""

import json
import pathlib
import sys
import time

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "lab"))
import directory as lab_directory  # noqa: E402


def asked(lab, route, least=1, wait=20):
    """Waits for that many calls of a route."""
    seen = lab.get(f"/lab/requests?route={route}&min={least}&wait={wait}").json()["requests"]
    assert len(seen) >= least, f"{route}: {len(seen)} of {least}"
    return seen


def nulls(value, at=""):
    if value is None:
        yield at
    elif isinstance(value, str) and value == "":
        yield at
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from nulls(v, f"{at}.{k}")
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from nulls(v, f"{at}.{i}")


def test_DIR_LIFECYCLE_01_a_minimal_provider_gets_credentials(lab, node):
    asked(lab, "heartbeat")  # by then the answer is stored
    register = asked(lab, "register")[0]
    assert register["status"] == 201
    state = json.loads((node.state_dir / "identity.json").read_text())
    assert state["node_token"] == register["answer"]["node_token"]
    assert state["node_hmac_key"] == register["answer"]["node_hmac_key"]
    assert (node.state_dir / "identity.json").stat().st_mode & 0o777 == 0o600


def test_DIR_LIFECYCLE_02_the_first_heartbeat_is_accepted(lab, node):
    beat = asked(lab, "heartbeat")[0]
    assert beat["status"] == 200
    token = asked(lab, "register")[0]["answer"]["node_token"]
    assert beat["headers"]["authorization"] == f"Bearer {token}"
    assert beat["headers"]["x-node-id"] == beat["body"]["node_id"]


def test_SDK_NODE_01_registered_and_beating_within_35_s(lab, node_factory, backend):
    began = time.monotonic()
    node_factory(lab=lab, backend=backend)
    asked(lab, "heartbeat", wait=35)
    assert time.monotonic() - began < 35


def test_NODE_REG_02_the_directory_lists_the_node(lab, node):
    beat = asked(lab, "heartbeat")[0]
    register = asked(lab, "register")[0]
    assert 1.0 <= beat["began_s"] - register["ended_s"] <= 7.0
    found = lab.get("/api/v1/discover?intent=urn:iicp:intent:llm:chat:v1").json()["nodes"]
    assert [n["endpoint"] for n in found] == [node.url]


@pytest.mark.parametrize("who", ["d1", "d2", "strict"])
def test_DIR_REG_01_the_body_satisfies_every_directory(lab, node, who):
    body = asked(lab, "register")[0]["body"]
    faults = lab_directory.check_register(body, who, allow_private=True)
    assert not faults.fields
    assert not lab_directory.check_register({**body, "endpoint": "https://node.example.com"}, who).fields


def test_DIR_REG_02_endpoint_is_always_there(lab, node):
    assert asked(lab, "register")[0]["body"]["endpoint"] == node.url


def test_DIR_REG_03_capabilities_and_limits_are_always_there(lab, node):
    body = asked(lab, "register")[0]["body"]
    assert body["capabilities"][0]["intent"] == "urn:iicp:intent:llm:chat:v1"
    assert body["capabilities"][0]["models"]
    assert set(body["limits"]) == {"max_concurrent", "tokens_per_min"}


def test_IICPD_01_07_no_nulls_and_no_empty_texts(lab, node):
    for request in asked(lab, "register") + asked(lab, "heartbeat"):
        assert isinstance(request["body"], dict)
        assert [n for n in nulls(request["body"]) if n != ".cx_public_key.hybrid_pq"] == []


def test_IICPD_01_11_wire_version_on_every_request(lab, node):
    for request in asked(lab, "register") + asked(lab, "heartbeat"):
        assert request["headers"]["x-iicp-version"] == "1.5"
        assert "x-iicp-framing" not in request["headers"]  # no native frames are served yet


def test_IICPD_01_12_user_agent_names_product_and_version_only(lab, node):
    import re
    for request in asked(lab, "register") + asked(lab, "heartbeat"):
        assert re.fullmatch(r"iicpd/[0-9][0-9A-Za-z.+-]*", request["headers"]["user-agent"])


def test_IICPD_01_32_route_fields_stay_within_the_lists(lab, node):
    body = asked(lab, "register")[0]["body"]
    assert body["transport_method"] == "direct" and body["exposure_mode"] in lab_directory.EXPOSURES
    assert body["transport_metadata"] == {"tier": 0}
    assert "transport_endpoint" not in body


def test_IICPD_01_33_software_identity(lab, node):
    body = asked(lab, "register")[0]["body"]
    assert body["sdk_version"] == body["sdk_compatibility_version"] == "0.7.109"
    assert body["implementation_name"] == "iicpd" and body["sdk_language"] == "c"
    assert body["implementation_version"] != body["sdk_version"]


def test_IICPD_01_34_no_updater(lab, node):
    body = asked(lab, "register")[0]["body"]
    assert body["auto_update_enabled"] is False
    assert not [k for k in body if k.startswith(("auto_update_i", "sdk_update", "sdk_latest"))]


def test_IICPD_01_35_what_is_never_sent(lab, node):
    body = asked(lab, "register")[0]["body"]
    assert not {"policy", "node_hmac_key", "relay_capable", "listing", "operator_contact"} & set(body)


def test_IICPD_01_36_unknown_values_are_left_out(lab, node):
    for c in asked(lab, "register")[0]["body"]["capabilities"]:
        assert c["max_tokens"] >= 1 and 1 <= len(c["models"]) <= 64
        assert len(set(c["models"])) == len(c["models"])
        assert c["input_modalities"][0] == "text"


def test_IICPD_01_42_no_nat_type_without_measurement(lab, node):
    assert asked(lab, "register")[0]["body"]["nat_type"] == "unknown"


def test_IICPD_01_69_heartbeats_satisfy_every_directory(lab, node):
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    for beat in asked(lab, "heartbeat", 2):
        assert beat["status"] == 200
        for who in ("d1", "d2", "strict"):
            assert not lab_directory.check_heartbeat(beat["body"], who).fields
        assert beat["headers"]["authorization"].split()[1] not in beat["raw"]


def test_DIR_HB_01_answers_are_read_and_challenges_verified(lab, node):
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    asked(lab, "heartbeat", 2)
    record, = lab.get("/lab/nodes").json()["nodes"]
    assert record["challenges"]["verified"] >= 1 and record["challenges"]["wrong"] == 0


def test_DIR_HB_04_the_pace_of_the_directory_is_kept(lab, node):
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    beats = asked(lab, "heartbeat", 3, 30)
    assert 4.4 <= beats[2]["began_s"] - beats[1]["began_s"] <= 7.5


def test_HB_2_thirty_seconds_by_default(lab, node):
    asked(lab, "heartbeat")
    directory = node.status()["directory"]
    assert directory["next_heartbeat_ms"] == 30000


def test_DIR_REG_04_health_answers_while_register_is_open(lab, node):
    # The lab calls back before it answers 201, and would have refused with E036.
    assert asked(lab, "register")[0]["status"] == 201
    assert "models" in node.get("/iicp/health").json()


def test_DIR_REG_07_no_secret_in_log_or_status(lab, node):
    asked(lab, "heartbeat")
    answer = asked(lab, "register")[0]["answer"]
    for secret in (answer["node_token"], answer["node_hmac_key"]):
        assert secret not in node.log_text()
        assert secret not in node.control("/v1/status").text
        assert secret not in node.get("/metrics").text


def test_DIR_HB_02_forgotten_node_registers_again(lab, node):
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    asked(lab, "heartbeat")
    lab.post("/lab/settings", {"forget": asked(lab, "register")[0]["body"]["node_id"]})
    again = asked(lab, "register", 2, 30)[1]
    assert again["status"] == 201
    assert again["body"]["current_node_token"] == asked(lab, "register")[0]["answer"]["node_token"]


def test_DIR_RL_01_refused_by_rate_then_registered(lab, node_factory, backend):
    lab.post("/lab/faults", {"route": "register", "status": 429, "body": {
        "error": "IICP-E034", "message": "TooManyRegistrationAttempts", "retry_after": 6}})
    node_factory(lab=lab, backend=backend)
    first, second = asked(lab, "register", 2, 30)[:2]
    assert second["began_s"] - first["ended_s"] >= 5.9 and second["status"] == 201


def test_IICPD_01_14_a_slow_acceptance_is_not_lost(lab, node_factory, backend):
    lab.post("/lab/faults", {"route": "register", "delay_ms": 7000, "after": True})
    node_factory(lab=lab, backend=backend)
    beat = asked(lab, "heartbeat", 1, 40)[0]
    assert beat["status"] == 200
    assert len(asked(lab, "register")) == 1


def test_IICPD_01_77_tasks_are_served_without_a_directory(lab, node):
    asked(lab, "heartbeat")
    lab.kill()
    assert node.get("/iicp/health").status == 200


def test_IICPD_01_79_stop_says_unavailable_and_keeps_the_registration(lab, node):
    asked(lab, "heartbeat")
    assert node.stop() == 0
    last = asked(lab, "heartbeat", 2)[-1]
    assert last["body"]["available"] is False and last["status"] == 200
    assert lab.get("/lab/requests?route=deregister").json()["requests"] == []


def test_IICPD_01_29_a_restart_proves_itself(lab, node_factory, backend, tmp_path):
    state = tmp_path / "kept"
    state.mkdir(mode=0o700)
    first = node_factory(lab=lab, backend=backend, node__state_dir=state)
    before = asked(lab, "register")[0]
    assert first.stop() == 0
    node_factory(lab=lab, backend=backend, node__state_dir=state)
    after = asked(lab, "register", 2)[1]
    assert after["status"] == 201 and after["body"]["node_id"] == before["body"]["node_id"]
    assert after["body"]["current_node_token"] == before["answer"]["node_token"]
    assert json.dumps(after["body"]["cx_public_key"]) == json.dumps(before["body"]["cx_public_key"])
