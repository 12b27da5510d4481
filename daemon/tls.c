/* SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include "config.h"
#include "tls_library.h"
#include "util.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <iicp/address.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <time.h>

struct tls {
        unsigned refs;
        struct tls_library lib;
        SSL_CTX *context;
        int64_t not_after;
};

bool tls_wanted(const struct config *c) {
        return c->tls_cert.value && c->tls_key.value;
}

/* Nobody is there to be asked for a pass phrase. */
static int no_phrase(char *buf, int size, int rw, void *arg) {
        (void) buf;
        (void) size;
        (void) rw;
        (void) arg;
        return -1;
}

/* http/1.1 if the client names it; clients without a word, and those of native frames, go on. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
                           void *arg) {
        static const char http[] = "http/1.1";

        (void) ssl;
        (void) arg;
        for (unsigned i = 0; i < in_n && i + in[i] < in_n; i += 1u + in[i])
                if (in[i] == sizeof http - 1 && memcmp(in + i + 1, http, sizeof http - 1) == 0) {
                        *out = in + i + 1;
                        *out_n = in[i];
                        return SSL_TLSEXT_ERR_OK;
                }
        return SSL_TLSEXT_ERR_NOACK;
}

static int64_t seconds_of(const ASN1_TIME *t) {
        struct tm tm = {0};

        return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t) timegm(&tm) : 0;
}

static int bad(char *why, size_t cap, const char *text) {
        snprintf(why, cap, "%s", text);
        ERR_clear_error();
        return -EINVAL;
}

static int load_chain(struct tls *t, const struct secret *pem, char *why, size_t cap) {
        BIO *in = BIO_new_mem_buf(pem->value, (int) pem->n);
        X509 *cert = in ? PEM_read_bio_X509(in, NULL, no_phrase, NULL) : NULL;
        int r = 0;

        if (!cert || t->lib.SSL_CTX_use_certificate(t->context, cert) != 1)
                r = bad(why, cap, cert ? "listen.tls_cert: the certificate is too weak or of an unknown kind"
                                       : "listen.tls_cert holds no certificate in PEM");
        else
                t->not_after = seconds_of(X509_get0_notAfter(cert));
        X509_free(cert);
        while (r == 0 && (cert = PEM_read_bio_X509(in, NULL, no_phrase, NULL)))
                if (t->lib.SSL_CTX_ctrl(t->context, SSL_CTRL_CHAIN_CERT, 0, cert) != 1) {
                        X509_free(cert);
                        r = bad(why, cap, "listen.tls_cert: a certificate of the chain is too weak or of an unknown kind");
                }
        BIO_free(in);
        ERR_clear_error();
        return r;
}

static int load_key(struct tls *t, const struct secret *pem, char *why, size_t cap) {
        BIO *in = BIO_new_mem_buf(pem->value, (int) pem->n);
        EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_phrase, NULL) : NULL;
        int r = 0;

        BIO_free(in);
        if (!key)
                return bad(why, cap, "listen.tls_key holds no private key in PEM, or one with a pass phrase");
        /* This one compares with the certificate, too. */
        if (t->lib.SSL_CTX_use_PrivateKey(t->context, key) != 1 || t->lib.SSL_CTX_check_private_key(t->context) != 1)
                r = bad(why, cap, "listen.tls_key does not belong to listen.tls_cert");
        EVP_PKEY_free(key);
        return r;
}

int tls_new(const struct config *c, struct tls **ret, char *why, size_t why_cap) {
        struct tls *t = calloc(1, sizeof *t);
        int r;

        if (!t)
                return -ENOMEM;
        t->refs = 1;
        r = tls_library_load(&t->lib, why, why_cap);
        if (r == 0 && !(t->context = t->lib.SSL_CTX_new(t->lib.TLS_server_method())))
                r = -ENOMEM;
        if (r == 0) {
                t->lib.SSL_CTX_ctrl(t->context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, NULL);
                t->lib.SSL_CTX_ctrl(t->context, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
                /* An end without close_notify is an end; half-written tasks show in their length. */
                t->lib.SSL_CTX_set_options(t->context, SSL_OP_IGNORE_UNEXPECTED_EOF);
                t->lib.SSL_CTX_set_security_level(t->context, 2);
                t->lib.SSL_CTX_set_alpn_select_cb(t->context, choose_protocol, NULL);
                r = load_chain(t, &c->tls_cert, why, why_cap);
        }
        if (r == 0)
                r = load_key(t, &c->tls_key, why, why_cap);
        if (r < 0) {
                tls_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

struct tls *tls_free(struct tls *t) {
        if (!t || --t->refs > 0)
                return NULL;
        if (t->context)
                t->lib.SSL_CTX_free(t->context); /* connections hold references of their own */
        free(t);
        return NULL;
}

struct tls *tls_ref(struct tls *t) {
        t->refs++;
        return t;
}

void tls_half_close(struct tls *t, struct bufferevent *bev) {
        SSL *ssl = t->lib.bufferevent_openssl_get_ssl(bev);

        if (ssl)
                t->lib.SSL_shutdown(ssl);
        ERR_clear_error();
}

struct bufferevent *tls_accept(struct tls *t, struct event_base *base, int fd) {
        SSL *ssl = t->lib.SSL_new(t->context);
        struct bufferevent *bev;

        if (!ssl)
                return NULL;
        /* frees ssl with itself, and not when it fails */
        bev = t->lib.bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
        if (!bev)
                t->lib.SSL_free(ssl);
        return bev;
}

int tls_client_new(struct tls **ret, char *why, size_t why_cap) {
        struct tls *t = calloc(1, sizeof *t);
        int r;

        if (!t)
                return -ENOMEM;
        t->refs = 1;
        r = tls_library_load(&t->lib, why, why_cap);
        if (r == 0 && !(t->context = t->lib.SSL_CTX_new(t->lib.TLS_client_method())))
                r = -ENOMEM;
        if (r < 0) {
                tls_free(t);
                return r;
        }
        t->lib.SSL_CTX_ctrl(t->context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, NULL);
        t->lib.SSL_CTX_set_options(t->context, SSL_OP_IGNORE_UNEXPECTED_EOF);
        t->lib.SSL_CTX_set_security_level(t->context, 2);
        t->lib.SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
        t->lib.SSL_CTX_set_default_verify_paths(t->context);
        *ret = t;
        return 0;
}

/* Server name indication is for names only. */
static bool expect_host(struct tls *t, SSL *ssl, const char *host) {
        struct sockaddr_storage a;

        if (iicp_addr_parse(host, &a))
                return X509_VERIFY_PARAM_set1_ip_asc(t->lib.SSL_get0_param(ssl), host) == 1;
        return t->lib.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *) (uintptr_t) host) == 1 &&
               t->lib.SSL_set1_host(ssl, host) == 1;
}

struct bufferevent *tls_connect(struct tls *t, struct event_base *base, int fd, const char *host) {
        SSL *ssl = t->lib.SSL_new(t->context);
        struct bufferevent *bev = NULL;

        if (ssl && expect_host(t, ssl, host))
                bev = t->lib.bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
        if (!bev && ssl)
                t->lib.SSL_free(ssl);
        ERR_clear_error();
        return bev;
}

int64_t tls_not_after(const struct tls *t) {
        return t->not_after;
}
