/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAND_H
#define STAND_H

/* One backend of a real set before a server on the same loop, which says what the test tells it to:
 * probes get an answer by themselves, of a task the test sees the request and writes the answer. */

/* cmocka.h wants these four before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/internal.h"
#include "node.h"

#define STAND_PEERS 16
#define STAND_TEXTS 64

struct stand {
        struct node node;
        struct config config;
        char url[64];
        struct backend *backend; /* the first one */
        /* what the server saw of the last task, and where it answers */
        struct iicp_buf request;
        struct stand_peer *peer;
        unsigned n_tasks;
        /* set before stand_begin or later */
        const char *server; /* its header of that name, NULL = none */
        const char *models; /* answer of /v1/models; NULL = the model m, "" = 404 */
        bool silent;        /* probes get no answer */
        bool not_ready;     /* /readyz is 503 */
        bool curl;          /* by libcurl's client instead of our own; stays set */
        unsigned n_changes; /* calls of on_change */
        unsigned n_probes;  /* requests of probes */
        char probe_request[1024]; /* the last of them */
        /* what the caller was told */
        struct iicp_buf texts;      /* increments, each followed by '|' */
        size_t lengths[STAND_TEXTS];
        unsigned n_texts, n_done;
        struct iicp_refusal refusal;
        bool retry_elsewhere, cancel_on_text;
        char result[4096];
        struct backend_call *call;
};
extern struct stand *stand;

/* type: enum config_backend_type. key: NULL = none. */
void stand_begin(int type, const char *key);
void stand_end(void);
/* One probe, from beginning to end. */
void stand_probe(uint64_t timeout_ms);
/* Starts a task with this payload and waits until the server has its request. */
void stand_ask(enum iicp_intent_kind kind, const char *payload, bool streamed);
void stand_start(enum iicp_intent_kind kind, const char *payload, bool streamed); /* without waiting */
/* The server says so, as it stands. */
void stand_say(const char *text);
void stand_hang_up(void);
/* HTTP head of a stream that ends with the connection, then the text. */
void stand_stream(const char *text);
void stand_turn(void);
void stand_until_done(void);
bool stand_peer_gone(void); /* the server's connection was closed by us */
/* Value of a header of the last request; NULL if absent. Static. */
const char *stand_header(const char *name);

#endif
