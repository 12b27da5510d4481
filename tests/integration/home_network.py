# SPDX-License-Identifier: Apache-2.0
"""A home network with a node, a router, and an Internet with the lab directory: for the tests of the NAT lab
and of relays. `import home_network` after conftest; needs root and name spaces."""

import json
import os
import re
import subprocess
import time
import uuid

import pytest

from conftest import LAB, Node, Process, clean_environment, program, wait_until

NAT = LAB / "nat"
INTERNET = "8.8.4.4"
BUDGET_S = 90  # the ladder's 25 s, registration, a slow machine


def run(*argv, check=True, **options):
    return subprocess.run([str(a) for a in argv], check=check, capture_output=True, text=True, timeout=60, **options)


class Home:
    """host, host2 - router - inet, without uplink; kind: home, cgnat, double (home.sh)."""

    def __init__(self, folder, kind="home"):
        self.folder, self.prefix = folder, "n" + uuid.uuid4().hex[:6]
        self.made, self.kind, self.row = [], kind, {}
        self.daemon = None
        try:
            run(NAT / "home.sh", "up", self.prefix, kind)
        except subprocess.CalledProcessError:
            self.end()
            raise
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

    def reboot_router(self):
        """Its daemon and all that it had opened are gone; then it is back."""
        self.daemon.kill()
        for chain in ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"):
            self.sh("rtr", "nft", "flush", "chain", "inet", "filter", chain)
        (self.folder / "router.leases").write_text("")
        assert self.rules() == []
        self.daemon = self.start("rtr", "router-again", *self.daemon.argv[len(self.inside("rtr")):])

    def fake_router(self, **script):
        """The scripted gateway (fake_gateway.py) instead of miniupnpd."""
        self.daemon = self.start("rtr", "fake", "python3", NAT / "fake_gateway.py", "lan0", "192.168.77.1", json.dumps(script))
        self.daemon.await_words("ready")
        return self.daemon

    def asked(self, action=None):
        """What the scripted gateway was asked, in order."""
        lines = [json.loads(line) for line in self.daemon.out_text().splitlines() if line.startswith("{")]
        return [line for line in lines if action in (None, line["action"])]

    def forward_by_hand(self, port=9484, to=9484):
        """A rule of the person at the router."""
        self.sh("rtr", "nft", "add", "rule", "inet", "filter", "prerouting", "iifname", "wan0", "tcp", "dport", port,
                "dnat", "ip", "to", f"192.168.77.2:{to}")
        self.sh("rtr", "nft", "add", "rule", "inet", "filter", "forward", "ct", "status", "dnat", "accept")

    def cgn_forward(self, to, port=9484):
        """The provider's NAT leads a port of 7.7.7.20 somewhere."""
        self.sh("cgn", "nft", "add", "rule", "inet", "filter", "prerouting", "iifname", "out0", "tcp", "dport", port,
                "dnat", "ip", "to", to)

    def container(self):
        """The host's network card becomes a container's; the marker is the caller's (KUBERNETES_SERVICE_HOST)."""
        self.ip("host", "link", "del", "eth0")
        self.ip("host", "link", "set", "cable", "down")
        self.ip("host", "link", "set", "cable", "name", "eth0")
        self.ip("host", "addr", "add", "192.168.77.2/24", "dev", "eth0")
        self.ip("host", "link", "set", "eth0", "up")
        self.ip("host", "route", "add", "default", "via", "192.168.77.1")

    def watch_questions(self):
        """Counts what the host sends to routers from now on: SSDP, NAT-PMP, PCP."""
        for words in ("add table inet count", "add chain inet count out { type filter hook output priority 0; }",
                      "add rule inet count out udp dport { 1900, 5351 } counter"):
            self.sh("host", "nft", words)

    def questions(self):
        return int(re.search(r"packets (\d+)", self.sh("host", "nft", "list", "chain", "inet", "count", "out")).group(1))

    def no_ipv6(self, place="host"):
        self.sh(place, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")

    def no_ipv4_way_out(self):
        """IPv4 ends at the router, but for the directory."""
        self.ip("host", "route", "del", "default")
        self.ip("host", "route", "add", INTERNET, "via", "192.168.77.1")

    def node(self, env=None, place="host", **keys):
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
        real = {k: v for k, v in config.items() if (k, v) != ("listen.address", "::")}
        node.folder, node.config = folder, real
        node.state_dir, node.runtime_dir = folder / "state", folder / "run"
        node.control_socket = node.runtime_dir / "control.sock"
        node.expect_exit, node.conf, node.prefix = 0, folder / "iicp.conf", self.inside(place)
        node.write_config()
        Process.__init__(node, [program("iicpd"), "--config", node.conf], folder, "iicpd", clean_environment(env), node.prefix)
        self.began = time.monotonic()
        node.await_ready()
        self.made.append(node)
        return node

    def requests(self, route):
        return json.loads(self.sh("inet", "curl", "-s", f"http://{INTERNET}:8440/lab/requests?route={route}"))["requests"]

    def registered(self, who=None):
        """The body of the last REGISTER that was accepted, of this node."""
        good = [r["body"] for r in self.registers() if who in (None, r["body"]["node_id"])]
        return good[-1] if good else None

    def relay(self, address=INTERNET, **keys):
        """A relay operator on the Internet: iicpd itself. Listed when this returns."""
        if not any(p.argv[-1] == "11435" for p in self.made):
            self.start("inet", "relay-backend", "python3", LAB / "fake_backend.py", "--port", "11435").await_words("http://")
        node = self.node(place="inet", relay__operator="yes", node__public_endpoint=f"http://{address}:9484",
                         backend__house__url="http://127.0.0.1:11435", **keys)
        wait_until(lambda: self.registered(self.id_of(node)), BUDGET_S, "the relay's registration", node.popen)
        return node

    def id_of(self, node):
        return node.control("/v1/status").json()["node"]["node_id"]

    def reachability(self, node):
        return node.control("/v1/routes").json()["reachability"]

    def await_route(self, node, tier):
        def ended():
            now = self.reachability(node)
            return now if not now["looking"] and now.get("run_age_s") is not None else None

        found = wait_until(ended, timeout=BUDGET_S, what="the end of the detection", process=node.popen)
        assert found["tier"] == tier, json.dumps(found, indent=1)
        said = [f"{e['step']}: {e['evidence']}" for e in found["log"] if e["result"] == "works" and e["step"] != "this host"]
        self.row.update(tier=tier, kind=found["kind"], detected_s=round(found.get("run_took_ms", 0) / 1000, 1),
                        evidence="; ".join(said or found["guidance"]))
        return found

    def registers(self):
        out = self.sh("inet", "curl", "-s", f"http://{INTERNET}:8440/lab/requests?route=register")
        return [r for r in json.loads(out)["requests"] if r["status"] == 201]

    def rules(self):
        """What the router has open."""
        return [line for chain in ("prerouting_miniupnpd", "miniupnpd")
                for line in self.sh("rtr", "nft", "list", "chain", "inet", "filter", chain).splitlines() if "dport" in line]

    def end(self):
        for process in reversed(self.made):
            process.kill()
        run(NAT / "home.sh", "down", self.prefix, check=False)


@pytest.fixture
def home(tmp_path, need, request):
    """home(kind): a network; all of it is gone after the test. IICPD_NAT_TABLE names a file that gets a line of
    each scenario (tests/lab/nat/table.py)."""
    need("ip", "nft", "miniupnpd", "curl", "sysctl")
    if os.geteuid() != 0:
        pytest.skip("network name spaces with a router need root")
    made = []

    def make(kind="home"):
        try:
            made.append(Home(tmp_path, kind))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no NAT lab on this machine: {error.stderr.strip()[-200:]}")
        return made[-1]

    yield make
    table = os.environ.get("IICPD_NAT_TABLE")
    for h in made:
        if table and h.row:
            with open(table, "a") as out:
                out.write(json.dumps({"test": request.node.name, "network": h.kind, **h.row}) + "\n")
        h.end()


def expect_registered(home, node, **fields):
    body = wait_until(home.registered, timeout=BUDGET_S, what="a registration", process=node.popen)
    home.row.setdefault("listed_s", round(time.monotonic() - home.began, 1))
    for name, value in fields.items():
        assert body.get(name) == value, (name, body.get(name), value)
    assert body["nat_type"] == "unknown"
    return body


def stop_and_expect_closed(home, node):
    node.popen.terminate()
    assert node.wait() == 0
    assert home.rules() == [], "something stayed open at the router"
