/* SPDX-License-Identifier: Apache-2.0 */
#include "managed.h"

#include <stddef.h>
#include <string.h>

bool managed_accepts(const struct managed_facts *f, const char **ret_reason) {
        const struct {
                bool missing;
                const char *reason;
        } order[] = {
                {!f->authentication, "authentication_required"},
                {!f->protected_identity, "protected_identity_storage_required"},
                {f->update && !f->update_authenticated, "authenticated_update_required"},
                {f->update && !f->rollback_verified, "rollback_required"},
                {f->upnp && !f->upnp_approved, "upnp_approval_required"},
                {f->tunnel && !f->tunnel_approved, "tunnel_approval_required"},
        };

        if (strcmp(f->mode, "convenience") == 0) {
                *ret_reason = "convenience_mode";
                return true;
        }
        *ret_reason = "invalid_operator_profile";
        if (strcmp(f->mode, "managed") != 0)
                return false;
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
                if (order[i].missing) {
                        *ret_reason = order[i].reason;
                        return false;
                }
        *ret_reason = "managed_requirements_met";
        return true;
}
