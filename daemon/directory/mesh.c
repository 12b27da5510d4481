/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <ctype.h>

/* What the mesh asks the directory. [01 sections 5.2, 5.3; 04 section 15] */

bool directory_node_tail(struct iicp_str id, char out[DIRECTORY_NODE_ID_MAX]) {
        if (id.n == 0 || id.n >= DIRECTORY_NODE_ID_MAX || !isalnum((unsigned char) id.p[0]))
                return false;
        for (size_t i = 0; i < id.n; i++)
                if (!isalnum((unsigned char) id.p[i]) && !memchr("._:-", id.p[i], 4))
                        return false;
        memcpy(out, id.p, id.n);
        out[id.n] = '\0';
        return true;
}

struct directory_call *directory_node(struct directory *d, struct iicp_str node_id, directory_answer_fn fn, void *arg) {
        char tail[DIRECTORY_NODE_ID_MAX];
        struct directory_request r = {.route = DIRECTORY_NODE, .tail = tail};

        return directory_node_tail(node_id, tail) ? directory_call(d, &r, fn, arg) : NULL;
}

struct directory_call *directory_bootstrap(struct directory *d, directory_answer_fn fn, void *arg) {
        return directory_call(d, &(struct directory_request){.route = DIRECTORY_BOOTSTRAP, .tail = "?limit=5"}, fn, arg);
}

struct directory_call *directory_heal(struct directory *d, struct iicp_str body, directory_answer_fn fn, void *arg) {
        return directory_call(d, &(struct directory_request){.route = DIRECTORY_PEERS, .body = body}, fn, arg);
}
