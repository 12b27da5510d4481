/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/cx.h>

static void IICPD_05_56_selftest_passes(void **state) {
        (void) state;
        assert_int_equal(iicp_selftest(), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(IICPD_05_56_selftest_passes)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
