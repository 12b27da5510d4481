/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

void iicp_error_set(struct iicp_error *e, const char *code, const char *component, bool retryable,
                    const char *fmt, ...) {
        va_list ap;

        memset(e, 0, sizeof(*e));
        snprintf(e->code, sizeof(e->code), "%s", code);
        snprintf(e->component, sizeof(e->component), "%s", component);
        e->retryable = retryable;
        e->retry_after_ms = -1;
        va_start(ap, fmt);
        vsnprintf(e->message, sizeof(e->message), fmt, ap);
        va_end(ap);
}

/* Length of the UTF-8 sequence that starts here, 0 if there is none: the text may come from a body
 * that is no JSON and was checked by nobody. */
static size_t utf8_length(const unsigned char *p, size_t n) {
        size_t want = p[0] < 0x80                   ? 1
                      : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                      : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                      : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                    : 0;

        if (want == 0 || want > n)
                return 0;
        for (size_t i = 1; i < want; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        return want;
}

void iicp_text_clean(struct iicp_str in, char *out, size_t cap) {
        size_t o = 0, max = MIN(cap - 1, (size_t) IICP_MESSAGE_MAX);

        for (size_t i = 0; i < in.n;) {
                const unsigned char *p = (const unsigned char *) in.p + i;
                size_t len = utf8_length(p, in.n - i);

                if (len == 0 || p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0)) {
                        i += len ? len : 1;
                        continue;
                }
                if (o + len > max)
                        break;
                memcpy(out + o, p, len);
                o += len;
                i += len;
        }
        out[o] = '\0';
}

bool iicp_code_valid(struct iicp_str code) {
        if (code.n == 0 || code.n > 63)
                return false;
        for (size_t i = 0; i < code.n; i++)
                if (!isalnum((unsigned char) code.p[i]) &&
                    (!code.p[i] || !strchr("._:-", code.p[i])))
                        return false;
        return true;
}

bool iicp_code_copy(const struct iicp_json *value, char out[64]) {
        char text[64];

        if (iicp_json_copy(value, text, sizeof(text)) < 0 || !iicp_code_valid(iicp_str(text)))
                return false;
        memcpy(out, text, strlen(text) + 1);
        return true;
}

bool iicp_code_retryable(const char *code) {
        static const char *const yes[] = {
                "IICP-E003",         "IICP-E004",        "IICP-E005",
                "IICP-E008",         "IICP-E022",        "IICP-E023",
                "IICP-E033",         "IICP-CX-REQUIRED", "IICP-CONSUMER-AUTH-REQUIRED",
                "no_available_node", "timeout",
        };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
                if (!strcmp(code, yes[i]))
                        return true;
        return false;
}

static void attempts_json(const struct iicp_attempt *log, size_t n, struct iicp_buf *out) {
        iicp_buf_puts(out, "[");
        for (size_t i = 0; i < n; i++) {
                iicp_buf_puts(out, i ? ",{\"node_prefix\":" : "{\"node_prefix\":");
                iicp_buf_json_str(out, iicp_str(log[i].node_prefix));
                iicp_buf_puts(out, ",\"code\":");
                iicp_buf_json_str(out, iicp_str(log[i].code));
                iicp_buf_printf(out, ",\"http_status\":%d,\"elapsed_ms\":%lld}", log[i].http_status,
                                (long long) log[i].elapsed_ms);
        }
        iicp_buf_puts(out, "]");
}

void iicp_error_json(const struct iicp_error *e, struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"error\":{\"code\":");
        iicp_buf_json_str(out, iicp_str(e->code));
        iicp_buf_puts(out, ",\"message\":");
        iicp_buf_json_str(out, iicp_str(e->message));
        iicp_buf_puts(out, ",\"component\":");
        iicp_buf_json_str(out, iicp_str(e->component));
        iicp_buf_printf(out, ",\"retryable\":%s,\"http_status\":%d,\"retry_after_ms\":%lld",
                        e->retryable ? "true" : "false", e->http_status,
                        (long long) e->retry_after_ms);
        iicp_buf_printf(
                out, ",\"attempts\":%u,\"candidates\":%u,\"sent\":%s,\"sent_clear\":%s,\"cause\":",
                e->attempts, e->candidates, e->sent ? "true" : "false",
                e->sent_clear ? "true" : "false");
        if (e->cause.code[0]) {
                iicp_buf_puts(out, "{\"code\":");
                iicp_buf_json_str(out, iicp_str(e->cause.code));
                iicp_buf_printf(out, ",\"http_status\":%d,\"node_prefix\":", e->cause.http_status);
                iicp_buf_json_str(out, iicp_str(e->cause.node_prefix));
                iicp_buf_puts(out, "}");
        } else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"log\":");
        attempts_json(e->log, e->n_log, out);
        iicp_buf_puts(out, "}}");
}
