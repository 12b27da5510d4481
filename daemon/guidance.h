/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_GUIDANCE_H
#define IICPD_GUIDANCE_H

/* What stands between this node and its callers, and what helps: the guidance codes, for the daemon's
 * status and log and for iicpctl. [04 section 12] */

#include <stddef.h>

struct explain_word {
        const char *word, *text, *todo;
};

extern const struct explain_word explain_guidance[];
extern const size_t explain_n_guidance;
/* NULL: no such code. */
const struct explain_word *guidance_find(const char *code);

#endif
