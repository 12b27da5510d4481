/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_headers.h"

#include <strings.h>

static bool is(struct iicp_str s, const char *text) {
        return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

static bool starts(struct iicp_str s, const char *text) {
        size_t n = strlen(text);

        return s.n >= n && strncasecmp(s.p, text, n) == 0;
}

static struct iicp_str trim(struct iicp_str s) {
        while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
                s.p++, s.n--;
        while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
                s.n--;
        return s;
}

/* Takes the next member of a list with that separator off its front. */
static struct iicp_str list_next(struct iicp_str *rest, char separator) {
        const char *end = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
        struct iicp_str item = {rest->p, end ? (size_t) (end - rest->p) : rest->n};
        size_t used = item.n + (end ? 1 : 0);

        rest->p += used;
        rest->n -= used;
        return trim(item);
}

/* ---- host ---- */

struct iicp_str http_host_name(struct iicp_str authority) {
        struct iicp_str host = trim(authority), port;
        const char *end;

        if (host.n == 0)
                return IICP_STR_NONE;
        if (host.p[0] == '[') {
                end = memchr(host.p, ']', host.n);
                if (!end)
                        return IICP_STR_NONE;
                end++;
        } else {
                end = memchr(host.p, ':', host.n);
                if (!end)
                        end = host.p + host.n;
        }
        port = (struct iicp_str){end, host.n - (size_t) (end - host.p)};
        host.n -= port.n;
        if (port.n > 0 && port.p[0] != ':')
                return IICP_STR_NONE;
        for (size_t i = 1; i < port.n; i++)
                if (port.p[i] < '0' || port.p[i] > '9')
                        return IICP_STR_NONE;
        return host.n ? host : IICP_STR_NONE;
}

bool http_host_is_local(struct iicp_str host) {
        return is(host, "localhost") || is(host, "127.0.0.1") || is(host, "[::1]");
}

/* ---- fields ---- */

static void first(struct iicp_str *slot, struct iicp_str value) {
        if (!slot->p)
                *slot = value;
}

static void content_length(struct http_fields *f, struct iicp_str value) {
        uint64_t n = 0;

        value = trim(value);
        if (value.n == 0)
                f->bad_length = true;
        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] < '0' || value.p[i] > '9') {
                        f->bad_length = true;
                        return;
                }
                unsigned digit = (unsigned) (value.p[i] - '0');
                n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
        }
        if (f->has_length && f->length != n)
                f->bad_length = true;
        f->has_length = true;
        f->length = n;
}

static void content_encoding(struct http_fields *f, struct iicp_str value) {
        while (value.n > 0) {
                struct iicp_str item = list_next(&value, ',');

                if (item.n > 0 && !is(item, "identity"))
                        f->encoded = true;
        }
}

void http_field(struct http_fields *f, struct iicp_str name, struct iicp_str value) {
        f->n++;
        if (name.n == 0)
                return;
        /* One look at the first letter sorts out most of what does not concern us. */
        switch (name.p[0] | 0x20) {
        case 'a':
                if (is(name, "authorization"))
                        first(&f->authorization, value);
                else if (is(name, "accept"))
                        first(&f->accept, value);
                break;
        case 'c':
                if (is(name, "content-length"))
                        content_length(f, value);
                else if (is(name, "content-type"))
                        first(&f->content_type, value);
                else if (is(name, "content-encoding"))
                        content_encoding(f, value);
                break;
        case 'h':
                if (is(name, "host")) {
                        f->doubled_host |= f->host.p != NULL;
                        first(&f->host, value);
                }
                break;
        case 'l':
                if (is(name, "last-event-id"))
                        first(&f->last_event_id, value);
                break;
        case 'o':
                if (is(name, "origin"))
                        first(&f->origin, value);
                break;
        case 't':
                if (is(name, "traceparent"))
                        first(&f->traceparent, value);
                else if (is(name, "tracestate"))
                        first(&f->tracestate, value);
                else if (is(name, "transfer-encoding")) {
                        f->chunked = !f->has_transfer && is(trim(value), "chunked");
                        f->has_transfer = true;
                }
                break;
        case 'x':
                if (is(name, "x-iicp-consumer-token"))
                        first(&f->consumer_token, value);
                else if (is(name, "x-iicp-signature"))
                        first(&f->signature, value);
                else if (is(name, "x-iicp-trace-id"))
                        first(&f->trace_id, value);
                else if (is(name, "x-iicp-require-e2e"))
                        f->require_e2e |= is(trim(value), "1");
                else if (is(name, "x-iicp-relay-hop"))
                        f->relay_hop = true;
                else if (is(name, "x-forwarded-for"))
                        f->forwarded_for = value; /* the last one is the nearest proxy's */
                break;
        default:
                break;
        }
}

/* ---- body ---- */

static bool utf8_or_absent(struct iicp_str parameters) {
        while (parameters.n > 0) {
                struct iicp_str p = list_next(&parameters, ';');

                if (!starts(p, "charset="))
                        continue;
                p.p += 8;
                p.n -= 8;
                if (!is(p, "utf-8") && !is(p, "\"utf-8\""))
                        return false;
        }
        return true;
}

static enum iicp_refusal_id content_type(const struct http_fields *f) {
        struct iicp_str rest = f->content_type, type;

        if (!f->content_type.p)
                /* A page can send a typeless body without asking first. [05 section 13.8] */
                return f->origin.p ? IICP_REFUSE_MEDIA_TYPE : IICP_REFUSE_NONE;
        type = list_next(&rest, ';');
        if (is(type, "application/iicp+cbor") || is(type, "application/cbor"))
                return IICP_REFUSE_MEDIA_TYPE_CBOR;
        if (!is(type, "application/json") &&
            !(starts(type, "application/") && type.n > 17 && strncasecmp(type.p + type.n - 5, "+json", 5) == 0))
                return IICP_REFUSE_MEDIA_TYPE;
        return utf8_or_absent(rest) ? IICP_REFUSE_NONE : IICP_REFUSE_MEDIA_TYPE;
}

enum iicp_refusal_id http_body_check(const struct http_fields *f, size_t max) {
        if (f->encoded)
                return IICP_REFUSE_CONTENT_ENCODING;
        if (f->bad_length || (f->has_length && f->has_transfer) || (f->has_transfer && !f->chunked))
                return IICP_REFUSE_INVALID_HTTP_BODY;
        if (f->has_length && f->length > max)
                return IICP_REFUSE_TOO_LARGE;
        return content_type(f);
}
