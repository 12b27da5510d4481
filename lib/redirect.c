/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/redirect.h>

#include "util.h"

#include <iicp/endpoint.h>
#include <stdio.h>

#define REMEMBER_S_DEFAULT 5
#define WAIT_MS_MIN 1000u
#define SECONDS_MAX 86400

/* Scheme and authority of a URL whose path and query do not matter. */
static bool origin_of(struct iicp_str url, struct iicp_url *ret) {
        const char *slashes = url.n > 8 ? memmem(url.p, MIN(url.n, (size_t) 10), "://", 3) : NULL;
        size_t n;

        if (!slashes)
                return false;
        n = (size_t) (slashes - url.p) + 3;
        while (n < url.n && !strchr("/?#", url.p[n]))
                n++;
        return iicp_url_parse((struct iicp_str){url.p, n}, ret) == 0;
}

static bool same(const struct iicp_url *a, const struct iicp_url *b) {
        return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool iicp_same_origin(struct iicp_str a, struct iicp_str b) {
        struct iicp_url x, y;

        return origin_of(a, &x) && origin_of(b, &y) && same(&x, &y);
}

static bool listed(const struct iicp_redirect_call *c, const struct iicp_url *target) {
        struct iicp_url url;

        for (const char *const *p = c->origins; p && *p; p++)
                if (origin_of(iicp_str(*p), &url) && same(&url, target))
                        return true;
        return false;
}

static bool visible(struct iicp_str s) {
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == '\\' || s.p[i] == '#')
                        return false;
        return s.n > 0;
}

/* Whole seconds, -1 = none or another form. */
static int64_t seconds(struct iicp_str s) {
        int64_t v = 0;

        if (s.n == 0 || s.n > 9)
                return -1;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return -1;
                v = v * 10 + (s.p[i] - '0');
        }
        return MIN(v, (int64_t) SECONDS_MAX);
}

/* What the Location has before the path that was asked for is where the next reads may go. */
static void remember(const char *path, struct iicp_str location, int64_t retry_s,
                     struct iicp_redirect_step *step) {
        size_t n = strcspn(path, "?"), end = 0, base;

        while (end < location.n && location.p[end] != '?')
                end++;
        if (end < n || memcmp(location.p + end - n, path, n) != 0)
                return;
        base = end - n;
        if (base >= sizeof(step->base))
                return;
        memcpy(step->base, location.p, base);
        step->base[base] = '\0';
        step->base_ms = (uint32_t) (retry_s < 0 ? REMEMBER_S_DEFAULT : retry_s) * 1000;
        if (step->base_ms == 0)
                step->base[0] = '\0';
}

static enum iicp_redirect_verdict elsewhere(struct iicp_redirect_call *c, int64_t retry_s,
                                            struct iicp_redirect_step *step) {
        if (c->kind != IICP_REDIRECT_READ || c->returns >= IICP_REDIRECT_RETURNS_MAX ||
            retry_s * 1000 > IICP_REDIRECT_WAIT_MS_MAX)
                return IICP_REDIRECT_REFUSED;
        c->returns++;
        c->hops = 0;
        step->wait_ms = MAX(WAIT_MS_MIN, (uint32_t) MAX(retry_s, (int64_t) 0) * 1000);
        return IICP_REDIRECT_ASK_SEED;
}

enum iicp_redirect_verdict iicp_redirect(struct iicp_redirect_call *c, int status, const char *path,
                                         struct iicp_str location, struct iicp_str retry_after,
                                         struct iicp_redirect_step *ret) {
        struct iicp_redirect_step step = {0};
        struct iicp_url base, target;
        int64_t retry_s = seconds(retry_after);
        enum iicp_redirect_verdict v = IICP_REDIRECT_FOLLOW;
        bool home;

        if (status != 307 || c->hops >= IICP_REDIRECT_HOPS_MAX || location.n >= sizeof(step.url) ||
            !visible(location) || !origin_of(iicp_str(c->base), &base) ||
            !origin_of(location, &target) || (!target.https && base.https))
                return IICP_REDIRECT_FAILED;
        home = same(&base, &target);
        if (!home && (c->kind == IICP_REDIRECT_ANCHOR || !listed(c, &target)))
                v = elsewhere(c, retry_s, &step);
        if (v == IICP_REDIRECT_FOLLOW) {
                memcpy(step.url, location.p, location.n);
                c->hops++;
                if (!home && c->kind == IICP_REDIRECT_READ)
                        remember(path, location, retry_s, &step);
        }
        *ret = step;
        return v;
}
