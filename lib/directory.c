/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/directory.h>

#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <iicp/endpoint.h>
#include <iicp/intents.h>
#include <stdio.h>
#include <strings.h>

/* ---- base URL ---- */

static struct iicp_str trim(struct iicp_str s) {
        while (s.n > 0 && isspace((unsigned char) s.p[0])) {
                s.p++;
                s.n--;
        }
        while (s.n > 0 && isspace((unsigned char) s.p[s.n - 1]))
                s.n--;
        return s;
}

static void strip(char *path, const char *suffix) {
        size_t n = strlen(path), m = strlen(suffix);

        if (n >= m && strcmp(path + n - m, suffix) == 0)
                path[n - m] = '\0';
}

enum iicp_directory_url_fault iicp_directory_url(struct iicp_str text, bool allow_http,
                                                 char out[IICP_DIRECTORY_URL_MAX], bool *ret_added_api) {
        struct iicp_url url;
        char origin[300];
        bool added = false;

        if (iicp_url_parse(trim(text), &url) < 0 || iicp_url_origin(&url, origin, sizeof(origin)) < 0)
                return IICP_DIRECTORY_URL_MALFORMED;
        if (!url.https && !allow_http && !iicp_host_is_loopback(url.host))
                return IICP_DIRECTORY_URL_PLAIN;
        strip(url.path, "/v1");
        while (url.path[0] && url.path[strlen(url.path) - 1] == '/')
                url.path[strlen(url.path) - 1] = '\0';
        if (!url.path[0]) {
                strcpy(url.path, "/api");
                added = true;
        }
        snprintf(out, IICP_DIRECTORY_URL_MAX, "%s%s", origin, url.path);
        if (ret_added_api)
                *ret_added_api = added;
        return IICP_DIRECTORY_URL_OK;
}

void iicp_directory_issuer(const char *base, char out[IICP_DIRECTORY_URL_MAX]) {
        snprintf(out, IICP_DIRECTORY_URL_MAX, "%s", base);
        strip(out, "/api");
}

/* ---- availability windows ---- */

double iicp_windows_share(const struct iicp_window *w, size_t n, unsigned minute) {
        char now[6];

        if (n == 0)
                return 1.0;
        snprintf(now, sizeof(now), "%02u:%02u", minute / 60 % 24, minute % 60);
        for (size_t i = 0; i < n; i++) {
                bool from = strcmp(now, w[i].start) >= 0, to = strcmp(now, w[i].end) <= 0;
                bool spans_midnight = strcmp(w[i].start, w[i].end) > 0;

                if (spans_midnight ? from || to : from && to)
                        return w[i].share;
        }
        return 0.5;
}

unsigned iicp_windows_effective(unsigned base, double share) {
        unsigned n;

        if (base == 0 || share <= 0)
                return 0;
        n = (unsigned) ((double) base * share);
        return MAX(n, 1U);
}

/* ---- capabilities ---- */

struct traits {
        const char *intent;
        bool image, audio;
};

static bool ends_with(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && strcasecmp(s + n - m, suffix) == 0;
}

static struct traits traits_of(const char *model, const char *intent_default) {
        bool omni = strcasestr(model, "omni") != NULL;

        return (struct traits){
                .intent = strcasestr(model, "embed") ? IICP_URN_EMBEDDING : intent_default,
                .image = omni || strcasestr(model, "-vl-") || strcasestr(model, "vision") ||
                         strcasestr(model, "llava") || ends_with(model, "-vl"),
                .audio = omni || strcasestr(model, "audio") || strcasestr(model, "voxtral"),
        };
}

static struct iicp_capability *group_of(struct iicp_capabilities *c, const struct traits *t) {
        for (size_t i = 0; i < c->n; i++)
                if (strcmp(c->v[i].intent, t->intent) == 0 && c->v[i].image == t->image && c->v[i].audio == t->audio)
                        return &c->v[i];
        return NULL;
}

int iicp_capabilities_derive(const char *const *models, size_t n_models, const char *intent_default,
                             struct iicp_capabilities *ret) {
        struct iicp_capabilities c = {0};

        /* Each model makes at most one group: two intents times four sets of modalities. */
        c.v = calloc(MIN(MAX(n_models, (size_t) 1), (size_t) 8), sizeof(*c.v));
        if (!c.v)
                return -ENOMEM;
        for (size_t i = 0; i < n_models; i++) {
                struct traits t = traits_of(models[i], intent_default);
                struct iicp_capability *g = group_of(&c, &t);

                if (!g) {
                        g = &c.v[c.n];
                        *g = (struct iicp_capability){.intent = t.intent, .image = t.image, .audio = t.audio};
                        g->models = calloc(n_models, sizeof(*g->models));
                        if (!g->models) {
                                iicp_capabilities_free(&c);
                                return -ENOMEM;
                        }
                        c.n++;
                }
                g->models[g->n_models++] = models[i];
        }
        *ret = c;
        return 0;
}

void iicp_capabilities_free(struct iicp_capabilities *c) {
        for (size_t i = 0; i < c->n; i++)
                free(c->v[i].models);
        free(c->v);
        *c = (struct iicp_capabilities){0};
}
