/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/receipt.h>

#include "json-internal.h"
#include "util.h"

#include <ctype.h>
#include <iicp/canonical.h>
#include <iicp/codec.h>
#include <iicp/hmac.h>
#include <iicp/time.h>
#include <iicp/uuid.h>
#include <stdio.h>

#define RESULT_CANONICAL_MAX (6 * IICP_BODY_MAX) /* bytes: each may become \uXXXX */

int iicp_multiplier_parse(struct iicp_str text, unsigned *ret) {
        unsigned long whole = 0, part = 0, unit = IICP_CREDIT;
        const char *p = text.p, *end = p + text.n;

        if (text.n == 0 || !json_is_digit(*p))
                return -EINVAL;
        for (; p < end && json_is_digit(*p); p++)
                if ((whole = whole * 10 + (unsigned long) (*p - '0')) > 1000)
                        return -EINVAL;
        if (p < end && *p++ != '.')
                return -EINVAL;
        if (p == end && end[-1] == '.')
                return -EINVAL;
        for (; p < end; p++) {
                if (!json_is_digit(*p) || (unit == 1 && *p != '0'))
                        return -EINVAL;
                if (unit > 1) {
                        unit /= 10;
                        part += (unsigned long) (*p - '0') * unit;
                }
        }
        if (whole * IICP_CREDIT + part > IICP_MULTIPLIER_MAX)
                return -EINVAL;
        *ret = (unsigned) (whole * IICP_CREDIT + part);
        return 0;
}

/* Billions of parameters in a name: "llama3.1:8b" is 8, "qwen2.5-0.5b" 0.5; negative without. */
static double billions(const char *name) {
        double best = -1;

        for (const char *p = name; *p; p++) {
                double v = 0, unit = 1;
                const char *q = p;

                if (!json_is_digit(*p) || (p > name && (json_is_digit(p[-1]) || (p[-1] == '.' && p > name + 1 && json_is_digit(p[-2])))))
                        continue;
                for (; json_is_digit(*q) && q - p < 9; q++)
                        v = v * 10 + (*q - '0');
                if (*q == '.' && json_is_digit(q[1]))
                        for (q++; json_is_digit(*q); q++)
                                v += (*q - '0') * (unit /= 10);
                if ((*q == 'b' || *q == 'B') && !isalnum((unsigned char) q[1]) && v > best)
                        best = v;
        }
        return best;
}

unsigned iicp_multiplier_effective(unsigned declared, const char *const *models, size_t n) {
        static const struct {
                double below;
                unsigned weight; /* in ten-thousandths */
        } tiers[] = {{1, 500}, {10, 10000}, {20, 20000}, {50, 65000}, {85, 320000}};
        unsigned weight = IICP_CREDIT;
        double size = -1;

        for (size_t i = 0; i < n; i++)
                size = MAX(size, billions(models[i]));
        if (size >= 0) {
                weight = 750000;
                for (size_t i = ARRAY_SIZE(tiers); i > 0; i--)
                        if (size < tiers[i - 1].below)
                                weight = tiers[i - 1].weight;
        }
        return MIN(declared, 3 * weight);
}

void iicp_credit_text(uint64_t parts, char out[IICP_CREDIT_TEXT]) {
        int n = snprintf(out, IICP_CREDIT_TEXT, "%llu.%04u", (unsigned long long) (parts / IICP_CREDIT),
                         (unsigned) (parts % IICP_CREDIT));

        while (out[n - 1] == '0')
                out[--n] = '\0';
        if (out[n - 1] == '.')
                out[n - 1] = '\0';
}

void iicp_pricing_text(unsigned multiplier, const char *model, struct iicp_buf *out) {
        char n[IICP_CREDIT_TEXT];

        iicp_credit_text(multiplier, n);
        iicp_buf_printf(out, "{\"credit_cost_multiplier\":%s,\"pricing_model\":\"%s\"}", n, model);
}

int iicp_pricing_sign(struct iicp_str hmac_key, unsigned multiplier, const char *model, char out[65]) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        iicp_pricing_text(multiplier, model, &text);
        return text.error ? text.error : iicp_hmac_sha256_hex(hmac_key, iicp_buf_str(&text), out);
}

int iicp_response_hash(const struct iicp_json *result, char out[65]) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf text = {.max = RESULT_CANONICAL_MAX, .secret = true};
        uint8_t hash[32];
        int r = 0;

        if (result->type != IICP_JSON_NONE && result->type != IICP_JSON_NULL) {
                iicp_buf_reserve(&text, result->text.n);
                r = iicp_canonical(result, IICP_CANONICAL_ASCII, &text);
        }
        if (r == 0)
                r = iicp_sha256(iicp_buf_str(&text), hash);
        if (r == 0)
                iicp_hex(hash, sizeof(hash), out);
        return r;
}

uint64_t iicp_award_parts(uint64_t tokens, unsigned multiplier) {
        uint64_t product;

        if (__builtin_mul_overflow(tokens, (uint64_t) multiplier, &product) ||
            __builtin_add_overflow(product, (uint64_t) 500, &product))
                product = UINT64_MAX;
        return MAX(product / 1000, UINT64_C(1));
}

int iicp_receipt_nonce(char out[IICP_NONCE_TEXT]) {
        uint8_t bytes[(IICP_NONCE_TEXT - 1) / 2];
        int r = iicp_random(bytes, sizeof(bytes));

        if (r < 0)
                return r;
        iicp_hex(bytes, sizeof(bytes), out);
        return 0;
}

static const char *or_empty(const char *text) {
        return text ? text : "";
}

static bool given(const char *text) {
        return text && *text;
}

void iicp_receipt_text(const struct iicp_receipt *r, struct iicp_buf *out) {
        iicp_buf_puts(out, r->task_id);
        iicp_buf_printf(out, ":%llu:", (unsigned long long) r->tokens);
        iicp_buf_puts(out, or_empty(r->parent));
        iicp_buf_puts(out, ":");
        iicp_buf_puts(out, or_empty(r->session));
        iicp_buf_printf(out, ":%s:%s", r->nonce, r->response_hash);
        if (given(r->querying_node_id)) {
                iicp_buf_puts(out, ":");
                iicp_buf_puts(out, r->querying_node_id);
        }
}

int iicp_receipt_sign(const struct iicp_receipt *r, struct iicp_str hmac_key, char out[65]) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};

        iicp_receipt_text(r, &text);
        return text.error ? text.error : iicp_hmac_sha256_hex(hmac_key, iicp_buf_str(&text), out);
}

static void member(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        iicp_buf_json_str(out, iicp_str(value));
}

int iicp_award_body(const struct iicp_receipt *r, const char *node_id, uint64_t parts, int64_t expires_at,
                    struct iicp_str hmac_key, struct iicp_buf *out) {
        char amount[IICP_CREDIT_TEXT], until[IICP_TIME_TEXT], signature[65];
        int e = iicp_receipt_sign(r, hmac_key, signature);

        if (e < 0)
                return e;
        iicp_credit_text(parts, amount);
        iicp_time_text(expires_at, until);
        iicp_buf_puts(out, "{\"node_id\":");
        iicp_buf_json_str(out, iicp_str(node_id));
        member(out, "task_id", r->task_id);
        iicp_buf_printf(out, ",\"tokens_used\":%llu,\"amount\":%s", (unsigned long long) r->tokens, amount);
        member(out, "nonce", r->nonce);
        member(out, "expires_at", until);
        member(out, "response_hash", r->response_hash);
        member(out, "signature", signature);
        member(out, "reason", "task_completion");
        if (given(r->parent))
                member(out, "cip_parent_task_id", r->parent);
        if (given(r->session))
                member(out, "cip_session_key", r->session);
        if (given(r->querying_node_id))
                member(out, "querying_node_id", r->querying_node_id);
        iicp_buf_puts(out, "}");
        return out->error;
}
