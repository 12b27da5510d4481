/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CLIENT_H
#define IICP_CLIENT_H

#include <iicp/buf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The consumer side: discover, select, submit. [06] Calls block; one client may be used by one
 * thread at a time. Grows with its room; see 06 section 15 for the surface. */
struct iicp_client;

struct iicp_error {
        char code[64];
        char message[512];
        char component[16];      /* sdk, directory, adapter, proxy */
        bool retryable;
        int http_status;         /* 0 = none */
        int64_t retry_after_ms;  /* -1 = none */
        struct {
                char code[64];
                int http_status;
                char node_prefix[9];
        } cause;
        unsigned attempts, candidates;
        bool sent;               /* the payload left this machine */
};

#ifdef __cplusplus
}
#endif
#endif
