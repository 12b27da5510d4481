/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_VOUCH_H
#define IICPD_VOUCH_H

/* What is said about this node by and for its operator: delegation, policy manifest, price, listing.
 * Whatever is wrong with it is left out, warned of and shown; it never keeps the node from serving.
 * [01 sections 2.2, 2.4, 2.11; 05 sections 8, 10]
 *
 * The operator's seed, where the daemon has it at all, is read, used and wiped on the helper thread. */

#include <iicp/buf.h>
#include <stdbool.h>
#include <stdint.h>

#define VOUCH_DELEGATION_S 3600     /* of one that the daemon signs itself [05 section 8.4] */
#define VOUCH_SOON_S (7 * 86400)    /* a delegation that ends before is warned of */
#define VOUCH_LOOK_MS 60000u        /* between looks at delegation.json */
#define VOUCH_RENEW_MS 2700000u     /* a delegation of our own is signed anew after 45 minutes */
#define DELEGATION_FILE "delegation.json"

struct node;
struct vouch;

struct vouch *vouch_new(struct node *node);
struct vouch *vouch_free(struct vouch *v);
/* Reads everything; a seed takes a moment on the helper thread. */
void vouch_start(struct vouch *v);
void vouch_reload(struct vouch *v);
/* Nothing is being signed: a registration may be composed. v may be NULL in all of the following. */
bool vouch_ready(const struct vouch *v);

/* The members of a REGISTER but the parts in omit, each with a comma before it. Returns the parts that
 * it put (enum register_part). */
unsigned vouch_register_members(struct vouch *v, unsigned omit, struct iicp_buf *out);
/* What of it is declared, without what differs each time: for the digest of a registration. */
void vouch_declared(const struct vouch *v, unsigned omit, struct iicp_buf *out);
/* A registration was accepted: the next one gets a fresh delegation, the next heartbeat the price. */
void vouch_registered(struct vouch *v);

/* The signed price, where a heartbeat has to carry it; false: none is due. */
bool vouch_signed_price(const struct vouch *v, struct iicp_buf *out);
void vouch_price_delivered(struct vouch *v);
void vouch_price_refused(struct vouch *v); /* IICP-E010: not again before the next registration */

/* In ten-thousandths: what the directory will count by, 10000 when undeclared. [01 section 2.11] */
unsigned vouch_multiplier(const struct vouch *v);
/* NULL, or why something that is configured is not declared: a sentence for status. */
const char *vouch_degraded(const struct vouch *v);
void vouch_json(const struct vouch *v, struct iicp_buf *out);

#endif
