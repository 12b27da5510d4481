/* SPDX-License-Identifier: Apache-2.0 */
#include "client-submit.h"
#include <errno.h>
#include <iicp/intents.h>
#include <iicp/lifecycle.h>
#include <stdio.h>
#include <time.h>

static void submit_done(struct submit *s) {
        iicp_nodes_free(s->list);
        free(s->order);
        iicp_buf_wipe(&s->body);
        iicp_wipe(&s->session, sizeof(s->session));
        iicp_response_free(s->response);
}

static const struct iicp_record *candidate_of(const struct submit *s, size_t candidate) {
        return &s->list->v[s->order[candidate]];
}

/* ---- the body [06 section 10.2] ---- */

static bool advertises(const struct iicp_record *node, const char *model) {
        for (size_t i = 0; i < node->pub.n_models; i++)
                if (iicp_model_match(iicp_str(node->pub.models[i]), iicp_str(model)))
                        return true;
        return false;
}

static int write_payload(const struct submit *s, size_t candidate, struct iicp_buf *out) {
        const struct iicp_record *node = candidate_of(s, candidate);
        struct iicp_identity_facts f = {
                .intent = s->rq->intent,
                .client_name = s->c->cfg.client_name,
                .client_version = s->c->cfg.client_version,
                .routed = true,
                .selection = "matched_intent_and_constraints",
        };

        if (!s->chat) {
                iicp_buf_add_str(out, s->rq->payload);
                return out->error;
        }
        if (s->route.model && advertises(node, s->route.model)) {
                f.selected_model = s->route.model;
                f.selection = "explicit_model_match";
        } else if (node->pub.n_models == 1)
                f.selected_model = node->pub.models[0];
        if (candidate > 0)
                f.selection = "fallback_after_unavailable_candidate";
        else if (s->explored)
                f.selection = "routing_exploration";
        return iicp_identity_apply(s->c->cfg.runtime_identity, &f, true, s->rq->payload, out);
}

const char *iicp_submit_token(const struct submit *s, const struct iicp_record *node) {
        const struct iicp_client *c = s->c;

        for (size_t i = 0; i < c->cfg.n_provider_tokens; i++)
                if (!strcmp(c->tokens[i].node_id, node->node_id))
                        return c->tokens[i].token;
        return NULL;
}

/* Encrypted whenever the node has a key; there is no way from here back to clear text. */
static int write_content(struct submit *s, const struct iicp_record *node,
                         struct iicp_str payload) {
        int r;

        if (!node->pub.has_key) {
                iicp_buf_puts(&s->body, ",\"payload\":");
                iicp_buf_add_str(&s->body, payload);
                return 0;
        }
        iicp_buf_puts(&s->body, ",\"iicp_conf\":");
        r = iicp_cx_seal_request(&node->key, iicp_str(s->task_id), iicp_str(s->rq->intent), payload,
                                 &s->body, &s->session);
        if (r == 0 && node->key.response_encryption)
                iicp_buf_puts(&s->body, ",\"cx_response_encryption\":\"required\"");
        return r;
}

/* Into the constraints that were just written; the key is the id, as a task is submitted once. */
static void write_profile(struct submit *s) {
        if (s->body.error)
                return;
        s->body.n--; /* the closing brace */
        iicp_buf_puts(&s->body, s->body.p[s->body.n - 1] == '{' ? "" : ",");
        iicp_buf_puts(&s->body, "\"required_profiles\":[\"" IICP_PROFILE_LIFECYCLE "\"]},\"idempotency_key\":");
        iicp_buf_json_str(&s->body, iicp_str(s->task_id));
}

static int write_body(struct submit *s, size_t candidate) {
        const struct iicp_record *node = candidate_of(s, candidate);
        const char *token = iicp_submit_token(s, node);
        struct iicp_buf payload = {0};
        int r;

        if (s->body_for == (ssize_t) candidate)
                return 0;
        s->body_streams = s->rq->on_text && node->lifecycle && token && s->no_stream_for != (ssize_t) candidate;
        s->body_for = -1;
        iicp_buf_wipe(&s->body);
        s->body = (struct iicp_buf){0};
        iicp_wipe(&s->session, sizeof(s->session));
        r = write_payload(s, candidate, &payload);
        if (r == 0) {
                iicp_buf_puts(&s->body, "{\"task_id\":");
                iicp_buf_json_str(&s->body, iicp_str(s->task_id));
                iicp_buf_puts(&s->body, ",\"intent\":");
                iicp_buf_json_str(&s->body, iicp_str(s->rq->intent));
                iicp_buf_puts(&s->body, ",\"constraints\":");
                iicp_constraints_json(&s->x, s->c->cfg.compat_qos_class, &s->body);
                if (s->body_streams)
                        write_profile(s);
                r = write_content(s, node, iicp_buf_str(&payload));
        }
        iicp_buf_wipe(&payload);
        if (r < 0)
                return r;
        if (s->c->cfg.source_node_id) {
                iicp_buf_puts(&s->body, ",\"source_node_id\":");
                iicp_buf_json_str(&s->body, iicp_str(s->c->cfg.source_node_id));
        }
        if (token) {
                iicp_buf_puts(&s->body, ",\"auth\":{\"node_token\":");
                iicp_buf_json_str(&s->body, iicp_str(token));
                iicp_buf_puts(&s->body, "}");
        }
        iicp_buf_puts(&s->body, "}");
        if (s->body.error)
                return s->body.error;
        if (s->body.n > s->c->cfg.max_body_bytes)
                return -E2BIG;
        s->body_for = (ssize_t) candidate;
        return 0;
}

static void fail_body(struct submit *s, int r, struct iicp_outcome *o) {
        switch (r) {
        case -E2BIG:
                iicp_outcome_local(o, "request_too_large", "the request is too large");
                break;
        case -EKEYREJECTED:
                iicp_outcome_local(o, "IICP-CX-REQUIRED", "the key of the node cannot be used");
                o->cls = IICP_CLASS_SWITCH;
                break;
        case -EOPNOTSUPP:
        case -EINVAL:
                iicp_outcome_local(o, "required_identity_context_unsupported",
                                   "the runtime identity cannot be added to these messages");
                break;
        default:
                s->out_of_memory = true;
                iicp_outcome_local(o, "internal_error", "out of memory or of random numbers");
        }
}

/* ---- one attempt ---- */

static void read_success(struct submit *s, const struct iicp_record *node,
                         const struct iicp_http_answer *a, struct iicp_outcome *o) {
        struct iicp_reply_context ctx = {
                .task_id = s->task_id,
                .model = s->x.model,
                .session = s->session.valid ? &s->session : NULL,
                .need_encrypted = node->pub.has_key && node->key.response_encryption && !s->reply_opened,
        };
        struct iicp_reply reply;

        if (iicp_reply_read(&ctx, iicp_buf_str(&a->body), &reply) < 0) {
                fail_body(s, -ENOMEM, o);
                return;
        }
        if (!reply.ok) {
                *o = reply.outcome;
                if (!o->http_status)
                        o->http_status = a->status;
                return;
        }
        s->response = reply.response;
        o->cls = IICP_CLASS_DONE;
        o->verdict = IICP_VERDICT_OK;
        o->http_status = a->status;
}

void iicp_submit_read(struct submit *s, const struct iicp_record *node, enum iicp_http_fault fault,
                      const struct iicp_http_answer *a, struct iicp_outcome *o) {
        switch (fault) {
        case IICP_HTTP_OK:
                if (a->encoded)
                        iicp_outcome_local(o, "unsupported_content_encoding",
                                           "the answer is compressed");
                else if (a->status >= 200 && a->status <= 299) {
                        read_success(s, node, a, o);
                        return;
                } else {
                        iicp_outcome_read(o, a->status, iicp_buf_str(&a->body),
                                          iicp_str(a->retry_after), time(NULL));
                        iicp_outcome_classify(o, a->status, false);
                }
                break;
        case IICP_HTTP_TIMEOUT:
                iicp_outcome_local(o, "IICP-E003", a->reason);
                break;
        case IICP_HTTP_FAILED:
                iicp_outcome_local(o, "IICP-E004", a->reason);
                break;
        case IICP_HTTP_REFUSED:
        case IICP_HTTP_REDIRECT_REFUSED:
        case IICP_HTTP_ASK_SEED: /* directories only */
                iicp_outcome_local(o, "IICP-ENDPOINT-REFUSED", a->reason);
                break;
        case IICP_HTTP_TOO_LARGE:
                iicp_outcome_local(o, "response_too_large", "the answer is above 1 MiB");
                break;
        case IICP_HTTP_CANCELLED:
                iicp_outcome_local(o, "cancelled", "cancelled by the caller");
                o->cancelled = true;
                break;
        case IICP_HTTP_NO_MEMORY:
                fail_body(s, -ENOMEM, o);
                break;
        }
        o->http_status = a->status;
}

enum iicp_http_fault iicp_submit_exchange(struct submit *s, const struct iicp_record *node, const struct exchange *x,
                                          struct iicp_http_answer *ret) {
        char trace[sizeof("traceparent: ") + IICP_TRACEPARENT_TEXT];
        const char *token = iicp_submit_token(s, node), *headers[4] = {trace};
        size_t n_headers = 1;
        struct iicp_buf url = {0}, bearer = {0};
        struct iicp_http_request rq = {
                .body = x->body,
                .headers = headers,
                .budget_ms = x->budget_ms,
                .body_max = IICP_BODY_MAX,
                .provider = true,
                .allow_private = s->c->cfg.allow_private_endpoints,
                .on_piece = x->on_piece,
                .arg = x->arg,
        };
        enum iicp_http_fault fault = IICP_HTTP_NO_MEMORY;

        snprintf(trace, sizeof(trace), "traceparent: %s", s->traceparent);
        if (token) {
                iicp_buf_printf(&bearer, "Authorization: Bearer %s", token);
                headers[n_headers++] = bearer.p;
        }
        headers[n_headers] = x->header;
        iicp_buf_printf(&url, "%s%s", node->endpoint, x->path);
        if (!url.error && !bearer.error) {
                rq.url = url.p;
                fault = iicp_http_perform(s->c->http, &rq, ret);
        }
        if (ret->sent && !node->pub.has_key)
                s->sent_clear = true;
        iicp_buf_free(&url);
        iicp_buf_wipe(&bearer);
        return fault;
}

static void post(struct submit *s, const struct iicp_record *node, int64_t budget_ms,
                 struct iicp_outcome *o) {
        struct iicp_str body = iicp_buf_str(&s->body);
        const struct exchange x = {.path = "/v1/task", .body = &body, .budget_ms = budget_ms};
        struct iicp_http_answer a = {0};
        enum iicp_http_fault fault = iicp_submit_exchange(s, node, &x, &a);

        iicp_submit_read(s, node, fault, &a, o);
        o->sent = a.sent;
        o->sent_all = a.sent_all;
        iicp_http_answer_done(&a);
}

static int64_t op_now(void *arg) {
        (void) arg;
        return iicp_clock_ms();
}

static int op_wait(void *arg, int64_t ms) {
        struct submit *s = arg;

        return iicp_http_wait(s->c->http, ms);
}

static bool op_admit(void *arg, size_t candidate) {
        struct submit *s = arg;

        return iicp_breaker_acquire(s->c->breaker, candidate_of(s, candidate)->node_id,
                                    iicp_clock_ms());
}

static const char *op_prefix(void *arg, size_t candidate) {
        return candidate_of(arg, candidate)->pub.prefix;
}

/* The ordinary way, with a body of its own where the streamed one was not taken. */
static void post_buffered(struct submit *s, size_t candidate, int64_t budget_ms, struct iicp_outcome *o) {
        int r = 0;

        if (s->body_streams) {
                s->no_stream_for = (ssize_t) candidate;
                s->body_for = -1;
                r = write_body(s, candidate);
        }
        if (r < 0)
                fail_body(s, r, o);
        else
                post(s, candidate_of(s, candidate), budget_ms, o);
}

static void op_attempt(void *arg, size_t candidate, int64_t budget_ms, struct iicp_outcome *ret) {
        struct submit *s = arg;
        const struct iicp_record *node = candidate_of(s, candidate);
        int64_t start = iicp_clock_ms();
        int r = write_body(s, candidate);

        if (r < 0)
                fail_body(s, r, ret);
        else {
                if (!node->pub.has_key)
                        iicp_client_warn(
                                s->c, &s->c->warned_plaintext,
                                "allow_plaintext: prompts go to nodes without key in clear");
                if (!s->body_streams || !iicp_submit_stream(s, node, budget_ms, ret))
                        post_buffered(s, candidate, budget_ms, ret);
        }
        s->attempt_ms = iicp_clock_ms() - start;
        iicp_breaker_report(s->c->breaker, node->node_id, iicp_clock_ms(), ret->verdict);
}

/* ---- from request to answer ---- */

static int check_request(const struct submit *s, struct iicp_error *error) {
        struct iicp_json top;
        int r;

        if (s->x.timeout_ms > IICP_TIMEOUT_MS_CLIENT_MAX)
                return iicp_fail_invalid(error, "timeout_ms: %lld is above 120000",
                                         (long long) s->x.timeout_ms);
        if (s->x.timeout_ms < 100)
                return iicp_fail_invalid(error, "timeout_ms: %lld is below 100",
                                         (long long) s->x.timeout_ms);
        if (!iicp_qos_valid(s->x.qos))
                return iicp_fail_invalid(error,
                                         "qos: one of realtime, interactive, batch, best-effort");
        if (s->x.model && strlen(s->x.model) > 255)
                return iicp_fail_invalid(error, "model: longer than 255 bytes");
        if (s->rq->task_id && !iicp_uuid_valid(iicp_str(s->rq->task_id)))
                return iicp_fail_invalid(error, "task_id: not a UUID");
        r = iicp_check_route(&s->route, error);
        if (r < 0)
                return r;
        r = iicp_check_intent(s->rq->intent, error);
        if (r < 0)
                return r;
        if (s->rq->payload.n > s->c->cfg.max_body_bytes) {
                iicp_error_set(error, "request_too_large", "sdk", false,
                               "the request is too large. Nothing was sent.");
                return -E2BIG;
        }
        if (!s->rq->payload.p || iicp_json_scan(s->rq->payload, NULL, NULL, &top) < 0 ||
            top.type != IICP_JSON_OBJECT)
                return iicp_fail_invalid(error, "payload: not a JSON object");
        return 0;
}

static int make_ids(struct submit *s, struct iicp_error *error) {
        if (s->rq->task_id) {
                for (size_t i = 0; i < sizeof(s->task_id) - 1; i++) {
                        char ch = s->rq->task_id[i];

                        s->task_id[i] = (char) (ch >= 'A' && ch <= 'F' ? ch + 32 : ch);
                }
        } else if (iicp_uuid4(s->task_id) < 0)
                return iicp_fail_memory(error);
        return iicp_client_trace(s->rq->traceparent, s->traceparent) < 0 ? iicp_fail_memory(error)
                                                                         : 0;
}

/* Takes out nodes whose breaker is open. *ret_wait_ms: until the first of them may be asked. */
static size_t drop_open(struct submit *s, size_t n, int64_t *ret_wait_ms) {
        size_t kept = 0;

        *ret_wait_ms = -1;
        for (size_t i = 0; i < n; i++) {
                int64_t wait = 0;

                if (iicp_breaker_allows(s->c->breaker, s->list->v[s->order[i]].node_id,
                                        iicp_clock_ms(), &wait))
                        s->order[kept++] = s->order[i];
                else if (*ret_wait_ms < 0 || wait < *ret_wait_ms)
                        *ret_wait_ms = wait;
        }
        return kept;
}

/* Stages 6 to 8. */
static int choose(struct submit *s, struct iicp_error *error) {
        struct iicp_client *c = s->c;
        struct iicp_selection sel = {
                .strategy = c->cfg.strategy,
                .epsilon = c->cfg.epsilon,
                .tau = c->cfg.softmax_tau,
                .top_k = c->cfg.top_k,
                .max_retries = c->cfg.max_retries,
                .draw = iicp_client_draw,
        };
        int64_t wait;
        size_t first, n;
        int r = iicp_directory_list(c, s->rq->intent, &s->route, s->traceparent, s->deadline_ms,
                                    &s->list, error);

        if (r < 0)
                return r;
        if (s->list->n == 0) {
                iicp_error_set(error, "IICP-E033", "sdk", true,
                               "the directory knows no node for this request");
                error->http_status = 503;
                error->left_out_private = (unsigned) s->list->n_private;
                return -ENOENT;
        }
        s->order = calloc(s->list->n, sizeof(*s->order));
        if (!s->order)
                return iicp_fail_memory(error);
        if (!iicp_policy_gate(&c->cfg.policy, c->cfg.allow_plaintext, s->list, s->order,
                              &s->n_eligible, error))
                return -EACCES;
        n = drop_open(s, s->n_eligible, &wait);
        if (n == 0) {
                iicp_error_set(error, "no_available_node", "sdk", true,
                               "all nodes failed a moment ago");
                error->http_status = 502;
                error->retry_after_ms = wait;
                snprintf(error->cause.code, sizeof(error->cause.code), "circuit_open");
                return -EHOSTUNREACH;
        }
        iicp_select_model_first(s->list, s->route.model, s->order, n);
        first = s->order[0];
        s->n_order = iicp_select(&sel, s->list, s->order, n);
        s->explored = s->order[0] != first;
        return 0;
}

static bool is_tool_call(const struct iicp_request *rq) {
        struct iicp_json top, safe;

        if (strncmp(rq->intent, "urn:iicp:intent:mcp:", 20))
                return false;
        if (iicp_json_scan(rq->payload, NULL, NULL, &top) < 0)
                return true;
        safe = iicp_json_get(&top, "mcp_replay_safe");
        return safe.type != IICP_JSON_TRUE;
}

static int finish(struct submit *s, const struct iicp_walk *w, size_t winner,
                  struct iicp_response **ret, struct iicp_error *error) {
        const struct iicp_record *node = candidate_of(s, winner);
        struct iicp_response *r = s->response;

        r->node_id = strdup(node->node_id);
        r->region = strdup(node->region);
        if (!r->node_id || !r->region)
                return iicp_fail_memory(error);
        memcpy(r->node_prefix, node->pub.prefix, sizeof(r->node_prefix));
        r->encrypted = node->pub.has_key;
        r->latency_ms = s->attempt_ms;
        r->selection_profile = iicp_strategy_name(s->c->cfg.strategy);
        r->candidates = (unsigned) s->n_eligible;
        memcpy(r->log, w->log, sizeof(r->log));
        r->n_log = w->n_log;
        *ret = TAKE_PTR(s->response);
        return 0;
}

static int walk(struct submit *s, struct iicp_response **ret, struct iicp_error *error) {
        static const struct iicp_walk_ops ops = {
                .now_ms = op_now,
                .wait_ms = op_wait,
                .draw = iicp_client_draw,
                .admit = op_admit,
                .attempt = op_attempt,
                .prefix = op_prefix,
        };
        const struct iicp_client_config *cfg = &s->c->cfg;
        struct iicp_walk w = {
                .ops = &ops,
                .arg = s,
                .n = s->n_order,
                .max_retries = cfg->max_retries,
                .timeout_ms = s->x.timeout_ms,
                .deadline_ms = s->deadline_ms,
                .backoff = {cfg->retry_base_ms, cfg->retry_cap_ms, cfg->retry_hint_cap_ms},
                .qos = s->x.qos,
                .qos_attempts = cfg->qos_attempts,
                .no_replay = s->rq->no_replay || is_tool_call(s->rq),
        };
        ssize_t winner = iicp_walk_run(&w, error);

        if (winner >= 0)
                return finish(s, &w, (size_t) winner, ret, error);
        error->candidates = (unsigned) s->n_eligible;
        error->sent_clear = s->sent_clear;
        return s->out_of_memory                    ? -ENOMEM
               : !strcmp(error->code, "cancelled") ? -ECANCELED
                                                   : -EHOSTUNREACH;
}

static int run(struct iicp_client *c, const struct iicp_request *rq, bool chat,
               struct iicp_response **ret, struct iicp_error *error) {
        struct submit s = {.c = c, .rq = rq, .chat = chat, .body_for = -1, .no_stream_for = -1};
        int r;

        iicp_project(c->cfg.region, c->cfg.timeout_ms, rq, &s.route, &s.x);
        r = check_request(&s, error);
        if (r == 0)
                r = make_ids(&s, error);
        if (r == 0 && rq->on_start)
                rq->on_start(rq->stream_arg);
        if (r == 0) {
                int64_t budget = c->cfg.overall_timeout_ms;

                if (budget == 0)
                        budget = c->cfg.max_retries * (s.x.timeout_ms + IICP_ATTEMPT_GRACE_MS) +
                                 5000;
                s.deadline_ms = iicp_clock_ms() + budget;
                if (c->cfg.allow_private_endpoints)
                        iicp_client_warn(
                                c, &c->warned_private,
                                "allow_private_endpoints: nodes at private addresses may be asked");
                r = choose(&s, error);
        }
        if (r == 0)
                r = walk(&s, ret, error);
        submit_done(&s);
        atomic_store(&c->cancel, false);
        return r;
}

int iicp_submit(struct iicp_client *c, const struct iicp_request *request,
                struct iicp_response **ret, struct iicp_error *error) {
        return run(c, request, false, ret, error);
}

int iicp_chat(struct iicp_client *c, const struct iicp_request *request, struct iicp_response **ret,
              struct iicp_error *error) {
        return run(c, request, true, ret, error);
}
