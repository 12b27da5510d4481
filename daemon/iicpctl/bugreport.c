/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"
#include "pseudonym.h"

#include "build-config.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* One plain text for a human to read before it is sent; nothing is uploaded. What our own commands and
 * the service manager say, under other names. [operator design 6.7] */

#define SECTION_MAX ((size_t) 1024 * 1024) /* bytes of one */
#define WORDS_MAX 12

static const struct section {
        const char *title;
        bool own;               /* a command of this program */
        const char *words[WORDS_MAX];
} sections[] = {
        {"versions", true, {"version"}},
        {"status", true, {"status"}},
        {"findings and figures", true, {"--json", "status"}},
        {"doctor", true, {"doctor"}},
        {"configuration, with where each value comes from", true, {"config"}},
        {"backends", true, {"backends"}},
        {"models", true, {"models"}},
        {"detection of a route", true, {"netcheck"}},
        {"failed tasks", true, {"tasks", "--failed"}},
        {"the unit", false, {"systemctl", "cat", "--no-pager", "iicpd"}},
        {"log of the last hour", false, {"journalctl", "-u", "iicpd", "--since", "-1h", "-o", "short-iso", "--no-pager", "-n", "2000"}},
};

/* In the child: the words of a section instead of ourselves. */
static void become(const struct options *o, const struct section *s, int out) {
        char *argv[WORDS_MAX + 6];
        size_t n = 0;

        if (s->own) {
                argv[n++] = (char *) "iicpctl";
                argv[n++] = (char *) "--color=never";
                argv[n++] = (char *) "-s";
                argv[n++] = (char *) o->socket;
        }
        for (size_t i = 0; i < WORDS_MAX && s->words[i]; i++)
                argv[n++] = (char *) s->words[i];
        argv[n] = NULL;
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        if (s->own)
                execv("/proc/self/exe", argv);
        else
                execvp(argv[0], argv);
        dprintf(STDOUT_FILENO, "%s cannot be run here: %s\n", s->own ? "iicpctl" : argv[0], strerror(errno));
        _exit(127);
}

/* What it says; empty when it cannot be started. */
static void capture(const struct options *o, const struct section *s, struct iicp_buf *out) {
        char piece[8192];
        int fds[2];
        ssize_t n;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return;
        fflush(NULL);
        pid = fork();
        if (pid == 0)
                become(o, s, fds[1]);
        close(fds[1]);
        while (pid > 0 && ((n = read(fds[0], piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)))
                if (n > 0 && out->n < SECTION_MAX)
                        iicp_buf_add(out, piece, (size_t) n);
        close(fds[0]);
        if (pid > 0)
                waitpid(pid, NULL, 0);
        iicp_buf_add(out, "", 1);
}

static void head(struct iicp_buf *out) {
        struct utsname u = {0};

        uname(&u);
        iicp_buf_printf(out, "iicpd bug report, iicpctl %s, %s %s %s\nRead it before you send it. Nothing was uploaded.\n", PACKAGE_VERSION,
                        u.sysname, u.release, u.machine);
}

static void tail(const struct pseudonyms *p, struct iicp_buf *out) {
        iicp_buf_printf(out, "\n== left out\nprompts, answers, tokens, keys: they have no way in here\n"
                             "%u addresses as addr-N, %u ids as node-N, %u names of hosts as host-N, each the same wherever it stands\n"
                             "%u words that look like keys or tokens as [removed]\n",
                        p->addresses, p->ids, p->hosts, p->removed);
}

/* Names of this machine and of the node stand in texts without a URL. */
static void learn_names(struct pseudonyms *p, const char *status) {
        json_object *doc = json_tokener_parse(status);
        char host[256] = "";

        if (gethostname(host, sizeof host - 1) == 0)
                pseudonym_host(p, host);
        pseudonym_host(p, text_of(get(doc, "node"), "name"));
        pseudonym_id(p, text_of(get(doc, "node"), "node_id"));
        json_object_put(doc);
}

static void compose(const struct options *o, struct iicp_buf *out) {
        struct iicp_buf texts[ARRAY_SIZE(sections)] = {0};
        struct pseudonyms *p = calloc(1, sizeof *p);

        head(out);
        for (size_t i = 0; p && i < ARRAY_SIZE(sections); i++) {
                capture(o, &sections[i], &texts[i]);
                if (!texts[i].p)
                        continue;
                if (sections[i].own && strcmp(sections[i].words[0], "--json") == 0)
                        learn_names(p, texts[i].p);
                pseudonym_learn(p, texts[i].p);
        }
        for (size_t i = 0; p && i < ARRAY_SIZE(sections); i++) {
                iicp_buf_printf(out, "\n== %s\n", sections[i].title);
                pseudonym_write(p, texts[i].p ? texts[i].p : "nothing\n", out);
                iicp_buf_free(&texts[i]);
        }
        if (p)
                tail(p, out);
        free(p);
}

/* 0600: whoever made it decides who reads it. */
static int write_to(const struct options *o, const char *path, const struct iicp_buf *b) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;
        char message[4352];

        if (fd < 0)
                r = errno;
        for (size_t done = 0; r == 0 && done < b->n;) {
                ssize_t n = write(fd, b->p + done, b->n - done);

                if (n < 0 && errno != EINTR)
                        r = errno;
                done += n > 0 ? (size_t) n : 0;
        }
        if (fd >= 0 && close(fd) < 0 && r == 0)
                r = errno;
        if (r == 0)
                return EXIT_DONE;
        snprintf(message, sizeof message, "%s: %s", path, strerror(r));
        tell_error(o, "cannot_write", message, r == EEXIST ? "another name, or remove it" : "iicpctl bugreport -o FILE");
        return EXIT_REFUSED;
}

int cmd_bugreport(const struct options *o, int argc, char **argv) {
        const char *path = argc > 1 && strcmp(argv[0], "-o") == 0 ? argv[1] : NULL;
        struct iicp_buf b = {0};
        int r = no_more(o, argc - (path ? 2 : 0), argv + (path ? 2 : 0));

        if (r != EXIT_DONE)
                return r;
        compose(o, &b);
        if (b.error) {
                iicp_buf_free(&b);
                tell_error(o, "no_memory", "no memory", "");
                return EXIT_REFUSED;
        }
        if (path)
                r = write_to(o, path, &b);
        if (o->json && r == EXIT_DONE) {
                json_object *doc = json_object_new_object();

                json_object_object_add(doc, "schema", json_object_new_string("iicp.bugreport/1"));
                json_object_object_add(doc, path ? "file" : "text",
                                       path ? json_object_new_string(path) : json_object_new_string_len(b.p, (int) b.n));
                puts(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
                json_object_put(doc);
        } else if (path && r == EXIT_DONE)
                printf("%s: read it before you send it\n", path);
        else if (!path)
                fwrite(b.p, 1, b.n, stdout);
        iicp_buf_free(&b);
        return r;
}
