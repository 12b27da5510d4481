/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_DIRECTORY_LOOK_H
#define IICPD_DIRECTORY_LOOK_H

/* What the directory says about us, asked on request and once after the first good heartbeat. It is
 * shown and never decides anything. [01 sections 5.1, 5.2, 5.10, 5.11, 5.13] */

#include <iicp/buf.h>
#include <iicp/directory_read.h>

struct directory;
struct look;

struct look *look_new(struct directory *d);
struct look *look_free(struct look *l); /* waiting functions are not called */
/* fn when the answers are there; a look that is younger than 5 s is shown again. */
int look_start(struct look *l, void (*fn)(void *arg), void *arg);
/* After the first good heartbeat: says it when the directory does not list what we said. */
void look_at_start(struct look *l);
/* ,"view":{...} or nothing before the first look. */
void look_json(const struct look *l, struct iicp_buf *out);

#endif
