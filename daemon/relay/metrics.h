/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_RELAY_METRICS_H
#define IICPD_RELAY_METRICS_H

struct iicp_buf;

/* Series of a relay operator, for metrics_add_private; node has a relay. */
void relay_metrics(void *node, struct iicp_buf *out);

#endif
