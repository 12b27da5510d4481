/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "util.h"


/* What the directory says about another node's reputation. [02 section 12.2] */

struct reputation_question {
        struct directory_call *call;
        void (*fn)(void *arg, double score);
        void *arg;
};

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

        if (!directory_node_tail(node_id, tail))
                return NULL;
        q = calloc(1, sizeof *q);
        if (!q)
                return NULL;
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
