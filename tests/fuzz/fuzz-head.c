/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of a connection and a request head as lines: target, then one header field each. */

#include "fuzz.h"

#include "door_http_headers.h"
#include "peek.h"

static struct iicp_str cut(struct iicp_str *rest, char at) {
        const char *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
        struct iicp_str head = {rest->p, end ? (size_t) (end - rest->p) : rest->n};

        rest->p += head.n + (end ? 1 : 0);
        rest->n -= head.n + (end ? 1 : 0);
        return head;
}

static void check_inside(struct iicp_str part, struct iicp_str whole) {
        FUZZ_CHECK(!part.p || part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str whole = {(const char *) data, size}, rest = whole;
        struct http_fields fields = {0};
        struct http_target target;

        /* more bytes never take a decision back */
        enum peek decided = PEEK_MORE;
        for (size_t n = 0; n <= size && n <= PEEK_BYTES + 1; n++) {
                enum peek now = peek_classify((struct iicp_str){whole.p, n});
                FUZZ_CHECK(decided == PEEK_MORE || now == decided);
                decided = now;
        }
        FUZZ_CHECK(size < PEEK_BYTES || decided != PEEK_MORE);

        struct iicp_str line = cut(&rest, '\n');
        http_target_parse(line, &target);
        check_inside(target.authority, line);
        check_inside(http_host_name(target.authority), line);
        for (unsigned i = 0; rest.n > 0 && i < HTTP_FIELDS_MAX; i++) {
                struct iicp_str value = cut(&rest, '\n'), name = cut(&value, ':');
                http_field(&fields, name, value);
        }
        check_inside(fields.host, whole);
        check_inside(fields.content_type, whole);
        http_host_is_local(http_host_name(fields.host));
        http_body_check(&fields, IICP_BODY_MAX);
        return 0;
}
