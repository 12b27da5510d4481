/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble.h"
#include "internal.h"
#include "../log.h"
#include "../node.h"
#include "util.h"

#include <errno.h>
#include <iicp/uuid.h>

/* One backend: its calls, and what contact with the server teaches. [02 sections 10.5, 10.6] */

#define AUTH_LOG_MS 600000

uint64_t backend_now_ms(const struct backend *b) {
        return clock_mono_ms(b->node->clock);
}

const char *backend_name(const struct backend *b) {
        return b->name;
}

const char *flavour_name(enum flavour f) {
        static const char *const names[] = {
                [FLAVOUR_UNKNOWN] = "custom", [FLAVOUR_CUSTOM] = "custom",     [FLAVOUR_OLLAMA] = "ollama",
                [FLAVOUR_VLLM] = "vllm",      [FLAVOUR_LLAMACPP] = "llamacpp", [FLAVOUR_LMSTUDIO] = "lmstudio",
                [FLAVOUR_MESHLLM] = "meshllm", [FLAVOUR_ANTHROPIC] = "anthropic",
        };

        return names[f];
}

bool backend_is_llamacpp(const struct backend *b) {
        return b->flavour == FLAVOUR_LLAMACPP || b->says_llamacpp;
}

struct iicp_str backend_model(const struct backend *b) {
        if (b->registered && b->registered->n)
                return iicp_str(b->registered->v[0].name);
        return b->configured ? iicp_str(b->configured) : IICP_STR_NONE;
}

bool backend_has_model(const struct backend *b, struct iicp_str model) {
        return !model.p || model_list_find(b->registered, model) || (b->mesh && iicp_str_is(model, MESH_MODEL));
}

/* llama.cpp does not refuse, it stalls: never more at once than it has slots, and one until it told
 * how many. [02 section 10.10 rule 5] */
unsigned backend_slots(const struct backend *b) {
        unsigned n = b->slots_configured ? b->slots_configured : b->node->config->max_concurrent;
        bool maybe_llamacpp = backend_is_llamacpp(b) || b->flavour == FLAVOUR_UNKNOWN;

        if (b->slots_server)
                return MIN(n, b->slots_server);
        return maybe_llamacpp && !b->slots_known ? MIN(n, 1u) : n;
}

int backends_span(struct backends *s, const struct iicp_trace *of, struct iicp_trace *ret) {
        static const char digits[] = "0123456789abcdef";
        const unsigned char *id;

        if (s->n_random == 0) {
                if (iicp_random(s->random, sizeof s->random) < 0)
                        return -EIO;
                s->n_random = SPANS_AT_ONCE;
        }
        id = s->random[--s->n_random];
        *ret = *of;
        for (size_t i = 0; i < sizeof s->random[0]; i++) {
                ret->span_id[2 * i] = digits[id[i] >> 4];
                ret->span_id[2 * i + 1] = digits[id[i] & 15];
        }
        /* All zero is no id: once in 2^64. */
        return strspn(ret->span_id, "0") == 16 ? iicp_trace_child(of, ret) : 0;
}

/* ---- contact ---- */

static void say_up(struct backend *b, uint64_t now_ms) {
        uint64_t s = (now_ms - b->down_ms) / 1000;

        log_event(LOG_L_NOTICE, "backend_up", &(struct log_fields){.subject = b->name, .backend = b->name},
                  "backend '%s' answers again after %llu %s", b->name,
                  (unsigned long long) (s < 120 ? s : s / 60), s < 120 ? "s" : "m");
}

void backend_reached(struct backend *b) {
        b->last_ok_ms = backend_now_ms(b);
        b->unreachable_row = b->list_failed_row = b->contact_failed_row = 0;
        b->failure = NULL;
        if (b->down) {
                b->down = false;
                say_up(b, b->last_ok_ms);
        }
}

void backend_unreached(struct backend *b, const char *how, bool task) {
        uint64_t now_ms = backend_now_ms(b);

        b->contact_failed_row++;
        b->failure = how;
        if (task)
                b->unreachable_row++;
        else
                b->list_failed_row++;
        if (b->unreachable_row < FAILURES_TO_DRAIN && b->list_failed_row < LIST_FAILURES_TO_DRAIN)
                return;
        stability_observe(&b->stability, STATE_DRAINING, "backend_unstable", DRAIN_UNSTABLE_S, now_ms);
        if (!b->down) {
                b->down = true;
                b->down_ms = now_ms;
                log_event(LOG_L_WARN, "backend_down",
                          &(struct log_fields){.subject = b->name, .backend = b->name, .reason = how},
                          "backend '%s' failed %u times in a row (%s): the mesh is told available=no; iicpctl backends",
                          b->name, MAX(b->unreachable_row, b->list_failed_row), how);
        }
        backends_check(b->set);
}

void backend_loading(struct backend *b) {
        uint64_t now_ms = backend_now_ms(b);

        if (!stability_draining(&b->stability, now_ms))
                log_event(LOG_L_NOTICE, "backend_draining",
                          &(struct log_fields){.subject = b->name, .backend = b->name, .reason = "backend_loading"},
                          "backend '%s' is loading a model: paused for %d s", b->name, DRAIN_LOADING_S);
        stability_observe(&b->stability, STATE_DRAINING, "backend_loading", DRAIN_LOADING_S, now_ms);
        backends_check(b->set);
}

void backend_key_rejected(struct backend *b, int status) {
        uint64_t now_ms = backend_now_ms(b);

        if (b->auth_failed && now_ms - b->auth_logged_ms < AUTH_LOG_MS)
                return;
        b->auth_failed = true;
        b->auth_logged_ms = now_ms;
        log_event(LOG_L_ERR, "backend_auth", &(struct log_fields){.subject = b->name, .backend = b->name},
                  "backend '%s' rejects our key (%d): check backend.api_key", b->name, status);
}

/* ---- calls ---- */

static void call_free(struct backend_call *c) {
        struct backend *b = c->backend;

        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        b->busy--;
        timer_clear(&c->timer);
        assemble_free(c->assemble);
        flow_clear(&c->flow);
        iicp_buf_wipe(&c->body);
        iicp_buf_wipe(&c->made);
        free(c);
}

struct backend_call *backend_call_start(struct backend *b, const struct backend_task *t,
                                        backend_done_fn done, void *arg) {
        struct backend_call *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        c->backend = b;
        c->done = done;
        c->arg = arg;
        c->intent = t->intent;
        flow_init(c, t);
        c->next = b->calls;
        c->link = &b->calls;
        if (c->next)
                c->next->link = &c->next;
        b->calls = c;
        b->busy++;
        if (!b->dialect->start(c, t)) {
                call_free(c);
                return NULL;
        }
        return c;
}

void backend_call_end(struct backend_call *c, const struct backend_answer *a) {
        struct backend_answer answer = *a;
        struct backend *b = c->backend;

        answer.retry_elsewhere = a->retry_elsewhere && !c->flow.given;
        /* Another backend will say it anew. */
        if (!answer.retry_elsewhere && !backend_call_flush(c))
                return;
        /* The slot is free before anyone hears of it: done() may start the next task. */
        b->busy--;
        c->done(c->arg, &answer);
        b->busy++;
        call_free(c);
}

void backend_call_cancel(struct backend_call *c) {
        if (!c)
                return;
        if (c->flow.giving) {
                c->flow.cancelled = true; /* it ends when on_text returns */
                return;
        }
        c->backend->dialect->stop(c);
        call_free(c);
}

const struct iicp_trace *backend_call_span(const struct backend_call *c) {
        return c->span.trace_id[0] ? &c->span : NULL;
}

bool backend_streams(const struct backend *b, const struct iicp_intent *intent) {
        return b->dialect->streams && intent->streams;
}
