/* SPDX-License-Identifier: Apache-2.0 */
#include "explain.h"

#include "config_table.h"
#include "findings/catalogue.h"
#include "iicpctl.h"
#include "util.h"

#include <iicp/refusal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One word explained, from what is built in: no daemon, no network. [operator design 3.2] */

struct found {
        json_object *list;
};

static void add(struct found *f, const char *kind, const char *text, const char *todo) {
        json_object *m = json_object_new_object();

        json_object_object_add(m, "kind", json_object_new_string(kind));
        json_object_object_add(m, "text", json_object_new_string(text));
        json_object_object_add(m, "do", todo ? json_object_new_string(todo) : NULL);
        json_object_array_add(f->list, m);
}

static void add_words(struct found *f, const char *kind, const struct explain_word *words, size_t n, const char *word) {
        for (size_t i = 0; i < n; i++)
                if (strcasecmp(words[i].word, word) == 0)
                        add(f, kind, words[i].text, words[i].todo);
}

/* What this node answers with that code. */
static void add_refusals(struct found *f, const char *word) {
        for (int id = IICP_REFUSE_NONE + 1; id < IICP_REFUSE_MAX_; id++) {
                const struct iicp_refusal_info *info = iicp_refusal_info((enum iicp_refusal_id) id);
                char text[192];

                if (strcasecmp(info->code, word) != 0 && (!info->iicp_code || strcasecmp(info->iicp_code, word) != 0))
                        continue;
                snprintf(text, sizeof(text), "a task is refused with HTTP %d, %s: %s", info->status, info->code, info->message);
                add(f, "refusal", text, NULL);
        }
}

static void add_finding(struct found *f, const char *word) {
        const struct finding_kind *k = NULL;
        char text[640];

        for (size_t i = 0; i < finding_n_kinds && !k; i++)
                if (strcasecmp(finding_kinds[i].id, word) == 0)
                        k = &finding_kinds[i];
        if (!k)
                return;
        snprintf(text, sizeof(text), "%s\n  causes: %s\n  gone when: %s", k->means, k->causes, k->gone);
        add(f, "finding", text, k->todo);
}

static void add_key(struct found *f, const char *word) {
        char *text = NULL;
        size_t n = 0;
        FILE *m = open_memstream(&text, &n);
        bool known;

        if (!m)
                return;
        known = config_explain(word, m);
        if (fclose(m) == 0 && known) {
                if (n > 0 && text[n - 1] == '\n')
                        text[n - 1] = '\0';
                add(f, "config", text, NULL);
        }
        free(text);
}

static void nearer(const char *word, const char *candidate, unsigned *best, char *ret, size_t cap) {
        unsigned d = edit_distance(word, candidate, 2);

        if (d >= *best)
                return;
        *best = d;
        snprintf(ret, cap, "%s", candidate);
}

static void nearest(const char *word, char *ret, size_t cap) {
        unsigned best = 3;
        char key[96];

        ret[0] = '\0';
        for (size_t i = 0; i < config_n_keys; i++) {
                snprintf(key, sizeof(key), "%s.%s%s", config_keys[i].section, key_of_backend(&config_keys[i]) ? "NAME." : "",
                         config_keys[i].name);
                nearer(word, key, &best, ret, cap);
        }
        for (size_t i = 0; i < finding_n_kinds; i++)
                nearer(word, finding_kinds[i].id, &best, ret, cap);
        for (size_t i = 0; i < explain_n_events; i++)
                nearer(word, explain_events[i].word, &best, ret, cap);
        for (size_t i = 0; i < explain_n_guidance; i++)
                nearer(word, explain_guidance[i].word, &best, ret, cap);
        for (size_t i = 0; i < explain_n_codes; i++)
                nearer(word, explain_codes[i].word, &best, ret, cap);
        for (int id = IICP_REFUSE_NONE + 1; id < IICP_REFUSE_MAX_; id++)
                nearer(word, iicp_refusal_info((enum iicp_refusal_id) id)->code, &best, ret, cap);
}

static int unknown(const struct options *o, const char *word) {
        char message[128], todo[128], near[96];

        nearest(word, near, sizeof(near));
        snprintf(message, sizeof(message), "'%.64s' is not known here", word);
        if (near[0])
                snprintf(todo, sizeof(todo), "did you mean '%s'?", near);
        else
                snprintf(todo, sizeof(todo), "a config key, a finding, a word of netcheck, an error code or an event of the log");
        tell_error(o, "unknown_word", message, todo);
        return EXIT_REFUSED;
}

static void show_it(const struct options *o, const char *word, json_object *list) {
        if (o->json) {
                json_object *doc = json_object_new_object();

                json_object_object_add(doc, "schema", json_object_new_string("iicp.explain/1"));
                json_object_object_add(doc, "word", json_object_new_string(word));
                json_object_object_add(doc, "meanings", json_object_get(list));
                puts(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
                json_object_put(doc);
                return;
        }
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                json_object *m = json_object_array_get_idx(list, i);

                if (strcmp(text_of(m, "kind"), "config") == 0)
                        printf("%s\n", text_of(m, "text"));
                else
                        printf("%s (%s)\n  %s\n", word, text_of(m, "kind"), text_of(m, "text"));
                if (json_object_object_get(m, "do"))
                        printf("  do: %s\n", text_of(m, "do"));
        }
}

int cmd_explain(const struct options *o, int argc, char **argv) {
        struct found f = {0};
        int r;

        if (argc < 1) {
                tell_error(o, "usage", "which word?", "iicpctl explain WORD, like route_none or limits.max_concurrent");
                return EXIT_USAGE;
        }
        r = no_more(o, argc - 1, argv + 1);
        if (r != EXIT_DONE)
                return r;
        f.list = json_object_new_array();
        add_key(&f, argv[0]);
        add_finding(&f, argv[0]);
        add_words(&f, "netcheck", explain_guidance, explain_n_guidance, argv[0]);
        add_refusals(&f, argv[0]);
        add_words(&f, "code", explain_codes, explain_n_codes, argv[0]);
        add_words(&f, "event", explain_events, explain_n_events, argv[0]);
        if (json_object_array_length(f.list) == 0)
                r = unknown(o, argv[0]);
        else
                show_it(o, argv[0], f.list);
        json_object_put(f.list);
        return r;
}
