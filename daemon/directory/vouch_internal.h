/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_VOUCH_INTERNAL_H
#define IICPD_VOUCH_INTERNAL_H

#include "internal.h"
#include "vouch.h"

#include <iicp/manifest.h>
#include <iicp/operator.h>

#define VOUCH_WHY 256

/* What the operator's key is needed for; made on the loop, done on the helper thread. */
struct vouch_job {
        struct vouch *v;
        char *const *environ_;
        struct secret identity, passphrase; /* references */
        char node_id[37];
        int64_t now_s;
        struct iicp_buf manifest;        /* to be signed; empty = none */
        /* results */
        struct iicp_operator who;        /* without its seed */
        bool known;
        struct iicp_delegation delegation;
        struct iicp_buf signed_;         /* empty = not */
        char why[VOUCH_WHY];             /* "" = fine */
};
void vouch_job_work(void *arg);
struct vouch_job *vouch_job_free(struct vouch_job *j);

struct vouch {
        struct node *node;
        struct timer look;               /* at delegation.json, at ends that come near */
        struct vouch_job *job;
        bool job_again;
        uint64_t signed_ms;              /* when the last job ended */

        struct iicp_operator who;        /* public half of operator.json, has_seed false */
        bool known;
        struct iicp_delegation delegation;
        bool delegated;                  /* there is one, good for this node when it was read */
        bool own;                        /* the daemon signs it itself */
        uint64_t file_seen;              /* which delegation.json was read; 0 = none */
        struct iicp_buf manifest;        /* as declared; empty = none */
        struct iicp_buf manifest_plain;  /* as read */
        int64_t manifest_expires;        /* 0 = unsigned */
        unsigned multiplier;             /* in ten-thousandths */
        bool priced, price_due;
        char identity_why[VOUCH_WHY], delegation_why[VOUCH_WHY], manifest_why[VOUCH_WHY];
        int64_t warned_day;              /* of the end of the delegation */
};

/* vouch_manifest.c: reads policy.manifest and judges it; fills manifest, manifest_plain,
 * manifest_expires or manifest_why. */
void vouch_manifest_read(struct vouch *v);
/* A signed text from a job. */
void vouch_manifest_take(struct vouch *v, struct iicp_buf *signed_);
/* Left out from here on when its end has come. */
bool vouch_manifest_good(struct vouch *v, int64_t now_s);

#endif
