# SPDX-License-Identifier: Apache-2.0
"""Nodes that nothing leads to, behind real and scripted routers: they find a relay at the directory, bind to it,
are registered and reached through it, and give it up for a better way. The relay is iicpd itself. [04 sections 11, 17]"""

import json
import uuid

import pytest

from conftest import program, wait_until
from home_network import BUDGET_S, INTERNET, home, run  # noqa: F401 (a fixture)

pytestmark = pytest.mark.real  # the job "lab"
CHAT = "urn:iicp:intent:llm:chat:v1"


def relays(node):
    return node.control("/v1/relays").json()


def await_bound(node, timeout=BUDGET_S):
    return wait_until(lambda: (lambda r: r if r["state"] == "bound" else None)(relays(node)), timeout,
                      f"a bound relay\n{node.log_text()[-3000:]}", node.popen)


def task_through(h, who, base=f"http://{INTERNET}:9484"):
    body = {"task_id": str(uuid.uuid4()), "intent": CHAT, "payload": {"messages": [{"role": "user", "content": "hello"}]}}
    out = h.sh("inet", "curl", "-s", "-m", "20", "-H", "Content-Type: application/json", "-d", json.dumps(body),
               f"{base}/v1/relay-for/{who}/v1/task")
    return json.loads(out)


def expect_relayed(h, node):
    found = h.await_route(node, 3)
    assert found["kind"] == "relay" and found["verified_by"] == "relay" and found["relay"]["state"] == "bound", found
    who = h.id_of(node)
    body = wait_until(lambda: h.registered(who), BUDGET_S, "the registration", node.popen)
    assert body["endpoint"] == f"http://{INTERNET}:9484/v1/relay-for/{who}"
    assert body["transport_method"] == "turn_relay" and body["exposure_mode"] == "relay_required"
    assert body["nat_type"] == "unknown" and "transport_endpoint" not in body
    assert body["transport_metadata"] == {"tier": 3, "relay_for": who, "relay_host": INTERNET, "relay_port": 9484,
                                          "relay_endpoint": f"http://{INTERNET}:9484"}
    answer = task_through(h, who)
    assert answer["status"] == "success" and answer["generated_by_ai"] is True, answer
    return found


def test_IICPD_04_46_L12_IICPD_04_30_IICPD_03_56_DIR_RELAY_05_carrier_nat(home, iicpctl):
    h = home("cgnat")
    h.no_ipv6()
    h.router()
    relay = h.relay()
    node = h.node()
    found = expect_relayed(h, node)
    assert found["nested_nat"] in ("cgnat", "unknown")
    assert h.rules() == []
    who = h.id_of(relay)
    node.await_log(f"relay_bound.*{who} .reputation 0.50.*can read tasks that are not encrypted")
    asked = [r["query"] for r in h.requests("discover") if r["query"].get("relay_capable") == "1"]
    assert asked and asked[0]["intent"] == CHAT and asked[0]["limit"] == "50", asked
    shown = run(program("iicpctl"), "-s", node.control_socket, "relays").stdout
    assert who[:8] in shown and "bound" in shown and "0.50" in shown, shown
    # stopped in order: the relay has no session left
    who = h.id_of(node)
    node.popen.terminate()
    assert node.wait() == 0
    wait_until(lambda: task_through(h, who).get("error", {}).get("code") == "IICP-E030", BUDGET_S, "no session")


def test_IICPD_04_46_L13_L15_double_nat_and_a_router_that_grants(home):
    h = home("double")
    h.no_ipv6()
    h.fake_router(external="10.9.0.2")
    h.relay()
    expect_relayed(h, h.node())
    assert h.asked("DeletePortMapping") or not h.asked("AddPortMapping")


def test_SDK_NODE_05_IICPD_04_46_L14_the_next_safe_rung_instead_of_an_unproved_route(home):
    h = home("cgnat")
    h.no_ipv6()
    h.router(ext_ip="7.7.7.20")
    h.relay()
    node = h.node()
    expect_relayed(h, node)
    assert h.rules() == []
    who = h.id_of(node)
    sent = {r["body"]["endpoint"] for r in h.requests("register") if r["body"]["node_id"] == who}
    assert sent == {f"http://{INTERNET}:9484/v1/relay-for/{who}"}, sent


def test_IICPD_04_46_L11_a_pinhole_that_the_directory_cannot_look_at(home):
    """IPv6 only, but for the way to a directory and a relay that have IPv4 only."""
    h = home()
    h.no_ipv4_way_out()
    h.sh("inet", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    h.router()
    h.relay()
    found = expect_relayed(h, h.node())
    assert "directory_blind_ipv6" in found["guidance"] or "ipv6_firewall" in found["guidance"], found
    assert h.rules() == []


def test_IICPD_04_46_L17_another_customer_answers_at_our_address(home):
    """The carrier's address answers health, but nobody came to us meanwhile: no witness, no route."""
    h = home("cgnat")
    h.no_ipv6()
    h.fake_router(external="100.64.5.2")
    (h.folder / "other" / "iicp").mkdir(parents=True)
    (h.folder / "other" / "iicp" / "health").write_text('{"status":"ok"}')
    h.start("cgn", "other-customer", "python3", "-m", "http.server", "9484", "--directory", h.folder / "other")
    wait_until(lambda: "ok" in h.sh("inet", "curl", "-s", "-m", "2", "http://7.7.7.20:9484/iicp/health", check=False), BUDGET_S,
               "the other customer")
    h.relay()
    expect_relayed(h, h.node())
    assert h.asked("AddPortMapping") and h.asked("DeletePortMapping")


def test_IICPD_04_46_L20_container(home):
    h = home()
    h.no_ipv6()
    h.container()
    h.router()
    h.watch_questions()
    h.relay()
    expect_relayed(h, h.node(env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}))
    assert h.questions() == 0


def test_IICPD_04_31_D7_a_way_that_opens_takes_the_relays_place(home):
    """Behind a router that opens nothing; then the person at the router forwards the port."""
    h = home()
    h.no_ipv6()
    h.relay()
    node = h.node()
    expect_relayed(h, node)
    who = h.id_of(node)
    h.forward_by_hand()
    run(program("iicpctl"), "-s", node.control_socket, "redetect")
    wait_until(lambda: "http://7.7.7.10:9484" == h.registered(who)["endpoint"], 2 * BUDGET_S, "the better route", node.popen)
    probes = [r for r in h.requests("probe") if "7.7.7.10" in json.dumps(r)]
    assert len(probes) >= 2, "proved once is not enough"
    wait_until(lambda: relays(node)["state"] == "idle", BUDGET_S, "the session is closed", node.popen)
    assert h.reachability(node)["kind"] == "static"
    gone = h.sh("inet", "curl", "-s", "-m", "5", "http://7.7.7.10:9484/iicp/health")
    assert who in gone


def test_IICPD_03_57_D6_the_relay_dies_and_another_is_elected(home):
    h = home()
    h.no_ipv6()
    h.ip("inet", "addr", "add", "8.8.4.5/32", "dev", "lo")
    first = h.relay(listen__address=INTERNET)
    node = h.node()
    expect_relayed(h, node)
    who = h.id_of(node)
    second = h.relay("8.8.4.5", listen__address="8.8.4.5")
    first.kill()
    node.await_log("relay_lost", BUDGET_S)
    wait_until(lambda: h.registered(who)["endpoint"].startswith("http://8.8.4.5:9484/"), 2 * BUDGET_S, "the second relay", node.popen)
    assert task_through(h, who, "http://8.8.4.5:9484")["status"] == "success"
    second.kill()


def test_IICPD_03_57_a_cut_link_heals_within_ten_seconds(home):
    h = home()
    h.no_ipv6()
    h.relay()
    node = h.node()
    expect_relayed(h, node)
    who = h.id_of(node)
    h.ip("host", "link", "set", "eth0", "down")
    wait_until(lambda: relays(node)["state"] != "bound", 150, "the loss is noticed", node.popen)
    h.ip("host", "link", "set", "eth0", "up")
    h.ip("host", "route", "add", "default", "via", "192.168.77.1")
    await_bound(node, 30)
    assert task_through(h, who)["status"] == "success"
