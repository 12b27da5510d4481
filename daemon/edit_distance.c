/* SPDX-License-Identifier: Apache-2.0 */
#include "edit_distance.h"

#include "util.h"

#include <string.h>

unsigned edit_distance(const char *a, const char *b, unsigned limit) {
        enum { WORD_MAX = 48 };
        unsigned row[3][WORD_MAX + 1];
        size_t n = strlen(a), m = strlen(b);

        if (n > WORD_MAX || m > WORD_MAX || (n > m ? n - m : m - n) > limit)
                return limit + 1;
        for (size_t j = 0; j <= m; j++)
                row[1][j] = (unsigned) j;
        for (size_t i = 1; i <= n; i++) {
                unsigned *cur = row[(i + 1) % 3], *prev = row[i % 3], *before = row[(i + 2) % 3];

                cur[0] = (unsigned) i;
                for (size_t j = 1; j <= m; j++) {
                        unsigned d = prev[j - 1] + (a[i - 1] != b[j - 1]);

                        d = MIN(d, prev[j] + 1);
                        d = MIN(d, cur[j - 1] + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                d = MIN(d, before[j - 2] + 1);
                        cur[j] = d;
                }
        }
        return MIN(row[(n + 1) % 3][m], limit + 1);
}
