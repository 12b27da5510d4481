/* SPDX-License-Identifier: Apache-2.0 */
#include "routes_internal.h"

#include "log.h"

#include <arpa/inet.h>
#include <stdio.h>

/* nat.ptr_hint: what the reverse name of our address says about it. It decides nothing. [04 section 6] */

static void named(struct routes *r, struct router_call *c) {
        const char *word = c->ok ? ptr_hint(c->name) : NULL;

        (void) r;
        if (word)
                log_info("ptr_hint", "the reverse name of our public address holds \"%s\": it may be shared by customers", word);
        else
                log_debug("ptr_hint", "the reverse name of our public address %s",
                          c->ok ? "says nothing about a carrier's NAT" : "is not known");
}

void name_ask(struct routes *r) {
        const char *address = r->mapping.held && r->mapping.lease.external_ip[0] ? r->mapping.lease.external_ip : r->observed;
        struct router_call *c;
        struct in_addr v4;

        if (!r->node->config->nat_ptr_hint || r->call || inet_pton(AF_INET, address, &v4) != 1)
                return;
        c = router_call_new(r, ROUTER_NAME, named);
        if (!c)
                return;
        snprintf(c->address, sizeof c->address, "%.15s", address);
        router_ask(r, c, ROUTES_ROUTER_MS);
}
