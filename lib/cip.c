/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/cip.h>

#include "json-internal.h"
#include "util.h"

#include <iicp/uuid.h>

static bool given(const struct iicp_json *v) {
        return v->type != IICP_JSON_NONE && v->type != IICP_JSON_NULL;
}

static bool refuse(struct iicp_refusal *refusal, enum iicp_refusal_id id) {
        *refusal = (struct iicp_refusal){.id = id};
        return false;
}

static bool fields(struct iicp_refusal *refusal) {
        return refuse(refusal, IICP_REFUSE_CIP_FIELDS);
}

/* ---- constraints.cip: what a coordinator is to do ---- */

static bool quorum_ok(const struct iicp_json *quorum, int64_t replicas) {
        int64_t n;

        return !given(quorum) || (iicp_json_int(quorum, &n) == 0 && n >= 1 && n <= replicas);
}

static bool check_constraints(const struct iicp_json *cip, int64_t *ret_replicas,
                              struct iicp_refusal *refusal) {
        struct iicp_json policy = iicp_json_get(cip, "policy"),
                         replicas = iicp_json_get(cip, "replicas");
        struct iicp_json quorum = iicp_json_get(cip, "quorum");
        bool majority = iicp_json_is(&policy, "majority_vote");
        bool known = majority || iicp_json_is(&policy, "best_of_n") ||
                     iicp_json_is(&policy, "map_reduce");
        int64_t n = 1;

        if (cip->type != IICP_JSON_OBJECT || policy.type == IICP_JSON_NONE)
                return fields(refusal);
        if (replicas.type != IICP_JSON_NONE &&
            (iicp_json_int(&replicas, &n) < 0 || n < 1 || n > IICP_CIP_REPLICAS_MAX))
                return fields(refusal);
        /* null is a valid single run */
        if ((!known && (policy.type != IICP_JSON_NULL || n != 1)) || !quorum_ok(&quorum, n))
                return fields(refusal);
        if (majority && (n < 3 || n % 2 == 0))
                return refuse(refusal, IICP_REFUSE_CIP_REPLICAS);
        *ret_replicas = n;
        return true;
}

/* ---- cip and trace: what we are to be ---- */

static bool parent_ok(const struct iicp_json *object, char out[37]) {
        struct iicp_json v = iicp_json_get(object, "cip_parent_task_id");

        if (!given(&v))
                return true;
        return iicp_json_copy(&v, out, 37) == 0 && iicp_uuid4_valid(iicp_str(out));
}

static bool session_ok(const struct iicp_json *object, struct iicp_json *ret) {
        struct iicp_json v = iicp_json_get(object, "cip_session_key");
        struct iicp_buf text = {.secret = true};
        size_t n = 0;
        bool ok;

        if (!given(&v))
                return true;
        ok = v.type == IICP_JSON_STRING && iicp_json_decode(&v, &text) == 0;
        for (size_t i = 0; ok && i < text.n; i++)
                n += !utf8_tail((unsigned char) text.p[i]);
        iicp_buf_wipe(&text);
        *ret = v;
        return ok && n <= IICP_CIP_SESSION_MAX;
}

static bool role_ok(const struct iicp_json *role, bool coordinator_too) {
        return !given(role) || iicp_json_is(role, "worker") ||
               (coordinator_too && iicp_json_is(role, "coordinator"));
}

bool iicp_cip_check(const struct iicp_envelope *e, struct iicp_cip *ret,
                    struct iicp_refusal *refusal) {
        struct iicp_json constraints = iicp_json_get(&e->m_constraints, "cip");
        struct iicp_json role = iicp_json_get(&e->m_cip, "cip_role"),
                         other = iicp_json_get(&e->m_trace, "cip_role");
        struct iicp_json session = {0}, other_session = {0};
        char parent[37] = "", other_parent[37] = "";
        struct iicp_cip c = {0};
        int64_t replicas = 1;

        if (given(&constraints) && !check_constraints(&constraints, &replicas, refusal))
                return false;
        if ((given(&e->m_cip) && e->m_cip.type != IICP_JSON_OBJECT) || !role_ok(&role, false) ||
            !role_ok(&other, true) || !parent_ok(&e->m_cip, parent) ||
            !parent_ok(&e->m_trace, other_parent) || !session_ok(&e->m_cip, &session) ||
            !session_ok(&e->m_trace, &other_session))
                return fields(refusal);
        c.sub_task = given(&e->m_cip) ? given(&role) : iicp_json_is(&other, "worker");
        /* both places are read, cip first */
        c.session = given(&session) ? session : other_session;
        memcpy(c.parent, parent[0] ? parent : other_parent, sizeof(c.parent));
        if (c.sub_task && replicas > 1)
                return fields(refusal);
        *ret = c;
        return true;
}

void iicp_cip_trace(const struct iicp_cip *c, struct iicp_buf *out) {
        iicp_buf_puts(out, "\"trace\":{\"cip_role\":\"worker\",\"cip_session_key\":");
        if (c->session.type == IICP_JSON_STRING)
                iicp_buf_add(out, c->session.text.p - 1,
                             c->session.text.n + 2); /* unchanged, quotes too */
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, ",\"cip_parent_task_id\":");
        if (c->parent[0])
                iicp_buf_json_str(out, iicp_str(c->parent));
        else
                iicp_buf_puts(out, "null");
        iicp_buf_puts(out, "}");
}
