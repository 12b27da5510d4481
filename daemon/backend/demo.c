/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../node.h"

/* A backend without a server: it says in each answer that it is a demo. */

#define DEMO_TEXT "[demo] This answer comes from the built-in demo backend of iicpd. No model was asked."
#define DEMO_WORD_MS 40 /* between two words of a stream */
#define DEMO_USAGE "\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}}"

struct iicp_str demo_model(void) {
        return IICP_STR("demo");
}

static void demo_write(const struct backend_call *c, struct iicp_buf *out) {
        switch (c->intent->kind) {
        case IICP_INTENT_CHAT:
                iicp_buf_puts(out, "{\"id\":\"demo\",\"object\":\"chat.completion\",\"model\":\"demo\",\"choices\":"
                                   "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" DEMO_TEXT
                                   "\"},\"finish_reason\":\"stop\"}]," DEMO_USAGE);
                break;
        case IICP_INTENT_COMPLETION:
                iicp_buf_puts(out, "{\"id\":\"demo\",\"object\":\"text_completion\",\"model\":\"demo\",\"choices\":"
                                   "[{\"index\":0,\"text\":\"" DEMO_TEXT "\",\"finish_reason\":\"stop\"}]," DEMO_USAGE);
                break;
        default:
                iicp_buf_puts(out, "{\"object\":\"list\",\"model\":\"demo\",\"data\":[");
                for (size_t i = 0; i < c->inputs; i++)
                        iicp_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":[0.5,-0.5,0.5,-0.5]}",
                                        i ? "," : "", i);
                iicp_buf_puts(out, "]," DEMO_USAGE);
        }
}

static void on_turn(void *arg) {
        struct backend_call *c = arg;
        struct backend_answer a = {.refusal = {.id = IICP_REFUSE_NONE}};

        demo_write(c, &c->body);
        a.result = iicp_buf_str(&c->body);
        if (c->body.error)
                a.refusal = (struct iicp_refusal){.id = IICP_REFUSE_BACKEND, .reason = "backend_failed"};
        else
                c->backend->n_ok++;
        backend_call_end(c, &a);
}

static bool demo_streams(const struct backend_call *c) {
        return c->flow.on_text && backend_streams(c->backend, c->intent);
}

/* One word with the blank behind it. */
static void on_word(void *arg) {
        struct backend_call *c = arg;
        const char *p = &DEMO_TEXT[c->at];
        size_t n = strcspn(p, " ");

        n += p[n] == ' ';
        c->at += n;
        if (!backend_call_text(c, (struct iicp_str){p, n}))
                return;
        if (n)
                timer_set_ms(&c->timer, DEMO_WORD_MS);
        else
                on_turn(c);
}

static bool demo_start(struct backend_call *c, const struct backend_task *t) {
        struct iicp_json input = iicp_json_get(&t->payload->object, "input");

        c->inputs = 1;
        if (input.type == IICP_JSON_ARRAY) {
                struct iicp_json_iter it;
                struct iicp_json one;

                c->inputs = 0;
                iicp_json_iter_init(&it, &input);
                while (iicp_json_next(&it, NULL, &one))
                        c->inputs++;
        }
        timer_init(&c->timer, c->backend->node->loop, demo_streams(c) ? on_word : on_turn, c);
        timer_set_ms(&c->timer, 0);
        return true;
}

static void demo_stop(struct backend_call *c) {
        timer_clear(&c->timer);
}

const struct dialect dialect_demo = {.start = demo_start, .stop = demo_stop, .streams = true};
