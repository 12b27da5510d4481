/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_IGD_H
#define IICPD_IGD_H

/* The inside of UPnP IGD, for its two files and their tests: finding the right gateway, one SOAP
 * call from an address of ours. [04 sections 5.1, 7] */

#include "gateway.h"

#include <miniupnpc/miniupnpc.h>

struct igd {
        struct UPNPUrls urls;
        struct IGDdatas data;
        bool v2;
};

/* Whether a description URL may be fetched: an IP literal on our link, or the gateway. */
bool igd_host_allowed(const char *description_url, const struct gateway_where *where, bool *ret_is_gateway);
/* Searches once: that is four kinds of devices, GATEWAY_SEARCH_MS each where nobody answers. False: none.
 * Free with igd_done. */
bool igd_find(const struct gateway_where *where, bool ipv6, const atomic_bool *abandoned, struct igd *ret,
              struct gateway_result *notes);
void igd_done(struct igd *igd);
/* A refusal in words, as evidence. */
void igd_note_error(struct gateway_result *ret, const char *action, int code);
void igd_pinhole_renew(const struct gateway_lease *l, struct gateway_result *ret);
void igd_pinhole_revoke(const struct gateway_lease *l);

#endif
