/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_PAYLOAD_INTERNAL_H
#define IICP_PAYLOAD_INTERNAL_H

/* What the payload files share; not installed. */

#include <iicp/intents.h>

/* Is the member not forwarded: null, "_…", stream, stream_options, model, a token limit. */
bool payload_drops(const struct iicp_json *name, const struct iicp_json *value);

/* payload_schema.c: intents whose payload is told by a list of members. */
struct schema;
const struct schema *schema_of(enum iicp_intent_kind kind);
bool schema_check(const struct iicp_intent *intent, const struct iicp_json *payload, struct iicp_payload *ret,
                  struct iicp_refusal *refusal);

/* payload_limits.c: the smallest of what is given under any name. The field at fault or NULL. */
bool payload_is_limit(const struct iicp_json *name);
const char *payload_take_limit(const struct iicp_json *name, const struct iicp_json *value, struct iicp_payload *p);

/* payload_audio.c */
void speech_write(const struct iicp_payload *payload, struct iicp_str model, struct iicp_buf *out);
/* "audio", or its other name. */
struct iicp_json transcription_audio(const struct iicp_json *payload);

#endif
