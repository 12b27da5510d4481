# SPDX-License-Identifier: Apache-2.0
"""The consumer program against scripted directories and nodes, which check every request they get.
Nodes answer by script; the last entry repeats."""

import base64
import http.server
import json
import re
import secrets
import signal
import subprocess
import threading

import pytest

from conftest import TREE, clean_environment, free_port, program

CHAT = "urn:iicp:intent:llm:chat:v1"
VECTORS = TREE / "tests" / "vectors" / "consumer"
TRACE = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def unpad(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pad(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ok(content="ok", **more):
    return {"status": 200, "body": {"task_id": "$", "status": "success", "result": {
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}], **more}}}


class Peer:
    """One HTTP server on loopback that records what it is asked and complains about what it dislikes."""

    def __init__(self, host="127.0.0.1", tls=None):
        self.requests, self.problems, self.seen = [], [], threading.Condition()
        self.tls_spoken = set()
        self.closing = threading.Event()
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if tls:
                    peer.tls_spoken.add(self.connection.version())
                with peer.seen:
                    peer.requests.append((self.command, self.path, dict(self.headers.items()), body))
                    peer.seen.notify_all()
                peer.check(self.command, self.path, self.headers, body)
                peer.answer(self, body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def dislike(self, text):
        self.problems.append(text)

    def check(self, method, path, headers, body):
        for name in ("Cookie", "Origin", "Accept-Encoding", "Expect", "Authorization", "Proxy-Authorization"):
            if name in headers:
                self.dislike(f"header {name}")
        if not TRACE.match(headers.get("traceparent", "")):
            self.dislike("traceparent")
        if headers.get("X-IICP-Version") != "1.5" or headers.get("Accept") != "application/json":
            self.dislike("X-IICP-Version or Accept")
        if not headers.get("User-Agent", "").startswith("iicp-client-c/"):
            self.dislike("User-Agent")
        if headers.get("Host") != self.url.split("//")[1]:
            self.dislike(f"Host {headers.get('Host')}")

    def send(self, handler, status, body, headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        body = body.encode()
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def await_request(self, timeout=20):
        with self.seen:
            assert self.seen.wait_for(lambda: self.requests, timeout)

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        assert not self.problems, self.problems


class Directory(Peer):
    def __init__(self, **options):
        super().__init__(**options)
        self.nodes, self.script = [], []

    def check(self, method, path, headers, body):
        super().check(method, path, headers, body)
        if method != "GET" or not path.startswith("/api/v1/discover?") or body:
            self.dislike(f"{method} {path}")
        if path.count("intent=") != 1 or path.count("limit=") != 1:
            self.dislike(f"query of {path}")

    def answer(self, handler, body):
        if self.script:
            step = self.script.pop(0)
            return self.send(handler, step["status"], step.get("body", {}), step.get("headers", {}))
        return self.send(handler, 200, {"nodes": self.nodes, "count": len(self.nodes), "query_ms": 1})


def raw_public(key):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Provider(Peer):
    """A node. `key`: it publishes an encryption key, and answers encrypted if `sealed`."""

    def __init__(self, script, name="A", order=None, key=False, sealed=True, **options):
        super().__init__(**options)
        self.script, self.name, self.order, self.sealed = script, name, order, sealed
        self.node_id = f"{name}{secrets.token_hex(4)}-node"
        self.used, self.private = 0, None
        if key:
            x25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.x25519")
            self.private = x25519.X25519PrivateKey.generate()

    def record(self, **more):
        r = {"node_id": self.node_id, "endpoint": self.url, "score": 0.9, "available": True,
             "region": "eu-central", "load": 0.1, "models": ["m-a"]}
        if self.private:
            r["cx_public_key"] = {"algorithm": "X25519", "encoding": "base64url",
                                  "key": unpad(raw_public(self.private.public_key())), "key_id": "cx-1",
                                  "features": ["response_encryption_v1"] if self.sealed else []}
        return {**r, **more}

    def check(self, method, path, headers, body):
        super().check(method, path, headers, body)
        if method != "POST" or not path.endswith("/v1/task"):
            self.dislike(f"{method} {path}")
        if headers.get("Content-Type") != "application/json":
            self.dislike("Content-Type")
        task = json.loads(body)
        want = {"task_id", "intent", "constraints"} | (
            {"iicp_conf"} | ({"cx_response_encryption"} if self.sealed else set()) if self.private else {"payload"})
        if set(task) != want:
            self.dislike(f"members {sorted(task)}")
        if not UUID.match(task["task_id"]):
            self.dislike(f"task_id {task['task_id']}")
        if not set(task["constraints"]) <= {"timeout_ms", "qos", "model"}:
            self.dislike(f"constraints {task['constraints']}")

    def derive(self, shared, salt, info):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        return AESGCM(HKDF(hashes.SHA256(), 32, salt, info).derive(shared))

    def open(self, task):
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        conf = task["iicp_conf"]
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(pad(conf["kem_ciphertext"])))
        nonce = pad(conf["nonce"])
        cipher = self.derive(shared, nonce, f"IICP-CX-v1{task['task_id']}{task['intent']}".encode())
        aad = f"{task['task_id']}|{task['intent']}".encode()
        assert pad(conf["aad"]) == aad and conf["version"] == 1 and conf["recipient_key_id"] == "cx-1"
        return shared, json.loads(cipher.decrypt(nonce, pad(conf["encrypted_body"]), aad))

    def seal(self, shared, task_id, body):
        nonce = secrets.token_bytes(12)
        cipher = self.derive(shared, nonce, f"IICP-CX-RESP-v1{task_id}".encode())
        sealed = cipher.encrypt(nonce, json.dumps(body).encode(), f"{task_id}|resp".encode())
        return {"task_id": task_id, "status": "encrypted", "iicp_conf_resp": {
            "version": 1, "nonce": unpad(nonce), "encrypted_body": unpad(sealed)}}

    def tasks(self):
        return [json.loads(body) for _, _, _, body in self.requests]

    def payload(self, i=-1):
        task = self.tasks()[i]
        return self.open(task)[1] if self.private else task["payload"]

    def answer(self, handler, body):
        if self.order is not None:
            self.order.append(self.name)
        step = self.script[min(self.used, len(self.script) - 1)]
        self.used += 1
        handler.close_connection = True
        if step == "drop":
            return None
        if step == "timeout":
            self.closing.wait(30)
            return None
        if step == "drip":
            handler.send_response(200)
            handler.end_headers()
            while not self.closing.wait(0.1):
                handler.wfile.write(b" ")
            return None
        task = json.loads(body)
        content = step.get("body", {})
        if isinstance(content, str) and content.startswith("<1,100,000"):
            content = "x" * 1100000
        if isinstance(content, dict):
            content = json.loads(json.dumps(content).replace('"$"', json.dumps(task["task_id"])))
        if self.private and self.sealed and step["status"] == 200 and not step.get("clear"):
            content = self.seal(self.open(task)[0], task["task_id"], content)
        return self.send(handler, step["status"], content, step.get("headers", {}))


@pytest.fixture
def peers():
    made = []

    def add(kind, *args, **options):
        made.append(kind(*args, **options))
        return made[-1]

    yield add
    for peer in made:
        peer.close()


@pytest.fixture
def directory(peers):
    return peers(Directory)


@pytest.fixture
def ask(iicp, directory):
    """ask("Hi", "--json", clear=True): the program at the directory, private endpoints allowed."""
    def run(*args, clear=False, private=True, env=None, url=None, command="ask"):
        return iicp(command, *args, env={
            "IICP_DIRECTORY_URL": url or directory.url,
            **({"IICP_PROXY_ALLOW_LOOPBACK_NODES": "1"} if private else {}),
            **({"IICP_CX_ALLOW_PLAINTEXT": "1"} if clear else {}), **(env or {})})
    return run


def error_of(result):
    return json.loads(result.stdout)["error"]


# ---- the small path ----


def test_IICPD_06_06_one_call_from_prompt_to_answer(directory, peers, ask):
    node = peers(Provider, [ok("Blue light scatters.", model="m-a", usage={"total_tokens": 7})], key=True)
    directory.nodes = [node.record()]
    r = ask("Why is the sky", "blue?")
    assert (r.returncode, r.stdout) == (0, "Blue light scatters.\n"), r.stderr
    assert "a node of the mesh will read this prompt (standard profile)" in r.stderr
    payload = node.payload()
    assert payload["messages"][-1] == {"role": "user", "content": "Why is the sky blue?"}
    assert node.tasks()[0]["intent"] == CHAT
    assert node.tasks()[0]["constraints"] == {"timeout_ms": 60000, "qos": "interactive"}

    r = ask("--json", "-q", "hi")
    doc = json.loads(r.stdout)
    assert r.returncode == 0 and not r.stderr
    assert doc["text"] == "Blue light scatters." and doc["status"] == "success" and doc["generated_by_ai"]
    assert doc["schema"] == "iicp.answer/1" and doc["encrypted"] and doc["answer_encrypted"]
    assert doc["metrics"]["tokens_used"] == 7 and doc["model_used"] == "m-a"
    assert doc["routing_receipt"]["selection_profile"] == "deterministic"
    assert doc["routing_receipt"]["selected_node_id_prefix"] == node.node_id[:8]
    assert UUID.match(doc["task_id"]) and doc["task_id"] == node.tasks()[1]["task_id"]


def test_IICPD_06_25_prompt_and_answer_travel_encrypted(directory, peers, ask):
    node = peers(Provider, [ok("s3cret answer")], key=True)
    directory.nodes = [node.record()]
    # the debug switch opens keyless nodes, and takes nothing from the others
    r = ask("s3cret prompt", clear=True)
    assert r.stdout == "s3cret answer\n"
    sent = node.requests[0][3]
    assert b"s3cret" not in sent and b"messages" not in sent
    assert node.tasks()[0]["cx_response_encryption"] == "required"


def test_IICPD_06_25_a_clear_answer_is_no_answer(directory, peers, ask):
    node = peers(Provider, [{**ok("clear"), "clear": True}], key=True)
    other = peers(Provider, [ok("other")], "B", key=True)
    directory.nodes = [node.record(), other.record()]
    r = ask("hi", "--json")
    assert r.returncode == 1 and error_of(r)["code"] == "IICP-CX-RESP-REQUIRED"
    assert not other.requests


def test_IICPD_06_25_a_node_without_answer_encryption_may_answer_clear(directory, peers, ask):
    node = peers(Provider, [ok("tier one")], key=True, sealed=False)
    directory.nodes = [node.record()]
    assert ask("hi").stdout == "tier one\n"


def test_IICPD_06_26_keyless_nodes_get_nothing(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    r = ask("hi")
    assert r.returncode == 75 and "IICP-CX-REQUIRED" in r.stderr and "Nothing was sent." in r.stderr
    assert not node.requests
    r = ask("hi", clear=True)
    assert r.returncode == 0 and "allow_plaintext" in r.stderr


def test_PROXY_ROUTE_01_discovery_precedes_submission(directory, peers, ask):
    order = []
    node = peers(Provider, [ok()], order=order)
    original = directory.answer
    directory.answer = lambda handler, body: (order.append("directory"), original(handler, body))
    directory.nodes = [node.record()]
    assert ask("hi", clear=True).returncode == 0
    assert order == ["directory", "A"]


def test_PROXY_ROUTE_02_first_node_of_the_list_first(directory, peers, ask):
    a, b = peers(Provider, [ok("a")], "A"), peers(Provider, [ok("b")], "B")
    directory.nodes = [a.record(score=0.1), b.record(score=0.9)]
    for _ in range(3):
        assert ask("hi", clear=True).stdout == "a\n"


def test_PROXY_ERR_01_nothing_discovered(directory, ask):
    r = ask("hi", "--json", "--model", "llama3.1:70b")
    e = error_of(r)
    assert r.returncode == 75 and e["code"] == "IICP-E033" and e["http_status"] == 503 and e["retryable"]
    assert "no node offers 'llama3.1:70b' (IICP-E033: the directory knows none)" in r.stderr
    assert "Nothing was sent." in r.stderr and not e["sent"]
    directory.script = [{"status": 200, "body": {"nodes": []}}]
    directory.nodes = [{"node_id_prefix": f"7c1f0a5{i}", "models": ["qwen2.5:7b", "llama3.1:8b"]} for i in range(2)]
    r = ask("hi", "--model", "llama3.1:70b")
    assert "Close: llama3.1:8b (2 nodes). Nothing was sent." in r.stderr
    assert "model=" not in directory.requests[-1][1] and "view=public" in directory.requests[-1][1]


def test_PROXY_ERR_02_all_nodes_failed(directory, peers, ask):
    a = peers(Provider, [{"status": 502, "body": {"error": {"code": "backend_error", "message": "x"}}}], "A")
    b = peers(Provider, [{"status": 429, "body": {"error": {"code": "IICP-E021", "message": "capacity_exceeded"}}}], "B")
    directory.nodes = [a.record(), b.record()]
    r = ask("hi", "--json", clear=True)
    e = error_of(r)
    assert r.returncode == 75 and e["code"] == "no_available_node" and e["http_status"] == 502
    assert e["cause"]["code"] == "IICP-E021" and e["sent"] and e["sent_clear"] and e["attempts"] == 2
    assert "2 nodes tried, none answered: " in r.stderr and "busy (429)" in r.stderr
    assert "The prompt was sent, and not encrypted." in r.stderr


# ---- one submit ----


def test_IICPD_06_09_one_task_id_for_all_attempts(directory, peers, ask):
    a = peers(Provider, [{"status": 503, "body": {}}], "A", key=True)
    b = peers(Provider, [ok()], "B", key=True)
    directory.nodes = [a.record(), b.record()]
    assert ask("hi").returncode == 0
    tasks = a.tasks() + b.tasks()
    assert len(tasks) == 4 and len({t["task_id"] for t in tasks}) == 1
    # the same bytes to the same node, a new envelope for the other [06 10.3]
    assert len({json.dumps(t["iicp_conf"]) for t in a.tasks()}) == 1
    assert a.tasks()[0]["iicp_conf"]["nonce"] != b.tasks()[0]["iicp_conf"]["nonce"]
    assert ask("hi").returncode == 0
    assert b.tasks()[1]["task_id"] != tasks[0]["task_id"]


def test_IICPD_06_37_one_traceparent_for_all_calls(directory, peers, ask):
    a, b = peers(Provider, [{"status": 500, "body": {}}], "A"), peers(Provider, [ok()], "B")
    directory.nodes = [a.record(), b.record()]
    assert ask("hi", clear=True).returncode == 0
    traces = {h["traceparent"] for p in (directory, a, b) for _, _, h, _ in p.requests}
    assert len(traces) == 1
    assert ask("hi", clear=True).returncode == 0
    assert {h["traceparent"] for _, _, h, _ in directory.requests} > traces


def test_IICPD_06_24_body_has_the_told_members_only(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    assert ask("hi", "--model", "m-a", "--qos", "batch", clear=True,
               env={"IICP_NODE_TOKEN": "s3cret-own-token"}).returncode == 0
    # Provider.check compares the member names: no auth, no nonce
    assert node.tasks()[0]["constraints"] == {"timeout_ms": 60000, "qos": "batch", "model": "m-a"}
    assert b"s3cret" not in b"".join(body + json.dumps(h).encode() for _, _, h, body in node.requests)
    assert node.payload()["model"] == "m-a"


def test_IICPD_06_23_headers_and_no_proxy(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record(endpoint=node.url + "/prefix/")]
    closed = f"http://127.0.0.1:{free_port()}"
    r = ask("hi", clear=True, env={"http_proxy": closed, "https_proxy": closed, "ALL_PROXY": closed})
    assert r.returncode == 0, r.stderr
    assert node.requests[0][1] == "/prefix/v1/task"


def test_IICPD_06_23_configured_proxy_is_for_the_directory(peers, ask, tmp_path):
    proxy, node = peers(Directory), peers(Provider, [ok()])
    proxy.check = lambda *_: None
    proxy.nodes = [node.record()]
    conf = tmp_path / "client.conf"
    conf.write_text(f"[network]\nproxy = {proxy.url}\n")
    r = ask("hi", "--config", conf, clear=True, url="http://127.0.0.1:1/api", env={"no_proxy": "*"})
    assert r.returncode == 0, r.stderr
    assert proxy.requests[0][1].startswith("http://127.0.0.1:1/api/v1/discover?")
    assert node.requests  # it was reached without


def test_IICPD_06_23_time_is_counted_to_the_last_byte(directory, peers, ask):
    node = peers(Provider, ["drip"])
    directory.nodes = [node.record()]
    r = ask("hi", "--json", "--timeout-ms", "100", clear=True)
    e = error_of(r)
    assert r.returncode == 75 and e["code"] == "timeout" and e["cause"]["code"] == "IICP-E003"
    assert 2000 <= e["log"][0]["elapsed_ms"] < 10000


SCENARIOS = json.loads((VECTORS / "failover.json").read_text())["scenarios"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s["name"] for s in SCENARIOS])
def test_IICPD_06_32_failover(scenario, directory, peers, ask):
    order = []
    for name, script in scenario["nodes"].items():
        if script == "refused":
            directory.nodes.append({"node_id": f"{name}-refused-node", "endpoint": f"http://127.0.0.1:{free_port()}"})
        else:
            node = peers(Provider, script, name, order)
            directory.nodes.append(node.record())
    r = ask("hi", "--json", "--timeout-ms", "100", clear=True)
    assert "".join(order) == scenario["expect_requests"], r.stderr
    if scenario["expect"] == "success":
        assert r.returncode == 0 and json.loads(r.stdout)["text"] == "ok"
    else:
        e = error_of(r)
        assert e["code"] == scenario["expect"]["code"]
        assert e["cause"]["http_status"] == scenario["expect"]["last_http_status"]
        assert r.returncode == (75 if e["retryable"] else 1)


def test_SDK_06_nothing_of_the_task_in_errors(directory, peers, ask):
    node = peers(Provider, [{"status": 400, "body": {"error": {
        "code": "validation_error", "message": "bad \u001b[31m" + "y" * 5000}}}], key=True)
    directory.nodes = [node.record()]
    r = ask("s3cret prompt", "--json")
    assert r.returncode == 1 and error_of(r)["code"] == "validation_error"
    assert "s3cret" not in r.stdout + r.stderr and node.url not in r.stdout + r.stderr


def test_IICPD_06_38_messages_of_nodes_are_cut_and_stripped(directory, peers, ask):
    node = peers(Provider, [{"status": 400, "body": {"error": {
        "code": "validation_error", "message": "bad \u001b[31m" + "y" * 5000}}}])
    directory.nodes = [node.record()]
    r = ask("hi", "--json", clear=True)
    assert "\x1b" not in r.stdout + r.stderr and "y" * 201 not in r.stdout and len(r.stderr) < 1000


def test_IICPD_06_28_large_answer_is_cut_off(directory, peers, ask):
    node = peers(Provider, [ok("x" * 1100000)])
    other = peers(Provider, [ok()], "B")
    directory.nodes = [node.record(), other.record()]
    r = ask("hi", "--json", clear=True)
    assert r.returncode == 1 and error_of(r)["code"] == "response_too_large" and not other.requests


# ---- the directory ----


def test_IICPD_06_15_directory_is_asked_twice(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    directory.script = [{"status": 503}]
    assert ask("hi", clear=True).returncode == 0
    directory.script = [{"status": 429, "headers": {"Retry-After": "1"}}]
    assert ask("hi", clear=True).returncode == 0
    directory.script = [{"status": 503}, {"status": 503}]
    r = ask("hi", "--json", clear=True)
    assert r.returncode == 75 and error_of(r)["http_status"] == 503 and not error_of(r)["sent"]
    before = len(directory.requests)
    directory.script = [{"status": 429, "headers": {"Retry-After": "60"}}]
    r = ask("hi", "--json", clear=True)
    assert len(directory.requests) == before + 1 and error_of(r)["retry_after_ms"] == 60000
    directory.script = [{"status": 422, "body": {"error": {"code": "validation_error", "message": "no"}}}]
    r = ask("hi", "--json", clear=True)
    assert r.returncode == 1 and error_of(r)["code"] == "validation_error"
    assert error_of(r)["component"] == "directory"


def test_IICPD_01_11_IICPD_01_12_version_and_agent_on_every_call(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    assert ask("hi", clear=True).returncode == 0
    for peer in (directory, node):
        (_, _, headers, _), = peer.requests
        assert headers["X-IICP-Version"] == "1.5" and "X-IICP-Framing" not in headers
        assert re.fullmatch(r"iicp-client-c/\d+\.\d+\.\d+", headers["User-Agent"])


def test_IICPD_01_07_IICPD_01_09_bodies_are_json_objects_and_gets_have_none(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    assert ask("hä?", clear=True).returncode == 0
    _, _, headers, body = directory.requests[0]
    assert not body and "Content-Length" not in headers and "Content-Type" not in headers
    _, _, headers, body = node.requests[0]
    assert headers["Content-Type"] == "application/json"
    text = body.decode("utf-8")
    assert isinstance(json.loads(text), dict) and "null" not in text and '""' not in text
    assert isinstance(node.tasks()[0]["constraints"]["timeout_ms"], int)


def test_IICPD_01_20_only_the_listed_status_with_an_object_is_success(directory, peers, ask):
    node = peers(Provider, [ok()])
    good = {"nodes": [node.record()]}
    for step in ({"status": 201, "body": good}, {"status": 203, "body": good}, {"status": 200, "body": [good]},
                 {"status": 200, "body": "<html>"}, {"status": 200, "body": {"count": 1}}):
        directory.script = [step]
        r = ask("hi", "--json", clear=True)
        assert r.returncode != 0 and error_of(r)["component"] == "directory", step
    assert not node.requests


def test_SDK_ERR_02_directory_away_is_retryable(iicp):
    r = iicp("ask", "--json", "hi", env={"IICP_DIRECTORY_URL": f"http://127.0.0.1:{free_port()}"})
    e = error_of(r)
    assert r.returncode == 75 and e["code"] == "IICP-E004" and e["retryable"] and e["component"] == "directory"
    assert "Check --directory-url (from IICP_DIRECTORY_URL)." in r.stderr and "Nothing was sent." in r.stderr


def test_DIR_DISC_10_what_the_directory_learns(directory, peers, ask):
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    assert ask("s3cret prompt", "--model", "org/m:8b", "--region", "eu-west", clear=True).returncode == 0
    _, path, headers, _ = directory.requests[0]
    assert set(path.split("?")[1].split("&")) == {
        "intent=urn%3Aiicp%3Aintent%3Allm%3Achat%3Av1", "limit=10", "region=eu-west", "model=org%2Fm%3A8b"}
    assert "s3cret" not in path + json.dumps(headers)


def test_DIR_DISC_03_unavailable_and_bad_records_are_passed_over(directory, peers, ask):
    a, b = peers(Provider, [ok("a")], "A"), peers(Provider, [ok("b")], "B")
    directory.nodes = ["x", {}, {"node_id": 5, "endpoint": "x"}, a.record(available=False), b.record()]
    assert ask("hi", clear=True).stdout == "b\n"


# ---- the program ----


def test_IICPD_06_18_policy_refuses_before_dispatch(directory, peers, ask):
    node = peers(Provider, [ok()], key=True)
    directory.nodes = [node.record(region="us-east")]
    for args in (["--routing-profile", "eu-restricted"], ["--routing-profile", "strict-policy"],
                 ["--region-allowlist", "eu,ch"], ["--routing-profile", "sensitive"]):
        r = ask("hi", "--json", *args)
        assert r.returncode == 3 and error_of(r)["code"] == "IICP-POLICY-ROUTING", args
        assert "Nothing was sent." in r.stderr
    assert ask("hi", env={"IICP_ROUTING_PROFILE": "eu_restricted"}).returncode == 3
    assert not node.requests
    r = ask("hi", "--routing-profile", "sensitive", "--allow-remote-executor", "--region-allowlist", "us")
    assert r.returncode == 0


def test_IICPD_06_07_prohibited_intents_reach_nobody(directory, ask):
    r = ask("hi", "--json", "--intent", "urn:iicp:intent:social-scoring:rank:v1")
    assert r.returncode == 3 and error_of(r)["code"] == "IICP-POLICY-001"
    assert not directory.requests


def test_SDK_03_malformed_intents_reach_nobody(directory, ask):
    for intent, code in (("urn:iicp:intent:llm:chat", "IICP-E001"), (CHAT + "+attested", "IICP-E028")):
        r = ask("hi", "--json", "--intent", intent)
        assert r.returncode == 2 and error_of(r)["code"] == code
    assert not directory.requests


def test_SDK_04_usage_errors_are_exit_2(directory, ask):
    r = ask("hi", "--timeout-ms", "300000")
    assert r.returncode == 2 and r.stderr == "--timeout-ms 300000 is above 120000\n"
    for args in (["--routing-profile", "strict_polcy"], ["--qos", "urgent"], ["--timeout-ms", "5"], ["--nonsense"],
                 ["--directory-url", "ftp://x"], ["--directory-url", "http://dir.example.org"]):
        assert ask("hi", *args).returncode == 2, args
    assert not directory.requests


def test_SDK_04_a_usage_error_comes_alone(directory, ask):
    for args in (["--intent", "bad"], ["--model", "m" * 256], ["--qos", "urgent"], ["--directory-url", "ftp://x"]):
        r = ask("hi", *args)
        assert r.returncode == 2 and len(r.stderr.splitlines()) == 1, r.stderr
        assert "will read this prompt" not in r.stderr
    assert not directory.requests
    assert "will read this prompt" in ask("hi").stderr


def test_SDK_ERR_01_usage_errors_are_structured_too(directory, ask):
    r = ask("hi", "--json", "--timeout-ms", "300000")
    assert r.returncode == 2 and error_of(r)["code"] == "invalid_config"


def test_IICPD_06_39_runtime_identity_can_be_turned_off(directory, peers, ask):
    node = peers(Provider, [ok()], key=True)
    directory.nodes = [node.record()]
    assert ask("hi", "--system", "be brief").returncode == 0
    messages = node.payload()["messages"]
    assert [m["role"] for m in messages] == ["system", "system", "user"]
    assert messages[0]["content"] == "be brief"
    assert messages[1]["content"].startswith("[IICP-RUNTIME-CONTEXT/1]\n")
    assert node.node_id not in messages[1]["content"] and node.url not in messages[1]["content"]
    for extra, env in ((["--no-runtime-identity"], {}), ([], {"IICP_RUNTIME_IDENTITY": "disabled"})):
        assert ask("hi", *extra, env=env).returncode == 0
        assert node.payload()["messages"] == [{"role": "user", "content": "hi"}]


def test_SDK_02_text_of_any_shape_is_printed(directory, peers, ask):
    node = peers(Provider, [{"status": 200, "body": {"task_id": "$", "status": "completed",
                                                     "result": {"response": "from ollama"}}}])
    directory.nodes = [node.record()]
    assert ask("hi", clear=True).stdout == "from ollama\n"


def test_IICPD_06_06_prompt_from_stdin(directory, peers):
    node = peers(Provider, [ok()], key=True)
    directory.nodes = [node.record()]
    env = clean_environment({"IICP_DIRECTORY_URL": directory.url, "IICP_PROXY_ALLOW_LOOPBACK_NODES": "1",
                             "HOME": "/nonexistent"})
    for args, want in (([], "from stdin"), (["A message for:", "-"], "A message for:\nfrom stdin")):
        r = subprocess.run([program("iicp"), "ask", *args], input="from stdin", text=True, env=env,
                           capture_output=True, timeout=60)
        assert r.returncode == 0, r.stderr
        assert node.payload()["messages"][-1]["content"] == want


def test_IICPD_06_34_interrupt_ends_a_running_task(directory, peers):
    node = peers(Provider, ["timeout"], key=True)
    directory.nodes = [node.record()]
    env = clean_environment({"IICP_DIRECTORY_URL": directory.url, "IICP_PROXY_ALLOW_LOOPBACK_NODES": "1",
                             "HOME": "/nonexistent"})
    child = subprocess.Popen([program("iicp"), "ask", "hi"], env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    node.await_request()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130 and not out and "The prompt was sent encrypted." in err


def test_DIR_DISC_01_discover_lists_the_public_view(directory, ask):
    directory.nodes = [{"node_id_prefix": "7c1f0a52", "score": 0.91, "region": "eu-central", "load": 0.2,
                        "reachability_tier": "direct", "key_ready": True, "models": ["llama3.1:8b", "qwen2.5:7b"]},
                       {"node_id_prefix": "b02d77aa", "score": 0.5, "region": "us\x1b[31m"}]
    r = ask(command="discover")
    lines = r.stdout.splitlines()
    assert r.returncode == 0 and "view=public" in directory.requests[0][1]
    assert lines[0].split() == ["NODE", "REGION", "SCORE", "LOAD", "ROUTE", "KEY", "MODELS"]
    assert lines[1].split() == ["7c1f0a52", "eu-central", "0.91", "0.20", "direct", "yes", "llama3.1:8b,", "qwen2.5:7b"]
    r = ask("--json", command="discover")
    doc = json.loads(r.stdout)
    assert doc["count"] == 2 and doc["nodes"][0]["models"] == ["llama3.1:8b", "qwen2.5:7b"]
    assert "endpoint" not in doc["nodes"][0]


def test_SDK_DISC_02_discover_asks_for_its_limit(directory, peers, ask):
    nodes = [peers(Provider, [ok()], n) for n in "ABC"]
    directory.nodes = [n.record() for n in nodes]
    r = ask("--json", "--routes", "--limit", "2", "urn:iicp:intent:llm:embedding:v1", command="discover")
    doc = json.loads(r.stdout)
    assert [n["endpoint"] for n in doc["nodes"]] == [n.url for n in nodes[:2]]
    assert "limit=2" in directory.requests[0][1] and "embedding" in directory.requests[0][1]


def test_IICPD_06_06_help_names_the_exit_codes(iicp):
    r = iicp("--help")
    assert r.returncode == 0 and all(code in r.stdout for code in ("75", "130", "3 refused"))
    assert iicp("--version").returncode == 0
    assert iicp().returncode == 2 and iicp("nonsense").returncode == 2
