/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

void iicp_outcome_init(struct iicp_outcome *o) {
        *o = (struct iicp_outcome){.hint_ms = -1};
}

void iicp_outcome_local(struct iicp_outcome *o, const char *code, const char *message) {
        static const struct {
                const char *code;
                enum iicp_class cls;
                enum iicp_verdict verdict;
                bool timed_out, no_reply;
        } table[] = {
                {"IICP-E003", IICP_CLASS_SWITCH, IICP_VERDICT_FAIL, true, true},
                {"IICP-E004", IICP_CLASS_SWITCH_RETRYABLE, IICP_VERDICT_FAIL, false, true},
                {"invalid_response", IICP_CLASS_SWITCH, IICP_VERDICT_FAIL, false, true},
                {"unsupported_content_encoding", IICP_CLASS_SWITCH, IICP_VERDICT_FAIL, false, true},
                {"IICP-ENDPOINT-REFUSED", IICP_CLASS_SWITCH, IICP_VERDICT_NONE, false, false},
        };

        snprintf(o->code, sizeof(o->code), "%s", code);
        iicp_text_clean(iicp_str(message), o->message, sizeof(o->message));
        o->cls = IICP_CLASS_FINAL;
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (!strcmp(code, table[i].code)) {
                        o->cls = table[i].cls;
                        o->verdict = table[i].verdict;
                        o->timed_out = table[i].timed_out;
                        o->no_reply = table[i].no_reply;
                }
}

/* ---- reading ---- */

static struct iicp_str trim(struct iicp_str s) {
        while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
                s.p++, s.n--;
        while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
                s.n--;
        return s;
}

int64_t iicp_retry_after_ms(struct iicp_str header, int64_t now_s) {
        struct iicp_str s = trim(header);
        char date[64];
        bool digits = s.n > 0;
        int64_t seconds = 0;

        for (size_t i = 0; i < s.n; i++)
                digits = digits && isdigit((unsigned char) s.p[i]);
        if (digits) {
                for (size_t i = 0; i < s.n && seconds <= IICP_HINT_MAX_MS / 1000; i++)
                        seconds = seconds * 10 + (s.p[i] - '0');
                return MIN(seconds * 1000, (int64_t) IICP_HINT_MAX_MS);
        }
        /* an HTTP date begins with the day's name; curl_getdate alone would take "1.5" */
        if (s.n < 20 || s.n >= sizeof(date) || !isalpha((unsigned char) s.p[0]))
                return -1;
        memcpy(date, s.p, s.n);
        date[s.n] = '\0';
        time_t t = curl_getdate(date, NULL);
        if (t < 0)
                return -1;
        seconds = (int64_t) t - now_s;
        return seconds <= 0 ? 0 : MIN(seconds, (int64_t) IICP_HINT_MAX_MS / 1000) * 1000;
}

static void copy_message(struct iicp_outcome *o, const struct iicp_json *v) {
        struct iicp_buf b = {.max = IICP_BODY_MAX};

        if (v->type == IICP_JSON_STRING && iicp_json_decode(v, &b) == 0)
                iicp_text_clean(iicp_buf_str(&b), o->message, sizeof(o->message));
        iicp_buf_wipe(&b);
}

static void read_error_object(struct iicp_outcome *o, const struct iicp_json *e) {
        struct iicp_json v = iicp_json_get(e, "message");
        int64_t ms;

        copy_message(o, &v);
        v = iicp_json_get(e, "code");
        (void) iicp_code_copy(&v, o->code);
        v = iicp_json_get(e, "iicp_code");
        (void) iicp_code_copy(&v, o->iicp_code);
        v = iicp_json_get(e, "qos_class");
        o->qos_class = v.type == IICP_JSON_STRING;
        v = iicp_json_get(e, "retry_after_ms");
        if (iicp_json_int(&v, &ms) == 0 && ms >= 0)
                o->hint_ms = MIN(ms, (int64_t) IICP_HINT_MAX_MS);
}

void iicp_outcome_read(struct iicp_outcome *o, int status, struct iicp_str body,
                       struct iicp_str retry_after, int64_t now_s) {
        struct iicp_json top, error;

        o->http_status = status;
        if (iicp_json_scan(body, NULL, NULL, &top) == 0 && top.type == IICP_JSON_OBJECT) {
                error = iicp_json_get(&top, "error");
                if (error.type == IICP_JSON_OBJECT)
                        read_error_object(o, &error);
                else if (error.type == IICP_JSON_STRING)
                        copy_message(o, &error);
                else
                        read_error_object(o, &top);
        } else
                iicp_text_clean(body, o->message, sizeof(o->message));
        if (!o->code[0])
                snprintf(o->code, sizeof(o->code), "IICP-E%03d", status);
        if (o->hint_ms < 0)
                o->hint_ms = iicp_retry_after_ms(retry_after, now_s);
}

/* ---- classes: the table of 06 section 11.1 ---- */

static bool named(const struct iicp_outcome *o, const char *code) {
        return !strcmp(o->code, code) || !strcmp(o->iicp_code, code);
}

static bool starts(const struct iicp_outcome *o, const char *prefix) {
        return !strncmp(o->code, prefix, strlen(prefix)) ||
               !strncmp(o->iicp_code, prefix, strlen(prefix));
}

static bool is_capacity(const struct iicp_outcome *o) {
        return named(o, "capacity_exceeded") || named(o, "IICP-E021") || o->qos_class ||
               !strcmp(o->message, "capacity_exceeded");
}

/* Faults of this node's advertisement that another node need not share. */
static bool is_stale(const struct iicp_outcome *o) {
        static const char *const codes[] = {
                "IICP-E049",      "IICP-E050", "IICP-E060",       "IICP-E061",
                "IICP-E062",      "IICP-E063", "IICP-E064",       "IICP-E065",
                "unknown_intent", "IICP-E029", "model_not_found",
        };

        if (starts(o, "IICP-CX-"))
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
                if (named(o, codes[i]))
                        return true;
        return false;
}

static enum iicp_class class_of(const struct iicp_outcome *o, int status) {
        switch (status) {
        case 429:
        case 503:
                if (is_capacity(o) || (status == 503 && named(o, "IICP-E024")))
                        return IICP_CLASS_SWITCH;
                return IICP_CLASS_SAME;
        case 425:
                return IICP_CLASS_SAME;
        case 502:
        case 504:
                return IICP_CLASS_SWITCH_RETRYABLE;
        case 403:
                return starts(o, "IICP-POLICY-") ? IICP_CLASS_FINAL : IICP_CLASS_SWITCH;
        case 401:
        case 404:
        case 405:
        case 406:
        case 408:
        case 410:
                return IICP_CLASS_SWITCH;
        case 400:
        case 422:
                return is_stale(o) ? IICP_CLASS_SWITCH : IICP_CLASS_FINAL;
        default:
                if (status >= 520 && status <= 599)
                        return IICP_CLASS_SWITCH_RETRYABLE;
                return status >= 500 ? IICP_CLASS_SWITCH : IICP_CLASS_FINAL;
        }
}

static bool counts_as_failure(const struct iicp_outcome *o, int status, bool in_body) {
        if ((status == 429 || status == 503) && (is_capacity(o) || named(o, "IICP-E024")))
                return false;
        return in_body ? status >= 500
                       : status == 500 || status == 502 || status == 503 || status == 504;
}

void iicp_outcome_classify(struct iicp_outcome *o, int status, bool in_body) {
        o->cls = class_of(o, status);
        o->verdict = counts_as_failure(o, status, in_body) ? IICP_VERDICT_FAIL : IICP_VERDICT_NONE;
        o->timed_out = status == 408 || named(o, "task_timeout") ||
                       (status == 504 && named(o, "IICP-E006"));
        if (in_body && o->cls != IICP_CLASS_FINAL)
                o->cls = IICP_CLASS_SWITCH;
}

/* ---- waiting: section 11.3 ---- */

double iicp_backoff_delay(const struct iicp_backoff *b, unsigned index, double u) {
        double delay = (double) b->base_ms;

        for (unsigned i = 0; i < index && delay < (double) b->cap_ms; i++)
                delay *= 2;
        return MIN(delay, (double) b->cap_ms) * (0.8 + 0.4 * u);
}

int64_t iicp_backoff_wait(const struct iicp_backoff *b, unsigned index, double u, int64_t hint_ms,
                          int64_t remaining_ms) {
        int64_t wait = (int64_t) (iicp_backoff_delay(b, index, u) + 0.5);

        if (hint_ms > b->hint_cap_ms)
                return -1;
        wait = MAX(wait, hint_ms);
        return wait < remaining_ms ? wait : -1;
}
