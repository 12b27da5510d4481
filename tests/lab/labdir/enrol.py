# SPDX-License-Identifier: Apache-2.0
"""REGISTER and DEREGISTER. [01 sections 2 and 4]"""

import base64
import hmac
import http.client
import json
import secrets
import socket
import urllib.parse
import uuid

from . import ed25519
from .answers import Refusal, error_body, field_refusal
from .records import ACTIVE_S, Node
from .rules import check_register, host_fault, operator_keys, ownership_allowed, NAT_TYPES

PROBE_S = 5
NODES_PER_SOURCE = 20


def probe(endpoint, timeout=PROBE_S):
    """The callback: status of GET {endpoint}/iicp/health, or why there is none."""
    url = urllib.parse.urlsplit(endpoint)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname, url.port, timeout=timeout)
    try:
        connection.request("GET", url.path.rstrip("/") + "/iicp/health", headers={"Accept": "application/json"})
        return connection.getresponse().status, None
    except (OSError, http.client.HTTPException) as error:
        return None, type(error).__name__
    finally:
        connection.close()


class Enrol:
    def refuse_endpoint(self, code, text):
        if self.who == "d2":
            raise Refusal(422, error_body(code, text))
        if self.who == "spec" and code == "IICP-E036":
            raise Refusal(422, error_body("liveness_failed", "Endpoint did not respond"))
        raise field_refusal("endpoint", f"{code}: {text}")

    def refuse_ownership(self, code, text):
        if self.who == "d2":
            raise Refusal(403, {"error": code, "message": text})
        raise Refusal(403, error_body(code, text))

    def register(self, request):
        self.limit("register", request.source, 60)
        b = request.object()
        faults = check_register(b, self.who, self.options.allow_private)
        if faults.fields:
            self.refuse_fields(faults)
        self.check_manifest_signature(b.get("policy_manifest", {}))
        self.resolve(b["endpoint"])
        self.call_back(b)
        with self.lock:
            old = self.nodes.get(b.get("node_id"))
            old_endpoint = old.body["endpoint"] if old else None
            proof = old is not None and hmac.compare_digest(old.token, b.get("current_node_token", ""))
        changed = old is not None and old_endpoint != b["endpoint"]
        alive = changed and not proof and self.alive(old_endpoint)
        with self.lock:
            if old:
                self.check_ownership(old, b, proof, changed, alive)
            else:
                self.check_capacity(request.source)
            return 201, self.accept(b, request.source, old is not None)

    def resolve(self, endpoint):
        if self.options.allow_private or self.options.no_probe:
            return
        url = urllib.parse.urlsplit(endpoint)
        try:
            found = {a[4][0] for a in socket.getaddrinfo(url.hostname, url.port or 80, proto=socket.IPPROTO_TCP)}
        except OSError:
            found = set()
        if not found or any(host_fault(a.partition("%")[0], self.who) for a in found):
            self.refuse_endpoint("IICP-E035", "endpoint host does not resolve to a public address")

    def call_back(self, b):
        declared = b.get("nat_type") in NAT_TYPES - {"unknown"} and b.get("transport_method")
        if declared or self.options.no_probe:
            return
        status, why = probe(b["endpoint"])
        if status is None or not 200 <= status < 300:
            self.refuse_endpoint("IICP-E036", f"endpoint unreachable from directory ({why or f'HTTP {status}'}).")

    def alive(self, endpoint):
        status, _ = probe(endpoint)
        return status is not None and 200 <= status < 300

    def check_ownership(self, old, b, proof, changed, alive):
        stored, sent = old.body.get("cx_public_key"), b.get("cx_public_key")
        # The order of members counts, as with the production directory.
        if sent is not None and stored is not None and json.dumps(stored) != json.dumps(sent) and not proof:
            self.refuse_ownership("IICP-E049", "cx_public_key update requires valid current_node_token")
        if not ownership_allowed(self.settings["strict_ownership"], stored is not None, changed, False, False,
                                 proof, alive):
            self.refuse_ownership("IICP-E050", "routing-field change requires current_node_token ownership or "
                                               "the previous endpoint to be unreachable")

    def check_capacity(self, source):
        now = self.clock.mono()
        active = [n for n in self.nodes.values() if n.source == source and now - n.last_seen <= ACTIVE_S]
        if len(active) >= NODES_PER_SOURCE and not self.options.no_limits:
            raise field_refusal("registration_ip", "Too many active nodes registered from this source IP (IICP-E052)")

    def check_manifest_signature(self, manifest):
        """A signature that does not fit refuses the whole registration. [05 section 10]"""
        if "signature" not in manifest:
            return
        s = manifest["signature"] if isinstance(manifest["signature"], dict) else {}
        text = json.dumps({**manifest, "signature": {k: v for k, v in s.items() if k != "signature"}},
                          sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        try:
            good = s["algorithm"] == "Ed25519" and ed25519.verify(
                base64.b64decode(s["public_key"], validate=True), text.encode(),
                base64.b64decode(s["signature"], validate=True))
        except (KeyError, ValueError, TypeError):
            good = False
        if not good:
            raise field_refusal("policy_manifest.signature", "The manifest's signature is invalid.")

    def verified_operator(self, b):
        """The operator's key when the delegation holds, else None. [05 section 8.3]"""
        d = operator_keys(b)
        if d is None or d["node_id"] != b.get("node_id") or not isinstance(d["not_after"], int) or \
                d["not_after"] <= self.clock.wall():
            return None
        text = json.dumps({k: d[k] for k in ("node_id", "not_after", "operator_pub")}, separators=(",", ":"),
                          ensure_ascii=False)
        try:
            if ed25519.verify(base64.b64decode(d["operator_pub"], validate=True), text.encode(),
                              base64.b64decode(d["sig"], validate=True)):
                return d["operator_pub"]
        except (ValueError, TypeError):
            pass
        return None

    def accept(self, b, source, recovered):
        node_id = b.get("node_id") or str(uuid.uuid4())
        node = self.nodes.setdefault(node_id, Node(node_id))
        node.keep(b, self.who)
        node.source = source
        node.token = secrets.token_hex(20) if self.who != "d2" else str(uuid.uuid4())
        node.hmac_key = secrets.token_hex(16 if self.who == "d2" else 32)
        node.last_seen, node.available = self.clock.mono(), True
        node.health_models = node.stability = None
        node.operator = self.verified_operator(b)
        node.registrations += 1
        return {"node_id": node_id, "node_token": node.token, "proxy_token": secrets.token_hex(20),
                "node_hmac_key": node.hmac_key, "expires_at": None, "jwt_token": "eyJ.eyJ.sig",
                "jwt_expires_at": "2099-01-01T00:00:00+00:00", "directory": "lab",
                "observed_source_ip": source,
                "recovered": "node_id" in b if self.who == "d2" else recovered, "lifetime_jobs": node.jobs}

    def deregister(self, request):
        b = request.object()
        node_id = b.get("node_id")
        with self.lock:
            if node_id not in self.nodes and self.who != "d1":
                raise Refusal(404, error_body("IICP-E003", "node not found"))
            node = self.authorize(request, node_id)
            del self.nodes[node.node_id]
            self.watch.deregistered(node.node_id)
            self.rates.give_back(("register", request.source))
        return 200, {"deregistered": True}
