/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_REDIRECT_H
#define IICP_REDIRECT_H

#include <iicp/directory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a redirect of a directory may do. Pure: an answer in, the next step out; node and client
 * decide by the same rules. [01 section 1.7; 05 section 13.4] */

#define IICP_REDIRECT_HOPS_MAX 3u        /* in a row [DIR-FED-06] */
#define IICP_REDIRECT_RETURNS_MAX 2u     /* times the seed is asked again */
#define IICP_REDIRECT_URL_MAX 2048       /* bytes of a Location, with its query */
#define IICP_REDIRECT_WAIT_MS_MAX 60000u /* a seed that wants a longer pause is not waited for */

enum iicp_redirect_kind {
        IICP_REDIRECT_READ,       /* nothing secret in it: discover, node, bootstrap, registry */
        IICP_REDIRECT_CREDENTIAL, /* a write, or whatever carries a token */
        IICP_REDIRECT_ANCHOR,     /* directory-key: who supplies it can mint tickets */
};

/* One logical call; the caller starts it with zero counts and hands it over for each answer. */
struct iicp_redirect_call {
        const char *base;           /* configured, normalised */
        const char *const *origins; /* listed ones, NULL-terminated; may be NULL */
        enum iicp_redirect_kind kind;
        unsigned hops, returns;
};

enum iicp_redirect_verdict {
        IICP_REDIRECT_FOLLOW,   /* the same method and body to url */
        IICP_REDIRECT_ASK_SEED, /* the same request to the base again, after wait_ms */
        IICP_REDIRECT_REFUSED,  /* another origin that is not listed: directory_redirect_refused */
        IICP_REDIRECT_FAILED,   /* not a 307, no usable Location, too many in a row */
};

struct iicp_redirect_step {
        char url[IICP_REDIRECT_URL_MAX];
        uint32_t wait_ms;
        /* A read that was sent elsewhere: base of the next reads for that long, "" = none. */
        char base[IICP_DIRECTORY_URL_MAX];
        uint32_t base_ms;
};

/* For an answer with a status of 300 to 399; path is what follows the base in the request,
 * "/v1/..." with its query. */
IICP_API enum iicp_redirect_verdict iicp_redirect(struct iicp_redirect_call *call, int status,
                                                  const char *path, struct iicp_str location,
                                                  struct iicp_str retry_after,
                                                  struct iicp_redirect_step *ret);
/* Whether two URLs, with any path and query, have the same scheme, host and port. */
IICP_API bool iicp_same_origin(struct iicp_str a, struct iicp_str b);

#ifdef __cplusplus
}
#endif
#endif
