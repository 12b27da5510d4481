/* SPDX-License-Identifier: Apache-2.0 */
#include "task/lifecycle_internal.h"

#include "vectors.h"

#include "util.h"

#include <stdio.h>
#include <stdlib.h>

/* The store without doors and backends: tasks are made as admission leaves them. */

static struct {
        struct node node;
        struct config config;
        struct clock clock;
        uint64_t now_ms;
        struct task_answer answer;
        unsigned answers, readies;
} w;

static uint64_t mono_us(void *arg) {
        (void) arg;
        return w.now_ms * 1000;
}

static int64_t wall_s(void *arg) {
        (void) arg;
        return 1700000000 + (int64_t) (w.now_ms / 1000);
}

static int setup(void **state) {
        (void) state;
        memset(&w, 0, sizeof w);
        w.now_ms = 1000;
        w.clock = (struct clock){.mono_us = mono_us, .wall_s = wall_s};
        w.node.clock = &w.clock;
        w.node.config = &w.config;
        w.node.loop = loop_new();
        w.node.corridor = corridor_new(&w.node);
        return w.node.loop && w.node.corridor ? 0 : -1;
}

static int teardown(void **state) {
        (void) state;
        corridor_free(w.node.corridor);
        loop_free(w.node.loop);
        free(w.answer.body);
        return 0;
}

static struct lifecycle *store(void) {
        return corridor_lifecycle(w.node.corridor);
}

static void on_answer(void *arg, struct task_answer *answer) {
        (void) arg;
        free(w.answer.body);
        w.answer = *answer;
        w.answers++;
}

static void on_ready(void *arg) {
        (void) arg;
        w.readies++;
}

static struct principal principal(const char *name, unsigned scopes) {
        struct principal p = {.kind = PRINCIPAL_CALLER, .scopes = scopes, .intent = "*"};

        snprintf(p.id, sizeof p.id, "caller:%s", name);
        return p;
}

static struct principal operator(void) {
        return (struct principal){.kind = PRINCIPAL_OPERATOR, .scopes = SCOPE_OWN | SCOPE_OTHERS, .id = "operator",
                                  .intent = "*"};
}

/* As it is after step 7. */
static struct task *task_made(const char *owner, const char *id, const char *key, const char *prompt) {
        struct iicp_buf body = {0};
        struct iicp_refusal refusal;
        struct task *t = calloc(1, sizeof *t);

        assert_non_null(t);
        iicp_buf_printf(&body, "{\"task_id\":\"%s\",\"idempotency_key\":\"%s\",\"intent\":\"" IICP_URN_CHAT "\","
                               "\"payload\":{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}}", id, key, prompt);
        t->corridor = w.node.corridor;
        t->answer = on_answer;
        t->lifecycle = true;
        t->step = TASK_RUNNING;
        t->n_body = body.n;
        t->body = iicp_buf_take(&body, &t->n_body);
        t->received_ms = w.now_ms;
        t->deadline_ms = w.now_ms + 60000;
        t->intent = iicp_intent_find(IICP_STR(IICP_URN_CHAT));
        t->principal = principal(owner, SCOPE_OWN);
        assert_int_equal(iicp_envelope_parse((struct iicp_str){t->body, t->n_body}, &t->env), 0);
        assert_true(lifecycle_bind(t, &refusal));
        return t;
}

static struct task *running(const char *owner, const char *id, const char *key) {
        struct task *t = task_made(owner, id, key, "hi");
        struct iicp_refusal refusal;

        assert_int_equal(lifecycle_look_up(t, &refusal), LIFECYCLE_NEW);
        assert_true(lifecycle_accept(t, &refusal));
        lifecycle_answer(t, 202);
        return t;
}

/* The task has ended: the corridor lets go of it. */
static void failed(struct task *t, enum iicp_refusal_id id) {
        struct iicp_refusal refusal = {.id = id};

        lifecycle_failed(t, &refusal);
        task_abort(t);
}

static void piece(struct task *t, const char *text) {
        lifecycle_text(t, iicp_str(text));
}

static struct lifecycle_observer *observe(struct lifecycle_task *r, int64_t after) {
        struct iicp_refusal refusal;
        struct lifecycle_observer *o = lifecycle_observe(r, after, on_ready, NULL, &refusal);

        assert_non_null(o);
        return o;
}

/* Sequence of the next event, or -1 WAIT, -2 END, -3 LAGGED. */
static int64_t next(struct lifecycle_observer *o) {
        struct lifecycle_event *e;
        int64_t sequence;

        switch (lifecycle_observer_next(o, &e)) {
        case LIFECYCLE_EVENT:
                sequence = (int64_t) e->sequence;
                lifecycle_event_unref(e);
                return sequence;
        case LIFECYCLE_WAIT:
                return -1;
        case LIFECYCLE_END:
                return -2;
        default:
                return -3;
        }
}

static void lookup_is(const char *owner, const char *id, const char *key, const char *prompt, int expected) {
        struct task *t = task_made(owner, id, key, prompt);
        struct iicp_refusal refusal = {.id = IICP_REFUSE_NONE};
        int found = (int) lifecycle_look_up(t, &refusal);

        assert_int_equal(found, expected);
        assert_int_equal(refusal.id, expected == LIFECYCLE_REFUSED ? IICP_REFUSE_BINDING : IICP_REFUSE_NONE);
        t->record = NULL;
        task_abort(t);
}

/* ---- binding ---- */

static void LIFECYCLE_11_SERVICE_LIFECYCLE_07_the_same_submit_is_known(void **state) {
        struct task *t = running("a", "t-1", "k-1");

        (void) state;
        lookup_is("a", "t-1", "k-1", "hi", LIFECYCLE_KNOWN);
        failed(t, IICP_REFUSE_BACKEND);
        lookup_is("a", "t-1", "k-1", "hi", LIFECYCLE_KNOWN); /* nothing is executed again, failed or not */
}

static void LIFECYCLE_12_SERVICE_LIFECYCLE_08_known_ids_with_another_request(void **state) {
        struct task *t = running("a", "t-1", "k-1");

        (void) state;
        lookup_is("a", "t-1", "k-1", "other", LIFECYCLE_REFUSED);
        lookup_is("a", "t-1", "k-2", "hi", LIFECYCLE_REFUSED);
        lookup_is("a", "t-2", "k-1", "hi", LIFECYCLE_REFUSED);
        lookup_is("a", "t-2", "k-2", "hi", LIFECYCLE_NEW);
        failed(t, IICP_REFUSE_BACKEND);
}

static void IICPD_02_78_binding_is_key_owner_and_digest(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        const char *given = "{\"task_id\":\"x\",\"idempotency_key\":\"k\",\"request_digest\":\"%s\"}";
        static const struct {
                const char *digest;
                bool ok;
        } digests[] = {
                {"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true},
                {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true},
                {"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", false},
                {"md5:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", false},
                {"0123", false}, {"", false},
        };

        (void) state;
        /* Another owner's ids are another task; its owner is kept as a digest, never as text. */
        lookup_is("b", "t-1", "k-1", "hi", LIFECYCLE_NEW);
        assert_null(memmem(t->record, sizeof *t->record, "caller:a", 8));
        for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
                struct task u = {.principal = principal("a", SCOPE_OWN)};
                struct iicp_refusal refusal;
                char body[256];

                snprintf(body, sizeof body, given, digests[i].digest);
                assert_int_equal(iicp_envelope_parse(iicp_str(body), &u.env), 0);
                assert_int_equal(lifecycle_bind(&u, &refusal), digests[i].ok);
                if (digests[i].ok)
                        assert_int_equal(u.binding.digest[1], 0x23);
                else
                        assert_string_equal(refusal.field, "request_digest");
                iicp_envelope_free(&u.env);
        }
        failed(t, IICP_REFUSE_BACKEND);
}

static void IICPD_02_77_idempotency_key_form(void **state) {
        static const struct {
                const char *value;
                bool ok;
        } keys[] = {{"\"k\"", true}, {"\"A.b_c:d-1\"", true}, {"\"\"", false}, {"\"a b\"", false}, {"\"a/b\"", false},
                    {"1", false}, {"null", false}, {"\"\\u0061\"", false}};
        struct iicp_refusal refusal;
        char body[512];

        (void) state;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
                struct task u = {.principal = principal("a", SCOPE_OWN)};

                snprintf(body, sizeof body, "{\"task_id\":\"x\",\"idempotency_key\":%s}", keys[i].value);
                assert_int_equal(iicp_envelope_parse(iicp_str(body), &u.env), 0);
                assert_int_equal(lifecycle_bind(&u, &refusal), keys[i].ok);
                iicp_envelope_free(&u.env);
        }
        for (int n = IICP_IDEMPOTENCY_KEY_MAX; n <= IICP_IDEMPOTENCY_KEY_MAX + 1; n++) {
                struct task u = {.principal = principal("a", SCOPE_OWN)};

                snprintf(body, sizeof body, "{\"task_id\":\"x\",\"idempotency_key\":\"%0*d\"}", n, 7);
                assert_int_equal(iicp_envelope_parse(iicp_str(body), &u.env), 0);
                assert_int_equal(lifecycle_bind(&u, &refusal), n == IICP_IDEMPOTENCY_KEY_MAX);
                iicp_envelope_free(&u.env);
        }
}

static void digest_does_not_depend_on_the_writing(void **state) {
        static const char *const bodies[] = {
                "{\"task_id\":\"x\",\"idempotency_key\":\"k\",\"intent\":\"i\",\"payload\":{\"a\":1,\"b\":[true,\"\\u00e9\"]}}",
                "{\"idempotency_key\":\"k\", \"payload\" : {\"b\":[ true,\"\303\251\"],\"a\":1},\"nonce\":\"n\",\"intent\":\"i\",\"task_id\":\"x\"}",
                "{\"task_id\":\"x\",\"idempotency_key\":\"k\",\"intent\":\"i\",\"payload\":{\"a\":2,\"b\":[true,\"\\u00e9\"]}}"};
        struct lifecycle_binding b[3];

        (void) state;
        for (size_t i = 0; i < 3; i++) {
                struct task u = {.principal = principal("a", SCOPE_OWN)};
                struct iicp_refusal refusal;

                assert_int_equal(iicp_envelope_parse(iicp_str(bodies[i]), &u.env), 0);
                assert_true(lifecycle_bind(&u, &refusal));
                b[i] = u.binding;
                iicp_envelope_free(&u.env);
        }
        assert_memory_equal(b[0].digest, b[1].digest, LIFECYCLE_DIGEST);
        assert_memory_not_equal(b[0].digest, b[2].digest, LIFECYCLE_DIGEST);
}

/* ---- who may ---- */

static void find_is(struct principal p, const char *id, enum lifecycle_operation what, enum iicp_refusal_id expected) {
        struct iicp_refusal refusal;
        struct lifecycle_task *r = lifecycle_find(store(), &p, iicp_str(id), what, &refusal);

        if (expected == IICP_REFUSE_NONE)
                assert_non_null(r);
        else {
                assert_null(r);
                assert_int_equal(refusal.id, expected);
        }
}

static void LIFECYCLE_AUTH_04_LIFECYCLE_AUTH_05_LIFECYCLE_AUTH_06_LIFECYCLE_AUTH_07_owner_and_others(void **state) {
        struct task *t = running("owner", "task-a", "k");

        (void) state;
        find_is(principal("owner", SCOPE_OWN), "task-a", LIFECYCLE_STATUS, IICP_REFUSE_NONE);
        find_is(principal("other", SCOPE_OWN), "task-a", LIFECYCLE_STATUS, IICP_REFUSE_UNKNOWN_TASK);
        find_is(principal("other", SCOPE_OWN), "task-a", LIFECYCLE_OBSERVE, IICP_REFUSE_UNKNOWN_TASK);
        find_is(principal("other", SCOPE_OWN), "task-a", LIFECYCLE_CANCEL, IICP_REFUSE_UNKNOWN_TASK);
        find_is(operator(), "task-a", LIFECYCLE_CANCEL, IICP_REFUSE_NONE);
        find_is(operator(), "task-b", LIFECYCLE_CANCEL, IICP_REFUSE_UNKNOWN_TASK);
        failed(t, IICP_REFUSE_BACKEND);
}

static void LIFECYCLE_IDENTITY_02_LIFECYCLE_IDENTITY_04_LIFECYCLE_IDENTITY_05_LIFECYCLE_IDENTITY_07_scopes(void **state) {
        struct task *t = running("owner", "task-a", "k");
        struct principal none = {.kind = PRINCIPAL_NONE}, bound = principal("owner", SCOPE_OWN);

        (void) state;
        find_is(none, "task-a", LIFECYCLE_STATUS, IICP_REFUSE_UNAUTHORIZED);
        find_is(principal("owner", SCOPE_STATUS), "task-a", LIFECYCLE_STATUS, IICP_REFUSE_NONE);
        find_is(principal("owner", SCOPE_STATUS), "task-a", LIFECYCLE_CANCEL, IICP_REFUSE_FORBIDDEN);
        find_is(principal("owner", SCOPE_STATUS), "task-a", LIFECYCLE_OBSERVE, IICP_REFUSE_FORBIDDEN);
        find_is(principal("b", SCOPE_OBSERVE), "task-a", LIFECYCLE_OBSERVE, IICP_REFUSE_UNKNOWN_TASK);
        snprintf(bound.intent, sizeof bound.intent, "%s", IICP_URN_EMBEDDING); /* a token for another intent */
        find_is(bound, "task-a", LIFECYCLE_STATUS, IICP_REFUSE_FORBIDDEN);
        snprintf(bound.intent, sizeof bound.intent, "%s", IICP_URN_CHAT);
        find_is(bound, "task-a", LIFECYCLE_STATUS, IICP_REFUSE_NONE);
        failed(t, IICP_REFUSE_BACKEND);
}

static void LIFECYCLE_AUTH_08_LIFECYCLE_IDENTITY_03_scope_of_submit(void **state) {
        struct principal reader = principal("r", SCOPE_STATUS | SCOPE_OBSERVE), none = {.kind = PRINCIPAL_NONE},
                         writer = principal("w", SCOPE_SUBMIT);
        struct iicp_refusal refusal;

        (void) state;
        assert_false(lifecycle_allowed(&reader, LIFECYCLE_SUBMIT, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_FORBIDDEN);
        assert_false(lifecycle_allowed(&none, LIFECYCLE_SUBMIT, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_UNAUTHORIZED);
        assert_true(lifecycle_allowed(&writer, LIFECYCLE_SUBMIT, &refusal));
}

/* ---- events ---- */

static void IICPD_02_79_events_carry_both_words(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_observer *o = observe(t->record, -1);
        static const char *const expected[] = {
                "\"sequence\":0,\"event\":\"accepted\",\"state\":\"accepted\",\"is_final\":false",
                "\"sequence\":1,\"event\":\"partial\",\"state\":\"running\",\"is_final\":false",
                "\"sequence\":2,\"event\":\"partial\",\"state\":\"streaming\",\"is_final\":false",
                "\"sequence\":3,\"event\":\"partial\",\"state\":\"streaming\",\"is_final\":false",
                "\"sequence\":4,\"event\":\"timed_out\",\"state\":\"expired\",\"is_final\":true"};

        (void) state;
        piece(t, "Hel\n\"");
        piece(t, "lo \303\251");
        failed(t, IICP_REFUSE_TIMEOUT);
        for (size_t i = 0; i < 5; i++) {
                struct lifecycle_event *e;
                struct iicp_json top, v;

                assert_int_equal(lifecycle_observer_next(o, &e), LIFECYCLE_EVENT);
                assert_int_equal(iicp_json_scan((struct iicp_str){e->json, e->n}, NULL, NULL, &top), 0);
                assert_non_null(memmem(e->json, e->n, expected[i], strlen(expected[i])));
                assert_non_null(memmem(e->json, e->n, "\"observed_at\":\"2023-11-14T", 25));
                assert_null(memchr(e->json, '\n', e->n));
                v = lifecycle_event_get(e, "result");
                assert_int_equal(v.type, i == 2 || i == 3 ? IICP_JSON_STRING : IICP_JSON_NONE);
                if (i == 2)
                        assert_true(iicp_json_is(&v, "Hel\n\""));
                if (i == 4)
                        assert_string_equal(e->error_code, "task_timeout");
                lifecycle_event_unref(e);
        }
        assert_int_equal(next(o), -2);
        lifecycle_observer_free(o);
}

static void SERVICE_LIFECYCLE_01_SERVICE_LIFECYCLE_06_one_terminal_event(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_task *r = t->record;
        struct lifecycle_content late = {.tokens = -1};
        struct lifecycle_cancelled c;

        (void) state;
        failed(t, IICP_REFUSE_TIMEOUT);
        assert_int_equal(lifecycle_state(r), IICP_LIFECYCLE_EXPIRED);
        assert_int_equal(lifecycle_latest(r), 2);
        assert_true(lifecycle_add(r, IICP_LIFECYCLE_COMPLETED, &late, NULL) < 0);
        lifecycle_cancel(r, &c);
        assert_string_equal(c.outcome, "already_terminal");
        assert_int_equal(lifecycle_latest(r), 2);
}

static void SERVICE_LIFECYCLE_05_cancelled_is_the_end(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_task *r = t->record;
        struct lifecycle_cancelled c;
        struct lifecycle_event *e;
        struct lifecycle_observer *o = observe(r, 2);

        (void) state;
        piece(t, "x");
        lifecycle_cancel(r, &c);
        assert_string_equal(c.outcome, "cancel_signalled");
        assert_string_equal(c.evidence, "transport_aborted");
        assert_int_equal(lifecycle_observer_next(o, &e), LIFECYCLE_EVENT);
        assert_int_equal(e->state, IICP_LIFECYCLE_CANCELLED);
        assert_string_equal(e->error_code, "cancelled");
        lifecycle_event_unref(e);
        assert_int_equal(next(o), -2);
        lifecycle_observer_free(o);
        lifecycle_cancel(r, &c);
        assert_string_equal(c.outcome, "already_terminal");
}

static void one_receipt_an_execution(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_task *r = t->record;
        struct iicp_buf before = {0}, after = {0};
        struct lifecycle_cancelled c;

        (void) state;
        lifecycle_record_json(r, "", &before);
        assert_null(strstr(before.p, "receipt"));
        iicp_buf_free(&before);
        failed(t, IICP_REFUSE_BACKEND);
        lifecycle_record_json(r, "", &before);
        assert_non_null(strstr(before.p, "\"receipt\":{\"outcome\":\"failed\",\"settled_at\":"));
        w.now_ms += 5000;
        lifecycle_cancel(r, &c);
        lifecycle_record_json(r, "", &after);
        assert_string_equal(before.p, after.p);
        iicp_buf_free(&before);
        iicp_buf_free(&after);
}

/* ---- observers ---- */

static void OBSERVE_RUNTIME_01_OBSERVE_RUNTIME_03_LIFECYCLE_09_after_a_sequence(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_observer *some, *none;

        (void) state;
        piece(t, "x");
        piece(t, "y");
        some = observe(t->record, 1);
        none = observe(t->record, 3);
        assert_int_equal(next(some), 2);
        assert_int_equal(next(some), 3);
        assert_int_equal(next(some), -1);
        assert_int_equal(next(none), -1);
        assert_int_equal(w.readies, 0);
        piece(t, "z");
        assert_int_equal(w.readies, 2);
        piece(t, "!"); /* said once until it has looked again */
        assert_int_equal(w.readies, 2);
        assert_int_equal(next(none), 4);
        assert_int_equal(next(none), 5);
        lifecycle_observer_free(some);
        lifecycle_observer_free(none);
        failed(t, IICP_REFUSE_BACKEND);
}

static void OBSERVE_RUNTIME_02_LIFECYCLE_10_lagging_and_late(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_observer *o = observe(t->record, -1);
        uint64_t earliest, latest;
        struct iicp_refusal refusal;
        struct lifecycle_facts facts;

        (void) state;
        assert_int_equal(next(o), 0);
        for (int i = 0; i < LIFECYCLE_EVENTS_MAX; i++)
                piece(t, "x"); /* 2 to 257: 1 is gone, 2 is the oldest */
        assert_int_equal(next(o), -3);
        lifecycle_observer_range(o, &earliest, &latest);
        assert_int_equal(earliest, 2);
        assert_int_equal(latest, 257);
        assert_int_equal(next(o), -3);
        lifecycle_facts(store(), &facts);
        assert_int_equal(facts.lagged, 1);
        lifecycle_observer_free(o);
        assert_null(lifecycle_observe(t->record, 0, on_ready, NULL, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_RESUME);
        assert_string_equal(refusal.state, "streaming");
        assert_int_equal(refusal.latest_sequence, 257);
        o = observe(t->record, 1);
        assert_int_equal(next(o), 2);
        lifecycle_observer_free(o);
        failed(t, IICP_REFUSE_BACKEND);
}

static void IICPD_02_82_observers_and_records_are_bounded(void **state) {
        struct task *t = running("a", "t-1", "k-1"), *over;
        struct lifecycle_observer *o[LIFECYCLE_OBSERVERS_MAX];
        struct iicp_refusal refusal;
        char id[16], key[16];

        (void) state;
        for (size_t i = 0; i < LIFECYCLE_OBSERVERS_MAX; i++)
                o[i] = observe(t->record, -1);
        assert_null(lifecycle_observe(t->record, -1, on_ready, NULL, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_OBSERVERS);
        lifecycle_observer_free(o[0]);
        o[0] = observe(t->record, -1); /* a disconnect releases its place */
        for (size_t i = 0; i < LIFECYCLE_OBSERVERS_MAX; i++)
                lifecycle_observer_free(o[i]);
        failed(t, IICP_REFUSE_BACKEND);
        for (int i = 1; i < LIFECYCLE_TASKS_MAX; i++) {
                snprintf(id, sizeof id, "u-%d", i);
                snprintf(key, sizeof key, "l-%d", i);
                failed(running("a", id, key), IICP_REFUSE_BACKEND);
        }
        over = task_made("a", "over", "over", "hi");
        assert_false(lifecycle_accept(over, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_BUSY);
        assert_string_equal(refusal.reason, "lifecycle_store_full");
        task_abort(over);
        lookup_is("a", "u-5", "l-5", "hi", LIFECYCLE_KNOWN);
}

static void IICPD_02_82_records_leave_after_an_hour(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_observer *o = observe(t->record, -1);

        (void) state;
        w.now_ms += 2 * LIFECYCLE_KEPT_MS; /* it runs: the hour begins at the end */
        find_is(principal("a", SCOPE_OWN), "t-1", LIFECYCLE_STATUS, IICP_REFUSE_NONE);
        failed(t, IICP_REFUSE_BACKEND);
        w.now_ms += LIFECYCLE_KEPT_MS - 1;
        find_is(principal("a", SCOPE_OWN), "t-1", LIFECYCLE_STATUS, IICP_REFUSE_NONE);
        w.now_ms += 1;
        find_is(principal("a", SCOPE_OWN), "t-1", LIFECYCLE_STATUS, IICP_REFUSE_UNKNOWN_TASK);
        assert_int_equal(next(o), 0); /* who looks already sees it to its end */
        assert_int_equal(next(o), 1);
        assert_int_equal(next(o), 2);
        assert_int_equal(next(o), -2);
        lifecycle_observer_free(o);
        lookup_is("a", "t-1", "k-1", "other", LIFECYCLE_NEW);
}

static void IICPD_02_82_bytes_of_a_task_and_of_the_store(void **state) {
        char *big = malloc(60001);
        struct lifecycle_facts facts;
        struct iicp_refusal refusal;
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_task *first = t->record;
        char id[16];

        (void) state;
        assert_non_null(big);
        memset(big, 'x', 60000);
        big[60000] = '\0';
        for (int i = 0; i < 40; i++)
                piece(t, big);
        lifecycle_facts(store(), &facts);
        assert_true(facts.bytes <= LIFECYCLE_BYTES_MAX);
        assert_true(facts.bytes > LIFECYCLE_BYTES_MAX - 70000);
        failed(t, IICP_REFUSE_BACKEND);
        for (int k = 0; k < 70; k++) {
                snprintf(id, sizeof id, "u-%d", k);
                t = running("a", id, id);
                for (int i = 0; i < 17; i++)
                        piece(t, big);
                failed(t, IICP_REFUSE_BACKEND);
                lifecycle_facts(store(), &facts);
                assert_true(facts.bytes <= LIFECYCLE_STORE_BYTES_MAX);
        }
        assert_true(facts.bytes > LIFECYCLE_STORE_BYTES_MAX - 2 * LIFECYCLE_BYTES_MAX);
        assert_null(lifecycle_observe(first, 3, on_ready, NULL, &refusal));
        assert_int_equal(refusal.id, IICP_REFUSE_RESUME);
        find_is(principal("a", SCOPE_OWN), "t-1", LIFECYCLE_STATUS, IICP_REFUSE_NONE);
        free(big);
}

static void LIFECYCLE_13_leaving_changes_nothing(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_task *r = t->record;

        (void) state;
        lifecycle_observer_free(observe(r, -1));
        assert_int_equal(lifecycle_state(r), IICP_LIFECYCLE_RUNNING);
        assert_int_equal(lifecycle_latest(r), 1);
        piece(t, "x");
        assert_int_equal(lifecycle_state(r), IICP_LIFECYCLE_STREAMING);
        failed(t, IICP_REFUSE_BACKEND);
}

static void LIFECYCLE_14_late_cancel(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_task *r = t->record;
        struct lifecycle_cancelled c;
        struct lifecycle_content content = {.tokens = 3};

        (void) state;
        assert_int_equal(lifecycle_add(r, IICP_LIFECYCLE_COMPLETED, &content, NULL), 0);
        t->record = NULL;
        lifecycle_task_end(r);
        task_abort(t);
        lifecycle_cancel(r, &c);
        assert_string_equal(c.outcome, "already_terminal");
        assert_int_equal(lifecycle_state(r), IICP_LIFECYCLE_COMPLETED);
}

static void LIFECYCLE_15_events_hold_no_private_content(void **state) {
        static const char *const forbidden[] = {"prompt", "payload", "response", "credential", "endpoint", "topology",
                                                "checkpoint", "principal", "secret words"};
        struct task *t = task_made("a", "t-1", "k-1", "secret words");
        struct lifecycle_observer *o;
        struct lifecycle_event *e;
        struct iicp_refusal refusal;

        (void) state;
        assert_true(lifecycle_accept(t, &refusal));
        lifecycle_answer(t, 202);
        o = observe(t->record, -1);
        failed(t, IICP_REFUSE_BACKEND);
        while (lifecycle_observer_next(o, &e) == LIFECYCLE_EVENT) {
                for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
                        assert_null(memmem(e->json, e->n, forbidden[i], strlen(forbidden[i])));
                lifecycle_event_unref(e);
        }
        for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
                assert_null(strstr(w.answer.body, forbidden[i]));
        lifecycle_observer_free(o);
}

static void IICPD_02_80_content_is_sealed(void **state) {
        struct task *t = running("a", "t-1", "k-1");
        struct lifecycle_observer *o = observe(t->record, 1);
        struct iicp_cx_events guard = {.next = 2};
        struct lifecycle_event *e;
        struct iicp_buf plain = {0};
        struct iicp_json sealed;
        char nonces[2][32] = {{0}};

        (void) state;
        assert_int_equal(iicp_cx_keygen(t->session.shared, (uint8_t[IICP_CX_KEY]){0}), 0);
        t->session.valid = true;
        t->env.cx_response_required = true;
        piece(t, "hidden");
        piece(t, "hidden");
        for (size_t i = 0; i < 2; i++) {
                struct iicp_json nonce;

                assert_int_equal(lifecycle_observer_next(o, &e), LIFECYCLE_EVENT);
                assert_null(memmem(e->json, e->n, "hidden", 6));
                assert_null(memmem(e->json, e->n, "\"result\"", 8));
                sealed = lifecycle_event_get(e, "iicp_conf_resp");
                nonce = iicp_json_get(&sealed, "nonce");
                assert_int_equal(iicp_json_copy(&nonce, nonces[i], sizeof nonces[i]), 0);
                assert_int_equal(iicp_cx_open_event(&guard, &t->session, IICP_STR("t-1"), e->sequence,
                                                    IICP_CX_EVENT_PARTIAL, &sealed, &plain), 0);
                assert_string_equal(plain.p, "{\"result\":\"hidden\",\"end\":false}");
                iicp_buf_wipe(&plain);
                lifecycle_event_unref(e);
        }
        assert_string_not_equal(nonces[0], nonces[1]);
        lifecycle_observer_free(o);
        failed(t, IICP_REFUSE_BACKEND);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(LIFECYCLE_11_SERVICE_LIFECYCLE_07_the_same_submit_is_known),
                T(LIFECYCLE_12_SERVICE_LIFECYCLE_08_known_ids_with_another_request),
                T(IICPD_02_78_binding_is_key_owner_and_digest),
                T(IICPD_02_77_idempotency_key_form),
                T(digest_does_not_depend_on_the_writing),
                T(LIFECYCLE_AUTH_04_LIFECYCLE_AUTH_05_LIFECYCLE_AUTH_06_LIFECYCLE_AUTH_07_owner_and_others),
                T(LIFECYCLE_IDENTITY_02_LIFECYCLE_IDENTITY_04_LIFECYCLE_IDENTITY_05_LIFECYCLE_IDENTITY_07_scopes),
                T(LIFECYCLE_AUTH_08_LIFECYCLE_IDENTITY_03_scope_of_submit),
                T(IICPD_02_79_events_carry_both_words),
                T(SERVICE_LIFECYCLE_01_SERVICE_LIFECYCLE_06_one_terminal_event),
                T(SERVICE_LIFECYCLE_05_cancelled_is_the_end),
                T(one_receipt_an_execution),
                T(OBSERVE_RUNTIME_01_OBSERVE_RUNTIME_03_LIFECYCLE_09_after_a_sequence),
                T(OBSERVE_RUNTIME_02_LIFECYCLE_10_lagging_and_late),
                T(IICPD_02_82_observers_and_records_are_bounded),
                T(IICPD_02_82_records_leave_after_an_hour),
                T(IICPD_02_82_bytes_of_a_task_and_of_the_store),
                T(LIFECYCLE_13_leaving_changes_nothing),
                T(LIFECYCLE_14_late_cancel),
                T(LIFECYCLE_15_events_hold_no_private_content),
                T(IICPD_02_80_content_is_sealed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
