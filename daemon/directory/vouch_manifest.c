/* SPDX-License-Identifier: Apache-2.0 */
#include "vouch_internal.h"

#include "log.h"
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <iicp/endpoint.h>
#include <iicp/time.h>
#include <stdarg.h>
#include <stdio.h>

/* The policy manifest: what the operator declares must be true of this node. [05 sections 10, 14.5] */

static void __attribute__((format(printf, 2, 3))) fault(struct vouch *v, const char *fmt, ...) {
        char text[VOUCH_WHY];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        if (strcmp(text, v->manifest_why) == 0)
                return;
        snprintf(v->manifest_why, sizeof v->manifest_why, "%s", text);
        log_warn("manifest_left_out", "the policy manifest is not declared: %s", text);
}

static int read_file(const char *path, struct iicp_buf *out) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        char *p;
        ssize_t n;

        if (fd < 0)
                return -errno;
        out->max = IICP_MANIFEST_FILE_MAX + 4096;
        for (;;) {
                p = iicp_buf_reserve(out, 4096);
                if (!p)
                        return -EFBIG;
                n = read(fd, p, 4096);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                out->n += (size_t) n;
                out->p[out->n] = '\0';
                if (out->n > IICP_MANIFEST_FILE_MAX)
                        return -EFBIG;
        }
        return 0;
}

/* "api.example.com" is named by an entry that holds "example". */
static bool names_host(const struct iicp_json *list, const char *host) {
        struct iicp_json_iter it;
        struct iicp_json item;
        char text[256], label[256];
        const char *end = strrchr(host, '.'), *from = end;

        while (from && from > host && from[-1] != '.')
                from--;
        snprintf(label, sizeof label, "%.*s", from ? (int) (end - from) : (int) strlen(host), from ? from : host);
        if (list->type != IICP_JSON_ARRAY)
                return false;
        iicp_json_iter_init(&it, list);
        while (iicp_json_next(&it, NULL, &item))
                if (iicp_json_copy(&item, text, sizeof text) == 0 && (strcasestr(text, label) || strcasestr(text, host)))
                        return true;
        return false;
}

/* Somebody else's machine: a name with a dot that is no address of a private network. */
static bool is_hosted(const struct config_backend *b, struct iicp_url *ret) {
        struct in_addr v4;

        if (b->type == BACKEND_DEMO || !b->url || iicp_url_parse(iicp_str(b->url), ret) < 0)
                return false;
        if (inet_pton(AF_INET, ret->host, &v4) == 1 || ret->ipv6)
                return iicp_endpoint_host_allowed(ret, IICP_ENDPOINT_DIAL) == 0;
        return strchr(ret->host, '.') && iicp_endpoint_host_allowed(ret, IICP_ENDPOINT_DIAL) == 0;
}

/* Payloads are read by whoever runs the model and kept by nobody here. */
static bool is_true_of_us(struct vouch *v, const struct iicp_json *m) {
        const struct config *c = v->node->config;
        struct iicp_json reads = iicp_json_get(m, "remote_executor_can_read_prompt");
        struct iicp_json retention = iicp_json_get(m, "retention"), list = iicp_json_get(m, "subprocessors");
        struct iicp_json payload = iicp_json_get(&retention, "task_payload");
        struct iicp_url url;

        if (reads.type != IICP_JSON_TRUE) {
                fault(v, "remote_executor_can_read_prompt must be true: this node reads the tasks that it runs");
                return false;
        }
        if (payload.type != IICP_JSON_NONE && !iicp_json_is(&payload, "none")) {
                fault(v, "retention.task_payload must be none: this node keeps no task");
                return false;
        }
        for (size_t i = 0; i < c->n_backends; i++)
                if (is_hosted(&c->backends[i], &url) && !names_host(&list, url.host)) {
                        fault(v, "%s runs tasks for this node and is no subprocessor in it", url.host);
                        return false;
                }
        return true;
}

bool vouch_manifest_good(struct vouch *v, int64_t now_s) {
        if (v->manifest.n == 0)
                return false;
        if (v->manifest_expires > 0 && v->manifest_expires <= now_s) {
                fault(v, "its signature has ended; sign it again");
                return false;
        }
        return true;
}

/* Of a signature that stands in the file. */
static bool take_signature(struct vouch *v, const struct iicp_json *m) {
        int64_t now = clock_wall_s(v->node->clock);
        enum iicp_manifest_status status = iicp_manifest_check(m, now, &v->manifest_expires);
        char when[IICP_TIME_TEXT];

        if (status == IICP_MANIFEST_SELF_ATTESTED)
                return true;
        if (status != IICP_MANIFEST_SIGNED_VALID) {
                fault(v, "its signature is %s", iicp_manifest_status_name(status) + strlen("signed_"));
                return false;
        }
        iicp_time_text(v->manifest_expires, when);
        if (v->manifest_expires - now < IICP_MANIFEST_RENEW_S && !v->node->config->operator_identity.ref)
                log_warn("manifest_expiring", "the signature of the policy manifest ends at %s: sign it again, or give "
                         "operator.identity", when);
        return true;
}

void vouch_manifest_read(struct vouch *v) {
        const char *path = v->node->config->policy_manifest, *wrong;
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        struct iicp_json m;
        int r;

        iicp_buf_free(&v->manifest);
        iicp_buf_free(&v->manifest_plain);
        v->manifest_expires = 0;
        if (!path) {
                v->manifest_why[0] = '\0';
                return;
        }
        r = read_file(path, &text);
        if (r < 0) {
                fault(v, "policy.manifest cannot be read: %s", r == -EFBIG ? "larger than 64 KiB" : strerror(-r));
                return;
        }
        r = iicp_json_scan(iicp_buf_str(&text), NULL, NULL, &m);
        if (r < 0) {
                fault(v, r == -EEXIST ? "it has a member twice" : "policy.manifest is no JSON");
                return;
        }
        wrong = iicp_manifest_lint(&m);
        if (wrong) {
                fault(v, "%s", wrong);
                return;
        }
        if (!is_true_of_us(v, &m))
                return;
        iicp_buf_add_str(&v->manifest_plain, m.text);
        if (!take_signature(v, &m)) {
                /* With the seed it is signed anew, whatever it bore before. */
                if (!v->node->config->operator_identity.ref)
                        iicp_buf_free(&v->manifest_plain);
                v->manifest_expires = 0;
                return;
        }
        v->manifest_why[0] = '\0';
        iicp_buf_add_str(&v->manifest, m.text);
}

void vouch_manifest_take(struct vouch *v, struct iicp_buf *signed_) {
        struct iicp_json m;

        if (signed_->n == 0 || iicp_json_scan(iicp_buf_str(signed_), NULL, NULL, &m) < 0 ||
            iicp_manifest_check(&m, clock_wall_s(v->node->clock), &v->manifest_expires) != IICP_MANIFEST_SIGNED_VALID)
                return;
        iicp_buf_free(&v->manifest);
        v->manifest = *signed_;
        *signed_ = (struct iicp_buf){0};
        v->manifest_why[0] = '\0';
}
