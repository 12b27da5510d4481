# SPDX-License-Identifier: Apache-2.0
"""What happens to a route after it was found: renewals, a router that restarts, another address, a killed
node; and what no real router does on demand: the scripted gateway. [04 sections 5, 7, 13, 17]"""

import signal

import pytest

from conftest import wait_until
from home_network import expect_registered, home, run, stop_and_expect_closed  # noqa: F401 (a fixture)

pytestmark = pytest.mark.real

HOST = "192.168.77.2"


def mapping(h, node):
    return h.reachability(node)["mapping"]


def test_IICPD_04_12_IICPD_04_18_D1_D4_two_renewals_then_a_kill(home):
    """A lease of 20 s is renewed at its half; a killed node's mapping ends with it."""
    h = home()
    h.no_ipv6()
    h.router(enable_upnp="no", min_lifetime="10", max_lifetime="20")
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, transport_metadata={"tier": 1, "mapping": "pcp"})
    wait_until(lambda: (mapping(h, node) or {}).get("renewals", 0) >= 2, timeout=120, what="two renewals", process=node.popen)
    assert len(h.rules()) == 2 and len(h.registers()) == 1
    node.kill()
    wait_until(lambda: h.rules() == [], timeout=120, what="the end of the lease")


@pytest.mark.parametrize("settings", [{}, {"enable_upnp": "no"}])
def test_IICPD_04_16_D2_the_router_restarts(home, settings):
    """Its announcement, or its clock, tells: the mapping is made again, and nothing registered."""
    h = home()
    h.no_ipv6()
    h.router(**settings)
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")
    wait_until(lambda: h.reachability(node)["mapping"]["age_s"] >= 4, timeout=60, what="a lease of some age")
    h.reboot_router()
    wait_until(lambda: len(h.rules()) == 2, timeout=60, what="the mapping", process=node.popen)
    node.await_log("router_restarted")
    assert len(h.registers()) == 1
    stop_and_expect_closed(h, node)


def test_IICPD_04_16_IICPD_04_35_D3_the_public_address_changes(home):
    """The router announces it; the new route is proved and registered with the token, then the old one closed."""
    h = home()
    h.no_ipv6()
    h.router(enable_upnp="no")
    node = h.node(nat__protocols="natpmp")
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")
    h.ip("rtr", "addr", "del", "7.7.7.10/24", "dev", "wan0")
    h.ip("rtr", "addr", "add", "7.7.7.11/24", "dev", "wan0")
    h.ip("rtr", "route", "replace", "default", "via", "7.7.7.1")
    h.daemon.popen.send_signal(signal.SIGUSR1)  # as a router's own script does
    node.await_log("address_changed", timeout=60)
    body = wait_until(lambda: (h.registered() or {}).get("endpoint") == "http://7.7.7.11:9484" and h.registered(), timeout=120,
                      what="the new endpoint", process=node.popen)
    assert body.get("current_node_token"), sorted(body)
    stop_and_expect_closed(h, node)


def test_IICPD_04_24_D8_probe_service_away(home):
    """404 proves nothing either way: one NAT alone is registered, the directory's own check decides."""
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node(nat__probe_url="http://8.8.4.4:8440/nothing/here?host={host}&port={port}")
    found = h.await_route(node, 1)
    assert found["verified"] == "indeterminate", found
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")


def test_IICPD_04_15_IICPD_04_08_D9_packets_to_5351_are_dropped(home):
    h = home()
    h.no_ipv6()
    h.sh("rtr", "nft", "insert", "rule", "inet", "filter", "input", "udp", "dport", "{", "5351,", "1900", "}", "drop")
    node = h.node()
    found = h.await_route(node, 4)
    assert found["run_took_ms"] < 30000, found
    assert any(e["step"] == "NAT-PMP" and "no answer" in e["evidence"] for e in found["log"]), repr(found)


def test_IICPD_04_19_a_dead_router_does_not_hold_up_the_end(home):
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")
    h.sh("rtr", "nft", "insert", "rule", "inet", "filter", "input", "iifname", "lan0", "drop")
    node.popen.terminate()
    assert node.wait() == 0
    text = node.log_text()
    assert "Sanitizer" not in text


# ---- the scripted gateway ----


def test_IICPD_04_14_refused_606(home):
    h = home()
    h.no_ipv6()
    h.fake_router(add=[606], pcp=[2], retry_s=600)
    node = h.node()
    found = h.await_route(node, 4)
    assert found["guidance"][0] == "router_setting", found
    said = [e["evidence"] for e in found["log"]]
    assert any("606 not authorised" in e for e in said) and any("result 2 not authorised" in e for e in said), said
    # an error's lifetime is respected: a second look asks PCP nothing [04 section 5.3]
    before = len(h.asked("5351"))
    assert before == 1
    answer = node.control("/v1/redetect", "POST", {})
    assert answer.status == 200, answer
    wait_until(lambda: h.reachability(node)["reason"] == "the operator asked" and not h.reachability(node)["looking"], timeout=90,
               what="the second look", process=node.popen)
    assert len(h.asked("5351")) == before and len(h.asked("AddPortMapping")) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_IICPD_04_14_IICPD_04_12_taken_718(home, version):
    """The port is another device's: never written over, never deleted; another one is used."""
    h = home()
    h.no_ipv6()
    h.forward_by_hand(9485)
    h.fake_router(version=version, taken={"9484": ["192.168.77.9", 80]})
    node = h.node(nat__protocols="igd")
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9485", transport_metadata={"tier": 1, "mapping": f"igd{version}"})
    node.popen.terminate()
    assert node.wait() == 0
    assert [a["NewExternalPort"] for a in h.asked("DeletePortMapping")] == ["9485"]
    assert all(a["NewExternalPort"] != "9484" for a in h.asked("AddPortMapping")), "written over on a lax router"
    assert not h.asked("broken")


def test_IICPD_04_14_725_permanent_leases_only(home):
    h = home()
    h.no_ipv6()
    h.forward_by_hand()
    h.fake_router(permanent=True)
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 1)
    assert found["mapping"]["lease_s"] == 0, found["mapping"]
    assert [a["NewLeaseDuration"] for a in h.asked("AddPortMapping")] == ["3600", "0"]
    node.popen.terminate()
    assert node.wait() == 0
    assert h.asked("DeletePortMapping"), "a mapping without an end was left open"


@pytest.mark.parametrize("script,evidence", [
    ({"add": [724]}, "724"), ({"add": [728]}, "table is full"), ({"hollow": True}, "has no such mapping"),
    ({"http": 401}, "AddPortMapping: no answer"), ({"add": [501]}, "501"),
])
def test_IICPD_04_14_refusals(home, script, evidence):
    """A login that is wanted, a full table, a router that says yes and does nothing: each in words, none a route."""
    h = home()
    h.no_ipv6()
    h.fake_router(**script)
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 4)
    assert any(evidence in e["evidence"] for e in found["log"]), repr(found["log"])
    assert h.registered() is None and not h.asked("broken")


@pytest.mark.parametrize("kind", ["malformed", "html", "elsewhere", "control-elsewhere", "oversize", "silent"])
def test_IICPD_04_13_descriptions(home, kind):
    """Nothing of it is believed, and nobody else is asked for it."""
    h = home()
    h.no_ipv6()
    h.fake_router(description=kind)
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 4)
    assert any(e["step"] == "UPnP" for e in found["log"]), found["log"]
    assert not h.asked("AddPortMapping") and h.registered() is None


def test_IICPD_04_10_gateway_without_an_address(home):
    """A fault instead of the external address: what others see is tried, and accepted only when proved."""
    h = home()
    h.no_ipv6()
    h.forward_by_hand()
    h.fake_router(external=None)
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 1)
    assert found["kind"] == "mapped_nested" and found["nested_nat"] == "unknown" and found["verified"] == "verified", found
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")


def test_IICPD_04_08_a_slow_router(home):
    h = home()
    h.no_ipv6()
    h.forward_by_hand()
    h.fake_router(delay_s=1.5)
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")


def test_IICPD_04_16_IICPD_04_17_noise_on_5351(home):
    h = home()
    h.no_ipv6()
    h.forward_by_hand()
    h.fake_router(description="silent", pcp=[0], external="7.7.7.10", garbage=20)
    node = h.node(nat__protocols="pcp")
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484", transport_metadata={"tier": 1, "mapping": "pcp"})


def test_IICPD_04_22_pinhole_606_next_address(home):
    """A router that authorises only what it knows: the next address of this machine is asked for, and published."""
    h = home()
    h.no_ipv4_way_out()
    h.ip("host", "-6", "addr", "add", "2a10:aaaa:0:77::20/64", "dev", "eth0", "nodad")
    h.sh("rtr", "nft", "add", "rule", "inet", "filter", "forward", "tcp", "dport", "9484", "accept")
    h.fake_router(v6="2a10:aaaa:0:77::1", pinhole=[0], pinhole_for="2a10:aaaa:0:77::20")
    node = h.node(nat__protocols="igd")
    h.await_route(node, 2)
    expect_registered(h, node, endpoint="http://[2a10:aaaa:0:77::20]:9484", transport_metadata={"tier": 2, "mapping": "igd2"})
    asked = [(a["InternalClient"], a["client"], a["code"]) for a in h.asked("AddPinhole")]
    assert asked == [("2a10:aaaa:0:77::2", "2a10:aaaa:0:77::2", 606), ("2a10:aaaa:0:77::20", "2a10:aaaa:0:77::20", 200)], asked


def test_IICPD_04_22_pinhole_606_for_all(home):
    h = home()
    h.no_ipv4_way_out()
    h.fake_router(v6="2a10:aaaa:0:77::1", pinhole=[606])
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 4)
    assert "router_setting" in found["guidance"], found
    assert any("AddPinhole 606 not authorised" in e["evidence"] for e in found["log"]), found["log"]


def test_IICPD_04_22_pinhole_over_ipv4(home):
    """Nobody answers over IPv6, the IPv4 description lists the service: asked once there."""
    h = home()
    h.no_ipv4_way_out()
    h.sh("rtr", "nft", "add", "rule", "inet", "filter", "forward", "tcp", "dport", "9484", "accept")
    h.fake_router(pinhole=[0], pinhole_over_v4=True)
    node = h.node(nat__protocols="igd")
    h.await_route(node, 2)
    expect_registered(h, node, endpoint="http://[2a10:aaaa:0:77::2]:9484", transport_metadata={"tier": 2, "mapping": "igd2"})
    node.popen.terminate()
    assert node.wait() == 0
    assert h.asked("DeletePinhole")


def test_IICPD_04_09_an_operators_endpoint_stays(home):
    """The directory cannot reach it: the operator is told, nothing takes its place without nat.fallback."""
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node(node__public_endpoint="http://7.7.7.99:9484")
    found = h.await_route(node, 0)
    assert found["kind"] == "operator" and found["route"] == "http://7.7.7.99:9484", found
    assert h.rules() == [] and h.registered() is None
