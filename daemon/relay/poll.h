/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_POLL_H
#define IICPD_RELAY_POLL_H

/* Long-poll transport of the relay: sessions that are known by a token, calls that wait until they are
 * pulled, pulls that wait until there is a call. Knows nothing of HTTP. [03 sections 14, 16] */

#include "loop.h"
#include "relay/sessions.h"

#define POLL_TIMEOUT_MS 25000u
#define POLL_TOKEN_HEX 64               /* 32 random bytes */
#define POLL_PULLS_MAX 64u              /* waiting ones of one session; the oldest gives way */

struct polls;
struct poll_session;

int polls_new(struct relay *r, struct loop *loop, struct polls **ret);
/* After relay_free: no session is left then. */
struct polls *polls_free(struct polls *p);

/* transport and link of b are filled in here. token: BOUND only, to be wiped after use. */
enum relay_verdict poll_bind(struct polls *p, struct relay_bind *b, char token[POLL_TOKEN_HEX + 1]);
/* Compared in constant time beyond the part that finds its place. NULL: none, or its session has ended. */
struct poll_session *poll_find(struct polls *p, struct iicp_str token);
void poll_unbind(struct poll_session *s);
/* What a worker posts; ids of calls that it does not have are dropped. result: any JSON value. */
void poll_result(struct poll_session *s, const char *call_id, struct iicp_str result);
/* An event of a streaming call, an object that poll_result_read has taken. -EBADMSG: out of order. */
int poll_event(struct poll_session *s, const char *call_id, struct iicp_str event);

/* ---- pulls ---- */

enum poll_news {
        POLL_CALL,               /* pull->call; the pull carries it until poll_pull_done */
        POLL_EMPTY,              /* 25 s are over, or there are too many pulls */
        POLL_ENDED,              /* the session is no more */
};

/* Embedded by its owner, who tells of its end by poll_pull_done in any case but ENDED and EMPTY. */
struct poll_pull {
        struct poll_session *session;
        struct poll_pull *prev, *next;   /* waiting ones, oldest first; or those that carry a call */
        struct relay_call *call;         /* NULL: none, or it is over meanwhile */
        struct timer timeout;
        bool waiting;
        /* Comes once, never from inside poll_pull_start. For CALL, false: the puller has left, somebody
         * else gets it. */
        bool (*ready)(void *arg, enum poll_news news);
        void *arg;
};
/* A sign of life. True: there was a call, ready is not called. */
bool poll_pull_start(struct poll_pull *p, struct poll_session *s, bool (*ready)(void *, enum poll_news), void *arg);
/* The puller has its answer, or has left: then the call goes to the next one, before all others. */
void poll_pull_done(struct poll_pull *p, bool delivered);

#endif
