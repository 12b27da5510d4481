/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_MERGE_H
#define IICPD_RELAY_MERGE_H

/* The body that a consumer gets of a relayed task, spliced from the worker's bytes. Pure. [03 section 15] */

#include <iicp/buf.h>

/* task_id: JSON value as it stands in the task, absent if there was none. -EBADMSG: result is no JSON
 * object; -ENOMEM, -E2BIG of the buffer. */
int relay_merge(struct iicp_str result, struct iicp_str task_id, struct iicp_buf *out);

#endif
