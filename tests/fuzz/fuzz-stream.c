/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of a backend: one piece and many pieces give the same text and the same answer, which is
 * JSON. First byte: form, intent and size of the pieces. */

#include "fuzz.h"

#include "backend/assemble.h"
#include "util.h"

struct outcome {
        enum assemble_result result;
        struct iicp_buf text, answer;
        bool done;
};

static void run(const char *p, size_t n, size_t step, unsigned how, struct outcome *ret) {
        struct assemble *a = assemble_new(how & 1 ? IICP_INTENT_COMPLETION : IICP_INTENT_CHAT,
                                          how & 2 ? FORM_MESSAGES : FORM_OPENAI, true);
        struct iicp_str piece, text, whole = IICP_STR_NONE;
        enum assemble_step r = ASSEMBLE_MORE;

        *ret = (struct outcome){.text = {.max = 0}};
        for (size_t i = 0; a && i < n && r == ASSEMBLE_MORE; i += step) {
                piece = (struct iicp_str){p + i, MIN(step, n - i)};
                while ((r = assemble_next(a, &piece, &text)) == ASSEMBLE_TEXT)
                        iicp_buf_add_str(&ret->text, text);
                FUZZ_CHECK(r == ASSEMBLE_STOP || piece.n == 0);
        }
        if (!a)
                return;
        ret->result = assemble_end(a, &whole);
        ret->done = a->done;
        if (ret->result == ASSEMBLE_OK) {
                struct iicp_json top;

                iicp_buf_add_str(&ret->answer, whole);
                FUZZ_CHECK(a->plain || iicp_json_scan(whole, NULL, NULL, &top) == 0);
        }
        assemble_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct outcome whole, pieces;
        const char *p = (const char *) data + 1;

        if (size < 2)
                return 0;
        run(p, size - 1, size, data[0], &whole);
        run(p, size - 1, (size_t) (data[0] >> 2) + 1, data[0], &pieces);
        FUZZ_CHECK(whole.result == pieces.result && whole.done == pieces.done);
        FUZZ_CHECK(iicp_str_eq(iicp_buf_str(&whole.text), iicp_buf_str(&pieces.text)));
        FUZZ_CHECK(iicp_str_eq(iicp_buf_str(&whole.answer), iicp_buf_str(&pieces.answer)));
        iicp_buf_free(&whole.text);
        iicp_buf_free(&whole.answer);
        iicp_buf_free(&pieces.text);
        iicp_buf_free(&pieces.answer);
        return 0;
}
