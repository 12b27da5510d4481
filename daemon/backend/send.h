/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_SEND_H
#define IICPD_BACKEND_SEND_H

/* What the dialects over HTTP share: one request with headers of our own making, its answer or its
 * stream judged. [02 sections 10.1, 10.5, 10.8, 10.10 rule 1] */

#include "assemble.h"
#include "internal.h"

#define BACKEND_STREAM_MAX ((size_t) 256 * 1024 * 1024) /* bytes of a stream, which are not kept */
#define STREAM_END_MS 250 /* from the end mark to the end of the body, which ends it whole */

struct outgoing {
        const char *path;          /* below the dialect's base, "/chat/completions" */
        const char *content_type;
        bool stream;               /* asked for in the body: the answer is put together */
        enum assemble_form form;   /* of that stream */
};

/* The name to send goes to c->model: as the server lists it, so that a tag that was left out is filled
 * in. false: too long. */
bool backend_call_choose_model(struct backend_call *c, struct iicp_str asked);
/* Whether to ask for a stream. */
bool backend_call_wants_stream(const struct backend_call *c, const struct backend_task *t);
/* Sends c->body. false: no memory, or the URL is too long. */
bool backend_call_send(struct backend_call *c, const struct backend_task *t, const struct outgoing *o);
/* Ends what runs, without a callback: the connection is closed. */
void backend_call_unsend(struct backend_call *c);

/* ---- judge.c ---- */
void judge_refuse(struct backend_answer *a, enum iicp_refusal_id id, const char *reason);
/* No answer at all. */
void judge_error(struct backend *b, const struct fetch_answer *from, struct backend_answer *a);
/* An answer that is no 2xx. */
void judge_status(struct backend *b, const struct fetch_answer *from, struct backend_answer *a);
/* The object that the intent promises, or backend_invalid_response. */
void judge_object(const struct backend_call *c, struct iicp_str body, struct backend_answer *a);
/* True, and refused, if the body is an object with a member `error`. */
bool judge_error_member(struct iicp_str body, struct backend_answer *a);
const char *judge_outcome(const struct backend_answer *a);

#endif
