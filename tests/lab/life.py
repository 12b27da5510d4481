#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One hour in the life of a node, in a minute or two: the real daemon, the lab directory and the fake
backend as processes on driven time (timewarp.py), with mishaps from a seed. What must hold at every moment
is checked at every step; after each mishap the node must be back to `stable` in time.

    tests/lab/life.py [--seed N] [--seconds N] [--build FOLDER] [--keep FOLDER]

Prints the seed first; the same seed brings the same mishaps at the same moments (what the node makes of
them can differ by the order in which bytes arrive). Exit 1 when a rule was broken."""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BEAT_S = 30
STEP_S = 5
# Nothing says that a node looks at its backend more often than this.
BACKEND_LOOK_S = 30
TASK_INTENT = "urn:iicp:intent:llm:chat:v1"

# name of the lab's fault: seconds that it lasts (0 = one answer), seconds until stable afterwards. Where the
# contract has the node wait longer than 60 s before it asks again, that wait is added.
ON_BEAT = {
    "beat-401": (0, 60), "beat-401-expired": (0, 60), "beat-404": (0, 60), "beat-410": (0, 60),
    "beat-403": (100, 60), "beat-422-field": (0, 60), "beat-422-e010": (0, 60), "beat-429-header": (0, 60),
    "beat-429-long": (0, 60), "beat-429-bare": (0, 60), "beat-500": (120, 60), "beat-502-html": (150, 60),
    "beat-200-html": (60, 60), "beat-slow": (40, 60), "beat-answer-late": (40, 60), "beat-answer-lost": (60, 60),
    "beat-half": (60, 60), "beat-other-batch": (90, 60), "beat-no-batch": (0, 60), "beat-wrong-challenge": (60, 60),
    "beat-no-challenge": (60, 60), "beat-every-ms": (60, 60), "beat-every-day": (90, 60), "beat-307-same": (0, 60),
    "beat-307-elsewhere": (60, 60),
}
# These need the node to register first: the directory forgets it.
ON_REGISTER = {
    "register-429-e034": (0, 60), "register-429-throttle": (0, 60), "register-429-header": (0, 60),
    "register-429-bare": (0, 120), "register-422-e036-d1": (0, 60), "register-422-e036-d2": (0, 60),
    "register-422-liveness": (0, 60), "register-403-e049-d1": (0, 60), "register-403-e049-d2": (0, 60),
    "register-500": (40, 90), "register-503-e047": (0, 60), "register-html": (0, 60), "register-201-html": (0, 60),
    "register-201-no-token": (0, 60), "register-6s": (0, 60), "register-19s": (0, 60), "register-25s": (0, 90),
    "rotation-lost": (0, 60), "register-half": (0, 60), "register-cut": (0, 60), "register-307-same": (0, 60),
    "register-307-elsewhere": (0, 90), "register-301": (0, 90), "register-422-e052": (0, 360),
    "register-422-field": (0, 360), "register-400": (0, 360),
}
ON_ALL = {
    "down": (300, 90), "all-500": (200, 90), "all-slow": (100, 90), "garbage": (100, 90), "reset": (200, 90),
    "registry-404": (70, 90), "registry-500": (200, 60), "key-503": (100, 60), "credits-slow": (60, 60),
}
WORLD = ("backend dead", "backend hangs", "models change", "kill -9", "restart", "reload", "suspended",
         "wall clock forward", "wall clock back", "forgotten")


class Broken(Exception):
    """A rule that must always hold did not."""


class Life:
    def __init__(self, conftest, timewarp, folder, seed):
        self.c, self.folder, self.seed = conftest, pathlib.Path(folder), seed
        self.random = random.Random(seed)
        self.warp = timewarp.Warp(self.folder)
        if self.warp.library is None:
            raise SystemExit("no compiler: cannot build timewarp.so")
        self.who = ("strict", "d1", "d2")[seed % 3]
        self.processes, self.node, self.starts = [], None, 0
        self.success = self.failed = self.maybe_lost = 0
        self.dead_since, self.beats_while_dead, self.node_id = None, 0, None
        self.recent = []  # when tasks were answered, for what a kill may lose
        self.table = []
        self.can_ask, self.now_on = True, "start"

    # ---- the world ----

    def start(self):
        c, env = self.c, self.c.clean_environment()
        self.lab = c.Server([sys.executable, HERE / "directory.py", "--port", "0", "--allow-private", "--control",
                             "--no-limits", "--personality", self.who, "--clock", self.warp.path],
                            self.folder, "lab", env)
        self.processes.append(self.lab)
        self.control = int(self.lab.await_words(r"control http://[^:]*:(\d+)").group(1))
        self.line = http.client.HTTPConnection("127.0.0.1", self.control, timeout=30)
        self.backend = c.Server([sys.executable, HERE / "fake_backend.py", "--port", "0"], self.folder, "backend", env)
        self.processes.append(self.backend)
        for p in (self.lab, self.backend):
            self.warp.watch(p.pid, p.port)
        for sub in ("state", "run"):
            (self.folder / sub).mkdir(mode=0o700)
        self.config = {
            "node.state_dir": self.folder / "state", "node.runtime_dir": self.folder / "run",
            "listen.address": "127.0.0.1", "listen.port": c.free_port(), "listen.port_strict": "yes",
            "nat.allow_private": "yes", "log.format": "text", "log.level": "debug", "directory.url": self.lab.url,
            "backend.test.type": "openai_compat", "backend.test.url": self.backend.url, "limits.drain": "5s"}
        self.start_node()

    def start_node(self):
        self.starts += 1
        self.lab_say("settings", {"restarted": True})
        self.node = self.c.Node(self.folder, f"iicpd{self.starts}", self.config, self.warp.environment(), ready=False)
        self.warp.watch(self.node.pid, self.node.port)
        self.node.await_ready()

    def end(self):
        with contextlib.suppress(Exception):
            self.node.kill()
        for p in self.processes:
            p.kill()

    def lab_ask(self, path, method="GET", body=None):
        for last in (False, True):
            try:
                self.line.request(method, "/lab/" + path, json.dumps(body) if body is not None else None)
                return json.loads(self.line.getresponse().read())
            except (OSError, http.client.HTTPException):
                self.line.close()  # a kept connection may have gone meanwhile
                if last:
                    raise
        raise AssertionError("not reached")

    def lab_say(self, path, body):
        return self.lab_ask(path, "POST", body)

    def backend_say(self, **members):
        self.backend.post("/_control", members)

    # ---- traffic ----

    def ask(self):
        body = {"task_id": f"{self.random.getrandbits(32):08x}-0000-4000-8000-{self.random.getrandbits(48):012x}",
                "intent": TASK_INTENT, "payload": {"messages": [{"role": "user", "content": "x"}]}}
        try:
            answer = self.node.post("/v1/task", body)
        except (OSError, http.client.HTTPException):
            return
        if answer.status == 200:
            self.success += 1
            self.recent.append(self.warp.now())
        elif answer.status in (500, 502, 504) or (answer.status == 503 and "backend" in answer.text):
            self.failed += 1

    # ---- rules ----

    def must(self, ok, rule, detail=""):
        if not ok:
            raise Broken(f"{rule}: {detail}")

    def check(self):
        found = self.lab_ask("violations")["violations"]
        self.must(not found, "the directory saw a breach", json.dumps(found[:3]))
        seen = self.lab_ask("nodes")
        ids = {n["node_id"] for n in seen["nodes"]}
        self.must(len(ids) <= 1, "never two identities", sorted(ids))
        for node_id in ids:
            self.must(self.node_id in (None, node_id), "never another identity", f"{self.node_id}, {node_id}")
            self.node_id = node_id
        counted = seen["ledger"]
        self.must(counted["tasks_success"] <= self.success, "no task counted twice",
                  f"{counted['tasks_success']} of {self.success}")
        for n in seen["nodes"]:
            self.check_listed(n)
        return seen

    def check_listed(self, n):
        if self.dead_since is None:
            return
        beats = [r for r in self.lab_ask("requests?route=heartbeat")["requests"]
                 if r["status"] == 200 and r["began_s"] > self.dead_since + BACKEND_LOOK_S]
        if len(beats) > 2:
            self.must(not n["visible"], "not listed as available while the backend is dead",
                      f"dead for {self.warp.now() - self.dead_since:.0f} s and {len(beats)} beats")

    def stable(self, seen):
        status = self.node.status()["directory"]
        recovery = (status.get("recovery") or {}).get("state", "stable")
        return bool(status.get("registered")) and recovery == "stable" and len(seen["nodes"]) == 1 and \
            seen["nodes"][0]["visible"]

    def live(self, seconds, ask=True):
        """Time goes by, a few tasks come, the rules are checked."""
        end = self.warp.now() + seconds
        while self.warp.now() < end:
            if ask and self.can_ask and self.random.random() < 0.5:
                for _ in range(self.random.randint(1, 3)):
                    self.ask()
            self.warp.advance(min(STEP_S, max(0.1, end - self.warp.now())))
            self.check()

    def until_stable(self, limit):
        began = self.warp.now()
        while True:
            if self.stable(self.check()):
                return self.warp.now() - began
            self.must(self.warp.now() - began <= limit, f"stable within {limit} s after the last mishap",
                      json.dumps(self.node.status()["directory"]))
            self.warp.advance(2)

    # ---- mishaps ----

    def fault(self, name, lasts):
        fault, self.now_on = {"name": name}, name
        if name == "down":
            fault["down_s"] = lasts
        elif lasts:
            fault["for_s"] = lasts
        self.lab_say("faults", fault)
        self.live(lasts or BEAT_S + STEP_S)
        self.lab_ask("faults", "DELETE")

    def mishap(self):
        """Does one and returns (what, seconds that may pass until stable)."""
        kind = self.random.random()
        if kind < 0.3:
            name = self.random.choice(sorted(ON_BEAT))
            lasts, limit = ON_BEAT[name]
        elif kind < 0.55:
            name = self.random.choice(sorted(ON_REGISTER))
            lasts, limit = ON_REGISTER[name]
            self.lab_say("faults", {"name": "forgotten"})
        elif kind < 0.7:
            name = self.random.choice(sorted(ON_ALL))
            lasts, limit = ON_ALL[name]
            lasts = self.random.randint(lasts // 3, lasts)
        else:
            return self.world(self.random.choice(WORLD))
        self.fault(name, lasts)
        return name, limit

    def world(self, what):
        r, self.now_on = self.random, what
        if what in ("backend dead", "backend hangs"):
            self.backend_say(rules=[{"mode": "reset" if what == "backend dead" else "hang"}])
            self.can_ask = what == "backend dead"
            self.dead_since = self.warp.now()
            self.live(r.randint(60, 240))
            self.backend_say(rules=[])
            self.dead_since, self.can_ask = None, True
        elif what == "models change":
            self.backend_say(models=r.choice((["a", "b"], ["a"], ["c", "a"], ["other"])))
            self.live(60)
        elif what == "kill -9":
            self.maybe_lost += len([t for t in self.recent if self.warp.now() - t < 2 * BEAT_S])
            self.node.kill()
            self.warp.forget(self.node.pid)
            self.live(r.randint(1, 200), ask=False)
            self.start_node()
        elif what == "restart":
            self.stop_node()
            self.start_node()
        elif what == "reload":
            self.node.signal(signal.SIGHUP)
            self.live(10)
        elif what == "suspended":
            self.warp.suspend(r.randint(20, 4000))
        elif what.startswith("wall clock"):
            self.warp.step_wall(r.randint(60, 90000) * (1 if what.endswith("forward") else -1))
            self.live(40)
        else:
            self.lab_say("faults", {"name": "forgotten"})
        return what, 90

    def stop_node(self):
        self.node.signal(signal.SIGTERM)
        for _ in range(60):
            self.warp.advance(1)
            if not self.node.running():
                break
        self.must(self.node.popen.poll() == 0, "a stop is orderly", str(self.node.popen.poll()))
        self.warp.forget(self.node.pid)

    # ---- the hour ----

    def run(self, seconds):
        self.start()
        begin = self.warp.awake()
        self.table.append((0, "start", self.until_stable(60)))
        while self.warp.awake() - begin < seconds:
            at = self.warp.awake() - begin
            self.now_on = "the next mishap"
            what, limit = self.mishap()
            self.table.append((at, what, self.until_stable(limit)))
            self.live(self.random.randint(10, 60))
        self.accounts()
        self.stop_node()
        self.check()

    def accounts(self):
        """All that was answered is counted, except what a kill may lose."""
        self.live(3 * BEAT_S, ask=False)
        ledger = self.check()["ledger"]
        # After a 422 there are no metrics for ten minutes. [01 section 3.6]
        for _ in range(11):
            if not ledger["uncounted"] and ledger["tasks_success"] == self.success:
                break
            self.live(60, ask=False)
            ledger = self.check()["ledger"]
        self.must(not ledger["uncounted"], "no batch is lost", str(ledger["uncounted"]))
        self.must(self.success - self.maybe_lost <= ledger["tasks_success"] <= self.success,
                  "every answered task is counted once",
                  f"{ledger['tasks_success']} counted, {self.success} answered, a kill may lose {self.maybe_lost}")
        self.must(ledger["tasks_failed"] <= self.failed, "no failure counted twice",
                  f"{ledger['tasks_failed']} counted, {self.failed} seen")


def helpers():
    sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]
    import conftest
    import timewarp
    return conftest, timewarp


def live(seed, seconds, folder, out=print):
    """Lives one life; raises Broken."""
    conftest, timewarp = helpers()
    life = Life(conftest, timewarp, folder, seed)
    began = time.monotonic()
    out(f"seed {seed}: directory as {life.who}")
    try:
        life.run(seconds)
        words = life.node.log_text()
        life.must(not re.search(conftest.SANITIZER, words), "nothing from a sanitizer")
    except AssertionError as error:
        raise Broken(str(error)) from None
    except Broken:
        out(f"during {life.now_on}; the last requests:")
        for r in life.lab_ask("requests")["requests"][-12:]:
            out("    " + json.dumps({k: r[k] for k in ("route", "began_s", "ended_s", "status", "fault", "raw")}))
        raise
    finally:
        life.end()
        for at, what, took in life.table:
            out(f"  {at:6.0f} s  {what:<26} stable after {took:4.0f} s")
        out(f"seed {seed}: {life.warp.awake() - 1e4:.0f} s lived in {time.monotonic() - began:.0f} s, "
            f"{life.starts} starts, {life.success} tasks answered, {life.failed} failed, "
            f"{life.warp.slow_steps} of {life.warp.steps} steps hurried")
    return life


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--seconds", type=int, default=3600)
    p.add_argument("--build", help="build folder (default: build beside the sources)")
    p.add_argument("--keep", help="keep logs in this new folder")
    a = p.parse_args()
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    if a.build:
        os.environ["IICPD_BUILD"] = str(pathlib.Path(a.build).resolve())
    with contextlib.ExitStack() as stack:
        folder = a.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="iicpd-life-"))
        os.makedirs(folder, exist_ok=True)
        try:
            live(seed, a.seconds, folder)
        except Broken as error:
            print(f"BROKEN (seed {seed}): {error}")
            sys.exit(1)


if __name__ == "__main__":
    main()
