# SPDX-License-Identifier: Apache-2.0
"""The directory as one object: its state, its routes, what the laboratory may ask of it."""

import hmac
import re
import threading
import time

from . import faults
from .answers import Refusal, error_body
from .beats import Beats
from .clock import Clock
from .credits import Credits
from .enrol import Enrol
from .reads import Reads
from .records import Rates
from .trust import Trust
from .watch import Watch

REQUESTS_KEPT = 20000


class Directory(Enrol, Beats, Reads, Trust, Credits):
    """All state, behind one lock that is not held while calling back."""

    def __init__(self, options):
        self.options = options
        self.who = options.personality
        self.clock = Clock(options.clock)
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)
        self.nodes, self.faults, self.requests = {}, [], []
        self.rates = Rates(self.clock)
        self.watch = Watch(self.clock)
        self.settings = {"next_heartbeat_ms": 30000, "strict_ownership": False, "qos_filter": False,
                         "unknown_404": False, "directory_key": "", "credits": True, "replicas": [],
                         "tls": "good", "relay_tickets": "good"}
        self.down_until = 0.0
        self.count = 0

    # ---- shared by the routes ----

    def refuse_fields(self, found):
        if self.who == "d2" or (self.who == "spec" and found.code != "validation_error"):
            raise Refusal(422, error_body(found.code, "request rejected"))
        if self.who == "spec":
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        raise Refusal(422, error_body("validation_error", "Input validation failed", fields=found.fields))

    def limit(self, what, key, most):
        if self.options.no_limits:
            return
        wait = self.rates.wait_s((what, key), most)
        if not wait:
            return
        if what == "register":
            raise Refusal(429, {"error": "IICP-E034", "message": "TooManyRegistrationAttempts", "retry_after": wait})
        raise Refusal(429, error_body("rate_limited", f"Too many requests, retry after {wait}s"),
                      {"Retry-After": str(wait)})

    def authorize(self, request, node_id=None):
        """The node whose bearer token this is; 401 otherwise."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        named = request.headers.get("X-Node-Id", "")
        node = self.nodes.get(node_id or request.query.get("node_id") or named)
        if kind != "Bearer" or not node or not hmac.compare_digest(node.token.encode(), token.encode()):
            raise Refusal(401, error_body("unauthorized", "Invalid or missing node token"))
        if self.who in ("strict", "d2") and named != node.node_id:
            raise Refusal(401, error_body("unauthorized", "X-Node-Id is missing"))
        return node

    def not_offered(self, request):
        del request
        raise Refusal(404, error_body("not_found", "not offered"))

    ROUTES = (
        ("POST", r"/register", "register", Enrol.register),
        ("DELETE", r"/register", "deregister", Enrol.deregister),
        ("POST", r"/heartbeat", "heartbeat", Beats.heartbeat),
        ("GET", r"/me", "me", Reads.me),
        ("GET", r"/node/[^/]+", "node", Reads.node),
        ("GET", r"/discover", "discover", Reads.discover),
        ("GET", r"/probe", "probe", Reads.probe_route),
        ("GET", r"/stats", "stats", Reads.stats),
        ("GET", r"/registry/stats", "registry", Reads.stats),
        ("GET", r"/registry/intents", "registry", Reads.registry_intents),
        ("GET", r"/registry/nodes/[^/]+", "registry", Reads.registry_node),
        ("GET", r"/bootstrap", "bootstrap", Reads.bootstrap),
        ("POST", r"/peers", "peers", Reads.heal),
        ("GET", r"/directory-key", "directory-key", Trust.directory_key),
        ("POST", r"/consumer-token", "consumer-token", Trust.consumer_token),
        ("POST", r"/credits/award", "credits", Credits.award),
        ("GET", r"/credits/balance", "balance", Credits.balance),
        ("GET", r"/credits/summary", "summary", Credits.summary),
        ("GET", r"/credits/transactions", "transactions", Credits.transactions),
        ("GET", r"/credits/quote", "quote", Credits.quote),
        ("POST", r"/dispatch/ticket", "ticket", not_offered),
        ("POST", r"/relay/ticket", "relay-ticket", Trust.relay_ticket),
    )
    WELL_KNOWN = {"/.well-known/did.json": Trust.did_document,
                  "/.well-known/iicp-replicas.json": Trust.replica_list}

    def find(self, method, path):
        if method == "GET" and path in self.WELL_KNOWN:
            return "well-known", self.WELL_KNOWN[path]
        prefix = r"/api/v1" if self.who == "d1" else r"(?:/api)?/v1"
        known = False
        for verb, pattern, name, run in self.ROUTES:
            if re.fullmatch(prefix + pattern, path):
                if verb == method:
                    return name, run
                known = True
        return "unknown", Directory.wrong_method if known and self.who == "d1" else Directory.not_offered

    def wrong_method(self, request):
        del request
        raise Refusal(500, error_body("server_error", "An internal error occurred"))

    # ---- the laboratory ----

    def take_fault(self, name):
        with self.lock:
            now = self.clock.mono()
            self.faults = [f for f in self.faults if f.get("until", now) >= now]
            for fault in self.faults:
                if fault.get("route") in (name, "*"):
                    if fault["count"]:
                        fault["count"] -= 1
                        if fault["count"] == 0:
                            self.faults.remove(fault)
                    return fault
        return None

    def add_faults(self, given):
        with self.lock:
            now = self.clock.mono()
            for fault in map(faults.expand, given if isinstance(given, list) else [given]):
                if "down_s" in fault:
                    self.down_until = now + fault["down_s"]
                elif "forget" in fault:
                    self.forget(fault["forget"])
                else:
                    if "for_s" in fault:
                        fault["until"] = now + fault["for_s"]
                    self.faults.append(fault)
            return {"faults": len(self.faults), "now_s": now, "down_until_s": self.down_until}

    def clear_faults(self):
        with self.lock:
            self.faults.clear()
            self.down_until = 0.0
            return {"ok": True}

    def forget(self, node_id):
        for known in list(self.nodes) if node_id == "*" else [node_id]:
            self.nodes.pop(known, None)

    def remember(self, entry):
        with self.news:
            self.count += 1
            self.requests.append({"n": self.count, **entry})
            del self.requests[:-REQUESTS_KEPT]
            self.news.notify_all()

    def lab_requests(self, query):
        def chosen():
            return [r for r in self.requests if query.get("route") in (None, r["route"]) and
                    r["n"] > int(query.get("after", 0))]
        end = time.monotonic() + min(60.0, float(query.get("wait", 0)))
        with self.news:
            while len(chosen()) < int(query.get("min", 0)) and self.news.wait(max(0.0, end - time.monotonic())):
                pass
            return {"requests": chosen()}

    def lab_nodes(self):
        with self.lock:
            return {"now_s": self.clock.mono(), "ledger": self.watch.ledger(), "nodes": [
                {**n.listed(False), "available": n.available, "visible": n.visible(self.clock.mono()),
                 "registrations": n.registrations, "heartbeats": n.heartbeats, "last_seen_s": n.last_seen,
                 "challenges": n.challenges, "registered": n.body, "jobs": n.jobs, "counted": n.counted(),
                 "batches": len(n.batches), "operator": n.operator, "credits": self.earned(n)}
                for n in self.nodes.values()]}

    def lab_settings(self, changes):
        with self.lock:
            if "forget" in changes:
                self.forget(changes.pop("forget"))
            if changes.pop("restarted", False):
                self.watch.restarted()
            self.settings.update({k: v for k, v in changes.items() if k in self.settings})
            return self.settings
