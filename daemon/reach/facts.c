/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include "util.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_BYTES 32768 /* the kernel fills one datagram up to this */
#define WAIT_S 2           /* the kernel answers at once or not at all */
#define TRIES 3            /* when changes overtake the answer */

/* ---- reading ---- */

/* Room for one more in an array of at most `most`; NULL: full or no memory. */
static void *grow(void **array, size_t *n, size_t size, size_t most) {
        size_t room = *n == 0 ? 0 : *n <= 16 ? 16 : (size_t) 1 << (64 - __builtin_clzl(*n - 1));
        char *p = *array;

        if (*n >= most)
                return NULL;
        if (*n == room) {
                p = reallocarray(*array, MIN(MAX(room * 2, (size_t) 16), most), size);
                if (!p)
                        return NULL;
                *array = p;
        }
        memset(p + *n * size, 0, size);
        return p + (*n)++ * size;
}

static size_t length_of(const struct rtattr *a) {
        return RTA_PAYLOAD(a);
}

static bool take_u32(const struct rtattr *a, uint32_t *ret) {
        if (length_of(a) < sizeof *ret)
                return false;
        memcpy(ret, RTA_DATA(a), sizeof *ret);
        return true;
}

static bool take_ip(const struct rtattr *a, int family, union fact_ip *ret) {
        size_t n = family == AF_INET ? sizeof ret->v4 : sizeof ret->v6;

        if (length_of(a) < n)
                return false;
        memcpy(ret, RTA_DATA(a), n);
        return true;
}

static void take_text(const struct rtattr *a, char *out, size_t cap) {
        size_t n = strnlen(RTA_DATA(a), length_of(a));

        n = MIN(n, cap - 1);
        memcpy(out, RTA_DATA(a), n);
        out[n] = '\0';
}

/* The header's own macros let an unpadded end count below zero; these stop there. */
static size_t left_of(const struct nlmsghdr *h, size_t fixed) {
        return h->nlmsg_len - NLMSG_LENGTH(fixed);
}

static bool attribute_ok(const struct rtattr *a, size_t left) {
        return left >= sizeof *a && a->rta_len >= sizeof *a && a->rta_len <= left;
}

static const struct rtattr *attribute_next(const struct rtattr *a, size_t *left) {
        size_t step = MIN((size_t) RTA_ALIGN(a->rta_len), *left);

        *left -= step;
        return (const struct rtattr *) ((const char *) a + step);
}

static bool message_ok(const struct nlmsghdr *h, size_t left) {
        return left >= sizeof *h && h->nlmsg_len >= sizeof *h && h->nlmsg_len <= left;
}

static const struct nlmsghdr *message_next(const struct nlmsghdr *h, size_t *left) {
        size_t step = MIN((size_t) NLMSG_ALIGN(h->nlmsg_len), *left);

        *left -= step;
        return (const struct nlmsghdr *) ((const char *) h + step);
}

#define each_attribute(a, first, left) \
        for (const struct rtattr *a = (first); attribute_ok(a, left); a = attribute_next(a, &left))
#define each_message(h, first, left) \
        for (const struct nlmsghdr *h = (first); message_ok(h, left); h = message_next(h, &left))

static void take_kind(const struct rtattr *info, struct fact_interface *i) {
        size_t n = length_of(info);

        each_attribute(a, RTA_DATA(info), n)
                if (a->rta_type == IFLA_INFO_KIND)
                        take_text(a, i->kind, sizeof i->kind);
}

static int add_interface(struct reach_facts *f, const struct nlmsghdr *h) {
        const struct ifinfomsg *m = NLMSG_DATA(h);
        size_t n = left_of(h, sizeof *m);
        struct fact_interface *i;
        uint32_t v;

        i = grow((void **) &f->interfaces, &f->n_interfaces, sizeof *i, FACTS_INTERFACES_MAX);
        if (!i)
                return f->n_interfaces < FACTS_INTERFACES_MAX ? -ENOMEM : 0;
        i->index = m->ifi_index;
        i->flags = m->ifi_flags;
        i->type = m->ifi_type;
        each_attribute(a, IFLA_RTA(m), n) {
                if (a->rta_type == IFLA_IFNAME)
                        take_text(a, i->name, sizeof i->name);
                else if (a->rta_type == IFLA_MTU && take_u32(a, &v))
                        i->mtu = v;
                else if (a->rta_type == IFLA_MASTER && take_u32(a, &v))
                        i->master = (int) v;
                else if ((a->rta_type & NLA_TYPE_MASK) == IFLA_LINKINFO)
                        take_kind(a, i);
        }
        return 0;
}

/* IFA_LOCAL is ours; IFA_ADDRESS is the other end of a point-to-point link. */
static bool read_address(const struct nlmsghdr *h, struct fact_address *ret) {
        const struct ifaddrmsg *m = NLMSG_DATA(h);
        size_t n = left_of(h, sizeof *m);
        uint32_t flags = m->ifa_flags;
        bool have = false, local = false;
        struct ifa_cacheinfo lifetimes;

        *ret = (struct fact_address){.interface = (int) m->ifa_index, .family = m->ifa_family,
                                     .prefix = m->ifa_prefixlen, .scope = m->ifa_scope,
                                     .preferred_s = UINT32_MAX};
        if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
                return false;
        each_attribute(a, IFA_RTA(m), n) {
                if (a->rta_type == IFA_FLAGS)
                        take_u32(a, &flags);
                else if (a->rta_type == IFA_CACHEINFO && length_of(a) >= sizeof lifetimes) {
                        memcpy(&lifetimes, RTA_DATA(a), sizeof lifetimes);
                        ret->preferred_s = lifetimes.ifa_prefered;
                }
                else if (a->rta_type == IFA_LOCAL)
                        have = local = take_ip(a, ret->family, &ret->ip);
                else if (a->rta_type == IFA_ADDRESS && !local)
                        have = take_ip(a, ret->family, &ret->ip);
        }
        ret->temporary = flags & IFA_F_TEMPORARY && ret->family == AF_INET6; /* v4: secondary */
        ret->deprecated = flags & IFA_F_DEPRECATED;
        ret->tentative = flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED);
        return have;
}

static int add_address(struct reach_facts *f, const struct nlmsghdr *h) {
        struct fact_address found, *a;

        if (!read_address(h, &found))
                return 0;
        a = grow((void **) &f->addresses, &f->n_addresses, sizeof *a, FACTS_ADDRESSES_MAX);
        if (!a)
                return f->n_addresses < FACTS_ADDRESSES_MAX ? -ENOMEM : 0;
        *a = found;
        return 0;
}

static bool is_default(const struct nlmsghdr *h) {
        const struct rtmsg *m = NLMSG_DATA(h);
        size_t n = left_of(h, sizeof *m);
        uint32_t table = m->rtm_table;

        each_attribute(a, RTM_RTA(m), n)
                if (a->rta_type == RTA_TABLE)
                        take_u32(a, &table);
        return m->rtm_dst_len == 0 && table == RT_TABLE_MAIN && m->rtm_type == RTN_UNICAST &&
               (m->rtm_family == AF_INET || m->rtm_family == AF_INET6);
}

/* Of several next hops the first one stands for all. */
static void take_hops(const struct rtattr *hops, int family, struct fact_route *r) {
        const struct rtnexthop *hop = RTA_DATA(hops);
        size_t n;

        if (length_of(hops) < sizeof *hop || hop->rtnh_len < sizeof *hop || hop->rtnh_len > length_of(hops))
                return;
        r->interface = hop->rtnh_ifindex;
        n = hop->rtnh_len - sizeof *hop;
        each_attribute(a, (const struct rtattr *) (hop + 1), n)
                if (a->rta_type == RTA_GATEWAY)
                        r->has_gateway = take_ip(a, family, &r->gateway);
}

static int add_route(struct reach_facts *f, const struct nlmsghdr *h) {
        const struct rtmsg *m = NLMSG_DATA(h);
        size_t n = left_of(h, sizeof *m);
        struct fact_route *r;
        uint32_t v;

        if (!is_default(h))
                return 0;
        r = grow((void **) &f->routes, &f->n_routes, sizeof *r, FACTS_ROUTES_MAX);
        if (!r)
                return f->n_routes < FACTS_ROUTES_MAX ? -ENOMEM : 0;
        r->family = m->rtm_family;
        each_attribute(a, RTM_RTA(m), n) {
                if (a->rta_type == RTA_OIF && take_u32(a, &v))
                        r->interface = (int) v;
                else if (a->rta_type == RTA_PRIORITY)
                        take_u32(a, &r->metric);
                else if (a->rta_type == RTA_GATEWAY)
                        r->has_gateway = take_ip(a, r->family, &r->gateway);
                else if (a->rta_type == RTA_MULTIPATH)
                        take_hops(a, r->family, r);
        }
        return 0;
}

/* The fixed part of each kind of message must be there before it is looked at. */
static bool holds(const struct nlmsghdr *h, size_t size) {
        return h->nlmsg_len >= NLMSG_LENGTH(size);
}

static int add_message(struct reach_facts *f, const struct nlmsghdr *h) {
        switch (h->nlmsg_type) {
        case RTM_NEWLINK:
                return holds(h, sizeof(struct ifinfomsg)) ? add_interface(f, h) : 0;
        case RTM_NEWADDR:
                return holds(h, sizeof(struct ifaddrmsg)) ? add_address(f, h) : 0;
        case RTM_NEWROUTE:
                return holds(h, sizeof(struct rtmsg)) ? add_route(f, h) : 0;
        default:
                return 0;
        }
}

int reach_facts_parse(struct reach_facts *f, const void *p, size_t n) {
        each_message(h, p, n) {
                const struct nlmsgerr *e = NLMSG_DATA(h);
                int r;

                if (h->nlmsg_flags & NLM_F_DUMP_INTR)
                        return -EAGAIN;
                if (h->nlmsg_type == NLMSG_DONE)
                        return 1;
                if (h->nlmsg_type == NLMSG_ERROR)
                        return holds(h, sizeof *e) && e->error < 0 ? e->error : -EBADMSG;
                r = add_message(f, h);
                if (r < 0)
                        return r;
        }
        return 0;
}

bool reach_facts_concerned(const void *p, size_t n) {
        each_message(h, p, n)
                switch (h->nlmsg_type) {
                case RTM_NEWLINK:
                case RTM_DELLINK:
                case RTM_NEWADDR:
                case RTM_DELADDR:
                        return true;
                case RTM_NEWROUTE:
                case RTM_DELROUTE:
                        if (holds(h, sizeof(struct rtmsg)) && is_default(h))
                                return true;
                        break;
                default:
                        break;
                }
        return false;
}

/* ---- asking ---- */

static int ask(int fd, uint16_t type, unsigned seq) {
        struct {
                struct nlmsghdr h;
                struct rtgenmsg g;
        } m = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof m.g), .nlmsg_type = type,
                     .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = seq},
               .g = {.rtgen_family = AF_UNSPEC}};

        return send(fd, &m, m.h.nlmsg_len, 0) < 0 ? -errno : 0;
}

static int read_answer(int fd, void *buffer, struct reach_facts *f) {
        for (;;) {
                struct sockaddr_nl from = {0};
                socklen_t length = sizeof from;
                ssize_t n = recvfrom(fd, buffer, ANSWER_BYTES, 0, (struct sockaddr *) &from, &length);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? -ETIMEDOUT : -errno;
                if (from.nl_pid != 0)
                        continue; /* not the kernel */
                r = reach_facts_parse(f, buffer, (size_t) n);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
}

static int collect_once(struct reach_facts *ret) {
        static const uint16_t kinds[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE};
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        _cleanup_free_ void *buffer = malloc(ANSWER_BYTES);
        struct timeval wait = {.tv_sec = WAIT_S};
        struct reach_facts f = {0};
        int r = 0;

        if (fd < 0)
                return -errno;
        if (!buffer)
                return -ENOMEM;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0)
                return -errno;
        for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
                r = ask(fd, kinds[i], i + 1);
                if (r == 0)
                        r = read_answer(fd, buffer, &f);
        }
        if (r < 0)
                reach_facts_free(&f);
        else
                *ret = f;
        return r;
}

int reach_facts_collect(struct reach_facts *ret) {
        int r = -EAGAIN;

        for (unsigned i = 0; r == -EAGAIN && i < TRIES; i++)
                r = collect_once(ret);
        return r;
}

/* ---- looking at them ---- */

void reach_facts_free(struct reach_facts *f) {
        free(f->interfaces);
        free(f->addresses);
        free(f->routes);
        *f = (struct reach_facts){0};
}

static bool same_ip(int family, const union fact_ip *a, const union fact_ip *b) {
        return family == AF_INET ? a->v4.s_addr == b->v4.s_addr : memcmp(&a->v6, &b->v6, sizeof a->v6) == 0;
}

static bool same_interface(const struct fact_interface *a, const struct fact_interface *b) {
        unsigned kept = IFF_UP | IFF_RUNNING | IFF_LOOPBACK | IFF_POINTOPOINT;

        return a->index == b->index && a->type == b->type && a->mtu == b->mtu && a->master == b->master &&
               (a->flags & kept) == (b->flags & kept) && strcmp(a->name, b->name) == 0 && strcmp(a->kind, b->kind) == 0;
}

static bool same_address(const struct fact_address *a, const struct fact_address *b) {
        return a->interface == b->interface && a->family == b->family && a->prefix == b->prefix && a->scope == b->scope &&
               a->temporary == b->temporary && a->deprecated == b->deprecated && a->tentative == b->tentative &&
               same_ip(a->family, &a->ip, &b->ip);
}

static bool same_route(const struct fact_route *a, const struct fact_route *b) {
        return a->interface == b->interface && a->family == b->family && a->metric == b->metric &&
               a->has_gateway == b->has_gateway && (!a->has_gateway || same_ip(a->family, &a->gateway, &b->gateway));
}

/* The kernel lists them in the same order as long as nothing changes. */
bool reach_facts_same(const struct reach_facts *a, const struct reach_facts *b) {
        if (a->n_interfaces != b->n_interfaces || a->n_addresses != b->n_addresses || a->n_routes != b->n_routes)
                return false;
        for (size_t i = 0; i < a->n_interfaces; i++)
                if (!same_interface(&a->interfaces[i], &b->interfaces[i]))
                        return false;
        for (size_t i = 0; i < a->n_addresses; i++)
                if (!same_address(&a->addresses[i], &b->addresses[i]))
                        return false;
        for (size_t i = 0; i < a->n_routes; i++)
                if (!same_route(&a->routes[i], &b->routes[i]))
                        return false;
        return true;
}

const struct fact_interface *reach_facts_interface(const struct reach_facts *f, int index) {
        for (size_t i = 0; i < f->n_interfaces; i++)
                if (f->interfaces[i].index == index)
                        return &f->interfaces[i];
        return NULL;
}

const struct fact_route *reach_facts_default(const struct reach_facts *f, int family) {
        const struct fact_route *best = NULL;

        for (size_t i = 0; i < f->n_routes; i++)
                if (f->routes[i].family == family && (!best || f->routes[i].metric < best->metric))
                        best = &f->routes[i];
        return best;
}
