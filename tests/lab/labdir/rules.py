# SPDX-License-Identifier: Apache-2.0
"""Field rules of both published directories, without look-ups and stored state.
[01 sections 2.2 to 2.5, 3.2]"""

import ipaddress
import json
import re
import urllib.parse

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


def operator_keys(b):
    """[01 section 2.2] operator_delegation: a bad one is ignored, so it is judged by itself."""
    d = b.get("operator_delegation")
    return d if isinstance(d, dict) and set(d) >= {"node_id", "operator_pub", "not_after", "sig"} else None
