# SPDX-License-Identifier: Apache-2.0
"""Start, stop, notify, reload, state lock, and what never appears in a log: iicpd as an operator sees it."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import uuid

import pytest

from conftest import clean_environment, program, wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"


def task(text="Hello", **members):
    return {"task_id": str(uuid.uuid4()), "intent": CHAT,
            "payload": {"messages": [{"role": "user", "content": text}]}, **members}


class NotifySocket:
    def __init__(self, path):
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.said = []

    def await_message(self, text, timeout=20):
        """Everything up to the message that has a line equal to the text."""
        self.sock.settimeout(timeout)
        while True:
            if any(text in m.splitlines() for m in self.said):
                return self.said
            self.said.append(self.sock.recv(8192).decode())


@pytest.fixture
def notify(tmp_path):
    n = NotifySocket(tmp_path / "notify")
    yield n
    n.sock.close()


def test_IICPD_02_91_ready_watchdog_stopping(node_factory, notify):
    # no directory, no backend that answers: readiness does not matter
    node = node_factory(backend__test__type="openai_compat", backend__test__url="http://127.0.0.1:9",
                        env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "400000"})
    notify.await_message("READY=1")
    said = notify.await_message("WATCHDOG=1")
    assert any(m.startswith("STATUS=liveness=live; readiness=") for m in said), said
    notify.said.clear()
    notify.await_message("WATCHDOG=1")
    node.signal(signal.SIGTERM)
    said = notify.await_message("STOPPING=1")
    stopping = next(m for m in said if "STOPPING=1" in m.splitlines())
    assert any(line.startswith("STATUS=Stopping") for line in stopping.splitlines())
    assert node.wait() == 0


def test_IICPD_02_91_watchdog_of_another_process_is_not_fed(node_factory, notify):
    node = node_factory(env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    notify.await_message("READY=1")
    node.signal(signal.SIGTERM)
    said = notify.await_message("STOPPING=1")
    assert not [m for m in said if "WATCHDOG=1" in m.splitlines()]


def test_IICPD_02_91_systemd_reload_is_announced(node_factory, notify):
    node = node_factory(env={"NOTIFY_SOCKET": notify.path})
    notify.await_message("READY=1")
    notify.said.clear()
    node.write_config(limits__max_concurrent=7)
    node.signal(signal.SIGHUP)
    said = notify.await_message("READY=1")
    assert any("RELOADING=1" in m.splitlines() and "MONOTONIC_USEC=" in m for m in said)
    assert wait_until(lambda: node.get("/iicp/health").json()["max_concurrent"] == 7, what="reload")


def test_reload_rejects_a_bad_file_as_a_whole(node_factory):
    node = node_factory(limits__max_concurrent=3)
    node.write_config(limits__max_concurrent=9)
    with open(node.conf, "a", encoding="utf-8") as f:
        f.write("[limits]\nmax_concurent = 4\n")
    node.signal(signal.SIGHUP)
    node.await_log(r"not reloaded")
    assert node.get("/iicp/health").json()["max_concurrent"] == 3


def test_IICPD_02_12_stop_finishes_the_running_task(node_factory, lab, backend_factory):
    backend = backend_factory()
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"].get("registered"), what="registration", process=node.popen)
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "delay_ms": 1500}]})
    got = {}
    runner = threading.Thread(target=lambda: got.update(answer=node.post("/v1/task", task())))
    runner.start()
    wait_until(lambda: node.get("/iicp/health").json()["active_jobs"] == 1, what="the task runs")
    node.signal(signal.SIGTERM)
    beat = lab.get("/lab/requests?route=heartbeat&wait=5&min=1").json()["requests"]
    wait_until(lambda: [r for r in lab.get("/lab/requests?route=heartbeat").json()["requests"]
                        if r["body"].get("available") is False], what=f"a last beat, {beat[-1:]}")
    runner.join(30)
    assert got["answer"].status == 200 and got["answer"].json()["status"] == "success"
    assert node.wait() == 0
    assert not [r for r in lab.get("/lab/requests").json()["requests"] if r["method"] == "DELETE"]


def test_IICPD_02_107_second_signal_ends_at_once_with_0(node_factory, backend_factory):
    backend = backend_factory()
    node = node_factory(backend=backend)
    wait_until(lambda: node.get("/iicp/health").json()["models"], what="models")
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "mode": "hang"}]})
    got = []
    runner = threading.Thread(target=lambda: got.append(node.post("/v1/task", task())))
    runner.start()
    wait_until(lambda: node.get("/iicp/health").json()["active_jobs"] == 1, what="the task runs")
    node.signal(signal.SIGTERM)
    node.await_log(r"stopping")
    node.signal(signal.SIGTERM)
    assert node.wait(5) == 0
    runner.join(30)
    assert got[0].status == 503 and got[0].json()["error"]["code"] == "IICP-E024"


def test_state_directory_is_locked(node_factory):
    node = node_factory()
    second = node_factory(ready=False, node__state_dir=node.state_dir)
    second.expect_exit = 73
    assert second.wait(20) == 73
    assert str(node.pid) in second.log_text()


def test_taken_port_with_strict_is_exit_69(node_factory):
    node = node_factory()
    second = node_factory(ready=False, listen__port=node.port)
    second.expect_exit = 69
    assert second.wait(20) == 69


def test_SEC_LOG_01_payload_and_secrets_stay_inside(node_factory, lab, backend_factory, tmp_path):
    backend = backend_factory()
    backend.post("/_control", {"key": "backend-key-marsupial"})
    key = tmp_path / "node0" / "key"
    key.parent.mkdir(parents=True)
    key.write_text("backend-key-marsupial\n")
    key.chmod(0o600)
    key.parent.chmod(0o700)
    node = node_factory(lab=lab, backend=backend, log__level="debug", log__tasks="yes",
                        backend__test__api_key=f"file:{key}")
    wait_until(lambda: node.status()["directory"].get("registered"), what="registration", process=node.popen)
    answers = [node.post("/v1/task", task("prompt-quokka")),
               node.post("/v1/task", task("prompt-quokka", auth={"node_token": "token-wombat"})),
               node.post("/v1/task", {**task("prompt-quokka"), "intent": "urn:iicp:intent:llm:none:v1"}),
               node.post("/v1/task", b"{prompt-quokka")]
    assert answers[0].status == 200
    identity = json.loads((node.state_dir / "identity.json").read_text())
    everything = "\n".join([node.log_text(), node.get("/metrics").text, node.get("/iicp/health").text,
                            node.control("/v1/status").text, node.control("/v1/config").text])
    for word in ("prompt-quokka", "token-wombat", "backend-key-marsupial", identity["node_token"]):
        assert word not in everything
    for answer in answers[1:]:
        if answer.status != 200:
            assert "prompt-quokka" not in answer.text
    for answer in answers:
        assert str(node.folder) not in answer.text and ".c:" not in answer.text
        assert "Traceback" not in answer.text


def test_IICPD_05_53_no_secret_in_core_status_or_argv(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend, log__level="debug")
    wait_until(lambda: node.status()["directory"].get("registered"), what="registration", process=node.popen)
    identity = json.loads((node.state_dir / "identity.json").read_text())
    keyring = json.loads((node.state_dir / "cx" / "keyring.json").read_text())
    secrets = [identity["node_token"], identity["node_hmac_key"], keyring["keys"][0]["private_key"]]
    proc = f"/proc/{node.pid}"
    limits = open(f"{proc}/limits").read()
    assert re.search(r"Max core file size\s+0\s", limits)
    seen = node.log_text() + open(f"{proc}/cmdline").read() + open(f"{proc}/environ").read()
    for path in ("status", "directory", "config", "tasks", "backends", "metrics"):
        seen += node.control(f"/v1/{path}").text
    for secret in secrets:
        assert secret and secret not in seen


def test_IICPD_05_55_not_dumpable_no_core_and_descriptors_close_on_exec(node_factory):
    node = node_factory()
    proc = f"/proc/{node.pid}"
    assert re.search(r"Max core file size\s+0\s+0\s", open(f"{proc}/limits").read())
    looked_at = 0
    for name in os.listdir(f"{proc}/fdinfo"):
        try:
            info, target = open(f"{proc}/fdinfo/{name}").read(), os.readlink(f"{proc}/fd/{name}")
        except FileNotFoundError:
            continue  # closed in the meantime
        if int(name) > 2:
            flags = int(re.search(r"flags:\s*(\d+)", info).group(1), 8)
            assert flags & 0o2000000, f"descriptor {name}: {target}"
            looked_at += 1
    assert looked_at > 5


def test_IICPD_05_30_unresolved_reference_stops_the_start(node_factory, tmp_path):
    node = node_factory(backend__test__api_key=f"file:{tmp_path}/no-such-key", ready=False)
    node.expect_exit = 78
    assert node.wait() == 78
    assert "no-such-key" in node.log_text()


def test_IICPD_02_91_notify_can_be_turned_off(node_factory, notify):
    node = node_factory(env={"NOTIFY_SOCKET": notify.path, "IICP_SYSTEMD_NOTIFY": "0"})
    node.stop()
    notify.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        notify.sock.recv(8192)


def test_IICPD_02_03_private_endpoint_serves_but_does_not_register(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend, nat__allow_private="no")
    wait_until(lambda: node.status()["backends"][0]["models"], what="models", process=node.popen)
    wait_until(lambda: node.status()["directory"]["state"] == "off", what="off", process=node.popen)
    assert node.post("/v1/task", task()).status == 200
    assert node.status()["directory"]["why"]
    assert not [r for r in lab.get("/lab/requests").json()["requests"] if r["path"].endswith("/register")]
    assert len(re.findall(r" route_none | not_registered ", node.log_text())) == 1


# ---- the configuration, as the operator's tool ----


def check(tmp_path, text, *args, env=None):
    conf = tmp_path / "check.conf"
    conf.write_text(text)
    return subprocess.run([program("iicpd"), f"--check-config={conf}", *args], text=True, capture_output=True,
                          env=clean_environment(env), timeout=30), conf


def test_OX_10_all_problems_in_one_run_with_place_and_guess(tmp_path):
    done, conf = check(tmp_path, "[limits]\nmax_concurent = 4\n[listen]\nport = 94840\n[backend gpu]\nurl = htp://x\n")
    assert done.returncode == 78
    said = done.stdout + done.stderr
    for place in (f"{conf}:2:1: error:", f"{conf}:4:8: error:", f"{conf}:6:7: error:"):
        assert place in said, said
    assert "max_concurrent" in said


def test_check_words_alone_start_nothing(tmp_path):
    for word in ("--strict", "--json"):
        done = subprocess.run([program("iicpd"), word], text=True, capture_output=True, timeout=30,
                              env=clean_environment({"HOME": str(tmp_path)}))
        assert done.returncode == 2 and "--check-config" in done.stderr


def test_OX_11_warnings_are_errors_when_strict(tmp_path):
    text = "[backend gpu]\napi_key = env:NO_SUCH_NAME\n"
    assert check(tmp_path, text)[0].returncode == 0
    assert check(tmp_path, text, "--strict")[0].returncode == 78


def test_OX_12_check_config_writes_nothing_and_opens_nothing(tmp_path, need):
    need("strace")
    conf = tmp_path / "check.conf"
    conf.write_text(f"[node]\nstate_dir = {tmp_path}/none\n[directory]\nurl = https://directory.example/api\n")
    trace = tmp_path / "trace"
    done = subprocess.run(["strace", "-f", "-o", str(trace), "-e", "trace=socket,connect,bind,mkdir,mkdirat,openat,unlink,rename",
                           program("iicpd"), f"--check-config={conf}"], text=True, capture_output=True,
                          env=clean_environment(), timeout=60)
    if "ptrace" in done.stderr.lower() and done.returncode != 0:
        pytest.skip("no ptrace here")
    assert done.returncode == 0, done.stdout + done.stderr
    calls = trace.read_text()
    assert "O_WRONLY" not in calls and "O_RDWR" not in calls and "O_CREAT" not in calls
    for call in ("socket(", "connect(", "bind(", "mkdir", "unlink(", "rename("):
        assert call not in calls, calls
    assert not (tmp_path / "none").exists()


def test_OX_13_origin_of_each_value(node_factory):
    node = node_factory(limits__max_concurrent=3, env={"IICP_REGION": "eu-west", "IICP_MAX_CONCURRENT": "6"},
                        args=("-o", "limits.max_concurrent=9", "-o", "log.level=notice"))
    keys = {k["key"]: k for k in node.control("/v1/config").json()["keys"]}
    assert str(keys["limits.max_concurrent"]["value"]) == "9"
    assert keys["node.region"]["value"] == "eu-west"
    assert "IICP_REGION" in json.dumps(keys["node.region"])
    assert str(node.conf) in json.dumps(keys["listen.port"])
    assert node.get("/iicp/health").json()["region"] == "eu-west"


def test_files_of_the_state_are_private(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: (node.state_dir / "identity.json").exists(), what="identity", process=node.popen)
    assert os.stat(node.state_dir).st_mode & 0o777 == 0o700
    for path in node.state_dir.rglob("*"):
        if path.is_file():
            assert os.stat(path).st_mode & 0o177 == 0, path
