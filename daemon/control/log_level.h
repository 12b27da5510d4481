/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_LOG_LEVEL_H
#define IICPD_CONTROL_LOG_LEVEL_H

/* An override of log.level: who made it and when it ends. */

struct node;
struct log_override;

struct log_override *log_override_new(struct node *node);
struct log_override *log_override_free(struct log_override *o);

#endif
