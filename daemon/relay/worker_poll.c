/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "log.h"
#include "util.h"

#include <stdio.h>

/* A session over the HTTP endpoint of a relay: bind, then pull a task, run it, post its result. One pull
 * waits at a time, and only while a slot is free. [03 sections 14, 19.2] */

#define BIND_MS 10000
#define PULL_MS 35000               /* the relay parks one for 25 s */
#define POST_MS 20000
#define ANSWER_MAX 65536            /* of all but a pull */
#define PULL_MAX ((size_t) IICP_FRAME_LENGTH_MAX + 4096)
#define TOKEN_MAX 512               /* bytes of a session token */
#define KEEP_ALIVE_MS 60000         /* between pulls without a free slot */
#define LOOK_MS 1000                /* for a free slot */
#define POST_TRIES 3

struct post {
        LIST_ENTRY(post) link;
        struct worker_poll *of;
        struct iicp_buf body;       /* wiped */
        struct fetch *fetch;
        struct timer again;
        unsigned tries;
};
LIST_HEAD(posts, post);

struct worker_poll {
        struct worker_session base;
        struct node *node;
        char url[256];              /* of the endpoint */
        struct iicp_buf body;       /* of the bind; wiped */
        char authorization[TOKEN_MAX + 32];
        struct fetch *ask;          /* bind or unbind */
        struct fetch *pull;
        struct timer timer;         /* the next pull; closing: the end */
        unsigned failures;          /* of pulls in a row */
        uint64_t pulled_ms;
        bool bound, closing, unbinding;
        struct posts posts;
        struct worker_calls calls;
};

static struct worker_poll *self(struct worker_session *s) {
        return (struct worker_poll *) s;
}

static uint64_t now_of(const struct worker_poll *s) {
        return clock_mono_ms(s->node->clock);
}

/* ---- requests ---- */

static struct fetch *request(struct worker_poll *s, const char *method, const char *path, struct iicp_str body,
                             uint64_t timeout_ms, size_t max, fetch_done_fn done, void *arg) {
        const char *headers[5];
        char url[320];
        size_t n = 0;

        headers[n++] = "Accept: application/json";
        headers[n++] = "X-IICP-Version: " IICP_WIRE_VERSION;
        if (body.p)
                headers[n++] = "Content-Type: application/json";
        if (s->authorization[0])
                headers[n++] = s->authorization;
        headers[n] = NULL;
        snprintf(url, sizeof url, "%s%s", s->url, path);
        return fetch_start(s->node->fetch,
                           &(struct fetch_request){
                                   .method = method, .url = url, .headers = headers, .body = body,
                                   .connect_timeout_ms = IICP_RELAY_WAIT_MS, .timeout_ms = timeout_ms, .max_answer = max,
                                   .proxy = s->node->config->network_proxy,
                           },
                           done, arg);
}

/* ---- ends ---- */

static void post_free(struct post *p) {
        LIST_REMOVE(p, link);
        timer_clear(&p->again);
        if (p->fetch)
                fetch_cancel(p->fetch);
        iicp_buf_wipe(&p->body);
        free(p);
}

static void session_free(struct worker_poll *s) {
        LIST_REMOVE(&s->base, link);
        worker_calls_abort(&s->calls);
        timer_clear(&s->timer);
        if (s->ask)
                fetch_cancel(s->ask);
        if (s->pull)
                fetch_cancel(s->pull);
        while (!LIST_EMPTY(&s->posts))
                post_free(LIST_FIRST(&s->posts));
        iicp_buf_wipe(&s->body);
        iicp_wipe(s->authorization, sizeof s->authorization);
        free(s);
}

static void end(struct worker_poll *s, enum worker_outcome o, const char *text) {
        struct relay_worker *w = TAKE_PTR(s->base.worker);

        session_free(s);
        if (w)
                worker_session_ended(w, o, text);
}

/* ---- pulling ---- */

static void pull(struct worker_poll *s);

static void next_pull(struct worker_poll *s) {
        if (s->pull || s->closing || !s->bound)
                return;
        if (corridor_available(s->node->corridor) || now_of(s) - s->pulled_ms >= KEEP_ALIVE_MS)
                pull(s);
        else
                timer_set_ms(&s->timer, LOOK_MS);
}

static void pull_failed(struct worker_poll *s) {
        uint64_t wait_ms = MIN((uint64_t) WORKER_BACKOFF_MS << MIN(s->failures, 5u), (uint64_t) WORKER_BACKOFF_MAX_MS);

        if (s->failures++ == 0)
                worker_session_shaky(s->base.worker, true);
        timer_set_ms(&s->timer, wait_ms);
}

static void take_task(struct worker_poll *s, struct iicp_str body) {
        struct iicp_json doc, id, task;
        struct iicp_relay_call call = {0};
        char call_id[IICP_SESSION_ID_MAX + 1];

        if (iicp_json_scan(body, NULL, NULL, &doc) < 0)
                return;
        id = iicp_json_get(&doc, "call_id");
        task = iicp_json_get(&doc, "task");
        if (iicp_json_copy(&id, call_id, sizeof call_id) < 0 || !call_id[0] || task.type == IICP_JSON_NONE) {
                log_debug("relay_call", "the relay handed out a task that cannot be read: dropped");
                return;
        }
        call.call_id = iicp_str(call_id);
        call.task = task.text;
        worker_call_start(&s->calls, &call);
}

static void on_pulled(void *arg, const struct fetch_answer *a) {
        struct worker_poll *s = arg;

        s->pull = NULL;
        s->pulled_ms = now_of(s);
        if (a->error == FETCH_OK && a->status == 401) {
                end(s, WORKER_LOST, "it does not know the session any more");
                return;
        }
        if (a->error != FETCH_OK || (a->status != 200 && a->status != 204)) {
                pull_failed(s);
                return;
        }
        if (s->failures > 0)
                worker_session_shaky(s->base.worker, false);
        s->failures = 0;
        if (a->status == 200)
                take_task(s, a->body);
        next_pull(s);
}

static void pull(struct worker_poll *s) {
        s->pulled_ms = now_of(s);
        s->pull = request(s, "GET", "/v1/relay/pull", IICP_STR_NONE, PULL_MS, PULL_MAX, on_pulled, s);
        if (!s->pull)
                pull_failed(s);
}

static void unbind(struct worker_poll *s);

static void on_time(void *arg) {
        struct worker_poll *s = arg;

        if (s->closing)
                end(s, WORKER_LOST, "");
        else
                next_pull(s);
}

/* ---- results ---- */

static bool post_send(struct post *p);

static void post_over(struct post *p) {
        struct worker_poll *s = p->of;

        post_free(p);
        if (s->closing && LIST_EMPTY(&s->posts))
                unbind(s);
        else
                next_pull(s);
}

static void post_again(void *arg) {
        struct post *p = arg;

        if (!post_send(p))
                post_over(p);
}

static void on_posted(void *arg, const struct fetch_answer *a) {
        struct post *p = arg;
        struct worker_poll *s = p->of;

        p->fetch = NULL;
        if (a->error == FETCH_OK && a->status == 401 && !s->closing) {
                end(s, WORKER_LOST, "it does not know the session any more");
                return;
        }
        if ((a->error != FETCH_OK || a->status >= 500) && ++p->tries < POST_TRIES) {
                timer_set_ms(&p->again, WORKER_BACKOFF_MS);
                return;
        }
        if (a->error != FETCH_OK || a->status >= 300)
                log_debug("relay_result", "the relay did not take a result (%s, status %d)", fetch_error_name(a->error), a->status);
        post_over(p);
}

static bool post_send(struct post *p) {
        p->fetch = request(p->of, "POST", "/v1/relay/result", iicp_buf_str(&p->body), POST_MS, ANSWER_MAX, on_posted, p);
        return p->fetch != NULL;
}

static void on_result(void *arg, const char *call_id, struct iicp_str json) {
        struct worker_poll *s = arg;
        struct post *p = calloc(1, sizeof *p);

        if (!p)
                return;
        p->of = s;
        p->body = (struct iicp_buf){.max = 2 * IICP_BUF_MAX, .secret = true};
        timer_init(&p->again, s->node->loop, post_again, p);
        LIST_INSERT_HEAD(&s->posts, p, link);
        iicp_buf_puts(&p->body, "{\"call_id\":");
        iicp_buf_json_str(&p->body, iicp_str(call_id));
        iicp_buf_puts(&p->body, ",\"result\":");
        iicp_buf_add_str(&p->body, json);
        iicp_buf_puts(&p->body, "}");
        /* From the loop: the caller may be inside of a pull's end. */
        if (p->body.error)
                post_free(p);
        else
                timer_set_ms(&p->again, 0);
}

/* ---- the bind ---- */

static enum worker_outcome refusal_of(const struct fetch_answer *a, char *text, size_t cap) {
        struct iicp_json doc, error, message, code;
        char raw[160] = "";
        bool alive = false;

        text[0] = '\0';
        if (iicp_json_scan(a->body, NULL, NULL, &doc) == 0) {
                error = iicp_json_get(&doc, "error");
                message = iicp_json_get(&error, "message");
                code = iicp_json_get(&error, "code");
                alive = iicp_json_is(&code, "IICP-E038");
                if (iicp_json_copy(&message, raw, sizeof raw) == 0)
                        log_text_cut(iicp_str(raw), text, cap, cap - 1);
        }
        switch (a->status) {
        case 401:
                return strstr(raw, "required") ? WORKER_TICKET_REQUIRED : WORKER_TICKET_INVALID;
        case 409:
                return alive ? WORKER_ALIVE : WORKER_TICKET_REPLAYED;
        case 429:
                return WORKER_RATE_LIMITED;
        case 503:
                return WORKER_FULL;
        default:
                return WORKER_BROKEN;
        }
}

static bool take_token(struct worker_poll *s, struct iicp_str body) {
        struct iicp_json doc, v;
        char token[TOKEN_MAX];
        bool ok;

        if (iicp_json_scan(body, NULL, NULL, &doc) < 0)
                return false;
        v = iicp_json_get(&doc, "session_token");
        ok = iicp_json_copy(&v, token, sizeof token) == 0 && token[0];
        for (const char *p = token; ok && *p; p++)
                ok = *p > ' ' && *p <= '~';
        if (ok)
                snprintf(s->authorization, sizeof s->authorization, "Authorization: Bearer %s", token);
        iicp_wipe(token, sizeof token);
        return ok;
}

static void on_bound(void *arg, const struct fetch_answer *a) {
        struct worker_poll *s = arg;
        char text[128];

        s->ask = NULL;
        iicp_buf_wipe(&s->body);
        if (a->error != FETCH_OK) {
                end(s, WORKER_UNREACHABLE, fetch_error_name(a->error));
        } else if (a->status != 200) {
                enum worker_outcome o = refusal_of(a, text, sizeof text);

                end(s, o, text);
        } else if (!take_token(s, a->body)) {
                end(s, WORKER_BROKEN, "a bind without a session token");
        } else {
                s->bound = true;
                timer_set_ms(&s->timer, 0);
                worker_session_bound(s->base.worker, 0);
        }
}

static void put_bind(struct worker_poll *s, struct iicp_str ticket) {
        struct iicp_buf *b = &s->body;
        char intent[128];
        size_t n;
        const char *const *models = backends_models_to_register(s->node->backends, &n);
        const char *first = worker_intent(s->node, 0, intent);

        iicp_buf_puts(b, "{\"worker_id\":");
        iicp_buf_json_str(b, iicp_str(state_identity(s->node->state)->node_id));
        if (first) {
                iicp_buf_puts(b, ",\"intent\":");
                iicp_buf_json_str(b, iicp_str(first));
        }
        iicp_buf_puts(b, ",\"models\":[");
        for (size_t i = 0; i < n && i < WORKER_MODELS_MAX; i++) {
                iicp_buf_puts(b, i ? "," : "");
                iicp_buf_json_str(b, iicp_str(models[i]));
        }
        iicp_buf_puts(b, "]");
        if (ticket.p) {
                iicp_buf_puts(b, ",\"bind_ticket\":");
                iicp_buf_json_str(b, ticket);
        }
        iicp_buf_puts(b, "}");
}

/* ---- the end ---- */

static void on_unbound(void *arg, const struct fetch_answer *a) {
        struct worker_poll *s = arg;

        (void) a;
        s->ask = NULL;
        end(s, WORKER_LOST, "");
}

static void unbind(struct worker_poll *s) {
        if (s->unbinding)
                return;
        s->unbinding = true;
        s->ask = request(s, "POST", "/v1/relay/unbind", IICP_STR("{}"), WORKER_CLOSE_MS, ANSWER_MAX, on_unbound, s);
        if (!s->ask)
                timer_set_ms(&s->timer, 0);
}

static void on_close(struct worker_session *base) {
        struct worker_poll *s = self(base);

        if (s->closing)
                return;
        s->closing = true;
        if (s->pull)
                fetch_cancel(TAKE_PTR(s->pull));
        timer_set_ms(&s->timer, s->bound ? WORKER_CLOSE_MS : 0);
        if (s->bound && LIST_EMPTY(&s->posts))
                unbind(s);
}

static void on_drop(struct worker_session *base) {
        session_free(self(base));
}

static void on_look(struct worker_session *base) {
        struct worker_poll *s = self(base);

        if (s->failures > 0 && !s->pull && !s->closing)
                timer_set_ms(&s->timer, 0);
}

static const struct worker_session_kind kind = {on_close, on_drop, on_look};

struct worker_session *worker_poll_new(struct relay_worker *w, const struct worker_offer *o) {
        struct worker_poll *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->base = (struct worker_session){.kind = &kind, .worker = w, .plain = strncmp(o->base, "https:", 6) != 0};
        LIST_INSERT_HEAD(&w->sessions, &s->base, link);
        LIST_INIT(&s->posts);
        s->node = w->node;
        snprintf(s->url, sizeof s->url, "%s", o->base);
        s->body = (struct iicp_buf){.secret = true};
        worker_calls_init(&s->calls, w->node, s);
        s->calls.result = on_result;
        if (o->n_addresses > 0)
                s->calls.peer = o->addresses[0];
        s->calls.tls = !s->base.plain;
        timer_init(&s->timer, w->node->loop, on_time, s);
        put_bind(s, o->ticket);
        if (!s->body.error)
                s->ask = request(s, "POST", "/v1/relay/bind", iicp_buf_str(&s->body), BIND_MS, ANSWER_MAX, on_bound, s);
        if (!s->ask) {
                session_free(s);
                return NULL;
        }
        return &s->base;
}
