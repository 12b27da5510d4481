/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_MANAGED_H
#define IICPD_MANAGED_H

/* May a node start under its operator's profile? Pure. [05 section 17] */

#include <stdbool.h>

struct managed_facts {
        const char *mode;            /* "convenience", "managed"; another one refuses */
        bool authentication, protected_identity;
        bool update, update_authenticated, rollback_verified;
        bool upnp, upnp_approved, tunnel, tunnel_approved; /* wanted, and approved */
};

/* reason: the first one of the profile's order, static. */
bool managed_accepts(const struct managed_facts *f, const char **ret_reason);

#endif
