/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_ROUTES_H
#define IICPD_ROUTES_H

/* How others get to this node: finds a route by the ladder, proves it before it is published, keeps
 * its leases, looks again when something happens. One detection at a time; serving never waits for
 * it. [04 sections 4, 5.4, 8, 12, 13] */

#include "ladder.h"
#include "facts.h"

#include <iicp/buf.h>

#define ROUTES_BUDGET_MS 25000        /* of steps 4 to 6 */
#define ROUTES_APART_MS 30000         /* between detections, but for one that was asked for */
#define ROUTES_ROUTER_MS 12000        /* a question that takes longer is given up */
#define ROUTES_MAP_MS 15000           /* of a mapping: three protocols in turn, where all are silent */
#define ROUTES_REPROBE_MS 1800000     /* of a route where nobody came */
#define ROUTES_ADDRESS_MS 300000      /* between looks at the gateway's address */
#define ROUTES_LOG_MAX 30             /* lines kept of the last detection */
#define ROUTES_OBSERVED_S 600         /* so long an address seen by others counts */

struct node;
struct routes;

/* Whether this node looks for a route itself: no operator's endpoint, no address to listen on, no
 * private lab. Otherwise the endpoint is what the configuration says (node_endpoint.c). */
bool routes_wanted(const struct node *n);

struct routes *routes_new(struct node *n);
struct routes *routes_free(struct routes *r);
/* The listener answers health. */
void routes_start(struct routes *r);
/* Something has happened (static reason): look again. now: without the pause between detections. */
void routes_look(struct routes *r, const char *reason, bool now);
/* The same for what may have changed nothing: where addresses, gateway and leases are those of the
 * live route, only the leases are renewed. */
void routes_look_cheaply(struct routes *r, const char *reason);
/* A setting that a detection depends on was changed. */
void routes_reload(struct routes *r);
/* The directory refused this endpoint: it is dead for 300 s, the ladder goes on below it. An endpoint
 * of the operator stays, without nat.fallback. True: the same may be registered again at once. */
bool routes_refused(struct routes *r, const char *endpoint);
/* The directory has what is published now: what belonged to the route before may be closed. */
void routes_registered(struct routes *r);
/* How others saw us. */
void routes_observed(struct routes *r, const char *address);
/* From the relay worker: it is bound, by itself or after a loss; it is not, and tries again; there is no
 * relay left. */
void routes_relay_up(struct routes *r);
void routes_relay_down(struct routes *r);
void routes_relay_gone(struct routes *r);
/* Revokes what routers have opened for us, within 3 s; then fn. */
void routes_stop(struct routes *r, void (*fn)(void *arg), void *arg);

/* Do callers get through, as far as we know? Without routes: yes. */
bool routes_serves(const struct routes *r);
/* No route, and the tunnel's provider lets us wait. */
bool routes_tunnel_limited(const struct routes *r);
/* The route that is published; tier 4 = none. */
const struct ladder_route *routes_live(const struct routes *r);
/* nat_type of a REGISTER: "unknown", or once what nat.declare_verified_ipv6 allows. */
const char *routes_nat_type(const struct routes *r);
/* Whether workers get to relay.port by the live route: if not, this node is no relay. */
bool routes_relay_open(const struct routes *r);
/* The pinhole of the live route; false: none. id 0: its protocol has none. */
bool routes_pinhole(const struct routes *r, unsigned *ret_id, uint32_t *ret_lease_s);
bool routes_looking(const struct routes *r);
/* The i-th guidance code of the last detection, and the one sentence why there is no route; NULL: none. */
const char *routes_guidance(const struct routes *r, unsigned i);
/* "reachability" of the status, and the evidence of the last detection. [04 section 16] */
void routes_json(const struct routes *r, struct iicp_buf *out);
/* Proof, lease and the last caller from outside, each member with a comma before it. */
void routes_summary_json(const struct routes *r, struct iicp_buf *out);
void routes_metrics(const struct routes *r, struct iicp_buf *out);

#endif
