/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BATCH_STORE_H
#define IICPD_BATCH_STORE_H

/* The batch on the disk: metrics-batch.json of the state directory. */

#include "internal.h"

/* At start. A file that cannot be read is moved aside and begins anew. */
void batch_load(struct directory *d);
/* Takes over the corridor's counts; if that changed anything, writes it on the helper thread and
 * then calls fn (may be NULL). False: there was nothing to write, fn is not called. */
bool batch_save(struct directory *d, void (*fn)(struct directory *d));
/* We left this directory: what it has not got it will not get, and nobody else either. */
void batch_drop(struct directory *d);
/* At the end of the process, without the loop. */
void batch_finish(struct directory *d);

#endif
