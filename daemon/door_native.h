/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DOOR_NATIVE_H
#define IICPD_DOOR_NATIVE_H

/* Native frames on the task port: connections, their caps, and tasks in and out. A CALL walks the same
 * corridor as POST /v1/task. [03 sections 3 to 9] */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NATIVE_INIT_MS 10000            /* INIT after accept */
#define NATIVE_IDLE_MS 300000           /* nothing in flight */
#define NATIVE_QUEUE_MAX 16             /* CALLs that wait on one connection; then reading stops */
#define NATIVE_AUTH_FAILURES_MAX 3      /* on one connection */
#define NATIVE_ERRORS_MAX 30            /* protocol errors of one source in a minute [05 section 15] */
#define NATIVE_MIN_CONNECTIONS 256
#define NATIVE_MIN_PER_SOURCE 32
#define NATIVE_MIN_NEW 64


struct node;
struct door_native;
struct bufferevent;
struct tls;
struct iicp_buf;

int door_native_new(struct node *node, struct door_native **ret);
/* Aborts the tasks that came through it and closes its connections. */
struct door_native *door_native_free(struct door_native *d);
/* May one more of this source come in? Otherwise the connection is to be closed without a byte; it was
 * counted and logged. */
bool door_native_admits(struct door_native *d, const struct sockaddr *peer);
/* Takes the connection over, also on failure. fd: under which the listener knows it. since_ms: of its
 * accept. tls: below bev, NULL in clear. */
int door_native_add(struct door_native *d, struct bufferevent *bev, int fd, const struct sockaddr *peer,
                    socklen_t peer_len, uint64_t since_ms, struct tls *tls);
/* No task runs any more: all connections are ended with a word. */
void door_native_stop(struct door_native *d);

unsigned door_native_connections(const struct door_native *d);
/* {"mode","connections","max_connections","before_init","calls","protocol_errors"} */
void door_native_json(struct door_native *d, struct iicp_buf *out);

#endif
