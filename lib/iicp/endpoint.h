/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_ENDPOINT_H
#define IICP_ENDPOINT_H

#include <iicp/base.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which URL may be dialled or registered. [05 section 13; 06 section 10.4; 01 section 2.5] */

struct iicp_url {
        bool https;
        bool ipv6;             /* host is an IPv6 literal; `host` is without brackets */
        char host[254];        /* lower case, one trailing dot removed */
        uint16_t port;         /* explicit or default */
        bool port_explicit;
        char path[256];        /* "" or "/prefix", no trailing slash */
};

/* Syntax only: scheme http or https, no user info, query or fragment, visible ASCII, at most 255
 * bytes, no dot segments, numeric hosts only as dotted quad or bracketed IPv6. -EINVAL. */
IICP_API int iicp_url_parse(struct iicp_str text, struct iicp_url *ret);
/* Origin as text, "https://host:port" with the default port left out. */
IICP_API int iicp_url_origin(const struct iicp_url *url, char *out, size_t cap);
/* As it is sent in a registration: lower case, no trailing dot or slash, an IPv6 literal with its
 * port. [04 section 9] */
IICP_API int iicp_url_normal(const struct iicp_url *url, char *out, size_t cap);

enum iicp_endpoint_use {
        IICP_ENDPOINT_DIAL,     /* 05 section 13.2 */
        IICP_ENDPOINT_REGISTER, /* the union of 01 section 2.5 and 05 section 13.7 */
};
/* Literal rules: host name and, for a literal, its address. 0 or -EACCES. */
IICP_API int iicp_endpoint_host_allowed(const struct iicp_url *url, enum iicp_endpoint_use use);
/* Rule on one resolved address; embedded IPv4 is unwrapped. 0 or -EACCES. */
IICP_API int iicp_endpoint_addr_allowed(const struct sockaddr *addr, enum iicp_endpoint_use use);
/* True for 127.0.0.0/8, ::1 and their mapped forms. */
IICP_API bool iicp_addr_is_loopback(const struct sockaddr *addr);
/* True for "localhost" and loopback literals. */
IICP_API bool iicp_host_is_loopback(const char *host);

#ifdef __cplusplus
}
#endif
#endif
