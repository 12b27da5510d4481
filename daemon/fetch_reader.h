/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_FETCH_READER_H
#define IICPD_FETCH_READER_H

/* One HTTP/1.1 answer out of the bytes of a connection, in pieces of any size. Strict: what can be
 * read in two ways is FETCH_PROTOCOL. */

#include "fetch.h"

#define READER_LINE_MAX 256 /* bytes of a chunk's size line */

enum reader_state {
        READER_HEAD,
        READER_LENGTH,      /* body of a known length */
        READER_TO_END,      /* body up to the end of the connection */
        READER_CHUNK_SIZE,
        READER_CHUNK,
        READER_CHUNK_END,   /* the line end behind a chunk */
        READER_TRAILER,
        READER_DONE,
};

struct reader {
        enum reader_state state;
        size_t max_answer, max_stream, received, header_bytes;
        bool (*on_data)(void *arg, struct iicp_str piece); /* NULL: collect */
        void *arg;
        int status;
        bool any_byte;
        bool keep;          /* the connection may be used again */
        uint64_t left;      /* of the body or the chunk */
        struct iicp_buf head, body;
        struct iicp_str content_type, retry_after, server, powered_by, location, date; /* of head */
        char line[READER_LINE_MAX];
        size_t line_n;
};

void reader_init(struct reader *r, size_t max_answer, bool (*on_data)(void *arg, struct iicp_str piece), void *arg);
void reader_done(struct reader *r); /* max_stream: set it after init, if it is another one */
/* Forgets all that came, for a second try. */
void reader_restart(struct reader *r);
/* Takes bytes until the answer is complete (r->state); bytes after that are left: *ret_used. */
enum fetch_error reader_feed(struct reader *r, const char *p, size_t n, size_t *ret_used);
/* The connection has ended: FETCH_OK if the answer is complete by that. */
enum fetch_error reader_end(struct reader *r);

#endif
