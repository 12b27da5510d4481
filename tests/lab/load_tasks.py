#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a node for tasks until a file appears; each has to be answered.

    load_tasks.py URL END-FILE [WORKERS]      says "N answered", and each failure; exit 1 if there was one"""

import http.client
import json
import os
import sys
import threading
import urllib.parse
import uuid

url, end = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
workers = int(sys.argv[3]) if len(sys.argv) > 3 else 2
counts = {"answered": 0}
failures = []
lock = threading.Lock()


def one_task():
    body = json.dumps({"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1", "timeout_ms": 60000,
                       "payload": {"messages": [{"role": "user", "content": "Why?"}]}})
    c = http.client.HTTPConnection(url.hostname, url.port, timeout=90)
    try:
        c.request("POST", "/v1/task", body, {"Content-Type": "application/json"})
        answer = c.getresponse()
        text = answer.read()
        if answer.status != 200:
            return f"{answer.status} {text[:200]}"
        return "" if json.loads(text).get("status") == "success" else text[:200].decode()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        c.close()


def work():
    while not os.path.exists(end):
        why = one_task()
        with lock:
            if why:
                failures.append(why)
            else:
                counts["answered"] += 1
            if len(failures) > 10:
                return


threads = [threading.Thread(target=work) for _ in range(workers)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(counts["answered"], "answered", *failures[:3], sep="; ")
sys.exit(1 if failures or not counts["answered"] else 0)
