/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_SERVER_H
#define IICPD_CONTROL_SERVER_H

/* What the files of the server itself share: sockets, requests, the table of resources. Those that
 * answer a resource include internal.h alone. */

#include "config.h"
#include "control/internal.h"
#include "mhd_loop.h"

#include <sys/types.h>
#include <sys/un.h>

#define CONTROL_CONNECTIONS_MAX 16 /* of each socket */
#define CONTROL_BODY_MAX 65536     /* bytes of a request */
#define CONTROL_ANSWER_MAX ((size_t) 1024 * 1024) /* bytes of an answer that nobody has read yet */
#define CONTROL_IDLE_S 30
#define CONTROL_BACKLOG 16
#define CONTROL_CSP \
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " \
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#define CONTROL_ITEM_MAX 160       /* bytes of a segment that a pattern takes */

struct control;

/* One of our two Unix sockets. */
struct control_socket {
        struct control *control;
        int fd;
        char path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
        struct event accept;
        bool open;                    /* status.sock: everybody may look, nobody may act */
};

struct control {
        struct node *node;
        struct control_socket own, status;
        struct MHD_Daemon *http;
        struct mhd_loop loop;
        struct streams *streams;      /* readers of /v1/events */
        struct log_override *log;     /* another level for a while */
        bool closing;
        struct call *waiting;         /* requests that wait for an outcome */
        uint64_t last_request;        /* id of the youngest that nobody waits for */
};

/* One request on its way. */
struct call {
        struct control *control;
        struct MHD_Connection *connection;
        const struct resource *resource;
        struct iicp_buf body;
        char item[CONTROL_ITEM_MAX];  /* what stood at the `*` of the path */
        struct MHD_Response *later;   /* answer of an outcome that was waited for */
        unsigned status;
        struct call *next;            /* in control->waiting */
        char who[64];                 /* of the audit line; nobody may wait any more when the outcome comes */
        uint64_t request;             /* not 0: answered with 202, the outcome becomes an event */
        struct call *replaced_by;     /* what the connection goes on with, where nobody waits */
        bool answering;               /* in its function: an outcome needs no waking */
        bool open;                    /* came by status.sock */
};

enum level { LEVEL_READ, LEVEL_OPERATE, LEVEL_ROOT };

struct resource {
        const char *path;             /* a segment `*` stands for any one */
        const char *method;           /* GET answers HEAD, too */
        enum level level;
        bool open;                    /* served at status.sock */
        const char *type;
        /* Writes the body and returns the status; 0: the answer comes by call_resume or call_stream. */
        unsigned (*fn)(struct call *call, struct iicp_buf *out);
        const char *schema;           /* name of its document, NULL = none */
};

/* resources.c. NULL and *ret_status 404 or 405; allow gets the methods of the path. */
const struct resource *resource_find(const char *path, const char *method, char *item, unsigned *ret_status,
                                     char *allow, size_t cap);

/* call.c: MHD's side of a request. */
enum MHD_Result call_on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *data, size_t *n, void **ctx);
void call_on_completed(void *arg, struct MHD_Connection *connection, void **ctx,
                       enum MHD_RequestTerminationCode code);
/* The daemon ends: nobody waits any more. */
void call_drop_all(struct control *c);

/* stream.c: readers of /v1/events. Dropped before the library stops, freed behind it. */
int streams_new(struct control *c);
void streams_drop_all(struct control *c);
void streams_free(struct control *c);

/* socket.c */
int control_bind(struct control_socket *s, const struct config *conf, const char *path, char *why, size_t cap);
void control_unbind(struct control_socket *s);

/* hide.c: the text without addresses, for readers who are nobody in particular. */
void hide_addresses(struct iicp_str text, struct iicp_buf *out);

#endif
