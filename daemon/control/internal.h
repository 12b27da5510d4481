/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_INTERNAL_H
#define IICPD_CONTROL_INTERNAL_H

/* One request on the control socket, for the files that answer it. */

#include <iicp/buf.h>

struct node;
struct call;

struct node *call_node(const struct call *call);
struct iicp_str call_body(const struct call *call);
/* A value of the query, NULL = absent; borrowed. */
const char *call_argument(const struct call *call, const char *name);
/* Who asks, for the log: "alice (uid 1000)". */
void call_who(const struct call *call, char *name, size_t cap);
/* One audit line. */
void call_audit(const struct call *call, const char *action);
/* Writes an error document; returns status. */
unsigned call_fault(struct iicp_buf *out, unsigned status, const char *code, const char *message, const char *todo);
/* The answer comes later, by call_resume: the function returns 0. */
void call_suspend(struct call *call);
void call_resume(struct call *call, unsigned status, struct iicp_buf *out);

/* membership.c: our place in the directory. All wait for the outcome. */
unsigned post_reregister(struct call *call, struct iicp_buf *out);
unsigned post_deregister(struct call *call, struct iicp_buf *out);
unsigned post_identity_reset(struct call *call, struct iicp_buf *out);
unsigned get_directory(struct call *call, struct iicp_buf *out);

/* account.c: both ask the directory. */
unsigned get_credits(struct call *call, struct iicp_buf *out);
unsigned get_quote(struct call *call, struct iicp_buf *out);
/* log_level.c */
unsigned get_log(struct call *call, struct iicp_buf *out);
unsigned put_log(struct call *call, struct iicp_buf *out);
/* routes.c */
unsigned get_routes(struct call *call, struct iicp_buf *out);
unsigned post_redetect(struct call *call, struct iicp_buf *out);

#endif
