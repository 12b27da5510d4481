#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./quickstart needs that a shell cannot do well: look for an inference server, read a port from
the control socket, and check that the node really answered the task.

    quickstart.py backend [URL]                      says what it found, lines for people and for the script
    quickstart.py port CONTROL-SOCKET
    quickstart.py before NODE-URL FILE               remembers the counters
    quickstart.py proof NODE-URL FILE ANSWER.json BACKEND-TYPE
"""

import http.client
import json
import re
import socket
import sys
import urllib.parse
import uuid

EMBEDDING = re.compile(r"embed|minilm|bge-|e5-|gte-|rerank", re.I)


def fetch(url, method="GET", body=None, headers=None, connect_s=1, answer_s=2):
    """(status, bytes); OSError when there is nobody."""
    u = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if u.scheme == "https" else http.client.HTTPConnection
    connection = kind(u.hostname, u.port, timeout=connect_s)
    try:
        connection.connect()
        connection.sock.settimeout(answer_s)
        connection.request(method, (u.path or "/") + (f"?{u.query}" if u.query else ""), body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(8 << 20)
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from None
    finally:
        connection.close()


def fetch_json(url):
    status, body = fetch(url)
    if status != 200:
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def names(entries, *keys):
    found = []
    for entry in entries if isinstance(entries, list) else []:
        for key in keys:
            if isinstance(entry, dict) and isinstance(entry.get(key), str) and entry[key]:
                found.append(entry[key])
                break
    return found


def look_at(url):
    """(type, models, loaded) of the server there, None when it is no inference server."""
    root = url.rstrip("/").removesuffix("/v1")
    if tags := fetch_json(root + "/api/tags"):
        loaded = names((fetch_json(root + "/api/ps") or {}).get("models"), "name", "model")
        return "ollama", names(tags.get("models"), "name", "model"), loaded
    if models := fetch_json(root + "/v1/models"):
        data = models.get("data")
        owners = {e.get("owned_by") for e in data if isinstance(e, dict)} if isinstance(data, list) else set()
        kind = "llamacpp" if "llamacpp" in owners else "vllm" if "vllm" in owners else "openai_compat"
        return kind, names(data, "id"), []
    return None


def backend(only=None):
    known = [("backend", only)] if only else [
        ("Ollama", "http://localhost:11434"), ("llama.cpp", "http://localhost:8080")]
    chosen = None
    for name, url in known:
        try:
            seen = look_at(url)
            words = "answers, but is no inference server" if not seen else f"{len(seen[1])} models"
        except OSError as error:
            seen, words = None, str(error.strerror or error).lower()
        if seen and seen[1] and not [m for m in seen[1] if not EMBEDDING.search(m)]:
            seen, words = None, words + ", none for chat"
        elif seen and not seen[1]:
            words = "no model" + ("; get one with: ollama pull llama3.2:1b" if seen[0] == "ollama" else "")
            seen = None
        if seen and chosen:
            words += " (also found)"
        print(f"{name:<10} {url:<24} {words}")
        if seen and not chosen:
            chosen = (name, url, *seen)
    if not chosen and only:
        sys.exit(f"nothing usable at {only}")
    if not chosen:
        print("-> demo backend. It returns fixed text and is not a model; start Ollama or llama.cpp")
        print("-> and run this again for a real one.")
        print("#demo")
        return
    name, url, kind, models, loaded = chosen
    chat = [m for m in loaded if m in models and not EMBEDDING.search(m)] or \
        [m for m in models if not EMBEDDING.search(m)]
    print(f"-> {name}, model {chat[0]}")
    print(f"#{kind}\nurl={url}\nmodel={chat[0]}")


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def port(path):
    connection = Unix(path)
    connection.request("GET", "/v1/status")
    status = json.loads(connection.getresponse().read())
    found = status["route"]["port"]
    print(found)


def successes(base):
    """Sum of iicp_tasks_total{status="success"} and of iicp_tokens_used_total."""
    tasks = tokens = 0.0
    for text in fetch(base + "/metrics")[1].decode().splitlines():
        if text.startswith("iicp_tasks_total{") and 'status="success"' in text:
            tasks += float(text.split()[-1])
        elif text.startswith("iicp_tokens_used_total{"):
            tokens += float(text.split()[-1])
    return {"tasks": int(tasks), "tokens": int(tokens)}


def before(base, path):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(successes(base), f)


def check(condition, text):
    if not condition:
        sys.exit(text)


def proof(base, path, answer_path, kind):
    with open(path, encoding="utf-8") as f:
        was = json.load(f)
    with open(answer_path, encoding="utf-8") as f:
        answer = json.load(f)
    health = json.loads(fetch(base + "/iicp/health")[1])
    node = answer["routing_receipt"]["selected_node_id_prefix"]
    check(node and str(health.get("node_id")).startswith(node),
          f"answered by {node}, our node is {health.get('node_id')}")
    check(answer.get("status") == "success", f"status {answer.get('status')}")
    uuid.UUID(answer["task_id"])
    content = answer.get("text")
    check(isinstance(content, str) and content.strip(), "the answer has no text")
    check(kind != "demo" or content.startswith("[demo]"), "the demo backend does not say that it is one")
    now = successes(base)
    check(now["tasks"] == was["tasks"] + 1, f"iicp_tasks_total went from {was['tasks']} to {now['tasks']}")
    wrong = {"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
             "payload": {"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]}}
    status, _ = fetch(base + "/v1/task", "POST", json.dumps(wrong), {"Content-Type": "application/json"}, 2, 10)
    check(status == 404, f"a model that is not there gave {status}, not 404")
    tokens = (answer.get("usage") or {}).get("total_tokens")
    both = answer.get("encrypted") and answer.get("answer_encrypted")
    check(both, "it did not travel encrypted both ways")
    print("    " + content.strip().replace("\n", "\n    "))
    print()
    print(f"Proof    discovered, selected, submitted; HTTP 200, status success, task {answer['task_id'][:8]},")
    print(f"         answered by our node {node[:8]}"
          + ", encrypted both ways")
    print(f"         iicp_tasks_total{{status=\"success\"}} {was['tasks']} -> {now['tasks']}; "
          + (f"the backend counted {tokens} tokens, we {now['tokens'] - was['tokens']}"
             if isinstance(tokens, int) else "the backend counted no tokens"))
    print("         a model that is not there is refused with 404")
    if kind == "demo":
        print("         The demo backend is no model: start Ollama or llama.cpp for a real answer")


def main():
    verb, *args = sys.argv[1:] or [""]
    verbs = {"backend": backend, "port": port, "before": before, "proof": proof}
    if verb not in verbs:
        sys.exit(__doc__)
    try:
        verbs[verb](*[a for a in args if a])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        sys.exit(f"{verb}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
