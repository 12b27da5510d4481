# SPDX-License-Identifier: Apache-2.0
"""Routes behind real routers: a home network in name spaces, miniupnpd as its router in several moods, the
lab directory on the "Internet" side, which connects back for real. [04 section 17]

Each scenario ends in its tier and fields, and leaves nothing open behind it."""

import json
import re

import pytest

from conftest import LAB, program, wait_until
from home_network import expect_registered, home, run, stop_and_expect_closed  # noqa: F401 (a fixture)

pytestmark = pytest.mark.real  # a router of the real kind; the job "lab"


@pytest.mark.parametrize("settings,mapping", [({}, "igd2"), ({"force_igd_desc_v1": "yes"}, "igd1"),
                                              ({"enable_natpmp": "no"}, "igd2")])
def test_IICPD_04_46_L2_L5_L6_home_router_by_upnp(home, settings, mapping):
    h = home()
    h.no_ipv6()
    h.router(**settings)
    node = h.node()
    found = h.await_route(node, 1)
    assert found["kind"] == "mapped" and found["verified"] == "verified", found
    body = expect_registered(h, node, endpoint="http://7.7.7.10:9484", transport_method="upnp_mapped",
                             exposure_mode="ipv4_public_direct", transport_endpoint="iicp://7.7.7.10:9484",
                             transport_metadata={"tier": 1, "mapping": mapping})
    assert body["endpoint"] == found["route"]
    # a caller from outside is served through it
    assert '"status":"ok"' in h.sh("inet", "curl", "-s", "-m", "5", "http://7.7.7.10:9484/iicp/health")
    stop_and_expect_closed(h, node)


def test_IICPD_04_46_L3_the_port_belongs_to_another_device(home):
    h = home()
    h.no_ipv6()
    h.router()
    taken = program("iicpd").replace("daemon/iicpd", "tests/lab/nat/ask-gateway")
    out = h.sh("host2", taken, "map", "eth0", "192.168.77.3", "24", "192.168.77.1", "9484", "igd")
    assert "granted 1" in out, out
    before = [r for r in h.rules() if "192.168.77.3" in r or "0xc0a84d03" in r]
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9485", transport_endpoint="iicp://7.7.7.10:9485",
                      transport_metadata={"tier": 1, "mapping": "igd2"})
    node.popen.terminate()
    assert node.wait() == 0
    after = h.rules()
    assert [r for r in after if "192.168.77.3" in r or "0xc0a84d03" in r] == before, "a foreign mapping was touched"
    assert len(after) == len(before)


@pytest.mark.parametrize("protocols,mapping", [("igd, pcp, natpmp", "pcp"), ("igd, natpmp", "nat_pmp")])
def test_IICPD_04_46_L4_router_without_upnp(home, protocols, mapping):
    h = home()
    h.no_ipv6()
    h.router(enable_upnp="no")
    node = h.node(nat__protocols=protocols)
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484", transport_method="upnp_mapped",
                      transport_metadata={"tier": 1, "mapping": mapping})
    stop_and_expect_closed(h, node)


def test_IICPD_04_46_L7_ipv6_pinhole(home):
    h = home()
    h.no_ipv4_way_out()
    h.router()
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 2)
    assert found["kind"] == "pinhole"
    expect_registered(h, node, endpoint="http://[2a10:aaaa:0:77::2]:9484", transport_method="direct",
                      exposure_mode="ipv6_direct_pinhole_available", transport_endpoint="iicp://[2a10:aaaa:0:77::2]:9484",
                      transport_metadata={"tier": 2, "mapping": "igd2"})
    stop_and_expect_closed(h, node)


def test_IICPD_04_46_L8_ipv6_pinhole_by_pcp(home):
    h = home()
    h.no_ipv4_way_out()
    h.router(enable_upnp="no")
    node = h.node()
    h.await_route(node, 2)
    expect_registered(h, node, endpoint="http://[2a10:aaaa:0:77::2]:9484",
                      transport_metadata={"tier": 2, "mapping": "pcp"})


def test_IICPD_04_46_L10_ipv6_without_firewall(home):
    h = home()
    h.no_ipv4_way_out()
    h.sh("rtr", "nft", "add", "rule", "inet", "filter", "forward", "tcp", "dport", "9484", "accept")
    node = h.node()
    found = h.await_route(node, 0)
    assert found["kind"] == "ipv6"
    expect_registered(h, node, endpoint="http://[2a10:aaaa:0:77::2]:9484",
                      exposure_mode="ipv6_direct_pinhole_available", transport_metadata={"tier": 0})


def test_IICPD_04_46_IICPD_04_24_L14_a_router_that_lies(home):
    """It grants, and tells an address where nothing arrives: the mapping is revoked, nothing is registered."""
    h = home()
    h.no_ipv6()
    h.router(ext_ip="7.7.7.20")
    node = h.node()
    found = h.await_route(node, 4)
    assert found["guidance"], found
    assert h.registered() is None
    assert h.rules() == []
    node.await_log(r"route_none no public route")


def test_IICPD_04_25_probes_are_few_and_apart(home):
    """Two candidates are refuted: four asks in all, 3 s apart, and none at our own public address by ourselves."""
    h = home()
    h.no_ipv6()
    h.router(ext_ip="7.7.7.20")
    h.sh("host", "nft", "add table inet count")
    h.sh("host", "nft", "add chain inet count out { type filter hook output priority 0; }")
    h.sh("host", "nft", "add rule inet count out ip daddr { 7.7.7.20, 7.7.7.10 } counter")
    node = h.node()
    h.await_route(node, 4)
    asked = json.loads(h.sh("inet", "curl", "-s", "http://8.8.4.4:8440/lab/requests?route=probe"))["requests"]
    assert 2 <= len(asked) <= 4, asked
    times = [a["began_s"] for a in asked]
    assert all(b - a >= 2.9 for a, b in zip(times, times[1:])), times
    assert "packets 0" in h.sh("host", "nft", "list", "chain", "inet", "count", "out")


def test_IICPD_04_46_L18_forwarded_by_hand(home):
    h = home()
    h.no_ipv6()
    h.sh("rtr", "nft", "add", "rule", "inet", "filter", "prerouting", "iifname", "wan0", "tcp", "dport", "9484",
         "dnat", "ip", "to", "192.168.77.2")
    h.sh("rtr", "nft", "add", "rule", "inet", "filter", "forward", "ct", "status", "dnat", "accept")
    node = h.node()
    found = h.await_route(node, 0)
    assert found["kind"] == "static"
    expect_registered(h, node, endpoint="http://7.7.7.10:9484", transport_method="direct",
                      transport_metadata={"tier": 0, "mapping": "static"})


def test_IICPD_04_46_IICPD_04_32_L19_nothing_works(home, iicpctl):
    h = home()
    h.no_ipv6()
    node = h.node()
    found = h.await_route(node, 4)
    assert found["guidance"][0] == "port_forward" and found["exposure_mode"] == "outbound_only"
    assert h.registered() is None
    shown = run(program("iicpctl"), "-s", node.control_socket, "netcheck", check=False)
    assert shown.returncode == 11, shown
    for line in (r"From the daemon's run \d+ s ago \(.*\)\. --probe repeats it", r"This host +eth0 192\.168\.77\.2, router 192\.168\.77\.1; "
                 r"IPv6 none; no VPN, no container", r"Outside +others see 7\.7\.7\.10 \(.* ago\), router says nothing",
                 r"TIER +STEP +RESULT +EVIDENCE +TOOK", r"0 +own endpoint +not set", r"0 +public IPv4 +no +eth0 has only 192\.168\.77\.2",
                 r"1 +UPnP +refused +no answer", r"3 +tunnel +not set", r"Verdict +Not reachable from outside",
                 r"Do +1\. forward the task port .*explain port_forward", r"\d\. at http://192\.168\.77\.1: forward TCP 9484 to 192\.168\.77\.2:9484",
                 r"Prove it +from another network: curl -sI http://7\.7\.7\.10:9484/iicp/health"):
        assert re.search(line, shown.stdout), (line, shown.stdout)
    # the person at the router does it, and looks
    h.forward_by_hand()
    shown = run(program("iicpctl"), "-s", node.control_socket, "netcheck", "--probe", check=False)
    assert shown.returncode == 0 and re.search(r"0 +hand forward +in use", shown.stdout), shown
    assert "the router is asked for a port" in shown.stdout and "Reachable, directly." in shown.stdout
    steps = run(program("iicpctl"), "-s", node.control_socket, "redetect", check=False)
    assert steps.returncode == 0 and re.search(r"0 +hand forward +works.*\n(.*\n)*  route +http://7\.7\.7\.10:9484", steps.stdout), steps
    routes = run(program("iicpctl"), "-s", node.control_socket, "routes", check=False)
    assert re.search(r"not used +tier 1, UPnP: no answer", routes.stdout), routes.stdout
    # it serves all the same
    assert '"available"' in h.sh("host", "curl", "-s", "http://127.0.0.1:9484/iicp/health")


def test_IICPD_04_46_L21_dual_stack(home):
    h = home()
    h.router()
    node = h.node()
    found = h.await_route(node, 1)
    assert found["exposure_mode"] == "dual_stack_available" and found["pinhole"]["active"]
    expect_registered(h, node, endpoint="http://7.7.7.10:9484", exposure_mode="dual_stack_available",
                      transport_metadata={"tier": 1, "mapping": "igd2"})
    stop_and_expect_closed(h, node)


def test_IICPD_04_46_L1_public_address_asks_no_router(home):
    h = home()
    h.no_ipv6()
    h.router()
    h.ip("host", "addr", "flush", "dev", "eth0")
    h.ip("host", "addr", "add", "7.7.8.50/24", "dev", "eth0")
    h.ip("rtr", "addr", "add", "7.7.8.1/24", "dev", "lan0")
    h.ip("host", "route", "add", "default", "via", "7.7.8.1")
    h.ip("inet", "route", "add", "7.7.8.0/24", "via", "7.7.7.10")
    h.sh("rtr", "nft", "flush", "chain", "inet", "filter", "postrouting")
    h.sh("rtr", "nft", "add", "rule", "inet", "filter", "forward", "accept")
    node = h.node()
    found = h.await_route(node, 0)
    assert found["kind"] == "nic" and found["verified"] == "verified"
    expect_registered(h, node, endpoint="http://7.7.8.50:9484", transport_method="direct",
                      exposure_mode="ipv4_public_direct", transport_metadata={"tier": 0})
    assert h.rules() == [], "a router was asked"


def test_IICPD_04_19_a_killed_node_takes_its_mapping_over(home):
    h = home()
    h.no_ipv6()
    h.router(enable_upnp="no")
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, transport_metadata={"tier": 1, "mapping": "pcp"})
    state = node.state_dir
    node.kill()
    assert len(h.rules()) == 2
    again = h.node(node__state_dir=state)
    found = h.await_route(again, 1)
    assert found["mapping"]["external_port"] == 9484, found
    stop_and_expect_closed(h, again)


def test_IICPD_04_34_IICPD_04_35_D5_a_change_beside_the_route(home):
    """Noticed, looked at cheaply: the lease is made again, nothing is registered."""
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.10:9484")
    h.ip("host", "addr", "add", "192.168.77.9/24", "dev", "eth0")
    wait_until(lambda: h.reachability(node)["reason"] == "the network changed", timeout=90, what="another look",
               process=node.popen)
    wait_until(lambda: h.reachability(node)["mapping"]["renewals"] > 0, timeout=60, what="the renewal", process=node.popen)
    assert h.reachability(node)["route"] == "http://7.7.7.10:9484"
    assert len(h.registers()) == 1


def test_IICPD_04_45_addresses_stay_out_of_the_public_log(home):
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node(log__level="info")
    h.await_route(node, 1)
    wait_until(h.registered, what="registration", process=node.popen)
    assert not re.search(r"192\.168\.77\.\d|8\.8\.4\.4", node.log_text()), node.log_text()


def test_IICPD_04_46_L12_carrier_nat_real_router(home):
    """miniupnpd behind a carrier's NAT finds that it cannot forward, and says so by each protocol."""
    h = home("cgnat")
    h.no_ipv6()
    h.router()
    node = h.node()
    found = h.await_route(node, 4)
    assert found["nested_nat"] in ("cgnat", "unknown"), found
    assert h.registered() is None and h.rules() == []


def test_IICPD_04_46_IICPD_04_10_L13_carrier_nat_router_grants(home):
    """It grants and tells 100.64.5.2: never advertised, and revoked."""
    h = home("cgnat")
    h.no_ipv6()
    h.fake_router(external="100.64.5.2")
    node = h.node()
    found = h.await_route(node, 4)
    assert "cgnat" in found["guidance"], found
    assert h.registered() is None
    assert h.asked("AddPortMapping")[0]["NewInternalClient"] == "192.168.77.2"
    assert h.asked("DeletePortMapping") and not h.asked("broken")


def test_IICPD_04_46_IICPD_04_06_L20_container_asks_no_router(home):
    h = home()
    h.no_ipv6()
    h.container()
    h.router()
    h.watch_questions()
    node = h.node(env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    found = h.await_route(node, 4)
    assert "container" in found["guidance"], found
    assert h.questions() == 0 and h.registered() is None


def test_IICPD_04_46_L15_double_nat(home):
    h = home("double")
    h.no_ipv6()
    h.router()
    node = h.node()
    found = h.await_route(node, 4)
    assert found["nested_nat"] in ("nested", "unknown"), found
    assert h.registered() is None and h.rules() == []


def test_IICPD_04_46_L16_double_nat_with_an_exposed_host(home):
    h = home("double")
    h.no_ipv6()
    h.router(ext_ip="7.7.7.20")
    h.cgn_forward("10.9.0.2")
    node = h.node()
    h.await_route(node, 1)
    expect_registered(h, node, endpoint="http://7.7.7.20:9484", transport_method="upnp_mapped",
                      transport_metadata={"tier": 1, "mapping": "igd2"})
    stop_and_expect_closed(h, node)


def test_IICPD_04_46_L17_another_customer_answers(home):
    """Behind the carrier's address another node answers just as well: without a witness that proves nothing."""
    h = home("cgnat")
    h.no_ipv6()
    h.fake_router(external="100.64.5.2")
    h.start("cgn", "foreign", "python3", LAB / "nat" / "echo.py", "7.7.7.20", "9484").await_words("ready")
    node = h.node()
    found = h.await_route(node, 4)
    assert any("no connection came here" in e["evidence"] for e in found["log"]), found["log"]
    assert h.asked("DeletePortMapping") and h.registered() is None


def test_IICPD_04_46_L9_stable_address_beside_a_temporary_one(home):
    """The order for the pinhole must come from the stable address, else the router answers 606."""
    h = home()
    h.ip("host", "-6", "addr", "del", "2a10:aaaa:0:77::2/64", "dev", "eth0")
    h.sh("host", "sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=2")
    h.ip("host", "-6", "addr", "add", "2a10:aaaa:0:77:5054:ff:fe12:3456/64", "dev", "eth0", "mngtmpaddr", "nodad",
         "valid_lft", "7200", "preferred_lft", "3600")
    wait_until(lambda: "temporary" in h.sh("host", "ip", "-6", "addr", "show", "dev", "eth0"), what="a temporary address")
    h.no_ipv4_way_out()
    h.router()
    node = h.node(nat__protocols="igd")
    h.await_route(node, 2)
    expect_registered(h, node, endpoint="http://[2a10:aaaa:0:77:5054:ff:fe12:3456]:9484",
                      transport_metadata={"tier": 2, "mapping": "igd2"})
    stop_and_expect_closed(h, node)


def test_IICPD_04_46_IICPD_04_23_L11_directory_without_ipv6(home):
    """The pinhole is open, nobody can look: not advertised, closed again."""
    h = home()
    h.no_ipv4_way_out()
    h.ip("inet", "-6", "route", "del", "2a10:aaaa:0:77::/64")
    h.router()
    node = h.node(nat__protocols="igd")
    found = h.await_route(node, 4)
    assert "directory_blind_ipv6" in found["guidance"], found
    assert h.registered() is None and h.rules() == []


def test_IICPD_04_46_IICPD_04_11_L22_relay_operator_at_home(home):
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node(relay__operator="yes")
    h.await_route(node, 1)
    body = expect_registered(h, node, endpoint="http://7.7.7.10:9484", relay_capable=True, relay_accept_port=9485)
    assert body["transport_metadata"] == {"tier": 1, "mapping": "igd2"}
    assert len([r for r in h.rules() if "9485" in r]) == 2, h.rules()
    stop_and_expect_closed(h, node)


def test_IICPD_04_11_the_relay_port_is_another_devices(home):
    """Workers know no other number: then this node is no relay, and says so."""
    h = home()
    h.no_ipv6()
    h.router()
    ask = program("iicpd").replace("daemon/iicpd", "tests/lab/nat/ask-gateway")
    assert "granted 1" in h.sh("host2", ask, "map", "eth0", "192.168.77.3", "24", "192.168.77.1", "9485", "igd")
    before = h.rules()
    node = h.node(relay__operator="yes")
    h.await_route(node, 1)
    body = expect_registered(h, node, endpoint="http://7.7.7.10:9484")
    assert "relay_capable" not in body, body
    node.await_log("relay_port_closed")
    node.popen.terminate()
    assert node.wait() == 0
    assert h.rules() == before, "a foreign mapping was touched"
