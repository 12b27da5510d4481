/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "json-internal.h"
#include "util.h"
#include <iicp/envelope.h>
#include <iicp/trace.h>
#include <iicp/urn.h>
#include <iicp/uuid.h>

/* Longest source_node_id, characters of a UUID. [02 section 4.1] */
#define SOURCE_NODE_ID_MAX 36

/* A member that is looked for, and where its slice goes. */
struct wanted {
        const char *name;
        size_t n, offset;
};

#define WANTED(type, member, text)                                                                 \
        { text, sizeof(text) - 1, offsetof(struct type, member) }

static const struct wanted top_members[] = {
        WANTED(iicp_envelope, m_task_id, "task_id"),
        WANTED(iicp_envelope, m_intent, "intent"),
        WANTED(iicp_envelope, payload, "payload"),
        WANTED(iicp_envelope, m_constraints, "constraints"),
        WANTED(iicp_envelope, m_auth, "auth"),
        WANTED(iicp_envelope, m_nonce, "nonce"),
        WANTED(iicp_envelope, m_source_node_id, "source_node_id"),
        WANTED(iicp_envelope, m_trace, "trace"),
        WANTED(iicp_envelope, m_iicp_conf, "iicp_conf"),
        WANTED(iicp_envelope, m_cx_response, "cx_response_encryption"),
        WANTED(iicp_envelope, m_billing, "billing"),
        WANTED(iicp_envelope, m_cip, "cip"),
        WANTED(iicp_envelope, m_idempotency_key, "idempotency_key"),
        WANTED(iicp_envelope, m_request_digest, "request_digest"),
};

struct constraints {
        struct iicp_json timeout_ms, qos, qos_class, priority, consensus, model, max_tokens,
                required_profiles, optional_profiles;
};

static const struct wanted constraint_members[] = {
        WANTED(constraints, timeout_ms, "timeout_ms"),
        WANTED(constraints, qos, "qos"),
        WANTED(constraints, qos_class, "qos_class"),
        WANTED(constraints, priority, "priority"),
        WANTED(constraints, consensus, "consensus"),
        WANTED(constraints, model, "model"),
        WANTED(constraints, max_tokens, "max_tokens"),
        WANTED(constraints, required_profiles, "required_profiles"),
        WANTED(constraints, optional_profiles, "optional_profiles"),
};

static void keep(void *target, const struct wanted *wanted, size_t n, const struct iicp_json *name,
                 const struct iicp_json *value) {
        for (const struct wanted *w = wanted; w < wanted + n; w++) {
                if (!name->escaped &&
                    (name->text.n != w->n || memcmp(name->text.p, w->name, w->n) != 0))
                        continue;
                if (name->escaped && !iicp_json_is(name, w->name))
                        continue;
                memcpy((char *) target + w->offset, value, sizeof(*value));
                return;
        }
}

static int keep_top(void *envelope, const struct iicp_json *name, const struct iicp_json *value) {
        keep(envelope, top_members, ARRAY_SIZE(top_members), name, value);
        return 0;
}

static bool given(const struct iicp_json *v) {
        return v->type != IICP_JSON_NONE && v->type != IICP_JSON_NULL;
}

/* The decoded string: a slice of the body, or of the arena if it was written with escapes. The
 * arena is reserved once for all that can come to lie in it, so that slices stay where they are. */
static int decode(struct iicp_envelope *e, const struct iicp_json *string, struct iicp_str *ret) {
        size_t from;
        int r;

        if (!string->escaped) {
                *ret = string->text;
                return 0;
        }
        if (!e->arena.p &&
            !iicp_buf_reserve(&e->arena, e->m_task_id.text.n + e->m_intent.text.n +
                                                 e->m_auth.text.n + e->m_nonce.text.n +
                                                 e->m_source_node_id.text.n + e->m_trace.text.n +
                                                 e->m_constraints.text.n))
                return e->arena.error;
        from = e->arena.n;
        r = iicp_json_decode(string, &e->arena);
        if (r < 0)
                return r;
        *ret = (struct iicp_str){e->arena.p + from, e->arena.n - from};
        return 0;
}

static int decode_if_string(struct iicp_envelope *e, const struct iicp_json *v,
                            struct iicp_str *ret) {
        return v->type == IICP_JSON_STRING ? decode(e, v, ret) : 0;
}

int iicp_envelope_parse(struct iicp_str body, struct iicp_envelope *ret) {
        struct iicp_envelope e = {.max_credits = -1,
                                  .qos = IICP_QOS_BEST_EFFORT,
                                  .priority = IICP_PRIORITY_NORMAL};
        struct iicp_json top, token;
        int r;

        *ret = e;
        r = iicp_json_scan(body, keep_top, &e, &top);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (top.type != IICP_JSON_OBJECT)
                return -EBADMSG;
        if (!given(&e.payload))
                e.payload = (struct iicp_json){};

        token = iicp_json_get(&e.m_auth, "node_token");
        if (token.type != IICP_JSON_STRING || token.text.n == 0)
                token = iicp_json_get(&e.m_auth, "token");
        r = decode_if_string(&e, &e.m_task_id, &e.task_id);
        if (r >= 0)
                r = decode_if_string(&e, &e.m_intent, &e.intent);
        if (r >= 0)
                r = decode_if_string(&e, &token, &e.auth_token);
        if (r < 0) {
                iicp_envelope_free(&e);
                return r;
        }
        *ret = e;
        return 0;
}

void iicp_envelope_free(struct iicp_envelope *e) {
        iicp_buf_wipe(&e->arena); /* it may hold a token */
        *e = (struct iicp_envelope){};
}

static bool refuse(struct iicp_refusal *refusal, const char *field) {
        *refusal = (struct iicp_refusal){.id = IICP_REFUSE_VALIDATION, .field = field};
        return false;
}

/* Code points of text that the scanner passed. */
static size_t characters(struct iicp_str s) {
        size_t n = 0;

        for (size_t i = 0; i < s.n; i++)
                n += !utf8_tail((unsigned char) s.p[i]);
        return n;
}

/* An optional string of at most max characters: absent, null and "" are fine. */
static bool take_string(struct iicp_envelope *e, const struct iicp_json *v, const char *field,
                        size_t max, struct iicp_str *ret, struct iicp_refusal *refusal) {
        if (!given(v))
                return true;
        if (v->type != IICP_JSON_STRING)
                return refuse(refusal, field);
        if (decode(e, v, ret) < 0) {
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_INTERNAL};
                return false;
        }
        return characters(*ret) <= max || refuse(refusal, field);
}

static bool safe_id(struct iicp_str id) {
        if (id.n == 0 || id.n > IICP_TASK_ID_ECHO_MAX)
                return false;
        for (size_t i = 0; i < id.n; i++) {
                char c = id.p[i];

                if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
                    (c == '\0' || !strchr("._:-", c)))
                        return false;
        }
        return true;
}

static bool check_identity(struct iicp_envelope *e, unsigned flags, struct iicp_refusal *refusal) {
        if (!e->task_id.p ||
            !(flags & IICP_ENVELOPE_ANY_ID ? safe_id(e->task_id) : iicp_uuid4_valid(e->task_id)))
                return refuse(refusal, "task_id");

        switch (iicp_urn_check(e->intent)) {
        case IICP_URN_OK:
                break;
        case IICP_URN_MODIFIER:
                *refusal = (struct iicp_refusal){.id = IICP_REFUSE_CIP_FIELDS};
                return false;
        case IICP_URN_MALFORMED:
                return refuse(refusal, "intent");
        }

        /* a nonce that is there must be usable: null would silently switch replay protection off */
        if (e->m_nonce.type == IICP_JSON_NULL ||
            !take_string(e, &e->m_nonce, "nonce", IICP_NONCE_MAX, &e->nonce, refusal) ||
            (e->nonce.p && e->nonce.n == 0))
                return refuse(refusal, "nonce");
        return take_string(e, &e->m_source_node_id, "source_node_id", SOURCE_NODE_ID_MAX,
                           &e->source_node_id, refusal);
}

static bool is_object_or_absent(const struct iicp_json *v, const char *field,
                                struct iicp_refusal *refusal) {
        return !given(v) || v->type == IICP_JSON_OBJECT || refuse(refusal, field);
}

static enum iicp_qos qos_of(const struct iicp_json *v) {
        for (enum iicp_qos q = IICP_QOS_REALTIME; q <= IICP_QOS_BEST_EFFORT; q++)
                if (iicp_json_is(v, iicp_qos_name(q)))
                        return q;
        return IICP_QOS_BEST_EFFORT; /* "best_effort" and everything unknown */
}

static bool take_word(const struct iicp_json *v, const char *const *words, size_t n, size_t *ret) {
        for (size_t i = 0; i < n; i++)
                if (iicp_json_is(v, words[i])) {
                        *ret = i;
                        return true;
                }
        return false;
}

static bool check_words(struct iicp_envelope *e, const struct constraints *c,
                        struct iicp_refusal *refusal) {
        static const char *const priorities[] = {
                [IICP_PRIORITY_CRITICAL] = "critical",
                [IICP_PRIORITY_HIGH] = "high",
                [IICP_PRIORITY_NORMAL] = "normal",
                [IICP_PRIORITY_LOW] = "low",
        };
        static const char *const consensus[] = {"none", "first_completed", "majority_of_3",
                                                "majority_of_5"};
        size_t i;

        e->qos = qos_of(given(&c->qos) ? &c->qos : &c->qos_class);
        if (given(&c->priority)) {
                if (!take_word(&c->priority, priorities, ARRAY_SIZE(priorities), &i))
                        return refuse(refusal, "constraints.priority");
                e->priority = (enum iicp_priority) i;
        }
        if (given(&c->consensus) && !take_word(&c->consensus, consensus, ARRAY_SIZE(consensus), &i))
                return refuse(refusal, "constraints.consensus");
        return true;
}

static bool check_profiles(struct iicp_envelope *e, const struct constraints *c,
                           struct iicp_refusal *refusal) {
        struct iicp_json_iter it;
        struct iicp_json profile;

        if (given(&c->optional_profiles) && c->optional_profiles.type != IICP_JSON_ARRAY)
                return refuse(refusal, "constraints.optional_profiles");
        if (!given(&c->required_profiles))
                return true;
        if (c->required_profiles.type != IICP_JSON_ARRAY)
                return refuse(refusal, "constraints.required_profiles");
        iicp_json_iter_init(&it, &c->required_profiles);
        while (iicp_json_next(&it, NULL, &profile))
                if (profile.type != IICP_JSON_STRING)
                        return refuse(refusal, "constraints.required_profiles");
        e->required_profiles = c->required_profiles;
        return true;
}

static bool check_constraints(struct iicp_envelope *e, struct iicp_refusal *refusal) {
        struct constraints c = {};
        struct iicp_json_iter it;
        struct iicp_json name, value;

        if (!is_object_or_absent(&e->m_constraints, "constraints", refusal))
                return false;
        iicp_json_iter_init(&it, &e->m_constraints);
        while (iicp_json_next(&it, &name, &value))
                keep(&c, constraint_members, ARRAY_SIZE(constraint_members), &name, &value);

        if (c.timeout_ms.type != IICP_JSON_NONE &&
            (iicp_json_int(&c.timeout_ms, &e->timeout_ms) < 0 || e->timeout_ms < 1 ||
             e->timeout_ms > IICP_TIMEOUT_MS_MAX))
                return refuse(refusal, "constraints.timeout_ms");
        if (!json_take_count(&c.max_tokens, &e->max_tokens))
                return refuse(refusal, "constraints.max_tokens");
        if (!take_string(e, &c.model, "constraints.model", SIZE_MAX, &e->model, refusal))
                return false;
        if (e->model.n == 0)
                e->model = IICP_STR_NONE;
        return check_words(e, &c, refusal) && check_profiles(e, &c, refusal);
}

static bool check_rest(struct iicp_envelope *e, struct iicp_refusal *refusal) {
        struct iicp_json token = iicp_json_get(&e->m_auth, "node_token"),
                         alias = iicp_json_get(&e->m_auth, "token");
        struct iicp_json trace_id = iicp_json_get(&e->m_trace, "trace_id");
        struct iicp_json credits = iicp_json_get(&e->m_billing, "max_credits");

        if (!is_object_or_absent(&e->m_auth, "auth", refusal) ||
            !is_object_or_absent(&e->m_billing, "billing", refusal))
                return false;
        if (given(&token) && token.type != IICP_JSON_STRING)
                return refuse(refusal, "auth.node_token");
        if (given(&alias) && alias.type != IICP_JSON_STRING)
                return refuse(refusal, "auth.token");
        if (given(&credits) &&
            (iicp_json_double(&credits, &e->max_credits) < 0 || e->max_credits < 0))
                return refuse(refusal, "billing.max_credits");
        /* a trace id is never a reason to refuse: others take its place [02 section 13.4] */
        if (trace_id.type == IICP_JSON_STRING && !trace_id.escaped &&
            iicp_trace_id_valid(trace_id.text))
                e->trace_id = trace_id.text;
        e->cx_response_required = iicp_json_is(&e->m_cx_response, "required");
        return true;
}

bool iicp_envelope_check(struct iicp_envelope *e, unsigned flags, struct iicp_refusal *refusal) {
        if (!check_identity(e, flags, refusal) || !check_constraints(e, refusal) ||
            !check_rest(e, refusal))
                return false;
        /* last, because a demand for encryption is judged before a missing payload is */
        if (e->payload.type == IICP_JSON_NONE ? !given(&e->m_iicp_conf)
                                              : e->payload.type != IICP_JSON_OBJECT)
                return refuse(refusal, "payload");
        return true;
}

const char *iicp_qos_name(enum iicp_qos qos) {
        switch (qos) {
        case IICP_QOS_REALTIME:
                return "realtime";
        case IICP_QOS_INTERACTIVE:
                return "interactive";
        case IICP_QOS_BATCH:
                return "batch";
        case IICP_QOS_BEST_EFFORT:
                break;
        }
        return "best-effort";
}
