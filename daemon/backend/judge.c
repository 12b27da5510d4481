/* SPDX-License-Identifier: Apache-2.0 */
#include "send.h"
#include "util.h"

#include <ctype.h>

/* What a server's answer means to the caller: the table of failures, and the promised shapes.
 * [02 section 10.5] */

#define RETRY_DEFAULT_S 2
#define RETRY_MAX_S 300
#define SCAN_TEXT_MAX 4096 /* bytes of an error answer that are looked at */

/* The part of an error answer that is searched for words, lower-cased; it goes nowhere else. */
static bool mentions(struct iicp_str body, const char *word) {
        size_t n = strlen(word), last = MIN(body.n, (size_t) SCAN_TEXT_MAX);

        for (size_t i = 0; i + n <= last; i++) {
                size_t k = 0;

                while (k < n && tolower((unsigned char) body.p[i + k]) == word[k])
                        k++;
                if (k == n)
                        return true;
        }
        return false;
}

void judge_refuse(struct backend_answer *a, enum iicp_refusal_id id, const char *reason) {
        a->refusal = (struct iicp_refusal){.id = id, .reason = reason};
        if (id == IICP_REFUSE_VALIDATION)
                a->refusal.field = "payload";
}

static int64_t retry_after_s(struct iicp_str value) {
        int64_t s = 0;

        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] < '0' || value.p[i] > '9')
                        return RETRY_DEFAULT_S; /* a date, or nonsense */
                s = MIN(s * 10 + (value.p[i] - '0'), (int64_t) RETRY_MAX_S);
        }
        return value.n ? MAX(s, 1) : RETRY_DEFAULT_S;
}

static void judge_busy(struct backend *b, const struct fetch_answer *from, struct backend_answer *a) {
        bool loading = from->status == 503 && mentions(from->body, "loading model");

        if (loading)
                backend_loading(b);
        judge_refuse(a, IICP_REFUSE_BUSY, loading ? "backend_loading" : "backend_busy");
        a->refusal.retry_after_ms = retry_after_s(from->retry_after) * 1000;
        a->retry_elsewhere = true;
}

static bool request_fault(const struct backend *b, struct iicp_str body) {
        return backend_is_llamacpp(b) && (mentions(body, "not supported") || mentions(body, "too large") ||
                                                  mentions(body, "is required"));
}

void judge_status(struct backend *b, const struct fetch_answer *from, struct backend_answer *a) {
        switch (from->status) {
        case 400:
        case 413:
        case 422:
                judge_refuse(a, IICP_REFUSE_VALIDATION, "backend_rejected_payload");
                return;
        case 401:
        case 403:
                backend_key_rejected(b, from->status);
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_auth");
                return;
        case 404:
                if (mentions(from->body, "model"))
                        judge_refuse(a, IICP_REFUSE_MODEL_NOT_FOUND, NULL);
                else
                        judge_refuse(a, IICP_REFUSE_BACKEND, "backend_endpoint_missing");
                return;
        case 429:
        case 503:
                judge_busy(b, from, a);
                return;
        case 500:
                if (request_fault(b, from->body)) {
                        judge_refuse(a, IICP_REFUSE_VALIDATION, "backend_rejected_payload");
                        return;
                }
                break;
        }
        judge_refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
}

void judge_error(struct backend *b, const struct fetch_answer *from, struct backend_answer *a) {
        switch (from->error) {
        case FETCH_UNREACHABLE:
        case FETCH_NAME:
        case FETCH_TLS:
        case FETCH_RESET:
                backend_unreached(b, fetch_error_name(from->error), true);
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_unreachable");
                a->retry_elsewhere = true;
                return;
        case FETCH_TIMEOUT:
                judge_refuse(a, IICP_REFUSE_TIMEOUT, NULL);
                return;
        case FETCH_TOO_LARGE:
        case FETCH_PROTOCOL:
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        case FETCH_OK:
        case FETCH_FAILED:
                break;
        }
        judge_refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
}

struct shape {
        struct iicp_json list, error, usage;
        const char *list_name;
};

static int on_member(void *arg, const struct iicp_json *name, const struct iicp_json *value) {
        struct shape *s = arg;

        if (iicp_json_is(name, s->list_name))
                s->list = *value;
        else if (iicp_json_is(name, "error"))
                s->error = *value;
        else if (iicp_json_is(name, "usage"))
                s->usage = *value;
        return 0;
}

static bool entry_valid(enum iicp_intent_kind kind, const struct iicp_json *entry) {
        static const struct {
                const char *name;
                enum iicp_json_type type, other;
        } wanted[IICP_INTENT_MAX_] = {
                [IICP_INTENT_CHAT] = {"message", IICP_JSON_OBJECT, IICP_JSON_OBJECT},
                [IICP_INTENT_COMPLETION] = {"text", IICP_JSON_STRING, IICP_JSON_STRING},
                [IICP_INTENT_EMBEDDING] = {"embedding", IICP_JSON_ARRAY, IICP_JSON_STRING}, /* or base64 */
                [IICP_INTENT_MODERATE] = {"flagged", IICP_JSON_TRUE, IICP_JSON_FALSE},
                [IICP_INTENT_RERANK] = {"index", IICP_JSON_NUMBER, IICP_JSON_NUMBER},
        };
        struct iicp_json v = iicp_json_get(entry, wanted[kind].name);

        return v.type == wanted[kind].type || v.type == wanted[kind].other;
}

static void note_truncation(const struct backend_call *c, const struct iicp_json *usage, struct backend_answer *a) {
        const struct model *m = model_list_find(c->backend->listed, c->model);
        struct iicp_json v;
        int64_t n;

        if (!m || m->context <= 0 || usage->type != IICP_JSON_OBJECT)
                return;
        v = iicp_json_get(usage, "prompt_tokens");
        if (v.type == IICP_JSON_NUMBER && iicp_json_int(&v, &n) == 0)
                a->prompt_truncated = n == m->context;
}

/* A 2xx body: the promised object, or backend_invalid_response. */
void judge_object(const struct backend_call *c, struct iicp_str body, struct backend_answer *a) {
        struct shape s = {.list_name = c->intent->list};
        struct iicp_json top, entry;
        struct iicp_json_iter it;
        size_t n = 0;

        if (iicp_json_scan(body, on_member, &s, &top) < 0 || top.type != IICP_JSON_OBJECT) {
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        }
        if (s.error.type != IICP_JSON_NONE && s.error.type != IICP_JSON_NULL) {
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
                return;
        }
        if (s.list.type == IICP_JSON_ARRAY) {
                iicp_json_iter_init(&it, &s.list);
                while (iicp_json_next(&it, NULL, &entry)) {
                        if (!entry_valid(c->intent->kind, &entry)) {
                                n = 0;
                                break;
                        }
                        n++;
                }
        }
        if (n == 0) {
                judge_refuse(a, IICP_REFUSE_BACKEND, "backend_invalid_response");
                return;
        }
        a->result = body;
        note_truncation(c, &s.usage, a);
}

const char *judge_outcome(const struct backend_answer *a) {
        if (a->refusal.id == IICP_REFUSE_NONE)
                return "ok";
        if (a->refusal.id == IICP_REFUSE_TIMEOUT)
                return "timeout";
        return a->refusal.reason ? a->refusal.reason : "model_not_found";
}

bool judge_error_member(struct iicp_str body, struct backend_answer *a) {
        struct iicp_json top, error;

        if (iicp_json_scan(body, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT)
                return false;
        error = iicp_json_get(&top, "error");
        if (error.type == IICP_JSON_NONE || error.type == IICP_JSON_NULL)
                return false;
        judge_refuse(a, IICP_REFUSE_BACKEND, "backend_failed");
        return true;
}
