/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/urn.h>

#define PREFIX "urn:iicp:intent:"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define VERSION_DIGITS_MAX 9

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

static bool is_vendor(char c) {
        return is_lower(c) || is_digit(c) || c == '-';
}

static bool is_label(char c) {
        return is_vendor(c) || c == '_' || c == '/';
}

/* "v" and one to nine digits */
static bool is_version(struct iicp_str s) {
        if (s.n < 2 || s.n > 1 + VERSION_DIGITS_MAX || s.p[0] != 'v')
                return false;
        for (size_t i = 1; i < s.n; i++)
                if (!is_digit(s.p[i]))
                        return false;
        return true;
}

static bool all(struct iicp_str s, bool (*is)(char)) {
        for (size_t i = 0; i < s.n; i++)
                if (!is(s.p[i]))
                        return false;
        return s.n > 0;
}

/* Splits the next ':'-separated part off *rest; false at the end. */
static bool next_part(struct iicp_str *rest, struct iicp_str *ret_part) {
        const char *colon;

        if (!rest->p)
                return false;
        colon = memchr(rest->p, ':', rest->n);
        if (!colon) {
                *ret_part = *rest;
                *rest = IICP_STR_NONE;
        } else {
                *ret_part = (struct iicp_str){rest->p, (size_t) (colon - rest->p)};
                *rest = (struct iicp_str){colon + 1, rest->n - ret_part->n - 1};
        }
        return true;
}

static bool has_prefix(struct iicp_str urn) {
        return urn.n >= PREFIX_LEN && memcmp(urn.p, PREFIX, PREFIX_LEN) == 0;
}

/* The grammar without modifiers. */
static bool urn_matches(struct iicp_str urn) {
        struct iicp_str rest, part = IICP_STR_NONE;
        size_t labels = 0;

        if (!has_prefix(urn))
                return false;
        rest = (struct iicp_str){urn.p + PREFIX_LEN, urn.n - PREFIX_LEN};
        if (rest.n >= 2 && memcmp(rest.p, "x.", 2) == 0) {
                rest.p += 2;
                rest.n -= 2;
                if (!next_part(&rest, &part) || !all(part, is_vendor))
                        return false;
        }
        /* all parts but the last are labels, the last is the version */
        while (next_part(&rest, &part)) {
                if (!rest.p)
                        return labels > 0 && is_version(part);
                if (!all(part, is_label))
                        return false;
                labels++;
        }
        return false;
}

enum iicp_urn_verdict iicp_urn_check(struct iicp_str urn) {
        const char *plus;

        if (!urn.p || urn.n > IICP_URN_MAX)
                return IICP_URN_MALFORMED;
        plus = memchr(urn.p, '+', urn.n);
        if (!plus)
                return urn_matches(urn) ? IICP_URN_OK : IICP_URN_MALFORMED;
        if (!urn_matches((struct iicp_str){urn.p, (size_t) (plus - urn.p)}))
                return IICP_URN_MALFORMED;

        /* one or more "+modifier" of label characters */
        for (const char *p = plus, *end = urn.p + urn.n; p < end;) {
                const char *from = ++p;

                while (p < end && is_label(*p))
                        p++;
                if (p == from || (p < end && *p != '+'))
                        return IICP_URN_MALFORMED;
        }
        return IICP_URN_MODIFIER;
}

struct iicp_str iicp_urn_domain(struct iicp_str urn) {
        struct iicp_str rest, part;

        if (!urn.p || !has_prefix(urn))
                return IICP_STR_NONE;
        rest = (struct iicp_str){urn.p + PREFIX_LEN, urn.n - PREFIX_LEN};
        if (!next_part(&rest, &part) || !rest.p)
                return IICP_STR_NONE;
        return part;
}

/* ([a-z][a-z0-9_]* | x\.[a-z][a-z0-9-]*):[a-z][a-z0-9_-]*:v[1-9][0-9]* */
bool iicp_urn_registrable(struct iicp_str urn) {
        struct iicp_str rest, domain, action, version;
        bool vendor;

        if (!urn.p || urn.n > IICP_URN_MAX || !has_prefix(urn))
                return false;
        rest = (struct iicp_str){urn.p + PREFIX_LEN, urn.n - PREFIX_LEN};
        if (!next_part(&rest, &domain) || !next_part(&rest, &action) ||
            !next_part(&rest, &version) || rest.p)
                return false;

        vendor = domain.n > 2 && memcmp(domain.p, "x.", 2) == 0;
        if (vendor)
                domain = (struct iicp_str){domain.p + 2, domain.n - 2};
        if (domain.n == 0 || !is_lower(domain.p[0]) || action.n == 0 || !is_lower(action.p[0]))
                return false;
        for (size_t i = 1; i < domain.n; i++)
                if (!is_lower(domain.p[i]) && !is_digit(domain.p[i]) &&
                    domain.p[i] != (vendor ? '-' : '_'))
                        return false;
        for (size_t i = 1; i < action.n; i++)
                if (!is_vendor(action.p[i]) && action.p[i] != '_')
                        return false;
        return is_version(version) && version.p[1] != '0';
}
