/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include "build-config.h"
#include "config_table.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>

/* What can be seen without asking the daemon: files, folders, the process, the clock. */

#define SPACE_WARN ((uint64_t) 64 * 1024 * 1024) /* bytes */
#define SPACE_FAIL ((uint64_t) 1024 * 1024)
#define INODES_WARN 100u
#define FILES_AROUND 124u /* descriptors that are no connection */

extern char **environ;

/* ---- configuration ---- */

static void first_problem(struct doctor *d, const struct config_problems *p, enum config_severity severity, enum verdict v) {
        for (size_t i = 0; i < p->n; i++)
                if (p->v[i].severity == severity) {
                        if (p->v[i].line)
                                doctor_say(d, v, "configuration", "iicpd --check-config shows all", "%s:%u: %s", p->v[i].where, p->v[i].line,
                                           p->v[i].text);
                        else
                                doctor_say(d, v, "configuration", "iicpd --check-config shows all", "%s: %s", p->v[i].where, p->v[i].text);
                        return;
                }
}

void doctor_configuration(struct doctor *d) {
        char *none[] = {NULL};
        struct config_source source = {.path = d->config_path, .environ_ = none};
        struct config_problems problems = {0};
        json_object *running = get(d->status, "config");

        if (d->config_path && access(d->config_path, R_OK) < 0 && errno == EACCES) {
                doctor_say(d, VERDICT_SKIP, "configuration", "sudo iicpctl doctor", "%s cannot be read by you", d->config_path);
                return;
        }
        d->config = config_load(&source, &problems);
        if (!d->config)
                first_problem(d, &problems, CONFIG_ERROR, VERDICT_FAIL);
        else if (problems.n_warnings)
                first_problem(d, &problems, CONFIG_WARNING, VERDICT_WARN);
        else if (d->status && !truth(running, "as_on_disk"))
                doctor_say(d, VERDICT_WARN, "configuration", "iicpctl config --diff, then iicpctl reload",
                           "%s says something else than what runs", d->config_path ? d->config_path : "the file");
        else if (truth(running, "restart_pending"))
                doctor_say(d, VERDICT_WARN, "configuration", "systemctl restart iicpd", "a key that was changed waits for a restart");
        else if (!d->config_path || access(d->config_path, F_OK) < 0)
                doctor_say(d, VERDICT_OK, "configuration", NULL, "no file: defaults");
        else
                doctor_say(d, VERDICT_OK, "configuration", NULL, "%s parses%s", d->config_path, d->status ? ", as running" : "");
        config_problems_free(&problems);
}

/* Variables of this shell that the daemon would take, but does not have. */
void doctor_environment(struct doctor *d) {
        for (size_t i = 0; i < config_n_keys; i++)
                for (size_t k = 0; k < ARRAY_SIZE(config_keys[i].environment); k++) {
                        const char *name = config_keys[i].environment[k];

                        if (!name || config_keys[i].consumer || !getenv(name))
                                continue;
                        doctor_say(d, VERDICT_WARN, "environment", "systemctl edit iicpd, Environment=",
                                   "%s is set in your shell; a daemon of the service manager does not see it", name);
                        return;
                }
        doctor_say(d, VERDICT_OK, "environment", NULL, "no variable of your shell that the daemon would miss");
}

/* ---- the process ---- */

static long limit_of(long pid, const char *what) {
        char path[64], line[256];
        long value = -1;
        FILE *f;

        snprintf(path, sizeof path, "/proc/%ld/limits", pid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof line, f))
                if (strncmp(line, what, strlen(what)) == 0)
                        value = strtol(line + strlen(what), NULL, 10);
        if (f)
                fclose(f);
        return value;
}

static void binary(struct doctor *d, long pid) {
        const char *version = text_of(d->status, "version");
        char path[64], exe[512];
        ssize_t n;

        if (strcmp(version, PACKAGE_VERSION) != 0) {
                doctor_say(d, VERDICT_WARN, "version", "systemctl restart iicpd (it drains first)", "iicpd %s is running, iicpctl is %s", version,
                           PACKAGE_VERSION);
                return;
        }
        snprintf(path, sizeof path, "/proc/%ld/exe", pid);
        n = readlink(path, exe, sizeof exe - 1);
        exe[n > 0 ? n : 0] = '\0';
        if (n > 10 && strcmp(exe + n - 10, " (deleted)") == 0)
                doctor_say(d, VERDICT_WARN, "version", "systemctl restart iicpd (it drains first)",
                           "the running binary was replaced on the disk: a restart is pending");
        else
                doctor_say(d, VERDICT_OK, "version", NULL, "iicpd %s, the same as iicpctl", version);
}

static void open_files(struct doctor *d, long pid) {
        int64_t wanted = number(get(d->status, "route"), "max_connections") + FILES_AROUND;
        long limit = limit_of(pid, "Max open files");

        if (limit < 0)
                doctor_say(d, VERDICT_SKIP, "open files", NULL, "the limits of process %ld cannot be read", pid);
        else if (limit < wanted)
                doctor_say(d, VERDICT_WARN, "open files", "LimitNOFILE= in the unit", "limit %ld, %lld wanted", limit, (long long) wanted);
        else
                doctor_say(d, VERDICT_OK, "open files", NULL, "limit %ld, %lld wanted", limit, (long long) wanted);
}

void doctor_process(struct doctor *d) {
        long pid = (long) number(get(d->status, "node"), "pid");

        if (!d->status && d->status_code == EXIT_PERMISSION) {
                doctor_say(d, VERDICT_SKIP, "daemon", "sudo iicpctl doctor, or join the group of the socket", "no permission for %s", d->o->socket);
                return;
        }
        if (!d->status) {
                doctor_say(d, VERDICT_FAIL, "daemon", "systemctl status iicpd; systemctl start iicpd",
                           d->status_code == EXIT_NOT_RUNNING ? "iicpd is not running (%s)" : "iicpd does not answer at %s", d->o->socket);
                return;
        }
        doctor_say(d, VERDICT_OK, "single instance", NULL, "the state is held by process %ld", pid);
        binary(d, pid);
        open_files(d, pid);
}

/* ---- state ---- */

static bool folder(struct doctor *d, struct stat *st) {
        if (!d->config) {
                doctor_say(d, VERDICT_SKIP, "state", NULL, "needs a configuration without errors");
                return false;
        }
        if (stat(d->config->state_dir, st) == 0)
                return true;
        if (errno == ENOENT)
                doctor_say(d, d->status ? VERDICT_FAIL : VERDICT_SKIP, "state", NULL, "%s does not exist yet", d->config->state_dir);
        else
                doctor_say(d, VERDICT_SKIP, "state", "sudo iicpctl doctor", "%s: %s", d->config->state_dir, strerror(errno));
        return false;
}

void doctor_state(struct doctor *d) {
        struct passwd *owner;
        struct stat st, id;
        char path[4200], age_text[32];

        if (!folder(d, &st))
                return;
        owner = getpwuid(st.st_uid);
        if (st.st_mode & 077) {
                doctor_say(d, VERDICT_FAIL, "state", "chmod 0700 on it", "%s can be read by others (mode %04o): it holds keys",
                           d->config->state_dir, st.st_mode & 07777);
                return;
        }
        snprintf(path, sizeof path, "%s/identity.json", d->config->state_dir);
        if (stat(path, &id) < 0) {
                doctor_say(d, VERDICT_SKIP, "state", errno == EACCES ? "sudo iicpctl doctor" : NULL, "%s: no identity is to be seen: %s",
                           d->config->state_dir, strerror(errno));
                return;
        }
        doctor_say(d, VERDICT_OK, "state", NULL, "%s, mode %04o, owner %s, last written %s ago", d->config->state_dir, st.st_mode & 07777,
                   owner ? owner->pw_name : "unknown", age((int64_t) (time(NULL) - id.st_mtime), age_text, sizeof age_text));
}

void doctor_space(struct doctor *d) {
        struct statvfs v;
        uint64_t space;

        if (!d->config || statvfs(d->config->state_dir, &v) < 0) {
                doctor_say(d, VERDICT_SKIP, "free space", NULL, "the state folder cannot be looked at");
                return;
        }
        space = (uint64_t) v.f_bavail * v.f_frsize;
        if (space < SPACE_FAIL)
                doctor_say(d, VERDICT_FAIL, "free space", "make room: identity and counts cannot be written", "%llu KiB left where the state is",
                           (unsigned long long) space / 1024);
        else if (space < SPACE_WARN)
                doctor_say(d, VERDICT_WARN, "free space", "make room", "%llu MiB left where the state is", (unsigned long long) space >> 20);
        else if (v.f_files && v.f_favail < INODES_WARN)
                doctor_say(d, VERDICT_WARN, "free space", "remove files", "%llu inodes left where the state is", (unsigned long long) v.f_favail);
        else
                doctor_say(d, VERDICT_OK, "free space", NULL, "%llu MiB where the state is", (unsigned long long) space >> 20);
}

/* ---- secrets ---- */

static unsigned look_at_secret(struct doctor *d, const char *name, const struct secret *s) {
        struct stat st;

        if (!s->ref || strncmp(s->ref, "file:", 5) != 0)
                return s->ref != NULL;
        if (stat(s->ref + 5, &st) < 0)
                doctor_say(d, errno == EACCES ? VERDICT_SKIP : VERDICT_FAIL, "secrets", "make the file, mode 0600, owned by the daemon's user",
                           "%s: %s: %s", name, s->ref + 5, strerror(errno));
        else if (st.st_mode & 077)
                doctor_say(d, VERDICT_FAIL, "secrets", "chmod 0600 on it", "%s: %s can be read by others (mode %04o)", name, s->ref + 5,
                           st.st_mode & 07777);
        else
                return 1;
        return 0;
}

void doctor_secrets(struct doctor *d) {
        const struct config *c = d->config;
        size_t before = d->n;
        unsigned good = 0;

        if (!c)
                return;
        good += look_at_secret(d, "node.state_key", &c->state_key);
        good += look_at_secret(d, "auth.caller_tokens", &c->caller_tokens);
        good += look_at_secret(d, "listen.tls_key", &c->tls_key);
        for (size_t i = 0; i < c->n_backends; i++) {
                char name[96];

                snprintf(name, sizeof name, "backend.%s.api_key", c->backends[i].name);
                good += look_at_secret(d, name, &c->backends[i].api_key);
        }
        if (d->n == before)
                doctor_say(d, VERDICT_OK, "secrets", NULL, good ? "%u reference%s, none readable by others" : "none is configured", good,
                           good == 1 ? "" : "s");
}

/* ---- clock ---- */

void doctor_clock(struct doctor *d) {
        const char *state = text_of(get(d->status, "clock"), "state");
        struct timex t = {0};

        if (strcmp(state, "before_build") == 0)
                doctor_say(d, VERDICT_FAIL, "clock", "timedatectl set-ntp true", "stands before the day of the build: tokens and certificates fail");
        else if (strcmp(state, "stepped") == 0)
                doctor_say(d, VERDICT_WARN, "clock", "timedatectl set-ntp true", "was set by %lld s while the daemon ran",
                           (long long) number(get(d->status, "clock"), "step_s"));
        else if (adjtimex(&t) == TIME_ERROR && (t.status & STA_UNSYNC))
                doctor_say(d, VERDICT_WARN, "clock", "timedatectl set-ntp true", "nothing keeps it right: tickets fail beyond 60 s");
        else
                doctor_say(d, VERDICT_OK, "clock", NULL, "synchronised");
}
