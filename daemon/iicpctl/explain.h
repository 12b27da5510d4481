/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPCTL_EXPLAIN_H
#define IICPCTL_EXPLAIN_H

#include "guidance.h"

extern const struct explain_word explain_events[];
extern const size_t explain_n_events;
extern const struct explain_word explain_codes[];
extern const size_t explain_n_codes;

#endif
