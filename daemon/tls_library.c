/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_library.h"

#include "util.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SSL_SONAME "libssl.so.3"
#define EVENT_SONAME "libevent_openssl-2.1.so.7"

#define SSL_FUNCTION(name) {#name, offsetof(struct tls_library, name), false}
#define EVENT_FUNCTION(name) {#name, offsetof(struct tls_library, name), true}

static const struct {
        const char *name;
        size_t at;
        bool event;
} functions[] = {
        SSL_FUNCTION(TLS_server_method),          SSL_FUNCTION(TLS_client_method),
        SSL_FUNCTION(SSL_CTX_set_verify),         SSL_FUNCTION(SSL_CTX_set_default_verify_paths),
        SSL_FUNCTION(SSL_get0_param),             SSL_FUNCTION(SSL_set1_host),
        SSL_FUNCTION(SSL_ctrl),                   SSL_FUNCTION(SSL_CTX_new),
        SSL_FUNCTION(SSL_CTX_free),               SSL_FUNCTION(SSL_CTX_ctrl),
        SSL_FUNCTION(SSL_CTX_set_options),        SSL_FUNCTION(SSL_CTX_set_security_level),
        SSL_FUNCTION(SSL_CTX_use_certificate),    SSL_FUNCTION(SSL_CTX_use_PrivateKey),
        SSL_FUNCTION(SSL_CTX_check_private_key),  SSL_FUNCTION(SSL_CTX_set_alpn_select_cb),
        SSL_FUNCTION(SSL_new),                    SSL_FUNCTION(SSL_free),
        SSL_FUNCTION(SSL_shutdown),               EVENT_FUNCTION(bufferevent_openssl_socket_new),
        EVENT_FUNCTION(bufferevent_openssl_get_ssl),
};

_Static_assert(sizeof(struct tls_library) == ARRAY_SIZE(functions) * sizeof(void *), "a function is missing");

int tls_library_load(struct tls_library *ret, char *why, size_t why_cap) {
        void *ssl = dlopen(SSL_SONAME, RTLD_NOW | RTLD_LOCAL), *event = dlopen(EVENT_SONAME, RTLD_NOW | RTLD_LOCAL);

        for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
                void *from = functions[i].event ? event : ssl, *f = from ? dlsym(from, functions[i].name) : NULL;

                if (!f) {
                        snprintf(why, why_cap, "%s cannot be loaded", functions[i].event ? EVENT_SONAME : SSL_SONAME);
                        return -ENOENT;
                }
                memcpy((char *) ret + functions[i].at, &f, sizeof f);
        }
        return 0;
}
