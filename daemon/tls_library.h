/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TLS_LIBRARY_H
#define IICPD_TLS_LIBRARY_H

/* libssl and libevent's layer over it, loaded for a certificate or a relay and not before: other nodes
 * in clear need neither, and they are half a megabyte resident. */

#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>

struct tls_library {
        __typeof__(&TLS_server_method) TLS_server_method;
        __typeof__(&TLS_client_method) TLS_client_method;
        __typeof__(&SSL_CTX_set_verify) SSL_CTX_set_verify;
        __typeof__(&SSL_CTX_set_default_verify_paths) SSL_CTX_set_default_verify_paths;
        __typeof__(&SSL_get0_param) SSL_get0_param;
        __typeof__(&SSL_set1_host) SSL_set1_host;
        __typeof__(&SSL_ctrl) SSL_ctrl;
        __typeof__(&SSL_CTX_new) SSL_CTX_new;
        __typeof__(&SSL_CTX_free) SSL_CTX_free;
        __typeof__(&SSL_CTX_ctrl) SSL_CTX_ctrl;
        __typeof__(&SSL_CTX_set_options) SSL_CTX_set_options;
        __typeof__(&SSL_CTX_set_security_level) SSL_CTX_set_security_level;
        __typeof__(&SSL_CTX_use_certificate) SSL_CTX_use_certificate;
        __typeof__(&SSL_CTX_use_PrivateKey) SSL_CTX_use_PrivateKey;
        __typeof__(&SSL_CTX_check_private_key) SSL_CTX_check_private_key;
        __typeof__(&SSL_CTX_set_alpn_select_cb) SSL_CTX_set_alpn_select_cb;
        __typeof__(&SSL_new) SSL_new;
        __typeof__(&SSL_free) SSL_free;
        __typeof__(&SSL_shutdown) SSL_shutdown;
        __typeof__(&bufferevent_openssl_socket_new) bufferevent_openssl_socket_new;
        __typeof__(&bufferevent_openssl_get_ssl) bufferevent_openssl_get_ssl;
};

/* 0, or -ENOENT with a text that names what is missing. */
int tls_library_load(struct tls_library *ret, char *why, size_t why_cap);

#endif
