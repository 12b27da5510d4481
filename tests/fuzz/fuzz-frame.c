/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of native frames: header, segmentation, gzip, fragments. The first byte says in which
 * steps the rest comes. */

#include "fuzz.h"

#include <iicp/cbor_msg.h>
#include <iicp/fragment.h>

static void on_frame(struct iicp_fragments *f, const struct iicp_frame *frame) {
        struct iicp_buf out = {.max = IICP_FRAME_INFLATED_MAX + 16};
        enum iicp_close fault = IICP_CLOSE_NONE;
        uint8_t flags;

        FUZZ_CHECK(frame->payload.n == frame->header.length);
        FUZZ_CHECK(iicp_frame_header_check(&frame->header, 0, 0) == IICP_CLOSE_NONE);
        if (frame->header.flags & IICP_FRAME_FRAGMENTED) {
                int r = iicp_fragments_add(f, frame, 0, 0, &out, &flags, &fault);

                FUZZ_CHECK(r >= 0 || fault != IICP_CLOSE_NONE);
                FUZZ_CHECK(iicp_fragments_held(f) <= IICP_FRAGMENT_ALL_BYTES);
        } else if (frame->header.flags & IICP_FRAME_COMPRESSED) {
                int r = iicp_gunzip(frame->payload, 1u << 20, &out);

                FUZZ_CHECK(r < 0 || out.n <= 1u << 20);
        }
        iicp_buf_wipe(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_fragments *f = iicp_fragments_new(0, 0);
        struct iicp_frame_reader r = {};
        struct iicp_frame frame;
        enum iicp_close fault;
        size_t at = 1, step, used;

        if (size < 2 || !f) {
                iicp_fragments_free(f);
                return 0;
        }
        step = data[0] ? data[0] : size;
        while (at < size) {
                size_t n = step < size - at ? step : size - at;
                int got = iicp_frame_reader_feed(&r, (struct iicp_str){(const char *) data + at, n}, &used, &frame, &fault);

                if (got < 0)
                        break;
                FUZZ_CHECK(used > 0 && used <= n);
                FUZZ_CHECK(got == 1 || used == n);
                FUZZ_CHECK(iicp_frame_reader_held(&r) <= size + IICP_FRAME_AHEAD);
                at += used;
                if (got == 1)
                        on_frame(f, &frame);
        }
        iicp_frame_reader_free(&r);
        iicp_fragments_free(f);
        return 0;
}
