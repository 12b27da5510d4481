/* SPDX-License-Identifier: Apache-2.0 */
#include "curl_library.h"

#include "log.h"
#include "util.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define SONAME "libcurl.so.4" /* its only ABI since 2006 */

#define FUNCTION(name) {"curl_" #name, offsetof(struct curl_library, name)}

static const struct {
        const char *name;
        size_t at;
} functions[] = {
        FUNCTION(easy_init),           FUNCTION(easy_cleanup),    FUNCTION(easy_setopt),
        FUNCTION(easy_getinfo),        FUNCTION(multi_init),      FUNCTION(multi_cleanup),
        FUNCTION(multi_setopt),        FUNCTION(multi_assign),    FUNCTION(multi_add_handle),
        FUNCTION(multi_remove_handle), FUNCTION(multi_info_read), FUNCTION(multi_socket_action),
        FUNCTION(slist_append),        FUNCTION(slist_free_all),  FUNCTION(url),
        FUNCTION(url_set),             FUNCTION(url_cleanup),
};

_Static_assert(sizeof(struct curl_library) == ARRAY_SIZE(functions) * sizeof(void *), "a function is missing");

int curl_library_load(struct curl_library *ret) {
        void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

        for (size_t i = 0; handle && i < ARRAY_SIZE(functions); i++) {
                void *f = dlsym(handle, functions[i].name);

                if (!f)
                        handle = NULL;
                memcpy((char *) ret + functions[i].at, &f, sizeof f);
        }
        if (handle)
                return 0;
        log_err("library_missing", "%s cannot be loaded: no https and no names in URLs", SONAME);
        return -ENOENT;
}
