/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_ASSEMBLE_H
#define IICPD_BACKEND_ASSEMBLE_H

/* A stream put together to the answer that would have come in one piece, in the OpenAI form, whatever
 * the dialect of the stream. [02 sections 10.4, 10.8, 10.10 rules 3, 4] */

#include "backend.h"
#include "sse.h"

#define TOOL_CALLS_MAX 128

enum assemble_form { FORM_OPENAI, FORM_MESSAGES };

enum assemble_result {
        ASSEMBLE_OK,
        ASSEMBLE_INVALID,    /* not a stream of the promised form, or too large */
        ASSEMBLE_FAILED,     /* an event said error */
        ASSEMBLE_UNFINISHED, /* no finish_reason came */
};

struct tool_call {
        bool used;
        struct iicp_buf id, name, arguments;
};

/* Strings are kept as they stood in the events, escapes and all: each event is valid JSON by itself,
 * so the join of two string bodies is one too. */
struct assemble {
        enum iicp_intent_kind kind;
        enum assemble_form form;
        enum assemble_result fault;
        bool wants_text;
        bool plain;     /* the server answered whole after all */
        bool begun, finished;
        const char *reasoning_name; /* what the server calls it; NULL = none came */
        bool done;      /* the end mark came */
        size_t total;   /* bytes kept, all together */
        struct sse sse;
        struct iicp_buf text; /* of the last event, decoded */
        struct iicp_buf whole, content, reasoning, finish, usage, id, model, created, out;
        struct tool_call *calls;
        size_t n_calls;
        int64_t input_tokens, output_tokens; /* FORM_MESSAGES; -1 = not told */
};

struct assemble *assemble_new(enum iicp_intent_kind kind, enum assemble_form form, bool wants_text);
struct assemble *assemble_free(struct assemble *a);

enum assemble_step {
        ASSEMBLE_MORE, /* the piece is used up */
        ASSEMBLE_TEXT, /* *ret_text came, borrowed until the next call */
        ASSEMBLE_STOP, /* a fault: see assemble_end */
};
/* Takes from *piece up to the next text. */
enum assemble_step assemble_next(struct assemble *a, struct iicp_str *piece, struct iicp_str *ret_text);
/* *ret is borrowed from the object. */
enum assemble_result assemble_end(struct assemble *a, struct iicp_str *ret);

/* ---- for the forms ---- */
bool assemble_fail(struct assemble *a, enum assemble_result why);
bool assemble_append(struct assemble *a, struct iicp_buf *to, struct iicp_str text);
bool assemble_replace(struct assemble *a, struct iicp_buf *to, struct iicp_str text);
/* The first one that came stays. */
bool assemble_first(struct assemble *a, struct iicp_buf *to, const struct iicp_json *v, enum iicp_json_type type);
/* The string goes to the content and, decoded, to the caller. */
bool assemble_content(struct assemble *a, const struct iicp_json *string);
bool assemble_openai_event(struct assemble *a, const struct iicp_json *event);
bool assemble_messages_event(struct assemble *a, const struct iicp_json *event);

#endif
