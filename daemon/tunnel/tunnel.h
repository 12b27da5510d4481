/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TUNNEL_H
#define IICPD_TUNNEL_H

/* A way in through somebody else's edge: the operator's own tunnel, or a quick one that a helper program makes. It
 * counts once our own health, with our id, has come back through it, and is looked at every 30 s. Never blocks: what
 * has to wait for the host's pace is "not now". [04 section 10] */

#include "words.h"

#include <iicp/buf.h>

struct node;
struct tunnel;

enum tunnel_state {
        TUNNEL_IS_IDLE,
        TUNNEL_IS_STARTING,     /* asked for, not proved yet */
        TUNNEL_IS_UP,
        TUNNEL_IS_TWILIGHT,     /* one look has failed */
        TUNNEL_IS_RECOVERING,   /* it is built anew */
        TUNNEL_IS_DEAD,
};
const char *tunnel_state_name(enum tunnel_state s);

enum tunnel_event {
        TUNNEL_CHANGED,      /* tunnel_serves may have */
        TUNNEL_MOVED,        /* proved under another URL */
        TUNNEL_LOST,         /* dead: something else has to be found */
        TUNNEL_RETRY,        /* another try makes sense now */
};

/* event never comes from inside of a call. */
struct tunnel *tunnel_new(struct node *node, void (*event)(void *arg, enum tunnel_event e), void *arg);
struct tunnel *tunnel_free(struct tunnel *t); /* what runs is killed */

/* url NULL: why, and a code of guidance or NULL. */
typedef void (*tunnel_done_fn)(void *arg, const char *url, const char *why, const char *guidance);
/* The operator's: fn once, never from inside, unless cancelled. */
void tunnel_given(struct tunnel *t, const char *url, tunnel_done_fn fn, void *arg);
/* A quick one, or the one that is there already. */
void tunnel_quick(struct tunnel *t, tunnel_done_fn fn, void *arg);
/* fn does not come any more; what is up stays up. */
void tunnel_cancel(struct tunnel *t);
/* Not needed any more; fn, which may be NULL, once the helper is gone. */
void tunnel_end(struct tunnel *t, void (*fn)(void *arg), void *arg);

enum tunnel_state tunnel_state(const struct tunnel *t);
bool tunnel_serves(const struct tunnel *t); /* callers get through, as far as we know */
const char *tunnel_url(const struct tunnel *t); /* "" = none is proved */
/* Dead by more than the host's pace; and until the next try. */
bool tunnel_failed(const struct tunnel *t, uint64_t *ret_wait_ms);
/* Until the provider takes us again, 0 = now. */
uint64_t tunnel_cooldown_ms(const struct tunnel *t);
void tunnel_json(const struct tunnel *t, struct iicp_buf *out);

#endif
