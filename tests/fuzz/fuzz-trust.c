/* SPDX-License-Identifier: Apache-2.0 */
/* What vouches: payloads of tokens under a key of ours, whole tokens, operator files, delegations,
 * manifests, canonical forms. First byte chooses. */

#include "fuzz.h"

#include <iicp/canonical.h>
#include <iicp/codec.h>
#include <iicp/manifest.h>
#include <iicp/operator.h>
#include <iicp/receipt.h>
#include <iicp/token.h>

static const uint8_t seed[IICP_SEED] = {1, 2, 3};

/* A token whose signature is good, so that the claims are looked at. */
static void signed_payload(struct iicp_str payload) {
        struct iicp_buf text = {0}, token = {0};
        struct iicp_consumer_claims claims;
        uint8_t key[1][IICP_SIGN_KEY], sig[IICP_SIGNATURE];
        char hex[2 * IICP_SIGNATURE + 1];

        iicp_b64url_add(&token, payload.p, payload.n);
        iicp_buf_puts(&text, IICP_DOMAIN_CONSUMER_TOKEN);
        iicp_buf_add_str(&text, iicp_buf_str(&token));
        if (!text.error && iicp_sign_public(seed, key[0]) == 0 && iicp_sign(seed, iicp_buf_str(&text), sig) == 0) {
                iicp_hex(sig, sizeof sig, hex);
                iicp_buf_printf(&token, ".%s", hex);
                if (iicp_consumer_token_check(iicp_buf_str(&token), (const uint8_t (*)[IICP_SIGN_KEY]) key, 1, "me",
                                              IICP_STR_NONE, 1000, &claims) == IICP_TOKEN_OK)
                        FUZZ_CHECK(claims.subject[0] && claims.expires_at > 1000);
        }
        iicp_buf_free(&text);
        iicp_buf_free(&token);
}

/* What is canonical stays what it is. */
static void canonical(const struct iicp_json *v) {
        for (int form = IICP_CANONICAL_JCS; form <= IICP_CANONICAL_ASCII; form++) {
                struct iicp_buf once = {0}, twice = {0};
                struct iicp_json again;

                if (iicp_canonical(v, (enum iicp_canonical_form) form, &once) == 0) {
                        FUZZ_CHECK(iicp_json_scan(iicp_buf_str(&once), NULL, NULL, &again) == 0);
                        /* 1e20 is written out by JCS and is an integer beyond its range then */
                        if (iicp_canonical(&again, (enum iicp_canonical_form) form, &twice) == 0)
                                FUZZ_CHECK(iicp_str_eq(iicp_buf_str(&once), iicp_buf_str(&twice)));
                        else
                                FUZZ_CHECK(form == IICP_CANONICAL_JCS);
                }
                iicp_buf_free(&once);
                iicp_buf_free(&twice);
        }
}

static void manifest(const struct iicp_json *v) {
        struct iicp_buf out = {0};
        struct iicp_json made;
        int64_t expires;

        iicp_manifest_check(v, 1000, &expires);
        if (!iicp_manifest_lint(v)) {
                FUZZ_CHECK(iicp_manifest_sign(v, seed, 1000, &out) == 0);
                FUZZ_CHECK(iicp_json_scan(iicp_buf_str(&out), NULL, NULL, &made) == 0);
                FUZZ_CHECK(iicp_manifest_check(&made, 1000, &expires) == IICP_MANIFEST_SIGNED_VALID);
        }
        iicp_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str text;
        struct iicp_json v;
        char hash[65];

        if (size == 0)
                return 0;
        text = (struct iicp_str){(const char *) data + 1, size - 1};
        switch (data[0] % 4) {
        case 0:
                signed_payload(text);
                return 0;
        case 1: {
                struct iicp_consumer_claims claims;
                const uint8_t key[1][IICP_SIGN_KEY] = {{9}};

                iicp_consumer_token_check(text, key, 1, "me", IICP_STR_NONE, 1000, &claims);
                return 0;
        }
        case 2: {
                struct iicp_operator o;
                struct iicp_delegation d;

                if (iicp_operator_read(text, IICP_STR_NONE, &o) == IICP_OPERATOR_OK)
                        FUZZ_CHECK(memchr(o.id, 0, sizeof o.id) && (o.has_seed || o.sealed));
                if (iicp_json_scan(text, NULL, NULL, &v) == 0 && iicp_delegation_read(&v, &d) == IICP_DELEGATION_OK)
                        iicp_delegation_check(&d, d.node_id, 1000);
                return 0;
        }
        default:
                if (iicp_json_scan(text, NULL, NULL, &v) < 0)
                        return 0;
                canonical(&v);
                manifest(&v);
                iicp_response_hash(&v, hash);
                return 0;
        }
}
