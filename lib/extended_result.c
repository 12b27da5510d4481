/* SPDX-License-Identifier: Apache-2.0 */
#include "json-internal.h"
#include "util.h"

#include <iicp/intents.h>
#include <stdlib.h>

/* Results of the extended intents, out of what a model wrote. [02 section 9.5] */

#define NAMED_MAX 64 /* categories that a model may name; what follows is not looked at */

static void value(struct iicp_buf *out, const struct iicp_json *v) {
        size_t quotes = v->type == IICP_JSON_STRING;

        iicp_buf_add(out, v->text.p - quotes, v->text.n + 2 * quotes);
}

/* model and usage stand beside every result. */
static void tail(const struct iicp_json *from, struct iicp_buf *out) {
        static const char *const names[] = {"model", "usage"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct iicp_json v = iicp_json_get(from, names[i]);

                if (v.type == IICP_JSON_NONE || v.type == IICP_JSON_NULL)
                        continue;
                iicp_buf_printf(out, ",\"%s\":", names[i]);
                value(out, &v);
        }
        iicp_buf_puts(out, "}");
}

/* The words of the first choice. */
static struct iicp_json words(const struct iicp_json *result) {
        struct iicp_json choices = iicp_json_get(result, "choices"), choice, message;
        struct iicp_json_iter it;

        if (choices.type != IICP_JSON_ARRAY)
                return (struct iicp_json){0};
        iicp_json_iter_init(&it, &choices);
        if (!iicp_json_next(&it, NULL, &choice))
                return (struct iicp_json){0};
        message = iicp_json_get(&choice, "message");
        return iicp_json_get(&message, "content");
}

static bool plain(const char *name, const struct iicp_json *result, struct iicp_buf *out) {
        struct iicp_json content = words(result);

        if (content.type != IICP_JSON_STRING || content.text.n == 0)
                return false;
        iicp_buf_printf(out, "{\"%s\":", name);
        value(out, &content);
        tail(result, out);
        return true;
}

/* The object that the model was told to write: models like to put a fence or a sentence around it.
 */
static bool object_in(const struct iicp_json *content, struct iicp_buf *text,
                      struct iicp_json *ret) {
        const char *from, *to;

        if (content->type != IICP_JSON_STRING || iicp_json_decode(content, text) < 0 ||
            text->n == 0)
                return false;
        from = memchr(text->p, '{', text->n);
        to = memrchr(text->p, '}', text->n);
        if (!from || !to || to < from)
                return false;
        return iicp_json_scan((struct iicp_str){from, (size_t) (to - from) + 1}, NULL, NULL, ret) ==
                       0 &&
               ret->type == IICP_JSON_OBJECT;
}

static bool same_text(const struct iicp_json *a, const struct iicp_json *b) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf x = {0}, y = {0};

        if (!a->escaped && !b->escaped)
                return iicp_str_eq(a->text, b->text);
        return iicp_json_decode(a, &x) == 0 && iicp_json_decode(b, &y) == 0 &&
               iicp_str_eq(iicp_buf_str(&x), iicp_buf_str(&y));
}

/* Those of the given categories that the model named, in the order in which they were given. */
static bool classify(const struct iicp_json *payload, const struct iicp_json *said,
                     struct iicp_buf *out) {
        struct iicp_json named = iicp_json_get(said, "categories"),
                         list = iicp_json_get(payload, "categories");
        struct iicp_json explain = iicp_json_get(payload, "explain"),
                         why = iicp_json_get(said, "explanation");
        struct iicp_json_iter it, inner;
        struct iicp_json category, one;
        const char *comma = "";

        if (named.type != IICP_JSON_ARRAY)
                return false;
        iicp_buf_puts(out, "{\"categories\":[");
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &category)) {
                iicp_json_iter_init(&inner, &named);
                for (size_t n = 0; n < NAMED_MAX && iicp_json_next(&inner, NULL, &one); n++)
                        if (one.type == IICP_JSON_STRING && same_text(&one, &category)) {
                                iicp_buf_puts(out, comma);
                                value(out, &category);
                                comma = ",";
                                break;
                        }
        }
        iicp_buf_puts(out, "]");
        if (explain.type == IICP_JSON_TRUE && why.type == IICP_JSON_STRING) {
                iicp_buf_puts(out, ",\"explanation\":");
                value(out, &why);
        }
        return true;
}

static bool lint(const struct iicp_json *said, struct iicp_buf *out) {
        struct iicp_json issues = iicp_json_get(said, "issues");

        if (issues.type != IICP_JSON_ARRAY)
                return false;
        iicp_buf_puts(out, "{\"issues\":");
        value(out, &issues);
        return true;
}

static bool optimize(const struct iicp_json *said, struct iicp_buf *out) {
        struct iicp_json code = iicp_json_get(said, "code"), notes = iicp_json_get(said, "notes");

        if (code.type != IICP_JSON_STRING)
                return false;
        iicp_buf_puts(out, "{\"code\":");
        value(out, &code);
        iicp_buf_puts(out, ",\"notes\":");
        if (notes.type == IICP_JSON_STRING)
                value(out, &notes);
        else
                iicp_buf_puts(out, "\"\"");
        return true;
}

static bool structured(enum iicp_intent_kind kind, const struct iicp_json *payload,
                       const struct iicp_json *result, struct iicp_buf *out) {
        struct iicp_buf text = {.secret = true};
        struct iicp_json content = words(result), said;
        bool ok = object_in(&content, &text, &said);

        if (ok)
                ok = kind == IICP_INTENT_CLASSIFY ? classify(payload, &said, out)
                     : kind == IICP_INTENT_LINT   ? lint(&said, out)
                                                  : optimize(&said, out);
        if (ok)
                tail(result, out);
        iicp_buf_wipe(&text);
        return ok;
}

/* ---- rerank ---- */

struct ranked {
        int64_t index;
        double score;
        struct iicp_json text;
};

static int better(const void *a, const void *b) {
        const struct ranked *x = a, *y = b;

        if (x->score != y->score)
                return x->score > y->score ? -1 : 1;
        return x->index < y->index ? -1 : x->index > y->index;
}

/* The candidates as an array; NULL: no memory, or none. */
static struct iicp_json *candidates_of(const struct iicp_json *payload, size_t *ret_n) {
        struct iicp_json list = iicp_json_get(payload, "candidates"), one, *v;
        struct iicp_json_iter it;
        size_t n = 0;

        *ret_n = 0;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &one))
                n++;
        v = calloc(n, sizeof(*v));
        if (!v)
                return NULL;
        iicp_json_iter_init(&it, &list);
        while (*ret_n < n && iicp_json_next(&it, NULL, &v[*ret_n]))
                ++*ret_n;
        return v;
}

static bool rank(const struct iicp_json *candidates, size_t n, const struct iicp_json *entry,
                 struct ranked *ret) {
        struct iicp_json index = iicp_json_get(entry, "index"),
                         score = iicp_json_get(entry, "relevance_score");

        if (score.type == IICP_JSON_NONE)
                score = iicp_json_get(entry, "score");
        if (iicp_json_int(&index, &ret->index) < 0 || ret->index < 0 ||
            (uint64_t) ret->index >= n || iicp_json_double(&score, &ret->score) < 0)
                return false;
        ret->text = candidates[ret->index];
        return true;
}

static void write_ranked(const struct iicp_json *payload, const struct ranked *v, size_t n,
                         struct iicp_buf *out) {
        struct iicp_json top = iicp_json_get(payload, "top_k"),
                         scores = iicp_json_get(payload, "return_scores");
        int64_t most;

        if (iicp_json_int(&top, &most) == 0 && (uint64_t) most < n)
                n = (size_t) most;
        iicp_buf_puts(out, "{\"results\":[");
        for (size_t i = 0; i < n; i++) {
                iicp_buf_printf(out, "%s{\"index\":%lld,\"text\":", i ? "," : "",
                                (long long) v[i].index);
                value(out, &v[i].text);
                if (scores.type == IICP_JSON_TRUE)
                        iicp_buf_printf(out, ",\"score\":%.17g", v[i].score);
                iicp_buf_puts(out, "}");
        }
        iicp_buf_puts(out, "]");
}

static bool rerank(const struct iicp_json *payload, const struct iicp_json *result,
                   struct iicp_buf *out) {
        struct iicp_json results = iicp_json_get(result, "results"), entry;
        size_t n = 0, n_candidates;
        _cleanup_free_ struct iicp_json *candidates = candidates_of(payload, &n_candidates);
        _cleanup_free_ struct ranked *v = calloc(n_candidates, sizeof(*v));
        struct iicp_json_iter it;

        if (!v || !candidates || results.type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, &results);
        while (iicp_json_next(&it, NULL, &entry)) {
                if (n == n_candidates || !rank(candidates, n_candidates, &entry, &v[n]))
                        return false;
                n++;
        }
        qsort(v, n, sizeof(*v), better);
        write_ranked(payload, v, n, out);
        tail(result, out);
        return true;
}

bool iicp_extended_result(const struct iicp_intent *intent, const struct iicp_json *payload,
                          struct iicp_str text, struct iicp_buf *out) {
        struct iicp_json result;

        if (iicp_json_scan(text, NULL, NULL, &result) < 0 || result.type != IICP_JSON_OBJECT)
                return false;
        switch (intent->kind) {
        case IICP_INTENT_TRANSLATE:
                return plain("text", &result, out);
        case IICP_INTENT_SUMMARIZE:
        case IICP_INTENT_RESEARCH:
                return plain("summary", &result, out);
        case IICP_INTENT_TUTOR:
                return plain("answer", &result, out);
        case IICP_INTENT_RERANK:
                return rerank(payload, &result, out);
        case IICP_INTENT_MULTIMODAL:
                value(out, &result);
                return true;
        default:
                return structured(intent->kind, payload, &result, out);
        }
}
