/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CREDITS_H
#define IICPD_CREDITS_H

/* The node's account at the directory, read when somebody asks. [01 section 5.9] */

#include <iicp/buf.h>
#include <stdbool.h>
#include <stdint.h>

#define CREDITS_AGAIN_MS 1000u    /* before the one repetition of a read */
#define CREDITS_SHOWN_MAX 100u    /* transactions that are passed on */

struct node;
struct credits;

struct credits *credits_new(struct node *node);
struct credits *credits_free(struct credits *c); /* reads that are under way end without their fn */

struct credits_wish {
        bool quote;                 /* a price instead of the account */
        const char *intent;         /* of a quote */
        unsigned max_tokens;        /* of a quote; 0 = the directory's default */
};

/* fn gets one document and its HTTP status; once, perhaps from inside. It takes over what is in out. */
typedef void (*credits_fn)(void *arg, unsigned status, struct iicp_buf *out);
void credits_read(struct credits *c, const struct credits_wish *wish, credits_fn fn, void *arg);

#endif
