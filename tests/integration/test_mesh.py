# SPDX-License-Identifier: Apache-2.0
"""Gossip between built daemons. [04 section 15, 05 section 11]"""

import json

from conftest import wait_until

SIGNATURE = {"X-IICP-Signature": "00" * 64}


def peers(node):
    return node.control("/v1/peers").json()


def node_id(node):
    return node.status()["node"]["node_id"]


def asked(lab, route):
    return lab.get(f"/lab/requests?route={route}").json()["requests"]


def test_IICPD_04_40_IICPD_04_42_two_nodes_find_and_verify_each_other(lab, node_factory, backend, iicpctl):
    first = node_factory(lab, backend, mesh__enabled="yes")
    wait_until(lambda: first.status()["directory"]["state"] == "registered", 60, "registered", first.popen)
    second = node_factory(lab, backend, mesh__enabled="yes")
    wait_until(lambda: peers(second)["mesh"]["sent"] >= 1, 90, "an exchange", second.popen)
    wait_until(lambda: peers(first)["mesh"]["answered"] >= 1, 90, "answered", first.popen)
    for one, other in ((first, second), (second, first)):
        found = [p for p in peers(one)["peers"] if p["node_id"] == node_id(other)]
        assert len(found) == 1 and found[0]["live"] and found[0]["source"] == "directory"
        assert found[0]["endpoint"] == f"http://127.0.0.1:{other.port}"
        assert one.metric("iicp_peers_active") == 1
    # what was registered is a gossip key, and the token stays with the directory
    registered = [r for r in asked(lab, "register") if '"public_key"' in json.dumps(r)]
    assert registered
    shown = iicpctl(second, "peers").stdout
    assert node_id(first)[:8] in shown and "1 of 1 known peers are alive" in shown
    assert "mesh" in iicpctl(second, "status").stdout


def test_DIR_HB_05_DIR_PEER_01_IICPD_04_39_strangers_are_refused(lab, node_factory, backend):
    node = node_factory(lab, backend, mesh__enabled="yes")
    body = {"sender_id": "somebody-else", "known_peers": [], "timestamp_ms": 0, "ttl_s": 90}
    for headers, sent, status, code in (
            ({}, body, 401, "unauthorized"),
            ({"Authorization": "Bearer some-token-of-a-node-0123456789"}, body, 401, "unauthorized"),
            (SIGNATURE, {"known_peers": []}, 401, "unauthorized"),
            (SIGNATURE, body, 403, "forbidden"),
            (SIGNATURE, {**body, "sender_id": node_id(node)}, 403, "forbidden"),
            ({**SIGNATURE, "Content-Type": "application/json"}, "[]", 422, "validation_error"),
            (SIGNATURE, {**body, "pad": "x" * 65536}, 413, "request_too_large")):
        answer = node.post("/v1/peers", sent, dict(headers))
        assert answer.status == status, answer
        assert answer.json()["error"]["code"] == code
        assert "WWW-Authenticate" not in answer.headers
    assert node.get("/v1/peers").status == 405
    assert peers(node)["peers"] == []


def test_IICPD_04_38_IICPD_04_43_off_there_is_no_mesh(lab, node_factory, backend):
    node = node_factory(lab, backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 60, "registered", node.popen)
    assert node.post("/v1/peers", {}, dict(SIGNATURE)).status == 404
    assert node.metric("iicp_peers_active") == 0
    assert "\niicp_peers_active 0\n" in node.get("/metrics").text
    assert asked(lab, "bootstrap") == [] and asked(lab, "peers") == []
    assert '"public_key"' not in json.dumps(asked(lab, "register"))
    assert peers(node)["mesh"]["enabled"] is False
