/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include <stdio.h>

/* The table as documentation: conf/iicp.conf, iicp.conf(5), the paragraph of one key. */

static const char *initial_of(const struct config_key *k) {
        return k->initial_text ? k->initial_text : k->initial ? k->initial : "none";
}

static void type_of(const struct config_key *k, struct iicp_buf *out) {
        struct iicp_buf range = {0};

        value_range(k, &range);
        if (k->type)
                iicp_buf_printf(out, "%s%s%s", k->type, range.n ? ", " : "", iicp_buf_str(&range).p);
        else if (k->kind == KIND_DURATION)
                iicp_buf_printf(out, "duration, %s", iicp_buf_str(&range).p);
        else if (k->kind == KIND_SIZE)
                iicp_buf_printf(out, "size, %s", iicp_buf_str(&range).p);
        else
                iicp_buf_puts(out, iicp_buf_str(&range).p);
        iicp_buf_free(&range);
}

/* Words of text in lines of at most 92 columns behind "# ". */
static void comment(FILE *f, const char *text) {
        size_t column = 0;

        while (*text) {
                size_t n = strcspn(text, " ");

                if (column && column + n + 1 > 92) {
                        fputc('\n', f);
                        column = 0;
                }
                column += (size_t) fprintf(f, "%s%.*s", column ? " " : "# ", (int) n, text);
                text += n + strspn(text + n, " ");
        }
        fputc('\n', f);
}

void config_write_sample(FILE *f) {
        fputs("# /etc/iicp.conf: iicpd and iicp. Generated from the table of keys (daemon/config_table.c).\n"
              "# No key is needed: without this file the node uses Ollama on this machine, port 9484 and the\n"
              "# public directory. The key that is advised is node.region.\n"
              "#\n"
              "# A line that starts with # is a comment. Durations carry a unit (500ms, 90s, 10min), booleans\n"
              "# are yes and no, lists are separated by commas, secrets are references: file:PATH (mode 0600),\n"
              "# credential:NAME (systemd), env:NAME (for development). Check with: iicpd --check-config\n", f);
        for (size_t s = 0; s < config_n_sections; s++) {
                const struct config_section *sec = &config_sections[s];

                if (!sec->built)
                        continue;
                fputs("\n", f);
                comment(f, sec->help);
                fprintf(f, strcmp(sec->name, "backend") ? "[%s]\n" : "#[%s gpu]\n", sec->name);
                for (size_t i = 0; i < config_n_keys; i++) {
                        const struct config_key *k = &config_keys[i];
                        struct iicp_buf type = {0};

                        if (strcmp(k->section, sec->name))
                                continue;
                        type_of(k, &type);
                        comment(f, k->help);
                        fprintf(f, "# %s; default: %s\n#%s = %s\n", iicp_buf_str(&type).p, initial_of(k), k->name,
                                k->initial ? k->initial : "");
                        iicp_buf_free(&type);
                }
        }
}

/* roff: a backslash and a leading dot or quote mean something. */
static void roff(FILE *f, const char *text) {
        if (*text == '.' || *text == '\'')
                fputs("\\&", f);
        for (; *text; text++)
                switch (*text) {
                case '\\': fputs("\\e", f); break;
                case '-': fputs("\\-", f); break;
                default: fputc(*text, f);
                }
}

static void manual_key(FILE *f, const struct config_key *k) {
        static const char *const live[] = {"At the next start.", "Taken over by a reload.",
                                           "Taken over by a reload; the node registers again."};
        struct iicp_buf type = {0};

        type_of(k, &type);
        fputs(".TP\n.B ", f);
        roff(f, k->name);
        fputs("\n", f);
        roff(f, k->help);
        fputs("\n.br\n", f);
        roff(f, iicp_buf_str(&type).p);
        fputs("; default: ", f);
        roff(f, initial_of(k));
        fputs(".\n", f);
        for (size_t i = 0; i < 3 && k->environment[i]; i++) {
                fputs(i ? ", " : "Environment: ", f);
                roff(f, k->environment[i]);
                if (i == 2 || !k->environment[i + 1])
                        fputs(k->environment_form == ENV_INVERTED ? " (1 means no).\n"
                              : k->environment_form == ENV_MS     ? " (milliseconds).\n" : ".\n", f);
        }
        fprintf(f, "%s\n", live[k->live]);
        iicp_buf_free(&type);
}

void config_write_manual(FILE *f) {
        fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
              ".\\\" Generated from the table of keys (daemon/config_table.c).\n"
              ".TH IICP.CONF 5 \"2026-11-24\" iicpd \"File Formats\"\n"
              ".SH NAME\niicp.conf \\- configuration of iicpd and iicp\n"
              ".SH SYNOPSIS\n.I /etc/iicp.conf\n.br\n.I ~/.config/iicp/iicp.conf\n"
              ".SH DESCRIPTION\n"
              "A file of sections in brackets and lines of the form\n.BR \"key = value\" .\n"
              "A line that starts with # is a comment. No key is needed; a missing file means the defaults.\n"
              "A key twice in a section, an unknown key or section and a value out of range are errors.\n"
              ".PP\n"
              "The command line\n.RB ( \"\\-o section.key=value\" )\n"
              "wins over the environment, the environment over the file, the file over the default.\n"
              "An empty variable counts as not set, an empty value as the default.\n"
              ".PP\n"
              "Durations carry a unit: ms, s, min, h, d. Booleans are yes and no; in the environment also\n"
              "1, true, on, 0, false, off. Lists are separated by commas.\n"
              ".PP\n"
              "Secrets are never written in the file. A key that needs one takes a reference:\n"
              ".BI file: PATH\n(a regular file of this user or root, mode 0600, in a folder that others cannot write),\n"
              ".BI credential: NAME\n(passed by the service manager, LoadCredential=) or\n"
              ".BI env: NAME\n(for development; warns).\n"
              ".PP\n"
              ".B iicp\nreads\n.I ~/.config/iicp/iicp.conf\ntoo, and that wins over\n.IR /etc/iicp.conf ;\n"
              "of both it sees the sections directory, network, log and consumer only.\n", f);
        for (size_t s = 0; s < config_n_sections; s++) {
                const struct config_section *sec = &config_sections[s];

                if (!sec->built)
                        continue;
                fprintf(f, ".SH \"SECTION [%s%s]\"\n", sec->name, strcmp(sec->name, "backend") ? "" : " NAME");
                roff(f, sec->help);
                fputs(".\n", f);
                for (size_t i = 0; i < config_n_keys; i++)
                        if (strcmp(config_keys[i].section, sec->name) == 0)
                                manual_key(f, &config_keys[i]);
        }
        fputs(".SH EXAMPLE\n.nf\n[node]\nregion = eu\\-central\n\n[backend gpu]\ntype = ollama\n"
              "url = http://localhost:11434\nexclude = llava*\n\n[availability]\n"
              "window = 07:00\\-23:00 50%\nwindow = 23:00\\-07:00 100%\n.fi\n"
              ".SH SEE ALSO\n.BR iicpd (8),\n.BR iicpctl (8),\n.BR iicp (1)\n", f);
}

bool config_explain(const char *key, FILE *f) {
        const char *dot = strchr(key, '.'), *last = strrchr(key, '.');
        struct iicp_buf type = {0};
        const struct config_key *k;
        char section[32];

        if (!dot)
                return false;
        snprintf(section, sizeof section, "%.*s", (int) (dot - key < 31 ? dot - key : 31), key);
        k = key_find(section, last + 1);
        if (!k)
                return false;
        type_of(k, &type);
        fprintf(f, "%s%s.%s\n  %s\n  %s; default: %s\n", k->section, key_of_backend(k) ? ".NAME" : "", k->name, k->help,
                iicp_buf_str(&type).p, initial_of(k));
        for (size_t i = 0; i < 3 && k->environment[i]; i++)
                fprintf(f, "  environment: %s\n", k->environment[i]);
        fprintf(f, "  %s\n", k->live == LIVE_NO ? "at the next start" : "taken over by a reload");
        iicp_buf_free(&type);
        return true;
}
