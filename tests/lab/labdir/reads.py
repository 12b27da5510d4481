# SPDX-License-Identifier: Apache-2.0
"""What can be read: me, node, discover, registry, probe, stats, bootstrap. [01 sections 5.1 to 5.3, 5.10 to 5.13]"""

import urllib.parse

from .answers import Refusal, error_body
from .enrol import probe
from .records import ACTIVE_S
from .rules import INTENT, host_fault


class Reads:
    def me(self, request):
        with self.lock:
            node = self.authorize(request)
            return 200, {"node_id": node.node_id, "observed_source_ip": request.source,
                         "endpoint": node.body["endpoint"]}

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
        now = self.clock.mono()
        with self.lock:
            for node in self.nodes.values():
                if node.node_id.startswith(prefix) and node.available and now - node.last_seen <= ACTIVE_S:
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
        return node.visible(self.clock.mono()) and least <= 0.5 and node.jobs >= needed and \
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
        began = self.clock.mono()
        status, _ = probe(f"http://{bracketed}:{port}")
        good = status is not None and 200 <= status < 300
        return 200, {"reachable": good, "latency_ms": int((self.clock.mono() - began) * 1000) if good else None,
                     "error": None if good else (f"http_{status}" if status else "unreachable")}

    def stats(self, request):
        self.limit("read", request.source, 60)
        now = self.clock.mono()
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
        if self.who == "d1" and not 1 <= int(request.query.get("limit", 5)) <= 20:
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        return 200, self.peers_known([], int(request.query.get("limit", 5)))

    def peers_known(self, without, most):
        now = self.clock.mono()
        with self.lock:
            found = [n for n in self.nodes.values() if n.visible(now) and n.node_id not in without][:most]
            peers = [{"node_id": n.node_id, "endpoint": n.body["endpoint"], "region": n.body["region"],
                      "last_seen": None} for n in found]
        return {"peers": peers, "count": len(peers)}

    def heal(self, request):
        """POST /v1/peers. [04 section 15]"""
        b = request.object()
        known = b.get("known_peers")
        if not isinstance(known, list) or len(known) > 20 or set(b) != {"node_id", "known_peers"}:
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        with self.lock:
            node = self.authorize(request, b["node_id"])
        return 200, self.peers_known([node.node_id, *known], 10)
