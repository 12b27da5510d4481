# SPDX-License-Identifier: Apache-2.0
"""What abuse of a relay does to the times of its honest workers: for the job lab, since it measures."""

import contextlib
import re
import threading
import time
import uuid

import pytest

from conftest import free_port
from longpoll import bearer, bind, bound, result, task_for, worker

pytestmark = pytest.mark.real


def percentile(times, q):
    return sorted(times)[min(len(times) - 1, int(len(times) * q))]


def measure(node, seconds):
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        answer = task_for(node, "honest", {"task_id": str(uuid.uuid4())})
        assert answer.status == 200, answer
        times.append(time.monotonic() - start)
    return times


@contextlib.contextmanager
def abuse(node, *kinds):
    stop = threading.Event()

    def run(fn):
        while not stop.is_set():
            with contextlib.suppress(OSError, Exception):
                fn()
            stop.wait(0.002)  # the stubs share two cores with the daemon

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in kinds]
    for t in threads:
        t.start()
    try:
        yield
    finally:
        stop.set()
        for t in threads:
            t.join(30)


def test_DIR_RELAY_02_honest_sessions_under_abuse(node_factory):
    """Bind floods, guessed tokens, answers for others, a slow worker: the p99 of others at most doubles (and is allowed
    20 ms for the stubs, which share two cores with the daemon)."""
    node = node_factory(relay__operator="yes", relay__port=free_port())
    slow = bound(node, "slow")
    with worker(node, "honest", lambda task: {"result": {}}, pulls=2):
        measure(node, 1)
        calm = measure(node, 6)
        before = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{node.pid}/status").read()).group(1))
        with abuse(node, lambda: bind(node, str(uuid.uuid4())),
                   lambda: node.get("/v1/relay/pull", bearer(uuid.uuid4().hex * 2)),
                   lambda: result(node, slow, str(uuid.uuid4()), {"result": {"x": "y" * 100000}}),
                   lambda: node.request("POST", "/v1/relay-for/slow/v1/task", {"x": "y" * 100000,
                                        "constraints": {"timeout_ms": 1}}, None, 30)):
            stormy = measure(node, 10)
        after = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{node.pid}/status").read()).group(1))
    p99 = [percentile(t, 0.99) * 1000 for t in (calm, stormy)]
    print(f"p99 calm {p99[0]:.1f} ms, under abuse {p99[1]:.1f} ms; memory {before} kB, {after} kB; "
          f"{len(calm)} and {len(stormy)} tasks")
    assert p99[1] <= 2 * p99[0] + 20, p99
    assert after - before < 40_000
