/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_OPS_H
#define IICPD_OPS_H

/* The listener of metrics.listen, for whoever watches this node: GET and HEAD of /metrics, /livez,
 * /readyz, nothing else, nothing that changes anything. Loopback or a network of the operator's: it
 * has no authentication. [02 section 8.2; operator design 12] */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define OPS_CONNECTIONS_MAX 32
#define OPS_PER_ADDRESS_MAX 16
#define OPS_IDLE_S 10

struct node;
struct ops;

/* "127.0.0.1:9090" or "[::1]:9090". */
bool ops_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_n);
/* -errno when the address cannot be had. */
int ops_new(struct node *node, const char *address, struct ops **ret);
struct ops *ops_free(struct ops *o);

/* What /livez and /readyz say. Returns the status, 200 or 503; one line in out. */
struct health;
int ops_livez(const struct health *h, char *out, size_t cap);
int ops_readyz(const struct health *h, bool strict, const char *why, char *out, size_t cap);

#endif
