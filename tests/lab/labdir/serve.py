# SPDX-License-Identifier: Apache-2.0
"""HTTP: the public listener, which may be told to go away, and the control listener, which stays."""

import json
import os
import socket
import struct
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import replica, tls
from .answers import Refusal, error_body
from .app import Directory
from .faults import CATALOGUE

SERVER_BODY_MAX = 1 << 20
TURN_S = 0.02


def wait_hint(status, body, headers):
    """Seconds of a 429, None when it gives none. [01 section 1.6]"""
    if status != 429:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    for holder, key, unit in ((headers, "Retry-After", 1), (body, "retry_after", 1), (error, "retry_after_seconds", 1),
                              (body, "retry_after_hours", 3600)):
        if isinstance(holder, dict) and key in holder:
            return int(holder[key]) * unit
    return None


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "iicp-lab-directory"
    sys_version = ""
    disable_nagle_algorithm = True

    def log_message(self, *args):
        """Quiet: /lab/requests knows everything."""

    def object(self):
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, error_body("request_error", "request rejected"))
        value = self.parsed()
        if not isinstance(value, dict):
            raise Refusal(400, error_body("request_error", "request rejected"))
        return value

    def parsed(self):
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    def read_body(self):
        n = int(self.headers.get("Content-Length") or 0)
        if n > SERVER_BODY_MAX:
            self.close_connection = True
            return b""
        return self.rfile.read(n) if n else b""

    def answer(self, status, body, headers=None, half=False):
        text = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else \
            json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text[:len(text) // 2] if half else text)

    # ---- the laboratory ----

    def laboratory(self, directory):
        body = json.loads(self.raw) if self.raw else {}
        call = (self.command, self.path)
        if call == ("POST", "/lab/faults"):
            return directory.add_faults(body)
        if call == ("DELETE", "/lab/faults"):
            return directory.clear_faults()
        if call == ("POST", "/lab/settings"):
            return directory.lab_settings(body)
        if self.path == "/lab/catalogue":
            return CATALOGUE
        with directory.lock:
            if self.path == "/lab/violations":
                found = {"violations": list(directory.watch.breaches)}
                if self.command == "DELETE":
                    directory.watch.breaches.clear()
                return found
            if self.command == "DELETE":
                directory.requests.clear()
                return {"ok": True}
        if self.path == "/lab/requests":
            return directory.lab_requests(self.query)
        return directory.lab_nodes()

    # ---- the protocol ----

    def run(self, directory, route):
        try:
            status, body, *headers = route(directory, self)
            return status, body, headers[0] if headers else {}
        except Refusal as r:
            return r.status, r.body, r.headers

    def redirect(self, fault):
        where = fault["redirect"]
        base = self.server.url.removesuffix("/api") if where == "same" else where.removesuffix("/api")
        query = "?" + self.query_text if self.query_text else ""
        headers = {"Location": base + self.path + query, "Retry-After": str(fault.get("retry_after", 0)),
                   **fault.get("headers", {})}
        return fault.get("redirect_status", 307), {}, headers

    def misbehave(self, directory, fault, route):
        status, body, headers = 0, None, {}
        if fault.get("after"):
            status, body, headers = self.run(directory, route)
        if fault.get("delay_ms"):
            directory.clock.sleep(fault["delay_ms"] / 1000)
        if "redirect" in fault:
            return self.redirect(fault)
        if "status" in fault:
            return fault["status"], fault.get("body", ""), fault.get("headers", {})
        if status == 0 and not fault.get("drop") and not fault.get("garbage"):
            status, body, headers = self.run(directory, route)
        if isinstance(body, dict) and 200 <= status < 300:
            body = {**body, **fault.get("answer", {})}
            for name in fault.get("without", []):
                body.pop(name, None)
        return status, body, headers

    def begin(self, directory, name, body):
        with directory.lock:
            if name == "register":
                directory.watch.register_begins(body, self.connection)
            elif name == "heartbeat":
                directory.watch.beat_begins(body, self.raw)

    def end(self, directory, name, body, result, lost):
        status, answer, headers = result
        wait = wait_hint(status, answer, headers)
        with directory.lock:
            if name == "register":
                directory.watch.register_ends(body, self.connection, 0 if lost else status, wait)
            elif name == "heartbeat":
                told = answer.get("next_heartbeat_ms") if isinstance(answer, dict) else None
                directory.watch.beat_ends(body, self.raw, status, wait, told, lost)

    def serve(self):
        directory = self.server.directory
        url = urllib.parse.urlsplit(self.path)
        self.path, self.query_text = url.path, url.query
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.source = self.client_address[0].removeprefix("::ffff:")
        self.raw, began = self.read_body(), directory.clock.mono()
        if self.path.startswith("/lab/"):
            self.answer(200, self.laboratory(directory))
            return
        name, route = directory.find(self.command, self.path)
        if directory.who == "replica":
            route = replica.route(name)
        body = self.parsed()
        body = body if isinstance(body, dict) else {}
        self.begin(directory, name, body)
        fault = directory.take_fault(name) or {}
        lost = bool(fault.get("drop") or fault.get("half") or fault.get("garbage"))
        try:
            result = self.misbehave(directory, fault, route)
        except Exception:
            self.end(directory, name, body, (500, None, {}), True)
            raise
        self.end(directory, name, body, result, lost)
        status, answer, headers = result
        directory.remember({
            "route": name, "method": self.command, "path": self.path, "query": self.query,
            "headers": {k.lower(): v for k, v in self.headers.items()}, "raw": self.raw.decode("utf-8", "replace"),
            "body": self.parsed(), "status": None if lost else status,
            "answer": answer if not isinstance(answer, bytes) else answer.decode("utf-8", "replace"),
            "source": self.source, "fault": fault.get("name"),
            "began_s": began, "ended_s": directory.clock.mono(), "real_s": time.monotonic()})
        if lost:
            self.lose(status, answer, headers, fault)
        else:
            self.answer(status, answer, headers)

    def lose(self, status, answer, headers, fault):
        self.close_connection = True
        if fault.get("garbage"):
            self.wfile.write(b"\x16\x03\x01 this is not HTTP \r\n\r\n")
        elif fault.get("half"):
            self.answer(status, answer, headers, half=True)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = serve

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError, BrokenPipeError, OSError):
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, directory, contexts=None):
        self.directory, self.contexts, self.open = directory, contexts, set()
        super().__init__(address, Request)
        scheme = "https" if contexts else "http"
        self.url = f"{scheme}://{address[0]}:{self.server_address[1]}/api"

    def get_request(self):
        connection, source = super().get_request()
        if self.contexts:
            with self.directory.lock:
                context = self.contexts[self.directory.settings["tls"]]
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.open.add(connection)
        return connection, source

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def go_away(self):
        """Refuses connections and cuts those that are open."""
        self.socket.close()
        for connection in list(self.open):
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def come_back(self):
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.server_bind()
        self.server_activate()


def public(server, directory):
    """Serves, except while the directory is down."""
    while True:
        serving = threading.Thread(target=server.serve_forever, args=(TURN_S,), daemon=True)
        serving.start()
        while directory.clock.mono() >= directory.down_until:
            time.sleep(TURN_S)
        server.shutdown()
        serving.join()
        server.go_away()
        while directory.clock.mono() < directory.down_until:
            time.sleep(TURN_S / 4)
        server.come_back()


def run(options):
    directory = Directory(options)
    contexts = None
    if options.tls:
        tls.make(options.tls)
        contexts = tls.contexts(options.tls)
    server = Server((options.host, options.port), directory, contexts)
    print(f"ready {server.url}", flush=True)
    if options.control:
        control = Server(("127.0.0.1", 0), directory)
        threading.Thread(target=control.serve_forever, daemon=True).start()
        print(f"control {control.url.removesuffix('/api')}", flush=True)
    try:
        public(server, directory)
    except KeyboardInterrupt:
        os._exit(130)
