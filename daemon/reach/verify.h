/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_VERIFY_H
#define IICPD_VERIFY_H

/* Verify before advertise: asks the directory (or nat.probe_url) to connect to a candidate, and
 * looks whether somebody came. At most four asks a run, three seconds apart, eight a minute; our own
 * address is never its own proof. [04 section 8] */

#include "ladder.h"

#define VERIFY_ASKS_RUN 4
#define VERIFY_ASKS_MINUTE 8
#define VERIFY_APART_MS 3000
#define VERIFY_TIMEOUT_MS 8000

struct node;
struct verify;

/* What one answer says. */
enum probe_answer { PROBE_SAYS_YES, PROBE_SAYS_NO, PROBE_SAYS_PRIVATE, PROBE_SAYS_NOTHING };
enum probe_answer probe_read(int status, struct iicp_str body);

/* The outcome so far: *ret_again when a second "no" is still to be heard. */
enum ladder_probe verify_judge(enum probe_answer answer, bool witness, enum nested nested, unsigned noes, bool *ret_again);

struct verify *verify_new(struct node *node);
struct verify *verify_free(struct verify *v);
/* A new detection begins: its four asks are free again. */
void verify_begin_run(struct verify *v);
/* One at a time. done() comes once, never from inside, unless stopped. */
void verify_start(struct verify *v, const char *url, enum nested nested,
                  void (*done)(void *arg, enum ladder_probe outcome, const char *why), void *arg);
void verify_stop(struct verify *v);

#endif
