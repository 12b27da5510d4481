# SPDX-License-Identifier: Apache-2.0
"""What no node may ever do, checked on every request. A breach is kept for GET /lab/violations."""

import hashlib
import json
import socket

SLACK_S = 0.3        # of clocks, of the way
REGISTER_GAP_S = 5
REGISTERS_PER_MINUTE = 10
EXTRA_GAP_S = 10
KEPT = 1000


def hung_up(connection):
    """The peer has closed or reset this connection."""
    try:
        connection.settimeout(0)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, TimeoutError):
        return False
    except (OSError, ValueError):
        return True
    finally:
        try:
            connection.settimeout(None)
        except OSError:
            pass


class Life:
    """One node as it was seen."""

    def __init__(self):
        self.open_registers = []   # connections whose REGISTER is not answered
        self.registers = []        # when they came
        self.register_at = 0.0     # not before
        self.batches = {}
        self.beat = None           # the last one: (when, raw, available, answered)
        self.beat_at = 0.0         # not before
        self.good = 0.0            # when the last one was answered well
        self.extra_s = None        # when the last extra beat came
        self.open_beats = 0
        self.interval_ms = 30000   # that it was told


class Watch:
    def __init__(self, clock):
        self.clock = clock
        self.lives, self.identities, self.breaches = {}, {}, []
        self.counted = {}  # batches that were carried out, also those of nodes that were forgotten

    def life(self, node_id):
        return self.lives.setdefault(node_id, Life())

    def breach(self, rule, text, node_id=None):
        self.breaches.append({"at_s": self.clock.mono(), "rule": rule, "node_id": node_id, "text": text})
        del self.breaches[:-KEPT]

    def restarted(self):
        """A new process does not know how its predecessor kept time."""
        for life in self.lives.values():
            life.registers, life.beat, life.extra_s, life.register_at, life.beat_at = [], None, None, 0.0, 0.0

    # ---- REGISTER ----

    def register_begins(self, body, connection):
        now, node_id = self.clock.mono(), body.get("node_id")
        endpoint = body.get("endpoint")
        if isinstance(endpoint, str):
            known = self.identities.setdefault(endpoint, node_id)
            if node_id != known:
                self.breach("one identity", f"{endpoint} was {known}, now {node_id}", node_id)
                self.identities[endpoint] = node_id
        life = self.life(node_id)
        life.open_registers = [c for c in life.open_registers if not hung_up(c)]
        if life.open_registers:
            self.breach("one REGISTER in flight", f"{len(life.open_registers)} are still open", node_id)
        life.open_registers.append(connection)
        if life.registers and now - life.registers[-1] < REGISTER_GAP_S - SLACK_S:
            self.breach("5 s between REGISTERs", f"{now - life.registers[-1]:.2f} s", node_id)
        if now < life.register_at - SLACK_S:
            self.breach("REGISTER waits as told", f"{life.register_at - now:.1f} s too soon", node_id)
        life.registers = [t for t in life.registers if now - t < 60] + [now]
        if len(life.registers) > REGISTERS_PER_MINUTE:
            self.breach("10 REGISTERs a minute", str(len(life.registers)), node_id)

    def register_ends(self, body, connection, status, wait_s):
        life = self.life(body.get("node_id"))
        if connection in life.open_registers:
            life.open_registers.remove(connection)
        if status == 307 and life.registers:
            life.registers.pop()  # the next one is the same
        if status == 201:
            life.beat = life.extra_s = None
        if status == 429 and wait_s:
            life.register_at = self.clock.mono() + wait_s

    def deregistered(self, node_id):
        for endpoint in [e for e, n in self.identities.items() if n == node_id]:
            del self.identities[endpoint]

    # ---- HEARTBEAT ----

    def batch(self, life, node_id, body):
        metrics, batch_id = body.get("metrics"), body.get("metrics_batch_id")
        if metrics is None:
            return
        if isinstance(metrics, dict) and not metrics.get("tasks_success") and not metrics.get("tasks_failed"):
            self.breach("no all-zero metrics", json.dumps(metrics), node_id)
        digest = hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()
        if batch_id is None:
            self.breach("metrics have a batch id", json.dumps(metrics), node_id)
        elif life.batches.setdefault(batch_id, digest) != digest:
            self.breach("a batch keeps its content", str(batch_id), node_id)

    def beat_begins(self, body, raw):
        now, node_id = self.clock.mono(), body.get("node_id")
        life = self.life(node_id)
        self.batch(life, node_id, body)
        if life.open_beats:
            # The fast retry comes while the lab still thinks about the first.
            if life.beat is None or life.beat[1] != raw:
                self.breach("one heartbeat in flight", f"{life.open_beats} are still open", node_id)
        life.open_beats += 1
        available = body.get("available", True)
        if life.beat:
            when, before, was, answered = life.beat
            gap, least = now - when, 0.9 * min(60000, max(5000, life.interval_ms)) / 1000
            if life.beat_at:
                least = min(least, life.beat_at - when)  # told when to come again
            retry = not answered and raw == before
            extra = available != was
            if gap < least - SLACK_S and not retry and not extra:
                self.breach("heartbeats keep the cadence", f"{gap:.2f} s, not {least:.1f}", node_id)
            if gap < least - SLACK_S and extra and available:
                if life.extra_s is not None and now - life.extra_s < EXTRA_GAP_S - SLACK_S:
                    self.breach("10 s between extra heartbeats", f"{now - life.extra_s:.2f} s", node_id)
                life.extra_s = now
            if now < life.beat_at - SLACK_S and available:
                self.breach("heartbeats wait as told", f"{life.beat_at - now:.1f} s too soon", node_id)
        life.beat = (now, raw, available, False)

    def batch_counted(self, batch_id, metrics):
        self.counted.setdefault(batch_id, {k: metrics.get(k, 0) for k in ("tasks_success", "tasks_failed")})

    def ledger(self):
        """What was ever counted, and batches that came but were never carried out."""
        seen = {b for life in self.lives.values() for b in life.batches}
        return {"batches": len(self.counted), "uncounted": sorted(seen - self.counted.keys()),
                **{k: sum(c[k] for c in self.counted.values()) for k in ("tasks_success", "tasks_failed")}}

    def beat_ends(self, body, raw, status, wait_s, told_ms, lost):
        life = self.life(body.get("node_id"))
        life.open_beats = max(0, life.open_beats - 1)
        if life.beat and life.beat[1] == raw:
            life.beat = (*life.beat[:3], not lost and status != 307)
        now = self.clock.mono()
        if status == 200:
            life.good = now
            if isinstance(told_ms, int) and not lost:
                life.interval_ms = told_ms
        # As told, but never longer than 60 s after the last good one.
        life.beat_at = min(now + wait_s, max(now, life.good + 60)) if status == 429 and wait_s else 0.0
