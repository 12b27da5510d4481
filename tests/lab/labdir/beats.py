# SPDX-License-Identifier: Apache-2.0
"""HEARTBEAT. [01 section 3]"""

import hashlib
import hmac
import json
import secrets

from .answers import Refusal, error_body, field_refusal
from .rules import check_heartbeat


class Beats:
    def heartbeat(self, request):
        b = request.object()
        node_id = b.get("node_id") if isinstance(b.get("node_id"), str) else None
        with self.lock:
            if self.who == "d2" and self.settings["unknown_404"] and node_id not in self.nodes:
                raise Refusal(404, error_body("IICP-E003", "node not registered"))
            node = self.authorize(request, node_id)
            if self.who != "d2":
                self.limit("heartbeat", node.node_id, 60)
            faults = check_heartbeat(b, self.who)
            if faults.fields:
                self.refuse_fields(faults)
            self.check_challenge(node, b)
            self.check_pricing_signature(node, b.get("pricing", {}))
            node.last_seen = self.clock.mono()
            node.heartbeats += 1
            node.available = b.get("available", True)
            node.load, node.active_jobs = b.get("load", 0), b.get("active_jobs", 0)
            if "health_models" in b:
                node.health_models = b["health_models"]
            if "pricing" in b:
                node.body["pricing"] = b["pricing"]
            node.stability = b.get("backend_stability")
            batch = b.get("metrics_batch_id")
            if batch:
                node.count(batch, b.get("metrics", {}))
                self.watch.batch_counted(batch, b.get("metrics", {}))
            node.challenge = secrets.token_hex(16)
            return 200, {"ok": True, "next_heartbeat_ms": self.settings["next_heartbeat_ms"],
                         "reputation_score": 0.5, "reputation_model": "outcome-v2", "reputation_epoch": "1ab0",
                         "metrics_batch_accepted": batch, "challenge": node.challenge}

    def check_challenge(self, node, b):
        answer = b.get("challenge_response")
        if answer is None:
            return
        node.challenges["answered"] += 1
        expected = hmac.new(node.hmac_key.encode(), node.challenge.encode(), hashlib.sha256).hexdigest()
        right = bool(node.challenge) and hmac.compare_digest(expected, answer)
        node.challenges["verified" if right else "wrong"] += 1

    def check_pricing_signature(self, node, pricing):
        if "declaration_signature" not in pricing:
            return
        n = json.dumps(round(float(pricing.get("credit_cost_multiplier", 1)), 4)).removesuffix(".0")
        text = '{"credit_cost_multiplier":%s,"pricing_model":"%s"}' % (n, pricing.get("pricing_model", "per_token"))
        expected = hmac.new(node.hmac_key.encode(), text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), pricing["declaration_signature"].encode()):
            raise field_refusal("pricing.declaration_signature", "Invalid declaration signature (IICP-E010)")
