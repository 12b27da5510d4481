/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_CLIENT_SUBMIT_H
#define IICP_CLIENT_SUBMIT_H

#include "client-object.h"
#include <iicp/lifecycle.h>

/* One submit: all attempts for one request. One task_id, one trace, one deadline. [06 section 1] */
struct submit {
        struct iicp_client *c;
        const struct iicp_request *rq;
        bool chat;
        struct iicp_route route;
        struct iicp_execution x;
        char task_id[IICP_UUID_TEXT];
        char traceparent[IICP_TRACEPARENT_TEXT];
        int64_t deadline_ms;
        struct iicp_nodes *list;
        size_t *order; /* indices into the list */
        size_t n_order, n_eligible;
        bool explored; /* the strategy did not take the directory's first */

        /* the body for one candidate; a retry on the same node sends the same bytes */
        ssize_t body_for;
        bool body_streams; /* it asks for the service-lifecycle profile */
        struct iicp_buf body;
        struct iicp_cx_session session;

        bool sent_clear, out_of_memory;
        bool reply_opened; /* an encrypted answer was opened piece by piece */
        ssize_t no_stream_for; /* the candidate that did not keep its promise, or -1 */
        struct iicp_response *response;
        int64_t attempt_ms;
};

/* client_submit.c */
const char *iicp_submit_token(const struct submit *s, const struct iicp_record *node);
/* One exchange with a node. */
struct exchange {
        const char *path;            /* behind its endpoint */
        const struct iicp_str *body; /* NULL: GET */
        const char *header;          /* one more line, or NULL */
        int64_t budget_ms;
        bool (*on_piece)(void *arg, struct iicp_str piece); /* an event stream is asked for; or NULL */
        void *arg;
};
enum iicp_http_fault iicp_submit_exchange(struct submit *s, const struct iicp_record *node, const struct exchange *x,
                                          struct iicp_http_answer *ret);
/* Reads a complete answer or the lack of one. */
void iicp_submit_read(struct submit *s, const struct iicp_record *node, enum iicp_http_fault fault,
                      const struct iicp_http_answer *a, struct iicp_outcome *o);

/* client_stream.c: the same by a lifecycle task */
#define EVENT_LINE_MAX ((size_t) 2 * 1024 * 1024)  /* bytes of one line of a stream */
#define STREAM_TEXT_MAX ((size_t) 8 * 1024 * 1024) /* of one answer */
struct stream {
        struct submit *s;
        struct iicp_lifecycle_receiver receiver;
        struct iicp_cx_events guard;
        bool sealed;                   /* content has to come sealed */
        bool said, bad;
        const char *why;               /* when bad */
        struct iicp_buf line, text;    /* of this connection; the increments so far */
        struct iicp_buf reply;         /* the answer in the form of a buffered one */
};
void iicp_stream_begin(struct stream *st, struct submit *s, bool sealed);
/* Bytes of the stream as they come; false: not to be read on. */
bool iicp_stream_piece(void *stream, struct iicp_str piece);
void iicp_stream_done(struct stream *st);
/* false: the node does not serve it after all, nothing was executed; the ordinary way is open. */
bool iicp_submit_stream(struct submit *s, const struct iicp_record *node, int64_t budget_ms, struct iicp_outcome *o);

#endif
