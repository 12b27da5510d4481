/* SPDX-License-Identifier: Apache-2.0 */
#include "payload-internal.h"

#include "json-internal.h"
#include "util.h"

#include <errno.h>
#include <iicp/intents.h>

/* The registry's further intents, run as a chat (or an embedding) of the same backend: what the
 * model is told, and what of its words is the result. The task's own text is the user's message and
 * never part of the instruction. [02 section 9.5] */

#define ONLY " Answer with the result alone, without any introduction."
#define AS_JSON " Answer with one JSON object and nothing else: "

static struct iicp_json member(const struct iicp_json *payload, const char *name) {
        struct iicp_json v = iicp_json_get(payload, name);

        if (v.type == IICP_JSON_NULL)
                return (struct iicp_json){0};
        return v;
}

/* A member inside of a JSON string that is being written: escapes travel as they came. */
static void inside(struct iicp_buf *out, const char *before, const struct iicp_json *payload,
                   const char *name, const char *behind) {
        struct iicp_json v = member(payload, name);

        if (v.type == IICP_JSON_NONE)
                return;
        iicp_buf_puts(out, before);
        iicp_buf_add_str(out, v.text);
        iicp_buf_puts(out, behind);
}

/* The same for each string of a list. */
static void inside_each(struct iicp_buf *out, const struct iicp_json *payload, const char *name,
                        const char *between) {
        struct iicp_json list = member(payload, name), v;
        struct iicp_json_iter it;
        bool first = true;

        if (list.type != IICP_JSON_ARRAY)
                return;
        iicp_json_iter_init(&it, &list);
        while (iicp_json_next(&it, NULL, &v)) {
                iicp_buf_puts(out, first ? "" : between);
                iicp_buf_add_str(out, v.text);
                first = false;
        }
}

static bool flag(const struct iicp_json *payload, const char *name) {
        return member(payload, name).type == IICP_JSON_TRUE;
}

static void write_classify(const struct iicp_json *p, struct iicp_buf *out) {
        iicp_buf_puts(out, flag(p, "multi_label")
                                   ? "Name all categories that fit the text of the user."
                                   : "Name the one category that fits the text of the user best.");
        iicp_buf_puts(out, " Take them from this list, as they are written: ");
        inside_each(out, p, "categories", "; ");
        iicp_buf_puts(out, "." AS_JSON "{\\\"categories\\\":[...]");
        iicp_buf_puts(out, flag(p, "explain") ? ",\\\"explanation\\\":\\\"...\\\"}" : "}");
}

static void write_instruction(enum iicp_intent_kind kind, const struct iicp_json *p,
                              struct iicp_buf *out) {
        switch (kind) {
        case IICP_INTENT_TRANSLATE:
                inside(out, "Translate the text of the user into ", p, "target_language", "");
                inside(out, ". It is written in ", p, "source_language", "");
                iicp_buf_puts(out, "." ONLY);
                break;
        case IICP_INTENT_SUMMARIZE:
        case IICP_INTENT_RESEARCH:
                iicp_buf_puts(out, kind == IICP_INTENT_RESEARCH
                                           ? "Summarize the documents of the user in one text."
                                           : "Summarize the text of the user.");
                inside(out, " Form: ", p, "format", ".");
                inside(out, " At most ", p, "max_length", " words.");
                inside(out, " Language: ", p, "language", ".");
                iicp_buf_puts(out, ONLY);
                break;
        case IICP_INTENT_CLASSIFY:
                write_classify(p, out);
                break;
        case IICP_INTENT_LINT:
                inside(out, "Look for faults in the code of the user, which is ", p, "language",
                       ".");
                if (member(p, "rules").type == IICP_JSON_ARRAY) {
                        iicp_buf_puts(out, " Rules: ");
                        inside_each(out, p, "rules", "; ");
                        iicp_buf_puts(out, ".");
                }
                iicp_buf_puts(out, AS_JSON "{\\\"issues\\\":[{\\\"line\\\":1,\\\"message\\\":\\\".."
                                           ".\\\"}]}, with an empty list if "
                                           "there is none.");
                break;
        case IICP_INTENT_OPTIMIZE:
                inside(out, "Improve the code of the user, which is ", p, "language", ".");
                inside(out, " Aim: ", p, "target", ".");
                iicp_buf_puts(out, AS_JSON "{\\\"code\\\":\\\"...\\\",\\\"notes\\\":\\\"...\\\"}");
                break;
        default: /* tutor */
                inside(out, "You teach ", p, "topic", ".");
                inside(out, " Level of the learner: ", p, "level", ".");
                iicp_buf_puts(out, " Answer the question of the user." ONLY);
                break;
        }
}

static void write_subject(enum iicp_intent_kind kind, const struct iicp_json *p,
                          struct iicp_buf *out) {
        if (kind == IICP_INTENT_RESEARCH)
                inside_each(out, p, "documents", "\\n\\n---\\n\\n");
        else if (kind == IICP_INTENT_LINT || kind == IICP_INTENT_OPTIMIZE)
                inside(out, "", p, "code", "");
        else
                inside(out, "", p, kind == IICP_INTENT_TUTOR ? "question" : "text", "");
}

static void write_texts(const struct iicp_json *inputs, struct iicp_buf *out) {
        struct iicp_json_iter it;
        struct iicp_json item, content;
        const char *comma = "";

        iicp_buf_puts(out, "{\"input\":[");
        iicp_json_iter_init(&it, inputs);
        while (iicp_json_next(&it, NULL, &item)) {
                content = iicp_json_get(&item, "content");
                iicp_buf_printf(out, "%s\"", comma);
                iicp_buf_add_str(out, content.text);
                iicp_buf_puts(out, "\"");
                comma = ",";
        }
        iicp_buf_puts(out, "]}");
}

static void write_rerank(const struct iicp_json *p, struct iicp_buf *out) {
        struct iicp_json top = member(p, "top_k"), list = member(p, "candidates");

        inside(out, "{\"query\":\"", p, "query", "\",\"documents\":");
        iicp_buf_add_str(out, list.text);
        if (top.type == IICP_JSON_NUMBER) {
                iicp_buf_puts(out, ",\"top_n\":");
                iicp_buf_add_str(out, top.text);
        }
        iicp_buf_puts(out, "}");
}

int iicp_extended_write(const struct iicp_intent *intent, const struct iicp_json *payload,
                        struct iicp_buf *out) {
        struct iicp_json inputs;

        if (intent->kind == IICP_INTENT_RERANK) {
                write_rerank(payload, out);
                return out->error;
        }
        if (intent->kind == IICP_INTENT_MULTIMODAL) {
                inputs = member(payload, "inputs");
                write_texts(&inputs, out);
                return out->error;
        }
        iicp_buf_puts(out, "{\"messages\":[{\"role\":\"system\",\"content\":\"");
        write_instruction(intent->kind, payload, out);
        iicp_buf_puts(out, "\"},{\"role\":\"user\",\"content\":\"");
        write_subject(intent->kind, payload, out);
        iicp_buf_puts(out, "\"}],\"temperature\":0}");
        return out->error;
}
