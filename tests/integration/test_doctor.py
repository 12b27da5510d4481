# SPDX-License-Identifier: Apache-2.0
"""iicpctl doctor: every message once, against a socket that answers what the test wants; and a real node."""

import http.server
import json
import os
import pathlib
import re
import socketserver
import threading

import pytest

from conftest import wait_until

GOLDEN = pathlib.Path(__file__).parent / "doctor.golden"


class Daemon:
    """Answers GETs on a Unix socket like a daemon with this status would."""

    def __init__(self, folder):
        self.control_socket = folder / "control.sock"
        self.documents, daemon = {}, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                doc = daemon.documents.get(self.path)
                body = json.dumps(doc if doc else {"error": {"code": "not_found", "message": "", "do": ""}}).encode()
                self.send_response(200 if doc else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

        self.server = socketserver.ThreadingUnixStreamServer(str(self.control_socket), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Nobody:
    def __init__(self, folder):
        self.control_socket = folder / "none.sock"


@pytest.fixture
def conf(tmp_path):
    """conf("[section]\n…") -> a file with a state folder of mode 0700."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "identity.json").write_text("{}")
    path = tmp_path / "iicp.conf"

    def write(more="", region="eu-central"):
        path.write_text(f"[node]\nstate_dir = {state}\nregion = {region}\n[listen]\nport = 9484\n{more}")
        return path

    write.state = state
    write()
    return write


def healthy(conf, version):
    return {
        "schema": "iicp.status/1", "version": version, "state": "ready", "sentence": "", "findings": [],
        "node": {"pid": os.getpid()}, "clock": {"state": "ok"}, "encryption": {"enabled": True, "age_days": 3},
        "config": {"file": str(conf()), "as_on_disk": True, "restart_pending": False},
        "route": {"endpoint": "http://203.0.113.7:9484", "port": 9484, "connections": 1, "max_connections": 100,
                  "loopback_only": False, "verified_by": "directory_probe", "verified_age_s": 60},
        "directory": {"state": "registered", "last_good_s": 9},
        "backends": [{"name": "gpu", "state": "ok", "models": 2}],
    }


def finding(id, severity, subject, what, do, caused_by=None):
    return {"id": id, "severity": severity, "subject": subject, "what": what, "do": do, "caused_by": caused_by}


def lines(text, tmp_path):
    """Without what differs from run to run and machine to machine."""
    text = text.replace(str(tmp_path), "TMP")
    text = re.sub(r"process \d+", "process N", text)
    text = re.sub(r"owner \S+, last written .* ago", "owner O, last written A ago", text)
    text = re.sub(r"\d+ MiB where the state is", "N MiB where the state is", text)
    text = re.sub(r"limit \d+, (\d+) wanted", r"limit L, \1 wanted", text)
    text = re.sub(r"iicpd [0-9.]+, the same", "iicpd V, the same", text)
    text = re.sub(r"is running, iicpctl is [0-9.]+", "is running, iicpctl is V", text)
    # a machine whose clock nobody keeps says another line there
    text = re.sub(r" warn  clock +nothing keeps it right.*\n.*timedatectl set-ntp true\n", " ok    clock              synchronised\n", text)
    return [l.rstrip() for l in text.splitlines() if not re.match(r"\d+ ok, ", l)]


def cases(conf, version):
    """Name of the case -> (status document or None, configuration, further arguments)."""
    def changed(**members):
        doc = healthy(conf, version)
        for path, value in members.items():
            at, keys = doc, path.split("__")
            for k in keys[:-1]:
                at = at[k]
            at[keys[-1]] = value
        return doc

    bad = [finding("backend.unreachable", "fail", "backend gpu", "backend 'gpu' refuses connections", "start that server"),
           finding("route.router_setting", "fail", "route", "no public route: refused", "allow it"),
           finding("route.none", "fail", "route", "no public route", "x", "route.router_setting"),
           finding("dns.unavailable", "warn", "DNS", "the name of the directory is not found", "resolvectl"),
           finding("directory.unreachable", "warn", "directory", "no answer", "nothing", "dns.unavailable"),
           finding("key.overdue", "warn", "encryption key", "the encryption key is past its end", "iicpctl rotate-key"),
           finding("operator.not_declared", "warn", "operator", "the delegation has ended", "iicpctl operator delegate"),
           finding("certificate.expiring", "warn", "listen.tls_cert", "the TLS certificate ends in 3 days", "replace it"),
           finding("capacity.window_closed", "fail", "availability", "the availability window is closed", "nothing"),
           finding("tasks.draining", "fail", "tasks", "no new tasks, 2 running", "iicpctl undrain"),
           finding("recovery.supervisor_restart_pending", "warn", "registration", "it restarts", "nothing")]
    view = {"answers": True, "latency_ms": 84, "node": {"listed": True, "same_endpoint": True, "reachable": True}}

    def online(**node):
        return {"/v1/directory": {"directory": {"state": "registered", "view": {**view, "node": {**view["node"], **node}}}}}

    return {
        "all is well": (healthy(conf, version), "", [], {}),
        "not running": (None, "", [], {}),
        "an error in the file": (healthy(conf, version), "[limits]\nmax_concurent = 4\n", [], {}),
        "a warning in the file": (healthy(conf, version), "# a new region\n", [], {}),
        "the file was changed": (changed(config__as_on_disk=False), "", [], {}),
        "a restart is pending": (changed(config__restart_pending=True), "", [], {}),
        "another version": (changed(version="0.0.1"), "", [], {}),
        "files, clock before the build": (changed(route__max_connections=10**9, clock__state="before_build"), "", [], {}),
        "clock was set": (changed(clock={"state": "stepped", "step_s": 74}), "", [], {}),
        "every finding": ({**healthy(conf, version), "findings": bad}, "", [], {}),
        "port moved, no limit": (changed(route__port=9486), "[limits]\nper_address = 0\n", [], {}),
        "known callers": (healthy(conf, version), "[auth]\nmode = required\n", [], {}),
        "no model, no encryption": (changed(backends=[{"name": "gpu", "state": "ok", "models": 0}], encryption={"enabled": False}), "", [], {}),
        "no directory, no route": (changed(directory={"state": "off", "why": "directory.register = no"},
                                           route={"port": 9484, "reason": "not registered", "loopback_only": True}), "", [], {}),
        "registering, never called": (changed(directory={"state": "registering", "why": ""},
                                              route={"endpoint": "http://203.0.113.7:9484", "port": 9484}), "", [], {}),
        "called from outside": (changed(route={"endpoint": "http://203.0.113.7:9484", "port": 9484, "last_inbound_age_s": 12}), "", [], {}),
        "a secret that others read": (healthy(conf, version), f"[backend gpu]\ntype = ollama\napi_key = file:{conf.state}/open.key\n", [], {}),
        "a secret that is not there": (healthy(conf, version), f"[backend gpu]\ntype = ollama\napi_key = file:{conf.state}/none.key\n", [], {}),
        "a good secret": (healthy(conf, version), f"[backend gpu]\ntype = ollama\napi_key = file:{conf.state}/good.key\n", [], {}),
        "online": (healthy(conf, version), "", ["--online"], online()),
        "online, unreachable": (healthy(conf, version), "", ["--online"], online(reachable=False)),
        "online, another endpoint": (healthy(conf, version), "", ["--online"], online(same_endpoint=False)),
        "online, not listed": (healthy(conf, version), "", ["--online"], online(listed=False)),
        "online, no answer": (healthy(conf, version), "", ["--online"],
                              {"/v1/directory": {"directory": {"state": "registered", "view": {"answers": False, "failure": "timeout"}}}}),
        "online, does not register": (healthy(conf, version), "", ["--online"], {"/v1/directory": {"directory": {"state": "off"}}}),
        "online, no daemon": (None, "", ["--online"], {}),
    }


def test_OX_23_golden_messages_of_doctor(conf, tmp_path, iicpctl):
    for name, mode in (("open.key", 0o644), ("good.key", 0o600)):
        (conf.state / name).write_text("secret")
        (conf.state / name).chmod(mode)
    daemon = Daemon(tmp_path)
    try:
        version = iicpctl(daemon, "--version").stdout.split()[1]
        got, before = [], []
        for name, (status, text, args, more) in cases(conf, version).items():
            daemon.documents = {"/v1/status": status, **more} if status else {}
            conf(text, "eucentral" if "region" in text else "eu-central")
            who = daemon if status else Nobody(tmp_path)
            result = iicpctl(who, "doctor", "--config", tmp_path / "iicp.conf", *args)
            assert "secret" not in result.stdout.replace("secrets", ""), name
            shown = lines(result.stdout, tmp_path)
            # the first case whole, of the others what is new
            got += [f"== {name}", *([l for l in shown if l not in before] if before else shown)]
            before += shown
            if name == "every finding":
                assert result.returncode == 11
            document = json.loads(iicpctl(who, "--json", "doctor", "--config", tmp_path / "iicp.conf", *args).stdout)
            assert document["schema"] == "iicp.doctor/1"
            assert {c["verdict"] for c in document["checks"]} <= {"ok", "warn", "fail", "skip"}
    finally:
        daemon.close()
    text = "\n".join(got) + "\n"
    if os.environ.get("GOLDEN_WRITE"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_OX_23_state_that_others_read_is_a_failure(conf, tmp_path, iicpctl):
    conf.state.chmod(0o755)
    shown = iicpctl(Nobody(tmp_path), "doctor", "--config", tmp_path / "iicp.conf")
    assert shown.returncode == 11 and "can be read by others (mode 0755): it holds keys" in shown.stdout
    conf.state.chmod(0o700)
    (conf.state / "identity.json").unlink()
    assert "no identity is to be seen" in iicpctl(Nobody(tmp_path), "doctor", "--config", tmp_path / "iicp.conf").stdout


def test_OX_23_a_variable_of_the_shell_is_named(conf, tmp_path, iicpctl):
    shown = iicpctl(Nobody(tmp_path), "doctor", "--config", tmp_path / "iicp.conf", env={"IICP_PORT": "94840"})
    assert "IICP_PORT is set in your shell" in shown.stdout
    assert iicpctl(Nobody(tmp_path), "doctor", "--nonsense").returncode == 2


def test_OX_23_a_real_node_is_looked_at_without_network(node_factory, lab, backend, iicpctl):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", 30, "registered", node.popen)
    before = len(lab.get("/lab/requests?route=node").json()["requests"])
    checks = {c["check"]: c for c in json.loads(iicpctl(node, "doctor", "--json").stdout)["checks"]}
    for name in ("configuration", "single instance", "version", "state", "secrets", "free space", "port", "backend test",
                 "directory", "route", "encryption key", "operator"):
        assert checks[name]["verdict"] in ("ok", "warn"), checks[name]
    assert checks["outside view"]["verdict"] == "skip"
    assert len(lab.get("/lab/requests?route=node").json()["requests"]) == before
    online = {c["check"]: c for c in json.loads(iicpctl(node, "doctor", "--online", "--json").stdout)["checks"]}
    assert online["outside view"]["verdict"] in ("ok", "fail", "warn") and online["outside view"]["text"] != "needs --online"
