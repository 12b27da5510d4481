#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict small directory for trying and testing: it refuses what either published directory
refuses, calls back while REGISTER is open, rotates token and key on each 201, verifies challenge
answers, remembers every request and can be told to misbehave. Nothing leaves the machine.

Routes of the protocol are served below /api/v1 and /v1. Beside them:
  GET    /lab/requests[?route=heartbeat&min=2&wait=10]   what was asked; waits until min are there
  DELETE /lab/requests
  GET    /lab/nodes                                      records, without secrets but with challenge results
  POST   /lab/faults {"route":"register","status":503,"body":{..},"headers":{..},"delay_ms":0,
                      "drop":false,"after":false,"count":1}   one or a list; count 0 = until cleared;
                      after = the request is carried out first and only its answer is replaced or lost
  DELETE /lab/faults
  POST   /lab/settings {"next_heartbeat_ms":5000,"strict_ownership":true,"qos_filter":true,
                        "forget":"<node_id>"}
"""

import argparse
import copy
import hashlib
import hmac
import http.client
import ipaddress
import json
import re
import secrets
import socket
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER_BODY_MAX = 1 << 20
PROBE_S = 5
ACTIVE_S = 90
NODES_PER_SOURCE = 20
REQUESTS_KEPT = 20000

INTENT = re.compile(r"urn:iicp:intent:([a-z][a-z0-9_]*|x\.[a-z][a-z0-9-]*):[a-z][a-z0-9_-]*:v[1-9][0-9]*")
INTENT_D2 = re.compile(r"urn:iicp:intent:[a-z][a-z0-9_]*(:[a-z][a-z0-9_-]*)+:v[0-9]+")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,31}")
MODALITIES = {"text", "image", "audio", "video"}
BACKENDS = {"ollama", "lmstudio", "vllm", "llamacpp", "meshllm", "anthropic", "custom"}
METHODS = {"direct", "upnp_mapped", "stun_hole_punch", "turn_relay", "external_tunnel", "unknown"}
NAT_TYPES = {"full_cone", "restricted_cone", "port_restricted", "symmetric", "unknown"}
EXPOSURES = {"outbound_only", "ipv4_public_direct", "ipv4_cgnat_blocked", "ipv6_direct_firewall_required",
             "ipv6_direct_pinhole_available", "relay_required", "tunnel_required", "dual_stack_available"}
UNITS = {"tokens", "items", "bytes", "milliseconds", "dimensions"}
SOURCES = {"heuristic_fallback", "operator_assertion", "provider_metadata", "runtime_introspection",
           "conformance_probe"}
PROHIBITED = ("social:scoring", "social_scoring", "biometric:categorization", "emotion:workplace")
REFUSED_SUFFIXES = (".local", ".test", ".example", ".invalid", ".lan", ".internal", ".localhost")
REFUSED_D1 = ("100.64.0.0/10", "2001:db8::/32")
REFUSED_D2 = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
REFUSED = ("0.0.0.0/8", "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
           "224.0.0.0/4", "::/128", "::1/128", "fe80::/10", "fc00::/7", "ff00::/8")
UNIQUE_ACROSS = ("models", "output_modalities", "features", "execution_capabilities", "supported_profiles")


def is_int(v, low=None, high=None):
    return isinstance(v, int) and not isinstance(v, bool) and (low is None or v >= low) and \
        (high is None or v <= high)


def is_number(v, low=None, high=None):
    return isinstance(v, (int, float)) and not isinstance(v, bool) and (low is None or v >= low) and \
        (high is None or v <= high)


def is_text(v, most, pattern=None):
    return isinstance(v, str) and 0 < len(v) <= most and (pattern is None or re.fullmatch(pattern, v) is not None)


def is_date(v):
    return isinstance(v, str) and \
        re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?)?", v) is not None


class Faults:
    """Field faults as one directory sees them: d1, d2, or strict (either one)."""

    def __init__(self, who):
        self.who, self.fields, self.code = who, {}, None

    def add(self, field, text, by=("d1",), code="validation_error"):
        if self.who in by or self.who not in ("d1", "d2"):
            self.fields.setdefault(field, []).append(text)
            if self.code in (None, "validation_error"):
                self.code = code

    def must(self, ok, field, by=("d1",), text="The field is invalid."):
        if not ok:
            self.add(field, text, by)
        return ok


BOTH = ("d1", "d2")


def host_fault(host, who):
    """Why a host is not public by the literal rules, or None. [01 section 2.5]"""
    host = host.lower().rstrip(".")
    nets = list(REFUSED)
    if who != "d2":
        nets += REFUSED_D1
    if who != "d1":
        nets += REFUSED_D2
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if host == "localhost" or host.endswith(REFUSED_SUFFIXES) or "." not in host:
            return "a reserved name"
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    for net in nets:
        net = ipaddress.ip_network(net)
        if net.version == address.version and address in net:
            return f"in {net}"
    return None


def check_url(f, field, value, schemes, who, allow_private, relaxed):
    """An address that consumers are to dial."""
    ok = isinstance(value, str) and 0 < len(value) <= 255 and value == value.strip()
    try:
        url = urllib.parse.urlsplit(value) if ok else None
        host, _ = (url.hostname, url.port) if ok else (None, None)
    except ValueError:
        ok, host, url = False, None, None
    if not ok or not host or url.username or url.query or url.fragment:
        f.add(field, "IICP-E035: not a usable URL.", BOTH, "IICP-E035")
        return
    if url.scheme not in schemes:
        f.add(field, f"IICP-E035: scheme {url.scheme} is not allowed.",
              BOTH if field == "endpoint" else ("d1",), "IICP-E035")
        return
    if allow_private:
        return
    for by in BOTH:
        why = host_fault(host, by)
        if why and not (by == "d1" and relaxed):
            f.add(field, f"IICP-E035: endpoint host is {why}.", (by,), "IICP-E035")


def check_list(f, field, value, most, item_ok, nullable_d1=False):
    """A list of unique strings."""
    if value is None and nullable_d1:
        f.add(field, "null is no list.", ("d2",))
        return
    if not f.must(isinstance(value, list) and len(value) <= most, field, BOTH):
        return
    for i, item in enumerate(value):
        f.must(item_ok(item), f"{field}.{i}", BOTH)


def check_capability(f, at, c):
    if not f.must(isinstance(c, dict), at, BOTH):
        return
    intent = c.get("intent")
    if not (isinstance(intent, str) and INTENT.fullmatch(intent)):
        f.add(f"{at}.intent", "The intent is not valid.")
    if not (isinstance(intent, str) and INTENT_D2.fullmatch(intent)):
        f.add(f"{at}.intent", "The intent is not valid.", ("d2",))
    if isinstance(intent, str) and any(p in intent for p in PROHIBITED):
        f.add(f"{at}.intent", "Intent refused by IICP directory policy before discovery/routing: prohibited.",
              BOTH, "IICP-POLICY-001")
    if "models" in c:
        check_list(f, f"{at}.models", c["models"], 64, lambda v: is_text(v, 255))
    if "max_tokens" in c:
        v = c["max_tokens"]
        f.must(is_int(v, 1), f"{at}.max_tokens", ("d1",) if v is None else BOTH)
    if "input_modalities" in c:
        check_list(f, f"{at}.input_modalities", c["input_modalities"], 16,
                   lambda v: isinstance(v, str) and v in MODALITIES, True)
    if "output_modalities" in c:
        check_list(f, f"{at}.output_modalities", c["output_modalities"], 16,
                   lambda v: isinstance(v, str) and v in MODALITIES)
    for name in ("features", "execution_capabilities"):
        if name in c:
            check_list(f, f"{at}.{name}", c[name], 64, lambda v: is_text(v, 255))
    if "supported_profiles" in c:
        check_list(f, f"{at}.supported_profiles", c["supported_profiles"], 16,
                   lambda v: is_text(v, 160, r"urn:iicp:profile:[a-z0-9][a-z0-9._:-]*"))
    if "limits" in c:
        v = c["limits"]
        f.must(isinstance(v, dict) and len(v) <= 32 and all(
            re.fullmatch(r"[a-z][a-z0-9_]{0,63}", k) and isinstance(x, dict) and set(x) == {"value", "unit"} and
            is_number(x["value"], 0) and isinstance(x["unit"], str) and x["unit"] in UNITS
            for k, x in v.items()), f"{at}.limits", BOTH)
    for name in ("quantization", "inference_engine", "version"):
        f.must(name not in c or is_text(c[name], 32), f"{at}.{name}")
    f.must("phase" not in c or is_int(c["phase"], 1), f"{at}.phase")
    f.must("variant_id" not in c or is_text(c["variant_id"], 64, r"[A-Za-z0-9][A-Za-z0-9._:-]*"),
           f"{at}.variant_id")
    if "claim_provenance" in c:
        v = c["claim_provenance"]
        f.must(isinstance(v, dict) and isinstance(v.get("source"), str) and v["source"] in SOURCES and
               all(k not in v or is_date(v[k]) for k in ("observed_at", "valid_until")),
               f"{at}.claim_provenance", BOTH)
    if "extensions" in c:
        v = c["extensions"]
        f.must(isinstance(v, dict) and len(v) <= 32 and all(
            re.fullmatch(r"[a-z][a-z0-9._:-]{2,127}", k) and "." in k and isinstance(x, dict) and
            set(x) == {"required", "value"} and isinstance(x["required"], bool) for k, x in v.items()),
            f"{at}.extensions", BOTH)


def check_capabilities(f, caps):
    if not f.must(isinstance(caps, list) and 1 <= len(caps) <= 128, "capabilities", BOTH):
        return
    for i, c in enumerate(caps):
        check_capability(f, f"capabilities.{i}", c)
    objects = [(i, c) for i, c in enumerate(caps) if isinstance(c, dict)]
    for name in UNIQUE_ACROSS:
        seen = {}
        for i, c in objects:
            for j, v in enumerate(c[name] if isinstance(c.get(name), list) else []):
                if isinstance(v, str):
                    seen.setdefault(v, []).append((i, j))
        for places in seen.values():
            within = len({i for i, _ in places}) < len(places)
            for i, j in places if len(places) > 1 else []:
                f.add(f"capabilities.{i}.{name}.{j}", "The field has a duplicate value.",
                      BOTH if within else ("d1",))
    variants, whole = set(), set()
    for i, c in objects:
        text = json.dumps(c, sort_keys=True)
        f.must(text not in whole, f"capabilities.{i}", BOTH, "The same capability twice.")
        whole.add(text)
        if isinstance(c.get("variant_id"), str):
            key = (c.get("intent"), c["variant_id"])
            f.must(key not in variants, f"capabilities.{i}.variant_id", BOTH)
            variants.add(key)


def check_pricing(f, p):
    if not f.must(isinstance(p, dict), "pricing", BOTH):
        return
    f.must("credit_cost_multiplier" not in p or is_number(p["credit_cost_multiplier"], 0, 1000),
           "pricing.credit_cost_multiplier", BOTH)
    f.must("pricing_model" not in p or p["pricing_model"] in ("per_token", "per_request", "flat"),
           "pricing.pricing_model", BOTH)
    f.must("declaration_signature" not in p or is_text(p["declaration_signature"], 128),
           "pricing.declaration_signature")
    f.must(all(k not in p or is_date(p[k]) for k in ("effective_from", "effective_until")), "pricing.effective_from")


def check_cx_key(f, k):
    if not f.must(isinstance(k, dict), "cx_public_key"):
        return
    f.must(k.get("algorithm") == "X25519", "cx_public_key.algorithm")
    f.must(k.get("encoding") == "base64url", "cx_public_key.encoding")
    f.must(is_text(k.get("key"), 128), "cx_public_key.key")
    f.must(is_text(k.get("key_id"), 32), "cx_public_key.key_id")
    f.must("not_after" not in k or is_date(k["not_after"]), "cx_public_key.not_after")
    v = k.get("features", [])
    f.must(isinstance(v, list) and len(v) <= 16 and all(is_text(x, 64) for x in v), "cx_public_key.features")


def check_manifest(f, m):
    if not f.must(isinstance(m, dict), "policy_manifest", BOTH):
        return
    f.must("version" not in m or is_text(m["version"], 32), "policy_manifest.version", BOTH)
    f.must("jurisdiction" not in m or is_text(m["jurisdiction"], 64, r"[A-Za-z0-9][A-Za-z0-9 ._:-]*"),
           "policy_manifest.jurisdiction", BOTH)
    f.must(m.get("training_use", "none") in ("none", "opt_in", "provider_defined"),
           "policy_manifest.training_use", BOTH)
    r = m.get("retention", {})
    f.must(isinstance(r, dict) and r.get("task_payload", "none") in ("none", "transient", "provider_defined") and
           ("logs_days" not in r or is_int(r["logs_days"], 0, 3650)), "policy_manifest.retention", BOTH)
    f.must(isinstance(m.get("remote_executor_can_read_prompt", True), bool),
           "policy_manifest.remote_executor_can_read_prompt", BOTH)
    v = m.get("unsupported_intents", [])
    f.must(isinstance(v, list) and len(v) <= 100, "policy_manifest.unsupported_intents", BOTH)


def check_updater(f, b):
    f.must(isinstance(b.get("auto_update_enabled", False), bool), "auto_update_enabled")
    f.must("auto_update_interval_s" not in b or is_int(b["auto_update_interval_s"], 300, 86400),
           "auto_update_interval_s")


def check_availability(f, windows):
    if not f.must(isinstance(windows, list), "availability", BOTH):
        return
    for i, w in enumerate(windows):
        w = w if isinstance(w, dict) else {}
        for k in ("start", "end"):
            f.must(is_text(w.get(k), 5, r"([01][0-9]|2[0-3]):[0-5][0-9]"), f"availability.{i}.{k}", BOTH)
        f.must(is_number(w.get("share"), 0, 1), f"availability.{i}.share", BOTH)


def check_identity(f, b):
    """node_id, proof and the names of the software."""
    f.must("node_id" not in b or is_text(b["node_id"], 36, r"[A-Za-z0-9][A-Za-z0-9._:-]{0,35}"), "node_id", BOTH)
    f.must("current_node_token" not in b or is_text(b["current_node_token"], 64), "current_node_token")
    f.must("sdk_language" not in b or is_text(b["sdk_language"], 32, r"[a-z0-9_-]+"), "sdk_language")
    for name in ("sdk_version", "sdk_compatibility_version", "implementation_version"):
        f.must(name not in b or is_text(b[name], 32, VERSION), name, BOTH)
    if "sdk_version" in b and "sdk_compatibility_version" in b:
        f.must(b["sdk_version"] == b["sdk_compatibility_version"], "sdk_compatibility_version", BOTH)
    f.must("implementation_name" not in b or
           is_text(b["implementation_name"], 64, r"[A-Za-z0-9@][A-Za-z0-9._/@+-]{0,63}"), "implementation_name", BOTH)


def check_register(b, who="strict", allow_private=False):
    """Field rules of REGISTER, without look-ups and stored state. [01 sections 2.2 to 2.5]"""
    f = Faults(who)
    relaxed = b.get("nat_type") in NAT_TYPES - {"unknown"} and bool(b.get("transport_method"))
    if "endpoint" in b:
        check_url(f, "endpoint", b["endpoint"], ("http", "https"), who, allow_private, relaxed)
    else:
        f.add("endpoint", "The endpoint field is required.", BOTH)
    if b.get("transport_endpoint") is not None:
        check_url(f, "transport_endpoint", b["transport_endpoint"], ("iicp", "iicpsec"), who, allow_private, relaxed)
    f.must(is_text(b.get("region"), 64, r"[A-Za-z][A-Za-z0-9_-]*"), "region")
    check_capabilities(f, b.get("capabilities"))
    limits = b.get("limits")
    f.must(isinstance(limits, dict), "limits")
    limits = limits if isinstance(limits, dict) else {}
    f.must(is_int(limits.get("max_concurrent"), 1, 256), "limits.max_concurrent")
    f.must(is_int(limits.get("tokens_per_min"), 1), "limits.tokens_per_min")
    check_identity(f, b)
    if "availability" in b:
        check_availability(f, b["availability"])
    for name, known, by in (("transport_method", METHODS, ("d1",)), ("nat_type", NAT_TYPES, ("d1",)),
                            ("exposure_mode", EXPOSURES, BOTH), ("backend", BACKENDS, BOTH)):
        f.must(name not in b or (isinstance(b[name], str) and b[name] in known), name, by)
    f.must(isinstance(b.get("transport_metadata", {}), dict), "transport_metadata", BOTH)
    f.must(isinstance(b.get("relay_capable", False), bool), "relay_capable", BOTH)
    check_updater(f, b)
    if "pricing" in b:
        check_pricing(f, b["pricing"])
    if "policy" in b:
        p = b["policy"]
        f.must(isinstance(p, dict) and all(isinstance(p.get(k, False), bool) for k in (
            "allow_remote_inference", "allow_tool_execution", "allow_file_access")), "policy", BOTH)
    if "cx_public_key" in b:
        check_cx_key(f, b["cx_public_key"])
    if "policy_manifest" in b:
        check_manifest(f, b["policy_manifest"])
    f.must("public_key" not in b or is_text(b["public_key"], 128, r"[0-9a-f]{64}"), "public_key")
    f.must("node_hmac_key" not in b or is_text(b["node_hmac_key"], 128), "node_hmac_key")
    if "supported_receipt_profiles" in b:
        check_list(f, "supported_receipt_profiles", b["supported_receipt_profiles"], 4,
                   lambda v: v == "consumer_cosignature_v1")
    return f


def check_heartbeat(b, who="strict"):
    """Field rules of a heartbeat. [01 section 3.2]"""
    f = Faults(who)
    f.must(is_text(b.get("node_id"), 36), "node_id", BOTH)
    f.must("load" not in b or is_number(b["load"], 0, 1), "load")
    f.must("active_jobs" not in b or is_int(b["active_jobs"], 0), "active_jobs", BOTH)
    f.must(isinstance(b.get("available", True), bool), "available", BOTH)
    if "metrics" in b:
        m = b["metrics"]
        if f.must(isinstance(m, dict), "metrics"):
            for name in ("tasks_success", "tasks_failed"):
                f.must(name not in m or is_int(m[name], 0, 1000), f"metrics.{name}")
            f.must("avg_latency_ms" not in m or is_number(m["avg_latency_ms"], 0), "metrics.avg_latency_ms")
    f.must("metrics_batch_id" not in b or is_text(b["metrics_batch_id"], 64, r"[\x21-\x7e]+"),
           "metrics_batch_id", BOTH)
    f.must("challenge_response" not in b or is_text(b["challenge_response"], 64), "challenge_response")
    models = b.get("health_models")
    if models is not None and f.must(isinstance(models, list), "health_models", BOTH):
        for i, m in enumerate(models):
            f.must(isinstance(m, str) and len(m) <= 128, f"health_models.{i}")
    if "backend_stability" in b:
        s = b["backend_stability"] if isinstance(b["backend_stability"], dict) else {}
        f.must(s.get("backend_state") in ("ok", "degraded", "draining"), "backend_stability.backend_state")
        f.must(s.get("reason_class") in ("ok", "backend_cold", "backend_loading", "backend_unstable",
                                         "observer_error"), "backend_stability.reason_class")
        f.must("retry_after_s" not in s or is_int(s["retry_after_s"], 0, 86400), "backend_stability.retry_after_s")
        f.must("drain_until" not in s or is_int(s["drain_until"], 0), "backend_stability.drain_until")
    check_updater(f, b)
    if "pricing" in b:
        check_pricing(f, b["pricing"])
    return f


def ownership_allowed(strict, secured, endpoint_changed, transport_changed, relay_changed, token_valid, old_alive):
    """May this caller register a known node_id again? [01 section 2.9]"""
    del transport_changed, relay_changed  # always allowed by themselves
    if token_valid:
        return True
    if strict and secured:
        return False
    return not endpoint_changed or not old_alive


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


class Refusal(Exception):
    def __init__(self, status, body, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


def error_body(code, message, **more):
    return {"error": {"code": code, "message": message, **more}}


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
        self.batches, self.jobs = set(), 0

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
                "cx_public_key": b.get("cx_public_key"), **entry}


class Rates:
    """Sliding windows of one minute."""

    def __init__(self):
        self.seen = {}

    def wait_s(self, key, limit):
        now = time.monotonic()
        times = [t for t in self.seen.get(key, []) if now - t < 60]
        if len(times) >= limit:
            self.seen[key] = times
            return max(1, int(60 - (now - times[0]) + 1))
        self.seen[key] = times + [now]
        return 0

    def give_back(self, key):
        if self.seen.get(key):
            self.seen[key].pop()


class Directory:
    """All state, behind one lock that is not held while calling back."""

    def __init__(self, options):
        self.options = options
        self.who = options.personality
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)
        self.nodes, self.faults, self.requests = {}, [], []
        self.rates = Rates()
        self.settings = {"next_heartbeat_ms": 30000, "strict_ownership": False, "qos_filter": False}
        self.count = 0

    # ---- shapes of refusals ----

    def refuse_fields(self, faults):
        if self.who == "d2" or (self.who == "spec" and faults.code != "validation_error"):
            raise Refusal(422, error_body(faults.code, "request rejected"))
        if self.who == "spec":
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        raise Refusal(422, error_body("validation_error", "Input validation failed", fields=faults.fields))

    def refuse_endpoint(self, code, text):
        if self.who == "d2":
            raise Refusal(422, error_body(code, text))
        if self.who == "spec" and code == "IICP-E036":
            raise Refusal(422, error_body("liveness_failed", "Endpoint did not respond"))
        raise Refusal(422, error_body("validation_error", "Input validation failed",
                                      fields={"endpoint": [f"{code}: {text}"]}))

    def refuse_ownership(self, code, text):
        if self.who == "d2":
            raise Refusal(403, {"error": code, "message": text})
        raise Refusal(403, error_body(code, text))

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

    # ---- routes ----

    def register(self, request):
        self.limit("register", request.source, 60)
        b = request.object()
        faults = check_register(b, self.who, self.options.allow_private)
        if faults.fields:
            self.refuse_fields(faults)
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
        now = time.monotonic()
        active = [n for n in self.nodes.values() if n.source == source and now - n.last_seen <= ACTIVE_S]
        if len(active) >= NODES_PER_SOURCE and not self.options.no_limits:
            raise Refusal(422, error_body("validation_error", "Input validation failed", fields={
                "registration_ip": ["Too many active nodes registered from this source IP (IICP-E052)"]}))

    def accept(self, b, source, recovered):
        node_id = b.get("node_id") or str(uuid.uuid4())
        node = self.nodes.setdefault(node_id, Node(node_id))
        body = {k: v for k, v in b.items() if k not in ("current_node_token", "node_hmac_key")}
        if node.body and "cx_public_key" not in body and "cx_public_key" in node.body:
            body["cx_public_key"] = node.body["cx_public_key"]
        node.body, node.source = body, source
        node.token = secrets.token_hex(20) if self.who != "d2" else str(uuid.uuid4())
        node.hmac_key = secrets.token_hex(16 if self.who == "d2" else 32)
        node.last_seen, node.available = time.monotonic(), True
        node.health_models = node.stability = None
        node.registrations += 1
        return {"node_id": node_id, "node_token": node.token, "proxy_token": secrets.token_hex(20),
                "node_hmac_key": node.hmac_key, "expires_at": None, "jwt_token": "eyJ.eyJ.sig",
                "jwt_expires_at": "2099-01-01T00:00:00+00:00", "directory": "lab",
                "observed_source_ip": source, "recovered": recovered, "lifetime_jobs": node.jobs}

    def authorize(self, request, node_id=None):
        """The node whose bearer token this is; 401 otherwise."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        node = self.nodes.get(node_id or request.query.get("node_id") or request.headers.get("X-Node-Id", ""))
        if kind != "Bearer" or not node or not hmac.compare_digest(node.token.encode(), token.encode()):
            raise Refusal(401, error_body("unauthorized", "Invalid or missing node token"))
        return node

    def heartbeat(self, request):
        b = request.object()
        node_id = b.get("node_id") if isinstance(b.get("node_id"), str) else None
        with self.lock:
            node = self.authorize(request, node_id)
            self.limit("heartbeat", node.node_id, 60)
            faults = check_heartbeat(b, self.who)
            if faults.fields:
                self.refuse_fields(faults)
            self.check_challenge(node, b)
            self.check_pricing_signature(node, b.get("pricing", {}))
            node.last_seen = time.monotonic()
            node.heartbeats += 1
            node.available = b.get("available", True)
            node.load, node.active_jobs = b.get("load", 0), b.get("active_jobs", 0)
            if "health_models" in b:
                node.health_models = b["health_models"]
            node.stability = b.get("backend_stability")
            batch = b.get("metrics_batch_id")
            if batch and batch not in node.batches:
                node.batches.add(batch)
                node.jobs += min(300, b.get("metrics", {}).get("tasks_success", 0))
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
            raise Refusal(422, error_body("validation_error", "Input validation failed", fields={
                "pricing.declaration_signature": ["Invalid declaration signature (IICP-E010)"]}))

    def deregister(self, request):
        b = request.object()
        node_id = b.get("node_id")
        with self.lock:
            if node_id not in self.nodes and self.who != "d1":
                raise Refusal(404, error_body("IICP-E003", "node not found"))
            node = self.authorize(request, node_id)
            del self.nodes[node.node_id]
            self.rates.give_back(("register", request.source))
        return 200, {"deregistered": True}

    def me(self, request):
        with self.lock:
            node = self.authorize(request)
            return 200, {**node.listed(False), "status": "active"}

    def node(self, request):
        self.limit("read", request.source, 60)
        node_id = urllib.parse.unquote(request.path.rsplit("/", 1)[1])
        with self.lock:
            if node_id not in self.nodes:
                raise Refusal(404, error_body("IICP-E003", "node not found"))
            return 200, self.nodes[node_id].listed(False)

    def registry_node(self, request):
        self.limit("read", request.source, 60)
        prefix = urllib.parse.unquote(request.path.rsplit("/", 1)[1])
        with self.lock:
            for node in self.nodes.values():
                if node.node_id.startswith(prefix) and node.available:
                    return 200, {**node.listed(False), "status_summary": {"state": "direct_verified"}}
        raise Refusal(404, error_body("REGISTRY-NODE-NOT-FOUND", "no such node"))

    def discover(self, request):
        self.limit("read", request.source, 60)
        q = request.query
        if not INTENT.fullmatch(q.get("intent", "")):
            raise Refusal(422, error_body("validation_error", "Input validation failed",
                                          fields={"intent": ["The intent field is required."]}))
        try:
            limit, least = int(q.get("limit", 10)), float(q.get("min_reputation", 0))
        except ValueError:
            limit, least = 0, -1
        if not 1 <= limit <= 50 or not 0 <= least <= 1 or len(q.get("region", "")) > 64 or \
                len(q.get("model", "")) > 128 or q.get("qos", "batch") not in (
                    "realtime", "interactive", "batch", "best-effort"):
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        view = q.get("view", "dispatch")
        with self.lock:
            found = [n for n in self.nodes.values() if self.matches(n, q, least)]
            found.sort(key=lambda n: (n.body["region"] != q.get("region"), n.load, n.node_id))
            nodes = [n.listed(view == "public") for n in found[:limit]]
        return 200, {"nodes": nodes, "count": len(nodes), "relay_available": False, "query_ms": 1, "view": view,
                     "data_class": "public_summary" if view == "public" else "route_dispatch",
                     "route_fields_present": view != "public"}, {"Cache-Control": "public, max-age=5"}

    def matches(self, node, q, least):
        needed = {"interactive": 100, "realtime": 1000}.get(q.get("qos"), 0) if self.settings["qos_filter"] else 0
        return node.visible(time.monotonic()) and least <= 0.5 and node.jobs >= needed and \
            any(c["intent"] == q["intent"] for c in node.body["capabilities"]) and \
            (not q.get("model") or q["model"] in node.models()) and \
            (q.get("cip_capable") != "1" or node.body.get("policy", {}).get("allow_remote_inference", False)) and \
            (q.get("relay_capable") != "1" or node.body.get("relay_capable", False))

    def probe_route(self, request):
        self.limit("probe", request.source, 10)
        host, port = request.query.get("host", ""), request.query.get("port", "")
        if not port.isdigit() or not 1024 <= int(port) <= 65535 or not host:
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        if not self.options.allow_private and host_fault(host, self.who):
            raise Refusal(422, {"error": "private_address"})
        bracketed = f"[{host}]" if ":" in host else host
        began = time.monotonic()
        status, _ = probe(f"http://{bracketed}:{port}")
        good = status is not None and 200 <= status < 300
        return 200, {"reachable": good, "latency_ms": int((time.monotonic() - began) * 1000) if good else None,
                     "error": None if good else (f"http_{status}" if status else "unreachable")}

    def stats(self, request):
        self.limit("read", request.source, 60)
        now = time.monotonic()
        with self.lock:
            active = sum(n.visible(now) for n in self.nodes.values())
            return 200, {"total_nodes": len(self.nodes), "active_nodes": active,
                         "regions": sorted({n.body["region"] for n in self.nodes.values()}),
                         "server": {"version": "lab", "active_nodes": active}, "mesh_health": None}

    def registry_intents(self, request):
        self.limit("read", request.source, 60)
        counts = {}
        with self.lock:
            for n in self.nodes.values():
                for urn in {c["intent"] for c in n.body["capabilities"]}:
                    counts[urn] = counts.get(urn, 0) + 1
        return 200, {"intents": [{"urn": u, "node_count": c} for u, c in sorted(counts.items())]}

    def bootstrap(self, request):
        self.limit("read", request.source, 60)
        return 200, {"peers": [], "count": 0}

    def directory_key(self, request):
        self.limit("read", request.source, 60)
        raise Refusal(503, error_body("directory_key_unavailable", "this directory signs nothing"))

    def not_offered(self, request):
        raise Refusal(404, error_body("not_found", "not offered"))

    ROUTES = (
        ("POST", r"/register", "register", register),
        ("DELETE", r"/register", "deregister", deregister),
        ("POST", r"/heartbeat", "heartbeat", heartbeat),
        ("GET", r"/me", "me", me),
        ("GET", r"/node/[^/]+", "node", node),
        ("GET", r"/discover", "discover", discover),
        ("GET", r"/probe", "probe", probe_route),
        ("GET", r"/stats", "stats", stats),
        ("GET", r"/registry/stats", "registry", stats),
        ("GET", r"/registry/intents", "registry", registry_intents),
        ("GET", r"/registry/nodes/[^/]+", "registry", registry_node),
        ("GET", r"/bootstrap", "bootstrap", bootstrap),
        ("GET", r"/directory-key", "directory-key", directory_key),
        ("POST", r"/dispatch/ticket", "ticket", not_offered),
        ("POST", r"/relay/ticket", "relay-ticket", not_offered),
        ("POST", r"/consumer-token", "consumer-token", not_offered),
    )

    def find(self, method, path):
        prefix = r"/api/v1" if self.who == "d1" else r"(?:/api)?/v1"
        for verb, pattern, name, run in self.ROUTES:
            if verb == method and re.fullmatch(prefix + pattern, path):
                return name, run
        return "unknown", Directory.not_offered

    # ---- the laboratory ----

    def take_fault(self, name):
        with self.lock:
            for fault in self.faults:
                if fault.get("route") in (name, "*"):
                    if fault.setdefault("count", 1):
                        fault["count"] -= 1
                        if fault["count"] == 0:
                            self.faults.remove(fault)
                    return fault
        return None

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
            return {"nodes": [{**n.listed(False), "available": n.available, "visible": n.visible(time.monotonic()),
                               "registrations": n.registrations, "heartbeats": n.heartbeats,
                               "challenges": n.challenges, "registered": n.body, "jobs": n.jobs}
                              for n in self.nodes.values()]}

    def lab_settings(self, changes):
        with self.lock:
            forget = changes.pop("forget", None)
            self.nodes.pop(forget, None)
            self.settings.update({k: v for k, v in changes.items() if k in self.settings})
            return self.settings


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "iicp-lab-directory"
    sys_version = ""
    disable_nagle_algorithm = True

    def log_message(self, *args):
        """Quiet: /lab/requests knows everything."""

    def object(self):
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, error_body("request_error", "request rejected"))
        try:
            value = json.loads(self.raw)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refusal(400, error_body("request_error", "request rejected"))
        return value

    def read_body(self):
        n = int(self.headers.get("Content-Length") or 0)
        if n > SERVER_BODY_MAX:
            self.close_connection = True
            return b""
        return self.rfile.read(n) if n else b""

    def answer(self, status, body, headers=None):
        text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def laboratory(self, directory):
        body = json.loads(self.raw) if self.raw else {}
        with directory.lock:
            if self.command == "DELETE":
                target = directory.faults if self.path == "/lab/faults" else directory.requests
                target.clear()
                return {"ok": True}
            if (self.command, self.path) == ("POST", "/lab/faults"):
                directory.faults += body if isinstance(body, list) else [body]
                return {"faults": len(directory.faults)}
        if (self.command, self.path) == ("POST", "/lab/settings"):
            return directory.lab_settings(body)
        if self.path == "/lab/requests":
            return directory.lab_requests(self.query)
        return directory.lab_nodes()

    def run(self, directory, route):
        try:
            status, body, *headers = route(directory, self)
            return status, body, headers[0] if headers else {}
        except Refusal as r:
            return r.status, r.body, r.headers

    def serve(self):
        directory = self.server.directory
        url = urllib.parse.urlsplit(self.path)
        self.path, self.query = url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.source = self.client_address[0].removeprefix("::ffff:")
        self.raw, began = self.read_body(), time.monotonic()
        if self.path.startswith("/lab/"):
            self.answer(200, self.laboratory(directory))
            return
        name, route = directory.find(self.command, self.path)
        fault = directory.take_fault(name)
        status, body, headers = 0, None, {}
        if fault is None or fault.get("after"):
            status, body, headers = self.run(directory, route)
        if fault is not None:
            if fault.get("delay_ms"):
                time.sleep(fault["delay_ms"] / 1000)
            if "status" in fault:
                status, body = fault["status"], fault.get("body", "")
                headers = fault.get("headers", {})
            elif status == 0 and not fault.get("drop"):
                status, body, headers = self.run(directory, route)
        dropped = fault is not None and bool(fault.get("drop"))
        directory.remember({
            "route": name, "method": self.command, "path": self.path, "query": self.query,
            "headers": {k.lower(): v for k, v in self.headers.items()}, "raw": self.raw.decode("utf-8", "replace"),
            "body": self.parsed(), "status": None if dropped else status, "answer": body, "source": self.source,
            "began_s": began, "ended_s": time.monotonic()})
        if dropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.answer(status, body, headers)

    def parsed(self):
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = serve

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError, BrokenPipeError):
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    p = argparse.ArgumentParser(description="a strict small IICP directory for tests and for trying")
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=8440)
    p.add_argument("--allow-private", action="store_true", help="accept endpoints that are not public")
    p.add_argument("--no-probe", action="store_true", help="neither resolve nor call endpoints")
    p.add_argument("--no-limits", action="store_true", help="no rate and capacity limits")
    p.add_argument("--personality", choices=("strict", "d1", "d2", "spec"), default="strict",
                   help="strict refuses what either published directory refuses")
    options = p.parse_args()
    directory = Directory(options)
    server = Server((options.host, options.port), Request)
    server.directory = directory
    print(f"ready http://{options.host}:{server.server_address[1]}/api", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
