/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/address.h>
#include <string.h>

static void IICPD_04_10_classes_of_addresses(void **state) {
        struct json_object *doc = vector_ours("reachability/ip-classes.json");

        (void) state;
        vector_each(vector_get(doc, "addresses"), c) {
                struct sockaddr_storage a;
                enum iicp_addr_class is;

                assert_true(iicp_addr_parse(vector_str(c, "address").p, &a));
                is = iicp_addr_class((const struct sockaddr *) &a);
                if (strcmp(iicp_addr_class_name(is), vector_str(c, "class").p) != 0)
                        fail_msg("%s: %s, not %s", vector_str(c, "address").p, iicp_addr_class_name(is),
                                 vector_str(c, "class").p);
                assert_int_equal(is == IICP_ADDR_PUBLIC, json_object_get_boolean(vector_get(c, "advertisable")));
        }
        json_object_put(doc);
}

static void only_literals_are_parsed(void **state) {
        static const char *const no[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "127.1", "0x7f000001", "fe80::1%eth0",
                                         "[::1]", "1.2.3.4 ", "::g"};
        struct sockaddr_storage a;

        (void) state;
        for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
                assert_false(iicp_addr_parse(no[i], &a));
        a.ss_family = AF_UNIX;
        assert_int_equal(iicp_addr_class((const struct sockaddr *) &a), IICP_ADDR_RESERVED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_04_10_classes_of_addresses),
                cmocka_unit_test(only_literals_are_parsed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
