/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_internal.h"

#include "log.h"
#include "reach/routes.h"
#include "util.h"

#include <iicp/bind_ticket.h>
#include <iicp/uuid.h>
#include <stdio.h>

/* The state machine: choose, ticket, name, session, proof; and after an end what worker_core says. */

#define HURRY_MS 500 /* at most: not all workers of a network in the same moment */

static uint64_t now_of(const struct relay_worker *w) {
        return clock_mono_ms(w->node->clock);
}

static uint8_t random_byte(void) {
        uint8_t b;

        return iicp_random(&b, 1) < 0 ? 128 : b;
}

bool worker_fixed(const struct node *n) {
        const char *relay = n->config->relay_worker;

        return strcmp(relay, "auto") != 0 && strcmp(relay, "no") != 0;
}

bool worker_off(const struct node *n) {
        return strcmp(n->config->relay_worker, "no") == 0;
}

/* ---- whoever waits for the outcome ---- */

static void tell(struct relay_worker *w, bool ok) {
        void (*fn)(void *arg, bool ok) = w->seek_fn;

        w->seek_fn = NULL;
        if (fn)
                fn(w->seek_arg, ok);
}

static void tell_bound(void *arg) {
        struct relay_worker *w = arg;

        tell(w, worker_bound(w));
}

/* ---- one attempt ---- */

static void attempt(struct relay_worker *w);

static const char *relay_name(const struct relay_worker *w) {
        return w->relay.node_id[0] ? w->relay.node_id : w->host;
}

static bool may_poll(const struct relay_worker *w, const char *base) {
        return w->node->config->relay_worker_plaintext || strncmp(base, "https:", 6) == 0;
}

static void start_session(struct relay_worker *w) {
        struct worker_offer o = {
                .addresses = w->addresses, .n_addresses = w->n_addresses, .host = w->host, .base = w->relay.base,
                .ticket = w->ticket.n ? iicp_buf_str(&w->ticket) : IICP_STR_NONE,
        };

        w->state = WORKER_CONNECTING;
        w->session = w->core.polling ? worker_poll_new(w, &o) : worker_native_new(w, &o);
        iicp_buf_wipe(&w->ticket);
        if (!w->session)
                worker_session_ended(w, WORKER_BROKEN, "no memory");
}

/* A relay that the operator chose may be anywhere; one that others named must not lead inside. */
static bool allowed(const struct relay_worker *w, const struct sockaddr_storage *a) {
        return w->core.fixed || w->node->config->allow_private ||
               iicp_endpoint_addr_allowed((const struct sockaddr *) a, IICP_ENDPOINT_DIAL) == 0;
}

static void on_resolved(void *arg, const struct sockaddr_storage *addresses, unsigned n) {
        struct relay_worker *w = arg;

        w->resolve = NULL;
        w->n_addresses = 0;
        for (unsigned i = 0; i < n; i++)
                if (allowed(w, &addresses[i]))
                        w->addresses[w->n_addresses++] = addresses[i];
        if (w->n_addresses > 0)
                start_session(w);
        else if (n > 0)
                worker_session_ended(w, WORKER_BROKEN, "its name leads to an address that is not public");
        else {
                w->core.polling = true; /* nothing else would be reached under that name */
                worker_session_ended(w, WORKER_UNREACHABLE, "its name is not known");
        }
}

static void look_up(struct relay_worker *w) {
        w->state = WORKER_CONNECTING;
        w->resolve = resolve_start(w->node->loop, w->host, w->port, on_resolved, w);
        if (!w->resolve)
                worker_session_ended(w, WORKER_BROKEN, "no memory");
}

static void take_ticket(struct relay_worker *w, const struct fetch_answer *a) {
        struct iicp_json doc, v;
        char text[WORKER_TICKET_MAX];

        if (a->error != FETCH_OK || a->status != 201 || iicp_json_scan(a->body, NULL, NULL, &doc) < 0) {
                log_debug("relay_ticket", "no ticket of the directory (status %d): binding without one", a->status);
                return;
        }
        v = iicp_json_get(&doc, "ticket");
        if (iicp_json_copy(&v, text, sizeof text) == 0 && iicp_bind_ticket_usable(iicp_str(text)))
                iicp_buf_puts(&w->ticket, text);
        else
                log_info("relay_ticket", "the directory's ticket is of a form that relays refuse (no usable jti): binding without one");
        iicp_wipe(text, sizeof text);
}

static void on_ticket(void *arg, const struct fetch_answer *a) {
        struct relay_worker *w = arg;

        w->asking = NULL;
        take_ticket(w, a);
        look_up(w);
}

/* A fresh one for each bind, with the token as it is now. */
static bool ask_ticket(struct relay_worker *w) {
        iicp_buf_wipe(&w->ticket);
        iicp_buf_free(&w->ask_body);
        w->ask_body = (struct iicp_buf){0};
        w->ticket = (struct iicp_buf){.secret = true};
        if (w->relay.node_id[0] && !w->core.audience_any) {
                iicp_buf_puts(&w->ask_body, "{\"relay_node_id\":");
                iicp_buf_json_str(&w->ask_body, iicp_str(w->relay.node_id));
                iicp_buf_puts(&w->ask_body, "}");
        } else
                iicp_buf_puts(&w->ask_body, "{}");
        if (w->ask_body.error)
                return false;
        w->asking = directory_relay_ticket(w->node->directory, iicp_buf_str(&w->ask_body), on_ticket, w);
        return w->asking != NULL;
}

static void attempt(struct relay_worker *w) {
        w->state = WORKER_TICKET;
        if (!ask_ticket(w))
                look_up(w);
}

static void try_elected(struct relay_worker *w, const struct iicp_relay *r) {
        w->relay = *r;
        snprintf(w->host, sizeof w->host, "%s", r->url.host);
        w->port = r->port;
        worker_core_begin(&w->core, false, may_poll(w, r->base), w->node->config->relay_any_audience);
        attempt(w);
}

/* One that is given by its URL is polled and nothing else: its port may be anybody's. */
static bool try_url(struct relay_worker *w) {
        struct iicp_url url;
        size_t n = strlen(w->as_configured);

        if (!strstr(w->as_configured, "://") || iicp_url_parse(iicp_str(w->as_configured), &url) < 0)
                return false;
        snprintf(w->relay.base, sizeof w->relay.base, "%.*s", (int) (w->as_configured[n - 1] == '/' ? n - 1 : n), w->as_configured);
        memcpy(w->host, url.host, sizeof w->host);
        w->port = url.port;
        worker_core_begin(&w->core, true, true, w->node->config->relay_any_audience);
        w->core.polling = w->core.poll_only = true;
        attempt(w);
        return true;
}

static void try_fixed(struct relay_worker *w) {
        struct iicp_relay_route guess;
        bool base;

        w->relay = (struct iicp_relay){.reputation = -1};
        snprintf(w->as_configured, sizeof w->as_configured, "%s", w->node->config->relay_worker);
        if (try_url(w))
                return;
        if (iicp_relay_host_parse(iicp_str(w->node->config->relay_worker), w->host, &w->port) < 0) {
                w->state = WORKER_IDLE; /* the table lets nothing of that kind through */
                tell(w, false);
                return;
        }
        base = iicp_relay_route(NULL, w->host, 0, "-", &guess) == 0;
        if (base)
                snprintf(w->relay.base, sizeof w->relay.base, "%s", guess.base);
        worker_core_begin(&w->core, true, base && may_poll(w, guess.base), w->node->config->relay_any_audience);
        attempt(w);
}

/* ---- after the choice ---- */

static void nothing_left(struct relay_worker *w) {
        w->state = WORKER_IDLE;
        w->why = w->asked_in_vain ? "the directory could not be asked for relays" : w->n_candidates ? "no relay that can be used" : "no relay is known to the directory";
        if (w->seek_fn)
                tell(w, false);
        else
                routes_relay_gone(w->node->routes);
}

void worker_chosen(struct relay_worker *w) {
        const struct iicp_relay *r = worker_best(w);

        if (r)
                try_elected(w, r);
        else
                nothing_left(w);
}

static void begin(struct relay_worker *w) {
        if (worker_fixed(w->node))
                try_fixed(w);
        else
                worker_choose(w);
}

/* ---- bound ---- */

static void say_bound(const struct relay_worker *w) {
        struct log_fields f = {.subject = relay_name(w)};
        char reputation[32] = "unrated";

        if (w->core.fixed)
                log_event(LOG_L_NOTICE, "relay_bound", &f, "reached through relay %s, the one of relay.worker: it can read tasks that are not encrypted",
                          w->host);
        else {
                if (w->relay.reputation >= 0)
                        snprintf(reputation, sizeof reputation, "reputation %.2f", w->relay.reputation);
                log_event(LOG_L_NOTICE, "relay_bound", &f, "reached through relay %s (%s): it can read tasks that are not encrypted",
                          w->relay.node_id, reputation);
        }
        if (w->session && w->session->plain)
                log_event(LOG_L_WARN, "relay_plain", &f, "the session to relay %s is in clear: others on the way can read it, too; "
                          "relay.worker_plaintext = no forbids that", relay_name(w));
}

static void now_bound(struct relay_worker *w) {
        w->state = WORKER_BOUND;
        w->route = w->proving;
        w->has_route = true;
        w->polls = w->core.polling;
        w->down = false;
        w->bound_ms = now_of(w);
        w->binds++;
        timer_clear(&w->ride_out);
        worker_core_bound(&w->core);
        say_bound(w);
        if (w->seek_fn)
                tell(w, true);
        else
                routes_relay_up(w->node->routes);
}

static void drop_session(struct relay_worker *w) {
        struct worker_session *s = TAKE_PTR(w->session);

        if (!s)
                return;
        s->kind->drop(s);
}

static void on_health(void *arg, const struct fetch_answer *a) {
        struct relay_worker *w = arg;
        struct iicp_json doc, id;

        w->health = NULL;
        if (a->error == FETCH_OK && a->status == 200 && iicp_json_scan(a->body, NULL, NULL, &doc) == 0) {
                id = iicp_json_get(&doc, "node_id");
                if (iicp_json_is(&id, state_identity(w->node->state)->node_id)) {
                        now_bound(w);
                        return;
                }
        }
        drop_session(w);
        worker_session_ended(w, WORKER_BROKEN, "bound, but our health does not come back through it");
}

void worker_session_bound(struct relay_worker *w, unsigned http_port) {
        const char *base = w->core.fixed && !w->core.polling ? NULL : w->relay.base;
        char url[640];

        w->state = WORKER_PROVING;
        if (iicp_relay_route(base, w->host, http_port, state_identity(w->node->state)->node_id, &w->proving) == 0) {
                snprintf(url, sizeof url, "%s/iicp/health", w->proving.endpoint);
                w->health = fetch_start(w->node->fetch,
                                        &(struct fetch_request){.method = "GET", .url = url, .connect_timeout_ms = WORKER_HEALTH_MS,
                                                                .timeout_ms = WORKER_HEALTH_MS, .max_answer = WORKER_HEALTH_BYTES,
                                                                .proxy = w->node->config->network_proxy},
                                        on_health, w);
        }
        if (!w->health)
                timer_set_ms(&w->fault, 0); /* from the loop: the session is inside of telling us */
}

static void on_fault(void *arg) {
        struct relay_worker *w = arg;

        drop_session(w);
        worker_session_ended(w, WORKER_BROKEN, "its address makes no endpoint");
}

/* ---- ends ---- */

static void say_ended(struct relay_worker *w, bool lost, enum worker_outcome o, const char *text) {
        struct log_fields f = {.subject = relay_name(w), .reason = worker_outcome_text(o)};

        if (lost)
                log_event(LOG_L_WARN, "relay_lost", &f, "the session to relay %s ended (%s): trying again", relay_name(w),
                          *text ? text : worker_outcome_text(o));
        else
                log_event(LOG_L_INFO, "relay_failed", &f, "relay %s: %s%s%s%s", relay_name(w), worker_outcome_text(o),
                          *text ? " (" : "", text, *text ? ")" : "");
}

static void on_backoff(void *arg) {
        struct relay_worker *w = arg;

        if (w->state == WORKER_BACKOFF && w->wanted && !w->stopping)
                attempt(w);
}

static void act(struct relay_worker *w, enum worker_outcome o, const struct worker_step *step) {
        const struct iicp_relay *r;
        uint64_t wait_ms;

        switch (step->what) {
        case WORKER_DO_RETRY:
                wait_ms = worker_jitter_ms(step->wait_ms, random_byte());
                w->state = WORKER_BACKOFF;
                w->why = worker_outcome_text(o);
                w->waits_for_rate = o == WORKER_RATE_LIMITED;
                w->retry_ms = now_of(w) + wait_ms;
                w->timer.fn = on_backoff;
                timer_set_ms(&w->timer, wait_ms);
                tell(w, false);
                break;
        case WORKER_DO_TICKET:
                attempt(w);
                break;
        case WORKER_DO_POLL:
                look_up(w);
                break;
        case WORKER_DO_OTHER:
                worker_exclude(w, w->relay.node_id, step->exclude_ms, o);
                r = w->core.bound_before ? NULL : worker_best(w);
                if (r)
                        try_elected(w, r);
                else if (w->core.bound_before)
                        worker_choose(w);
                else
                        nothing_left(w);
                break;
        }
}

void worker_session_ended(struct relay_worker *w, enum worker_outcome o, const char *text) {
        bool lost = w->state == WORKER_BOUND;
        struct worker_step step;

        w->session = NULL;
        timer_clear(&w->fault);
        if (w->health)
                fetch_cancel(TAKE_PTR(w->health));
        if (w->state == WORKER_CLOSING || w->stopping || !w->wanted) {
                w->state = WORKER_IDLE;
                if (w->wanted && !w->stopping)
                        begin(w); /* sought anew while the older one ended */
                else
                        tell(w, false);
                return;
        }
        if (o == WORKER_LOST && !lost)
                o = WORKER_BROKEN;
        w->failures += !lost;
        w->losses += lost;
        say_ended(w, lost, o, text);
        if (lost && !w->down && !timer_armed(&w->ride_out))
                timer_set_ms(&w->ride_out, WORKER_RIDE_OUT_MS);
        worker_core_ended(&w->core, o, &step);
        act(w, o, &step);
}

/* Nobody is told of a loss that is over at once. */
static void on_ride_out(void *arg) {
        struct relay_worker *w = arg;

        if ((w->state == WORKER_BOUND && !w->shaky) || w->down)
                return;
        w->down = true;
        routes_relay_down(w->node->routes);
}

void worker_session_shaky(struct relay_worker *w, bool shaky) {
        w->shaky = shaky;
        if (w->state != WORKER_BOUND)
                return;
        if (shaky && !w->down) {
                timer_set_ms(&w->ride_out, WORKER_RIDE_OUT_MS);
        } else if (!shaky) {
                timer_clear(&w->ride_out);
                if (w->down) {
                        w->down = false;
                        routes_relay_up(w->node->routes);
                }
        }
}

/* ---- for the others ---- */

void worker_seek(struct relay_worker *w, void (*fn)(void *arg, bool ok), void *arg) {
        w->seek_fn = fn;
        w->seek_arg = arg;
        if (w->stopping || worker_off(w->node) || w->state == WORKER_BOUND) {
                timer_set_ms(&w->say, 0);
                return;
        }
        w->wanted = true;
        if (w->state == WORKER_IDLE)
                begin(w);
        else
                worker_hurry(w);
}

void worker_seek_cancel(struct relay_worker *w) {
        w->seek_fn = NULL;
        timer_clear(&w->say);
}

void worker_hurry(struct relay_worker *w) {
        if (w->state == WORKER_BACKOFF && !w->waits_for_rate)
                timer_set_ms(&w->timer, (uint64_t) random_byte() * HURRY_MS / UINT8_MAX);
        else if (w->state == WORKER_BOUND && w->session)
                w->session->kind->look(w->session);
}

static void cancel(struct relay_worker *w) {
        worker_choose_cancel(w);
        w->resolve = resolve_cancel(w->resolve);
        timer_clear(&w->timer);
        timer_clear(&w->ride_out);
        timer_clear(&w->fault);
        if (w->health)
                fetch_cancel(TAKE_PTR(w->health));
}

static void finish(struct relay_worker *w) {
        cancel(w);
        w->state = w->session ? WORKER_CLOSING : WORKER_IDLE;
        if (w->session)
                w->session->kind->close(w->session);
}

void worker_leave(struct relay_worker *w) {
        if (!w->wanted)
                return;
        w->wanted = w->has_route = w->down = w->shaky = false;
        w->why = NULL;
        finish(w);
}

void worker_stop(struct relay_worker *w) {
        if (w->stopping)
                return;
        w->stopping = true;
        finish(w);
}

void worker_reload(struct relay_worker *w) {
        bool fixed = worker_fixed(w->node), same = fixed == w->core.fixed;

        if (fixed)
                same = same && strcmp(w->as_configured, w->node->config->relay_worker) == 0;
        if (!same || worker_off(w->node))
                worker_leave(w);
}

bool worker_stopped(const struct relay_worker *w) {
        return LIST_EMPTY(&w->sessions);
}

static void gauge(void *arg, struct iicp_buf *out) {
        worker_metrics(arg, out);
}

struct relay_worker *worker_new(struct node *node) {
        struct relay_worker *w = calloc(1, sizeof *w);

        if (!w)
                return NULL;
        w->node = node;
        LIST_INIT(&w->sessions);
        w->relay.reputation = -1;
        timer_init(&w->timer, node->loop, on_backoff, w);
        timer_init(&w->ride_out, node->loop, on_ride_out, w);
        timer_init(&w->fault, node->loop, on_fault, w);
        timer_init(&w->say, node->loop, tell_bound, w);
        if (metrics_add_gauges(node->metrics, gauge, w) < 0)
                return worker_free(w);
        return w;
}

struct relay_worker *worker_free(struct relay_worker *w) {
        if (!w)
                return NULL;
        cancel(w);
        timer_clear(&w->say);
        while (!LIST_EMPTY(&w->sessions)) {
                struct worker_session *s = LIST_FIRST(&w->sessions);

                s->kind->drop(s);
        }
        iicp_buf_wipe(&w->ticket);
        iicp_buf_free(&w->ask_body);
        free(w->candidates);
        free(w);
        return NULL;
}
