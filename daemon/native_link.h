/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_NATIVE_LINK_H
#define IICPD_NATIVE_LINK_H

/* One connection that carries native frames, whichever dialect is spoken on it: bytes to messages and
 * back, fragments, gzip, times, both ways of ending. It knows nothing of tasks. The owner embeds it
 * and gets told; everything happens on the loop. [03 sections 2 to 6, 8] */

#include "loop.h"

#include <event2/bufferevent.h>
#include <iicp/fragment.h>

#define NATIVE_FRAME_MS 30000          /* rest of a frame after its first byte */
#define NATIVE_LINGER_MS 1000          /* input is dropped after our CLOSE, so that it arrives */
#define NATIVE_GRACEFUL_MS 2000        /* the same when we began it */
#define NATIVE_LINGER_BYTES 65536u
#define NATIVE_OUT_MAX 262144u         /* unsent; above it nothing more is read [PING flood] */
#define NATIVE_IN_MAX 65536u           /* unread; above it the socket is left alone */
#define NATIVE_GZIP_MIN 1024u          /* smaller payloads are sent as they are */
#define NATIVE_PEER_FRAME_MIN 1024u    /* a peer that takes less gets no fragments */

#define NATIVE_BUDGET_FREE 65536u      /* each link may hold so much, however full the budget is */

/* Bytes of frames that are not complete, of all links that share it. */
struct native_budget {
        size_t used, max;
};

enum native_due { DUE_INIT, DUE_FRAME, DUE_FRAGMENT, DUE_IDLE, DUE_END, DUE_MAX_ };
enum native_link_state { LINK_OPEN, LINK_CLOSING /* CLOSE is on its way */, LINK_LINGER, LINK_ENDED };

struct native_link_handler {
        /* The header of a frame is fine: may this type come now? Before its payload is looked at. */
        enum iicp_close (*admit)(void *arg, uint8_t type);
        /* A whole message. gzip_inside: key 5 of it may be compressed. NONE, or why the link ends. */
        enum iicp_close (*message)(void *arg, uint8_t type, bool gzip_inside, struct iicp_str payload);
        /* The peer broke a rule, or a time is over; its CLOSE is sent afterwards. type -1: not known. */
        void (*fault)(void *arg, enum iicp_close why, int type);
        /* There is room for more output. */
        void (*drained)(void *arg);
        /* It is over. The last call; the owner may free the link inside of it. */
        void (*ended)(void *arg);
};

struct native_link {
        struct bufferevent *bev;
        const struct clock *clock;
        const struct native_link_handler *handler;
        void *arg;
        struct tls *tls;               /* below, or NULL; a reference */
        enum native_link_state state;
        bool paused;                   /* by the owner: no further message is wanted */
        unsigned options;
        struct iicp_frame_reader reader;
        struct iicp_fragments *fragments;
        size_t max_message, max_buffered;
        bool gzip;                     /* agreed */
        bool peer_fragments;           /* it declared max_frame_size */
        uint64_t peer_max_frame;       /* header and payload */
        uint64_t fragment_ids;
        uint64_t due[DUE_MAX_];        /* 0 = not running */
        size_t dropped;
        struct native_budget *budget;  /* or NULL; set after opening */
        size_t counted;                /* of it */
        struct timer timer;
};

struct node;
struct tls;
/* Takes bev (whose socket it closes) over. The limits are those of the configuration. */
void native_link_open(struct native_link *l, struct node *node, struct bufferevent *bev, struct tls *tls,
                      const struct native_link_handler *handler, void *arg);
/* Frees what it holds and closes the socket, without a word. */
void native_link_free(struct native_link *l);
/* -E2BIG: the peer does not take so much. RESPONSEs are compressed and cut where that was agreed. */
int native_link_send(struct native_link *l, uint8_t type, struct iicp_str payload);
/* CLOSE, what is unsent, then the end. Nothing is delivered any more. */
void native_link_close(struct native_link *l, enum iicp_close why);
/* No messages until resume; resume may deliver some at once. */
void native_link_pause(struct native_link *l);
void native_link_resume(struct native_link *l);
/* at_ms 0 stops it. */
void native_link_due(struct native_link *l, enum native_due which, uint64_t at_ms);
/* Is there room for output? */
bool native_link_has_room(const struct native_link *l);

#endif
