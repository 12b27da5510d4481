/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

/* A target is one function over bytes. With --enable-fuzzing libFuzzer drives it; otherwise
 * replay.c feeds the corpus to it, so that `make check` keeps what was once found. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An assertion that stays in every build. */
#define FUZZ_CHECK(x)                                                              \
        do {                                                                       \
                if (!(x)) {                                                        \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);    \
                        abort();                                                   \
                }                                                                  \
        } while (0)

#endif
