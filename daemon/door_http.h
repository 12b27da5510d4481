/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DOOR_HTTP_H
#define IICPD_DOOR_HTTP_H

/* HTTP resources of the task port on libmicrohttpd in external epoll mode. [02 sections 2, 8] */

#include <stdint.h>
#include <sys/socket.h>

struct node;
struct door_http;

int door_http_new(struct node *node, struct door_http **ret);
/* Aborts the tasks that came through it and closes its connections. */
struct door_http *door_http_free(struct door_http *d);
/* Takes the descriptor over, also on failure (-errno). since_ms: clock_mono_ms from which the time
 * for the request head counts. consumed: bytes of earlier requests on the connection. */
int door_http_add(struct door_http *d, int fd, const struct sockaddr *peer, socklen_t peer_len,
                  uint64_t since_ms, uint64_t consumed);
/* Body of GET /iicp/health, JSON. Shared with other doors. */
struct iicp_buf;
void health_body(struct node *node, struct iicp_buf *out);
/* Gauges of the node for the metrics registry: slots, draining, connections, build. */
void metrics_node_gauges(void *node, struct iicp_buf *out);

#endif
