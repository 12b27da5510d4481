/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_LOG_H
#define IICPD_LOG_H

/* Structured log: one event, one line. To the journal with fields when there is one, else text or
 * JSON on stderr. Foreign text goes through fields or %s of log_text() and comes out escaped and
 * cut to 200 bytes. [02 section 13.3; 05 section 16; operator design 9]
 *
 * Suppression: the same event and subject (else task, else backend) within 10 minutes is counted and
 * summarised, but for what an operator asked for and for debug lines; a hard cap of 20 lines a
 * second counts the rest in iicp_log_suppressed_total and says so in the next line.
 *
 * The settings are the only process-wide state of the daemon. Called from any thread. */

#include <iicp/base.h>
#include <stdbool.h>

#define LOG_TEXT_MAX 200       /* bytes of one foreign text [05 section 16] */
#define LOG_MESSAGE_MAX 300    /* bytes of one message [operator design 9.1] */
#define LOG_LINES_PER_S 20     /* hard cap [operator design 9.3] */
#define LOG_REPEAT_MS 600000u  /* same event and subject are summarised for so long */
#define LOG_SEEN_MAX 256       /* events with subject remembered at once */

enum log_level { LOG_L_ERR = 3, LOG_L_WARN = 4, LOG_L_NOTICE = 5, LOG_L_INFO = 6, LOG_L_DEBUG = 7 };
enum log_format { LOG_F_AUTO, LOG_F_TEXT, LOG_F_JOURNAL, LOG_F_JSON };

void log_setup(enum log_format format, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_node_id(const char *node_id);
uint64_t log_suppressed_total(void);
uint64_t log_lines_total(enum log_level level);   /* written */
/* Writes the summaries whose ten minutes are over; the node calls it once a minute. */
void log_tick(void);
/* Time of the suppression, for tests; starts with nothing seen. */
struct clock;
void log_set_clock(const struct clock *c);

struct log_fields;
/* Sees the events that `wants` names (NULL: all), whatever the level and before anything is
 * suppressed; message is escaped and cut. All watchers are of the loop's thread; events of other
 * threads pass them by. NULL as fn ends it. */
enum log_watcher { LOG_WATCH_FILE, LOG_WATCH_FEED, LOG_WATCH_MAX_ };
typedef void (*log_watch_fn)(void *arg, enum log_level level, const char *event, const struct log_fields *f,
                             const char *message);
void log_watch(enum log_watcher who, bool (*wants)(const char *event), log_watch_fn fn, void *arg);

/* Fields that go beside the message. NULL / 0 are left out. */
struct log_fields {
        const char *subject, *reason, *task_id, *trace_id, *backend, *model, *code, *peer;
        int64_t duration_ms, tokens;
};

/* event: a name of iicpd-events(7), "backend_down". */
void log_event(enum log_level level, const char *event, const struct log_fields *fields,
               const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_err(event, ...) log_event(LOG_L_ERR, event, NULL, __VA_ARGS__)
#define log_warn(event, ...) log_event(LOG_L_WARN, event, NULL, __VA_ARGS__)
#define log_notice(event, ...) log_event(LOG_L_NOTICE, event, NULL, __VA_ARGS__)
#define log_info(event, ...) log_event(LOG_L_INFO, event, NULL, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_L_DEBUG, event, NULL, __VA_ARGS__)

/* Escapes foreign text into buf (size cap, at least 8) and returns buf. */
const char *log_text(struct iicp_str text, char *buf, size_t cap);
/* The same with another bound than LOG_TEXT_MAX. */
const char *log_text_cut(struct iicp_str text, char *buf, size_t cap, size_t max);

#endif
