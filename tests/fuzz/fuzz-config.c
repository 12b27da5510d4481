/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: whatever it holds, there is a configuration or a list of problems. */

#include "fuzz.h"

#include "config.h"
#include "util.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int fd = memfd_create("iicp.conf", MFD_CLOEXEC);
        char *none[] = {NULL};
        char path[64];
        struct config_problems problems = {0};

        if (fd < 0 || write(fd, data, size) != (ssize_t) size)
                return 0;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        struct config_source source = {
                .path = path, .path_required = true, .environ_ = none, .options = none,
        };
        struct config *c = config_load(&source, &problems);
        FUZZ_CHECK(!c == (problems.n_errors > 0));
        FUZZ_CHECK(problems.n == problems.n_errors + problems.n_warnings);
        config_free(c);
        config_problems_free(&problems);
        return 0;
}
