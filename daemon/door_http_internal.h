/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DOOR_HTTP_INTERNAL_H
#define IICPD_DOOR_HTTP_INTERNAL_H

/* What the files of the HTTP door share. One http_conn a connection, from door_http_add until
 * libmicrohttpd reports its end; it holds the one request that can be open on it. */

#include "door_http.h"
#include "door_http_headers.h"
#include "loop.h"
#include "task/task.h"

#include <microhttpd.h>
#include <netinet/in.h>

/* libmicrohttpd's pool of a connection. A head of HTTP_HEAD_MAX has to fit beside its parsed fields
 * and the head of our answer. Above 32 KiB the library maps the pool instead of taking it from the
 * heap, so a connection that is given back leaves nothing resident. */
#define HTTP_POOL 40960
#define HTTP_POOL_INCREMENT 4096

#define HTTP_TICK_MS 250
#define HTTP_STALL_S 30          /* no byte of a body, no progress of an answer */
#define HTTP_WHOLE_MS 120000     /* a request is complete that long after its first byte */
#define HTTP_KEPT_MS 1100        /* so long a kept connection stays with the library [decisions] */
#define HTTP_LINGER_MS 2000
#define HTTP_LINGER_BYTES 65536
#define HTTP_BODY_START 4096     /* first piece of a chunked body */

struct http_conn;
struct http_relay;

/* Connections in the order in which something is due. */
struct http_queue {
        struct http_conn *first, *last;
};

struct http_request {
        bool open, seen;             /* target known; head read */
        bool deferred;               /* no body: answered when the request is complete */
        bool refused;                /* an answer is queued before the body was read */
        bool wants_body, complete;
        bool http_1_0;
        struct http_target target;
        struct http_fields fields;
        size_t head_n;
        char *body;
        size_t n, cap;
        struct task *task;
        struct mesh_exchange *exchange; /* of the mesh, while the directory is asked about its sender */
        struct http_relay *relay;    /* of a relay's resource, while it waits and until the end */
        bool answered;
        struct task_answer answer;
};

struct http_conn {
        struct door_http *door;
        struct MHD_Connection *mhd;
        int fd;
        struct http_queue *queue;    /* NULL: in none */
        struct http_conn *prev, *next;
        uint64_t due_ms;             /* meaning depends on the queue */
        uint64_t since_ms;           /* request head awaited since; then: request since */
        uint64_t consumed;           /* bytes of complete requests */
        bool killed, gone, parking, linger, suspended;
        struct http_stream *stream;  /* takes over when the library has let go */
        struct sockaddr_in6 peer;    /* or sockaddr_in */
        struct http_request req;
};

struct http_linger;

struct door_http {
        struct node *node;
        struct MHD_Daemon *mhd;
        struct event *ready;         /* the library's epoll descriptor */
        struct event *kick;          /* run the library after this turn's other events */
        struct timer again, tick;
        int watch_fd;                /* epoll: resets of connections, also while suspended */
        struct event *watch;
        struct http_conn **by_fd;
        size_t n_by_fd;
        unsigned n;
        unsigned to_peers;           /* tasks that a relay has passed on to other nodes */
        struct http_queue heads, bodies, kept;
        struct http_linger *lingering;
        struct http_stream *streams;
        struct MHD_Response *options;
        bool stopping;
};

/* door_http.c */
void http_queue_move(struct http_conn *c, struct http_queue *q, uint64_t due_ms);
void http_conn_kill(struct http_conn *c);
void http_kick(struct door_http *d);
/* Is the end of the caller's half told too? Otherwise resets only. */
void http_watch_end(struct http_conn *c, bool on);
/* Payload bytes that the kernel has received on it. */
uint64_t http_conn_received(const struct http_conn *c);

/* door_http_request.c: callbacks of the library */
void *http_on_target(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *data, size_t *n, void **request);
void http_on_completed(void *cls, struct MHD_Connection *mhd, void **request,
                       enum MHD_RequestTerminationCode code);
/* The caller is gone: its task is aborted, its stream ends. */
void http_request_abort(struct http_conn *c);
/* Suspended until http_resume. */
void http_suspend(struct http_conn *c);
void http_resume(struct http_conn *c);
/* Address of the caller behind trusted proxies. */
void http_caller(const struct http_conn *c, struct sockaddr_storage *ret);

/* door_http_answer.c */
enum MHD_Result http_answer_refusal(struct http_conn *c, enum iicp_refusal_id id, bool close);
enum MHD_Result http_answer_refused(struct http_conn *c, const struct iicp_refusal *refusal);
/* 200 and JSON; takes the bytes. */
enum MHD_Result http_answer_json(struct http_conn *c, struct iicp_buf *out);
/* CORS and the like, as lines, for an answer that is written elsewhere. */
void http_common_text(struct iicp_buf *out);
enum MHD_Result http_answer_task(struct http_conn *c, struct task_answer *a);
enum MHD_Result http_answer_health(struct http_conn *c);
enum MHD_Result http_answer_metrics(struct http_conn *c);
enum MHD_Result http_answer_options(struct http_conn *c, bool close);
struct MHD_Response *http_options_response(void);
/* Where the library takes no answer any more, but the caller may still hear one: writes it into the
 * socket, which is empty in that direction, and returns MHD_NO. */
enum MHD_Result http_send_raw(struct http_conn *c, enum iicp_refusal_id id);

/* door_http_lifecycle.c: resources of 02 section 11 but the submit, which is a task */
enum MHD_Result http_lifecycle_get(struct http_conn *c);
enum MHD_Result http_lifecycle_post(struct http_conn *c);

/* door_http_peers.c: POST /v1/peers */
enum MHD_Result http_peers_post(struct http_conn *c);

/* door_http_relay.c: resources of a relay operator */
enum MHD_Result http_relay_get(struct http_conn *c);
enum MHD_Result http_relay_post(struct http_conn *c);
/* The request is over: what was waited for is given up, a call that was not delivered goes back. */
void http_relay_end(struct http_conn *c, bool delivered);

/* door_http_stream.c: events as they come. The connection leaves the library: http_stream_answer returns
 * MHD_NO, and the end of the library's connection starts the stream on a duplicate of its descriptor. */
struct lifecycle_observer;
enum http_stream_form { HTTP_STREAM_SSE, HTTP_STREAM_NDJSON, HTTP_STREAM_SUBJECT /* SSE of /v1/stream */ };
struct http_stream *http_stream_new(struct http_conn *c, enum http_stream_form form, bool follow);
void (*http_stream_ready(void))(void *stream); /* what an observer of it calls */
/* Takes the observer over. */
enum MHD_Result http_stream_answer(struct http_conn *c, struct http_stream *s, struct lifecycle_observer *o);
void http_stream_start(struct http_stream *s, int fd); /* one that the listener knows about */
void http_stream_drop(struct http_stream *s);
void http_stream_free_all(struct door_http *d);

/* door_http_linger.c: an answer must arrive although the rest of the request was not read. Takes
 * the descriptor, a duplicate that the listener knows about. */
void http_linger_start(struct door_http *d, int fd);
void http_linger_free_all(struct door_http *d);

#endif
