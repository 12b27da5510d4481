/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"

#include "util.h"

#include <iicp/policy.h>
#include <iicp/urn.h>

/* Admission in the order of 02 section 5.1: the first failing step answers, and nothing is taken
 * before step 11 (execute.c). */

static bool refuse(struct iicp_refusal *refusal, enum iicp_refusal_id id) {
        *refusal = (struct iicp_refusal){.id = id};
        return false;
}

/* Step 2. */
static bool within_rates(struct task *t, const struct task_request *request, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;
        const struct config *conf = c->node->config;
        uint64_t now_ms = task_now_ms(t);
        char key[16];
        struct iicp_str source = rate_source((const struct sockaddr *) &t->peer, key);

        if (rate_take(c->origins, request->origin, conf->per_origin, now_ms) &&
            rate_take(c->addresses, source, conf->per_address, now_ms))
                return true;
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_RATE_LIMITED, .retry_after_ms = RATE_WINDOW_MS};
        return false;
}

/* Step 5, and of encryption the rules that need no key: 05 section 3.6, steps 1 and 2, and what a
 * task in clear may not ask for. A missing payload is judged after the demand for encryption. */
static bool envelope_ok(struct task *t, bool any_id, struct iicp_refusal *refusal) {
        const struct config *conf = t->corridor->node->config;
        struct iicp_envelope *e = &t->env;
        bool has_conf = e->m_iicp_conf.type != IICP_JSON_NONE && e->m_iicp_conf.type != IICP_JSON_NULL;
        bool valid = iicp_envelope_check(e, conf->require_uuid && !any_id ? 0 : IICP_ENVELOPE_ANY_ID, refusal);
        bool no_payload = !valid && refusal->field && strcmp(refusal->field, "payload") == 0;

        if (!valid && !no_payload)
                return false;
        if (has_conf) {
                if (no_payload)
                        return false;
                if (e->payload.type != IICP_JSON_NONE || e->m_iicp_conf.type != IICP_JSON_OBJECT) {
                        refuse(refusal, IICP_REFUSE_VALIDATION);
                        refusal->field = "iicp_conf";
                        return false;
                }
                if (!conf->cx_enabled) {
                        refuse(refusal, IICP_REFUSE_CX);
                        refusal->detail_code = iicp_cx_detail_code(IICP_CX_OFF);
                        return false;
                }
                t->encrypted = true;
                return true;
        }
        if (t->require_e2e) {
                refuse(refusal, IICP_REFUSE_CX);
                refusal->detail_code = iicp_cx_detail_code(IICP_CX_OFF);
                return false;
        }
        if (e->cx_response_required) {
                refuse(refusal, IICP_REFUSE_VALIDATION);
                refusal->field = "cx_response_encryption";
                return false;
        }
        return valid;
}

static void default_model(struct task *t) {
        const char *model = corridor_model_for(t->corridor, t->env.intent);

        if (!model)
                return;
        strncpy(t->model_text, model, sizeof(t->model_text) - 1);
        t->model = iicp_str(t->model_text);
}

/* Step 7, model: payload, then constraints; both and different is a fault. Of an encrypted task the
 * payload is not known yet; execute.c asks again. [02 section 9.4] */
bool task_choose_model(struct task *t, const struct iicp_json *payload, struct iicp_refusal *refusal) {
        struct iicp_json asked = iicp_json_get(payload, "model");
        struct iicp_str name = IICP_STR_NONE;

        if (asked.type == IICP_JSON_STRING && asked.text.n > 0) {
                if (iicp_json_copy(&asked, t->model_text, sizeof(t->model_text)) < 0) {
                        refuse(refusal, IICP_REFUSE_VALIDATION);
                        refusal->field = "payload.model";
                        return false;
                }
                name = iicp_str(t->model_text);
        }
        if (name.p && t->env.model.p && !iicp_str_eq(name, t->env.model)) {
                refuse(refusal, IICP_REFUSE_VALIDATION);
                refusal->field = "constraints.model";
                return false;
        }
        t->model = name.p ? name : t->env.model;
        if (!t->model.p)
                default_model(t);
        return true;
}

static void refuse_capacity(const struct task *t, bool window, struct iicp_refusal *refusal) {
        *refusal = (struct iicp_refusal){
                .id = IICP_REFUSE_CAPACITY,
                .qos_class = iicp_qos_name(t->env.qos),
                .retry_after_ms = TASK_RETRY_CAPACITY_MS,
                .reason = window ? "availability_window" : NULL,
        };
}

/* A backend for the task among those that have its model. */
enum backend_pick task_pick(struct task *t, const struct backend *except, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;
        struct iicp_str model = c->node->config->any_model ? IICP_STR_NONE : t->model;
        int64_t retry_ms = TASK_RETRY_CAPACITY_MS;
        const char *reason = NULL;
        enum backend_pick pick = PICK_NO_MODEL;

        if (!model.p || policy_offers_model(c->node->policy, model))
                pick = backends_pick(c->node->backends, t->work, model, except, &t->backend, &retry_ms, &reason);
        if (pick == PICK_NO_MODEL)
                refuse(refusal, IICP_REFUSE_MODEL_NOT_FOUND);
        else if (pick == PICK_DRAINING)
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_BUSY, .reason = reason,
                                                 .retry_after_ms = retry_ms};
        else if (pick == PICK_BUSY)
                refuse_capacity(t, false, refusal);
        return pick;
}

/* Step 10. */
bool task_capacity(struct task *t, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;

        if (c->active >= corridor_effective(c)) {
                refuse_capacity(t, c->active < c->node->config->max_concurrent, refusal);
                return false;
        }
        return task_pick(t, NULL, refusal) == PICK_OK;
}

/* Behind step 9. */
static bool admit_rest(struct task *t, struct iicp_refusal *refusal) {
        if (!admission_deadline(t, refusal))
                return false;
        if (task_capacity(t, refusal))
                return true;
        if (refusal->id != IICP_REFUSE_CAPACITY || !queue_wanted(t))
                return false;
        queue_add(t);
        return true;
}

bool task_admit(struct task *t, const struct task_request *request, struct iicp_refusal *refusal) {
        struct corridor *c = t->corridor;

        if (!t->own && !within_rates(t, request, refusal))
                return false;
        if (iicp_envelope_parse((struct iicp_str){t->body, t->n_body}, &t->env) < 0)
                return refuse(refusal, IICP_REFUSE_INVALID_HTTP_BODY);
        if (!task_authorize(t, request, refusal) || !envelope_ok(t, request->any_id, refusal))
                return false;
        task_profiles_note(t);
        if (t->env.timeout_ms > 0)
                t->deadline_ms = t->received_ms + (uint64_t) t->env.timeout_ms;
        if ((t->lifecycle && !lifecycle_bind(t, refusal)) || !policy_allows(c->node->policy, t->env.intent, refusal))
                return false;
        t->intent = corridor_serves(c, t->env.intent);
        if (!t->intent)
                return refuse(refusal, IICP_REFUSE_UNKNOWN_INTENT);
        t->work = iicp_intent_of(t->intent->work);
        if (!task_profiles(t, refusal))
                return false;
        if (t->lifecycle) {
                enum lifecycle_lookup known = lifecycle_look_up(t, refusal);

                if (known != LIFECYCLE_NEW)
                        return known == LIFECYCLE_KNOWN;
        }
        if (!task_choose_model(t, &t->env.payload, refusal))
                return false;
        if (task_pick(t, NULL, refusal) == PICK_NO_MODEL || !iicp_cip_check(&t->env, &t->cip, refusal))
                return false;
        if (c->draining) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_BUSY, .reason = c->draining,
                                                 .retry_after_ms = TASK_RETRY_CAPACITY_MS};
                return false;
        }
        if (t->cip.sub_task) {
                enum cip_verdict verdict = cip_gates(t, refusal);

                if (verdict != CIP_PASSED)
                        return verdict == CIP_ASKING;
        }
        return admit_rest(t, refusal);
}

void task_resume(struct task *t) {
        struct corridor *c = t->corridor;
        struct iicp_refusal refusal = {.id = IICP_REFUSE_BUSY, .reason = c->draining,
                                       .retry_after_ms = TASK_RETRY_CAPACITY_MS};

        if (c->draining || !cip_enter(t, &refusal) || !admit_rest(t, &refusal)) {
                task_refuse(t, &refusal);
                return;
        }
        if (t->step == TASK_WAITING)
                return;
        t->step = TASK_RUNNING;
        task_execute(t);
}
