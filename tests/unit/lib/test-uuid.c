/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <ctype.h>

#include <iicp/uuid.h>

static void new_ids_are_random_v4_in_lower_case(void **state) {
        char last[IICP_UUID_TEXT] = "";

        (void) state;
        for (int i = 0; i < 64; i++) {
                char id[IICP_UUID_TEXT];

                assert_int_equal(iicp_uuid4(id), 0);
                assert_int_equal(strlen(id), 36);
                assert_true(iicp_uuid4_valid(iicp_str(id)));
                for (const char *p = id; *p; p++)
                        assert_false(isupper((unsigned char) *p));
                assert_string_not_equal(id, last);
                memcpy(last, id, sizeof(last));
        }
}

static void forms(void **state) {
        (void) state;
        assert_true(iicp_uuid4_valid(IICP_STR("550e8400-e29b-41d4-a716-446655440000")));
        assert_true(iicp_uuid4_valid(IICP_STR("550E8400-E29B-41D4-B716-446655440000")));
        assert_false(iicp_uuid4_valid(IICP_STR("550e8400-e29b-11d4-a716-446655440000")));
        assert_false(iicp_uuid4_valid(IICP_STR("550e8400-e29b-41d4-c716-446655440000")));
        assert_true(iicp_uuid_valid(IICP_STR("550e8400-e29b-11d4-c716-446655440000")));
        assert_false(iicp_uuid_valid(IICP_STR("550e8400-e29b-11d4-c716-44665544000")));
        assert_false(iicp_uuid_valid(IICP_STR("550e8400-e29b-11d4-c716-4466554400000")));
        assert_false(iicp_uuid_valid(IICP_STR("550e8400ae29b-11d4-c716-446655440000")));
        assert_false(iicp_uuid_valid(IICP_STR("550e8400-e29b-11d4-c716-44665544000g")));
        assert_false(iicp_uuid_valid(IICP_STR("550e8400e29b11d4c716446655440000")));
        assert_false(iicp_uuid_valid(IICP_STR_NONE));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(new_ids_are_random_v4_in_lower_case),
                cmocka_unit_test(forms),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
