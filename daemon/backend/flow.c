/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "../node.h"
#include "util.h"

/* Small pieces of text gathered to increments: a model says a word in many pieces, and an event for
 * each would cost more than the text. [02 section 10.8] */

static void on_time(void *arg) {
        backend_call_flush(arg);
}

void flow_init(struct backend_call *c, const struct backend_task *t) {
        struct flow *f = &c->flow;

        f->on_text = t->on_text;
        f->text = (struct iicp_buf){.max = BACKEND_ANSWER_MAX, .secret = true};
        timer_init(&f->timer, c->backend->node->loop, on_time, c);
}

void flow_clear(struct flow *f) {
        timer_clear(&f->timer);
        iicp_buf_wipe(&f->text);
}

/* Length of the first increment: all, or as much as one may hold, ending between two code points. */
static size_t increment(struct iicp_str text) {
        size_t n = BACKEND_TEXT_MAX;

        if (text.n <= n)
                return text.n;
        while (n && ((unsigned char) text.p[n] & 0xc0) == 0x80)
                n--;
        return n;
}

bool backend_call_flush(struct backend_call *c) {
        struct flow *f = &c->flow;
        struct iicp_str rest = iicp_buf_str(&f->text);

        timer_clear(&f->timer);
        if (!rest.n)
                return true;
        f->given = f->giving = true;
        while (rest.n && !f->cancelled) {
                size_t n = increment(rest);

                f->on_text(c->arg, (struct iicp_str){rest.p, n});
                rest = (struct iicp_str){rest.p + n, rest.n - n};
        }
        f->giving = false;
        if (f->cancelled) {
                backend_call_cancel(c);
                return false;
        }
        explicit_bzero(f->text.p, f->text.n);
        f->text.n = 0;
        return true;
}

bool backend_call_text(struct backend_call *c, struct iicp_str text) {
        struct flow *f = &c->flow;
        bool first = f->text.n == 0;

        if (!f->on_text || !text.n)
                return true;
        iicp_buf_add_str(&f->text, text);
        if (f->text.error) {
                static const struct backend_answer failed = {
                        .refusal = {.id = IICP_REFUSE_BACKEND, .reason = "backend_failed"}};

                c->backend->dialect->stop(c);
                f->text.n = 0;
                backend_call_end(c, &failed);
                return false;
        }
        if (f->text.n >= FLOW_BYTES)
                return backend_call_flush(c);
        if (first)
                timer_set_ms(&f->timer, FLOW_MS);
        return true;
}
