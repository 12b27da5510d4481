/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: whatever it holds, there is a configuration or a list of problems. */

#include "fuzz.h"

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *none[] = {NULL};
        struct config_problems problems = {0};
        struct config_source source = {
                .path = "iicp.conf", .text = {(const char *) data, size}, .environ_ = none, .options = none,
        };
        struct config *c;

        if (!data)
                return 0;
        c = config_load(&source, &problems);
        FUZZ_CHECK(!c == (problems.n_errors > 0));
        FUZZ_CHECK(problems.n <= CONFIG_PROBLEMS_MAX && problems.n <= problems.n_errors + problems.n_warnings);
        config_free(c);
        config_problems_free(&problems);
        return 0;
}
