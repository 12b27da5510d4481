/* SPDX-License-Identifier: Apache-2.0 */
#include "door_http_headers.h"

#include <iicp/gossip.h>
#include <iicp/relay_msg.h>
#include <strings.h>

/* Targets: which resource, and of which task or worker. [02 sections 2.1, 11.2; 03 section 14] */

#define TASKS "/v1/tasks/"
#define WORKERS "/v1/relay-for/"
#define SMALL_BODY 65536 /* cancel, control, bind and unbind, bytes [02 section 2.2; 03 section 14] */

enum methods { READ, READ_NO_HEAD, WRITE };

static const struct {
        const char *path;
        enum methods methods;
        bool lifecycle;
        size_t body_max;
} resources[HTTP_RESOURCES_] = {
        [HTTP_UNKNOWN] = {"", READ, false, 0},
        [HTTP_TASK] = {"/v1/task", WRITE, false, IICP_BODY_MAX},
        [HTTP_HEALTH] = {"/iicp/health", READ, false, 0},
        [HTTP_METRICS] = {"/metrics", READ, false, 0},
        [HTTP_SUBMIT] = {"/v1/tasks", WRITE, true, IICP_BODY_MAX},
        [HTTP_RECORD] = {TASKS "{id}", READ, true, 0},
        [HTTP_EVENTS] = {TASKS "{id}/events", READ_NO_HEAD, true, 0},
        [HTTP_CANCEL] = {TASKS "{id}/cancel", WRITE, true, SMALL_BODY},
        [HTTP_STREAM] = {"/v1/stream", READ_NO_HEAD, true, 0},
        [HTTP_CONTROL] = {"/v1/control", WRITE, true, SMALL_BODY},
        [HTTP_RELAY_BIND] = {"/v1/relay/bind", WRITE, false, SMALL_BODY},
        [HTTP_RELAY_PULL] = {"/v1/relay/pull", READ_NO_HEAD, false, 0},
        [HTTP_RELAY_RESULT] = {"/v1/relay/result", WRITE, false, HTTP_BODY_RELAYED},
        [HTTP_RELAY_UNBIND] = {"/v1/relay/unbind", WRITE, false, SMALL_BODY},
        [HTTP_RELAY_TASK] = {WORKERS "{id}/v1/task", WRITE, false, HTTP_BODY_RELAYED},
        [HTTP_RELAY_HEALTH] = {WORKERS "{id}/iicp/health", READ, false, 0},
        [HTTP_RELAY_FORWARD] = {"/v1/relay", WRITE, false, HTTP_BODY_RELAYED},
        [HTTP_PEERS] = {"/v1/peers", WRITE, false, IICP_GOSSIP_BODY_MAX},
};

const char *http_allow(enum http_resource r) {
        static const char *const texts[] = {
                [READ] = "GET, HEAD, OPTIONS", [READ_NO_HEAD] = "GET, OPTIONS", [WRITE] = "POST, OPTIONS"};

        return texts[resources[r].methods];
}

bool http_is_lifecycle(enum http_resource r) {
        return resources[r].lifecycle;
}

bool http_is_relay(enum http_resource r) {
        return r >= HTTP_RELAY_BIND && r <= HTTP_RELAY_FORWARD;
}

bool http_method_fits(enum http_resource r, const char *method) {
        enum methods m = resources[r].methods;

        if (m == WRITE)
                return strcmp(method, "POST") == 0;
        /* A HEAD of a stream would wait, one of a pull would swallow a call. */
        return strcmp(method, "GET") == 0 || (m == READ && strcmp(method, "HEAD") == 0);
}

size_t http_body_max(enum http_resource r) {
        return resources[r].body_max;
}

/* ---- parts ---- */

static int hex(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char) (c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly once. false: malformed, empty, too long, or a NUL. */
static bool decode(struct iicp_str in, char out[HTTP_ID_MAX + 1]) {
        size_t n = 0;

        for (size_t i = 0; i < in.n; i++) {
                char c = in.p[i];

                if (c == '%') {
                        int high = in.n - i > 2 ? hex(in.p[i + 1]) : -1, low = in.n - i > 2 ? hex(in.p[i + 2]) : -1;

                        if (high < 0 || low < 0)
                                return false;
                        c = (char) (high << 4 | low);
                        i += 2;
                }
                if (n == HTTP_ID_MAX || c == '\0')
                        return false;
                out[n++] = c;
        }
        out[n] = '\0';
        return n > 0;
}

bool http_sequence(struct iicp_str text, int64_t *ret) {
        int64_t n = 0;

        if (iicp_str_is(text, "-1")) {
                *ret = -1;
                return true;
        }
        if (text.n == 0 || text.n > 15)
                return false;
        for (size_t i = 0; i < text.n; i++) {
                if (text.p[i] < '0' || text.p[i] > '9')
                        return false;
                n = n * 10 + (text.p[i] - '0');
        }
        *ret = n;
        return true;
}

static void parameter(struct http_target *t, struct iicp_str name, struct iicp_str value) {
        if (iicp_str_is(name, "after_sequence")) {
                t->has_after = true;
                t->bad_query |= !http_sequence(value, &t->after_sequence);
        } else if (iicp_str_is(name, "follow"))
                t->follow = iicp_str_is(value, "1");
        else if (t->resource == HTTP_STREAM && iicp_str_is(name, "subject"))
                t->subject_call = iicp_str_is(value, "call");
        else if (t->resource == HTTP_STREAM && iicp_str_is(name, "subject_id"))
                t->bad_query |= !decode(value, t->id);
}

static void parameters(struct http_target *t, struct iicp_str query) {
        while (query.n > 0) {
                const char *end = memchr(query.p, '&', query.n), *equals;
                struct iicp_str one = {query.p, end ? (size_t) (end - query.p) : query.n};
                size_t used = one.n + (end ? 1 : 0);

                equals = one.n ? memchr(one.p, '=', one.n) : NULL;
                if (equals) {
                        size_t n = (size_t) (equals - one.p);

                        parameter(t, (struct iicp_str){one.p, n}, (struct iicp_str){equals + 1, one.n - n - 1});
                }
                query.p += used;
                query.n -= used;
        }
}

static bool ends(struct iicp_str *s, const char *tail) {
        size_t n = strlen(tail);

        if (s->n < n || memcmp(s->p + s->n - n, tail, n) != 0)
                return false;
        s->n -= n;
        return true;
}

/* What follows /v1/tasks/. */
static enum http_resource of_task(struct http_target *t, struct iicp_str rest) {
        enum http_resource r = HTTP_RECORD;

        if (ends(&rest, "/events"))
                r = HTTP_EVENTS;
        else if (ends(&rest, "/cancel"))
                r = HTTP_CANCEL;
        if (rest.n == 0 || memchr(rest.p, '/', rest.n) || !decode(rest, t->id))
                return HTTP_UNKNOWN;
        return r;
}

/* What follows /v1/relay-for/. An id that no worker can have is known to be absent; what it decodes to
 * is not looked at again. [05 section 15] */
static enum http_resource of_worker(struct http_target *t, struct iicp_str rest) {
        enum http_resource r = HTTP_UNKNOWN;

        if (ends(&rest, "/v1/task"))
                r = HTTP_RELAY_TASK;
        else if (ends(&rest, "/iicp/health"))
                r = HTTP_RELAY_HEALTH;
        if (rest.n == 0 || memchr(rest.p, '/', rest.n))
                return HTTP_UNKNOWN;
        if (!decode(rest, t->id) || !iicp_worker_id_ok(iicp_str(t->id)))
                t->id[0] = '\0';
        return r;
}

static bool below(struct iicp_str *path, const char *folder) {
        size_t n = strlen(folder);

        if (path->n <= n || memcmp(path->p, folder, n) != 0)
                return false;
        path->p += n;
        path->n -= n;
        return true;
}

static enum http_resource resource(struct http_target *t, struct iicp_str path) {
        for (enum http_resource r = HTTP_UNKNOWN + 1; r < HTTP_RESOURCES_; r++)
                if (iicp_str_is(path, resources[r].path))
                        return strchr(resources[r].path, '{') ? HTTP_UNKNOWN : r;
        if (below(&path, TASKS))
                return of_task(t, path);
        if (below(&path, WORKERS))
                return of_worker(t, path);
        return HTTP_UNKNOWN;
}

static bool starts(struct iicp_str s, const char *text) {
        size_t n = strlen(text);

        return s.n >= n && strncasecmp(s.p, text, n) == 0;
}

void http_target_parse(struct iicp_str target, struct http_target *ret) {
        struct iicp_str path = target;
        size_t scheme = starts(target, "http://") ? 7 : starts(target, "https://") ? 8 : 0;
        struct iicp_str query = {"", 0};
        const char *mark;

        *ret = (struct http_target){.resource = HTTP_UNKNOWN, .after_sequence = -1};
        if (scheme) {
                size_t n = scheme;

                while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
                        n++;
                ret->authority = (struct iicp_str){target.p + scheme, n - scheme};
                path = (struct iicp_str){target.p + n, target.n - n};
        }
        mark = path.n ? memchr(path.p, '?', path.n) : NULL;
        if (mark) {
                query = (struct iicp_str){mark + 1, path.n - (size_t) (mark - path.p) - 1};
                path.n -= query.n + 1;
        }
        ret->resource = resource(ret, path);
        if (ret->resource == HTTP_EVENTS || ret->resource == HTTP_STREAM)
                parameters(ret, query);
}
