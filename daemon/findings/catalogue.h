/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_FINDINGS_CATALOGUE_H
#define IICPD_FINDINGS_CATALOGUE_H

/* Everything that a node can have to say about itself, by its id: what it means, what it comes from,
 * what to do, how it is seen to be gone. iicpd-findings(7), iicpctl explain and the daemon read the
 * same table. [operator design 3.2] */

#include <stddef.h>

/* What something can be caused by: clock < internet < DNS < directory < registration;
 * internet < route < relay. The rest stands alone. */
enum finding_group {
        GROUP_ALONE,
        GROUP_CLOCK,
        GROUP_INTERNET,
        GROUP_DNS,
        GROUP_DIRECTORY,
        GROUP_REGISTRATION,
        GROUP_ROUTE,
        GROUP_RELAY,
        GROUP_MAX_,
};
/* What it can be caused by directly; GROUP_ALONE: by nothing. */
enum finding_group finding_group_cause(enum finding_group g);

enum finding_severity { SEVERITY_INFO, SEVERITY_WARN, SEVERITY_FAIL };
const char *finding_severity_name(enum finding_severity s);

struct finding_kind {
        const char *id;                 /* "backend.unreachable" */
        enum finding_group group;
        enum finding_severity severity; /* usual one; fail = not ready, warn = degraded */
        const char *means, *causes;     /* causes: the likeliest first */
        const char *todo, *gone;        /* gone: how it is seen to be over */
};
extern const struct finding_kind finding_kinds[];
extern const size_t finding_n_kinds;
/* NULL: no such id. */
const struct finding_kind *finding_kind(const char *id);
/* Of a guidance code, a recovery state, a class of the directory's refusal: NULL for those that are
 * no trouble (stable) or that the other call knows (recovery states and classes have ids of their
 * own: recovery.STATE, directory.CLASS; guidance codes route.CODE). */
const struct finding_kind *finding_kind_of(const char *room, const char *word);

#endif
