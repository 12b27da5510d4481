/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <curl/curl.h>
#include <getopt.h>
#include <iicp/buf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192 /* of one event */
#define AGAIN_S 1           /* before a stream that broke is asked for again */
#define SILENCE_S 45        /* the daemon says that it is alive every 15 s */

/* Server-sent events, read line by line as they come. */
struct follow {
        const struct options *o;
        struct iicp_buf line;
        char last[24];          /* id of the last event */
        bool lagged;
        long status;
};

/* Foreign text on a terminal: nothing in it may steer it. */
static void put_safe(const char *text) {
        for (; *text; text++)
                putchar((unsigned char) *text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_event(const struct follow *f, const char *data) {
        json_object *doc = json_tokener_parse(data);
        const char *message = text_of(doc, "message");

        if (f->o->json)
                puts(data);
        else if (strcmp(text_of(doc, "type"), "task") == 0) {
                printf("%.19sZ %-9s %-16s %.8s %s%s%s", text_of(doc, "at"), "task", text_of(doc, "event"), text_of(doc, "task_id"),
                       text_of(doc, "model"), text_of(doc, "status")[0] ? " " : "", text_of(doc, "status"));
                if (text_of(doc, "took_ms")[0])
                        printf(" after %s ms", text_of(doc, "took_ms"));
                putchar('\n');
        } else {
                printf("%.19sZ %-9s %-16s ", text_of(doc, "at"), text_of(doc, "type"), text_of(doc, "event"));
                put_safe(message);
                putchar('\n');
        }
        json_object_put(doc);
}

static void on_line(struct follow *f, const char *line) {
        if (strncmp(line, "id: ", 4) == 0)
                snprintf(f->last, sizeof f->last, "%s", line + 4);
        else if (strcmp(line, "event: lagged") == 0)
                f->lagged = true;
        else if (strncmp(line, "data: ", 6) == 0 && f->lagged) {
                fprintf(stderr, "iicpctl: some events are no longer kept: journalctl -u iicpd has them\n");
                f->lagged = false;
        } else if (strncmp(line, "data: ", 6) == 0) {
                put_event(f, line + 6);
        }
}

static size_t on_bytes(char *p, size_t size, size_t n, void *arg) {
        struct follow *f = arg;

        for (size_t i = 0; i < size * n; i++) {
                if (p[i] != '\n') {
                        iicp_buf_add(&f->line, p + i, 1);
                        continue;
                }
                if (f->line.n > 0 && !f->line.error) /* an empty line ends an event: nothing to do */
                        on_line(f, f->line.p);
                f->line.n = 0;
                f->line.error = 0;
        }
        return fflush(stdout) == EOF ? 0 : size * n; /* whoever read this is gone */
}

static CURLcode stream(struct follow *f, const char *url) {
        struct curl_slist *headers = NULL;
        CURL *curl = curl_easy_init();
        char last[64];
        CURLcode code;

        if (!curl)
                return CURLE_FAILED_INIT;
        if (f->last[0]) {
                snprintf(last, sizeof last, "Last-Event-ID: %s", f->last);
                headers = curl_slist_append(NULL, last);
        }
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, f->o->socket);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long) SILENCE_S);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &f->status);
        curl_easy_cleanup(curl);
        curl_slist_free_all(headers);
        return code;
}

static int finish(const struct follow *f, CURLcode code) {
        if (f->status == 422) {
                tell_error(f->o, "usage", "--since or --type cannot be read",
                           "--since 90s, 10min, 1h; --type node,route,backend,directory,relay,config,limit,task");
                return EXIT_USAGE;
        }
        if (code == CURLE_OK || code == CURLE_WRITE_ERROR)
                return EXIT_DONE;
        tell_error(f->o, "no_answer", curl_easy_strerror(code), "journalctl -u iicpd");
        return EXIT_NO_ANSWER;
}

/* Only what a query may hold as it is. */
static bool is_plain(const char *text) {
        return *text && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789,") == strlen(text);
}

int cmd_events(const struct options *o, int argc, char **argv) {
        static const struct option longs[] = {
                {"since", required_argument, NULL, 's'}, {"type", required_argument, NULL, 't'},
                {"tasks", no_argument, NULL, 'T'}, {"follow", no_argument, NULL, 'f'}, {0}};
        const char *since = NULL, *type = NULL;
        struct follow f = {.o = o, .line = {.max = LINE_MAX_BYTES}};
        bool follow = false, tasks = false, good = true;
        struct answer probe = {0};
        char url[256];
        CURLcode code;
        int c, r;

        optind = 0;
        opterr = 0;
        argv--;
        while ((c = getopt_long(argc + 1, argv, "f", longs, NULL)) >= 0)
                switch (c) {
                case 's': since = optarg; break;
                case 't': type = optarg; break;
                case 'T': tasks = true; break;
                case 'f': follow = true; break;
                default: good = false;
                }
        if (!good || optind <= argc || (since && !is_plain(since)) || (type && !is_plain(type))) {
                tell_error(o, "usage", "iicpctl events [-f] [--since AGE] [--type TYPE] [--tasks]", "man iicpctl");
                return EXIT_USAGE;
        }
        r = call(o, "GET", "/v1/version", NULL, &probe);
        answer_done(&probe);
        if (r != EXIT_DONE)
                return r;
        snprintf(url, sizeof url, "http://iicpd/v1/events?follow=%d%s%s%s%s%s", follow, since ? "&since=" : "", since ? since : "",
                 type ? "&types=" : "", type ? type : "", tasks ? "&tasks=1" : "");
        do {
                code = stream(&f, url);
                if (follow && (code == CURLE_OK || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_RECV_ERROR))
                        sleep(AGAIN_S);
        } while (follow && (code == CURLE_OK || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_RECV_ERROR));
        iicp_buf_free(&f.line);
        return finish(&f, code);
}
