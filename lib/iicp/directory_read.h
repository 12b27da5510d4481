/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_DIRECTORY_READ_H
#define IICP_DIRECTORY_READ_H

#include <iicp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a directory says about a node and about itself. Read tolerantly: an unknown member is
 * ignored, a wrong type or range counts as absent, the object may be wrapped in "node".
 * [01 sections 5.2, 5.13, 6.3] */

#define IICP_HEALTH_COMPONENTS_MAX 16 /* more of them are not shown */

enum iicp_tristate { IICP_UNKNOWN = -1, IICP_NO = 0, IICP_YES = 1 };

struct iicp_node_health {
        bool present;
        int score;                     /* 0-100, -1 = unknown */
        char label[24];                /* "healthy", "offline", ...; "" = none */
        char confidence[24], evidence_level[32], latency_basis[32], evaluated_at[40];
        enum iicp_tristate observed;
        struct {
                char name[32];
                double value;
        } components[IICP_HEALTH_COMPONENTS_MAX];
        unsigned n_components;
};

struct iicp_directory_node {
        char node_id[129], endpoint[256], region[65], last_seen[40];
        enum iicp_tristate available, probation, browser_usable, observed_reachable, key_ready,
                operator_verified;
        double load, reputation;       /* negative = unknown */
        int64_t active_jobs, completed_tasks; /* negative = unknown */
        struct iicp_node_health health;
        char routing_hint[32], route_evidence[48], exposure_mode[40], sdk_status[32];
        char status[32];               /* status_summary.state */
        unsigned n_capabilities, n_models;
        char gossip_key[65];           /* only a string of 64 hex digits is one */
};

struct iicp_directory_stats {
        char version[33];
        int64_t active_nodes;          /* negative = unknown */
        double mesh_score;             /* 0-1, negative = unknown */
        char mesh_label[24], mesh_window[24];
};

/* -EINVAL: no JSON object. */
IICP_API int iicp_directory_node_read(struct iicp_str body, struct iicp_directory_node *ret);
IICP_API int iicp_directory_stats_read(struct iicp_str body, struct iicp_directory_stats *ret);
/* Position of a node in an answer of /v1/discover, from 0; -ENOENT, -EINVAL. */
IICP_API int iicp_directory_find_node(struct iicp_str body, const char *node_id);

#ifdef __cplusplus
}
#endif
#endif
