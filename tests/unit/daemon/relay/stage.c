/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include "directory/key.h"
#include "driven_timers.h"
#include "listener.h"
#include "reach/routes.h"
#include "relay/port_internal.h"
#include "tls_port.h"
#include "util.h"
#include "vectors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

struct stage *stage;

/* ---- time ---- */

static struct event_base *base;

void stage_run(uint64_t ms) {
        uint64_t end = stage->now_ms + ms;

        while (driven_timers_fire(end))
                ;
        stage->now_ms = end;
}

void stage_spin(void) {
        for (unsigned i = 0; i < 20; i++)
                event_base_loop(base, EVLOOP_NONBLOCK);
}

struct event_base *loop_base(struct loop *l) {
        (void) l;
        return base;
}

void loop_defer(struct loop *l, void (*fn)(void *arg), void *arg) {
        (void) l;
        fn(arg);
}

int loop_block(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg) {
        (void) l;
        if (!stage->no_writes)
                work(arg);
        done(arg);
        return 0;
}

static uint64_t mono_us(void *arg) {
        (void) arg;
        return stage->now_ms * 1000;
}

static int64_t wall_s(void *arg) {
        (void) arg;
        return stage->wall_s + (int64_t) (stage->now_ms / 1000);
}

static const struct clock driven = {.mono_us = mono_us, .wall_s = wall_s};

/* ---- the rooms around ---- */

unsigned listener_open_files(void) {
        return 512;
}

int listener_open(const char *role, const char *key, const char *address, unsigned port, bool strict, unsigned skip,
                  bool *ret_passed, int *ret_fd, char *why, size_t why_cap) {
        (void) role, (void) key, (void) address, (void) port, (void) strict, (void) skip, (void) ret_passed, (void) ret_fd;
        (void) why, (void) why_cap;
        return -EADDRINUSE;
}

uint16_t listener_port(const struct listener *l) {
        (void) l;
        return 9484;
}

const char *node_endpoint(const struct node *n, const char **ret_why) {
        (void) n;
        (void) ret_why;
        return NULL;
}

bool routes_relay_open(const struct routes *r) {
        (void) r;
        return true;
}

bool tls_port_active(const struct tls_port *p) {
        (void) p;
        return false;
}

struct tls *tls_port_tls(const struct tls_port *p) {
        (void) p;
        return NULL;
}

size_t directory_keys_current(const struct directory_keys *k, const uint8_t (**ret)[IICP_SIGN_KEY]) {
        (void) k;
        *ret = (const uint8_t (*)[IICP_SIGN_KEY]) stage->directory_key;
        return stage->key_known;
}

void directory_keys_did_not_fit(struct directory_keys *k) {
        (void) k;
        stage->asked_for_key++;
}

/* ---- life ---- */

static void open_relay(void) {
        char why[256] = "";

        assert_int_equal(relay_new(&stage->node, &stage->node.relay, why, sizeof why), 0);
        assert_int_equal(relay_start(stage->node.relay), 0);
}

int stage_setup(void **state) {
        char why[256];

        (void) state;
        stage = calloc(1, sizeof *stage);
        base = event_base_new();
        snprintf(stage->dir, sizeof stage->dir, "/tmp/test-relay.XXXXXX");
        assert_non_null(mkdtemp(stage->dir));
        stage->now_ms = 1000000;
        driven_timers_begin(&stage->now_ms);
        stage->wall_s = 1800000000 - 1000;
        stage->node.clock = &driven;
        stage->node.config = &stage->config;
        stage->node.metrics = metrics_new();
        stage->config = (struct config){
                .relay_operator = true, .relay_tickets = TICKETS_SOFT, .relay_bind_rate = 30, .relay_max_sessions = 256,
                .relay_max_in_flight = 64, .relay_max_body = 1 << 20, .native_max_frame = IICP_FRAME_LENGTH_MAX};
        assert_int_equal(state_open(stage->dir, "relay-node-1", stage->wall_s, &stage->node.state, why, sizeof why), 0);
        open_relay();
        return 0;
}

int stage_teardown(void **state) {
        char command[128];

        (void) state;
        stage->over = true;
        while (stage->node.relay->sessions && stage->node.relay->sessions->transport != &relay_channel_transport)
                relay_unbind(stage->node.relay->sessions);
        stage->node.relay = relay_free(stage->node.relay);
        stage->node.state = state_close(stage->node.state);
        stage->node.metrics = metrics_free(stage->node.metrics);
        event_base_free(base);
        snprintf(command, sizeof command, "rm -rf %s", stage->dir);
        assert_int_equal(system(command), 0);
        free(TAKE_PTR(stage));
        return 0;
}

void stage_restart(void) {
        stage->node.relay = relay_free(stage->node.relay);
        open_relay();
}

/* ---- a transport that remembers ---- */

static int deliver(void *link, struct relay_call *call) {
        struct stage_link *l = link;

        if (l->refuses)
                return -EPIPE;
        assert_true(l->n < ARRAY_SIZE(l->delivered));
        l->delivered[l->n++] = call;
        return 0;
}

static void withdraw(void *link, struct relay_call *call) {
        (void) call;
        ((struct stage_link *) link)->withdrawn++;
}

static void end(void *link, enum relay_end why) {
        struct stage_link *l = link;

        l->session = NULL;
        l->ended++;
        l->why = why;
}

const struct relay_transport stage_transport = {"native", false, deliver, withdraw, end};
const struct relay_transport stage_poll = {"http-poll", true, deliver, withdraw, end};

static enum relay_verdict bind_by(const struct relay_transport *transport, const char *worker_id, const char *ticket,
                                  const char *address, struct stage_link *link) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = 5};

        inet_pton(AF_INET, address, &in.sin_addr);
        return relay_bind(stage->node.relay,
                          &(struct relay_bind){.worker_id = iicp_str(worker_id), .ticket = iicp_str(ticket),
                                               .source = (struct sockaddr *) &in, .transport = transport, .link = link},
                          &link->session);
}

enum relay_verdict stage_bind_from(const char *worker_id, const char *ticket, const char *address, struct stage_link *link) {
        return bind_by(&stage_transport, worker_id, ticket, address, link);
}

enum relay_verdict stage_bind(const char *worker_id, struct stage_link *link) {
        static unsigned n;
        char address[32];

        n++;
        snprintf(address, sizeof address, "192.0.%u.%u", (n >> 8) & 255, n & 255); /* each from another source */
        return stage_bind_from(worker_id, NULL, address, link);
}

static void done(void *arg, enum relay_outcome o, struct iicp_buf *body) {
        struct stage_answer *a = arg;

        if (stage->over)
                return;
        a->done++;
        a->outcome = o;
        a->call = NULL;
        if (body)
                snprintf(a->body, sizeof a->body, "%.*s", (int) body->n, body->p);
}

int stage_forward(struct stage_link *to, const char *task, struct stage_answer *a) {
        struct relay_task t;

        *a = (struct stage_answer){};
        assert_int_equal(relay_task_read(iicp_str(task), &t), 0);
        return relay_forward(to->session, &t, done, a, &a->call);
}
