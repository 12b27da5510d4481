/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"
#include "config_text.h"

#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define LIST_MAX 64 /* items of one list */

static const struct unit {
        const char *name;
        uint64_t ms;
} units[] = {
        {"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1},
};

/* The best word of a list for a misspelled one, NULL if none is near. */
static const char *nearest(const char *word, const struct config_choice *choices) {
        const char *best = NULL;
        unsigned least = 3;

        for (; choices->word; choices++) {
                unsigned d = edit_distance(word, choices->word, 2);

                if (d < least) {
                        least = d;
                        best = choices->word;
                }
        }
        return best;
}

static void fault_whole(struct config_fault *f, const char *text) {
        f->at = 0;
        f->n = strlen(text);
}

/* Reads digits; false if there are none or the number is absurd. */
static bool read_digits(const char **p, uint64_t *ret) {
        uint64_t v = 0;
        const char *s = *p;

        if (*s < '0' || *s > '9')
                return false;
        for (; *s >= '0' && *s <= '9'; s++) {
                if (v > UINT64_MAX / 100)
                        return false;
                v = v * 10 + (uint64_t) (*s - '0');
        }
        *p = s;
        *ret = v;
        return true;
}

void duration_print(uint64_t ms, struct iicp_buf *out) {
        if (ms == 0) {
                iicp_buf_puts(out, "0");
                return;
        }
        /* The largest unit that divides; minutes only from ten up, so that 60s stays 60s. */
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                if (ms % units[i].ms || (units[i].ms == 60000 && ms < 600000))
                        continue;
                iicp_buf_printf(out, "%llu%s", (unsigned long long) (ms / units[i].ms), units[i].name);
                return;
        }
}

static const struct {
        const char *name;
        unsigned shift;
} size_units[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}};

void size_print(uint64_t bytes, struct iicp_buf *out) {
        size_t i = 0;

        while (i + 1 < ARRAY_SIZE(size_units) && (bytes & ((1ULL << size_units[i].shift) - 1) || bytes == 0))
                i++;
        iicp_buf_printf(out, "%llu%s", (unsigned long long) (bytes >> size_units[i].shift), size_units[i].name);
}

void value_range(const struct config_key *k, struct iicp_buf *out) {
        if (k->kind == KIND_BOOL)
                iicp_buf_puts(out, "yes/no");
        if (k->zero && k->kind == KIND_NUMBER)
                iicp_buf_printf(out, "%s or ", k->zero);
        if (k->kind == KIND_NUMBER && k->max == UINT32_MAX)
                iicp_buf_printf(out, "%llu or more", (unsigned long long) k->min);
        else if (k->kind == KIND_NUMBER)
                iicp_buf_printf(out, "%llu-%llu", (unsigned long long) k->min, (unsigned long long) k->max);
        if (k->kind == KIND_DURATION) {
                duration_print(k->min, out);
                iicp_buf_puts(out, "-");
                duration_print(k->max, out);
        }
        if (k->kind == KIND_SIZE) {
                size_print(k->min, out);
                iicp_buf_puts(out, "-");
                size_print(k->max, out);
        }
        for (const struct config_choice *c = k->choices; k->kind == KIND_CHOICE && c->word; c++)
                iicp_buf_printf(out, "%s%s", out->n ? "/" : "", c->word);
        if (k->kind == KIND_TEXT && k->max)
                iicp_buf_printf(out, "at most %llu characters", (unsigned long long) k->max);
}

static void fault_range(struct config_fault *f, const struct config_key *k, const char *text) {
        struct iicp_buf b = {0};

        value_range(k, &b);
        fault_whole(f, text);
        snprintf(f->text, sizeof f->text, "'%.40s' is out of range (%s)", text, iicp_buf_str(&b).p);
        iicp_buf_free(&b);
}

static bool parse_bool(const char *text, bool *place, struct config_fault *f) {
        bool yes = strcmp(text, "yes") == 0;

        if (yes || strcmp(text, "no") == 0) {
                *place = yes;
                return true;
        }
        fault_whole(f, text);
        snprintf(f->text, sizeof f->text, "'%.40s' is neither yes nor no", text);
        if (!strcasecmp(text, "true") || !strcasecmp(text, "on") || !strcmp(text, "1") || edit_distance(text, "yes", 1) < 2)
                snprintf(f->hint, sizeof f->hint, "did you mean 'yes'?");
        else if (!strcasecmp(text, "false") || !strcasecmp(text, "off") || !strcmp(text, "0") || edit_distance(text, "no", 1) < 2)
                snprintf(f->hint, sizeof f->hint, "did you mean 'no'?");
        return false;
}

static bool parse_number(const struct config_key *k, const char *text, unsigned *place, struct config_fault *f) {
        const char *p = text;
        uint64_t v;

        if (k->zero && strcmp(text, k->zero) == 0) {
                *place = 0;
                return true;
        }
        if (!read_digits(&p, &v)) {
                fault_whole(f, text);
                snprintf(f->text, sizeof f->text, "'%.40s' is not a whole number", text);
                return false;
        }
        if (*p) {
                f->at = (size_t) (p - text);
                f->n = strlen(p);
                snprintf(f->text, sizeof f->text, "'%.40s' after the number; this is a bare number", p);
                return false;
        }
        if (v < k->min || v > k->max) {
                fault_range(f, k, text);
                return false;
        }
        *place = (unsigned) v;
        return true;
}

static bool parse_duration(const struct config_key *k, const char *text, uint64_t *place, struct config_fault *f) {
        const char *p = text;
        uint64_t v, ms = 0;

        if (!read_digits(&p, &v)) {
                fault_whole(f, text);
                snprintf(f->text, sizeof f->text, "'%.40s' is not a duration", text);
                snprintf(f->hint, sizeof f->hint, "write it like 500ms, 90s, 10min, 1h or 80d");
                return false;
        }
        while (*p == ' ')
                p++;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (strcmp(p, units[i].name) == 0)
                        ms = units[i].ms;
        if (!ms && (*p || v)) {
                fault_whole(f, text);
                if (*p)
                        snprintf(f->text, sizeof f->text, "'%.20s' is no unit of time", p);
                else
                        snprintf(f->text, sizeof f->text, "%s needs a unit", k->name);
                snprintf(f->hint, sizeof f->hint, "ms, s, min, h, d: %llu%s?", (unsigned long long) v, *p == 'm' ? "min" : "s");
                return false;
        }
        if (ms && v > UINT64_MAX / ms) {
                fault_range(f, k, text);
                return false;
        }
        v *= ms;
        if (v < k->min || v > k->max) {
                fault_range(f, k, text);
                return false;
        }
        *place = v;
        return true;
}

static bool parse_size(const struct config_key *k, const char *text, uint64_t *place, struct config_fault *f) {
        const char *p = text;
        uint64_t v;

        if (read_digits(&p, &v)) {
                p += strspn(p, " ");
                for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
                        if (strcmp(p, size_units[i].name) != 0)
                                continue;
                        if (v > UINT64_MAX >> size_units[i].shift || v << size_units[i].shift < k->min ||
                            v << size_units[i].shift > k->max) {
                                fault_range(f, k, text);
                                return false;
                        }
                        *place = v << size_units[i].shift;
                        return true;
                }
        }
        fault_whole(f, text);
        snprintf(f->text, sizeof f->text, "'%.40s' is not a size", text);
        snprintf(f->hint, sizeof f->hint, "write it like 64KiB or 16MiB");
        return false;
}

static bool parse_choice(const struct config_key *k, const char *text, int *place, struct config_fault *f) {
        struct iicp_buf b = {0};
        const char *near;

        fault_whole(f, text);
        for (const struct config_choice *c = k->choices; c->word; c++) {
                if (strcmp(text, c->word) != 0)
                        continue;
                *place = c->value;
                return true;
        }
        value_range(k, &b);
        snprintf(f->text, sizeof f->text, "'%.40s' is no value of %s (%s)", text, k->name, iicp_buf_str(&b).p);
        near = nearest(text, k->choices);
        if (near)
                snprintf(f->hint, sizeof f->hint, "did you mean '%s'?", near);
        iicp_buf_free(&b);
        return false;
}

static bool parse_text(const struct config_key *k, const char *text, char **place, struct config_fault *f) {
        char *instead = NULL, *v;

        if (k->max && strlen(text) > k->max) {
                f->at = k->max;
                f->n = strlen(text) - k->max;
                snprintf(f->text, sizeof f->text, "%s is too long (at most %llu characters)", k->name,
                         (unsigned long long) k->max);
                return false;
        }
        if (k->check && !k->check(text, f, &instead))
                return false;
        v = instead ? instead : strdup(text);
        if (!v)
                return false;
        free(*place);
        *place = v;
        return true;
}

static void list_free(char **list) {
        for (char **p = list; p && *p; p++)
                free(*p);
        free(list);
}

static bool parse_list(const struct config_key *k, const char *text, char ***place, struct config_fault *f) {
        char **list = calloc(LIST_MAX + 1, sizeof *list);
        size_t n = 0;

        for (const char *p = text; list && *p;) {
                size_t len = strcspn(p, ","), lead = strspn(p, " \t");
                size_t end = len;

                while (end > lead && (p[end - 1] == ' ' || p[end - 1] == '\t'))
                        end--;
                if (end > lead) {
                        char *instead = NULL;
                        char *item = n < LIST_MAX ? strndup(p + lead, end - lead) : NULL;

                        if (!item || (k->check && !k->check(item, f, &instead))) {
                                if (!item)
                                        snprintf(f->text, sizeof f->text, "more than %d items", LIST_MAX);
                                f->at += (size_t) (p - text) + lead;
                                f->n = f->n ? f->n : end - lead;
                                free(item);
                                list_free(list);
                                return false;
                        }
                        if (instead) {
                                free(item);
                                item = instead;
                        }
                        list[n++] = item;
                }
                p += len + (p[len] == ',');
        }
        list_free(*place);
        *place = n ? list : NULL;
        if (!n)
                free(list);
        return true;
}

static bool parse_secret(const struct config_key *k, const char *text, struct secret *place, struct config_fault *f) {
        if (!secret_ref_valid(text)) {
                fault_whole(f, text);
                if (strncmp(text, "file:", 5) && strncmp(text, "credential:", 11) && strncmp(text, "env:", 4)) {
                        snprintf(f->text, sizeof f->text, "%s holds a secret; this file must not", k->name);
                        snprintf(f->hint, sizeof f->hint, "put it in a file of mode 0600 and write %s = file:/etc/iicp/%s",
                                 k->name, k->name);
                } else {
                        snprintf(f->text, sizeof f->text, "%s: malformed reference", k->name);
                        snprintf(f->hint, sizeof f->hint, "file:/ABSOLUTE/PATH, credential:NAME or env:NAME");
                }
                return false;
        }
        secret_clear(place);
        place->ref = strdup(text);
        return place->ref != NULL;
}

static bool clock_text(const char *p, char out[6]) {
        if (!isdigit((unsigned char) p[0]) || !isdigit((unsigned char) p[1]) || p[2] != ':' ||
            !isdigit((unsigned char) p[3]) || !isdigit((unsigned char) p[4]))
                return false;
        if ((p[0] - '0') * 10 + p[1] - '0' > 23 || p[3] > '5')
                return false;
        memcpy(out, p, 5);
        out[5] = '\0';
        return true;
}

/* "07:00-23:00 50%" */
static bool parse_window(const char *text, struct config *c, struct config_fault *f) {
        struct iicp_window w;
        const char *p = text + 11;
        uint64_t percent;

        fault_whole(f, text);
        snprintf(f->hint, sizeof f->hint, "write it like 07:00-23:00 50%%");
        if (c->n_windows == CONFIG_WINDOWS_MAX) {
                snprintf(f->text, sizeof f->text, "more than %d windows", CONFIG_WINDOWS_MAX);
                f->hint[0] = '\0';
                return false;
        }
        if (strlen(text) < 11 || !clock_text(text, w.start) || text[5] != '-' || !clock_text(text + 6, w.end)) {
                snprintf(f->text, sizeof f->text, "'%.40s' is no window of the day", text);
                return false;
        }
        while (*p == ' ' || *p == '\t')
                p++;
        if (p == text + 11 || !read_digits(&p, &percent) || strcmp(p, "%") || percent > 100) {
                snprintf(f->text, sizeof f->text, "'%.40s' needs a share, 0%%-100%%, after the times", text);
                return false;
        }
        w.share = (double) percent / 100.0;
        c->windows[c->n_windows++] = w;
        return true;
}

/* The stored spelling does not tell any more whether the path was the operator's own. */
static void note_base(const struct config_key *k, const char *text, struct config *c) {
        char out[IICP_DIRECTORY_URL_MAX];

        if (k->check == text_directory_url)
                iicp_directory_url(iicp_str(text), true, out, &c->directory_api_added);
}

bool value_parse(const struct config_key *k, const char *text, void *place, struct config *c,
                 struct config_fault *f) {
        *f = (struct config_fault){0};
        switch (k->kind) {
        case KIND_TEXT: return parse_text(k, text, place, f) && (note_base(k, text, c), true);
        case KIND_LIST: return parse_list(k, text, place, f);
        case KIND_BOOL: return parse_bool(text, place, f);
        case KIND_NUMBER: return parse_number(k, text, place, f);
        case KIND_DURATION: return parse_duration(k, text, place, f);
        case KIND_SIZE: return parse_size(k, text, place, f);
        case KIND_CHOICE: return parse_choice(k, text, place, f);
        case KIND_SECRET: return parse_secret(k, text, place, f);
        case KIND_WINDOWS: return parse_window(text, c, f);
        }
        return false;
}

void value_print(const struct config_key *k, const void *place, const struct config *c, struct iicp_buf *out) {
        const char *text = k->kind == KIND_TEXT ? *(char *const *) place : NULL;

        switch (k->kind) {
        case KIND_TEXT:
                iicp_buf_puts(out, text ? text : "");
                break;
        case KIND_LIST:
                for (char *const *p = *(char **const *) place; p && *p; p++)
                        iicp_buf_printf(out, "%s%s", p == *(char **const *) place ? "" : ", ", *p);
                break;
        case KIND_BOOL:
                iicp_buf_puts(out, *(const bool *) place ? "yes" : "no");
                break;
        case KIND_NUMBER:
                if (k->zero && *(const unsigned *) place == 0)
                        iicp_buf_puts(out, k->zero);
                else
                        iicp_buf_printf(out, "%u", *(const unsigned *) place);
                break;
        case KIND_DURATION:
                duration_print(*(const uint64_t *) place, out);
                break;
        case KIND_SIZE:
                size_print(*(const uint64_t *) place, out);
                break;
        case KIND_CHOICE:
                for (const struct config_choice *ch = k->choices; ch->word; ch++)
                        if (ch->value == *(const int *) place) {
                                iicp_buf_puts(out, ch->word);
                                break;
                        }
                break;
        case KIND_SECRET:
                iicp_buf_puts(out, ((const struct secret *) place)->ref ? ((const struct secret *) place)->ref : "");
                break;
        case KIND_WINDOWS:
                for (size_t i = 0; i < c->n_windows; i++)
                        iicp_buf_printf(out, "%s%s-%s %d%%", i ? "; " : "", c->windows[i].start,
                                        c->windows[i].end, (int) (c->windows[i].share * 100 + 0.5));
                break;
        }
}

void value_clear(const struct config_key *k, void *place) {
        switch (k->kind) {
        case KIND_TEXT:
                free(*(char **) place);
                *(char **) place = NULL;
                break;
        case KIND_LIST:
                list_free(*(char ***) place);
                *(char ***) place = NULL;
                break;
        case KIND_SECRET:
                secret_clear(place);
                break;
        case KIND_BOOL:
        case KIND_NUMBER:
        case KIND_DURATION:
        case KIND_SIZE:
        case KIND_CHOICE:
        case KIND_WINDOWS:
                break;
        }
}

static int secret_copy(const struct secret *from, struct secret *to) {
        struct secret s = {.n = from->n};

        if (from->ref && !(s.ref = strdup(from->ref)))
                return -ENOMEM;
        if (from->value && !(s.value = malloc(from->n + 1))) {
                free(s.ref);
                return -ENOMEM;
        }
        if (from->value)
                memcpy(s.value, from->value, from->n + 1);
        secret_clear(to);
        *to = s;
        return 0;
}

int value_copy(const struct config_key *k, const void *from, void *to) {
        char *text;

        switch (k->kind) {
        case KIND_TEXT:
                text = *(char *const *) from ? strdup(*(char *const *) from) : NULL;
                if (*(char *const *) from && !text)
                        return -ENOMEM;
                free(*(char **) to);
                *(char **) to = text;
                return 0;
        case KIND_BOOL:
                *(bool *) to = *(const bool *) from;
                return 0;
        case KIND_NUMBER:
                *(unsigned *) to = *(const unsigned *) from;
                return 0;
        case KIND_DURATION:
        case KIND_SIZE:
                *(uint64_t *) to = *(const uint64_t *) from;
                return 0;
        case KIND_CHOICE:
                *(int *) to = *(const int *) from;
                return 0;
        case KIND_SECRET:
                return secret_copy(from, to);
        case KIND_LIST:
        case KIND_WINDOWS:
                /* all of these are live */
                break;
        }
        return -EINVAL;
}

/* 1 yes, 0 no, -1 neither: the SDKs' spelling. */
static int sdk_bool(const char *text) {
        static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no", "off"};

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
                if (strcasecmp(text, yes[i]) == 0)
                        return 1;
                if (strcasecmp(text, no[i]) == 0)
                        return 0;
        }
        return -1;
}

static const char *next_letter(const char *p) {
        while (*p == '-' || *p == '_')
                p++;
        return p;
}

/* The word of the file that it stands for, or the text itself. */
static const char *loose_word(const struct config_key *k, const char *text) {
        for (const struct config_choice *c = k->choices; c && c->word; c++) {
                const char *a = next_letter(c->word), *b = next_letter(text);

                while (*a && tolower((unsigned char) *b) == *a) {
                        a = next_letter(a + 1);
                        b = next_letter(b + 1);
                }
                if (!*a && !*b)
                        return c->word;
        }
        return text;
}

bool value_from_environment(const struct config_key *k, const char *text, struct iicp_buf *out) {
        int yes = sdk_bool(text);

        if (k->environment_form == ENV_SWITCH) {
                iicp_buf_puts(out, yes < 0 ? text : yes ? "auto" : "no");
                return true;
        }
        if (k->environment_form == ENV_OFF) {
                iicp_buf_puts(out, yes < 0 ? text : yes ? "no" : "auto");
                return true;
        }
        if (k->environment_form == ENV_REQUIRED) {
                iicp_buf_puts(out, yes < 0 ? text : yes ? "required" : "soft");
                return true;
        }
        if (k->kind == KIND_BOOL || k->environment_form == ENV_YES_NO) {
                if (yes < 0)
                        return false;
                iicp_buf_puts(out, (yes == 1) != (k->environment_form == ENV_INVERTED) ? "yes" : "no");
                return true;
        }
        if (k->environment_form == ENV_YES_NO_WORD && yes >= 0)
                text = yes ? "yes" : "no";
        if (k->environment_form == ENV_LOOSE_WORD)
                text = loose_word(k, text);
        iicp_buf_puts(out, text);
        if (k->environment_form == ENV_MS || k->environment_form == ENV_S)
                iicp_buf_puts(out, k->environment_form == ENV_MS ? "ms" : "s");
        return true;
}
