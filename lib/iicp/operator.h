/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_OPERATOR_H
#define IICP_OPERATOR_H

#include <iicp/json.h>
#include <iicp/sign.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The identity of an operator: a key pair that vouches for nodes. [05 section 8] */

#define IICP_OPERATOR_ID 45         /* base64 of 32 bytes and NUL */
#define IICP_DISPLAY_NAME_MAX 256   /* bytes: 64 characters */
#define IICP_OPERATOR_FILE_MAX 16384 /* bytes of operator.json that are read */

struct iicp_operator {
        uint8_t key[IICP_SIGN_KEY];
        uint8_t seed[IICP_SEED];     /* of has_seed; wiped by iicp_operator_wipe */
        bool has_seed;
        bool sealed;                 /* the file holds the seed encrypted */
        char id[IICP_OPERATOR_ID];
        char created_at[41];
        char display_name[IICP_DISPLAY_NAME_MAX + 1];
        char integrity_hash[65];
};

enum iicp_operator_fault {
        IICP_OPERATOR_OK,
        IICP_OPERATOR_MALFORMED,     /* no JSON object, members absent or of a wrong kind */
        IICP_OPERATOR_LEGACY,        /* an id without key: usable for nothing */
        IICP_OPERATOR_HASH,          /* operator_integrity_hash does not fit */
        IICP_OPERATOR_SEED,          /* the seed is of another id */
        IICP_OPERATOR_PASSPHRASE,    /* sealed, and the passphrase does not open it */
        IICP_OPERATOR_SEAL,          /* sealed in a way that is not known */
        IICP_OPERATOR_FAILED,        /* memory, OpenSSL */
};
/* A sentence without subject, for people: "the seed belongs to another operator_id". */
IICP_API const char *iicp_operator_fault_text(enum iicp_operator_fault fault);

/* operator.json. A sealed one without passphrase (absent) is read without its seed. */
IICP_API enum iicp_operator_fault iicp_operator_read(struct iicp_str file, struct iicp_str passphrase,
                                                     struct iicp_operator *ret);
/* A new identity; created_at is "YYYY-MM-DDThh:mm:ssZ". */
IICP_API int iicp_operator_new(const char *display_name, const char *created_at, struct iicp_operator *ret);
/* operator.json as the SDKs read it, sealed if a passphrase is given. -EINVAL: no seed. */
IICP_API int iicp_operator_write(const struct iicp_operator *o, struct iicp_str passphrase, struct iicp_buf *out);
IICP_API void iicp_operator_wipe(struct iicp_operator *o);

/* The record of a sealed seed. [05 section 8.2] */
#define IICP_SEAL_ITERATIONS 600000
#define IICP_SEAL_ITERATIONS_MIN 100000
#define IICP_SEAL_ITERATIONS_MAX 10000000
IICP_API int iicp_seed_seal(const uint8_t seed[IICP_SEED], struct iicp_str passphrase, const char *id,
                            struct iicp_buf *out);
IICP_API enum iicp_operator_fault iicp_seed_unseal(const struct iicp_json *record, struct iicp_str passphrase,
                                                   struct iicp_str id, uint8_t ret[IICP_SEED]);

/* 1 to 64 characters, trimmed, no control characters. */
IICP_API bool iicp_display_name_valid(struct iicp_str name);
/* ^[A-Za-z0-9][A-Za-z0-9._:-]{0,35}$ */
IICP_API bool iicp_node_id_valid(struct iicp_str id);

/* ---- delegation: an operator says that a node is his ---- */

#define IICP_DELEGATION_LEFT_S 60 /* with less left it is not sent [05 section 8.4] */

struct iicp_delegation {
        char node_id[37];
        char operator_pub[IICP_OPERATOR_ID];
        char sig[89];
        int64_t not_after;
};

enum iicp_delegation_fault {
        IICP_DELEGATION_OK,
        IICP_DELEGATION_MALFORMED,
        IICP_DELEGATION_SIGNATURE,
        IICP_DELEGATION_NODE,
        IICP_DELEGATION_EXPIRED,
};
IICP_API const char *iicp_delegation_fault_name(enum iicp_delegation_fault fault);

IICP_API enum iicp_delegation_fault iicp_delegation_read(const struct iicp_json *object, struct iicp_delegation *ret);
/* As a directory judges it, for the node that shows it. */
IICP_API enum iicp_delegation_fault iicp_delegation_check(const struct iicp_delegation *d, const char *node_id,
                                                          int64_t now_s);
IICP_API int iicp_delegation_sign(const uint8_t seed[IICP_SEED], const char *node_id, int64_t not_after,
                                  struct iicp_delegation *ret);
/* {"node_id","operator_pub","not_after","sig"} */
IICP_API void iicp_delegation_json(const struct iicp_delegation *d, struct iicp_buf *out);

/* ---- texts that are signed [05 section 8.3] ---- */

IICP_API void iicp_delegation_text(const char *node_id, int64_t not_after, const char *operator_pub,
                                   struct iicp_buf *out);
/* -EINVAL: no valid name. */
IICP_API int iicp_rename_text(struct iicp_str display_name, const char *operator_pub, int64_t ts, struct iicp_buf *out);
/* fields: the request as an object; sig and new_key_sig are left out. -EINVAL, -EEXIST. */
IICP_API int iicp_self_service_text(const char *action, const struct iicp_json *fields, struct iicp_buf *out);

#ifdef __cplusplus
}
#endif
#endif
