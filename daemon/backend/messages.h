/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_MESSAGES_H
#define IICPD_BACKEND_MESSAGES_H

/* The mapping between the OpenAI form, which tasks have, and Anthropic's Messages. Pure texts.
 * [02 section 10.4] */

#include <iicp/intents.h>

#define MESSAGES_MAX_TOKENS 4096 /* when nobody says: the dialect demands a number */

struct messages_request {
        struct iicp_str model;
        int64_t max_tokens;
        bool stream;
};
/* The Messages request for a chat payload. */
void messages_write_request(const struct iicp_payload *payload, const struct messages_request *how,
                            struct iicp_buf *out);
/* The chat completion for an answer that is one. false: it is none. */
bool messages_write_answer(struct iicp_str body, struct iicp_buf *out);

/* finish_reason for a stop_reason. */
const char *messages_finish(const struct iicp_json *stop_reason);
/* Sets what the object tells and leaves the rest. */
void messages_usage(const struct iicp_json *usage, int64_t *input, int64_t *output);
void messages_write_usage(struct iicp_buf *out, int64_t input, int64_t output);

#endif
