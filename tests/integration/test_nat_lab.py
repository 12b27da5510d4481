# SPDX-License-Identifier: Apache-2.0
"""Routes behind real routers: a home network in name spaces, miniupnpd as its router in several moods, the
lab directory on the "Internet" side, which connects back for real. [04 section 17]

Each scenario ends in its tier and fields, and leaves nothing open behind it."""

import json
import os
import re
import subprocess
import uuid

import pytest

from conftest import LAB, Node, Process, clean_environment, program, wait_until

pytestmark = pytest.mark.real  # a router of the real kind; the job "lab"

NAT = LAB / "nat"
INTERNET = "8.8.4.4"
BUDGET_S = 45  # the ladder's 25 s, registration, a slow machine


def run(*argv, check=True, **options):
    return subprocess.run([str(a) for a in argv], check=check, capture_output=True, text=True, timeout=60, **options)


class Home:
    """host, host2 - router - inet, without uplink."""

    def __init__(self, folder):
        self.folder, self.prefix = folder, "n" + uuid.uuid4().hex[:6]
        self.made = []
        run(NAT / "home.sh", "up", self.prefix)
        self.directory = self.start("inet", "directory", "python3", LAB / "directory.py", "--host", INTERNET, "--port", "8440")
        self.directory.await_words("ready")
        self.start("inet", "echo", "python3", NAT / "echo.py", INTERNET, "8441").await_words("ready")
        self.start("host", "backend", "python3", LAB / "fake_backend.py", "--port", "11434").await_words("http://")

    def inside(self, place):
        return ("ip", "netns", "exec", f"{self.prefix}_{place}")

    def start(self, place, name, *argv):
        process = Process(argv, self.folder, name, clean_environment(), self.inside(place))
        self.made.append(process)
        return process

    def sh(self, place, *argv, check=True):
        return run(*self.inside(place), *argv, check=check).stdout

    def ip(self, place, *argv):
        run("ip", "-n", f"{self.prefix}_{place}", *argv)

    def router(self, **settings):
        """miniupnpd; each setting takes the place of a line of router.conf."""
        lines = dict(line.split("=", 1) for line in (NAT / "router.conf").read_text().splitlines() if "=" in line)
        rules = [line for line in (NAT / "router.conf").read_text().splitlines() if "=" not in line]
        lines.update(settings)
        conf = self.folder / "router.conf"
        leases = self.folder / "router.leases"
        leases.touch()
        conf.write_text("".join(f"{k}={v}\n" for k, v in lines.items()) + f"lease_file={leases}\n" + "\n".join(rules) + "\n")
        self.daemon = self.start("rtr", "router", "miniupnpd", "-d", "-f", conf, "-P", self.folder / "router.pid")
        wait_until(lambda: re.search(r"HTTP listening|Listening for NAT-PMP|PCP", self.daemon.log_text() + self.daemon.out_text()),
                   what="the router", process=self.daemon.popen)

    def no_ipv6(self, place="host"):
        self.sh(place, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")

    def no_ipv4_way_out(self):
        """IPv4 ends at the router, but for the directory."""
        self.ip("host", "route", "del", "default")
        self.ip("host", "route", "add", INTERNET, "via", "192.168.77.1")

    def node(self, env=None, **keys):
        folder = self.folder / f"node{len(self.made)}"
        for sub in ("state", "run"):
            (folder / sub).mkdir(parents=True, mode=0o700)
        values = {
            "node.state_dir": folder / "state", "node.runtime_dir": folder / "run",
            "listen.port": 9484, "listen.port_strict": "yes", "listen.native": "plaintext",
            "directory.url": f"http://{INTERNET}:8440", "directory.allow_http": "yes",
            "backend.house.type": "openai_compat", "backend.house.url": "http://127.0.0.1:11434",
            "nat.echo_url": f"http://{INTERNET}:8441/", "log.format": "text", "log.level": "debug",
            # Node reads where it listens from these; the daemon takes its default: all addresses
            "listen.address": "::",
        }
        values.update({k.replace("__", "."): v for k, v in keys.items()})
        node = Node.__new__(Node)
        config = dict(values)
        real = {k: v for k, v in config.items() if k != "listen.address"}
        node.folder, node.config = folder, real
        node.state_dir, node.runtime_dir = folder / "state", folder / "run"
        node.control_socket = node.runtime_dir / "control.sock"
        node.expect_exit, node.conf, node.prefix = 0, folder / "iicp.conf", self.inside("host")
        node.write_config()
        Process.__init__(node, [program("iicpd"), "--config", node.conf], folder, "iicpd", clean_environment(env), node.prefix)
        node.await_ready()
        self.made.append(node)
        return node

    def registered(self):
        """The body of the last REGISTER that was accepted."""
        out = self.sh("inet", "curl", "-s", f"http://{INTERNET}:8440/lab/requests?route=register")
        good = [r for r in json.loads(out)["requests"] if r["status"] == 201]
        return good[-1]["body"] if good else None

    def reachability(self, node):
        return node.control("/v1/routes").json()["reachability"]

    def await_route(self, node, tier):
        def ended():
            now = self.reachability(node)
            return now if not now["looking"] and now.get("run_age_s") is not None else None

        found = wait_until(ended, timeout=BUDGET_S, what="the end of the detection", process=node.popen)
        assert found["tier"] == tier, json.dumps(found, indent=1)
        return found

    def rules(self):
        """What the router has open."""
        return [line for chain in ("prerouting_miniupnpd", "miniupnpd")
                for line in self.sh("rtr", "nft", "list", "chain", "inet", "filter", chain).splitlines() if "dport" in line]

    def end(self):
        for process in reversed(self.made):
            process.kill()
        run(NAT / "home.sh", "down", self.prefix, check=False)


@pytest.fixture
def home(tmp_path, need):
    need("ip", "nft", "miniupnpd", "curl", "sysctl")
    if os.geteuid() != 0:
        pytest.skip("network name spaces with a router need root")
    made = []

    def make():
        try:
            made.append(Home(tmp_path))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no NAT lab on this machine: {error.stderr.strip()[-200:]}")
        return made[-1]

    yield make
    for h in made:
        h.end()


def expect_registered(home, node, **fields):
    body = wait_until(home.registered, timeout=BUDGET_S, what="a registration", process=node.popen)
    for name, value in fields.items():
        assert body.get(name) == value, (name, body.get(name), value)
    assert body["nat_type"] == "unknown"
    return body


def stop_and_expect_closed(home, node):
    node.popen.terminate()
    assert node.wait() == 0
    assert home.rules() == [], "something stayed open at the router"


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


def test_IICPD_04_46_L14_IICPD_04_24_a_router_that_lies(home):
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


def test_IICPD_04_46_L19_IICPD_04_32_nothing_works(home, iicpctl):
    h = home()
    h.no_ipv6()
    node = h.node()
    found = h.await_route(node, 4)
    assert found["guidance"] == ["port_forward"] and found["exposure_mode"] == "outbound_only"
    assert h.registered() is None
    result = run(program("iicpctl"), "-s", node.control_socket, "netcheck", check=False)
    assert result.returncode == 11 and "port_forward" in result.stdout and "UPnP: no answer" in result.stdout, result
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


def test_IICPD_04_34_address_change_is_noticed(home):
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node()
    h.await_route(node, 1)
    h.ip("host", "addr", "add", "192.168.77.9/24", "dev", "eth0")
    node.await_log(r"route_|network", timeout=30)
    wait_until(lambda: h.reachability(node)["reason"] == "the network changed", timeout=60, what="another look",
               process=node.popen)
    h.await_route(node, 1)


def test_IICPD_04_45_addresses_stay_out_of_the_public_log(home):
    h = home()
    h.no_ipv6()
    h.router()
    node = h.node(log__level="info")
    h.await_route(node, 1)
    wait_until(h.registered, what="registration", process=node.popen)
    assert not re.search(r"192\.168\.77\.\d|8\.8\.4\.4", node.log_text()), node.log_text()


