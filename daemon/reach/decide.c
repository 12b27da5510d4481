/* SPDX-License-Identifier: Apache-2.0 */
#include "decide.h"

#include <arpa/inet.h>
#include <iicp/address.h>
#include <stdio.h>

/* ---- nested NAT ---- */

/* Class of an IPv4 text; false when it is none. */
static bool class_of_v4(const char *text, enum iicp_addr_class *ret) {
        struct sockaddr_storage a;

        if (!text || !iicp_addr_parse(text, &a) || a.ss_family != AF_INET)
                return false;
        *ret = iicp_addr_class((const struct sockaddr *) &a);
        return true;
}

void nested_judge(const char *e, const char *o, struct nested_verdict *ret) {
        enum iicp_addr_class of_e, of_o;
        bool have_e = class_of_v4(e, &of_e);
        bool have_o = class_of_v4(o, &of_o) && of_o == IICP_ADDR_PUBLIC;
        struct nested_verdict v = {.needs_verified = true};

        if (!have_e || of_e == IICP_ADDR_THIS_NETWORK)
                v.nested = NESTED_UNKNOWN;
        else if (of_e == IICP_ADDR_CGNAT || of_e == IICP_ADDR_DS_LITE)
                v.nested = NESTED_CGNAT;
        else if (of_e != IICP_ADDR_PUBLIC)
                v.nested = NESTED_PRIVATE;
        else if (have_o && strcmp(e, o) != 0)
                v.nested = NESTED_SUSPECT;
        else {
                v.nested = NESTED_SINGLE;
                v.needs_verified = false;
        }
        if (v.nested == NESTED_SINGLE || v.nested == NESTED_SUSPECT)
                snprintf(v.try_, sizeof v.try_, "%s", e);
        else if (have_o)
                snprintf(v.try_, sizeof v.try_, "%s", o);
        *ret = v;
}

const char *nested_name(enum nested n) {
        static const char *const names[] = {
                [NESTED_SINGLE] = "single", [NESTED_SUSPECT] = "suspect", [NESTED_CGNAT] = "cgnat",
                [NESTED_PRIVATE] = "nested", [NESTED_UNKNOWN] = "unknown",
        };

        return names[n];
}

/* ---- exposure ---- */

const char *exposure_mode(const struct exposure_facts *f) {
        switch (f->route) {
        case EXPOSURE_TUNNEL:
                return "tunnel_required";
        case EXPOSURE_RELAY:
                return "relay_required";
        case EXPOSURE_NONE:
                return f->cgnat ? "ipv4_cgnat_blocked" : "outbound_only";
        case EXPOSURE_DIRECT:
                break;
        }
        if (f->endpoint_ipv6)
                return f->ipv6_open ? "ipv6_direct_pinhole_available" : "ipv6_direct_firewall_required";
        return f->ipv6_open ? "dual_stack_available" : "ipv4_public_direct";
}

/* ---- echo ---- */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Length of the dotted quad that begins at p, 0 if none does. */
static size_t quad_at(const char *p, size_t n) {
        size_t i = 0;

        for (int part = 0; part < 4; part++) {
                size_t digits = 0;

                while (i < n && is_digit(p[i]) && digits < 4) {
                        i++;
                        digits++;
                }
                if (digits < 1 || digits > 3)
                        return 0;
                if (part < 3 && (i >= n || p[i++] != '.'))
                        return 0;
        }
        return i;
}

bool echo_read(int status, struct iicp_str body, char out[INET_ADDRSTRLEN]) {
        for (size_t i = 0; status == 200 && i < body.n; i++) {
                size_t n;
                enum iicp_addr_class c;

                if (!is_digit(body.p[i]) || (i > 0 && (is_digit(body.p[i - 1]) || body.p[i - 1] == '.')))
                        continue;
                n = quad_at(body.p + i, body.n - i);
                if (n == 0 || n >= INET_ADDRSTRLEN)
                        continue;
                memcpy(out, body.p + i, n);
                out[n] = '\0';
                return class_of_v4(out, &c) && c == IICP_ADDR_PUBLIC;
        }
        return false;
}

/* ---- IPv6 ---- */

static bool usable(const struct ipv6_candidate *c) {
        struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = c->address};

        return c->default_route && !c->tentative && !c->dadfailed && !c->deprecated && c->preferred_s > 0 &&
               iicp_addr_class((const struct sockaddr *) &a) == IICP_ADDR_PUBLIC;
}

/* Others before temporary ones, then the longest preferred lifetime, then the lowest address. */
static bool better(const struct ipv6_candidate *a, const struct ipv6_candidate *b) {
        if (a->temporary != b->temporary)
                return b->temporary;
        if (a->preferred_s != b->preferred_s)
                return a->preferred_s > b->preferred_s;
        return memcmp(&a->address, &b->address, sizeof a->address) < 0;
}

int ipv6_choose(const struct ipv6_candidate *v, size_t n) {
        int best = -1;

        for (size_t i = 0; i < n; i++)
                if (usable(&v[i]) && (best < 0 || better(&v[i], &v[best])))
                        best = (int) i;
        return best;
}
