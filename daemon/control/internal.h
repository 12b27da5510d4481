/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_INTERNAL_H
#define IICPD_CONTROL_INTERNAL_H

/* One request on the control socket, for the files that answer it. */

#include <iicp/buf.h>
#include <stdbool.h>

struct node;
struct MHD_Response;
struct call;

struct node *call_node(const struct call *call);
struct iicp_str call_body(const struct call *call);
/* A value of the query, NULL = absent; borrowed. */
const char *call_argument(const struct call *call, const char *name);
/* A header, NULL = absent; borrowed. What stood at the `*` of the resource's path. */
const char *call_header(const struct call *call, const char *name);
const char *call_item(const struct call *call);
/* It came by status.sock: no addresses; hide_addresses looks after answers that are texts. */
bool call_is_open(const struct call *call);
/* Who asks, for the log: "alice (uid 1000)". */
void call_who(const struct call *call, char *name, size_t cap);
/* One audit line. */
void call_audit(struct call *call, const char *action);
/* What came of it, behind call_audit, for changes that take their time. */
void call_audit_outcome(const struct call *call, const char *action, const char *outcome);
/* Writes an error document; returns status. */
unsigned call_fault(struct iicp_buf *out, unsigned status, const char *code, const char *message, const char *todo);
/* The answer comes later, by call_resume: the function returns 0. */
void call_suspend(struct call *call);
void call_resume(struct call *call, unsigned status, struct iicp_buf *out);
/* The answer is this response, which goes over; the function returns 0. */
void call_stream(struct call *call, struct MHD_Response *response);

/* views.c */
unsigned get_status(struct call *call, struct iicp_buf *out);
unsigned get_health(struct call *call, struct iicp_buf *out);
unsigned get_findings(struct call *call, struct iicp_buf *out);
unsigned get_backend(struct call *call, struct iicp_buf *out);
unsigned get_config_key(struct call *call, struct iicp_buf *out);
unsigned get_metrics(struct call *call, struct iicp_buf *out);
unsigned get_schemas(struct call *call, struct iicp_buf *out);
unsigned get_schema(struct call *call, struct iicp_buf *out);
unsigned get_version(struct call *call, struct iicp_buf *out);
/* changes.c */
unsigned post_drain(struct call *call, struct iicp_buf *out);
unsigned post_undrain(struct call *call, struct iicp_buf *out);
unsigned post_reload(struct call *call, struct iicp_buf *out);
unsigned post_rotate_key(struct call *call, struct iicp_buf *out);
/* page.c, page_assets.c */
unsigned get_page(struct call *call, struct iicp_buf *out);
unsigned get_page_css(struct call *call, struct iicp_buf *out);
unsigned get_page_icon(struct call *call, struct iicp_buf *out);
unsigned get_page_js(struct call *call, struct iicp_buf *out);
/* stream.c */
unsigned get_events(struct call *call, struct iicp_buf *out);
/* resources.c */
unsigned get_index(struct call *call, struct iicp_buf *out);

/* membership.c: our place in the directory. All wait for the outcome. */
unsigned post_reregister(struct call *call, struct iicp_buf *out);
unsigned post_deregister(struct call *call, struct iicp_buf *out);
unsigned post_identity_reset(struct call *call, struct iicp_buf *out);
unsigned get_directory(struct call *call, struct iicp_buf *out);

/* account.c: both ask the directory. */
unsigned get_credits(struct call *call, struct iicp_buf *out);
unsigned get_quote(struct call *call, struct iicp_buf *out);
/* backends.c */
unsigned get_backends(struct call *call, struct iicp_buf *out);
unsigned get_models(struct call *call, struct iicp_buf *out);
/* tasks.c */
unsigned get_tasks(struct call *call, struct iicp_buf *out);
unsigned get_task(struct call *call, struct iicp_buf *out); /* /v1/tasks/PREFIX */
unsigned post_selftest(struct call *call, struct iicp_buf *out);
/* settings.c */
unsigned get_config(struct call *call, struct iicp_buf *out);
unsigned get_config_diff(struct call *call, struct iicp_buf *out);
/* log_level.c */
struct log_override *call_log_override(const struct call *call);
unsigned get_log(struct call *call, struct iicp_buf *out);
unsigned put_log(struct call *call, struct iicp_buf *out);
/* sessions.c: workers that are bound to this relay */
unsigned get_sessions(struct call *call, struct iicp_buf *out);
unsigned get_session(struct call *call, struct iicp_buf *out);
unsigned post_kick(struct call *call, struct iicp_buf *out);
/* routes.c */
unsigned get_relays(struct call *call, struct iicp_buf *out);
unsigned get_routes(struct call *call, struct iicp_buf *out);
unsigned get_peers(struct call *call, struct iicp_buf *out);
unsigned post_redetect(struct call *call, struct iicp_buf *out);

#endif
