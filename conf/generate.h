/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_GENERATE_H
#define IICPD_GENERATE_H

#include <stdio.h>

/* findings_page.c: iicpd-findings(7). */
void findings_write_manual(FILE *f);

#endif
