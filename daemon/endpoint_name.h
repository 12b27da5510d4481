/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_ENDPOINT_NAME_H
#define IICPD_ENDPOINT_NAME_H

/* A name in node.public_endpoint must lead to public addresses, all of it. [04 section 9] */

#include "loop.h"

/* Blocks: for a helper thread. False: an address that must not be registered. A name that cannot be
 * resolved is for the directory to judge, and a literal was judged before. */
bool endpoint_resolves_public(const char *endpoint);

struct endpoint_name;
enum name_verdict { NAME_FINE, NAME_PRIVATE, NAME_ASKED };

/* known() runs on the loop when what was asked is there. NULL: no memory. */
struct endpoint_name *endpoint_name_new(struct loop *l, void (*known)(void *arg), void *arg);
struct endpoint_name *endpoint_name_free(struct endpoint_name *e);
enum name_verdict endpoint_name_look(struct endpoint_name *e, const char *endpoint);

#endif
