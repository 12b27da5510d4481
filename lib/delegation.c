/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/operator.h>

#include "util.h"

#include <errno.h>
#include <iicp/canonical.h>
#include <iicp/codec.h>
#include <stdio.h>

/* What an operator signs about nodes, and the other texts of his key. Directories rebuild each text
 * themselves, so that every byte counts. [05 section 8.3] */

#define SELF_SERVICE "iicp:operator:self-service:v1\n"

const char *iicp_delegation_fault_name(enum iicp_delegation_fault fault) {
        static const char *const names[] = {
                [IICP_DELEGATION_OK] = "ok", [IICP_DELEGATION_MALFORMED] = "malformed",
                [IICP_DELEGATION_SIGNATURE] = "bad_signature", [IICP_DELEGATION_NODE] = "node_id_mismatch",
                [IICP_DELEGATION_EXPIRED] = "expired",
        };

        return names[fault];
}

void iicp_delegation_text(const char *node_id, int64_t not_after, const char *operator_pub, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"node_id\":");
        iicp_canonical_text(iicp_str(node_id), out);
        iicp_buf_printf(out, ",\"not_after\":%lld,\"operator_pub\":", (long long) not_after);
        iicp_canonical_text(iicp_str(operator_pub), out);
        iicp_buf_puts(out, "}");
}

int iicp_rename_text(struct iicp_str display_name, const char *operator_pub, int64_t ts, struct iicp_buf *out) {
        if (!iicp_display_name_valid(display_name))
                return -EINVAL;
        iicp_buf_puts(out, "{\"display_name\":");
        iicp_canonical_text(display_name, out);
        iicp_buf_puts(out, ",\"operator_pub\":");
        iicp_canonical_text(iicp_str(operator_pub), out);
        iicp_buf_printf(out, ",\"ts\":%lld}", (long long) ts);
        return out->error;
}

int iicp_self_service_text(const char *action, const struct iicp_json *fields, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {.max = 65536};
        struct iicp_json_iter it;
        struct iicp_json name, value;

        if (fields->type != IICP_JSON_OBJECT)
                return -EINVAL;
        iicp_buf_puts(&text, "{\"action\":");
        iicp_canonical_text(iicp_str(action), &text);
        iicp_json_iter_init(&it, fields);
        while (iicp_json_next(&it, &name, &value)) {
                if (iicp_json_is(&name, "sig") || iicp_json_is(&name, "new_key_sig"))
                        continue;
                iicp_buf_puts(&text, ",\"");
                iicp_buf_add_str(&text, name.text);
                iicp_buf_puts(&text, "\":");
                if (value.type == IICP_JSON_STRING)
                        iicp_buf_puts(&text, "\"");
                iicp_buf_add_str(&text, value.text);
                if (value.type == IICP_JSON_STRING)
                        iicp_buf_puts(&text, "\"");
        }
        iicp_buf_puts(&text, "}");
        if (text.error || iicp_json_scan(iicp_buf_str(&text), NULL, NULL, &value) < 0)
                return text.error ? text.error : -EINVAL;
        iicp_buf_puts(out, SELF_SERVICE);
        return iicp_canonical(&value, IICP_CANONICAL_SORTED, out);
}

static bool take(const struct iicp_json *o, const char *name, char *out, size_t cap) {
        struct iicp_json v = iicp_json_get(o, name);

        return iicp_json_copy(&v, out, cap) == 0;
}

/* Both texts decode to what they must be. */
static bool decode(const struct iicp_delegation *d, uint8_t key[IICP_SIGN_KEY], uint8_t sig[IICP_SIGNATURE]) {
        size_t n_key, n_sig;

        return iicp_b64_decode(iicp_str(d->operator_pub), key, IICP_SIGN_KEY, &n_key) == 0 &&
               n_key == IICP_SIGN_KEY && iicp_b64_decode(iicp_str(d->sig), sig, IICP_SIGNATURE, &n_sig) == 0 &&
               n_sig == IICP_SIGNATURE;
}

enum iicp_delegation_fault iicp_delegation_read(const struct iicp_json *object, struct iicp_delegation *ret) {
        struct iicp_json after = iicp_json_get(object, "not_after");
        uint8_t key[IICP_SIGN_KEY], sig[IICP_SIGNATURE];
        struct iicp_delegation d = {0};

        if (object->type != IICP_JSON_OBJECT || iicp_json_unique(object) < 0 ||
            !take(object, "node_id", d.node_id, sizeof(d.node_id)) || !iicp_node_id_valid(iicp_str(d.node_id)) ||
            !take(object, "operator_pub", d.operator_pub, sizeof(d.operator_pub)) ||
            !take(object, "sig", d.sig, sizeof(d.sig)) || iicp_json_int(&after, &d.not_after) < 0 ||
            d.not_after < 1 || !decode(&d, key, sig))
                return IICP_DELEGATION_MALFORMED;
        *ret = d;
        return IICP_DELEGATION_OK;
}

enum iicp_delegation_fault iicp_delegation_check(const struct iicp_delegation *d, const char *node_id,
                                                 int64_t now_s) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        uint8_t key[IICP_SIGN_KEY], sig[IICP_SIGNATURE];

        if (!decode(d, key, sig))
                return IICP_DELEGATION_MALFORMED;
        if (strcmp(d->node_id, node_id) != 0)
                return IICP_DELEGATION_NODE;
        iicp_delegation_text(d->node_id, d->not_after, d->operator_pub, &text);
        if (text.error || !iicp_sign_verify(key, iicp_buf_str(&text), sig))
                return IICP_DELEGATION_SIGNATURE;
        return now_s >= d->not_after ? IICP_DELEGATION_EXPIRED : IICP_DELEGATION_OK;
}

int iicp_delegation_sign(const uint8_t seed[IICP_SEED], const char *node_id, int64_t not_after,
                         struct iicp_delegation *ret) {
        _cleanup_(iicp_buf_free) struct iicp_buf pub = {0}, text = {0}, sig64 = {0};
        uint8_t key[IICP_SIGN_KEY], sig[IICP_SIGNATURE];
        struct iicp_delegation d = {.not_after = not_after};

        if (!iicp_node_id_valid(iicp_str(node_id)))
                return -EINVAL;
        if (iicp_sign_public(seed, key) < 0)
                return -EIO;
        iicp_b64_add(&pub, key, sizeof(key));
        if (pub.error)
                return pub.error;
        iicp_delegation_text(node_id, not_after, pub.p, &text);
        if (text.error || iicp_sign(seed, iicp_buf_str(&text), sig) < 0)
                return -EIO;
        iicp_b64_add(&sig64, sig, sizeof(sig));
        if (sig64.error)
                return sig64.error;
        snprintf(d.node_id, sizeof(d.node_id), "%s", node_id);
        snprintf(d.operator_pub, sizeof(d.operator_pub), "%s", pub.p);
        snprintf(d.sig, sizeof(d.sig), "%s", sig64.p);
        *ret = d;
        return 0;
}

void iicp_delegation_json(const struct iicp_delegation *d, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"node_id\":\"%s\",\"operator_pub\":\"%s\",\"not_after\":%lld,\"sig\":\"%s\"}", d->node_id,
                        d->operator_pub, (long long) d->not_after, d->sig);
}
