/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a backend: one piece and many pieces read the same. First byte: size of the pieces. */

#include "fuzz.h"

#include "fetch_reader.h"
#include "util.h"

#define MAX_ANSWER 4096

static enum fetch_error feed(struct reader *r, const char *p, size_t n, size_t piece, size_t *ret_at) {
        enum fetch_error e = FETCH_OK;
        size_t at = 0, used;

        while (e == FETCH_OK && at < n && r->state != READER_DONE) {
                size_t now = MIN(piece, n - at);

                e = reader_feed(r, p + at, now, &used);
                FUZZ_CHECK(used <= now);
                FUZZ_CHECK(used == now || e != FETCH_OK || r->state == READER_DONE);
                at += used;
        }
        *ret_at = at;
        return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct reader whole, pieces;
        enum fetch_error a, b;
        size_t at_a, at_b;

        if (size < 1)
                return 0;
        reader_init(&whole, MAX_ANSWER, NULL, NULL);
        reader_init(&pieces, MAX_ANSWER, NULL, NULL);
        a = feed(&whole, (const char *) data + 1, size - 1, size, &at_a);
        b = feed(&pieces, (const char *) data + 1, size - 1, (size_t) data[0] + 1, &at_b);
        FUZZ_CHECK(a == b);
        FUZZ_CHECK(whole.body.n <= MAX_ANSWER && pieces.body.n <= MAX_ANSWER);
        if (a == FETCH_OK) {
                FUZZ_CHECK(whole.state == pieces.state && whole.status == pieces.status && at_a == at_b);
                FUZZ_CHECK(whole.keep == pieces.keep);
                FUZZ_CHECK(iicp_str_eq(iicp_buf_str(&whole.body), iicp_buf_str(&pieces.body)));
                FUZZ_CHECK(reader_end(&whole) == reader_end(&pieces));
        }
        reader_done(&whole);
        reader_done(&pieces);
        return 0;
}
