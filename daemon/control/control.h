/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_H
#define IICPD_CONTROL_H

/* HTTP over the Unix socket: /v1/status, /v1/drain, /v1/undrain, /v1/reload, /v1/config ...
 * JSON with a schema member, SO_PEERCRED for what changes something. [operator design 7] */

struct node;
struct control;
struct iicp_buf;

int control_new(struct node *node, struct control **ret, char *why, unsigned long why_cap);
struct control *control_free(struct control *c);

/* The status document; `iicpctl status` renders it, the page and sd_notify read the same. */
void status_json(struct node *node, struct iicp_buf *out);
/* One word of the operator design, 3.1, and the sentence of the first line. */
const char *status_word(struct node *node);
void status_sentence(struct node *node, char *out, unsigned long cap);

#endif
