/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TUNNEL_PACE_H
#define IICPD_TUNNEL_PACE_H

/* How often this host may ask the provider for a tunnel: three small files that all nodes of a host share,
 * those of the SDKs too, in their form. Blocks: for a helper thread. A file that cannot be read or written counts
 * as not there. [04 section 10] */

#include <stdbool.h>

#define PACE_WAIT_MAX_S 86400.0    /* more than that in a file is no deadline of ours */

struct tunnel_pace {
        const char *gate, *lock, *cooldown; /* paths */
        double spacing_s, lease_s, cooldown_s;
};

enum pace_verdict { PACE_FREE, PACE_SPACING, PACE_LEASED, PACE_COOLDOWN };

/* Seconds until then, 0 = not closed; a deadline that is over is deleted. */
double pace_gate_left(const struct tunnel_pace *p, double now_s);
double pace_cooldown_left(const struct tunnel_pace *p, double now_s);
/* Takes lease and gate, or says why not and how long. */
enum pace_verdict pace_take(const struct tunnel_pace *p, double now_s, double *ret_wait_s);
/* The attempt has ended. */
void pace_release(const struct tunnel_pace *p);
/* The provider has told us to wait. */
void pace_limited(const struct tunnel_pace *p, double now_s);

#endif
