# SPDX-License-Identifier: Apache-2.0
"""A long-poll worker for tests: strict about what the relay says, obedient in what it answers."""

import contextlib
import http.client
import json
import re
import threading

from conftest import ask

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
CHAT = "urn:iicp:intent:llm:chat:v1"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def bind(node, worker_id, headers=None, **members):
    return node.post("/v1/relay/bind", {"worker_id": worker_id, **members}, headers)


def bound(node, worker_id, **members):
    """Session token of a fresh bind."""
    answer = bind(node, worker_id, **members)
    assert answer.status == 200, answer
    said = answer.json()
    assert sorted(said) == ["poll_timeout_s", "session_token", "worker_endpoint_path"]
    assert said["poll_timeout_s"] == 25 and said["worker_endpoint_path"] == f"/v1/relay-for/{worker_id}"
    assert re.fullmatch(r"[0-9a-f]{64}", said["session_token"])
    return said["session_token"]


def pull(node, token, timeout=60):
    return node.request("GET", "/v1/relay/pull", None, bearer(token), timeout)


def result(node, token, call_id, value):
    return node.post("/v1/relay/result", {"call_id": call_id, "result": value}, bearer(token))


class Later:
    """A request of ours that waits in a thread of its own."""

    def __init__(self, fn, *args, **keys):
        self.value = self.error = None
        self.thread = threading.Thread(target=self._run, args=(fn, args, keys), daemon=True)
        self.thread.start()

    def _run(self, fn, args, keys):
        try:
            self.value = fn(*args, **keys)
        except Exception as error:  # told where it is waited for
            self.error = error

    def done(self):
        return not self.thread.is_alive()

    def get(self, timeout=60):
        self.thread.join(timeout)
        assert self.done(), f"no answer within {timeout} s"
        if self.error:
            raise self.error
        return self.value


class Worker:
    """Binds, pulls and answers until it is stopped: handler(task) -> result object."""

    def __init__(self, node, worker_id, handler, pulls=1, **members):
        self.node, self.worker_id, self.handler = node, worker_id, handler
        self.token = bound(node, worker_id, **members)
        self.stopping, self.seen, self.faults = False, [], []
        self.threads = [threading.Thread(target=self._loop, daemon=True) for _ in range(pulls)]
        for t in self.threads:
            t.start()

    def _loop(self):
        try:
            while not self.stopping:
                got = pull(self.node, self.token)
                if got.status == 204:
                    assert got.body == b""
                    continue
                if got.status != 200:
                    assert got.status == 401 and self.stopping, got
                    return
                call = got.json()
                assert sorted(call) == ["call_id", "task"] and UUID4.match(call["call_id"]), call
                self.seen.append(call["call_id"])
                value = self.handler(call["task"])
                if value is not None:
                    assert result(self.node, self.token, call["call_id"], value).status == 204
        except Exception as error:
            if not self.stopping:
                self.faults.append(error)

    def stop(self):
        self.stopping = True
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.node.post("/v1/relay/unbind", {}, bearer(self.token))
        for t in self.threads:
            t.join(60)
        assert not self.faults, self.faults


@contextlib.contextmanager
def worker(node, worker_id, handler, pulls=1, **members):
    w = Worker(node, worker_id, handler, pulls, **members)
    try:
        yield w
    finally:
        w.stop()


def task_for(node, worker_id, task, headers=None, timeout=60):
    return node.request("POST", f"/v1/relay-for/{worker_id}/v1/task", task, headers, timeout)


def raw_task(node, path, body, headers=None, timeout=60):
    """Bytes as they are, with the JSON type."""
    return ask(http.client.HTTPConnection(node.host, node.port, timeout=timeout), "POST", path, body,
               {"Content-Type": "application/json", **(headers or {})})
