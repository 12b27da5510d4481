/* SPDX-License-Identifier: Apache-2.0 */
#include "credits.h"

#include "award.h"
#include "internal.h"
#include "util.h"

#include <iicp/urn.h>
#include <stdio.h>
#include <sys/queue.h>

/* What a directory says of an account is passed on member by member: known names, checked types. */

#define TEXT_MAX 512

struct credits_query {
        LIST_ENTRY(credits_query) link;
        struct credits *c;
        struct directory_call *call;
        struct timer again;
        enum directory_route route;
        char tail[IICP_URN_MAX * 3 + 64];
        bool repeated;
        struct iicp_buf account, transactions; /* JSON, empty = none */
        credits_fn fn;
        void *arg;
};

struct credits {
        struct node *node;
        LIST_HEAD(credits_queries, credits_query) queries;
};

static void ask(struct credits_query *q, enum directory_route route, const char *tail);

static void query_free(struct credits_query *q) {
        directory_call_cancel(q->call);
        timer_clear(&q->again);
        LIST_REMOVE(q, link);
        iicp_buf_free(&q->account);
        iicp_buf_free(&q->transactions);
        free(q);
}

static void finish(struct credits_query *q, unsigned status, struct iicp_buf *out) {
        credits_fn fn = q->fn;
        void *arg = q->arg;

        query_free(q);
        fn(arg, status, out);
}

static void fail(struct credits_query *q, unsigned status, const char *code, const char *message, const char *todo) {
        struct iicp_buf out = {0};

        iicp_buf_printf(&out, "{\"schema\":\"iicp.error/1\",\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"do\":\"%s\"}}", code, message, todo);
        finish(q, status, &out);
}

/* ---- members ---- */

enum kind { NUMBER, TEXT, BOOL };
struct member {
        const char *name;
        enum kind kind;
};

static void put_text(struct iicp_buf *out, const struct iicp_json *v) {
        char text[TEXT_MAX];

        if (iicp_json_copy(v, text, sizeof text) < 0)
                iicp_buf_puts(out, "null");
        else
                iicp_buf_json_str(out, iicp_str(text));
}

/* {"name":value,...}: what is absent or of another type is left out. */
static void put_members(struct iicp_buf *out, const struct iicp_json *from, const struct member *m, size_t n) {
        const char *comma = "";

        for (size_t i = 0; i < n; i++) {
                struct iicp_json v = iicp_json_get(from, m[i].name);
                bool fits = m[i].kind == NUMBER ? v.type == IICP_JSON_NUMBER
                            : m[i].kind == TEXT ? v.type == IICP_JSON_STRING
                                                : v.type == IICP_JSON_TRUE || v.type == IICP_JSON_FALSE;

                if (!fits)
                        continue;
                iicp_buf_printf(out, "%s\"%s\":", comma, m[i].name);
                if (m[i].kind == TEXT)
                        put_text(out, &v);
                else
                        iicp_buf_add_str(out, v.text);
                comma = ",";
        }
}

static void take_account(struct credits_query *q, const struct iicp_json *a) {
        static const struct member own[] = {{"balance", NUMBER}, {"total_earned", NUMBER}, {"total_spent", NUMBER},
                                            {"tx_count", NUMBER}, {"reconciles", BOOL}, {"unit", TEXT},
                                            {"tokens_per_credit", NUMBER}};
        static const struct member wallet[] = {{"total_balance", NUMBER}, {"total_earned", NUMBER},
                                               {"total_spent", NUMBER}, {"tx_count", NUMBER}, {"node_count", NUMBER},
                                               {"reconciles", BOOL}, {"operator_fingerprint", TEXT}};
        struct iicp_json w = iicp_json_get(a, "operator_wallet");

        iicp_buf_puts(&q->account, "{");
        put_members(&q->account, a, own, ARRAY_SIZE(own));
        if (w.type == IICP_JSON_OBJECT) {
                iicp_buf_puts(&q->account, q->account.n > 1 ? ",\"operator_wallet\":{" : "\"operator_wallet\":{");
                put_members(&q->account, &w, wallet, ARRAY_SIZE(wallet));
                iicp_buf_puts(&q->account, "}");
        }
        iicp_buf_puts(&q->account, "}");
}

/* One list of the newest, or the first page of many: both stand under `transactions`, or `data`. */
static void take_transactions(struct credits_query *q, const struct iicp_json *a) {
        static const struct member row[] = {{"id", NUMBER}, {"amount", NUMBER}, {"type", TEXT}, {"task_id", TEXT},
                                            {"reason", TEXT}, {"created_at", TEXT}};
        struct iicp_json list = iicp_json_get(a, "transactions"), item;
        struct iicp_json_iter it;
        unsigned n = 0;

        if (list.type != IICP_JSON_ARRAY)
                list = iicp_json_get(a, "data");
        iicp_buf_puts(&q->transactions, "[");
        iicp_json_iter_init(&it, &list);
        while (list.type == IICP_JSON_ARRAY && n < CREDITS_SHOWN_MAX && iicp_json_next(&it, NULL, &item)) {
                if (item.type != IICP_JSON_OBJECT)
                        continue;
                iicp_buf_puts(&q->transactions, n++ ? ",{" : "{");
                put_members(&q->transactions, &item, row, ARRAY_SIZE(row));
                iicp_buf_puts(&q->transactions, "}");
        }
        iicp_buf_puts(&q->transactions, "]");
}

static void take_quote(struct credits_query *q, const struct iicp_json *a) {
        static const struct member quote[] = {
                {"quote_id", TEXT}, {"estimated_credits", NUMBER}, {"min_credits", NUMBER}, {"max_credits", NUMBER},
                {"price_per_1000_tokens", NUMBER}, {"nodes_quoted", NUMBER}, {"quote_expires_at", TEXT},
                {"currency", TEXT}, {"consumer_balance", NUMBER}, {"effective_balance", NUMBER},
                {"balance_scope", TEXT}, {"operator_wallet_balance", NUMBER}, {"balance_sufficient", BOOL}};
        struct iicp_buf out = {0};

        iicp_buf_puts(&out, "{\"schema\":\"iicp.quote/1\",\"quote\":{");
        put_members(&out, a, quote, ARRAY_SIZE(quote));
        iicp_buf_puts(&out, "}}");
        finish(q, 200, &out);
}

static void whole(struct credits_query *q) {
        struct iicp_buf out = {0};

        iicp_buf_puts(&out, "{\"schema\":\"iicp.credits/1\",\"awards\":");
        awards_json(q->c->node->awards, &out);
        iicp_buf_puts(&out, ",\"account\":");
        iicp_buf_add_str(&out, iicp_buf_str(&q->account));
        iicp_buf_puts(&out, ",\"transactions\":");
        iicp_buf_add_str(&out, q->transactions.n ? iicp_buf_str(&q->transactions) : IICP_STR("[]"));
        iicp_buf_puts(&out, "}");
        finish(q, 200, &out);
}

/* ---- answers ---- */

static void good(struct credits_query *q, const struct iicp_json *a) {
        switch (q->route) {
        case DIRECTORY_QUOTE:
                take_quote(q, a);
                break;
        case DIRECTORY_TRANSACTIONS:
                take_transactions(q, a);
                whole(q);
                break;
        default:
                take_account(q, a);
                ask(q, DIRECTORY_TRANSACTIONS, "");
        }
}

static void bad(struct credits_query *q, const struct fetch_answer *a) {
        bool weak = a->error != FETCH_OK || a->status >= 500, none = !weak && (a->status == 404 || a->status == 405);

        if (weak && !q->repeated) {
                q->repeated = true;
                timer_set_ms(&q->again, CREDITS_AGAIN_MS);
        } else if (none && q->route == DIRECTORY_SUMMARY)
                ask(q, DIRECTORY_BALANCE, "");
        else if (q->route == DIRECTORY_TRANSACTIONS)
                whole(q); /* the account without its list */
        else if (none)
                fail(q, 404, "no_credits", "this directory keeps no credits", "nothing");
        else if (!weak && a->status == 401)
                fail(q, 502, "unauthorized", "the directory does not take our token", "iicpctl reregister");
        else if (!weak && a->status == 429)
                fail(q, 502, "rate_limited", "the directory asks for a pause", "try again in a minute");
        else
                fail(q, 502, "directory_unavailable", "the directory gave no usable answer", "iicpctl directory");
}

static void answered(void *arg, const struct fetch_answer *a) {
        struct credits_query *q = arg;
        struct iicp_json object;

        q->call = NULL;
        if (directory_answer_ok(a, 200, &object))
                good(q, &object);
        else
                bad(q, a);
}

static void send_it(struct credits_query *q) {
        q->call = directory_call(q->c->node->directory,
                                 &(struct directory_request){.route = q->route, .tail = q->tail}, answered, q);
        if (!q->call)
                fail(q, 502, "directory_unavailable", "the directory does not answer", "iicpctl directory");
}

static void again(void *arg) {
        send_it(arg);
}

static void ask(struct credits_query *q, enum directory_route route, const char *tail) {
        q->route = route;
        q->repeated = false;
        snprintf(q->tail, sizeof q->tail, "%s", tail);
        send_it(q);
}

/* ---- the question ---- */

static void escape(struct iicp_buf *out, const char *text) {
        for (; *text; text++)
                if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *text))
                        iicp_buf_add(out, text, 1);
                else
                        iicp_buf_printf(out, "%%%02X", (unsigned char) *text);
}

void credits_read(struct credits *c, const struct credits_wish *wish, credits_fn fn, void *arg) {
        _cleanup_(iicp_buf_free) struct iicp_buf tail = {0};
        struct credits_query *q = calloc(1, sizeof *q);
        struct iicp_buf none = {0};

        if (!q) {
                fn(arg, 500, &none);
                return;
        }
        q->c = c;
        q->fn = fn;
        q->arg = arg;
        LIST_INSERT_HEAD(&c->queries, q, link);
        timer_init(&q->again, c->node->loop, again, q);
        if (!state_identity(c->node->state)->node_token[0]) {
                fail(q, 409, "not_registered", "this node has no account: it is not registered", "iicpctl directory");
                return;
        }
        if (!wish->quote) {
                ask(q, DIRECTORY_SUMMARY, "");
                return;
        }
        iicp_buf_puts(&tail, "?intent=");
        escape(&tail, wish->intent);
        if (wish->max_tokens)
                iicp_buf_printf(&tail, "&max_tokens=%u", wish->max_tokens);
        if (tail.error || tail.n >= sizeof q->tail)
                fail(q, 422, "usage", "the intent is too long", "iicpctl credits --quote urn:iicp:intent:llm:chat:v1");
        else
                ask(q, DIRECTORY_QUOTE, tail.p);
}

struct credits *credits_new(struct node *node) {
        struct credits *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        c->node = node;
        LIST_INIT(&c->queries);
        return c;
}

struct credits *credits_free(struct credits *c) {
        struct credits_query *q;

        if (!c)
                return NULL;
        while ((q = LIST_FIRST(&c->queries)))
                query_free(q);
        free(c);
        return NULL;
}
