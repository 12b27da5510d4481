/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_EDIT_DISTANCE_H
#define IICPD_EDIT_DISTANCE_H

/* How many insertions, deletions, changes and swaps of neighbours lie between two words; at most
 * limit + 1. Words of more than 48 bytes are never near. For "did you mean". */
unsigned edit_distance(const char *a, const char *b, unsigned limit);

#endif
