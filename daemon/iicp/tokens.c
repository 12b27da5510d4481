/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/iicp/iicp.h"
#include "util.h"

#include <string.h>

/* consumer.provider_tokens: a line "node_id token" each; other lines are left out. The copy is cut in
 * place; it is wiped with the program's. */

size_t provider_tokens(char *text, struct iicp_provider_token *out, size_t max) {
        char *rest = text, *line;
        size_t n = 0;

        while (n < max && (line = strsep(&rest, "\r\n"))) {
                char *id = line + strspn(line, " \t"), *token = id + strcspn(id, " \t");

                if (*id == '\0' || *id == '#' || *token == '\0')
                        continue;
                *token++ = '\0';
                token += strspn(token, " \t");
                token[strcspn(token, " \t")] = '\0';
                if (*token)
                        out[n++] = (struct iicp_provider_token){.node_id = id, .token = token};
        }
        return n;
}
