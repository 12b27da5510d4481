#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict relay for tests: native accept port and HTTP routes over one table of sessions. It follows the
letter of the contract for a relay (03 sections 13 to 18), tells what a worker did wrong, and can be made to
refuse, fall silent or hang up. One session a worker; buffered calls, and streams on request.

    relay.py [--host 127.0.0.1] [--port 0] [--native-port 0] [--tickets off|soft|hard] [--no-native] [--no-http]

/lab/state, /lab/set, /lab/kick, /lab/ping, /lab/stream are the laboratory's."""

import argparse
import base64
import http.server
import json
import pathlib
import queue
import re
import secrets
import socket
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from native import ACK, CALL, CLOSE, INIT, PING, PONG, RESPONSE, dumps, frame, loads  # noqa: E402

BIND, RELAY_ACK = 0x0B, 0x0C
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
TEXTS = {"alive": "worker_id already bound to an alive session", "rate": "relay_bind_rate_limited",
         "full": "relay at session capacity", "invalid": "relay bind ticket invalid",
         "required": "relay bind ticket required", "replayed": "relay bind ticket replayed"}
STATUS = {"alive": (409, "IICP-E038"), "rate": (429, "IICP-E039"), "full": (503, "IICP-E039"),
          "invalid": (401, "IICP-E040"), "required": (401, "IICP-E040"), "replayed": (409, "IICP-E040")}


class Session:
    def __init__(self, worker_id, via):
        self.worker_id, self.via = worker_id, via
        self.token, self.calls, self.waiting = secrets.token_hex(32), {}, queue.Queue()
        self.sock, self.seen, self.dead = None, time.monotonic(), False
        self.lock = threading.Lock()

    def send(self, kind, payload):
        with self.lock:
            self.sock.sendall(frame(kind, payload))

    def forward(self, task, timeout, extra=None):
        """The worker's result, or None."""
        call_id, answer = str(uuid.uuid4()), queue.Queue()
        self.calls[call_id] = answer
        try:
            if self.via == "native":
                self.send(CALL, {5: task, 15: call_id, **(extra or {})})
            else:
                self.waiting.put((call_id, task))
            return answer.get(timeout=timeout)
        except (queue.Empty, OSError):
            return None
        finally:
            self.calls.pop(call_id, None)

    def end(self):
        self.dead = True
        for answer in list(self.calls.values()):
            answer.put(None)


class Relay:
    def __init__(self, options):
        self.options, self.sessions, self.lock = options, {}, threading.RLock()
        self.set = {"refuse": None, "silent": None, "health": True, "http": not options.no_http, "audience": None}
        self.binds, self.faults, self.pulls, self.used = [], [], 0, set()
        self.events, self.pongs, self.ids = [], 0, 0
        self.native = None

    def fault(self, text):
        self.faults.append(text)

    def ticket_fault(self, worker_id, ticket):
        if self.options.tickets == "off":
            return None
        if ticket is None:
            return "required" if self.options.tickets == "hard" else None
        try:
            text, signature = ticket.split(".")
            claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            good = re.fullmatch(r"[0-9a-f]{128}", signature) and claims["v"] == 1 and claims["sub"] == worker_id and \
                claims["typ"] == "relay-bind-ticket" and re.fullmatch(r"[0-9a-f]{32}", claims["jti"]) and claims["exp"] > time.time()
        except (ValueError, KeyError, TypeError):
            return "invalid"
        if not good or (self.set["audience"] and claims["aud"] != self.set["audience"]):
            return "invalid"
        if claims["jti"] in self.used:
            return "replayed"
        self.used.add(claims["jti"])
        return None

    def bind(self, worker_id, via, ticket, models, profiles=None):
        """(session, None) or (None, word)."""
        with self.lock:
            self.binds.append({"worker_id": worker_id, "via": via, "ticket": ticket is not None, "models": models,
                               "profiles": profiles, "aud": self.audience(ticket), "at": time.monotonic()})
            if self.set["refuse"]:
                word = self.set["refuse"]
                if isinstance(word, list):
                    word = word.pop(0) if word else None
                if word:
                    return None, word
            old = self.sessions.get(worker_id)
            if old and not old.dead and time.monotonic() - old.seen < 90:
                return None, "alive"
            word = self.ticket_fault(worker_id, ticket)
            if word:
                return None, word
            self.sessions[worker_id] = Session(worker_id, via)
            return self.sessions[worker_id], None

    @staticmethod
    def audience(ticket):
        try:
            text = ticket.split(".")[0]
            return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))["aud"]
        except (AttributeError, ValueError, KeyError):
            return None

    def alive(self, worker_id):
        with self.lock:
            s = self.sessions.get(worker_id)
            return s if s and not s.dead and time.monotonic() - s.seen < 90 else None

    # ---- native ----

    def listen(self):
        self.native = socket.create_server((self.options.host, self.options.native_port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.native.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    @staticmethod
    def read(sock, n):
        got = b""
        while len(got) < n:
            piece = sock.recv(n - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got

    def message(self, sock):
        head = self.read(sock, 12)
        if head[:4] != b"IICP":
            raise EOFError  # what shipped relays do with TLS
        if head[4] & 15 != 1 or head[6] or head[7]:
            self.fault(f"header {head.hex()}")
        payload = self.read(sock, int.from_bytes(head[8:], "big"))
        return head[5], payload

    def serve(self, sock):
        session = None
        try:
            sock.settimeout(10)
            session = self.handshake(sock)
            if session:
                sock.settimeout(90)
                self.work(sock, session)
        except (OSError, EOFError, ValueError) as error:
            if not isinstance(error, (OSError, EOFError)):
                self.fault(f"native: {error!r}")
        finally:
            if session:
                session.end()
            sock.close()

    def handshake(self, sock):
        kind, payload = self.message(sock)
        init = loads(payload)
        if kind != INIT or init.get(1) != 1:
            self.fault(f"INIT {kind} {init}")
            return None
        if self.set["silent"] == "ack":
            time.sleep(30)
        sock.sendall(frame(ACK, {1: 1}))
        kind, payload = self.message(sock)
        bind = loads(payload)
        if kind != BIND or not ID.fullmatch(bind.get(1, "")) or set(bind) - {1, 2, 3, 4, 5}:
            self.fault(f"BIND {kind} {bind}")
            return None
        session, word = self.bind(bind[1], "native", bind.get(4), bind.get(3), bind.get(5))
        if word:
            sock.sendall(frame(RELAY_ACK, {1: "error", 2: bind[1], 3: TEXTS.get(word, word)}))
            return None
        session.sock = sock
        session.send(RELAY_ACK, {1: "ok", 2: bind[1], 4: self.http_port})
        session.send(0x20, b"")  # a type that is not assigned: to be ignored
        return session

    def work(self, sock, session):
        while True:
            kind, payload = self.message(sock)
            session.seen = time.monotonic()
            if kind == PING:
                if loads(payload) != {1: b""}:
                    self.fault(f"PING {payload.hex()}")
                if self.set["silent"] != "pong":
                    session.send(PONG, {})
            elif kind == PONG:
                self.pongs += loads(payload) == {1: b"lab"}
            elif kind == CLOSE:
                self.events.append({"close": loads(payload).get(1)})
                return
            elif kind == RESPONSE:
                answer = loads(payload)
                if 13 in answer:
                    self.events.append({"stream": {str(k): v.decode() if isinstance(v, bytes) else v for k, v in answer.items()}})
                    if answer.get(12) or answer[13].get(4):
                        self.deliver(session, answer[3], b"{}")
                else:
                    self.deliver(session, answer[15], answer[5])
            else:
                self.fault(f"frame {kind}")

    def deliver(self, session, call_id, result):
        waiting = session.calls.get(call_id)
        if waiting:
            waiting.put(result)
        else:
            self.events.append({"late": call_id})

    def state(self):
        with self.lock:
            return {"binds": [{**b, "ago": time.monotonic() - b["at"]} for b in self.binds], "faults": self.faults, "events": self.events, "pongs": self.pongs,
                    "pulls": self.pulls, "native_port": self.native.getsockname()[1] if self.native else None,
                    "sessions": {w: {"via": s.via, "alive": not s.dead} for w, s in self.sessions.items()}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    relay = None

    def log_message(self, *args):
        pass

    def reply(self, status, doc=None):
        body = b"" if doc is None else json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, message):
        self.reply(status, {"error": {"code": code, "message": message}})

    def body(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST" and self.headers.get("Content-Type", "").split(";")[0] != "application/json":
            self.relay.fault(f"{self.path}: Content-Type {self.headers.get('Content-Type')}")
        return raw

    def session(self):
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        with self.relay.lock:
            for s in self.relay.sessions.values():
                if kind == "Bearer" and secrets.compare_digest(s.token, token) and not s.dead:
                    return s
        self.refuse(401, "IICP-E021", "invalid or missing relay session token")
        return None

    def do_GET(self):
        relay = self.relay
        if self.path == "/lab/state":
            self.reply(200, relay.state())
        elif not relay.set["http"]:
            self.reply(404, {})
        elif self.path == "/v1/relay/pull":
            self.pull()
        elif (m := re.fullmatch(r"/v1/relay-for/([^/]+)/iicp/health", self.path)):
            if relay.alive(m[1]) and relay.set["health"]:
                self.reply(200, {"status": "ok", "node_id": m[1], "via_relay": True, "models": []})
            else:
                self.refuse(404, "IICP-E030", "no alive relay session for this worker")
        else:
            self.reply(404, {})

    def pull(self):
        s = self.session()
        if not s:
            return
        self.relay.pulls += 1
        s.seen = time.monotonic()
        if self.relay.set["silent"] == "pull":
            self.refuse(502, "IICP-E031", "relay failed: laboratory")
            return
        try:
            call_id, task = s.waiting.get(timeout=float(self.relay.options.park))
        except queue.Empty:
            s.seen = time.monotonic()
            self.reply(204)
            return
        raw = b'{"call_id":' + json.dumps(call_id).encode() + b',"task":' + task + b"}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self):
        relay, raw = self.relay, self.body()
        if self.path.startswith("/lab/"):
            self.lab(self.path[5:], json.loads(raw or b"{}"))
        elif not relay.set["http"]:
            self.reply(404, {})
        elif self.path == "/v1/relay/bind":
            self.bind(json.loads(raw))
        elif self.path == "/v1/relay/result":
            s = self.session()
            if s:
                doc = json.loads(raw)
                if not isinstance(doc.get("result"), dict) or not isinstance(doc.get("call_id"), str):
                    relay.fault(f"result {raw[:200]}")
                relay.deliver(s, doc["call_id"], json.dumps(doc["result"]).encode())
                self.reply(204)
        elif self.path == "/v1/relay/unbind":
            s = self.session()
            if s:
                s.end()
                relay.events.append({"unbind": s.worker_id})
                self.reply(204)
        elif (m := re.fullmatch(r"/v1/relay-for/([^/]+)/v1/task", self.path)):
            self.task(m[1], raw)
        else:
            self.reply(404, {})

    def bind(self, doc):
        if not ID.fullmatch(doc.get("worker_id", "")) or set(doc) - {"worker_id", "intent", "models", "bind_ticket", "profiles"}:
            self.relay.fault(f"bind {doc}")
        s, word = self.relay.bind(doc["worker_id"], "http-poll", doc.get("bind_ticket"), doc.get("models"))
        if word:
            status, code = STATUS[word]
            self.refuse(status, code, TEXTS[word])
            return
        self.reply(200, {"session_token": s.token, "poll_timeout_s": 25, "worker_endpoint_path": f"/v1/relay-for/{s.worker_id}"})

    def task(self, worker_id, raw):
        s = self.relay.alive(worker_id)
        if not s:
            self.refuse(404, "IICP-E030", "no alive relay session for this worker")
            return
        extra = {}
        if s.via == "native" and self.headers.get("X-IICP-Consumer-Token"):
            extra[11] = self.headers["X-IICP-Consumer-Token"]
        parent = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-\d\d", self.headers.get("traceparent", ""))
        if s.via == "native" and parent:
            extra |= {13: bytes.fromhex(parent[1]), 14: bytes.fromhex(parent[2])}
        result = s.forward(raw, 60, extra)
        try:
            result = json.loads(result)
        except (TypeError, ValueError):
            self.refuse(502, "IICP-E031", "relay session forward failed: no result")
            return
        task_id = json.loads(raw).get("task_id", "")
        self.reply(200, {"task_id": task_id, "status": "completed", **result, "generated_by_ai": True})

    def lab(self, what, doc):
        relay = self.relay
        if what == "set":
            relay.set.update(doc)
        elif what == "kick":
            for s in list(relay.sessions.values()):
                s.end()
                if s.sock:
                    s.sock.shutdown(socket.SHUT_RDWR)
        elif what == "ping":
            for s in relay.sessions.values():
                s.send(PING, {1: b"lab"})
        elif what == "stream":
            s = relay.alive(doc["worker_id"])
            s.forward(json.dumps(doc["task"]).encode(), 60, {2: doc["session_id"], 24: doc["task_id"]})
        self.reply(200, relay.state())


class Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--native-port", type=int, default=0)
    p.add_argument("--tickets", choices=("off", "soft", "hard"), default="soft")
    p.add_argument("--park", default="25")
    p.add_argument("--no-native", action="store_true")
    p.add_argument("--no-http", action="store_true")
    relay = Relay(p.parse_args())
    Handler.relay = relay
    server = Threads((relay.options.host, relay.options.port), Handler)
    relay.http_port = server.server_address[1]
    if not relay.options.no_native:
        relay.listen()
    print(f"relay http://{relay.options.host}:{relay.http_port} native {relay.state()['native_port']}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
