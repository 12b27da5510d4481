/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_NATIVE_H
#define IICP_NATIVE_H

#include <iicp/cbor_msg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The client's side of a native connection: INIT, ACK, CALLs one after another, RESPONSEs, CLOSE. Bytes
 * in, bytes out; the caller connects (after the address rules of the consumer document), writes all of
 * the output in one write, keeps the times, and may fall back to HTTP as long as nothing of a CALL was
 * taken from the output. The version offered is 1 and never lowered. [03 sections 8.1, 11] */

#define IICP_NATIVE_CONNECT_MS 10000
#define IICP_NATIVE_ACK_MS 10000       /* then no retry to that endpoint for IICP_NATIVE_SUSPECT_MS */
#define IICP_NATIVE_SUSPECT_MS 60000
#define IICP_NATIVE_MARGIN_MS 2000     /* a CALL waits for its timeout and that */

enum iicp_native_state {
        IICP_NATIVE_HANDSHAKE,         /* the ACK is awaited */
        IICP_NATIVE_READY,
        IICP_NATIVE_CALLING,
        IICP_NATIVE_CLOSED,            /* orderly */
        IICP_NATIVE_BROKEN,            /* see iicp_native_why */
};

struct iicp_native;

/* A RESPONSE to the CALL. json: the result as JSON text, absent without one or when the form is not
 * understood; a text chunk comes as it is in text. Both are gone afterwards. */
typedef void (*iicp_native_response_fn)(void *arg, const struct iicp_msg_response *m, struct iicp_str json,
                                        struct iicp_str text);

/* INIT is in the output already. */
IICP_API struct iicp_native *iicp_native_new(iicp_native_response_fn fn, void *arg);
IICP_API struct iicp_native *iicp_native_free(struct iicp_native *c);

/* Puts the CALL into the output as soon as there was an ACK. m->session_id is required; a CALL with
 * call_id and task_id is a lifecycle one and ends with its terminal RESPONSE. -EBUSY: another one runs,
 * or the connection is over; -E2BIG: more than the peer takes. */
IICP_API int iicp_native_call(struct iicp_native *c, const struct iicp_msg_call *m, struct iicp_str payload);
IICP_API void iicp_native_close(struct iicp_native *c);

/* What is to be written; after writing n bytes: sent. */
IICP_API struct iicp_str iicp_native_output(const struct iicp_native *c);
IICP_API void iicp_native_sent(struct iicp_native *c, size_t n);
/* What was read. -EBADMSG: the connection is broken; the output may hold a last CLOSE. */
IICP_API int iicp_native_input(struct iicp_native *c, struct iicp_str bytes);
IICP_API void iicp_native_end_of_input(struct iicp_native *c);

IICP_API enum iicp_native_state iicp_native_state(const struct iicp_native *c);
/* "version_mismatch", "sequence_drift", "missing_terminal_response", "closed: idle_timeout"; "" if
 * nothing is wrong. */
IICP_API const char *iicp_native_why(const struct iicp_native *c);
/* Has a CALL left the output? Then HTTP must not be tried instead. */
IICP_API bool iicp_native_call_sent(const struct iicp_native *c);

#ifdef __cplusplus
}
#endif
#endif
