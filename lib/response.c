/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define NESTED_RESULTS_MAX 2

/* ---- what counts as success [06 section 10.6] ---- */

static bool is_one_of(const struct iicp_json *v, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (v->type == IICP_JSON_STRING && iicp_json_is(v, names[i]))
                        return true;
        return false;
}

static void fail_local(struct iicp_reply *ret, const char *code, const char *why) {
        iicp_outcome_local(&ret->outcome, code, why);
}

static void fail_message(struct iicp_reply *ret, const struct iicp_json *message) {
        struct iicp_buf b = {.max = IICP_BODY_MAX};

        if (message->type == IICP_JSON_STRING && iicp_json_decode(message, &b) == 0)
                iicp_text_clean(iicp_buf_str(&b), ret->outcome.message,
                                sizeof(ret->outcome.message));
        iicp_buf_wipe(&b);
}

static void fail_in_body(struct iicp_reply *ret, int number) {
        if (!ret->outcome.code[0])
                snprintf(ret->outcome.code, sizeof(ret->outcome.code), "node_error");
        ret->outcome.http_status = number ? number : 500;
        iicp_outcome_classify(&ret->outcome, ret->outcome.http_status, true);
}

static bool fails_by_error(const struct iicp_json *top, struct iicp_reply *ret) {
        struct iicp_json e = iicp_json_get(top, "error"), v;
        int64_t ms;

        if (e.type == IICP_JSON_STRING)
                fail_message(ret, &e);
        else if (e.type == IICP_JSON_OBJECT) {
                v = iicp_json_get(&e, "code");
                (void) iicp_code_copy(&v, ret->outcome.code);
                v = iicp_json_get(&e, "iicp_code");
                (void) iicp_code_copy(&v, ret->outcome.iicp_code);
                v = iicp_json_get(&e, "message");
                fail_message(ret, &v);
                v = iicp_json_get(&e, "retry_after_ms");
                if (iicp_json_int(&v, &ms) == 0 && ms >= 0)
                        ret->outcome.hint_ms = MIN(ms, (int64_t) IICP_HINT_MAX_MS);
        } else
                return false;
        fail_in_body(ret, 0);
        return true;
}

static const char *code_of_number(int number) {
        switch (number) {
        case 400:
        case 422:
                return "validation_error";
        case 401:
                return "unauthorized";
        case 403:
                return "forbidden";
        case 404:
                return "not_found";
        case 429:
                return "capacity_exceeded";
        case 504:
                return "task_timeout";
        default:
                return "backend_error";
        }
}

/* Shipped nodes report a dead backend inside of a success. */
static bool fails_by_number(const struct iicp_json *holder, struct iicp_reply *ret) {
        struct iicp_json number = iicp_json_get(holder, "error_code");
        struct iicp_json message = iicp_json_get(holder, "error_message");
        double d;
        size_t n;

        if (iicp_json_double(&number, &d) < 0 || !(d >= 400))
                return false;
        int status = d < 1000 ? (int) d : 500;
        fail_message(ret, &message);
        n = strcspn(ret->outcome.message, ":");
        if (!strncmp(ret->outcome.message, "IICP-", 5) && ret->outcome.message[n] == ':' &&
            iicp_code_valid((struct iicp_str){ret->outcome.message, n})) {
                memcpy(ret->outcome.code, ret->outcome.message, n);
                ret->outcome.code[n] = '\0';
        } else
                snprintf(ret->outcome.code, sizeof(ret->outcome.code), "%s",
                         code_of_number(status));
        fail_in_body(ret, status);
        return true;
}

static bool fails_by_status(const struct iicp_json *status, struct iicp_reply *ret) {
        static const char *const failed[] = {"error", "failure", "failed"};

        if (iicp_json_is(status, "timeout") && status->type == IICP_JSON_STRING)
                snprintf(ret->outcome.code, sizeof(ret->outcome.code), "task_timeout");
        else if (!is_one_of(status, failed, ARRAY_SIZE(failed)))
                return false;
        fail_in_body(ret, 0);
        return true;
}

static bool other_task(const struct iicp_json *top, const char *task_id) {
        struct iicp_json v = iicp_json_get(top, "task_id");
        char text[64];

        if (v.type != IICP_JSON_STRING || v.text.n == 0)
                return false;
        return iicp_json_copy(&v, text, sizeof(text)) < 0 || strcasecmp(text, task_id) != 0;
}

/* Rules 4 to 9 over a readable object. True: success. */
static bool judge(const struct iicp_reply_context *ctx, const struct iicp_json *top,
                  struct iicp_reply *ret) {
        static const char *const good[] = {"success", "completed", "ok"};
        struct iicp_json status = iicp_json_get(top, "status"),
                         result = iicp_json_get(top, "result");

        if (other_task(top, ctx->task_id)) {
                fail_local(ret, "invalid_response", "the answer belongs to another task");
                return false;
        }
        if (fails_by_error(top, ret) || fails_by_number(top, ret) ||
            (result.type == IICP_JSON_OBJECT && fails_by_number(&result, ret)) ||
            fails_by_status(&status, ret))
                return false;
        if (is_one_of(&status, good, ARRAY_SIZE(good)) || result.type == IICP_JSON_OBJECT)
                return true;
        fail_local(ret, "invalid_response", "the answer has neither a status nor a result");
        return false;
}

/* ---- extraction [06 section 10.7] ---- */

static const char *const result_members[] = {
        "choices", "content", "message", "response", "output", "data", "text",
};

/* The top level as result, without what belongs to the envelope. */
static void strip_envelope(const struct iicp_json *top, struct iicp_buf *out) {
        static const char *const envelope[] = {
                "task_id", "status",     "generated_by_ai", "metrics",
                "error",   "model_used", "cip_receipt",     "result",
        };
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool first = true;

        iicp_buf_puts(out, "{");
        iicp_json_iter_init(&it, top);
        while (iicp_json_next(&it, &name, &value)) {
                if (is_one_of(&name, envelope, ARRAY_SIZE(envelope)))
                        continue;
                iicp_buf_puts(out, first ? "\"" : ",\"");
                iicp_buf_add_str(out, name.text);
                iicp_buf_puts(out, value.type == IICP_JSON_STRING ? "\":\"" : "\":");
                iicp_buf_add_str(out, value.text);
                if (value.type == IICP_JSON_STRING)
                        iicp_buf_puts(out, "\"");
                first = false;
        }
        iicp_buf_puts(out, "}");
}

static struct iicp_json only_member(const struct iicp_json *object, const char *name) {
        struct iicp_json_iter it;
        struct iicp_json key, value = {0}, more;

        iicp_json_iter_init(&it, object);
        if (object->type != IICP_JSON_OBJECT || !iicp_json_next(&it, &key, &value) ||
            !iicp_json_is(&key, name) || iicp_json_next(&it, NULL, &more))
                return (struct iicp_json){0};
        return value;
}

/* Writes the result's JSON text; "null" when there is none. */
static void result_text(const struct iicp_json *top, struct iicp_buf *out) {
        struct iicp_json r = iicp_json_get(top, "result");

        if (r.type == IICP_JSON_NONE || r.type == IICP_JSON_NULL) {
                for (size_t i = 0; i < ARRAY_SIZE(result_members); i++)
                        if (iicp_json_get(top, result_members[i]).type != IICP_JSON_NONE) {
                                strip_envelope(top, out);
                                return;
                        }
                iicp_buf_puts(out, "null");
                return;
        }
        for (unsigned i = 0; i < NESTED_RESULTS_MAX; i++) {
                struct iicp_json inner = only_member(&r, "result");

                if (inner.type == IICP_JSON_NONE)
                        break;
                r = inner;
        }
        if (r.type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
        iicp_buf_add_str(out, r.text);
        if (r.type == IICP_JSON_STRING)
                iicp_buf_puts(out, "\"");
}

static struct iicp_json first_of(const struct iicp_json *array) {
        struct iicp_json_iter it;
        struct iicp_json v = {0};

        if (array->type != IICP_JSON_ARRAY)
                return v;
        iicp_json_iter_init(&it, array);
        if (!iicp_json_next(&it, NULL, &v))
                v = (struct iicp_json){0};
        return v;
}

/* A string, or the text parts of an array. False: neither. */
static bool add_content(const struct iicp_json *content, struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json part;

        if (content->type == IICP_JSON_STRING)
                return iicp_json_decode(content, out) == 0;
        if (content->type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, content);
        while (iicp_json_next(&it, NULL, &part)) {
                struct iicp_json type = iicp_json_get(&part, "type"),
                                 text = iicp_json_get(&part, "text");

                if (type.type == IICP_JSON_STRING && iicp_json_is(&type, "text") &&
                    text.type == IICP_JSON_STRING)
                        (void) iicp_json_decode(&text, out);
        }
        return true;
}

static bool add_text(const struct iicp_json *result, struct iicp_buf *out) {
        struct iicp_json choices = iicp_json_get(result, "choices"), choice = first_of(&choices);
        struct iicp_json message = iicp_json_get(&choice, "message");
        struct iicp_json content = iicp_json_get(&message, "content");
        struct iicp_json tools = iicp_json_get(&message, "tool_calls");

        if (add_content(&content, out))
                return true;
        if (tools.type == IICP_JSON_ARRAY)
                return true;
        content = iicp_json_get(&choice, "text");
        if (content.type == IICP_JSON_STRING)
                return add_content(&content, out);
        message = iicp_json_get(result, "message");
        content = iicp_json_get(&message, "content");
        if (add_content(&content, out))
                return true;
        if (result->type == IICP_JSON_STRING)
                return add_content(result, out);
        content = iicp_json_get(result, "content");
        if (add_content(&content, out))
                return true;
        content = iicp_json_get(result, "response");
        if (content.type == IICP_JSON_STRING)
                return add_content(&content, out);
        content = iicp_json_get(result, "text");
        return content.type == IICP_JSON_STRING && add_content(&content, out);
}

static char *string_of(const struct iicp_json *v) {
        struct iicp_buf b = {.max = 1024};

        if (v->type != IICP_JSON_STRING || v->text.n == 0 || iicp_json_decode(v, &b) < 0 ||
            b.error) {
                iicp_buf_free(&b);
                return NULL;
        }
        return iicp_buf_take(&b, NULL);
}

static int64_t tokens_of(const struct iicp_json *top, const struct iicp_json *result) {
        struct iicp_json metrics = iicp_json_get(top, "metrics"),
                         v = iicp_json_get(&metrics, "tokens_used");
        struct iicp_json usages[2] = {iicp_json_get(result, "usage"), iicp_json_get(top, "usage")};
        int64_t n, m;

        if (iicp_json_int(&v, &n) == 0 && n >= 0)
                return n;
        for (size_t i = 0; i < 2; i++) {
                v = iicp_json_get(&usages[i], "total_tokens");
                if (iicp_json_int(&v, &n) == 0 && n >= 0)
                        return n;
        }
        for (size_t i = 0; i < 2; i++) {
                struct iicp_json p = iicp_json_get(&usages[i], "prompt_tokens");
                struct iicp_json c = iicp_json_get(&usages[i], "completion_tokens");

                if (iicp_json_int(&p, &n) == 0 && iicp_json_int(&c, &m) == 0 && n >= 0 && m >= 0 &&
                    n <= INT32_MAX && m <= INT32_MAX)
                        return n + m;
        }
        return -1;
}

static int extract_details(const struct iicp_reply_context *ctx, const struct iicp_json *top,
                           const struct iicp_json *result, struct iicp_response *r) {
        struct iicp_json choices = iicp_json_get(result, "choices"), choice = first_of(&choices), v;

        v = iicp_json_get(&choice, "finish_reason");
        if (v.type != IICP_JSON_STRING)
                v = iicp_json_get(result, "done_reason");
        r->finish_reason = string_of(&v);

        v = iicp_json_get(top, "model_used");
        r->model = string_of(&v);
        if (!r->model) {
                v = iicp_json_get(result, "model");
                r->model = string_of(&v);
        }
        if (!r->model && ctx->model)
                r->model = strdup(ctx->model);

        v = iicp_json_get(result, "usage");
        if (v.type != IICP_JSON_OBJECT)
                v = iicp_json_get(top, "usage");
        if (v.type == IICP_JSON_OBJECT) {
                r->usage = strndup(v.text.p, v.text.n);
                if (!r->usage)
                        return -ENOMEM;
        }
        v = iicp_json_get(result, "isError");
        r->tool_error = v.type == IICP_JSON_TRUE;
        r->tokens = tokens_of(top, result);
        return 0;
}

static int extract(const struct iicp_reply_context *ctx, const struct iicp_json *top,
                   struct iicp_reply *ret) {
        struct iicp_response *r = calloc(1, sizeof(*r));
        struct iicp_buf result = {0}, text = {0};
        struct iicp_json parsed = {0};
        bool has_text;
        int err;

        if (!r)
                return -ENOMEM;
        snprintf(r->task_id, sizeof(r->task_id), "%s", ctx->task_id);
        result_text(top, &result);
        err = result.error;
        if (err == 0)
                err = iicp_json_scan(iicp_buf_str(&result), NULL, NULL, &parsed);
        if (err == 0) {
                has_text = add_text(&parsed, &text);
                err = extract_details(ctx, top, &parsed, r);
                if (err == 0 && has_text) {
                        iicp_buf_add(&text, "", 0);
                        if (!text.p)
                                (void) iicp_buf_reserve(&text, 1);
                        err = text.error;
                        if (err == 0)
                                r->text = iicp_buf_take(&text, &r->text_n);
                }
        }
        if (err == 0)
                r->result = iicp_buf_take(&result, &r->result_n);
        iicp_buf_wipe(&result);
        iicp_buf_wipe(&text);
        if (err < 0) {
                iicp_response_free(r);
                if (err == -ENOMEM)
                        return err;
                fail_local(ret, "invalid_response", "the result of the answer cannot be read");
                return 0;
        }
        ret->response = r;
        ret->ok = true;
        return 0;
}

int iicp_reply_read(const struct iicp_reply_context *ctx, struct iicp_str body,
                    struct iicp_reply *ret) {
        struct iicp_buf plain = {0};
        struct iicp_json top, envelope;
        bool opened = false;
        int r = 0;

        *ret = (struct iicp_reply){0};
        iicp_outcome_init(&ret->outcome);
        if (iicp_json_scan(body, NULL, NULL, &top) < 0 || top.type != IICP_JSON_OBJECT) {
                fail_local(ret, "invalid_response", "the answer is no JSON object");
                return 0;
        }
        envelope = iicp_json_get(&top, "iicp_conf_resp");
        if (envelope.type == IICP_JSON_OBJECT) {
                if (!ctx->session ||
                    iicp_cx_open_response(ctx->session, iicp_str(ctx->task_id), &envelope, &plain) <
                            0 ||
                    iicp_json_scan(iicp_buf_str(&plain), NULL, NULL, &top) < 0 ||
                    top.type != IICP_JSON_OBJECT ||
                    iicp_json_get(&top, "iicp_conf_resp").type == IICP_JSON_OBJECT) {
                        fail_local(ret, "IICP-CX-RESP-INVALID",
                                   "the encrypted answer cannot be opened");
                        goto out;
                }
                opened = true;
        }
        if (ctx->need_encrypted && !opened) {
                fail_local(ret, "IICP-CX-RESP-REQUIRED",
                           "the node promised an encrypted answer and sent a clear one");
                goto out;
        }
        if (judge(ctx, &top, ret))
                r = extract(ctx, &top, ret);
        if (ret->ok)
                ret->response->answer_encrypted = opened;
out:
        iicp_buf_wipe(&plain);
        return r;
}

/* ---- the answer as an object ---- */

static void wipe_free(char *p, size_t n) {
        if (p)
                iicp_wipe(p, n);
        free(p);
}

struct iicp_response *iicp_response_free(struct iicp_response *r) {
        if (!r)
                return NULL;
        wipe_free(r->result, r->result_n);
        wipe_free(r->text, r->text_n);
        free(r->model);
        free(r->finish_reason);
        free(r->usage);
        free(r->node_id);
        free(r->region);
        free(r);
        return NULL;
}

static void json_or_null(struct iicp_buf *out, const char *name, const char *value) {
        iicp_buf_printf(out, ",\"%s\":", name);
        if (value)
                iicp_buf_json_str(out, iicp_str(value));
        else
                iicp_buf_puts(out, "null");
}

void iicp_response_json(const struct iicp_response *r, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, iicp_str(r->task_id));
        iicp_buf_puts(out, ",\"status\":\"success\",\"text\":");
        if (r->text)
                iicp_buf_json_str(out, (struct iicp_str){r->text, r->text_n});
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"result\":");
        iicp_buf_add(out, r->result, r->result_n);
        json_or_null(out, "model_used", r->model);
        json_or_null(out, "finish_reason", r->finish_reason);
        iicp_buf_printf(out, ",\"usage\":%s,\"generated_by_ai\":true,\"tool_error\":%s",
                        r->usage ? r->usage : "null", r->tool_error ? "true" : "false");
        iicp_buf_printf(
                out, ",\"encrypted\":%s,\"answer_encrypted\":%s,\"metrics\":{\"latency_ms\":%lld",
                r->encrypted ? "true" : "false", r->answer_encrypted ? "true" : "false",
                (long long) r->latency_ms);
        if (r->tokens >= 0)
                iicp_buf_printf(out, ",\"tokens_used\":%lld", (long long) r->tokens);
        json_or_null(out, "node_id", r->node_id);
        json_or_null(out, "region", r->region);
        iicp_buf_puts(
                out,
                "},\"dispatch_ticket_id_prefix\":null,\"routing_receipt\":{\"receipt_version\":"
                "\"iicp-routing-receipt-v1\",\"selection_profile\":");
        iicp_buf_json_str(out, iicp_str(r->selection_profile ? r->selection_profile : ""));
        iicp_buf_printf(out, ",\"eligible_candidate_count\":%u,\"selected_node_id_prefix\":",
                        r->candidates);
        iicp_buf_json_str(out, iicp_str(r->node_prefix));
        iicp_buf_puts(out, ",\"profile_negotiation\":null,\"redaction\":"
                           "\"prompt_response_endpoint_token_excluded\"},\"attempts\":[");
        for (size_t i = 0; i < r->n_log; i++)
                iicp_buf_printf(out,
                                "%s{\"node_prefix\":\"%s\",\"code\":\"%s\",\"http_status\":%d,"
                                "\"elapsed_ms\":%lld}",
                                i ? "," : "", r->log[i].node_prefix, r->log[i].code,
                                r->log[i].http_status, (long long) r->log[i].elapsed_ms);
        iicp_buf_puts(out, "]}");
}

void iicp_response_chat_json(const struct iicp_response *r, int64_t created, struct iicp_buf *out) {
        struct iicp_json result = {0}, choices, choice, message;

        iicp_buf_puts(out, "{\"id\":");
        iicp_buf_json_str(out, iicp_str(r->task_id));
        iicp_buf_printf(out, ",\"object\":\"chat.completion\",\"created\":%lld",
                        (long long) created);
        json_or_null(out, "model", r->model);

        (void) iicp_json_scan((struct iicp_str){r->result, r->result_n}, NULL, NULL, &result);
        choices = iicp_json_get(&result, "choices");
        choice = first_of(&choices);
        message = iicp_json_get(&choice, "message");
        iicp_buf_puts(out, ",\"choices\":");
        if (iicp_json_get(&message, "content").type != IICP_JSON_NONE)
                iicp_buf_add_str(out, choices.text);
        else {
                iicp_buf_puts(out,
                              "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
                iicp_buf_json_str(out,
                                  r->text ? (struct iicp_str){r->text, r->text_n} : IICP_STR(""));
                iicp_buf_puts(out, "}");
                json_or_null(out, "finish_reason", r->finish_reason);
                iicp_buf_puts(out, "}]");
        }
        if (r->usage)
                iicp_buf_printf(out, ",\"usage\":%s", r->usage);
        json_or_null(out, "iicp_node_id", r->node_id);
        iicp_buf_puts(out, ",\"generated_by_ai\":true}");
}
