#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict fake of an inference server (OpenAI dialect), for faults that a real one does not make on demand.

    fake_backend.py [--port N] [--host H] [--models a,b] [--flavour ollama|llamacpp|vllm|lmstudio|meshllm|anthropic|custom]

Prints its URL, then serves until it is ended. It is told by requests to its own port:

    POST /_control   {"rules": [RULE...], "models": [...], "flavour": "...", "refuse_ms": N, ...}   members replace
    GET  /_requests  every request so far (not those of /_...): method, path, headers, body, connection, nth
    POST /_forget    empties that list

A RULE is taken for a request whose path equals "path" (or any, without), "times" times (always, without):

    {"path", "times", "after": N           not for the first N matching requests
     "mode": "answer" (default) | "reset" | "close" | "hang" | "garbage" | "close_mid" | "reset_mid" | "endless" | "trickle"
             | "stall" (half of the body, then nothing) | "events" (each of "events" as a data line, one each
             piece_ms, over again with "forever": true; the body ends after the last) ,
     "on_reused": true                     only for a request that is not the first of its connection
     "status": 200, "headers": {...}, "json": any or "body": text or "base64": text or "size": N blanks, "chunked": true,
     "delay_ms": N, "piece_ms": N}         trickle: one byte each piece_ms

A request that breaks the manners (no Host, POST without application/json, Expect) is answered 400.
"""

import argparse
import base64
import email
import email.policy
import json
import socket
import struct
import sys
import threading
import time

LIMIT = 16 * 1024 * 1024


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Gone(Exception):
    pass


class Fake:
    def __init__(self, host, port, models, flavour):
        self.lock = threading.Lock()
        self.state = {"models": models, "flavour": flavour, "rules": [], "slots": 2, "context": 2048,
                      "loaded": models, "key": None, "text": "Hello from the fake.", "ready": True}
        self.requests = []
        self.connections = 0
        self.active = self.most_active = 0
        self.cancelled = self.said = 0
        self.listener = None
        self.listen(host, port)
        self.host, self.port = self.listener.getsockname()[:2]

    def listen(self, host, port):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        s.listen(1024)
        self.listener = s

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                self.back.wait()
                continue
            self.connections += 1
            threading.Thread(target=self.connection, args=(sock, self.connections), daemon=True).start()

    def refuse(self, ms):
        """Nothing listens for a while; connections that are open stay."""
        self.back = threading.Event()
        old = self.listener
        old.shutdown(socket.SHUT_RDWR)
        old.close()

        def again():
            self.listen(self.host, self.port)
            self.back.set()
        threading.Timer(ms / 1000, again).start()

    # ---- one connection ----

    def connection(self, sock, number):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data, nth = b"", 0
        try:
            while True:
                request, data = self.read(sock, data)
                nth += 1
                request["connection"], request["nth"] = number, nth
                if not self.answer(sock, request):
                    break
        except (Gone, OSError, ValueError):
            pass
        finally:
            sock.close()

    def read(self, sock, data):
        while b"\r\n\r\n" not in data:
            data = data + self.more(sock, len(data))
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = [line.split(":", 1) for line in lines[1:]]
        headers = [[k, v.strip()] for k, v in headers]
        length = int(next((v for k, v in headers if k.lower() == "content-length"), 0))
        while len(data) < length:
            data = data + self.more(sock, len(data))
        return {"method": method, "path": path, "headers": headers,
                "body": data[:length].decode("utf-8", "replace")}, data[length:]

    @staticmethod
    def more(sock, have):
        piece = sock.recv(65536) if have < LIMIT else b""
        if not piece:
            raise Gone
        return piece

    # ---- answers ----

    def answer(self, sock, request):
        if request["path"].startswith("/_"):
            self.own(sock, request)
            return True
        with self.lock:
            self.requests.append(request)
            rule = self.rule_for(request)
        post = request["method"] == "POST"
        if post:
            with self.lock:
                self.active += 1
                self.most_active = max(self.most_active, self.active)
        try:
            if rule:
                return self.by_rule(sock, request, rule)
            status, headers, body = self.ordinary(request)
            return self.send(sock, status, headers, body)
        finally:
            if post:
                with self.lock:
                    self.active -= 1

    def rule_for(self, request):
        for rule in self.state["rules"]:
            if rule.get("path", request["path"]) != request["path"]:
                continue
            if rule.get("on_reused") and request["nth"] == 1:
                continue
            if rule.get("after", 0) > 0:
                rule["after"] -= 1
                continue
            if "times" in rule:
                if rule["times"] <= 0:
                    continue
                rule["times"] -= 1
            return rule
        return None

    def by_rule(self, sock, request, rule):
        mode = rule.get("mode", "answer")
        if not self.wait(sock, rule.get("delay_ms", 0) / 1000):
            return False
        if mode == "reset":
            reset(sock)
            raise Gone
        if mode == "close":
            return False
        if mode == "hang":
            self.wait(sock, 3600)
            return False
        if mode == "garbage":
            sock.sendall(b"\x00\x01\x02 this is not HTTP\r\n\r\n" * 4)
            return False
        status, headers, body = self.ordinary(request)
        if mode == "events":
            return self.events(sock, rule)
        if {"status", "json", "body", "base64", "size"} & rule.keys():
            status, headers = rule.get("status", 200), {"Content-Type": "application/json"}
            body = json.dumps(rule["json"]).encode() if "json" in rule else \
                base64.b64decode(rule["base64"]) if "base64" in rule else \
                b" " * rule["size"] if "size" in rule else rule.get("body", "").encode()
        headers = {**headers, **rule.get("headers", {})}
        if mode in ("close_mid", "reset_mid"):
            text = self.head(status, headers, len(body)) + body[:max(1, len(body) // 2)]
            sock.sendall(text)
            if mode == "reset_mid":
                reset(sock)
            raise Gone
        if mode == "stall":
            sock.sendall(self.head(status, headers, len(body)) + body[:max(1, len(body) // 2)])
            self.wait(sock, 3600)
            return False
        if mode == "endless":
            sock.sendall(self.head(status, headers, None))
            piece = b" " * 65536
            while True:
                sock.sendall(b"10000\r\n" + piece + b"\r\n")
        if mode == "trickle":
            for byte in self.head(status, headers, len(body)) + body:
                sock.sendall(bytes([byte]))
                if not self.wait(sock, rule.get("piece_ms", 1) / 1000):
                    return False
            return True
        return self.send(sock, status, headers, body, rule.get("chunked", False))

    def events(self, sock, rule):
        sock.sendall(self.head(200, {"Content-Type": "text/event-stream"}, None))
        while True:
            for event in rule["events"]:
                line = b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n"
                sock.sendall(b"%x\r\n%s\r\n" % (len(line), line))
                with self.lock:
                    self.said += 1
                if not self.wait(sock, rule.get("piece_ms", 0) / 1000):
                    return False
            if not rule.get("forever"):
                sock.sendall(b"0\r\n\r\n")
                return True

    def wait(self, sock, seconds):
        """False, and counted, if the other side goes away meanwhile."""
        end = time.monotonic() + seconds
        while seconds > 0:
            left = end - time.monotonic()
            if left <= 0:
                break
            sock.settimeout(left)
            try:
                if not sock.recv(1, socket.MSG_PEEK):
                    self.cancelled += 1
                    return False
                break
            except TimeoutError:
                break
            except OSError:
                self.cancelled += 1
                return False
        sock.settimeout(None)
        return True

    @staticmethod
    def head(status, headers, length):
        lines = [f"HTTP/1.1 {status} Status"] + [f"{k}: {v}" for k, v in headers.items()]
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, sock, status, headers, body, chunked=False):
        if chunked:
            sock.sendall(self.head(status, headers, None))
            for i in range(0, len(body), 7):
                piece = body[i:i + 7]
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
        else:
            sock.sendall(self.head(status, headers, len(body)) + body)
        return headers.get("Connection", "").lower() != "close"

    def own(self, sock, request):
        out = {}
        with self.lock:
            if request["path"] == "/_control":
                change = json.loads(request["body"])
                ms = change.pop("refuse_ms", None)
                self.state.update(change)
                out = {"ok": True}
            elif request["path"] == "/_forget":
                self.requests.clear()
                self.most_active, self.cancelled = 0, 0
                out, ms = {"ok": True}, None
            else:
                out = {"requests": self.requests, "connections": self.connections, "active": self.active,
                       "most_active": self.most_active, "cancelled": self.cancelled, "said": self.said}
                ms = None
            text = json.dumps(out).encode()
        if ms:
            self.refuse(ms)
        self.send(sock, 200, {"Content-Type": "application/json"}, text)

    # ---- what a healthy server says ----

    def ordinary(self, request):
        names = {k.lower(): v for k, v in request["headers"]}
        flavour, path = self.state["flavour"], request["path"]
        headers = {"Content-Type": "application/json"}
        if flavour == "llamacpp":
            headers["Server"] = "llama.cpp"
        if flavour == "vllm":
            headers["Server"] = "uvicorn"
        if flavour == "lmstudio":
            headers["X-Powered-By"] = "Express"

        def say(status, value):
            if status >= 400:
                headers["Connection"] = "close"
            return status, headers, json.dumps(value).encode()

        def fault(status, message):
            return say(status, {"error": {"message": message, "type": "fake", "code": status}})
        if "host" not in names or "expect" in names:
            return fault(400, "bad headers")
        key = names.get("x-api-key") if flavour == "anthropic" else names.get("authorization", "")[7:]
        if self.state["key"] and key != self.state["key"]:
            return fault(401, "Invalid API Key")
        if flavour == "anthropic" and names.get("anthropic-version") != "2023-06-01":
            return fault(400, "anthropic-version: header is required")
        if request["method"] == "GET":
            return self.get(path, flavour, say, fault)
        if path == "/v1/audio/transcriptions":
            return self.transcribe(request, names.get("content-type", ""), headers, say, fault)
        if names.get("content-type") != "application/json":
            return fault(400, "Unsupported Media Type")
        try:
            body = json.loads(request["body"])
        except ValueError:
            return fault(400, "parse error")
        return self.post(path, body, headers, say, fault)

    def get(self, path, flavour, say, fault):
        models = self.state["models"]
        if path == "/readyz" and flavour == "meshllm":
            return say(200 if self.state["ready"] else 503, {})
        if path == "/v1/models":
            return say(200, {"object": "list", "data": [{"id": m, "object": "model"} for m in models]})
        if path == "/api/tags" and flavour == "ollama":
            return say(200, {"models": [{"name": m, "model": m} for m in models]})
        if path == "/api/ps" and flavour == "ollama":
            return say(200, {"models": [{"name": m, "context_length": self.state["context"]}
                                        for m in self.state["loaded"]]})
        if path == "/api/version" and flavour in ("ollama", "lmstudio"):
            return say(200, {"version": "0"})
        if path == "/props" and flavour == "llamacpp":
            return say(200, {"total_slots": self.state["slots"],
                             "default_generation_settings": {"n_ctx": self.state["context"]}})
        if path == "/api/v1/models" and flavour == "lmstudio":
            return say(200, {"models": [{"key": m, "id": m, "loaded_instances": [{"state": "loaded"}]}
                                        for m in models]})
        return fault(404, "File Not Found")

    def post(self, path, body, headers, say, fault):
        usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
        model, text = body.get("model", ""), self.state["text"]
        if self.state["flavour"] == "anthropic":
            return self.messages(path, body, headers, say, fault)
        if path == "/v1/chat/completions" and body.get("stream"):
            events = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]}]
            events += [{"choices": [{"index": 0, "delta": {"content": c}, "finish_reason": None}]} for c in text]
            events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
            lines = ["data: " + json.dumps({"id": "fake-1", "object": "chat.completion.chunk", "created": 1,
                                            "model": model, **e}) + "\n\n" for e in events]
            headers["Content-Type"] = "text/event-stream"
            return 200, headers, ("".join(lines) + "data: [DONE]\n\n").encode()
        if path == "/v1/chat/completions":
            return say(200, {"id": "fake-1", "object": "chat.completion", "created": 1, "model": model,
                             "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                                          "finish_reason": "stop"}], "usage": usage})
        if path == "/v1/completions":
            return say(200, {"id": "fake-2", "object": "text_completion", "model": model,
                             "choices": [{"index": 0, "text": text, "finish_reason": "stop"}], "usage": usage})
        if path == "/v1/embeddings":
            inputs = body["input"] if isinstance(body.get("input"), list) else [body.get("input")]
            return say(200, {"object": "list", "model": model, "data": [
                {"object": "embedding", "index": i, "embedding": [0.25, -0.5]} for i in range(len(inputs))], "usage": usage})
        if path == "/v1/audio/speech":
            if set(body) - {"model", "input", "voice", "response_format", "speed"} or not body.get("voice"):
                return fault(400, "what is not known")
            headers["Content-Type"] = "audio/wav"
            return 200, headers, b"RIFF\x00\xff" + body["input"].encode()
        if path == "/v1/moderations":
            inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
            return say(200, {"id": "modr-1", "model": model or "moderator", "results": [
                {"flagged": "bad" in i, "categories": {}, "category_scores": {}} for i in inputs]})
        if path == "/v1/rerank":
            scored = [{"index": i, "relevance_score": float(len(d))} for i, d in enumerate(body["documents"])]
            return say(200, {"model": model, "results": scored, "usage": usage})
        return fault(404, "File Not Found")

    def transcribe(self, request, content_type, headers, say, fault):
        """A form, read by somebody else's parser."""
        text = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + request["body"].encode()
        form = email.message_from_bytes(text, policy=email.policy.HTTP)
        if form.get_content_type() != "multipart/form-data":
            return fault(400, "no form")
        parts = {p.get_param("name", header="content-disposition"): p for p in form.iter_parts()}
        if set(parts) - {"file", "model", "language", "prompt", "temperature", "response_format"} or "file" not in parts:
            return fault(400, "parts are missing, or are not known")
        heard = {n: p.get_content().rstrip("\r\n") for n, p in parts.items() if n != "file"}
        heard["filename"] = parts["file"].get_filename()
        heard["bytes"] = len(parts["file"].get_payload(decode=True))
        if heard["response_format"] == "text":
            headers["Content-Type"] = "text/plain; charset=utf-8"
            return 200, headers, "hallo wält".encode()
        return say(200, {"text": "hallo", "heard": heard})

    def messages(self, path, body, headers, say, fault):
        """Anthropic's dialect: what it demands, and no member that it does not know."""
        known = {"model", "messages", "system", "max_tokens", "temperature", "top_p", "stop_sequences", "stream"}
        if path != "/v1/messages":
            return fault(404, "Not Found")
        if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
            return fault(400, "max_tokens is required and must be positive")
        if set(body) - known or any(m["role"] not in ("user", "assistant") for m in body["messages"]):
            return fault(400, "Extra inputs are not permitted")
        text, usage = self.state["text"], {"input_tokens": 5, "output_tokens": 4}
        if not body.get("stream"):
            return say(200, {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
                             "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage})
        events = [{"type": "message_start", "message": {"id": "msg_1", "model": body["model"], "usage": {"input_tokens": 5}}},
                  {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, {"type": "ping"}]
        events += [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": c}} for c in text]
        events += [{"type": "content_block_stop", "index": 0},
                   {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
                   {"type": "message_stop"}]
        headers["Content-Type"] = "text/event-stream"
        return 200, headers, "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()


def main():
    parser = argparse.ArgumentParser(description="a strict fake of an inference server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--models", default="tiny")
    parser.add_argument("--flavour", default="custom")
    args = parser.parse_args()
    fake = Fake(args.host, args.port, [m for m in args.models.split(",") if m], args.flavour)
    print(f"http://{fake.host}:{fake.port}", flush=True)
    try:
        fake.serve()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
