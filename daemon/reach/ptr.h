/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_PTR_H
#define IICPD_PTR_H

/* The reverse name of an address as a hint about a carrier's NAT. A name proves nothing: it only
 * explains what a verification found. [04 section 6] */

#include <stdbool.h>
#include <stddef.h>

#define PTR_NAME_MAX 256

/* Blocks, 2 s at most. False: there is no name, or no answer. */
bool ptr_lookup(const char *ipv4, char out[PTR_NAME_MAX]);
/* The first PTR record of an answer of a name server; bytes in, values out. */
bool ptr_read(const unsigned char *p, size_t n, char out[PTR_NAME_MAX]);
/* The word of a shared address in it, NULL = none. */
const char *ptr_hint(const char *name);

#endif
