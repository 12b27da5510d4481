/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/sse.h"
#include "util.h"

#include <stdlib.h>

/* The data lines joined by '|', of the text in pieces of `step` bytes. */
static enum sse_result read_all(const char *text, size_t n, size_t step, struct iicp_buf *out) {
        struct iicp_str piece = IICP_STR_NONE, data;
        enum sse_result r = SSE_MORE;
        struct sse s;

        sse_init(&s);
        for (size_t i = 0; i < n && r == SSE_MORE; i += step) {
                piece = (struct iicp_str){text + i, MIN(step, n - i)};
                while ((r = sse_next(&s, &piece, &data)) == SSE_DATA) {
                        iicp_buf_add_str(out, data);
                        iicp_buf_puts(out, "|");
                }
                assert_true(r == SSE_FAULT || piece.n == 0);
        }
        if (r == SSE_MORE && (r = sse_last(&s, &data)) == SSE_DATA) {
                iicp_buf_add_str(out, data);
                iicp_buf_puts(out, "~");
        }
        sse_done(&s);
        return r;
}

static void IICPD_02_73_data_lines_are_read_line_by_line(void **state) {
        static const char text[] = ": comment\n\nevent: x\nid: 7\ndata: {\"a\":1}\n\ndata:two\r\n\r\n:\ndata:   three  \n"
                                   "datax: no\nretry: 5\ndata\n data: no\ndata:\n\ndata: [DONE]";

        (void) state;
        for (size_t step = 1; step < sizeof text; step++) {
                struct iicp_buf out = {0};

                assert_int_equal(read_all(text, sizeof text - 1, step, &out), SSE_DATA);
                assert_string_equal(out.p, "{\"a\":1}|two|three||[DONE]~");
                iicp_buf_free(&out);
        }
}

static enum sse_result of_length(size_t n, const char *end, size_t step) {
        char *text = malloc(n + 4);
        struct iicp_buf out = {0};
        enum sse_result r;

        memset(text, 'x', n);
        memcpy(text, "data:", 5);
        strcpy(text + n, end);
        r = read_all(text, n + strlen(end), step, &out);
        if (r != SSE_FAULT)
                assert_int_equal(out.n, n - 5 + 1);
        iicp_buf_free(&out);
        free(text);
        return r;
}

static void IICPD_02_73_lines_have_at_most_one_mebibyte(void **state) {
        static const size_t steps[] = {1000, 16384, SSE_LINE_MAX * 2};

        (void) state;
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                assert_int_equal(of_length(SSE_LINE_MAX, "\n", steps[i]), SSE_MORE);
                assert_int_equal(of_length(SSE_LINE_MAX, "\r\n", steps[i]), SSE_MORE);
                assert_int_equal(of_length(SSE_LINE_MAX + 1, "\n", steps[i]), SSE_FAULT);
                assert_int_equal(of_length(SSE_LINE_MAX + 1, "\r\n", steps[i]), SSE_FAULT);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_02_73_data_lines_are_read_line_by_line),
                cmocka_unit_test(IICPD_02_73_lines_have_at_most_one_mebibyte),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
