/* SPDX-License-Identifier: Apache-2.0 */
#include "words.h"

#include "util.h"

#include <stdio.h>
#include <strings.h>

#define SCHEME "https://"
#define DOMAIN ".trycloudflare.com"
#define LABEL_MAX 63

static bool is_label(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* At the start of s. */
static bool url_at(struct iicp_str s, char out[TUNNEL_URL_MAX]) {
        size_t scheme = strlen(SCHEME), domain = strlen(DOMAIN), n = scheme;

        if (s.n < scheme || memcmp(s.p, SCHEME, scheme) != 0)
                return false;
        while (n < s.n && is_label(s.p[n]))
                n++;
        if (n == scheme || n - scheme > LABEL_MAX || s.n - n < domain || memcmp(s.p + n, DOMAIN, domain) != 0)
                return false;
        /* another label or a letter behind it would be another name */
        if (s.n > n + domain && (is_label(s.p[n + domain]) || s.p[n + domain] == '.'))
                return false;
        if (n - scheme == 3 && memcmp(s.p + scheme, "api", 3) == 0)
                return false;
        snprintf(out, TUNNEL_URL_MAX, "%.*s", (int) (n + domain), s.p);
        return true;
}

bool tunnel_url_in(struct iicp_str line, char out[TUNNEL_URL_MAX]) {
        for (size_t i = 0; i < line.n; i++)
                if (line.p[i] == 'h' && url_at((struct iicp_str){line.p + i, line.n - i}, out))
                        return true;
        return false;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Not as a part of a longer number. */
static bool has_429(struct iicp_str s) {
        for (size_t i = 0; i + 3 <= s.n; i++)
                if (memcmp(s.p + i, "429", 3) == 0 && (i == 0 || !is_digit(s.p[i - 1])) &&
                    (i + 3 == s.n || !is_digit(s.p[i + 3])))
                        return true;
        return false;
}

static bool has(struct iicp_str s, const char *text) {
        size_t n = strlen(text);

        for (size_t i = 0; i + n <= s.n; i++)
                if (strncasecmp(s.p + i, text, n) == 0)
                        return true;
        return false;
}

bool tunnel_limited_in(struct iicp_str line) {
        return has_429(line) || has(line, "too many requests") || has(line, "error code: 1015") || has(line, "rate limit");
}

enum tunnel_dead tunnel_dead_behaviour(enum tunnel_dead policy, bool supervised) {
        if (policy != TUNNEL_DEAD_AUTO)
                return policy;
        return supervised ? TUNNEL_DEAD_EXIT : TUNNEL_DEAD_RETRY;
}

unsigned tunnel_retry_s(unsigned failures) {
        static const unsigned delays_s[] = {30, 60, 120, 240, 300};

        return delays_s[MIN(MAX(failures, 1u), (unsigned) ARRAY_SIZE(delays_s)) - 1];
}
