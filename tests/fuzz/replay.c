/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds each file of $IICP_CORPUS/NAME to the target fuzz-NAME. */

#include "fuzz.h"

#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_SKIP 77

static int replay(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
                return -1;
        if (!S_ISREG(st.st_mode))
                return 0;
        /* exactly as large as the text, so that a sanitizer sees the first byte too far */
        _cleanup_free_ uint8_t *data = malloc(MAX((size_t) st.st_size, (size_t) 1));
        if (!data || read(fd, data, (size_t) st.st_size) != (ssize_t) st.st_size)
                return -1;
        LLVMFuzzerTestOneInput(data, (size_t) st.st_size);
        return 1;
}

int main(int argc, char **argv) {
        const char *corpus = getenv("IICP_CORPUS"), *name = strstr(argv[0], "fuzz-");
        const char *slash = strrchr(argv[0], '/');
        char folder[PATH_MAX], path[PATH_MAX];
        unsigned n = 0;

        if (slash)
                name = strstr(slash, "fuzz-");
        if (argc > 1) {
                for (int i = 1; i < argc; i++)
                        if (replay(argv[i]) < 0)
                                return EXIT_FAILURE;
                return EXIT_SUCCESS;
        }
        if (!corpus || !name)
                return EXIT_SKIP;
        snprintf(folder, sizeof folder, "%s/%s", corpus, name + strlen("fuzz-"));
        DIR *d = opendir(folder);
        if (!d) {
                perror(folder);
                return EXIT_FAILURE;
        }
        for (struct dirent *e; (e = readdir(d));) {
                if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int) sizeof path)
                        continue;
                int r = replay(path);
                if (r < 0) {
                        perror(path);
                        closedir(d);
                        return EXIT_FAILURE;
                }
                n += (unsigned) r;
        }
        closedir(d);
        printf("%u inputs of %s\n", n, folder);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
