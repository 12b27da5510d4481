/* SPDX-License-Identifier: Apache-2.0 */
#include "vouch_internal.h"

#include "util.h"

#include <stdio.h>

/* On the helper thread: the seed is read (PBKDF2 takes half a second), used and wiped. */

struct vouch_job *vouch_job_free(struct vouch_job *j) {
        if (!j)
                return NULL;
        secret_clear(&j->identity);
        secret_clear(&j->passphrase);
        iicp_operator_wipe(&j->who);
        iicp_buf_free(&j->manifest);
        iicp_buf_free(&j->signed_);
        free(j);
        return NULL;
}

static void sign(struct vouch_job *j, const struct iicp_operator *who) {
        struct iicp_json manifest;

        if (iicp_delegation_sign(who->seed, j->node_id, j->now_s + VOUCH_DELEGATION_S, &j->delegation) < 0)
                snprintf(j->why, sizeof j->why, "a delegation could not be signed");
        if (j->manifest.n > 0 && iicp_json_scan(iicp_buf_str(&j->manifest), NULL, NULL, &manifest) == 0 &&
            iicp_manifest_sign(&manifest, who->seed, j->now_s, &j->signed_) < 0) {
                iicp_buf_free(&j->signed_);
                snprintf(j->why, sizeof j->why, "the policy manifest could not be signed");
        }
}

void vouch_job_work(void *arg) {
        struct vouch_job *j = arg;
        struct iicp_operator who = {0};
        struct iicp_str passphrase = IICP_STR_NONE;
        enum iicp_operator_fault fault;

        if (!secret_resolve(&j->identity, j->environ_, j->why, sizeof j->why) ||
            (j->passphrase.ref && !secret_resolve(&j->passphrase, j->environ_, j->why, sizeof j->why)))
                return;
        if (j->passphrase.value)
                passphrase = (struct iicp_str){j->passphrase.value, j->passphrase.n};
        fault = iicp_operator_read((struct iicp_str){j->identity.value, j->identity.n}, passphrase, &who);
        if (fault != IICP_OPERATOR_OK)
                snprintf(j->why, sizeof j->why, "operator.identity: %s", iicp_operator_fault_text(fault));
        else if (!who.has_seed)
                snprintf(j->why, sizeof j->why, "operator.identity is sealed: operator.passphrase says where its passphrase is");
        else
                sign(j, &who);
        j->who = who;
        iicp_wipe(j->who.seed, sizeof j->who.seed);
        j->who.has_seed = false;
        j->known = fault == IICP_OPERATOR_OK;
        iicp_operator_wipe(&who);
        secret_clear(&j->identity);
        secret_clear(&j->passphrase);
}
