/* SPDX-License-Identifier: Apache-2.0 */

/* Debian's libmicrohttpd is linked with GnuTLS and initializes it when it is loaded: tables, random
 * source, PKCS #11, 0.8 MB resident and 5 ms of the start. The daemon's TLS is OpenSSL's, so nothing
 * here ever calls GnuTLS. The first function is the one that GnuTLS offers for this (see
 * GNUTLS_SKIP_GLOBAL_INIT in its manual); the other two take the calls of libmicrohttpd. */

#define FOUND_BY_LIBRARIES __attribute__((visibility("default")))

FOUND_BY_LIBRARIES int _gnutls_global_init_skip(void);
FOUND_BY_LIBRARIES int gnutls_global_init(void);
FOUND_BY_LIBRARIES void gnutls_global_deinit(void);

int _gnutls_global_init_skip(void) {
        return 1;
}

int gnutls_global_init(void) {
        return 0;
}

void gnutls_global_deinit(void) {
}
