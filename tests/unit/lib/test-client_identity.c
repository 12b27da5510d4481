/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include "vectors.h"

#include <errno.h>
#include <stdio.h>

static enum iicp_identity_mode mode_of(struct iicp_str s) {
        return iicp_str_is(s, "auto")       ? IICP_IDENTITY_AUTO
               : iicp_str_is(s, "disabled") ? IICP_IDENTITY_DISABLED
               : iicp_str_is(s, "explicit") ? IICP_IDENTITY_EXPLICIT
                                            : IICP_IDENTITY_REQUIRED;
}

static void write_conversation(struct json_object *c, struct iicp_buf *out) {
        struct json_object *roles = vector_get(c, "roles_in"),
                           *markers = vector_find(c, "marker_in");

        iicp_buf_puts(out, "{\"temperature\":0.50,\"messages\":[");
        for (size_t i = 0; i < json_object_array_length(roles); i++)
                iicp_buf_printf(out, "%s{\"role\":\"%s\",\"content\":\"%s\"}", i ? "," : "",
                                json_object_get_string(json_object_array_get_idx(roles, i)),
                                markers && json_object_get_boolean(
                                                   json_object_array_get_idx(markers, i))
                                        ? "see [IICP-RUNTIME-CONTEXT/1]"
                                        : "x");
        iicp_buf_puts(out, "]}");
}

static void check_placement(struct json_object *c) {
        struct iicp_identity_facts f = {.intent = json_object_get_string(vector_get(c, "intent"))};
        struct iicp_buf in = {0}, out = {0};
        struct json_object *doc, *messages, *at = vector_find(c, "inserted_at"), *m;
        size_t n = json_object_array_length(vector_get(c, "roles_in"));
        int r;

        write_conversation(c, &in);
        r = iicp_identity_apply(mode_of(vector_str(c, "mode")), &f,
                                iicp_str_is(vector_str(c, "channel"), "system"), iicp_buf_str(&in),
                                &out);
        if (vector_find(c, "error")) {
                assert_int_equal(r, -EOPNOTSUPP);
        } else {
                assert_int_equal(r, 0);
                doc = json_tokener_parse(out.p);
                assert_non_null(doc);
                messages = vector_get(doc, "messages");
                assert_int_equal(json_object_array_length(messages), n + (at != NULL));
                if (at) {
                        m = json_object_array_get_idx(messages, (size_t) json_object_get_int(at));
                        assert_string_equal(json_object_get_string(vector_get(m, "role")),
                                            "system");
                        assert_true(!strncmp(json_object_get_string(vector_get(m, "content")),
                                             "[IICP-RUNTIME-CONTEXT/1]\n", 25));
                }
                /* all else travels unchanged */
                assert_non_null(strstr(out.p, "\"temperature\":0.50"));
                json_object_put(doc);
        }
        iicp_buf_free(&in);
        iicp_buf_free(&out);
}

static void IICPD_06_39_place_of_the_message(void **state) {
        struct json_object *all = vector_ours("consumer/runtime-identity.json");

        (void) state;
        vector_each(vector_get(all, "placement"), c) check_placement(c);
        json_object_put(all);
}

static const char *text_in(struct json_object *o, const char *name) {
        struct json_object *v = vector_find(o, name);

        return v ? json_object_get_string(v) : NULL;
}

static void check_facts(struct json_object *c) {
        struct json_object *facts = vector_get(c, "facts"),
                           *caps = vector_find(facts, "effective_capabilities");
        bool many = iicp_str_is(vector_str(c, "name"),
                                "33 capabilities"); /* the file shortens the list */
        const char *list[33];
        struct iicp_identity_facts f = {
                .intent = "urn:iicp:intent:llm:chat:v1",
                .client_name = text_in(facts, "client_name"),
                .client_version = text_in(facts, "client_version"),
                .routed = vector_find(facts, "connection_mode") != NULL,
                .selected_model = text_in(facts, "selected_model"),
                .selection = text_in(facts, "selection_reason"),
                .capabilities = list,
        };
        struct iicp_buf b = {0}, lenient = {0};
        bool ok = json_object_get_boolean(vector_get(c, "ok"));

        for (size_t i = 0; i < 33; i++)
                list[i] = caps && i < json_object_array_length(caps)
                                  ? json_object_get_string(json_object_array_get_idx(caps, i))
                                  : "c";
        f.n_capabilities = many ? 33 : caps ? json_object_array_length(caps) : 0;
        if ((iicp_identity_render(&f, &b) == 0) != ok)
                fail_msg("%s", json_object_get_string(vector_get(c, "name")));
        if (ok) {
                struct json_object *keys = vector_get(c, "fact_keys");
                const char *p = strstr(b.p, "Runtime facts:\n") + 15;

                for (size_t i = 0; i < json_object_array_length(keys); i++) {
                        char want[64];

                        snprintf(want, sizeof(want), "- %s: ",
                                 json_object_get_string(json_object_array_get_idx(keys, i)));
                        assert_true(!strncmp(p, want, strlen(want)));
                        p = strchr(p, '\n');
                        p = p ? p + 1 : "";
                }
                assert_string_equal(p, "");
        }
        assert_int_equal(iicp_identity_render_lenient(&f, &lenient), 0);
        assert_non_null(strstr(lenient.p, "- intent: "));
        iicp_buf_free(&b);
        iicp_buf_free(&lenient);
}

static void IICPD_06_39_facts_and_their_limits(void **state) {
        struct json_object *all = vector_ours("consumer/runtime-identity.json");

        (void) state;
        vector_each(vector_get(all, "facts"), c) check_facts(c);
        json_object_put(all);
}

static void IICPD_06_39_other_contents_are_left_alone(void **state) {
        struct iicp_identity_facts f = {.intent = "urn:iicp:intent:llm:chat:v1"};
        struct iicp_str parts = IICP_STR("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                                         "\"text\",\"text\":\"x\"}]}]}");
        struct iicp_buf out = {0};

        (void) state;
        assert_int_equal(iicp_identity_apply(IICP_IDENTITY_AUTO, &f, true, parts, &out), 0);
        assert_string_equal(out.p, parts.p);
        out.n = 0;
        assert_int_equal(iicp_identity_apply(IICP_IDENTITY_REQUIRED, &f, true, parts, &out),
                         -EOPNOTSUPP);
        iicp_buf_free(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(IICPD_06_39_place_of_the_message),
                cmocka_unit_test(IICPD_06_39_facts_and_their_limits),
                cmocka_unit_test(IICPD_06_39_other_contents_are_left_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
