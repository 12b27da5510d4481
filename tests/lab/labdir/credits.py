# SPDX-License-Identifier: Apache-2.0
"""Work receipts and the account. [01 sections 5.8, 5.9]"""

import datetime
import hashlib
import hmac
import math
import re

from .answers import Refusal, error_body
from .rules import is_int, is_number, is_text

PER_HOUR = 1000
SHOWN = 20
NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,35}")


def canonical(b):
    parts = [b["task_id"], str(b["tokens_used"]), b.get("cip_parent_task_id", ""), b.get("cip_session_key", ""),
             b["nonce"], b["response_hash"]]
    return ":".join(parts + ([b["querying_node_id"]] if "querying_node_id" in b else []))


def rfc3339(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+00:00")


class Credits:
    def refuse_receipt(self, text):
        raise Refusal(422, error_body("IICP-E027", text))

    def award(self, request):
        if not self.settings["credits"]:
            return self.not_offered(request)
        b = request.object()
        with self.lock:
            node = self.authorize(request, b.get("node_id") if isinstance(b.get("node_id"), str) else None)
            self.check_receipt(node, b)
            receipt = (b["task_id"], b["nonce"])
            if b["nonce"] in {n for _, n in node.receipts}:
                if self.who == "d2":
                    raise Refusal(409, error_body("nonce_replay", "nonce already used"))
                self.refuse_receipt("CIPWorkerReceipt nonce already used (replay rejected)")
            if b["task_id"] in {t for t, _ in node.receipts}:
                self.watch.breach("one receipt for a task", b["task_id"], node.node_id)
            node.receipts.add(receipt)
            excluded = b.get("querying_node_id") == node.node_id
            if not excluded:
                node.credits.append({"id": len(node.credits) + 1, "amount": b["amount"], "type": "earn",
                                     "task_id": b["task_id"], "reason": b.get("reason"),
                                     "created_at": rfc3339(self.clock.wall()), "at": self.clock.mono()})
            answer = {"node_id": node.node_id, "awarded": 0 if excluded else b["amount"],
                      "balance": self.earned(node), "spent": 0, "attribution": "direct", "trust_weight": 1}
            return 201 if self.who == "d2" else 200, {**answer, **({"excluded": True} if excluded else {})}

    def check_receipt(self, node, b):
        hexes = all(is_text(b.get(k), 64, r"[0-9a-f]{64}") for k in ("response_hash", "signature"))
        if not (is_text(b.get("task_id"), 255) and is_int(b.get("tokens_used"), 0) and hexes and
                is_number(b.get("amount"), 0.0001) and is_text(b.get("nonce"), 255, r"[0-9a-f]{32,}") and
                is_text(b.get("expires_at"), 40, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)") and
                is_text(b.get("reason", "x"), 64) and
                all(is_text(b.get(k, "x"), 255) for k in ("cip_parent_task_id", "cip_session_key"))):
            raise Refusal(422, error_body("validation_error", "Input validation failed"))
        asking = b.get("querying_node_id")
        if asking is not None and (not NODE_ID.fullmatch(str(asking)) or asking not in self.nodes):
            self.refuse_receipt("unknown querying node")
        right = hmac.new(node.hmac_key.encode(), canonical(b).encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, b["signature"]):
            self.refuse_receipt("CIPWorkerReceipt signature invalid")
        until = datetime.datetime.fromisoformat(b["expires_at"].replace("Z", "+00:00")).timestamp()
        if until <= self.clock.wall():
            self.refuse_receipt("CIPWorkerReceipt expired")
        multiplier = float(node.body.get("pricing", {}).get("credit_cost_multiplier", 1))
        if b["tokens_used"] == 0 or b["amount"] > math.ceil(b["tokens_used"] / 1000) * multiplier * 1.1 + 1e-9:
            self.refuse_receipt("amount over the ceiling")
        now = self.clock.mono()
        if sum(c["amount"] for c in node.credits if now - c["at"] < 3600) + b["amount"] > PER_HOUR:
            self.refuse_receipt("too many credits in an hour")

    @staticmethod
    def earned(node):
        return round(sum(c["amount"] for c in node.credits), 4)

    def balance(self, request):
        with self.lock:
            node = self.authorize(request)
            return 200, {"node_id": node.node_id, "balance": self.earned(node), "unit": "credit",
                         "tokens_per_credit": 1000}

    def summary(self, request):
        with self.lock:
            node = self.authorize(request)
            earned = self.earned(node)
            wallet = None
            if node.operator:
                mine = [n for n in self.nodes.values() if n.operator == node.operator]
                total = round(sum(map(self.earned, mine)), 4)
                wallet = {"total_balance": total, "total_earned": total, "total_spent": 0,
                          "tx_count": sum(len(n.credits) for n in mine), "node_count": len(mine), "reconciles": True,
                          "operator_fingerprint": hashlib.sha256(node.operator.encode()).hexdigest()[:12]}
            return 200, {"node_id": node.node_id, "balance": earned, "total_earned": earned, "total_spent": 0,
                         "tx_count": len(node.credits), "reconciles": True, "unit": "credit",
                         "tokens_per_credit": 1000, "operator_wallet": wallet}

    def transactions(self, request):
        with self.lock:
            node = self.authorize(request)
            rows = [{k: v for k, v in c.items() if k != "at"} for c in reversed(node.credits)]
        page, size = 1, SHOWN
        if self.who == "d2":
            try:
                page, size = int(request.query.get("page", 1)), min(100, int(request.query.get("per_page", SHOWN)))
            except ValueError:
                raise Refusal(422, error_body("validation_error", "request rejected")) from None
        return 200, {"node_id": node.node_id, "transactions": rows[(page - 1) * size:page * size]}

    def quote(self, request):
        with self.lock:
            node = self.authorize(request)
        try:
            tokens = int(request.query.get("max_tokens", 1000))
        except ValueError:
            raise Refusal(422, error_body("validation_error", "Input validation failed")) from None
        cost, balance = round(tokens / 1000, 4), self.earned(node)
        return 200, {"quote_id": f"q-{self.count}", "estimated_credits": cost, "min_credits": cost,
                     "max_credits": cost, "price_per_1000_tokens": 1, "nodes_quoted": len(self.nodes),
                     "quote_expires_at": rfc3339(self.clock.wall() + 60), "currency": "credit",
                     "consumer_balance": balance, "effective_balance": balance, "balance_scope": "node",
                     "operator_wallet_balance": None, "balance_sufficient": balance >= cost}
