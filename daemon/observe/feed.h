/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_FEED_H
#define IICPD_FEED_H

/* What has happened lately, for whoever looks: changes of state and, apart from them, tasks. Two
 * rings with one numbering; readers ask by number and are told that there is more. Changes of state
 * come from the log, so that each is named in one place only. The loop's thread alone.
 * [operator design 6.7, 7] */

#include "log.h"

#include <iicp/buf.h>
#include <stdarg.h>

#define FEED_MAX 1000        /* changes of state that are kept */
#define FEED_TASKS_MAX 250   /* steps of tasks that are kept */
#define FEED_BYTES_MAX 1024  /* of one event, as JSON */
#define FEED_REPEAT_MS 1000  /* the same event of the same subject is taken once in so long */

enum feed_type {
        FEED_NODE, FEED_ROUTE, FEED_BACKEND, FEED_DIRECTORY, FEED_RELAY, FEED_CONFIG, FEED_LIMIT, FEED_TASK,
        FEED_TYPE_MAX_,
};
#define FEED_ALL ((1u << FEED_TYPE_MAX_) - 1)

struct node;
struct feed;

struct feed *feed_new(struct node *node);
struct feed *feed_free(struct feed *f);

const char *feed_type_name(enum feed_type t);
/* The type of an event by its name. */
enum feed_type feed_type_of(const char *event);

/* A change of state that no line of the log tells. f may be NULL, and so may the feed. */
void feed_put(struct feed *f, enum log_level level, const char *event, const struct log_fields *fields,
              const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* A step of a task: never payload, address, token. */
struct feed_task {
        const char *step;            /* static: "task_started", "task_ended" */
        const char *door;            /* static */
        const char *backend;         /* copied; NULL = none yet */
        struct iicp_str task_id, model;
        int status;                  /* HTTP, of an end; 0 = the caller left */
        uint64_t took_ms;
};
void feed_task(struct feed *f, const struct feed_task *t);

/* How often an event of the table in feed.c was told since the start. */
uint64_t feed_seen(const struct feed *f, const char *event);
/* The youngest number, 0 = nothing yet; the oldest that is still kept of these types, 0 = none. */
uint64_t feed_last(const struct feed *f);
uint64_t feed_oldest(const struct feed *f, unsigned types);
/* True when a change of state behind this number is no longer kept. */
bool feed_lost(const struct feed *f, uint64_t after);
/* The number of the last one before this time (seconds since the epoch), for ?since=. */
uint64_t feed_before(const struct feed *f, int64_t wall_s);
/* The first event after `after` of these types as JSON. Returns its number, 0 = there is none;
 * ret_event is borrowed until the next event. */
uint64_t feed_next(const struct feed *f, uint64_t after, unsigned types, struct iicp_buf *out, const char **ret_event);
/* Called when there is a new one; one listener. */
void feed_on_event(struct feed *f, void (*fn)(void *arg), void *arg);

#endif
