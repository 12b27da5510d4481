#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict fake of an inference server: it speaks the OpenAI dialect (and what tells an Ollama or a
llama.cpp apart), refuses what a careful node never sends, remembers every request and can be told to
misbehave.

    fake_backend.py [--port 0] [--flavour openai|ollama|llamacpp|vllm] [--models a,b] [--api-key K] [--delay-ms N]

  GET    /lab/requests[?path=/v1/chat/completions]   what was asked, with what was wrong about it
  DELETE /lab/requests
  POST   /lab/settings {"delay_ms":0,"models":[..],"text":null,"slots":4}
  POST   /lab/faults {"path":"/v1/chat/completions","status":500,"body":{..},"headers":{..},
                      "drop":false,"cut":false,"hang":false,"count":1}    one or a list; count 0 = until cleared
  DELETE /lab/faults
"""

import argparse
import json
import select
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_MAX = 8 << 20
REQUESTS_KEPT = 20000
# of a caller's request nothing may travel on
FOREIGN = ("origin", "cookie", "forwarded", "x-forwarded-for", "x-iicp-consumer-token", "referer", "te", "upgrade")


class Backend:
    def __init__(self, options):
        self.flavour, self.api_key = options.flavour, options.api_key
        self.models = options.models.split(",")
        self.delay_ms, self.text, self.slots = options.delay_ms, None, 4
        self.lock = threading.Lock()
        self.requests, self.faults, self.running, self.most = [], [], 0, 0

    def fault(self, path):
        with self.lock:
            for f in self.faults:
                if f.get("path") in (None, path):
                    if f.get("count", 1) > 0:
                        f["count"] = f.get("count", 1) - 1
                        if f["count"] == 0:
                            self.faults.remove(f)
                    return f
        return None


def nulls(body):
    """Null members and members that start with an underscore."""
    return [k for k, v in body.items() if v is None or k.startswith("_")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fake", ""
    backend = None

    def log_message(self, *_):
        """Quiet: /lab/requests knows everything."""

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, status, value, headers=None, raw=None):
        body = raw if raw is not None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, message, kind="invalid_request_error"):
        self.send(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})

    def read(self):
        n = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(n) if 0 < n <= BODY_MAX else b""

    # ---- the lab's own ----

    def lab(self, path, query):
        b = self.backend
        if path == "/lab/requests" and self.command == "GET":
            with b.lock:
                found = [r for r in b.requests if query.get("path", [r["path"]])[0] == r["path"]]
            self.send(200, {"requests": found, "running": b.running, "most": b.most})
        elif path == "/lab/settings" and self.command == "POST":
            with b.lock:
                for name, value in json.loads(self.read()).items():
                    setattr(b, name, value)
            self.send(200, {})
        elif path == "/lab/faults" and self.command == "POST":
            faults = json.loads(self.read())
            with b.lock:
                b.faults.extend(faults if isinstance(faults, list) else [faults])
            self.send(200, {})
        elif path in ("/lab/requests", "/lab/faults") and self.command == "DELETE":
            with b.lock:
                (b.requests if path == "/lab/requests" else b.faults).clear()
            self.send(200, {})
        else:
            self.error(404, "no such thing in the lab")

    # ---- what a careful node never sends ----

    def wrong(self, raw):
        """(complaint, parsed body)"""
        host = f"127.0.0.1:{self.server.server_address[1]}"
        if self.headers.get("Host") not in (host, host.replace("127.0.0.1", "localhost")):
            return f"Host is {self.headers.get('Host')}", None
        for name in FOREIGN:
            if name in self.headers:
                return f"header {name}", None
        want = f"Bearer {self.backend.api_key}" if self.backend.api_key else None
        if self.headers.get("Authorization") != want:
            return "Authorization is not as configured", None
        if self.command != "POST":
            return (None, None) if not raw else ("a body with GET", None)
        if (self.headers.get("Content-Type") or "").split(";")[0] != "application/json":
            return "Content-Type", None
        if "Expect" in self.headers:
            return "Expect", None
        try:
            body = json.loads(raw)
        except ValueError:
            return "no JSON", None
        if not isinstance(body, dict):
            return "no object", None
        bad = nulls(body)
        return (f"members {bad}", body) if bad else (None, body)

    # ---- answers ----

    def models_list(self):
        b = self.backend
        owner = {"openai": "lab", "ollama": "library", "llamacpp": "llamacpp", "vllm": "vllm"}[b.flavour]
        answer = {"object": "list", "data": [
            {"id": m, "object": "model", "created": 1764000000, "owned_by": owner} for m in b.models]}
        if b.flavour == "llamacpp":
            answer["models"] = [{"name": m, "model": m, "modified_at": "", "size": ""} for m in b.models]
        return answer

    def get(self, path):
        b = self.backend
        known = {"/v1/models": self.models_list}
        if b.flavour == "ollama":
            known["/api/tags"] = lambda: {"models": [{"name": m, "model": m, "size": 1} for m in b.models]}
            known["/api/version"] = lambda: {"version": "0.17.4"}
            known["/api/ps"] = lambda: {"models": []}
        if b.flavour == "llamacpp":
            known["/health"] = lambda: {"status": "ok"}
            known["/props"] = lambda: {"total_slots": b.slots, "default_generation_settings": {"n_ctx": 2048}}
            known["/slots"] = lambda: [{"id": i, "n_ctx": 2048, "is_processing": False} for i in range(b.slots)]
        if path in known:
            self.send(200, known[path]())
        elif b.flavour == "vllm" and path == "/health":
            self.send(200, None, {"Content-Type": "text/plain"}, b"")
        else:
            self.error(404, "File Not Found", "not_found_error")

    def gone(self, seconds):
        """Waits so long, or until the node closes; true if it did."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.connection], [], [], rest)
            if ready and self.connection.recv(1, socket.MSG_PEEK) == b"":
                return True
            if ready:
                return False
        return False

    def complete(self, path, body, record):
        b = self.backend
        model = body.get("model")
        if model not in b.models and f"{model}:latest" not in b.models:
            return self.error(404, f"model '{model}' not found", "not_found_error")
        if path == "/v1/embeddings":
            texts = body.get("input")
            texts = texts if isinstance(texts, list) else [texts]
            if not texts or not all(isinstance(t, str) for t in texts):
                return self.error(400, "'input' must be text")
            return self.send(200, {"object": "list", "model": model, "data": [
                {"object": "embedding", "index": i, "embedding": [0.25, -0.5, 1.0]} for i in range(len(texts))],
                "usage": {"prompt_tokens": sum(map(len, texts)), "total_tokens": sum(map(len, texts))}})
        if path == "/v1/chat/completions":
            messages = body.get("messages")
            if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
                return self.error(400, "[] is too short - 'messages'")
            prompt = messages[-1].get("content")
        else:
            prompt = body.get("prompt")
        prompt = prompt if isinstance(prompt, str) else json.dumps(prompt)
        text = b.text if b.text is not None else f"You said: {prompt}"
        limit = body.get("max_tokens")
        finish = "stop"
        if isinstance(limit, int) and limit < len(text.split()):
            text, finish = " ".join(text.split()[:limit]), "length"
        if b.delay_ms and self.gone(b.delay_ms / 1000):
            record["gone"] = True
            self.close_connection = True
            return None
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(text.split()),
                 "total_tokens": len(prompt) + len(text.split())}
        if body.get("stream"):
            return self.stream(path, model, text, finish, usage)
        choice = {"index": 0, "finish_reason": finish}
        if path == "/v1/chat/completions":
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        return self.send(200, {"id": "chatcmpl-lab", "object": "chat.completion", "created": 1764000000,
                               "model": model, "choices": [choice], "usage": usage},
                         {"X-Inner": "stays inside"})

    def stream(self, path, model, text, finish, usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def event(value):
            data = b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        head = {"id": "chatcmpl-lab", "object": "chat.completion.chunk", "created": 1764000000, "model": model}
        chat = path == "/v1/chat/completions"
        for i, word in enumerate(text.split(" ")):
            piece = word if i == 0 else " " + word
            event({**head, "choices": [{"index": 0, "finish_reason": None,
                                        **({"delta": {"role": "assistant", "content": piece}} if chat
                                           else {"text": piece})}]})
        event({**head, "choices": [{"index": 0, "finish_reason": finish, **({"delta": {}} if chat else {"text": ""})}]})
        event({**head, "choices": [], "usage": usage})
        event(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        b = self.backend
        if url.path.startswith("/lab/"):
            return self.lab(url.path, urllib.parse.parse_qs(url.query))
        raw = self.read()
        complaint, body = self.wrong(raw)
        record = {"method": self.command, "path": url.path, "query": url.query, "body": body,
                  "headers": {k.lower(): v for k, v in self.headers.items() if k.lower() != "authorization"},
                  "authorized": "Authorization" in self.headers, "wrong": complaint, "gone": False}
        with b.lock:
            b.requests.append(record)
            del b.requests[:-REQUESTS_KEPT]
        fault = b.fault(url.path)
        if fault:
            return self.misbehave(fault, record)
        if complaint:
            return self.error(401 if complaint.startswith("Authorization") else 400, complaint)
        if self.command in ("GET", "HEAD"):
            return self.get(url.path)
        if url.path not in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
            return self.error(404, "File Not Found", "not_found_error")
        with b.lock:
            b.running += 1
            b.most = max(b.most, b.running)
        try:
            return self.complete(url.path, body, record)
        finally:
            with b.lock:
                b.running -= 1

    def misbehave(self, fault, record):
        if fault.get("hang"):
            record["gone"] = self.gone(600)
        if fault.get("hang") or fault.get("drop"):
            self.close_connection = True
            return None
        if fault.get("cut"):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices":[')
            self.close_connection = True
            return None
        value = fault.get("body", {"error": {"message": "told to fail", "type": "server_error", "code": 500}})
        raw = value.encode() if isinstance(value, str) else None
        return self.send(fault.get("status", 500), value, fault.get("headers"), raw)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--flavour", choices=("openai", "ollama", "llamacpp", "vllm"), default="openai")
    p.add_argument("--models", default="lab-model")
    p.add_argument("--api-key")
    p.add_argument("--delay-ms", type=int, default=0)
    options = p.parse_args()
    Handler.backend = Backend(options)
    server = Server(("127.0.0.1", options.port), Handler)
    print(f"ready http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
