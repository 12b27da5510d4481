# SPDX-License-Identifier: Apache-2.0
"""A native relay worker for tests: strict about each frame of the relay, obedient in what it answers."""

import contextlib
import json
import re
import threading

from native import CALL, CHAT, CLOSE, PING, PONG, RESPONSE, Native, dumps

BIND, RACK = 0x0B, 0x0C
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def dial(node, port, wrap=None):
    return Native(node, port=port, wrap=wrap)


def bind(conn, worker_id, models=("m1",), **more):
    """The RELAY_ACK."""
    conn.send(BIND, dumps({1: worker_id, 2: CHAT, 3: list(models), **{int(k[1:]): v for k, v in more.items()}}))
    kind, ack = conn.read()
    assert kind == RACK, (kind, ack)
    return ack


class NativeWorker:
    """Binds and answers each CALL with handler(task bytes) -> bytes of a result, or None for no answer."""

    def __init__(self, node, port, worker_id, handler, wrap=None):
        self.worker_id, self.handler = worker_id, handler
        self.conn = dial(node, port, wrap)
        ack = bind(self.conn, worker_id)
        assert ack == {1: "ok", 2: worker_id, 4: node.port}, ack
        self.calls, self.faults, self.closed = [], [], None
        self.conn.s.settimeout(120)
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def send(self, kind, payload):
        with self.lock:
            self.conn.send(kind, payload)

    def _loop(self):
        try:
            while True:
                kind, payload = self.conn.read()
                if kind == PONG:
                    continue
                if kind == CLOSE:
                    self.closed = payload[1]
                    return
                assert kind == CALL, (kind, payload)
                assert set(payload) <= {5, 11, 13, 14, 15} and UUID4.match(payload[15]), payload
                json.loads(payload[5])
                self.calls.append(payload)
                value = self.handler(payload[5])
                if value is not None:
                    self.send(RESPONSE, dumps({5: value, 15: payload[15]}))
        except (EOFError, OSError):
            pass
        except Exception as error:  # told at the end
            self.faults.append(error)

    def ping(self):
        self.send(PING, dumps({1: b""}))

    def stop(self):
        with contextlib.suppress(OSError):
            self.conn.s.shutdown(2)
        self.thread.join(60)
        self.conn.s.close()
        assert not self.faults, self.faults


@contextlib.contextmanager
def native_worker(node, port, worker_id, handler, wrap=None):
    w = NativeWorker(node, port, worker_id, handler, wrap)
    try:
        yield w
    finally:
        w.stop()
