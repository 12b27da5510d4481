# SPDX-License-Identifier: Apache-2.0
"""What the directory knows of a node, and its counters of requests."""

import copy
import urllib.parse

ACTIVE_S = 90
# D1 keeps the old value when a REGISTER omits these, and never changes the second group. [01 section 2.9]
STICKY_D1 = ("transport_method", "nat_type", "transport_metadata", "exposure_mode", "backend", "policy_manifest",
             "cx_public_key", "public_key", "sdk_language", "sdk_version", "sdk_compatibility_version",
             "implementation_name", "implementation_version")
FIRST_D1 = ("policy", "relay_capable", "pricing")
JOBS_PER_BEAT = 300


class Node:
    def __init__(self, node_id):
        self.node_id = node_id
        self.body = {}
        self.token = self.hmac_key = self.challenge = ""
        self.available, self.load, self.active_jobs = True, 0.0, 0
        self.health_models, self.stability = None, None
        self.last_seen = 0.0
        self.source = ""
        self.registrations = self.heartbeats = 0
        self.challenges = {"answered": 0, "verified": 0, "wrong": 0}
        self.batches, self.jobs = {}, 0
        self.operator = None  # verified delegation's key
        self.credits = []
        self.receipts = set()

    def keep(self, body, who):
        """Stores a REGISTER's body as the directory does."""
        body = {k: v for k, v in body.items() if k not in ("current_node_token", "node_hmac_key")}
        if self.body and who != "d2":
            for name in STICKY_D1:
                if name not in body and name in self.body:
                    body[name] = self.body[name]
        if self.body and who == "d1":
            for name in FIRST_D1:
                body.pop(name, None)
                if name in self.body:
                    body[name] = self.body[name]
        self.body = body

    def count(self, batch, metrics):
        """A batch counts once. What arrived: this one's counters, also when seen before."""
        if batch not in self.batches:
            self.batches[batch] = {k: metrics.get(k, 0) for k in ("tasks_success", "tasks_failed")}
            self.jobs += min(JOBS_PER_BEAT, metrics.get("tasks_success", 0))

    def counted(self):
        return {k: sum(b[k] for b in self.batches.values()) for k in ("tasks_success", "tasks_failed")}

    def visible(self, now):
        return self.available and now - self.last_seen <= ACTIVE_S and self.health_models != [] and \
            (self.stability or {}).get("backend_state") != "draining"

    def models(self):
        if self.health_models is not None:
            return list(self.health_models)
        return [m for c in self.body["capabilities"] for m in c.get("models", [])]

    def listed(self, public):
        b = self.body
        caps = copy.deepcopy(b["capabilities"])
        entry = {
            "score": 0.8, "available": True, "region": b["region"], "load": self.load,
            "active_jobs": self.active_jobs, "max_concurrent": b["limits"]["max_concurrent"],
            "latency_estimate_ms": None, "reputation_score": 0.5, "reputation_model": "outcome-v2",
            "reputation_tier": "silver", "probation": True, "models": self.models(),
            "input_modalities": sorted({m for c in caps for m in c.get("input_modalities") or []}),
            "supported_profiles": [p for c in caps for p in c.get("supported_profiles", [])],
            "capabilities": caps, "backend": b.get("backend"), "backend_stability": self.stability,
            "relay_capable": b.get("relay_capable", False), "reachability_tier": "direct",
            "exposure_mode": b.get("exposure_mode"), "health_label": "healthy", "health_confidence": "medium",
            "cip_conformance_level": "CIP-None", "key_ready": "cx_public_key" in b,
            "response_encryption_ready": "response_encryption_v1" in b.get("cx_public_key", {}).get("features", []),
            "privacy_routing_status": "key_ready" if "cx_public_key" in b else "no_key",
            "node_policy_manifest": b.get("policy_manifest"),
            "pricing": {"credit_cost_multiplier": b.get("pricing", {}).get("credit_cost_multiplier", 1),
                        "pricing_model": "per_token", "attested": False},
        }
        for name in ("sdk_language", "sdk_version", "sdk_compatibility_version", "implementation_name",
                     "implementation_version"):
            entry[name] = b.get(name)
        if public:
            return {"node_id_prefix": self.node_id[:8], **entry}
        scheme = urllib.parse.urlsplit(b["endpoint"]).scheme
        return {"node_id": self.node_id, "endpoint": b["endpoint"],
                "transport_endpoint": b.get("transport_endpoint"), "transport_method": b.get("transport_method"),
                "nat_type": b.get("nat_type"), "transport_metadata": b.get("transport_metadata"),
                "transport": [scheme] + (["iicp-native"] if b.get("transport_endpoint") else []),
                "directory_observed_reachable": True, "route_evidence": "directory_observed",
                "routing_hint": f"{scheme}_direct", "browser_usable": scheme == "https",
                "cx_public_key": b.get("cx_public_key"), "public_key": b.get("public_key"), **entry}


class Rates:
    """Sliding windows of one minute."""

    def __init__(self, clock):
        self.seen, self.clock = {}, clock

    def wait_s(self, key, limit):
        now = self.clock.mono()
        times = [t for t in self.seen.get(key, []) if now - t < 60]
        if len(times) >= limit:
            self.seen[key] = times
            return max(1, int(60 - (now - times[0]) + 1))
        self.seen[key] = times + [now]
        return 0

    def give_back(self, key):
        if self.seen.get(key):
            self.seen[key].pop()
