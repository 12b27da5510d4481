/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CLIENT_OBJECT_H
#define IICP_CLIENT_OBJECT_H

#include "client-internal.h"
#include <iicp/directory.h>
#include <iicp/trace.h>
#include <iicp/uuid.h>

/* The client itself; shared by client.c (life), client_directory.c and client_submit.c. */
struct iicp_client {
        struct iicp_client_config cfg; /* strings are our own */
        char base[IICP_DIRECTORY_URL_MAX];
        bool base_guessed; /* "/api" was appended and not yet confirmed */
        char **redirect_origins, **regions;
        char replica[IICP_DIRECTORY_URL_MAX]; /* where reads go for a while, "" = base */
        int64_t replica_until_ms;
        struct iicp_provider_token *tokens;
        struct iicp_http *http;
        struct iicp_breaker *breaker;
        atomic_bool cancel;
        bool warned_private, warned_plaintext;
};

void iicp_client_warn(struct iicp_client *c, bool *once, const char *line);
/* A uniform number in [0,1). */
double iicp_client_draw(void *arg);
/* List discovery with its retries. until_ms bounds it (0 = the directory's own limits only). */
int iicp_directory_list(struct iicp_client *c, const char *intent, const struct iicp_route *route,
                        const char *traceparent, int64_t until_ms, struct iicp_nodes **ret,
                        struct iicp_error *error);
/* Stages 1 to 3: bounds, URN, risk. 0 or -errno with *error filled. */
int iicp_check_intent(const char *intent, struct iicp_error *error);
int iicp_check_route(const struct iicp_route *route, struct iicp_error *error);
/* A new trace, or the caller's continued. */
int iicp_client_trace(const char *given, char out[IICP_TRACEPARENT_TEXT]);
int iicp_fail_invalid(struct iicp_error *e, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));
int iicp_fail_memory(struct iicp_error *e);

#endif
