/* SPDX-License-Identifier: Apache-2.0 */
#include "config_file.h"

#include "config_text.h"
#include "log.h"
#include "util.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>

/* A file, line by line: inih takes the lines apart, the reader below hands them to it one by one and
 * so knows where each stands. [operator design 5.3] */

#define FILE_LINE_MAX 4096 /* bytes */

struct reader {
        struct loading *l;
        const char *name;
        unsigned rank;
        const char *next, *end;
        /* the line that inih has */
        char raw[FILE_LINE_MAX];
        unsigned line;
        /* the section that counts */
        bool visible;           /* false: unknown or not for this program, its keys are skipped */
        char section[32];
        char backend[64];
};

static struct problem_place reader_place(const struct reader *r, size_t at, size_t n) {
        return (struct problem_place){.where = r->name, .rank = r->rank, .line = r->line,
                                      .column = (unsigned) at + 1, .raw = r->raw, .mark = n};
}

/* "[backend gpu]", "[backend \"gpu\"]" or "[limits]" */
static void read_section(struct reader *r, const char *open) {
        const char *close = strchr(open, ']');
        struct problem_place place = reader_place(r, (size_t) (open - r->raw), close ? (size_t) (close - open) + 1 : 1);
        char text[128], *name;
        size_t n;

        r->visible = false;
        if (!close || close[1 + strspn(close + 1, " \t")]) {
                problem_add(r->l->problems, CONFIG_ERROR, &place, "a section is a name in brackets on a line of its own");
                return;
        }
        snprintf(text, sizeof text, "%.*s", (int) MIN(close - open - 1, (ptrdiff_t) sizeof text - 1), open + 1);
        name = text + strspn(text, " \t");
        for (n = strlen(name); n && (name[n - 1] == ' ' || name[n - 1] == '\t'); n--)
                name[n - 1] = '\0';
        n = strcspn(name, " \t");
        snprintf(r->section, sizeof r->section, "%.*s", (int) n, name);
        name += n + strspn(name + n, " \t");
        n = strlen(name);
        if (n >= 2 && name[0] == '"' && name[n - 1] == '"') {
                name[n - 1] = '\0';
                name++;
        }
        snprintf(r->backend, sizeof r->backend, "%s", name);
        section_check(r->l, r->section, r->backend, &place, &r->visible);
}

/* True if inih shall see the line. */
static bool look_at(struct reader *r) {
        const char *p = r->raw + strspn(r->raw, " \t"), *sep;
        struct problem_place place = reader_place(r, (size_t) (p - r->raw), strlen(p));

        if (!*p || *p == '#')
                return false;
        if (*p == '[') {
                read_section(r, p);
                return false;
        }
        sep = strpbrk(p, "=:");
        if (!sep || *sep == ':' || sep == p) {
                place.hint = *p == ';' ? "a comment begins with #" : "";
                problem_add(r->l->problems, CONFIG_ERROR, &place, "not of the form key = value");
                return false;
        }
        return true;
}

/* Called by inih for the next line. */
static char *next_line(char *buf, int size, void *arg) {
        struct reader *r = arg;

        while (r->next < r->end) {
                const char *nl = memchr(r->next, '\n', (size_t) (r->end - r->next));
                const char *stop = nl ? nl : r->end;
                const char *start = r->next;
                size_t n = (size_t) (stop - start);

                r->next = nl ? nl + 1 : r->end;
                r->line++;
                if (n && start[n - 1] == '\r')
                        n--;
                if (n >= sizeof r->raw || n + 2 > (size_t) size || memchr(start, '\0', n)) {
                        struct problem_place place = {.where = r->name, .rank = r->rank, .line = r->line};

                        problem_add(r->l->problems, CONFIG_ERROR, &place, n + 2 > FILE_LINE_MAX
                                    ? "the line is too long (at most 4094 bytes)" : "the line is no text");
                        continue;
                }
                memcpy(r->raw, start, n);
                r->raw[n] = '\0';
                if (!look_at(r))
                        continue;
                /* Without leading blanks, which may mean continuation to inih. */
                snprintf(buf, (size_t) size, "%s\n", r->raw + strspn(r->raw, " \t"));
                return buf;
        }
        return NULL;
}

static int on_key(void *user, const char *section, const char *name, const char *value) {
        struct reader *r = user;
        size_t key_at = strspn(r->raw, " \t");
        const char *eq = strchr(r->raw, '=');
        size_t value_at = eq ? (size_t) (eq - r->raw) + 1 : 0;

        (void) section;
        if (!*r->section) {
                struct problem_place place = reader_place(r, key_at, strlen(name));

                problem_add(r->l->problems, CONFIG_ERROR, &place, "a key before the first section");
                return 1;
        }
        if (!r->visible || !eq)
                return 1;
        value_at += strspn(r->raw + value_at, " \t");
        struct setting s = {
                .from = FROM_FILE, .section = r->section, .backend = *r->backend ? r->backend : NULL,
                .key = name, .value = value, .origin = r->name,
                .place = reader_place(r, key_at, strlen(name)), .value_column = (unsigned) value_at + 1,
        };
        setting_apply(r->l, &s);
        return 1;
}

static int read_whole(const char *path, char **ret, size_t *ret_n) {
        FILE *f = fopen(path, "re");
        char *buf;
        size_t n;
        int r = 0;

        if (!f)
                return -errno;
        buf = malloc(CONFIG_FILE_MAX + 1);
        if (!buf) {
                fclose(f);
                return -ENOMEM;
        }
        n = fread(buf, 1, CONFIG_FILE_MAX + 1, f);
        if (ferror(f))
                r = errno ? -errno : -EIO;
        else if (n > CONFIG_FILE_MAX)
                r = -EFBIG;
        fclose(f);
        if (r < 0) {
                free(buf);
                return r;
        }
        *ret = buf;
        *ret_n = n;
        return 0;
}

void file_load(struct loading *l, const char *path, unsigned rank, bool required, struct iicp_str text) {
        struct problem_place place = {.where = path, .rank = rank};
        _cleanup_free_ char *bytes = NULL;
        _cleanup_free_ struct reader *r = NULL;
        size_t n = 0;
        int e;

        if (!text.p) {
                e = read_whole(path, &bytes, &n);
                if (e == -ENOENT && !required)
                        return;
                if (e < 0) {
                        problem_add(l->problems, CONFIG_ERROR, &place, "cannot be read: %s", strerror(-e));
                        return;
                }
                text = (struct iicp_str){bytes, n};
        }
        if (text.n > CONFIG_FILE_MAX)
                text.n = CONFIG_FILE_MAX;
        r = calloc(1, sizeof *r);
        if (!r)
                return;
        *r = (struct reader){.l = l, .name = path, .rank = rank, .next = text.p, .end = text.p + text.n};
        if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
                r->next += 3;
        /* The form of configuration.md: nothing but lines of key = value. The library keeps these
         * switches in variables of its own; nothing else in the process uses it. */
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_use_stack = false;
        ini_max_line = FILE_LINE_MAX;
        ini_initial_alloc = FILE_LINE_MAX;
        if (ini_parse_stream(next_line, r, on_key, r) != 0)
                problem_add(l->problems, CONFIG_ERROR, &place, "cannot be parsed");
}
