/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CX_H
#define IICP_CX_H

#include <iicp/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* IICP-CX payload confidentiality: X25519, HKDF-SHA256, AES-256-GCM, by OpenSSL 3 EVP. Both sides.
 * [05 section 3; 06 section 10.3] Every function wipes what it derived before it returns, except
 * what it hands out; the owners of shared secrets wipe with iicp_wipe. */

#define IICP_CX_KEY 32
#define IICP_CX_NONCE 12
#define IICP_CX_TAG 16
#define IICP_CX_KEY_ID_TEXT 33  /* up to 32 characters and NUL; ours are "cx-" and 16 hex */
#define IICP_CX_FEATURE_RESPONSE "response_encryption_v1"

enum iicp_cx_fault {             /* which detail_code a node answers [05 section 3.7] */
        IICP_CX_OK = 0,
        IICP_CX_UNKNOWN_KEY,     /* IICP-E060 */
        IICP_CX_VERSION,         /* IICP-E061 */
        IICP_CX_UNDECODABLE,     /* IICP-E062 */
        IICP_CX_EXPIRED,         /* IICP-E063 */
        IICP_CX_OFF,             /* IICP-E064 */
        IICP_CX_NOT_OBJECT,      /* validation_error: plaintext is no JSON object within bounds */
        IICP_CX_FAILED,          /* internal: random source, memory, library */
};
IICP_API const char *iicp_cx_detail_code(enum iicp_cx_fault fault);

IICP_API void iicp_wipe(void *p, size_t n);

/* AES-256-GCM; the tag stands behind the text. out holds plain.n + IICP_CX_TAG bytes. -EIO. */
IICP_API int iicp_aead_seal(const uint8_t key[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str aad,
                            struct iicp_str plain, uint8_t *out);
/* out holds sealed.n - IICP_CX_TAG bytes, wiped on failure. -EBADMSG, -EIO. */
IICP_API int iicp_aead_open(const uint8_t key[32], const uint8_t nonce[IICP_CX_NONCE], struct iicp_str aad,
                            struct iicp_str sealed, uint8_t *out);

/* Makes a key pair. -EIO on a failing random source or library. */
IICP_API int iicp_cx_keygen(uint8_t priv[IICP_CX_KEY], uint8_t pub[IICP_CX_KEY]);
IICP_API int iicp_cx_public(const uint8_t priv[IICP_CX_KEY], uint8_t pub[IICP_CX_KEY]);
/* "cx-" and the first 16 hex digits of SHA-256 over the raw public key. */
IICP_API int iicp_cx_key_id(const uint8_t pub[IICP_CX_KEY], char out[IICP_CX_KEY_ID_TEXT]);
/* The key object, members in the order directories keep. not_after: epoch seconds. */
IICP_API void iicp_cx_key_object(const uint8_t pub[IICP_CX_KEY], int64_t not_after, struct iicp_buf *out);

/* ---- provider ---- */

struct iicp_cx_private {
        char key_id[IICP_CX_KEY_ID_TEXT];
        uint8_t priv[IICP_CX_KEY];
        int64_t not_after;       /* epoch seconds */
};

/* Secret that seals the answer of a request; wipe it after the answer. */
struct iicp_cx_session {
        uint8_t shared[32];
        bool valid;
};

/* Before any slot is taken: steps 3 and 4 of 05 section 3.6. *ret_key borrows from keys. */
IICP_API enum iicp_cx_fault iicp_cx_precheck(const struct iicp_json *iicp_conf,
                                             const struct iicp_cx_private *keys, size_t n_keys,
                                             int64_t now_s, const struct iicp_cx_private **ret_key);
/* Steps 5 to 8: opens the envelope with the OUTER identifiers. ret_payload gets the plaintext
 * (validated JSON object, wipe after use), ret_session the shared secret. */
IICP_API enum iicp_cx_fault iicp_cx_open_request(const struct iicp_json *iicp_conf,
                                                 const struct iicp_cx_private *key,
                                                 struct iicp_str task_id, struct iicp_str intent,
                                                 struct iicp_buf *ret_payload,
                                                 struct iicp_cx_session *ret_session);
/* Appends {"version":1,"nonce":..,"encrypted_body":..}; aad is "|resp" bound by default. */
IICP_API int iicp_cx_seal_response(const struct iicp_cx_session *s, struct iicp_str task_id,
                                   struct iicp_str plaintext, struct iicp_buf *out);

/* Seals the content of one lifecycle event: appends {"version":1,"nonce":..,"encrypted_body":..} with
 * AAD task_id|sequence and a fresh nonce. `members` is the content as JSON members without braces
 * ("\"result\":\"Hel\",\"tokens_used\":1"; may be empty); the sealed object is {members,"end":end}.
 * end is true in the terminal `completed` event and false in all others. [05 section 3.8] */
IICP_API int iicp_cx_seal_event(const struct iicp_cx_session *s, struct iicp_str task_id, uint64_t sequence,
                                struct iicp_str members, bool end, struct iicp_buf *out);

/* ---- consumer ---- */

struct iicp_cx_peer_key {
        uint8_t pub[IICP_CX_KEY];
        char key_id[129];        /* opaque, as the node wrote it */
        bool response_encryption;
};
/* Reads a key object; -EINVAL: not usable (05 section 3.9). The object must come from
 * iicp_json_scan. */
IICP_API int iicp_cx_peer_key_parse(const struct iicp_json *object, int64_t now_s, struct iicp_cx_peer_key *ret);
/* Appends the iicp_conf object for this task; ret_session opens the encrypted answer. -EKEYREJECTED:
 * all-zero shared secret; -EIO. */
IICP_API int iicp_cx_seal_request(const struct iicp_cx_peer_key *key, struct iicp_str task_id,
                                  struct iicp_str intent, struct iicp_str payload,
                                  struct iicp_buf *out, struct iicp_cx_session *ret_session);
/* Opens iicp_conf_resp. -EBADMSG on any fault, also when the plaintext is no JSON object. */
IICP_API int iicp_cx_open_response(const struct iicp_cx_session *s, struct iicp_str task_id,
                                   const struct iicp_json *iicp_conf_resp, struct iicp_buf *ret_plain);

/* A consumer's guard over the events of one encrypted task: sequences follow without gap, and
 * `completed` opens with "end":true. Start with next = the first sequence expected. */
struct iicp_cx_events {
        uint64_t next;
        bool ended;              /* a terminal event was accepted: nothing may follow */
};
enum iicp_cx_event_kind { IICP_CX_EVENT_PARTIAL, IICP_CX_EVENT_COMPLETED, IICP_CX_EVENT_FAILED };
/* Judges the next event; FAILED stands for every other terminal one. iicp_conf_resp may be NULL or of
 * type NONE: no content. ret_plain gets the sealed object with its `end`. -EBADMSG: the stream is not
 * to be trusted (IICP-CX-RESP-INVALID); -ENOMEM. */
IICP_API int iicp_cx_open_event(struct iicp_cx_events *events, const struct iicp_cx_session *s,
                                struct iicp_str task_id, uint64_t sequence, enum iicp_cx_event_kind kind,
                                const struct iicp_json *iicp_conf_resp, struct iicp_buf *ret_plain);

/* One CX round trip, one Ed25519 verification, one HMAC from built-in vectors; -EIO if any fails.
 * Programs call it once at start and do not go on. [05 section 16] */
IICP_API int iicp_selftest(void);

#ifdef __cplusplus
}
#endif
#endif
