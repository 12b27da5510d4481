/* SPDX-License-Identifier: Apache-2.0 */
#include "corridor.h"
#include "directory/award.h"
#include "result.h"

/* The 200 body around a backend's result. [02 section 6] */

void answer_metrics(const struct task *t, const struct backend_answer *from, int64_t tokens, struct iicp_buf *out) {
        iicp_buf_printf(out, "\"metrics\":{\"latency_ms\":%llu",
                        (unsigned long long) (task_now_ms(t) - t->received_ms));
        if (tokens >= 0)
                iicp_buf_printf(out, ",\"tokens_used\":%lld", (long long) tokens);
        iicp_buf_puts(out, ",\"node_id\":");
        iicp_buf_json_str(out, iicp_str(state_identity(t->corridor->node->state)->node_id));
        if (t->max_tokens_applied > 0)
                iicp_buf_printf(out, ",\"max_tokens_applied\":%lld", (long long) t->max_tokens_applied);
        if (from->prompt_truncated)
                iicp_buf_puts(out, ",\"prompt_truncated\":true");
        iicp_buf_puts(out, "}");
}

void answer_claim(struct task *t, struct iicp_str result, int64_t tokens) {
        if (!t->claim && !t->own)
                t->claim = award_claim(t->corridor->node->awards,
                                       &(struct award_task){.task_id = t->env.task_id,
                                                            .source_node_id = t->env.source_node_id,
                                                            .result = result,
                                                            .tokens = tokens,
                                                            .max_credits = t->env.max_credits,
                                                            .sub_task = t->cip.sub_task});
}

void answer_build(struct task *t, const struct backend_answer *from, struct iicp_buf *out,
                  int64_t *ret_tokens, struct iicp_refusal *ret_refusal) {
        struct result_facts facts;
        size_t result, result_n;

        iicp_buf_puts(out, "{\"task_id\":");
        iicp_buf_json_str(out, t->env.task_id);
        iicp_buf_puts(out, ",\"status\":\"success\",\"result\":");
        result = out->n;
        if (!result_normalise(t->intent->kind, from->result, out, &facts)) {
                *ret_refusal = (struct iicp_refusal){.id = IICP_REFUSE_BACKEND,
                                                     .reason = "backend_invalid_response"};
                return;
        }
        result_n = out->n - result;
        iicp_buf_puts(out, ",");
        answer_metrics(t, from, facts.tokens, out);
        if (facts.model.type == IICP_JSON_STRING) {
                iicp_buf_puts(out, ",\"model_used\":\"");
                iicp_buf_add_str(out, facts.model.text);
                iicp_buf_puts(out, "\"");
        } else if (t->model.p) {
                iicp_buf_puts(out, ",\"model_used\":");
                iicp_buf_json_str(out, t->model);
        }
        if (facts.usage_n > 0) {
                char *copy;

                iicp_buf_puts(out, ",\"usage\":");
                copy = iicp_buf_reserve(out, facts.usage_n);
                if (copy) {
                        memcpy(copy, out->p + facts.usage_at, facts.usage_n);
                        out->n += facts.usage_n;
                }
        }
        if (t->wants_admission) {
                iicp_buf_puts(out, ",");
                admission_accepted(t, out);
        }
        cip_trace(t, out);
        if (!out->error)
                answer_claim(t, (struct iicp_str){out->p + result, result_n}, facts.tokens);
        if (!out->error)
                cip_receipt(t, (struct iicp_str){out->p + result, result_n}, facts.tokens, out);
        iicp_buf_puts(out, ",\"error\":null,\"generated_by_ai\":true}");
        *ret_tokens = facts.tokens;
}
