/* SPDX-License-Identifier: Apache-2.0 */
#include "state_seal.h"

#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <iicp/codec.h>
#include <iicp/cx.h>
#include <iicp/json.h>
#include <iicp/uuid.h>

#define NODE_ID_MAX 64

static bool all_hex(struct iicp_str text) {
        for (size_t i = 0; i < text.n; i++)
                if (!isxdigit((unsigned char) text.p[i]))
                        return false;
        return true;
}

int state_key_parse(struct iicp_str text, uint8_t ret[STATE_KEY]) {
        size_t n = 0;

        /* 32 hex digits are a key of half the length that somebody took for a whole one */
        if (text.n == STATE_KEY && !all_hex(text)) {
                memcpy(ret, text.p, STATE_KEY);
                return 0;
        }
        if (text.n == 2 * STATE_KEY && iicp_hex_decode(text, ret, STATE_KEY, &n) == 0 &&
            n == STATE_KEY)
                return 0;
        if (iicp_b64_decode(text, ret, STATE_KEY, &n) == 0 && n == STATE_KEY)
                return 0;
        if (iicp_b64url_decode(text, ret, STATE_KEY, &n) == 0 && n == STATE_KEY)
                return 0;
        return -EINVAL;
}

static void write_aad(const char *node_id, const char *name, struct iicp_buf *out) {
        iicp_buf_puts(out, node_id);
        iicp_buf_puts(out, "|");
        iicp_buf_puts(out, name);
}

bool state_is_sealed(struct iicp_str bytes) {
        struct iicp_json doc, alg;

        if (iicp_json_scan(bytes, NULL, NULL, &doc) < 0)
                return false;
        alg = iicp_json_get(&doc, "alg");
        return iicp_json_is(&alg, "A256GCM");
}

int state_seal(const uint8_t key[STATE_KEY], const char *node_id, const char *name,
               struct iicp_str plain, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf aad = {0};
        _cleanup_free_ uint8_t *sealed = malloc(plain.n + IICP_CX_TAG);
        uint8_t nonce[IICP_CX_NONCE];
        int r;

        write_aad(node_id, name, &aad);
        if (!sealed || aad.error)
                return -ENOMEM;
        r = iicp_random(nonce, sizeof(nonce));
        if (r == 0)
                r = iicp_aead_seal(key, nonce, iicp_buf_str(&aad), plain, sealed);
        if (r < 0)
                return r;
        iicp_buf_puts(out, "{\"v\":1,\"alg\":\"A256GCM\",\"node_id\":");
        iicp_buf_json_str(out, iicp_str(node_id));
        iicp_buf_puts(out, ",\"nonce\":\"");
        iicp_b64_add(out, nonce, sizeof(nonce));
        iicp_buf_puts(out, "\",\"ct\":\"");
        iicp_b64_add(out, sealed, plain.n + IICP_CX_TAG);
        iicp_buf_puts(out, "\"}\n");
        return out->error;
}

static int decode(const struct iicp_json *doc, const char *member, struct iicp_buf *out) {
        struct iicp_json v = iicp_json_get(doc, member);
        size_t n = 0, cap = v.text.n / 4 * 3 + 3;
        char *p;

        if (v.type != IICP_JSON_STRING)
                return -EBADMSG;
        p = iicp_buf_reserve(out, cap);
        if (!p)
                return -ENOMEM;
        if (iicp_b64_decode(v.text, p, cap, &n) < 0)
                return -EBADMSG;
        out->n += n;
        return 0;
}

static int open_record(const uint8_t key[STATE_KEY], const char *name, const struct iicp_json *doc,
                       struct iicp_buf *plain) {
        _cleanup_(iicp_buf_free) struct iicp_buf aad = {0}, nonce = {0}, sealed = {0};
        struct iicp_json id = iicp_json_get(doc, "node_id");
        char node_id[NODE_ID_MAX];
        int r;

        if (iicp_json_copy(&id, node_id, sizeof(node_id)) < 0)
                return -EBADMSG;
        r = decode(doc, "nonce", &nonce);
        if (r == 0)
                r = decode(doc, "ct", &sealed);
        if (r < 0)
                return r;
        if (nonce.n != IICP_CX_NONCE || sealed.n < IICP_CX_TAG)
                return -EBADMSG;
        write_aad(node_id, name, &aad);
        if (aad.error || !iicp_buf_reserve(plain, sealed.n))
                return -ENOMEM;
        r = iicp_aead_open(key, (const uint8_t *) nonce.p, iicp_buf_str(&aad),
                           iicp_buf_str(&sealed), (uint8_t *) plain->p);
        if (r < 0)
                return -EBADMSG;
        plain->n = sealed.n - IICP_CX_TAG;
        plain->p[plain->n] = '\0';
        return 0;
}

int state_unseal(const uint8_t key[STATE_KEY], const char *name, struct iicp_buf *bytes) {
        struct iicp_buf plain = {.secret = true};
        struct iicp_json doc;
        int r = iicp_json_scan(iicp_buf_str(bytes), NULL, NULL, &doc) < 0
                        ? -EBADMSG
                        : open_record(key, name, &doc, &plain);

        if (r < 0) {
                iicp_buf_wipe(&plain);
                return r;
        }
        iicp_buf_wipe(bytes);
        *bytes = plain;
        return 0;
}
