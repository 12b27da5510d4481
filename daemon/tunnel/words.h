/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TUNNEL_WORDS_H
#define IICPD_TUNNEL_WORDS_H

/* Pure decisions about quick tunnels: what the helper's output says, what follows when one is dead.
 * [04 section 10] */

#include <iicp/base.h>

#define TUNNEL_URL_MAX 128         /* bytes with NUL: a label and the provider's domain */
#define TUNNEL_LAST_LINES 6        /* of the output, in which a limit of the provider shows */

/* First https://LABEL.trycloudflare.com of a line but the provider's own "api". false: none. */
bool tunnel_url_in(struct iicp_str line, char out[TUNNEL_URL_MAX]);
/* Does the line say that the provider limits us? */
bool tunnel_limited_in(struct iicp_str line);

enum tunnel_dead { TUNNEL_DEAD_AUTO, TUNNEL_DEAD_RETRY, TUNNEL_DEAD_EXIT, TUNNEL_DEAD_LOG_ONLY };
/* AUTO becomes what it stands for. */
enum tunnel_dead tunnel_dead_behaviour(enum tunnel_dead policy, bool supervised);
/* Until the next try after so many failed ones, at least one. */
unsigned tunnel_retry_s(unsigned failures);

#endif
