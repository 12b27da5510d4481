/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel.h"

#include "../node.h"
#include "child.h"
#include "listener.h"
#include "log.h"
#include "pace.h"
#include "util.h"

#include <iicp/json.h>
#include <iicp/uuid.h>
#include <stdio.h>

#define URL_MS 20000             /* from the start of the helper to its URL */
#define VERIFY_MS 30000          /* from the URL to the first good look */
#define VERIFY_STEP_MS 1000
#define LOOK_MS 30000            /* between two looks */
#define LOOK_TIMEOUT_MS 8000
#define LOOK_FAILS 2             /* in a row: built anew */
#define REBUILDS 3               /* in a row without a good look: dead */
#define ANSWER_MAX 65536
#define NAMES_TIMEOUT_MS 5000
#define NAMES_ANSWER_MAX 16384
#define NAMES_FRESH_MS 600000    /* so long a name may be unknown to some */
#define NAMES_URL "https://cloudflare-dns.com/dns-query?type=A&name="

enum pace_what { PACE_TAKE, PACE_END, PACE_LIMITED };

/* Work on the shared files, on the helper thread. */
struct pace_job {
        struct tunnel *tunnel;           /* NULL: given up */
        enum pace_what what;
        struct tunnel_pace pace;
        char *gate, *lock, *cooldown;    /* copies: a reload may replace the configuration */
        double now_s, wait_s;
        enum pace_verdict verdict;
};

struct tunnel {
        struct node *node;
        void (*event)(void *arg, enum tunnel_event e);
        void *event_arg;
        enum tunnel_state state;
        bool given, proved;
        char url[256];
        struct tunnel_child *child, *leaving; /* leaving: told to end */
        struct timer step;               /* the next thing, whatever it is */
        struct timer late;               /* for the URL, or for the first good look */
        struct timer told;               /* an answer that is known at once */
        struct fetch *look, *names;
        struct pace_job *job;
        bool leased;
        tunnel_done_fn done;
        void *done_arg;
        const char *why, *guidance;      /* of the last failure, static */
        unsigned fails, rebuilds, failures;
        uint64_t up_ms, not_before_ms, cooldown_ms; /* clock_mono_ms */
        char last[TUNNEL_LAST_LINES][CHILD_LINE_MAX];
        size_t last_n[TUNNEL_LAST_LINES];
        unsigned n_lines;
        void (*ended)(void *arg);
        void *ended_arg;
};

static void failed(struct tunnel *t, const char *why, const char *guidance);
static void look(struct tunnel *t);
static void rebuild(struct tunnel *t, const char *why);

const char *tunnel_state_name(enum tunnel_state s) {
        static const char *const names[] = {
                [TUNNEL_IS_IDLE] = "not_needed", [TUNNEL_IS_STARTING] = "starting", [TUNNEL_IS_UP] = "in_use",
                [TUNNEL_IS_TWILIGHT] = "twilight", [TUNNEL_IS_RECOVERING] = "recovering", [TUNNEL_IS_DEAD] = "dead",
        };

        return names[s];
}

static uint64_t now_ms(const struct tunnel *t) {
        return clock_mono_ms(t->node->clock);
}

static void set_state(struct tunnel *t, enum tunnel_state s) {
        bool served = tunnel_serves(t);

        t->state = s;
        if (served != tunnel_serves(t))
                t->event(t->event_arg, TUNNEL_CHANGED);
}

/* ---- who waits ---- */

static void answer(struct tunnel *t) {
        tunnel_done_fn fn = TAKE_PTR(t->done);

        timer_clear(&t->told);
        if (fn)
                fn(t->done_arg, t->state == TUNNEL_IS_UP ? t->url : NULL, t->why, t->guidance);
}

static void tell(void *arg) {
        answer(arg);
}

/* ---- the host's pace ---- */

static void job_free(struct pace_job *j) {
        free(j->gate);
        free(j->lock);
        free(j->cooldown);
        free(j);
}

static void pace_work(void *arg) {
        struct pace_job *j = arg;

        if (j->what == PACE_TAKE)
                j->verdict = pace_take(&j->pace, j->now_s, &j->wait_s);
        else
                pace_release(&j->pace);
        if (j->what == PACE_LIMITED)
                pace_limited(&j->pace, j->now_s);
}

static void paced(struct tunnel *t, const struct pace_job *j);

static void pace_done(void *arg) {
        struct pace_job *j = arg;
        struct tunnel *t = j->tunnel;

        if (t) {
                t->job = NULL;
                paced(t, j);
        } else if (j->what == PACE_TAKE && j->verdict == PACE_FREE) {
                pace_release(&j->pace); /* asked for by somebody who is gone */
        }
        job_free(j);
}

/* Of PACE_TAKE the answer is waited for; the others only have to happen. */
static bool pace_ask(struct tunnel *t, enum pace_what what) {
        const struct config *c = t->node->config;
        struct pace_job *j = calloc(1, sizeof *j);

        if (!j)
                return false;
        j->what = what;
        j->now_s = (double) clock_wall_s(t->node->clock);
        j->gate = strdup(c->nat_tunnel_create_file);
        j->lock = strdup(c->nat_tunnel_lock_file);
        j->cooldown = strdup(c->nat_tunnel_cooldown_file);
        j->pace = (struct tunnel_pace){j->gate, j->lock, j->cooldown, (double) c->nat_tunnel_spacing_ms / 1000,
                                       (double) c->nat_tunnel_lease_ms / 1000, (double) c->nat_tunnel_cooldown_ms / 1000};
        if (what == PACE_TAKE)
                t->job = j;
        j->tunnel = what == PACE_TAKE ? t : NULL;
        if (j->gate && j->lock && j->cooldown && loop_block(t->node->loop, pace_work, pace_done, j) == 0)
                return true;
        if (what == PACE_TAKE)
                t->job = NULL;
        job_free(j);
        return false;
}

static void release(struct tunnel *t) {
        if (t->leased)
                pace_ask(t, PACE_END);
        t->leased = false;
}

static uint64_t jitter_ms(const struct tunnel *t) {
        uint64_t n = 0, most = t->node->config->nat_tunnel_jitter_ms;

        if (iicp_random(&n, sizeof n) < 0)
                return 0; /* only neighbours are closer then */
        return most ? n % (most + 1) : 0;
}

/* Not now, and until when. */
static void wait_for(struct tunnel *t, uint64_t ms) {
        t->not_before_ms = now_ms(t) + ms;
        timer_set_ms(&t->step, ms);
}

/* ---- the helper ---- */

static void child_gone(void *arg) {
        struct tunnel *t = arg;
        void (*fn)(void *arg) = TAKE_PTR(t->ended);

        t->leaving = NULL;
        if (fn)
                fn(t->ended_arg);
}

static void drop_child(struct tunnel *t) {
        if (!t->child)
                return;
        tunnel_child_kill(t->leaving); /* the one before had its time */
        t->leaving = TAKE_PTR(t->child);
        tunnel_child_stop(t->leaving, child_gone, t);
}

static bool provider_limits(const struct tunnel *t) {
        for (unsigned i = 0; i < MIN(t->n_lines, (unsigned) TUNNEL_LAST_LINES); i++)
                if (tunnel_limited_in((struct iicp_str){t->last[i], t->last_n[i]}))
                        return true;
        return false;
}

static void start_failed(struct tunnel *t, const char *why) {
        if (provider_limits(t)) {
                uint64_t ms = t->node->config->nat_tunnel_cooldown_ms;

                t->cooldown_ms = now_ms(t) + ms;
                pace_ask(t, PACE_LIMITED);
                t->leased = false;
                log_warn("tunnel_limited", "the tunnel's provider limits this host: no new tunnel for %llu s",
                         (unsigned long long) ms / 1000);
                failed(t, "the provider limits this host", "tunnel_cooldown");
                return;
        }
        release(t);
        failed(t, why, NULL);
}

static void on_line(void *arg, const char *text, size_t n) {
        struct tunnel *t = arg;
        unsigned i = t->n_lines++ % TUNNEL_LAST_LINES;
        char url[TUNNEL_URL_MAX];

        memcpy(t->last[i], text, n);
        t->last_n[i] = n;
        if (t->url[0] || !tunnel_url_in((struct iicp_str){text, n}, url))
                return;
        snprintf(t->url, sizeof t->url, "%s", url);
        release(t);
        timer_set_ms(&t->late, VERIFY_MS);
        look(t);
}

static void on_ended(void *arg) {
        struct tunnel *t = arg;

        t->child = NULL;
        if (t->proved)
                rebuild(t, "cloudflared has ended");
        else
                start_failed(t, "cloudflared has ended");
}

static void start_child(struct tunnel *t) {
        char program[4096];

        t->url[0] = '\0';
        t->proved = false;
        t->n_lines = 0;
        if (!tunnel_child_find(t->node->config->nat_tunnel_program, program, sizeof program)) {
                release(t);
                failed(t, "cloudflared is not installed", "tunnel_not_installed");
                return;
        }
        t->child = tunnel_child_start(t->node->loop, program, listener_port(t->node->listener), on_line, on_ended, t);
        if (!t->child) {
                start_failed(t, "cloudflared cannot be started");
                return;
        }
        log_notice("tunnel_start", "cloudflared is started: callers may come through its provider, who sees what is not "
                                   "encrypted (nat.tunnel)");
        timer_set_ms(&t->late, URL_MS);
}

static void paced(struct tunnel *t, const struct pace_job *j) {
        uint64_t ms = (uint64_t) (j->wait_s * 1000) + 1 + jitter_ms(t);

        if (j->verdict == PACE_FREE) {
                t->leased = true;
                t->cooldown_ms = 0;
                start_child(t);
                return;
        }
        if (j->verdict == PACE_COOLDOWN)
                t->cooldown_ms = now_ms(t) + ms;
        log_info("tunnel_waits", "no tunnel is asked for now: %s, %llu s",
                 j->verdict == PACE_COOLDOWN  ? "the provider's limit holds"
                 : j->verdict == PACE_SPACING ? "this host asked for one a moment ago"
                                              : "another node of this host asks for one",
                 (unsigned long long) ms / 1000);
        wait_for(t, ms);
        if (t->state == TUNNEL_IS_RECOVERING)
                return;
        t->why = "not before the host's pace allows it";
        t->guidance = "tunnel_cooldown";
        set_state(t, TUNNEL_IS_DEAD);
        answer(t);
}

static void build(struct tunnel *t) {
        char program[4096];

        drop_child(t);
        /* What is not there must not use up the pace of others. */
        if (!tunnel_child_find(t->node->config->nat_tunnel_program, program, sizeof program))
                failed(t, "cloudflared is not installed", "tunnel_not_installed");
        else if (!pace_ask(t, PACE_TAKE))
                failed(t, "no memory", NULL);
}

/* ---- looking through it ---- */

static void stop_looking(struct tunnel *t) {
        if (t->look)
                fetch_cancel(TAKE_PTR(t->look));
        if (t->names)
                fetch_cancel(TAKE_PTR(t->names));
}

static void good(struct tunnel *t) {
        bool moved = t->state == TUNNEL_IS_RECOVERING, first = !t->proved;

        t->proved = true;
        t->not_before_ms = 0;
        t->fails = t->rebuilds = t->failures = 0;
        timer_clear(&t->late);
        timer_set_ms(&t->step, LOOK_MS);
        set_state(t, TUNNEL_IS_UP);
        if (first)
                t->up_ms = now_ms(t);
        if (first)
                log_notice("tunnel_up", "our health came back through the %s: it can be published",
                           t->given ? "given tunnel" : "new tunnel");
        if (moved)
                t->event(t->event_arg, TUNNEL_MOVED);
        answer(t);
}

static void rebuild(struct tunnel *t, const char *why) {
        if (t->given || t->rebuilds >= REBUILDS) {
                failed(t, why, NULL);
                return;
        }
        stop_looking(t);
        timer_clear(&t->step);
        t->rebuilds++;
        t->url[0] = '\0';
        t->proved = false;
        log_warn("tunnel_rebuild", "the tunnel is lost (%s): it is built anew, try %u of %u", why, t->rebuilds, REBUILDS);
        set_state(t, TUNNEL_IS_RECOVERING);
        build(t);
}

static void bad(struct tunnel *t) {
        if (!t->proved) { /* until VERIFY_MS are over */
                timer_set_ms(&t->step, VERIFY_STEP_MS);
                return;
        }
        if (++t->fails >= LOOK_FAILS) {
                rebuild(t, "no answer of ours comes through it");
                return;
        }
        set_state(t, TUNNEL_IS_TWILIGHT);
        timer_set_ms(&t->step, LOOK_MS);
}

/* Names that are a few seconds old are not known everywhere: no fault of the tunnel. */
static void names_answered(void *arg, const struct fetch_answer *a) {
        struct tunnel *t = arg;
        struct iicp_json doc, list, one;
        struct iicp_json_iter it;
        bool known = false;

        t->names = NULL;
        if (a->error == FETCH_OK && a->status == 200 && iicp_json_scan(a->body, NULL, NULL, &doc) == 0 &&
            (list = iicp_json_get(&doc, "Answer")).type == IICP_JSON_ARRAY) {
                iicp_json_iter_init(&it, &list);
                known = iicp_json_next(&it, NULL, &one);
        }
        if (known && t->proved)
                timer_set_ms(&t->step, LOOK_MS);
        else
                bad(t);
}

static bool ask_names(struct tunnel *t) {
        static const char *const headers[] = {"Accept: application/dns-json", NULL};
        char url[sizeof NAMES_URL + TUNNEL_URL_MAX];
        struct fetch_request q = {.method = "GET", .url = url, .headers = headers, .connect_timeout_ms = NAMES_TIMEOUT_MS,
                                  .timeout_ms = NAMES_TIMEOUT_MS, .max_answer = NAMES_ANSWER_MAX};

        if (t->given || now_ms(t) - t->up_ms > NAMES_FRESH_MS)
                return false;
        snprintf(url, sizeof url, NAMES_URL "%.*s", TUNNEL_URL_MAX - 1, t->url + strlen("https://"));
        t->names = fetch_start(t->node->fetch, &q, names_answered, t);
        return t->names != NULL;
}

static bool is_ours(const struct tunnel *t, const struct fetch_answer *a) {
        struct iicp_json doc, id;

        if (a->error != FETCH_OK || a->status != 200 || iicp_json_scan(a->body, NULL, NULL, &doc) < 0 ||
            doc.type != IICP_JSON_OBJECT)
                return false;
        id = iicp_json_get(&doc, "node_id");
        return id.type == IICP_JSON_STRING && iicp_json_is(&id, state_identity(t->node->state)->node_id);
}

static void looked(void *arg, const struct fetch_answer *a) {
        struct tunnel *t = arg;

        t->look = NULL;
        if (is_ours(t, a))
                good(t);
        else if (a->error != FETCH_UNREACHABLE || !t->proved || !ask_names(t))
                bad(t);
}

static void look(struct tunnel *t) {
        char health[sizeof t->url + 16];
        struct fetch_request q = {.method = "GET", .url = health, .connect_timeout_ms = LOOK_TIMEOUT_MS,
                                  .timeout_ms = LOOK_TIMEOUT_MS, .max_answer = ANSWER_MAX};
        size_t n = strlen(t->url);

        if (t->look || t->names)
                return;
        snprintf(health, sizeof health, "%.*s/iicp/health", (int) (n && t->url[n - 1] == '/' ? n - 1 : n), t->url);
        t->look = fetch_start(t->node->fetch, &q, looked, t);
        if (!t->look)
                bad(t);
}

/* ---- timers ---- */

static void step_due(void *arg) {
        struct tunnel *t = arg;

        if (t->state == TUNNEL_IS_DEAD)
                t->event(t->event_arg, TUNNEL_RETRY);
        else if (!t->given && !t->child && !t->job && (t->state == TUNNEL_IS_STARTING || t->state == TUNNEL_IS_RECOVERING))
                build(t);
        else if (t->url[0])
                look(t);
}

static void too_late(void *arg) {
        struct tunnel *t = arg;

        stop_looking(t);
        if (t->given)
                failed(t, "no answer with our id came through it", NULL);
        else
                start_failed(t, t->url[0] ? "no answer with our id came through it" : "cloudflared named no URL");
}

/* ---- the end of a try ---- */

static void failed(struct tunnel *t, const char *why, const char *guidance) {
        bool was_used = t->state == TUNNEL_IS_UP || t->state == TUNNEL_IS_TWILIGHT || t->state == TUNNEL_IS_RECOVERING;

        /* A tunnel that worked is built anew a few times before it is given up. */
        if (t->state == TUNNEL_IS_RECOVERING && !t->given && t->rebuilds < REBUILDS && !guidance) {
                stop_looking(t);
                timer_clear(&t->late);
                rebuild(t, why);
                return;
        }
        stop_looking(t);
        timer_clear(&t->late);
        drop_child(t);
        t->url[0] = '\0';
        t->proved = false;
        t->why = why;
        t->guidance = guidance;
        t->failures++;
        set_state(t, TUNNEL_IS_DEAD);
        if (t->cooldown_ms > now_ms(t))
                wait_for(t, t->cooldown_ms - now_ms(t) + jitter_ms(t));
        else
                wait_for(t, (uint64_t) tunnel_retry_s(t->failures) * 1000);
        if (was_used || !t->done)
                log_warn("tunnel_dead", "the tunnel is dead: %s; iicpctl netcheck", why);
        answer(t);
        if (was_used)
                t->event(t->event_arg, TUNNEL_LOST);
}

/* ---- from outside ---- */

void tunnel_given(struct tunnel *t, const char *url, tunnel_done_fn fn, void *arg) {
        t->done = fn;
        t->done_arg = arg;
        if (t->given && t->state == TUNNEL_IS_UP && strcmp(t->url, url) == 0) {
                timer_set_ms(&t->told, 0);
                return;
        }
        tunnel_end(t, NULL, NULL);
        t->done = fn;
        t->given = true;
        snprintf(t->url, sizeof t->url, "%s", url);
        t->state = TUNNEL_IS_STARTING;
        timer_set_ms(&t->late, VERIFY_MS);
        timer_set_ms(&t->step, 0);
}

void tunnel_quick(struct tunnel *t, tunnel_done_fn fn, void *arg) {
        t->done = fn;
        t->done_arg = arg;
        if (!t->given && (t->state == TUNNEL_IS_UP ||
                          ((t->state == TUNNEL_IS_DEAD || t->state == TUNNEL_IS_IDLE) && now_ms(t) < t->not_before_ms))) {
                timer_set_ms(&t->told, 0);
                return;
        }
        if (!t->given && (t->state == TUNNEL_IS_STARTING || t->state == TUNNEL_IS_TWILIGHT || t->state == TUNNEL_IS_RECOVERING))
                return; /* its outcome is ours */
        if (t->given)
                tunnel_end(t, NULL, NULL);
        t->done = fn;
        t->given = false;
        t->url[0] = '\0';
        t->state = TUNNEL_IS_STARTING;
        timer_set_ms(&t->step, 0);
}

void tunnel_cancel(struct tunnel *t) {
        t->done = NULL;
        timer_clear(&t->told);
        /* Nobody waits for what is not there yet. */
        if (t->state == TUNNEL_IS_STARTING)
                tunnel_end(t, NULL, NULL);
}

static void forget_job(struct tunnel *t) {
        struct pace_job *j = TAKE_PTR(t->job);

        if (j)
                j->tunnel = NULL;
}

void tunnel_end(struct tunnel *t, void (*fn)(void *arg), void *arg) {
        forget_job(t);
        release(t);
        drop_child(t);
        stop_looking(t);
        timer_clear(&t->step);
        timer_clear(&t->late);
        timer_clear(&t->told);
        t->done = NULL;
        t->url[0] = '\0';
        t->proved = t->given = false;
        t->fails = t->rebuilds = 0;
        t->state = TUNNEL_IS_IDLE;
        t->ended = t->leaving ? fn : NULL;
        t->ended_arg = arg;
        if (!t->leaving && fn)
                fn(arg);
}

/* ---- life and views ---- */

struct tunnel *tunnel_new(struct node *node, void (*event)(void *arg, enum tunnel_event e), void *arg) {
        struct tunnel *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->node = node;
        t->event = event;
        t->event_arg = arg;
        timer_init(&t->step, node->loop, step_due, t);
        timer_init(&t->late, node->loop, too_late, t);
        timer_init(&t->told, node->loop, tell, t);
        return t;
}

struct tunnel *tunnel_free(struct tunnel *t) {
        if (!t)
                return NULL;
        forget_job(t);
        stop_looking(t);
        timer_clear(&t->step);
        timer_clear(&t->late);
        timer_clear(&t->told);
        tunnel_child_kill(t->child);
        tunnel_child_kill(t->leaving);
        free(t);
        return NULL;
}

enum tunnel_state tunnel_state(const struct tunnel *t) {
        return t->state;
}

bool tunnel_serves(const struct tunnel *t) {
        return t->state == TUNNEL_IS_UP;
}

const char *tunnel_url(const struct tunnel *t) {
        return t->proved ? t->url : "";
}

bool tunnel_failed(const struct tunnel *t, uint64_t *ret_wait_ms) {
        *ret_wait_ms = t->not_before_ms > now_ms(t) ? t->not_before_ms - now_ms(t) : 0;
        return t->state == TUNNEL_IS_DEAD && t->failures > 0;
}

uint64_t tunnel_cooldown_ms(const struct tunnel *t) {
        return t->cooldown_ms > now_ms(t) ? t->cooldown_ms - now_ms(t) : 0;
}

void tunnel_json(const struct tunnel *t, struct iicp_buf *out) {
        iicp_buf_printf(out, "{\"state\":\"%s\",\"rebuilds\":%u", tunnel_state_name(t->state), t->rebuilds);
        if (t->state == TUNNEL_IS_DEAD)
                iicp_buf_printf(out, ",\"why\":\"%s\",\"next_try_s\":%llu", t->why,
                                (unsigned long long) (t->not_before_ms > now_ms(t) ? (t->not_before_ms - now_ms(t)) / 1000 : 0));
        if (tunnel_cooldown_ms(t))
                iicp_buf_printf(out, ",\"cooldown_s\":%llu", (unsigned long long) tunnel_cooldown_ms(t) / 1000);
        iicp_buf_puts(out, "}");
}
