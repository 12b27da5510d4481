/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include "build-config.h"
#include "fetch.h"
#include "node.h"
#include "util.h"

#include <iicp/endpoint.h>
#include <iicp/json.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MAX 4096 /* bytes */
#define PORT_MIN 1024   /* the directory probes no lower one [01 section 5.12] */

struct verify {
        struct node *node;
        char host[254];
        uint16_t port;
        enum nested nested;
        unsigned noes;                       /* "no" heard for this candidate */
        uint64_t asked_ms[VERIFY_ASKS_MINUTE];
        unsigned n_asked, in_run;            /* asks ever; asks of this run */
        uint64_t began_ms;                   /* of the ask under way */
        struct timer timer;
        struct directory_call *call;
        struct fetch *fetch;                 /* of nat.probe_url */
        void (*done)(void *arg, enum ladder_probe outcome, const char *why);
        void *arg;
};

enum probe_answer probe_read(int status, struct iicp_str body) {
        struct iicp_json doc, said;

        if ((status != 200 && status != 422) || iicp_json_scan(body, NULL, NULL, &doc) < 0)
                return PROBE_SAYS_NOTHING;
        if (status == 422) {
                said = iicp_json_get(&doc, "error");
                return iicp_json_is(&said, "private_address") ? PROBE_SAYS_PRIVATE : PROBE_SAYS_NOTHING;
        }
        said = iicp_json_get(&doc, "reachable");
        return said.type == IICP_JSON_TRUE ? PROBE_SAYS_YES : said.type == IICP_JSON_FALSE ? PROBE_SAYS_NO : PROBE_SAYS_NOTHING;
}

enum ladder_probe verify_judge(enum probe_answer answer, bool witness, enum nested nested, unsigned noes, bool *ret_again) {
        *ret_again = false;
        switch (answer) {
        case PROBE_SAYS_YES:
                if (witness)
                        return PROBE_VERIFIED;
                return nested == NESTED_SINGLE ? PROBE_INDETERMINATE : PROBE_REFUTED;
        case PROBE_SAYS_NO:
                if (witness)
                        return PROBE_INDETERMINATE; /* the answer got lost, the connection did not */
                *ret_again = noes < 2;
                return PROBE_REFUTED;
        case PROBE_SAYS_PRIVATE:
                return PROBE_REFUTED;
        case PROBE_SAYS_NOTHING:
                break;
        }
        return PROBE_INDETERMINATE;
}

static void finish(struct verify *v, enum ladder_probe outcome, const char *why) {
        timer_clear(&v->timer);
        v->done(v->arg, outcome, why);
}

static void ask_again(struct verify *v, uint64_t delay_ms);

static const char *why_of(enum probe_answer a, bool witness) {
        switch (a) {
        case PROBE_SAYS_YES:
                return witness ? "the directory got through" : "somebody answers there, but no connection came here";
        case PROBE_SAYS_NO:
                return witness ? "a connection came, the answer did not get back" : "the directory got no answer there";
        case PROBE_SAYS_PRIVATE:
                return "the directory calls the address private";
        case PROBE_SAYS_NOTHING:
                break;
        }
        return "the directory could not be asked";
}

static void judge(struct verify *v, enum probe_answer answer) {
        bool witness = witness_since(&v->node->witness, v->began_ms), again;
        enum ladder_probe outcome;

        if (answer == PROBE_SAYS_NO)
                v->noes++;
        outcome = verify_judge(answer, witness, v->nested, v->noes, &again);
        if (!again)
                finish(v, outcome, why_of(answer, witness));
        else if (v->in_run < VERIFY_ASKS_RUN)
                ask_again(v, VERIFY_APART_MS);
        else /* one "no" refutes nothing, and this detection has no ask left */
                finish(v, PROBE_INDETERMINATE, "one answer says no, and no second look was left");
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct verify *v = arg;

        v->call = NULL;
        v->fetch = NULL;
        judge(v, a->error == FETCH_OK ? probe_read(a->status, a->body) : PROBE_SAYS_NOTHING);
}

/* The template of nat.probe_url, with {host} and {port}. */
static bool fill_template(const char *template, const char *host, unsigned port, char *out, size_t cap) {
        size_t n = 0;

        for (const char *p = template; *p; p++) {
                int r;

                if (strncmp(p, "{host}", 6) == 0) {
                        r = snprintf(out + n, cap - n, "%s", host);
                        p += 5;
                } else if (strncmp(p, "{port}", 6) == 0) {
                        r = snprintf(out + n, cap - n, "%u", port);
                        p += 5;
                } else
                        r = snprintf(out + n, cap - n, "%c", *p);
                if (r < 0 || (size_t) r >= cap - n)
                        return false;
                n += (size_t) r;
        }
        return true;
}

static bool ask_own_service(struct verify *v) {
        static const char *const headers[] = {"Accept: application/json", "User-Agent: iicpd/" PACKAGE_VERSION, NULL};
        char url[512];
        struct fetch_request r = {
                .method = "GET", .url = url, .headers = headers, .connect_timeout_ms = VERIFY_TIMEOUT_MS,
                .timeout_ms = VERIFY_TIMEOUT_MS, .max_answer = ANSWER_MAX,
        };

        if (!fill_template(v->node->config->nat_probe_url, v->host, v->port, url, sizeof url))
                return false;
        v->fetch = fetch_start(v->node->fetch, &r, on_answer, v);
        return v->fetch != NULL;
}

static void ask(void *arg) {
        struct verify *v = arg;
        bool asked;

        v->began_ms = clock_mono_ms(v->node->clock);
        v->asked_ms[v->n_asked++ % VERIFY_ASKS_MINUTE] = v->began_ms;
        v->in_run++;
        if (v->node->config->nat_probe_url)
                asked = ask_own_service(v);
        else
                asked = (v->call = directory_probe(v->node->directory, v->host, v->port, on_answer, v)) != NULL;
        if (!asked)
                finish(v, PROBE_INDETERMINATE, "the directory could not be asked");
}

/* Not before the rates allow it. */
static void ask_again(struct verify *v, uint64_t delay_ms) {
        uint64_t now_ms = clock_mono_ms(v->node->clock), due_ms = now_ms + delay_ms;

        if (v->n_asked > 0)
                due_ms = MAX(due_ms, v->asked_ms[(v->n_asked - 1) % VERIFY_ASKS_MINUTE] + VERIFY_APART_MS);
        if (v->n_asked >= VERIFY_ASKS_MINUTE)
                due_ms = MAX(due_ms, v->asked_ms[v->n_asked % VERIFY_ASKS_MINUTE] + 60000);
        timer_set_ms(&v->timer, due_ms - now_ms);
}

static void nothing_to_ask(void *arg) {
        struct verify *v = arg;

        v->done(v->arg, PROBE_INDETERMINATE, "a probe of this address would prove nothing");
}

static void on_timer(void *arg) {
        struct verify *v = arg;

        if (v->port)
                ask(v);
        else
                nothing_to_ask(v);
}

struct verify *verify_new(struct node *node) {
        struct verify *v = calloc(1, sizeof *v);

        if (!v)
                return NULL;
        v->node = node;
        timer_init(&v->timer, node->loop, on_timer, v);
        return v;
}

struct verify *verify_free(struct verify *v) {
        if (!v)
                return NULL;
        verify_stop(v);
        free(v);
        return NULL;
}

void verify_begin_run(struct verify *v) {
        v->in_run = 0;
}

void verify_start(struct verify *v, const char *url, enum nested nested,
                  void (*done)(void *arg, enum ladder_probe outcome, const char *why), void *arg) {
        struct iicp_url u;

        verify_stop(v); /* whoever asked before has lost interest */
        v->nested = nested;
        v->noes = 0;
        v->done = done;
        v->arg = arg;
        v->port = 0;
        /* What proves nothing is not asked. */
        if (iicp_url_parse(iicp_str(url), &u) < 0 || u.https || u.port < PORT_MIN || v->in_run >= VERIFY_ASKS_RUN) {
                timer_set_ms(&v->timer, 0);
                return;
        }
        snprintf(v->host, sizeof v->host, "%s", u.host);
        v->port = u.port;
        ask_again(v, 0);
}

void verify_stop(struct verify *v) {
        timer_clear(&v->timer);
        v->call = directory_probe_cancel(v->call);
        if (v->fetch)
                fetch_cancel(v->fetch);
        v->fetch = NULL;
}
