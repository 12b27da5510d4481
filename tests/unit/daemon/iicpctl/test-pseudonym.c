/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl/pseudonym.h"

#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(struct pseudonyms *p, const char *text, const char *wanted) {
        struct iicp_buf b = {0};

        pseudonym_learn(p, text);
        pseudonym_write(p, text, &b);
        iicp_buf_add(&b, "", 1);
        assert_string_equal(b.p, wanted);
        iicp_buf_free(&b);
}

static void OX_24_names_are_replaced_the_same_everywhere(void **state) {
        struct pseudonyms *p = calloc(1, sizeof *p);

        (void) state;
        assert_non_null(p);
        check(p, "from 203.0.113.7 to 198.51.100.9:80, again 203.0.113.7.", "from addr-1 to addr-2:80, again addr-1.");
        check(p, "2001:db8::20 and [2001:db8::20]:9484", "addr-3 and [addr-3]:9484");
        check(p, "https://dir.example.org/api, dir.example.org; xdir.example.org", "https://host-1/api, host-1; xdir.example.org");
        check(p, "7d1f0c56-1111-4111-8111-111111111111!", "node-1!");
        check(p, "127.0.0.1 ::1 0.0.0.0 localhost", "127.0.0.1 ::1 0.0.0.0 localhost");
        check(p, "at 21:02:11 version 1.2.3, 10 of 12:30", "at 21:02:11 version 1.2.3, 10 of 12:30");
        check(p, "key 0123456789abcdef0123456789abcdef0123456789abcdef end", "key [removed] end");
        check(p, "/var/lib/iicp/with/a/very/long/path/that/is/no/secret/1", "/var/lib/iicp/with/a/very/long/path/that/is/no/secret/1");
        assert_int_equal(p->addresses, 3);
        assert_int_equal(p->removed, 1);
        free(p);
}

static void OX_24_more_names_than_places_are_still_hidden(void **state) {
        struct pseudonyms *p = calloc(1, sizeof *p);
        struct iicp_buf b = {0};
        char text[64];

        (void) state;
        assert_non_null(p);
        for (unsigned i = 0; i < PSEUDONYMS_MAX + 5; i++) {
                snprintf(text, sizeof text, "10.%u.%u.9 ", i / 250, i % 250);
                pseudonym_write(p, text, &b);
        }
        iicp_buf_add(&b, "", 1);
        assert_null(strstr(b.p, "10."));
        assert_non_null(strstr(b.p, "addr-more"));
        iicp_buf_free(&b);
        free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(OX_24_names_are_replaced_the_same_everywhere),
                cmocka_unit_test(OX_24_more_names_than_places_are_still_hidden),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
