/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TALLY_H
#define IICPD_TALLY_H

/* Counts of tasks and backends that only the operator sees, beside those of the contract
 * (metrics.h). Label values are static words and configured names. [operator design 11] */

#include <iicp/buf.h>

#define TALLY_BUCKETS 9
#define TALLY_WORDS 8
#define TALLY_BACKENDS 32 /* those beyond are not told apart */

struct tally_histogram {
        uint64_t buckets[TALLY_BUCKETS + 1]; /* not cumulated, the last without a bound */
        uint64_t sum_ms;
};
struct tally_words {
        const char *word[TALLY_WORDS]; /* static */
        uint64_t n[TALLY_WORDS];
};
struct tally {
        struct tally_histogram wait, overhead, first_byte;
        struct tally_words doors, aborted;
        struct tally_backend {
                char name[33];
                struct tally_words failures;
        } backends[TALLY_BACKENDS];
};

void tally_histogram_add(struct tally_histogram *h, uint64_t ms);
void tally_add(struct tally_words *w, const char *word /* static */);
/* Something else than "ok" came of a request to it. */
void tally_backend_failure(struct tally *t, const char *backend, const char *reason /* static */);
void tally_print(const struct tally *t, struct iicp_buf *out);

#endif
