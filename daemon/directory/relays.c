/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "util.h"

#include <stdio.h>

/* What a node that looks for a relay asks of the directory: who is one, and a ticket to bind with.
 * [03 sections 18, 19.5; 04 section 11] */

struct directory_call *directory_relays(struct directory *d, const char *intent, fetch_done_fn fn, void *arg) {
        char tail[512], escaped[400];
        struct directory_request r = {.route = DIRECTORY_DISCOVER, .tail = tail};
        size_t n = 0;

        /* Of what may stand in an intent only the colon has to be escaped. */
        for (const char *p = intent; *p && n + 4 < sizeof escaped; p++)
                n += (size_t) snprintf(escaped + n, sizeof escaped - n, *p == ':' ? "%%3A" : "%c", *p);
        escaped[n] = '\0';
        snprintf(tail, sizeof tail, "?intent=%s&relay_capable=1&limit=50", escaped);
        return directory_call(d, &r, fn, arg);
}

bool directory_has_token(const struct directory *d) {
        return state_identity(d->node->state)->node_token[0] != '\0';
}

struct directory_call *directory_relay_ticket(struct directory *d, struct iicp_str body, fetch_done_fn fn, void *arg) {
        struct directory_request r = {.route = DIRECTORY_RELAY_TICKET, .body = body};

        return directory_has_token(d) ? directory_call(d, &r, fn, arg) : NULL;
}

struct directory_call *directory_ask_end(struct directory_call *c) {
        return directory_call_cancel(c);
}
