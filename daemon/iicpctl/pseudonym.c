/* SPDX-License-Identifier: Apache-2.0 */
#include "pseudonym.h"

#include "util.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_MIN 4 /* letters of a name that is replaced wherever it stands */
#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
#define ID_SHOWN 8 /* characters of an id on our screens */
#define HEX "0123456789abcdefABCDEF"

static const struct alias *alias_of(struct pseudonyms *p, const char *kind, unsigned *counter, const char *text, size_t n) {
        struct alias *a;

        for (size_t i = 0; i < p->n; i++)
                if (strlen(p->v[i].text) == n && strncasecmp(p->v[i].text, text, n) == 0)
                        return &p->v[i];
        if (p->n == PSEUDONYMS_MAX || n >= sizeof a->text)
                return NULL;
        a = &p->v[p->n++];
        memcpy(a->text, text, n);
        a->text[n] = '\0';
        a->kind = kind;
        a->number = ++*counter;
        return a;
}

static void put(const struct alias *a, const char *kind, struct iicp_buf *out) {
        if (a)
                iicp_buf_printf(out, "%s-%u", a->kind, a->number);
        else
                iicp_buf_printf(out, "%s-more", kind);
}

/* Addresses that say nothing about anybody. */
static bool harmless(const char *text, size_t n) {
        static const char *const own[] = {"127.0.0.1", "0.0.0.0", "::1", "::", "localhost"};

        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
                if (strlen(own[i]) == n && memcmp(own[i], text, n) == 0)
                        return true;
        return false;
}

static bool is_address(int family, const char *text, size_t n) {
        unsigned char binary[16];
        char copy[64];

        if (n == 0 || n >= sizeof copy)
                return false;
        memcpy(copy, text, n);
        copy[n] = '\0';
        return inet_pton(family, copy, binary) == 1;
}

void pseudonym_host(struct pseudonyms *p, const char *name) {
        size_t n = strlen(name);

        if (n < HOST_MIN || harmless(name, n) || is_address(AF_INET, name, n) || is_address(AF_INET6, name, n) ||
            strcasecmp(name, "iicpd") == 0 || strcasecmp(name, "node") == 0)
                return;
        alias_of(p, "host", &p->hosts, name, n);
}

void pseudonym_id(struct pseudonyms *p, const char *id) {
        if (strlen(id) >= ID_SHOWN)
                alias_of(p, "node", &p->ids, id, ID_SHOWN);
}

void pseudonym_learn(struct pseudonyms *p, const char *text) {
        for (const char *at = strstr(text, "://"); at; at = strstr(at + 3, "://")) {
                char host[256];
                size_t n = strspn(at + 3, HOST_CHARS);

                if (n == 0 || n >= sizeof host)
                        continue;
                memcpy(host, at + 3, n);
                host[n] = '\0';
                while (n > 0 && (host[n - 1] == '.' || host[n - 1] == '-'))
                        host[--n] = '\0';
                pseudonym_host(p, host);
        }
}

/* 8-4-4-4-12 hex digits. */
static size_t uuid_at(const char *s) {
        static const size_t groups[] = {8, 4, 4, 4, 12};
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
                if (strspn(s + n, HEX) != groups[i] || (i < 4 && s[n + groups[i]] != '-'))
                        return 0;
                n += groups[i] + (i < 4);
        }
        return n;
}

static size_t address_at(const char *s) {
        size_t n = strspn(s, "0123456789.");

        while (n > 0 && s[n - 1] == '.')
                n--;
        if (n >= 7 && is_address(AF_INET, s, n))
                return n;
        n = strspn(s, HEX ":.");
        while (n > 0 && s[n - 1] == '.')
                n--;
        if (n > 2 && memchr(s, ':', n) && is_address(AF_INET6, s, n))
                return n;
        /* "2001:db8::1:" before a word */
        if (n > 3 && s[n - 1] == ':' && is_address(AF_INET6, s, n - 1))
                return n - 1;
        return 0;
}

/* One of the names that are known, as a whole word. */
static const struct alias *host_at(const struct pseudonyms *p, const char *s, size_t *ret_n) {
        for (size_t i = 0; i < p->n; i++) {
                size_t n = strlen(p->v[i].text);

                if ((strcmp(p->v[i].kind, "host") == 0 || n == ID_SHOWN) && strncasecmp(s, p->v[i].text, n) == 0 && !isalnum((unsigned char) s[n])) {
                        *ret_n = n;
                        return &p->v[i];
                }
        }
        return NULL;
}

/* Of both letters and digits, and so long that nobody would say it: a key, a token, a digest. */
static size_t secret_at(const char *s) {
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=");
        bool digit = false, slash = false;

        for (size_t i = 0; i < n; i++) {
                digit = digit || isdigit((unsigned char) s[i]);
                slash = slash || s[i] == '/';
        }
        return n >= PSEUDONYM_WORD && digit && !slash ? n : 0;
}

void pseudonym_write(struct pseudonyms *p, const char *text, struct iicp_buf *out) {
        bool start = true; /* of a word */

        for (const char *s = text; *s;) {
                const struct alias *a;
                size_t n;

                if (start && (n = uuid_at(s)) > 0) {
                        put(alias_of(p, "node", &p->ids, s, n), "node", out);
                } else if (start && (n = address_at(s)) > 0 && !harmless(s, n)) {
                        put(alias_of(p, "addr", &p->addresses, s, n), "addr", out);
                } else if (start && (a = host_at(p, s, &n))) {
                        put(a, a->kind, out);
                } else if (start && (n = secret_at(s)) > 0) {
                        p->removed++;
                        iicp_buf_puts(out, "[removed]");
                } else {
                        n = 1;
                        iicp_buf_add(out, s, 1);
                }
                start = !isalnum((unsigned char) s[n - 1]);
                s += n;
        }
}
