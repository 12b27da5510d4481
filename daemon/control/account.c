/* SPDX-License-Identifier: Apache-2.0 */
#include "control/internal.h"

#include "directory/credits.h"
#include "node.h"

#include <iicp/urn.h>
#include <stdlib.h>

/* Our account at the directory. */

static void read_done(void *arg, unsigned status, struct iicp_buf *out) {
        call_resume(arg, status, out);
}

unsigned get_credits(struct call *call, struct iicp_buf *out) {
        const struct credits_wish wish = {0};

        (void) out;
        call_suspend(call);
        credits_read(call_node(call)->credits, &wish, read_done, call);
        return 0;
}

/* ?intent=URN&max_tokens=N */
unsigned get_quote(struct call *call, struct iicp_buf *out) {
        struct credits_wish wish = {.quote = true, .intent = call_argument(call, "intent")};
        const char *tokens = call_argument(call, "max_tokens");

        if (!wish.intent || iicp_urn_check(iicp_str(wish.intent)) != IICP_URN_OK)
                return call_fault(out, 422, "usage", "intent is no intent", "like urn:iicp:intent:llm:chat:v1");
        if (tokens && (strlen(tokens) > 9 || strspn(tokens, "0123456789") != strlen(tokens)))
                return call_fault(out, 422, "usage", "max_tokens is no number", "like 1000");
        wish.max_tokens = tokens ? (unsigned) strtoul(tokens, NULL, 10) : 0;
        call_suspend(call);
        credits_read(call_node(call)->credits, &wish, read_done, call);
        return 0;
}
