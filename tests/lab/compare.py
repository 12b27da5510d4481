#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""iicpd and the official Python node, one after the other through the same mishaps on driven time; writes a
table in Markdown. The official node refuses private endpoints, so each run has a network name space of its own
(needs root) with a public-looking address on its loopback and no way out.

    tests/lab/compare.py [--build FOLDER] [--sdk FOLDER] [--only FAULT...] >docs/fault-comparison.md

--sdk: virtual environment that has iicp-client (tests/integration/test_official_sdk.py makes one)."""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PUBLIC = "20.20.20.20"
VERSION = "0.7.109"
BACK_S = 400       # how long a node may take to be listed again
CALM_S = 65        # of a life before the mishap
INTENT = "urn:iicp:intent:llm:chat:v1"
# name: (what it is, seconds that it lasts or 0 for one answer, the directory forgets the node first)
MISHAPS = {
    "none": ("nothing happens", 120, False),
    "forgotten": ("the directory forgets the node", 0, False),
    "down": ("directory down for 10 min", 600, False),
    "all-500": ("500 on every route, 3 min", 180, False),
    "all-slow": ("everything is carried out 30 s late, 3 min", 180, False),
    "garbage": ("bytes that are not HTTP, 2 min", 120, False),
    "beat-401": ("heartbeat 401", 0, False),
    "beat-410": ("heartbeat 410", 0, False),
    "beat-403": ("heartbeat 403 for 2 min", 120, False),
    "beat-429-header": ("heartbeat 429, Retry-After 17", 0, False),
    "beat-answer-lost": ("heartbeat answers lost, 2 min", 120, False),
    "beat-other-batch": ("another batch acknowledged, 2 min", 120, False),
    "register-6s": ("REGISTER answered after 6 s", 0, True),
    "register-19s": ("REGISTER answered after 19 s", 0, True),
    "rotation-lost": ("201 carried out, answer lost", 0, True),
    "register-half": ("201 cut in the middle", 0, True),
    "register-500": ("REGISTER 500", 0, True),
    "register-429-e034": ("REGISTER 429, retry_after 8", 0, True),
    "register-422-e036-d1": ("REGISTER 422 E036 once", 0, True),
    "register-403-e049-d1": ("REGISTER 403 E049 once", 0, True),
    "register-307-same": ("REGISTER 307 to the same origin", 0, True),
    "register-html": ("REGISTER 502 with HTML", 0, True),
    "suspended": ("machine sleeps for 1 h, seen 35 s after it woke", 0, False),
    "backend dead": ("backend dead for 3 min", 180, False),
}


HEAD = f"""# Mishaps: iicpd and the official Python node

Made by `tests/lab/compare.py`: iicpd of this tree and `iicp-client` {VERSION} (unmodified), each alone with the
lab directory (as D1) and the same backend, on driven time; one run each. *Listed after N s*: seconds from the
end of the mishap (70 s after its begin, when it is one answer) until `discover` names the node; given up after
{BACK_S} s. *Broke*: a rule of `tests/lab/labdir/watch.py`; those are our contract's, the SDK never promised all
of them. In the middle of each mishap the node is given a task, *task refused* would tell.

The directory does not call back during REGISTER here: this SDK registers before it listens, which a directory
that probes refuses (IICP-E036), and after three refusals it sent neither REGISTER nor heartbeat in the 100 s that we watched.

| Mishap | iicpd | official Python node |
|---|---|---|"""


class Run:
    """One node through one mishap."""

    def __init__(self, who, sdk, folder):
        import conftest
        import timewarp
        self.c, self.who, self.folder = conftest, who, pathlib.Path(folder)
        self.warp, self.stack = timewarp.Warp(self.folder), contextlib.ExitStack()
        env = conftest.clean_environment()
        self.lab = self.server("directory.py", "--allow-private", "--control", "--no-probe", "--no-limits", "--personality", "d1",
                               "--clock", self.warp.path)
        self.control = int(self.lab.await_words(r"control http://[^:]*:(\d+)").group(1))
        self.backend = self.server("fake_backend.py")
        self.port = conftest.free_port(PUBLIC)
        self.node = conftest.Process(self.iicpd() if who == "iicpd" else self.official(sdk), self.folder, "node",
                                     {**env, **self.warp.environment(), "HOME": str(self.folder),
                                      "IICP_HOME": str(self.folder / ".iicp")})
        self.stack.callback(self.node.kill)
        for p, port in ((self.lab, self.lab.port), (self.backend, self.backend.port), (self.node, self.port)):
            self.warp.watch(p.pid, port)

    def server(self, script, *words):
        s = self.c.Server([sys.executable, HERE / script, "--port", "0", *words], self.folder, script,
                          self.c.clean_environment())
        self.stack.callback(s.kill)
        return s

    def iicpd(self):
        for sub in ("state", "run"):
            (self.folder / sub).mkdir(mode=0o700)
        (self.folder / "iicp.conf").write_text(self.c.render({
            "node.state_dir": self.folder / "state", "node.runtime_dir": self.folder / "run",
            "node.public_endpoint": f"http://{PUBLIC}:{self.port}", "listen.address": PUBLIC,
            "listen.port": self.port, "listen.port_strict": "yes", "directory.url": self.lab.url,
            "backend.test.type": "openai_compat", "backend.test.url": self.backend.url}))
        return [self.c.program("iicpd"), "--config", self.folder / "iicp.conf"]

    def official(self, sdk):
        return [pathlib.Path(sdk) / "bin" / "iicp-node", "serve", "--backend-url", self.backend.url, "--model", "tiny",
                "--directory-url", self.lab.url, "--public-endpoint", f"http://{PUBLIC}:{self.port}", "--host", PUBLIC,
                "--port", self.port, "--no-auto-detect-nat", "--no-tunnel", "--no-relay-capable", "--region", "eu"]

    def say(self, path, body=None, method=None):
        import http.client
        line = http.client.HTTPConnection("127.0.0.1", self.control, timeout=30)
        line.request(method or ("GET" if body is None else "POST"), "/lab/" + path,
                     json.dumps(body) if body is not None else None)
        answer = json.loads(line.getresponse().read())
        line.close()
        return answer

    def listed(self):
        nodes = self.say("nodes")["nodes"]
        return bool(nodes) and nodes[-1]["visible"]

    def until_listed(self, most):
        began = self.warp.now()
        while not self.listed():
            if self.warp.now() - began > most or not self.node.running():
                return None
            self.warp.advance(2)
        return self.warp.now() - began

    def asked(self, route):
        return self.say(f"requests?route={route}")["requests"]

    def task(self, i):
        import http.client
        body = {"task_id": f"00000000-0000-4000-8000-{i:012x}", "intent": INTENT,
                "payload": {"messages": [{"role": "user", "content": "x"}]}}
        line = http.client.HTTPConnection(PUBLIC, self.port, timeout=10)
        try:
            line.request("POST", "/v1/task", json.dumps(body), {"Content-Type": "application/json"})
            return line.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    def happen(self, name, lasts, forget):
        if forget:
            self.say("faults", {"name": "forgotten"})
        if name == "suspended":
            self.warp.suspend(3600)
        elif name == "backend dead":
            self.backend.post("/_control", {"rules": [{"mode": "reset"}]})
        elif name == "down":
            self.say("faults", {"name": name, "down_s": lasts})
        elif name != "none":
            self.say("faults", {"name": name, **({"for_s": lasts} if lasts else {})})
        self.warp.advance((lasts or 70) / 2)
        served = self.task(1) if name != "backend dead" else None
        hidden = not self.listed()
        self.warp.advance((lasts or 70) / 2)
        self.say("faults", method="DELETE")
        self.backend.post("/_control", {"rules": []})
        return served, hidden

    def whole(self, name):
        _, lasts, forget = MISHAPS[name]
        if self.until_listed(120) is None:
            return {"error": "never listed: " + (self.node.log_text() or self.node.out_text())[-200:]}
        self.warp.advance(CALM_S)
        self.task(0)
        before, ids = len(self.asked("register")), {r["body"].get("node_id") for r in self.asked("register")}
        served, hidden = self.happen(name, lasts, forget)
        back = self.until_listed(BACK_S)
        self.warp.advance(CALM_S)
        registers = self.asked("register")
        seen = self.say("nodes")
        return {"back": back, "served": served, "hidden": hidden, "registers": len(registers) - before,
                "same": {r["body"].get("node_id") for r in registers} == ids,
                "counted": seen["ledger"]["tasks_success"], "running": self.node.running(),
                "breaches": sorted({v["rule"] for v in self.say("violations")["violations"]})}


def words(r):
    if "error" in r:
        return "never listed"
    text = ["**not listed again**" if r["back"] is None else
            f"listed after {r['back']:.0f} s" if r["back"] or r["registers"] else
            "hidden meanwhile" if r["hidden"] else "listed all the time"]
    text.append(f"{r['registers']} REGISTER")
    if r["served"] is False:
        text.append("**task refused**")
    if not r["same"]:
        text.append("**other identity**")
    if not r["running"]:
        text.append("**ended**")
    text += [f"broke: {b}" for b in r["breaches"]]
    return "; ".join(text)


def one(who, name, sdk):
    sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]
    with tempfile.TemporaryDirectory(prefix="iicpd-compare-") as folder:
        run = Run(who, sdk, folder)
        with run.stack:
            print(json.dumps(run.whole(name)))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default=str(HERE.parents[1] / "build"))
    p.add_argument("--sdk", default=str(pathlib.Path.home() / ".cache/iicpd-lab/sdk" / VERSION))
    p.add_argument("--only", nargs="*")
    p.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    a = p.parse_args()
    os.environ["IICPD_BUILD"] = a.build
    if a.one:
        return one(*a.one, a.sdk)
    print(HEAD)
    for name in a.only or MISHAPS:
        row = []
        for who in ("iicpd", "official"):
            inner = f"ip link set lo up && ip addr add {PUBLIC}/32 dev lo && exec \"$0\" \"$@\""
            done = subprocess.run(["unshare", "--net", "sh", "-c", inner, sys.executable, __file__, "--build", a.build,
                                   "--sdk", a.sdk, "--one", who, name], capture_output=True, text=True, timeout=600)
            if done.returncode:
                print(done.stderr[-1500:], file=sys.stderr)
            row.append(words(json.loads(done.stdout)) if done.returncode == 0 else "not measured")
        print(f"| {MISHAPS[name][0]} | {row[0]} | {row[1]} |", flush=True)
    return None


if __name__ == "__main__":
    main()
