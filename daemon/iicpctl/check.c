/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "observe/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Reads the health snapshot and nothing else, so that probes work without the socket, also while
 * the daemon hangs. [02 section 13.1] */

#define SNAPSHOT_MAX 65536 /* bytes */

enum { CHECK_LIVE = 0, CHECK_NOT = 1, CHECK_UNKNOWN = 2 };

/* Beside the socket, in the folder of its own where the runtime directory has one. */
static int open_snapshot(const char *socket, char *path, size_t cap) {
        const char *slash = strrchr(socket, '/');
        int n = slash ? (int) (slash - socket) : 1;
        int fd;

        snprintf(path, cap, "%.*s/%s/%s", n, slash ? socket : ".", SNAPSHOT_SUBDIR, SNAPSHOT_NAME);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
                snprintf(path, cap, "%.*s/%s", n, slash ? socket : ".", SNAPSHOT_NAME);
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
        return fd;
}

static json_object *read_snapshot(int fd) {
        char text[SNAPSHOT_MAX];
        size_t n = 0;
        ssize_t r;
        json_object *doc;

        while (n + 1 < sizeof text && (r = read(fd, text + n, sizeof text - 1 - n)) > 0)
                n += (size_t) r;
        text[n] = '\0';
        doc = json_tokener_parse(text);
        if (json_object_is_type(doc, json_type_object) && strcmp(text_of(doc, "health_schema_version"), "1") == 0)
                return doc;
        json_object_put(doc);
        return NULL;
}

static void print_reasons(json_object *doc, char *out, size_t cap) {
        json_object *list = NULL;
        size_t n = 0;

        out[0] = '\0';
        if (!json_object_object_get_ex(doc, "reason_codes", &list) || !json_object_is_type(list, json_type_array))
                return;
        for (size_t i = 0; i < json_object_array_length(list) && n < cap; i++)
                n += (size_t) snprintf(out + n, cap - n, "%s%.40s", i ? " " : "",
                                       json_object_get_string(json_object_array_get_idx(list, i)));
}

/* A killed process leaves its snapshot behind. Both must say so: the id may belong to another name space
 * of processes, and a socket may be out of our reach. */
static bool is_gone(const struct options *o, json_object *doc) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        long pid = strtol(text_of(doc, "pid"), NULL, 10);
        int fd, r = 0;

        if (pid <= 0 || kill((pid_t) pid, 0) == 0 || errno != ESRCH || strlen(o->socket) >= sizeof(addr.sun_path))
                return false;
        strcpy(addr.sun_path, o->socket);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return false;
        if (connect(fd, (struct sockaddr *) &addr, sizeof(addr)) < 0)
                r = errno;
        close(fd);
        return r == ECONNREFUSED || r == ENOENT;
}

static int not_live(const struct options *o, long age_s, const char *text) {
        if (o->json)
                printf("{\"schema\":\"iicp.check/1\",\"ok\":false,\"liveness\":\"not_live\",\"readiness\":\"not_ready\","
                       "\"age_s\":%ld,\"reason_codes\":[\"RUNTIME_PROGRESS_STALE\"]}\n", age_s);
        else
                printf("not live: %s\n", text);
        return CHECK_NOT;
}

static int judge(const struct options *o, json_object *doc, long age_s, bool ready, bool degraded_too) {
        const char *liveness = text_of(doc, "liveness"), *readiness = text_of(doc, "readiness");
        char reasons[256], text[96];
        bool ok = strcmp(liveness, "live") == 0;

        if (age_s > SNAPSHOT_STALE_S) {
                snprintf(text, sizeof text, "the snapshot is %ld s old (limit %d s)", age_s, SNAPSHOT_STALE_S);
                return not_live(o, age_s, text);
        }
        if (is_gone(o, doc)) {
                snprintf(text, sizeof text, "process %s has ended and left its snapshot", text_of(doc, "pid"));
                return not_live(o, age_s, text);
        }
        if (ok && ready)
                ok = strcmp(readiness, "ready") == 0 || (degraded_too && strcmp(readiness, "degraded") == 0);
        print_reasons(doc, reasons, sizeof reasons);
        if (o->json) {
                json_object *copy = json_object_new_object();

                json_object_object_add(copy, "schema", json_object_new_string("iicp.check/1"));
                json_object_object_add(copy, "ok", json_object_new_boolean(ok));
                json_object_object_add(copy, "liveness", json_object_new_string(liveness));
                json_object_object_add(copy, "readiness", json_object_new_string(readiness));
                json_object_object_add(copy, "age_s", json_object_new_int64(age_s));
                json_object_object_add(copy, "reason_codes", json_object_get(json_object_object_get(doc, "reason_codes")));
                puts(json_object_to_json_string_ext(copy, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
                json_object_put(copy);
        } else
                printf("%s, %s%s%s\n", liveness, readiness, *reasons ? ": " : "", reasons);
        return ok ? CHECK_LIVE : CHECK_NOT;
}

int cmd_check(const struct options *o, int argc, char **argv) {
        bool ready = false, degraded_too = false;
        char path[512], message[640];
        json_object *doc;
        struct stat st;
        int fd, r;

        for (int i = 0; i < argc; i++)
                if (strcmp(argv[i], "--ready") == 0)
                        ready = true;
                else if (strcmp(argv[i], "--allow-degraded") == 0)
                        degraded_too = true;
                else {
                        snprintf(message, sizeof message, "unexpected argument '%.64s'", argv[i]);
                        tell_error(o, "usage", message, "iicpctl check [--ready [--allow-degraded]]");
                        return CHECK_UNKNOWN;
                }
        fd = open_snapshot(o->socket, path, sizeof path);
        if (fd < 0) {
                snprintf(message, sizeof message, "no health snapshot at %s: %s", path, strerror(errno));
                tell_error(o, "unknown", message,
                           errno == EACCES ? "run it as root or as the daemon's user" : "is iicpd running?");
                return CHECK_UNKNOWN;
        }
        doc = fstat(fd, &st) == 0 ? read_snapshot(fd) : NULL;
        close(fd);
        if (!doc) {
                snprintf(message, sizeof message, "%s is no health snapshot", path);
                tell_error(o, "unknown", message, "is another program writing there?");
                return CHECK_UNKNOWN;
        }
        r = judge(o, doc, (long) (time(NULL) - st.st_mtime), ready, degraded_too);
        json_object_put(doc);
        return r;
}
