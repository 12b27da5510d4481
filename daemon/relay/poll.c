/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/poll.h"

#include "relay/poll_body.h"

#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/uuid.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define SELECTOR 16              /* digits of a token that find its place; the others are the secret */
#define BUCKETS_START 64u

struct pulls {
        struct poll_pull *first, *last;
};

struct poll_session {
        struct polls *polls;
        struct relay_session *session;   /* NULL while it binds, and when it has ended */
        struct poll_session *chain;
        struct pulls waiting, carrying;
        unsigned n_waiting;
        char token[POLL_TOKEN_HEX];
};

struct polls {
        struct relay *relay;
        struct loop *loop;
        struct poll_session **buckets;
        size_t n_buckets, n;
};

/* ---- sessions by token ---- */

static struct poll_session **place(const struct polls *p, const char *token) {
        uint64_t at = 0;

        for (int i = 0; i < SELECTOR; i++)
                at = at << 4 | (uint64_t) (token[i] >= 'a' ? token[i] - 'a' + 10 : token[i] - '0');
        return &p->buckets[at & (p->n_buckets - 1)];
}

static void grow(struct polls *p) {
        struct polls bigger = {.n_buckets = p->n_buckets * 2};

        bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
        if (!bigger.buckets)
                return; /* longer chains */
        for (size_t i = 0; i < p->n_buckets; i++)
                for (struct poll_session *s = p->buckets[i], *next; s; s = next) {
                        struct poll_session **at = place(&bigger, s->token);

                        next = s->chain;
                        s->chain = *at;
                        *at = s;
                }
        free(p->buckets);
        p->buckets = bigger.buckets;
        p->n_buckets = bigger.n_buckets;
}

static void table_add(struct polls *p, struct poll_session *s) {
        struct poll_session **at;

        if (p->n >= p->n_buckets)
                grow(p);
        at = place(p, s->token);
        s->chain = *at;
        *at = s;
        p->n++;
}

static void table_remove(struct poll_session *s) {
        struct poll_session **at = place(s->polls, s->token);

        while (*at != s)
                at = &(*at)->chain;
        *at = s->chain;
        s->polls->n--;
}

struct poll_session *poll_find(struct polls *p, struct iicp_str token) {
        struct poll_session *found = NULL;

        if (token.n != POLL_TOKEN_HEX)
                return NULL;
        for (size_t i = 0; i < token.n; i++)
                if (!(token.p[i] >= '0' && token.p[i] <= '9') && !(token.p[i] >= 'a' && token.p[i] <= 'f'))
                        return NULL;
        for (struct poll_session *s = *place(p, token.p); s; s = s->chain)
                if (CRYPTO_memcmp(s->token, token.p, POLL_TOKEN_HEX) == 0)
                        found = s;
        return found && found->session ? found : NULL;
}

/* ---- pulls of a session ---- */

static void list_add(struct pulls *l, struct poll_pull *p) {
        p->prev = l->last;
        p->next = NULL;
        *(l->last ? &l->last->next : &l->first) = p;
        l->last = p;
}

static void list_remove(struct pulls *l, struct poll_pull *p) {
        *(p->prev ? &p->prev->next : &l->first) = p->next;
        *(p->next ? &p->next->prev : &l->last) = p->prev;
}

static void stop_waiting(struct poll_pull *p) {
        struct poll_session *s = p->session;

        if (!p->waiting)
                return;
        p->waiting = false;
        list_remove(&s->waiting, p);
        s->n_waiting--;
        timer_clear(&p->timeout);
        if (!s->session)
                return;
        relay_session_heard(s->session);
        relay_session_parked(s->session, -1);
}

static void carry(struct poll_pull *p, struct relay_call *call) {
        p->call = call;
        relay_call_sent(call, true);
        list_add(&p->session->carrying, p);
}

/* What it carried is delivered, or over, or goes back. */
static void put_down(struct poll_pull *p) {
        list_remove(&p->session->carrying, p);
        p->call = NULL;
}

/* Brings calls and pulls that wait together. */
static void match(struct poll_session *s) {
        struct relay_call *call;

        while (s->waiting.first && (call = relay_call_next(s->session))) {
                struct poll_pull *p = s->waiting.first;

                stop_waiting(p);
                carry(p, call);
                if (p->ready(p->arg, POLL_CALL))
                        continue;
                put_down(p);
                relay_call_sent(call, false);
        }
}

static void on_timeout(void *arg) {
        struct poll_pull *p = arg;

        stop_waiting(p);
        p->ready(p->arg, POLL_EMPTY);
}

bool poll_pull_start(struct poll_pull *p, struct poll_session *s, bool (*ready)(void *, enum poll_news), void *arg) {
        struct relay_call *call;

        *p = (struct poll_pull){.session = s, .ready = ready, .arg = arg};
        relay_session_heard(s->session);
        call = relay_call_next(s->session);
        if (call) {
                carry(p, call);
                return true;
        }
        if (s->n_waiting == POLL_PULLS_MAX)
                on_timeout(s->waiting.first);
        timer_init(&p->timeout, s->polls->loop, on_timeout, p);
        timer_set_ms(&p->timeout, POLL_TIMEOUT_MS);
        p->waiting = true;
        list_add(&s->waiting, p);
        s->n_waiting++;
        relay_session_parked(s->session, 1);
        return false;
}

void poll_pull_done(struct poll_pull *p, bool delivered) {
        struct poll_session *s = p->session;
        struct relay_call *call = p->call;

        stop_waiting(p);
        if (!call)
                return;
        put_down(p);
        if (delivered)
                return;
        relay_call_sent(call, false);
        match(s);
}

/* ---- the transport ---- */

static int deliver(void *link, struct relay_call *call) {
        (void) call;
        match(link);
        return 0;
}

static void withdraw(void *link, struct relay_call *call) {
        struct poll_session *s = link;

        for (struct poll_pull *p = s->carrying.first; p; p = p->next)
                if (p->call == call) {
                        put_down(p);
                        return;
                }
}

static void session_free(struct poll_session *s) {
        table_remove(s);
        explicit_bzero(s->token, sizeof(s->token));
        free(s);
}

static void send_away(struct poll_session *s) {
        while (s->carrying.first)
                put_down(s->carrying.first);
        while (s->waiting.first) {
                struct poll_pull *p = s->waiting.first;

                stop_waiting(p);
                p->ready(p->arg, POLL_ENDED);
        }
}

static void end(void *link, enum relay_end why) {
        struct poll_session *s = link;

        (void) why;
        s->session = NULL;
        send_away(s);
        session_free(s);
}

static const struct relay_transport http_poll = {
        .name = "http-poll", .revives = true, .deliver = deliver, .withdraw = withdraw, .end = end};

void poll_unbind(struct poll_session *s) {
        send_away(s);
        relay_unbind(s->session);
        session_free(s);
}

enum relay_verdict poll_bind(struct polls *p, struct relay_bind *b, char token[POLL_TOKEN_HEX + 1]) {
        struct poll_session *s = calloc(1, sizeof(*s));
        unsigned char secret[POLL_TOKEN_HEX / 2];
        enum relay_verdict v;

        if (!s || iicp_random(secret, sizeof(secret)) < 0) {
                free(s);
                return RELAY_NO_MEMORY;
        }
        iicp_hex(secret, sizeof(secret), token);
        explicit_bzero(secret, sizeof(secret));
        memcpy(s->token, token, sizeof(s->token));
        s->polls = p;
        table_add(p, s);
        b->transport = &http_poll;
        b->link = s;
        v = relay_bind(p->relay, b, &s->session);
        if (v != RELAY_BOUND)
                session_free(s);
        return v;
}

/* Who answers a call has it, even if the answer of its pull is still on the way. */
static void has_it(struct poll_session *s, const char *call_id) {
        for (struct poll_pull *p = s->carrying.first; p; p = p->next)
                if (strcmp(relay_call_id(p->call), call_id) == 0) {
                        put_down(p);
                        return;
                }
}

void poll_result(struct poll_session *s, const char *call_id, struct iicp_str result) {
        has_it(s, call_id);
        relay_answer(s->session, iicp_str(call_id), result);
}

int poll_event(struct poll_session *s, const char *call_id, struct iicp_str event) {
        struct poll_event e;

        has_it(s, call_id);
        poll_event_read(event, &e);
        e.life.call_id = iicp_str(call_id);
        return relay_event(s->session, &e.life, &e.event);
}

int polls_new(struct relay *r, struct loop *loop, struct polls **ret) {
        struct polls *p = calloc(1, sizeof(*p));

        if (p)
                p->buckets = calloc(BUCKETS_START, sizeof(*p->buckets));
        if (!p || !p->buckets) {
                free(p);
                return -ENOMEM;
        }
        p->relay = r;
        p->loop = loop;
        p->n_buckets = BUCKETS_START;
        *ret = p;
        return 0;
}

struct polls *polls_free(struct polls *p) {
        if (!p)
                return NULL;
        free(p->buckets);
        free(p);
        return NULL;
}
