/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle_internal.h"

#include "util.h"

#include <errno.h>
#include <iicp/canonical.h>
#include <iicp/hmac.h>

/* What a submit is bound to: its idempotency key, its owner and a digest of what it asks for.
 * [02 section 11.2] */

#define DIGEST_PREFIX "sha256:"

static bool refuse(struct iicp_refusal *refusal, const char *field) {
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_VALIDATION, .field = field};
        return false;
}

static bool refuse_internal(struct iicp_refusal *refusal) {
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
        return false;
}

int lifecycle_key(const uint8_t owner[PRINCIPAL_OWNER], struct iicp_str text, uint8_t ret[LIFECYCLE_KEY]) {
        uint8_t both[PRINCIPAL_OWNER + LIFECYCLE_DIGEST], full[LIFECYCLE_DIGEST];
        int r;

        memcpy(both, owner, PRINCIPAL_OWNER);
        r = iicp_sha256(text, both + PRINCIPAL_OWNER);
        if (r == 0)
                r = iicp_sha256((struct iicp_str){(const char *) both, sizeof(both)}, full);
        if (r == 0)
                memcpy(ret, full, LIFECYCLE_KEY);
        return r;
}

static bool key_character(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("._:-", c));
}

static bool idempotency_key_ok(const struct iicp_json *v) {
        if (v->type != IICP_JSON_STRING || v->escaped || v->text.n == 0 || v->text.n > IICP_IDEMPOTENCY_KEY_MAX)
                return false;
        for (size_t i = 0; i < v->text.n; i++)
                if (!key_character(v->text.p[i]))
                        return false;
        return true;
}

static int hex(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ^(sha256:)?[0-9a-f]{64}$ */
static bool digest_given(const struct iicp_json *v, uint8_t ret[LIFECYCLE_DIGEST]) {
        struct iicp_str text = v->text;
        size_t skip = strlen(DIGEST_PREFIX);

        if (v->type != IICP_JSON_STRING || v->escaped)
                return false;
        if (text.n == 2 * LIFECYCLE_DIGEST + skip && memcmp(text.p, DIGEST_PREFIX, skip) == 0)
                text = (struct iicp_str){text.p + skip, text.n - skip};
        if (text.n != 2 * LIFECYCLE_DIGEST)
                return false;
        for (size_t i = 0; i < LIFECYCLE_DIGEST; i++) {
                int high = hex(text.p[2 * i]), low = hex(text.p[2 * i + 1]);

                if (high < 0 || low < 0)
                        return false;
                ret[i] = (uint8_t) (high << 4 | low);
        }
        return true;
}

static void add_member(struct iicp_buf *out, const char *name, const struct iicp_json *v) {
        if (v->type == IICP_JSON_NONE || v->type == IICP_JSON_NULL)
                return;
        iicp_buf_printf(out, "%s\"%s\":", out->n > 1 ? "," : "", name);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
        iicp_buf_add_str(out, v->text);
        if (v->type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
}

/* SHA-256 over the canonical form. What has none (a member twice) counts as it came: still the same
 * digest for the same bytes. */
static int digest_made(const struct iicp_envelope *e, uint8_t ret[LIFECYCLE_DIGEST]) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf raw = {.secret = true}, canonical = {.secret = true};
        struct iicp_json object;

        iicp_buf_puts(&raw, "{");
        add_member(&raw, "intent", &e->m_intent);
        add_member(&raw, "constraints", &e->m_constraints);
        add_member(&raw, "payload", &e->payload);
        add_member(&raw, "iicp_conf", &e->m_iicp_conf);
        iicp_buf_puts(&raw, "}");
        if (raw.error)
                return raw.error;
        if (iicp_json_scan(iicp_buf_str(&raw), NULL, NULL, &object) == 0 &&
            iicp_canonical(&object, IICP_CANONICAL_ASCII, &canonical) == 0 && !canonical.error)
                return iicp_sha256(iicp_buf_str(&canonical), ret);
        return iicp_sha256(iicp_buf_str(&raw), ret);
}

bool lifecycle_bind(struct task *t, struct iicp_refusal *refusal) {
        const struct iicp_envelope *e = &t->env;
        struct lifecycle_binding *ret = &t->binding;

        if (!idempotency_key_ok(&e->m_idempotency_key))
                return refuse(refusal, "idempotency_key");
        principal_owner(&t->principal, ret->owner);
        if (lifecycle_key(ret->owner, e->task_id, ret->id_key) < 0 ||
            lifecycle_key(ret->owner, e->m_idempotency_key.text, ret->idempotency) < 0)
                return refuse_internal(refusal);
        if (e->m_request_digest.type == IICP_JSON_NONE || e->m_request_digest.type == IICP_JSON_NULL)
                return digest_made(e, ret->digest) == 0 || refuse_internal(refusal);
        return digest_given(&e->m_request_digest, ret->digest) || refuse(refusal, "request_digest");
}
