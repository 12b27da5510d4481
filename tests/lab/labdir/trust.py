# SPDX-License-Identifier: Apache-2.0
"""The directory's key and what it signs: consumer tokens, a replica's answers.
[01 sections 1.7, 5.4, 5.5, 05 section 4]"""

import base64
import hashlib
import json
import secrets
import urllib.parse

from . import ed25519
from .answers import Refusal, error_body
from .rules import is_text

TOKEN_S = 300
TOKEN_DOMAIN = b"iicp:consumer-token:v1\n"
TICKET_S = 120
TICKET_DOMAIN = b"iicp:relay-bind-ticket:v1\n"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def consumer_token(seed, claims):
    """<base64url of the claims>.<128 hex>"""
    payload = base64url(json.dumps(claims, separators=(",", ":")).encode())
    return payload + "." + ed25519.sign(seed, TOKEN_DOMAIN + payload.encode()).hex()


def replica_signature(seed, method, path, query, seq, body):
    """X-IICP-Replica-Sig of an answer."""
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical = "&".join(f"{urllib.parse.quote(k, safe='-._~')}={urllib.parse.quote(v, safe='-._~')}"
                         for k, v in pairs)
    text = f"{method}:{path}:{canonical}:{seq}:{hashlib.sha256(body).hexdigest()}"
    return ed25519.sign(seed, hashlib.sha256(text.encode()).digest()).hex()


class Trust:
    def key_seed(self):
        """Seed of the signing key now; settings say which, "" = none."""
        name = self.settings["directory_key"]
        return hashlib.sha256(f"iicp lab directory key {name}".encode()).digest() if name else None

    def directory_key(self, request):
        self.limit("key", request.source, 60 if self.who == "d1" else 30)
        seed = self.key_seed()
        if seed is None:
            raise Refusal(503, error_body("not_configured", "this directory signs nothing"))
        return 200, {"public_key": ed25519.public_key(seed).hex(), "algorithm": "ed25519"}

    def consumer_token(self, request):
        b = request.object()
        with self.lock:
            caller = self.authorize(request)
            self.limit("token", caller.token, 20)
            seed, target, intent = self.key_seed(), b.get("target_node_id"), b.get("intent")
            if not is_text(target, 36) or not is_text(intent, 255):
                raise Refusal(422, error_body("validation_error", "Input validation failed"))
            if seed is None:
                raise Refusal(503, error_body("not_configured", "this directory signs nothing"))
            if target not in self.nodes:
                raise Refusal(404, error_body("not_found", "no such target"))
            now = int(self.clock.wall())
            # D2 writes this issuer whatever its own name is.
            issuer = "https://iicp.network" if self.who == "d2" else request.server.url.removesuffix("/api")
            claims = {"v": 1, "iss": issuer, "sub": caller.node_id, "aud": target, "intent": intent, "iat": now,
                      "exp": now + TOKEN_S}
            return 201, {"token": consumer_token(seed, claims), "expires_at": now + TOKEN_S,
                         "caller_node_id": caller.node_id, "target_node_id": target, "intent": intent}

    def relay_ticket(self, request):
        """[03 section 18]; relay_tickets: good, no_jti (as one directory issues them), off (an old directory)."""
        if self.settings["relay_tickets"] == "off":
            raise Refusal(404, error_body("not_found", "not offered"))
        b = request.object()
        with self.lock:
            worker = self.authorize(request)
            self.limit("relay-ticket", worker.token, 20)
            relay, seed = b.get("relay_node_id", "*"), self.key_seed()
            if set(b) - {"relay_node_id"} or not is_text(relay, 128):
                raise Refusal(422, error_body("validation_error", "Input validation failed"))
            if seed is None:
                raise Refusal(503, error_body("not_configured", "this directory signs nothing"))
            now = int(self.clock.wall())
            claims = {"v": 1, "typ": "relay-bind-ticket", "jti": secrets.token_hex(16), "iss": request.server.url.removesuffix("/api"),
                      "sub": worker.node_id, "aud": relay, "iat": now, "exp": now + TICKET_S}
            if self.settings["relay_tickets"] == "no_jti":
                del claims["jti"]
            payload = base64url(json.dumps(claims, separators=(",", ":")).encode())
            return 201, {"ticket": payload + "." + ed25519.sign(seed, TICKET_DOMAIN + payload.encode()).hex(),
                         "expires_at": now + TICKET_S, "worker_node_id": worker.node_id, "relay_node_id": relay,
                         "algorithm": "ed25519"}

    def did_document(self, request):
        seed = self.key_seed()
        if seed is None:
            raise Refusal(404, error_body("not_found", "no identity"))
        host = urllib.parse.quote(request.headers.get("Host", "lab"), safe=".")
        return 200, {"id": f"did:web:{host}", "verificationMethod": [{
            "id": f"did:web:{host}#key-1", "type": "JsonWebKey2020",
            "publicKeyJwk": {"kty": "OKP", "crv": "Ed25519", "x": base64url(ed25519.public_key(seed))}}]}

    def replica_list(self, request):
        del request
        return 200, {"schema_version": "2", "replicas": self.settings["replicas"]}
