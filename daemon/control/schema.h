/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_SCHEMA_H
#define IICPD_CONTROL_SCHEMA_H

/* The JSON Schemas of our documents, built in. iicpctl prints them without a daemon. A schema is
 * written as a short text, one member a word, and printed in full:
 *
 *   "name:s"  string        "n:i" integer     "x:n" number     "b:b" boolean
 *   "o:{...}" object        "l:[...]" array of such objects; "l:[s]" of strings
 *   "?" behind the letter or bracket: may be null; "*" before the name: may be absent; "a" anything
 *
 * Objects may grow: members that are not named are allowed. [operator design 3.3] */

#include <iicp/buf.h>
#include <stdbool.h>
#include <stddef.h>

struct schema {
        const char *name;    /* "status": "iicp.status/1" */
        const char *members;
};
extern const struct schema schemas[];
extern const size_t n_schemas;

/* -ENOENT: there is none of this name. */
int schema_print(const char *name, struct iicp_buf *out);
/* {"schema":"iicp.schemas/1","names":[...]} */
void schema_list(struct iicp_buf *out);

#endif
