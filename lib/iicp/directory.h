/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_DIRECTORY_H
#define IICP_DIRECTORY_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What node and client share about directories: base URL, error reading, windows. [01] */

#define IICP_DIRECTORY_DEFAULT "https://iicp.network/api"
#define IICP_DIRECTORY_URL_MAX 512

enum iicp_directory_url_fault {
        IICP_DIRECTORY_URL_OK = 0,
        IICP_DIRECTORY_URL_MALFORMED, /* other scheme, no host, user info, query or fragment */
        IICP_DIRECTORY_URL_PLAIN,     /* http to a host that is not loopback, and not allowed */
};
/* Normalises a base URL (01 section 1.1). out is without trailing slash; the request URL is
 * out + "/v1/...". *ret_added_api (may be NULL): "/api" was appended to an empty path. */
IICP_API enum iicp_directory_url_fault iicp_directory_url(struct iicp_str text, bool allow_http,
                                                          char out[IICP_DIRECTORY_URL_MAX],
                                                          bool *ret_added_api);
/* After the very first answer of a base that got its "/api" by that: a 404 that carries no error of
 * the protocol means that the directory lives at the root. Then base is shortened. [DECISION 1] */
IICP_API bool iicp_directory_without_api(char *base, int status, struct iicp_str body);
/* Expected issuer: the base with one trailing "/api" removed. */
IICP_API void iicp_directory_issuer(const char *base, char out[IICP_DIRECTORY_URL_MAX]);

/* Classes of a directory's refusal and what they are called in logs. [01 section 2.8] */
enum iicp_directory_class {
        IICP_DIR_OK = 0,
        IICP_DIR_RATE_LIMITED,
        IICP_DIR_ENDPOINT_NOT_ROUTABLE,
        IICP_DIR_LIVENESS_FAILED,
        IICP_DIR_OWNERSHIP_DENIED,
        IICP_DIR_INTENT_REFUSED,
        IICP_DIR_CAPACITY_REFUSED,
        IICP_DIR_OPERATOR_REFUSED,
        IICP_DIR_PRICING_REFUSED,
        IICP_DIR_VALIDATION_ERROR,
        IICP_DIR_MEMBERSHIP_DENIED,
        IICP_DIR_UNAUTHORIZED,
        IICP_DIR_UNKNOWN_NODE,
        IICP_DIR_SERVER_ERROR,
        IICP_DIR_TRANSPORT,
        IICP_DIR_OTHER,
};
IICP_API const char *iicp_directory_class_name(enum iicp_directory_class c);

#define IICP_DIR_CODE_MAX 64
#define IICP_DIR_FIELDS_MAX 256
struct iicp_directory_error {
        int status;                         /* HTTP */
        char code[IICP_DIR_CODE_MAX];       /* "http_<status>" when the body names none */
        enum iicp_directory_class cls;
        int64_t retry_after_ms;             /* -1 = none */
        char fields[IICP_DIR_FIELDS_MAX];   /* dotted paths, comma separated, printable ASCII */
};
enum iicp_directory_call { IICP_DIR_CALL_REGISTER, IICP_DIR_CALL_HEARTBEAT, IICP_DIR_CALL_OTHER };
/* Reads an answer that is not the listed success (01 section 1.6). retry_after is the header's
 * value or absent. Never fails: unreadable bodies become "http_<status>". */
IICP_API void iicp_directory_error_read(enum iicp_directory_call call, int status, struct iicp_str body,
                                        struct iicp_str retry_after, struct iicp_directory_error *ret);

/* ---- availability windows (01 section 2.4, 02 section 5.2) ---- */
struct iicp_window {
        char start[6], end[6];   /* "HH:MM", both ends inclusive; start > end spans midnight */
        double share;            /* 0-1 */
};
/* minute: minutes since midnight of the clock that counts. */
IICP_API double iicp_windows_share(const struct iicp_window *w, size_t n, unsigned minute);
/* 0 if base or share <= 0, else max(1, floor(base * share)). */
IICP_API unsigned iicp_windows_effective(unsigned base, double share);

/* ---- capabilities derived from model names (01 section 2.3, DECISION 6) ---- */
struct iicp_capability {
        const char *intent;      /* URN, borrowed */
        bool image, audio;       /* beside text */
        const char *json;        /* the whole object as somebody wrote it, or NULL; borrowed */
        const char **models;     /* array owned by the object, strings borrowed */
        size_t n_models;
};
struct iicp_capabilities {
        struct iicp_capability *v;
        size_t n;
};
IICP_API int iicp_capabilities_derive(const char *const *models, size_t n_models, const char *intent_default,
                                      struct iicp_capabilities *ret);
IICP_API void iicp_capabilities_free(struct iicp_capabilities *c);

#ifdef __cplusplus
}
#endif
#endif
