/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"

#include <ctype.h>

/* What the directory says about another node's reputation. [02 section 12.2] */

struct reputation_question {
        struct directory_call *call;
        void (*fn)(void *arg, double score);
        void *arg;
};

static bool is_id(struct iicp_str id) {
        if (id.n == 0 || id.n >= DIRECTORY_NODE_ID_MAX || !isalnum((unsigned char) id.p[0]))
                return false;
        for (size_t i = 0; i < id.n; i++)
                if (!isalnum((unsigned char) id.p[i]) && !memchr("._:-", id.p[i], 4))
                        return false;
        return true;
}

static double score_of(const struct fetch_answer *a) {
        struct iicp_json answer, score;
        double v;

        if (!directory_answer_ok(a, 200, &answer))
                return -1;
        score = iicp_json_get(&answer, "reputation_score");
        return iicp_json_double(&score, &v) == 0 && v >= 0 && v <= 1 ? v : -1;
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct reputation_question q = *(struct reputation_question *) arg;

        free(arg);
        q.fn(q.arg, score_of(a));
}

struct reputation_question *directory_ask_reputation(struct directory *d, struct iicp_str node_id,
                                                     void (*fn)(void *arg, double score),
                                                     void *arg) {
        struct reputation_question *q;
        char tail[DIRECTORY_NODE_ID_MAX];

        if (!is_id(node_id))
                return NULL;
        q = calloc(1, sizeof *q);
        if (!q)
                return NULL;
        memcpy(tail, node_id.p, node_id.n);
        tail[node_id.n] = '\0';
        *q = (struct reputation_question){.fn = fn, .arg = arg};
        q->call = directory_call(d,
                                 &(struct directory_request){.route = DIRECTORY_NODE, .tail = tail},
                                 on_answer, q);
        if (!q->call) {
                free(q);
                return NULL;
        }
        return q;
}

void directory_ask_cancel(struct reputation_question *q) {
        if (!q)
                return;
        directory_call_cancel(q->call);
        free(q);
}
