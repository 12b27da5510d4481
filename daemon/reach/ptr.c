/* SPDX-License-Identifier: Apache-2.0 */
#include "ptr.h"

#include "util.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WAIT_S 1 /* per try; two tries of one server */
#define ANSWER_MAX 1024

static unsigned get16(const unsigned char *p) {
        return (unsigned) p[0] << 8 | p[1];
}

/* The first PTR record of an answer. */
bool ptr_read(const unsigned char *p, size_t n, char out[PTR_NAME_MAX]) {
        const unsigned char *at = p + NS_HFIXEDSZ, *end = p + n;
        char owner[NS_MAXDNAME];
        int skip;

        if (n < NS_HFIXEDSZ)
                return false;
        for (unsigned i = get16(p + 4); i > 0; i--) { /* questions */
                skip = dn_expand(p, end, at, owner, sizeof owner);
                if (skip < 0 || end - at < skip + NS_QFIXEDSZ)
                        return false;
                at += skip + NS_QFIXEDSZ;
        }
        for (unsigned i = get16(p + 6); i > 0; i--) {
                unsigned length;

                skip = dn_expand(p, end, at, owner, sizeof owner);
                if (skip < 0 || end - at < skip + NS_RRFIXEDSZ)
                        return false;
                at += skip;
                length = get16(at + 8);
                if (end - at < (int) (NS_RRFIXEDSZ + length))
                        return false;
                if (get16(at) == ns_t_ptr)
                        return dn_expand(p, end, at + NS_RRFIXEDSZ, out, PTR_NAME_MAX) >= 0;
                at += NS_RRFIXEDSZ + length;
        }
        return false;
}

static bool ask(struct __res_state *resolver, const char *question, char out[PTR_NAME_MAX]) {
        unsigned char answer[ANSWER_MAX];
        int n = res_nquery(resolver, question, ns_c_in, ns_t_ptr, answer, sizeof answer);

        return n > 0 && n <= (int) sizeof answer && ptr_read(answer, (size_t) n, out);
}

bool ptr_lookup(const char *ipv4, char out[PTR_NAME_MAX]) {
        struct __res_state resolver = {0};
        char question[64];
        struct in_addr a;
        uint32_t h;
        bool ok;

        if (inet_pton(AF_INET, ipv4, &a) != 1 || res_ninit(&resolver) != 0)
                return false;
        resolver.retrans = WAIT_S;
        resolver.retry = 2;
        if (resolver.nscount > 1)
                resolver.nscount = 1;
        h = ntohl(a.s_addr);
        snprintf(question, sizeof question, "%u.%u.%u.%u.in-addr.arpa", h & 255, h >> 8 & 255, h >> 16 & 255, h >> 24);
        ok = ask(&resolver, question, out);
        res_nclose(&resolver);
        return ok;
}

const char *ptr_hint(const char *name) {
        static const char *const words[] = {"cgnat", "cgn", "ds-lite", "dslite", "nat64", "shared"};

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strcasestr(name, words[i]))
                        return words[i];
        return NULL;
}
