/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RECENT_H
#define IICPD_RECENT_H

/* What became of the last tasks, for iicpctl tasks: steps and their times, never payload, address or
 * token. Executed ones and refused ones have places of their own, so that a flood of refusals does not
 * wash the others away. [operator design 6.3] */

#include <iicp/buf.h>
#include <stdint.h>

#define RECENT_FINISHED 200
#define RECENT_REFUSED 50

struct recent_task {
        char id[41], intent[64], model[64], backend[40];
        char caller[9];              /* the first 8 characters of who asked, or "anon" */
        const char *door;            /* static */
        const char *outcome;         /* static: "success", "error", "timeout", "aborted", "refused" */
        char code[40], reason[48];   /* of a failure or refusal */
        int status;                  /* HTTP, 0 = nothing was answered */
        bool encrypted;
        int64_t ended_at, tokens;    /* epoch seconds; -1 = unknown */
        uint64_t received_ms, admitted_ms, asked_ms, first_ms, ended_ms; /* 0 = not reached */
};

struct recent;

struct recent *recent_new(void);
struct recent *recent_free(struct recent *r);
/* r may be NULL. */
void recent_add(struct recent *r, const struct recent_task *t);
/* Newest first; failed: without those that succeeded. An array. */
void recent_json(const struct recent *r, bool failed, struct iicp_buf *out);
/* The newest whose id begins so; false: none. */
bool recent_find(const struct recent *r, const char *prefix, struct iicp_buf *out);

#endif
