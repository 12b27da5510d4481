/* SPDX-License-Identifier: Apache-2.0 */
/* What peers send to a consumer: answers of nodes, lists of directories, refusals, and the
 * conversation that the runtime identity is put into, streams of events. The first byte chooses. */

#include "fuzz.h"

#include "client-submit.h"

static void check_json(struct iicp_buf *b) {
        struct iicp_json v;

        FUZZ_CHECK(b->error == 0);
        FUZZ_CHECK(iicp_json_scan(iicp_buf_str(b), NULL, NULL, &v) == 0);
        FUZZ_CHECK(v.type == IICP_JSON_OBJECT);
        iicp_buf_free(b);
}

static void answer(struct iicp_str body) {
        struct iicp_reply_context ctx = {.task_id = "550e8400-e29b-41d4-a716-446655440000"};
        struct iicp_reply reply;
        struct iicp_buf b = {0};

        FUZZ_CHECK(iicp_reply_read(&ctx, body, &reply) == 0);
        FUZZ_CHECK(reply.ok == (reply.response != NULL));
        if (!reply.ok) {
                FUZZ_CHECK(iicp_code_valid(iicp_str(reply.outcome.code)));
                FUZZ_CHECK(reply.outcome.cls == IICP_CLASS_SWITCH ||
                           reply.outcome.cls == IICP_CLASS_FINAL);
                return;
        }
        iicp_response_json(reply.response, &b);
        check_json(&b);
        b = (struct iicp_buf){0};
        iicp_response_chat_json(reply.response, 0, &b);
        check_json(&b);
        iicp_response_free(reply.response);
}

static void list(struct iicp_str body, bool public_view) {
        struct iicp_node_rules rules = {.allow_private = !public_view, .public_view = public_view};
        struct iicp_nodes *nodes;
        struct iicp_node n;

        if (iicp_nodes_parse(body, &rules, 10, &nodes) < 0)
                return;
        FUZZ_CHECK(iicp_nodes_count(nodes) <= 10);
        for (size_t i = 0; i < iicp_nodes_count(nodes); i++) {
                iicp_nodes_get(nodes, i, &n);
                FUZZ_CHECK(n.score >= 0 && n.score <= 1 && n.load >= 0 && n.load <= 1);
                FUZZ_CHECK(strlen(n.node_id) <= IICP_NODE_ID_MAX);
                FUZZ_CHECK(public_view || (n.node_id[0] && n.endpoint[0]));
        }
        iicp_nodes_free(nodes);
}

static void refusal(struct iicp_str body) {
        struct iicp_outcome o;

        iicp_outcome_init(&o);
        iicp_outcome_read(&o, 429, body, body, 1767323045);
        iicp_outcome_classify(&o, 429, false);
        FUZZ_CHECK(iicp_code_valid(iicp_str(o.code)));
        FUZZ_CHECK(o.hint_ms >= -1 && o.hint_ms <= IICP_HINT_MAX_MS);
        FUZZ_CHECK(strlen(o.message) <= IICP_MESSAGE_MAX);
}

static void conversation(struct iicp_str body) {
        struct iicp_identity_facts f = {.intent = "urn:iicp:intent:llm:chat:v1", .routed = true};
        struct iicp_json v;
        struct iicp_buf b = {0};

        if (iicp_json_scan(body, NULL, NULL, &v) < 0 || v.type != IICP_JSON_OBJECT)
                return;
        FUZZ_CHECK(iicp_identity_apply(IICP_IDENTITY_AUTO, &f, true, body, &b) == 0);
        check_json(&b);
}

static void on_text(void *arg, struct iicp_str text) {
        *(size_t *) arg += text.n;
}

/* In pieces of a length that the first byte gives: the same text whatever the pieces. */
static void events(struct iicp_str body) {
        size_t said = 0, piece = body.n ? (unsigned char) body.p[0] % 61 + 1 : 1;
        struct iicp_request rq = {.on_text = on_text, .stream_arg = &said};
        struct submit s = {.rq = &rq, .task_id = "550e8400-e29b-41d4-a716-446655440000"};
        struct stream st;
        bool more = true;

        iicp_stream_begin(&st, &s, false);
        for (size_t at = 1; more && at < body.n; at += piece)
                more = iicp_stream_piece(&st, (struct iicp_str){body.p + at, MIN(piece, body.n - at)});
        FUZZ_CHECK(more == !st.bad);
        FUZZ_CHECK(said == st.text.n);
        FUZZ_CHECK(!st.bad || st.why);
        if (st.receiver.terminal)
                check_json(&(struct iicp_buf){.p = strndup(st.reply.p, st.reply.n), .n = st.reply.n});
        iicp_stream_done(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str rest = {(const char *) data + 1, size - 1};

        if (size == 0)
                return 0;
        switch (data[0]) {
        case 'l':
        case 'p':
                list(rest, data[0] == 'p');
                break;
        case 'r':
                refusal(rest);
                break;
        case 'c':
                conversation(rest);
                break;
        case 'e':
                events(rest);
                break;
        default:
                answer(rest);
        }
        return 0;
}
