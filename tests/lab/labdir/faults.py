# SPDX-License-Identifier: Apache-2.0
"""Misbehaviour by name. A fault is an object (directory.py tells its members); the catalogue has one for
each row of what a directory does to a node in the field."""

import copy

HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
PAGE = {"Content-Type": "text/html"}


def error(status, code, message="said the lab", headers=None, route="register", **more):
    return {"route": route, "status": status, "headers": headers or {},
            "body": {"error": {"code": code, "message": message, **more}}}


def field(name, text, route="register"):
    return error(422, "validation_error", "Input validation failed", route=route, fields={name: [text]})


def beat(status, code, **more):
    return error(status, code, route="heartbeat", **more)


CATALOGUE = {
    # REGISTER refused [01 section 2.8]
    "register-429-e034": {"route": "register", "status": 429, "body": {
        "error": "IICP-E034", "message": "TooManyRegistrationAttempts", "retry_after": 8}},
    "register-429-throttle": error(429, "rate_limited", retry_after_seconds=8),
    "register-429-header": error(429, "rate_limited", headers={"Retry-After": "8"}),
    "register-429-hours": {"route": "register", "status": 429, "body": {
        "accepted": False, "reason": "rate_limited", "retry_after_hours": 1}},
    "register-429-bare": {"route": "register", "status": 429, "body": ""},
    "register-422-e035-d1": field("endpoint", "IICP-E035: endpoint host is in an RFC1918 private range."),
    "register-422-e035-d2": error(422, "IICP-E035", "non-routable endpoint: NonRoutableHost"),
    "register-422-e036-d1": field("endpoint", "IICP-E036: endpoint unreachable from directory (HTTP 502)."),
    "register-422-e036-d2": error(422, "IICP-E036", "endpoint unreachable or TLS identity verification failed"),
    "register-422-liveness": error(422, "liveness_failed", "Endpoint did not respond"),
    "register-403-e049-d1": error(403, "IICP-E049", "cx_public_key update requires valid current_node_token"),
    "register-403-e049-d2": {"route": "register", "status": 403, "body": {
        "error": "IICP-E049", "message": "cx_public_key update requires a valid current_node_token"}},
    "register-403-e050": error(403, "IICP-E050", "routing-field change requires current_node_token ownership"),
    "register-422-e052": field("registration_ip", "Too many active nodes registered from this source IP (IICP-E052)"),
    "register-422-e051": field("operator_display_name", "already claimed by another verified operator (IICP-E051)"),
    "register-422-e063": field("operator_delegation", "operator identity is rotated or revoked (IICP-E063)"),
    "register-422-e010": field("pricing.declaration_signature", "Invalid declaration signature (IICP-E010)"),
    "register-422-intent-d1": field("capabilities.0.intent", "Intent refused by IICP directory policy before "
                                                             "discovery/routing: social scoring."),
    "register-422-intent-d2": error(422, "IICP-POLICY-001", "refused"),
    "register-422-field": field("region", "The region field is required."),
    "register-422-shape": error(422, "validation_error", "request rejected"),
    "register-400": error(400, "request_error", "request rejected"),
    "register-401-membership": error(401, "restricted_domain_denied"),
    "register-404": error(404, "not_found", "Resource not found"),
    "register-410": error(410, "not_found", "gone"),
    "register-500": error(500, "server_error", "An internal error occurred"),
    "register-503-e047": error(503, "IICP-E047", "replica_mode_misconfigured"),
    "register-201-no-token": {"route": "register", "status": 201, "body": {"node_id": "x"}},
    "register-201-html": {"route": "register", "status": 201, "body": HTML, "headers": PAGE},
    # slow, lost, broken
    "register-6s": {"route": "register", "delay_ms": 6000, "after": True},
    "register-19s": {"route": "register", "delay_ms": 19000, "after": True},
    "register-25s": {"route": "register", "delay_ms": 25000, "after": True},
    "rotation-lost": {"route": "register", "after": True, "drop": True},
    "register-half": {"route": "register", "after": True, "half": True},
    "register-cut": {"route": "register", "drop": True},
    "register-html": {"route": "register", "status": 502, "body": HTML, "headers": PAGE},
    "garbage": {"route": "*", "garbage": True},
    # HEARTBEAT [01 section 3.6]
    "beat-401": beat(401, "unauthorized", message="Invalid credentials"),
    "beat-401-expired": beat(401, "token_expired"),
    "beat-401-membership": beat(401, "restricted_domain_denied"),
    "beat-403": beat(403, "forbidden"),
    "beat-404": beat(404, "IICP-E003", message="node not registered"),
    "beat-410": beat(410, "not_found", message="gone"),
    "beat-422-field": field("health_models.0", "too long", "heartbeat"),
    "beat-422-e010": field("pricing.declaration_signature", "Invalid declaration signature (IICP-E010)", "heartbeat"),
    "beat-429-header": beat(429, "rate_limited", headers={"Retry-After": "17"}),
    "beat-429-long": beat(429, "rate_limited", headers={"Retry-After": "3600"}),
    "beat-429-bare": {"route": "heartbeat", "status": 429, "body": ""},
    "beat-500": beat(500, "server_error"),
    "beat-502-html": {"route": "heartbeat", "status": 502, "body": HTML, "headers": PAGE},
    "beat-200-html": {"route": "heartbeat", "after": True, "status": 200, "body": HTML, "headers": PAGE},
    "beat-slow": {"route": "heartbeat", "delay_ms": 6000},
    "beat-answer-late": {"route": "heartbeat", "delay_ms": 6000, "after": True},
    "beat-answer-lost": {"route": "heartbeat", "after": True, "drop": True},
    "beat-half": {"route": "heartbeat", "after": True, "half": True},
    "beat-other-batch": {"route": "heartbeat", "after": True, "answer": {"metrics_batch_accepted": "another-batch"}},
    "beat-no-batch": {"route": "heartbeat", "after": True, "answer": {"metrics_batch_accepted": None}},
    "beat-wrong-challenge": {"route": "heartbeat", "after": True, "answer": {"challenge": "0" * 32}},
    "beat-no-challenge": {"route": "heartbeat", "after": True, "without": ["challenge"]},
    "beat-every-ms": {"route": "heartbeat", "after": True, "answer": {"next_heartbeat_ms": 1}},
    "beat-every-day": {"route": "heartbeat", "after": True, "answer": {"next_heartbeat_ms": 86400000}},
    # redirects [01 section 1.7]
    "register-307-same": {"route": "register", "redirect": "same"},
    "register-307-loop": {"route": "register", "redirect": "same", "count": 8},
    "register-307-elsewhere": {"route": "register", "redirect": "http://127.0.0.1:9/api"},
    "register-301": {"route": "register", "redirect": "same", "redirect_status": 301},
    "beat-307-same": {"route": "heartbeat", "redirect": "same"},
    "beat-307-elsewhere": {"route": "heartbeat", "redirect": "http://127.0.0.1:9/api"},
    # everything
    "down": {"down_s": 120},
    "down-1h": {"down_s": 3600},
    "reset": {"route": "*", "drop": True},
    "all-500": error(500, "server_error", route="*"),
    "all-slow": {"route": "*", "delay_ms": 30000},
    "forgotten": {"forget": "*"},
    # the rest
    "key-503": error(503, "not_configured", route="directory-key"),
    "key-other": {"route": "directory-key", "after": True, "answer": {"public_key": "11" * 32}},
    "key-algorithm": {"route": "directory-key", "after": True, "answer": {"algorithm": "rsa"}},
    "credits-404": error(404, "not_found", route="credits"),
    "credits-e027": error(422, "IICP-E027", route="credits"),
    "credits-500": error(500, "server_error", route="credits"),
    "credits-slow": {"route": "credits", "delay_ms": 12000},
    "credits-lost": {"route": "credits", "after": True, "drop": True},
    "registry-404": error(404, "REGISTRY-NODE-NOT-FOUND", route="registry"),
    "registry-500": error(500, "server_error", route="registry"),
}


def expand(given):
    """A fault as it is applied: {"name": ...} takes the catalogue's, other members override."""
    fault = dict(given)
    name = fault.get("name")
    if name is not None:
        if name not in CATALOGUE:
            raise KeyError(f"no fault {name}")
        fault = {**copy.deepcopy(CATALOGUE[name]), **fault}
    fault.setdefault("count", 0 if "for_s" in fault else 1)
    return fault
