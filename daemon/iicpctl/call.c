/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "build-config.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <iicp/buf.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t) 4 * 1024 * 1024) /* bytes */

void tell_error(const struct options *o, const char *code, const char *message, const char *todo) {
        struct iicp_buf b = {0};

        if (o->quiet)
                return;
        if (!o->json) {
                fprintf(stderr, "iicpctl: %s%s%s\n", message, todo[0] ? ": " : "", todo);
                return;
        }
        iicp_buf_puts(&b, "{\"schema\":\"iicp.error/1\",\"error\":{\"code\":");
        iicp_buf_json_str(&b, iicp_str(code));
        iicp_buf_puts(&b, ",\"message\":");
        iicp_buf_json_str(&b, iicp_str(message));
        iicp_buf_puts(&b, ",\"do\":");
        iicp_buf_json_str(&b, iicp_str(todo));
        iicp_buf_puts(&b, "}}");
        puts(b.p ? b.p : "{}");
        iicp_buf_free(&b);
}

const char *text_of(json_object *o, const char *name) {
        json_object *v = NULL;

        if (!o || !json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v) || !v)
                return "";
        return json_object_get_string(v);
}

static void no_permission(const struct options *o) {
        char message[256], todo[192];
        const char *group = NULL;
        struct passwd *me = getpwuid(geteuid());
        struct stat st;

        if (stat(o->socket, &st) == 0) {
                struct group *g = getgrgid(st.st_gid);

                if (g && st.st_gid != 0 && (st.st_mode & 0060) == 0060)
                        group = g->gr_name;
        }
        snprintf(message, sizeof(message), "no permission for %s (you are %s)", o->socket,
                 me ? me->pw_name : "unknown");
        if (group)
                snprintf(todo, sizeof(todo), "sudo iicpctl ..., or sudo usermod -aG %s %s and log in again", group,
                         me ? me->pw_name : "YOU");
        else
                snprintf(todo, sizeof(todo), "sudo iicpctl ...");
        tell_error(o, "no_permission", message, todo);
}

/* Tries to connect, to tell the reasons apart before HTTP is spoken. */
static int reach(const struct options *o) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        char message[256];
        int fd, r = 0;

        if (strlen(o->socket) >= sizeof(addr.sun_path)) {
                tell_error(o, "usage", "the socket's path is too long", "");
                return EXIT_USAGE;
        }
        strcpy(addr.sun_path, o->socket);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) < 0)
                r = errno;
        if (fd >= 0)
                close(fd);
        if (r == 0)
                return EXIT_DONE;
        if (r == EACCES || r == EPERM) {
                no_permission(o);
                return EXIT_PERMISSION;
        }
        snprintf(message, sizeof(message), "iicpd is not running (%s: %s)", o->socket, strerror(r));
        tell_error(o, "not_running", message,
                   "systemctl status iicpd; another socket: iicpctl -s PATH");
        return EXIT_NOT_RUNNING;
}

static size_t collect(char *p, size_t size, size_t n, void *arg) {
        struct iicp_buf *b = arg;

        iicp_buf_add(b, p, size * n);
        return b->error ? 0 : size * n;
}

int call(const struct options *o, const char *method, const char *path, const char *body, struct answer *ret) {
        struct iicp_buf b = {.max = ANSWER_MAX};
        struct curl_slist *headers = NULL;
        char url[256], message[128];
        CURLcode code;
        CURL *curl;
        int r = reach(o);

        *ret = (struct answer){0};
        if (r != EXIT_DONE)
                return r;
        curl = curl_easy_init();
        if (!curl)
                return EXIT_REFUSED;
        snprintf(url, sizeof(url), "http://iicpd%s", path);
        headers = curl_slist_append(headers, "Content-Type: application/json");
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, o->socket);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, o->timeout_s);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &b);
        if (body) {
                curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        }
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
        curl_easy_cleanup(curl);
        curl_slist_free_all(headers);
        if (code != CURLE_OK) {
                iicp_buf_free(&b);
                snprintf(message, sizeof(message), "no answer in %ld s", o->timeout_s);
                tell_error(o, "no_answer", code == CURLE_OPERATION_TIMEDOUT ? message : curl_easy_strerror(code),
                           "the process is alive but does not answer; journalctl -u iicpd");
                return EXIT_NO_ANSWER;
        }
        ret->text = iicp_buf_take(&b, NULL);
        ret->doc = ret->text ? json_tokener_parse(ret->text) : NULL;
        return EXIT_DONE;
}

void answer_done(struct answer *a) {
        json_object_put(a->doc);
        free(a->text);
        *a = (struct answer){0};
}

int tell_refusal(const struct options *o, const struct answer *a) {
        json_object *error = NULL;

        if (a->doc)
                json_object_object_get_ex(a->doc, "error", &error);
        if (o->json)
                puts(a->text ? a->text : "{}");
        else if (error)
                fprintf(stderr, "iicpctl: %s: %s\n", text_of(error, "message"), text_of(error, "do"));
        else
                fprintf(stderr, "iicpctl: the daemon answered %ld\n", a->status);
        return a->status == 403 ? EXIT_PERMISSION : EXIT_REFUSED;
}
