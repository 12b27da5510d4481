/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_PORT_INTERNAL_H
#define IICPD_RELAY_PORT_INTERNAL_H

/* Accept port and channel, for port.c and channel.c only. */

#include "internal.h"
#include "native_link.h"
#include "port.h"

struct relay_source {
        UT_hash_handle hh;
        unsigned n;                    /* connections */
        uint8_t key[8];
};

enum channel_state { CHANNEL_PEEK /* first byte */, CHANNEL_INIT, CHANNEL_BIND, CHANNEL_BOUND, CHANNEL_OVER };

struct relay_conn {
        LIST_ENTRY(relay_conn) link;
        struct relay_port *port;
        struct relay_source *source;   /* NULL: loopback, no cap */
        struct relay_session *session; /* BOUND */
        struct native_link wire;
        struct sockaddr_storage *peer; /* until the bind; then it is forgotten */
        struct event *peek;            /* PEEK */
        enum channel_state state;
};
LIST_HEAD(relay_conns, relay_conn);

struct relay_port {
        struct relay *relay;
        int fd;                        /* -1: not open */
        struct event *ev;
        struct timer resume;
        bool accepting;
        uint16_t number;
        struct relay_conns conns;
        struct relay_source *sources;
        unsigned n, n_new;
        struct native_budget reading;
};

#define TLS_HANDSHAKE 0x16             /* first byte of a ClientHello's record */

extern const struct relay_transport relay_channel_transport;

/* The handshake begins; bev is taken over. tls: below it, or NULL. */
void relay_channel_open(struct relay_conn *c, struct bufferevent *bev, struct tls *tls);
/* port.c: the connection is over in every way. */
void relay_conn_free(struct relay_conn *c);
/* It has bound, or never will: it does not count as new any more. */
void relay_conn_settled(struct relay_conn *c);

#endif
