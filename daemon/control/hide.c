/* SPDX-License-Identifier: Apache-2.0 */
#include "control/server.h"

#include "util.h"

#include <arpa/inet.h>
#include <string.h>

/* Addresses in a text: the host of an URL, and what reads as an address by itself. */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool in_address(char c) {
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

/* The end of the host and port behind "://". */
static const char *authority_end(const char *p, const char *end) {
        while (p < end && !strchr("/\"\\ '<>,;)?#", *p))
                p++;
        return p;
}

/* A run of the characters of addresses is one: as a whole, or without a port. */
static bool is_address(const char *p, size_t n) {
        char text[64], *colon;
        unsigned char raw[16];

        while (n > 0 && (p[n - 1] == '.' || p[n - 1] == ':'))
                n--;
        if (n < 2 || n >= sizeof(text))
                return false;
        memcpy(text, p, n);
        text[n] = '\0';
        if (inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1)
                return true;
        colon = strrchr(text, ':');
        if (!colon)
                return false;
        *colon = '\0';
        return inet_pton(AF_INET, text, raw) == 1;
}

static bool in_word(char c) {
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

void hide_addresses(struct iicp_str text, struct iicp_buf *out) {
        const char *p = text.p, *end = text.p + text.n, *from = p;

        while (p < end) {
                const char *stop = p;

                if (end - p > 3 && memcmp(p, "://", 3) == 0) {
                        iicp_buf_add(out, from, (size_t) (p + 3 - from));
                        stop = authority_end(p + 3, end);
                } else if (in_address(*p) && (p == text.p || !in_word(p[-1]))) {
                        while (stop < end && in_address(*stop))
                                stop++;
                        if (!is_address(p, (size_t) (stop - p))) {
                                p = stop;
                                continue;
                        }
                        iicp_buf_add(out, from, (size_t) (p - from));
                } else {
                        p++;
                        continue;
                }
                iicp_buf_puts(out, "hidden");
                from = p = stop;
        }
        iicp_buf_add(out, from, (size_t) (end - from));
}
