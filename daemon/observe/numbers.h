/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_NUMBERS_H
#define IICPD_NUMBERS_H

/* The two texts of metrics. Everything: for the ops listener and the control socket. Public: for the
 * task port, the families of the contract and none beside them, since names of backends, credits and
 * figures of a relay are nobody else's business. [02 section 8.2; operator design 11] */

#include <iicp/buf.h>
#include <stdbool.h>

struct node;

void numbers_public(struct node *n, struct iicp_buf *out);
void numbers_everything(struct node *n, struct iicp_buf *out);
/* Whether a family belongs to the contract. */
bool numbers_is_public(struct iicp_str family);
/* The lines of the public families alone. */
void numbers_filter(struct iicp_str text, struct iicp_buf *out);

#endif
