/* SPDX-License-Identifier: Apache-2.0 */
#include "client-internal.h"
#include <errno.h>
#include <iicp/intents.h>

/* The message that tells a chat model how it was reached. [06 section 13] */

#define IDENTITY_MARKER "IICP-RUNTIME-CONTEXT/1"
#define IDENTITY_FACT_MAX 160
#define IDENTITY_TEXT_MAX 2048
#define IDENTITY_CAPABILITIES_MAX 32

static const char identity_intro[] = "[" IDENTITY_MARKER "]\n"
                                     "You were reached over IICP, the Intent-based Inter-agent "
                                     "Communication Protocol, which finds "
                                     "providers and routes requests to them. You are the model or "
                                     "service that was chosen, not IICP "
                                     "itself. If asked how this connection works, use only the "
                                     "facts below and say so when a fact is "
                                     "missing.\n"
                                     "Runtime facts:\n";

const char *iicp_identity_selection(const char *reason) {
        static const struct {
                const char *reason, *text;
        } table[] = {
                {"matched_intent_and_constraints",
                 "the provider matched the intent and the constraints."},
                {"explicit_model_match", "the provider offers the model that was asked for."},
                {"fallback_after_unavailable_candidate",
                 "chosen after an earlier candidate was unavailable."},
                {"routing_exploration", "chosen by routing exploration."},
                {"local_browser", "a local model of the browser."},
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (!strcmp(reason, table[i].reason))
                        return table[i].text;
        return NULL;
}

static bool fit(const char *s) {
        size_t n = strlen(s);

        if (n == 0 || n > IDENTITY_FACT_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) s[i] < 0x20 || s[i] == 0x7f)
                        return false;
        return true;
}

/* One line; -EINVAL when the fact is not fit. An absent fact is no fact. */
static int add_fact(struct iicp_buf *out, const char *key, const char *value) {
        if (!value)
                return 0;
        if (!fit(value))
                return -EINVAL;
        iicp_buf_printf(out, "- %s: %s\n", key, value);
        return 0;
}

static int add_client(struct iicp_buf *out, const struct iicp_identity_facts *f) {
        struct iicp_buf b = {0};
        int r;

        if (!f->client_name && !f->client_version)
                return 0;
        if (!f->client_name || !f->client_version)
                return -EINVAL;
        iicp_buf_printf(&b, "%s %s", f->client_name, f->client_version);
        r = b.error ? b.error : add_fact(out, "client", b.p);
        iicp_buf_free(&b);
        return r;
}

static int add_capabilities(struct iicp_buf *out, const struct iicp_identity_facts *f) {
        struct iicp_buf b = {0};
        int r;

        if (f->n_capabilities == 0)
                return 0;
        if (f->n_capabilities > IDENTITY_CAPABILITIES_MAX)
                return -EINVAL;
        for (size_t i = 0; i < f->n_capabilities; i++)
                iicp_buf_printf(&b, "%s%s", i ? ", " : "", f->capabilities[i]);
        r = b.error ? b.error : add_fact(out, "effective capabilities", b.p);
        iicp_buf_free(&b);
        return r;
}

static int render(const struct iicp_identity_facts *f, bool lenient, struct iicp_buf *out) {
        const char *selection = f->selection ? iicp_identity_selection(f->selection) : NULL;
        size_t start = out->n;
        int r[6];

        iicp_buf_puts(out, identity_intro);
        r[0] = add_fact(out, "intent", f->intent);
        r[1] = add_client(out, f);
        r[2] = f->routed
                       ? add_fact(out, "connection", "routed through IICP to an eligible provider.")
                       : 0;
        r[3] = add_fact(out, "selected model", f->selected_model);
        r[4] = add_capabilities(out, f);
        r[5] = f->selection && !selection ? -EINVAL : add_fact(out, "selection", selection);
        for (size_t i = 0; i < ARRAY_SIZE(r); i++)
                if (r[i] < 0 && (!lenient || r[i] != -EINVAL))
                        return r[i];
        if (out->error)
                return out->error;
        /* the last line carries no newline */
        out->p[--out->n] = '\0';
        return out->n - start > IDENTITY_TEXT_MAX ? -EINVAL : 0;
}

int iicp_identity_render(const struct iicp_identity_facts *f, struct iicp_buf *out) {
        return render(f, false, out);
}

int iicp_identity_render_lenient(const struct iicp_identity_facts *f, struct iicp_buf *out) {
        return render(f, true, out);
}

static bool has_system_role(const struct iicp_json *message) {
        struct iicp_json role = iicp_json_get(message, "role");

        return role.type == IICP_JSON_STRING &&
               (iicp_json_is(&role, "system") || iicp_json_is(&role, "developer"));
}

/* Where the message goes: index, -1 = none belongs there, -EOPNOTSUPP = no place for it. */
static int place(const struct iicp_json *messages, ssize_t *ret) {
        struct iicp_json_iter it;
        struct iicp_json m;
        ssize_t at = 0;
        bool leading = true;

        *ret = -1;
        if (messages->type != IICP_JSON_ARRAY)
                return -EOPNOTSUPP;
        iicp_json_iter_init(&it, messages);
        while (iicp_json_next(&it, NULL, &m)) {
                struct iicp_json content = iicp_json_get(&m, "content");

                if (content.type != IICP_JSON_STRING)
                        return -EOPNOTSUPP;
                if (has_system_role(&m)) {
                        /* the marker has no character that JSON would escape, save the optional
                         * '\/' */
                        if (memmem(content.text.p, content.text.n, IDENTITY_MARKER,
                                   strlen(IDENTITY_MARKER)))
                                return 0;
                        at += leading;
                } else
                        leading = false;
        }
        *ret = at;
        return 0;
}

static void add_message(struct iicp_buf *out, struct iicp_str text) {
        iicp_buf_puts(out, "{\"role\":\"system\",\"content\":");
        iicp_buf_json_str(out, text);
        iicp_buf_puts(out, "}");
}

static void write_messages(const struct iicp_json *messages, ssize_t at, struct iicp_str text,
                           struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json m;
        ssize_t i = 0;

        iicp_buf_puts(out, "[");
        iicp_json_iter_init(&it, messages);
        for (; iicp_json_next(&it, NULL, &m); i++) {
                if (i > 0)
                        iicp_buf_puts(out, ",");
                if (i == at) {
                        add_message(out, text);
                        iicp_buf_puts(out, ",");
                }
                iicp_buf_add_str(out, m.text);
        }
        if (at >= i) {
                iicp_buf_puts(out, i > 0 ? "," : "");
                add_message(out, text);
        }
        iicp_buf_puts(out, "]");
}

static void write_payload(const struct iicp_json *payload, ssize_t at, struct iicp_str text,
                          struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool first = true;

        iicp_buf_puts(out, "{");
        iicp_json_iter_init(&it, payload);
        while (iicp_json_next(&it, &name, &value)) {
                const char *quote = value.type == IICP_JSON_STRING ? "\"" : "";

                iicp_buf_puts(out, first ? "\"" : ",\"");
                iicp_buf_add_str(out, name.text);
                iicp_buf_printf(out, "\":%s", quote);
                if (iicp_json_is(&name, "messages"))
                        write_messages(&value, at, text, out);
                else
                        iicp_buf_add_str(out, value.text);
                iicp_buf_puts(out, quote);
                first = false;
        }
        iicp_buf_puts(out, "}");
}

int iicp_identity_apply(enum iicp_identity_mode mode, const struct iicp_identity_facts *f,
                        bool system_channel, struct iicp_str payload, struct iicp_buf *out) {
        bool required = mode == IICP_IDENTITY_REQUIRED;
        struct iicp_json top, messages;
        struct iicp_buf text = {0};
        ssize_t at = -1;
        int r = 0;

        if (mode != IICP_IDENTITY_DISABLED && !strcmp(f->intent, IICP_URN_CHAT)) {
                r = iicp_json_scan(payload, NULL, NULL, &top);
                if (r == 0) {
                        messages = iicp_json_get(&top, "messages");
                        r = system_channel ? place(&messages, &at) : -EOPNOTSUPP;
                }
                if (r == 0 && at >= 0)
                        r = required ? iicp_identity_render(f, &text)
                                     : iicp_identity_render_lenient(f, &text);
                if (r < 0) {
                        at = -1;
                        if (required) {
                                iicp_buf_free(&text);
                                return r;
                        }
                }
        }
        if (at >= 0)
                write_payload(&top, at, iicp_buf_str(&text), out);
        else
                iicp_buf_add_str(out, payload);
        iicp_buf_free(&text);
        return out->error;
}
