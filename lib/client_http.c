/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"
#include "client-internal.h"
#include "client-resolve.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#define IICP_URL_TEXT_MAX 599 /* of a node */

/* One exchange at a time over libcurl's multi interface, so that a cancel is noticed. */
struct iicp_http {
        CURLM *multi;
        char *ca_file;
        const atomic_bool *cancel;
};

/* An exchange under way. */
struct http_run {
        const struct iicp_http_request *rq;
        struct iicp_http_answer *a;
        struct iicp_addresses pinned;
        bool too_large, refused;
        bool streams; /* a 200 whose body goes to on_piece */
        char location[IICP_REDIRECT_URL_MAX];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void) {
        (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}

int64_t iicp_clock_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct iicp_http *iicp_http_new(const char *ca_file, const atomic_bool *cancel) {
        struct iicp_http *h = calloc(1, sizeof(*h));

        if (!h)
                return NULL;
        pthread_once(&curl_once, init_curl);
        h->cancel = cancel;
        h->multi = curl_multi_init();
        if (ca_file)
                h->ca_file = strdup(ca_file);
        if (!h->multi || (ca_file && !h->ca_file))
                return iicp_http_free(h);
        return h;
}

struct iicp_http *iicp_http_free(struct iicp_http *h) {
        if (!h)
                return NULL;
        if (h->multi)
                curl_multi_cleanup(h->multi);
        free(h->ca_file);
        free(h);
        return NULL;
}

void iicp_http_answer_done(struct iicp_http_answer *a) {
        iicp_buf_wipe(&a->body);
        *a = (struct iicp_http_answer){0};
}

int iicp_http_wait(struct iicp_http *h, int64_t ms) {
        int64_t until = iicp_clock_ms() + ms, left;

        while (!atomic_load(h->cancel)) {
                left = until - iicp_clock_ms();
                if (left <= 0)
                        return 0;
                (void) poll(NULL, 0, (int) MIN(left, (int64_t) IICP_CANCEL_POLL_MS));
        }
        return -ECANCELED;
}

/* ---- callbacks of libcurl ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
        struct http_run *run = arg;

        (void) size;
        if (run->streams)
                return run->rq->on_piece(run->rq->arg, (struct iicp_str){p, n}) ? n : 0;
        if (run->a->body.n + n > run->rq->body_max) {
                run->too_large = true;
                return 0;
        }
        iicp_buf_add(&run->a->body, p, n);
        return run->a->body.error ? 0 : n;
}

static bool header_is(struct iicp_str line, const char *name, struct iicp_str *ret) {
        size_t n = strlen(name);

        if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n))
                return false;
        line.p += n + 1;
        line.n -= n + 1;
        while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
                line.p++, line.n--;
        while (line.n > 0 && strchr(" \t\r\n", line.p[line.n - 1]))
                line.n--;
        *ret = line;
        return true;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
        struct http_run *run = arg;
        struct iicp_str line = {p, n}, value;

        (void) size;
        if (n > 5 && !memcmp(p, "HTTP/", 5)) {
                const char *status = memchr(p, ' ', n);

                run->streams = run->rq->on_piece && status && (size_t) (p + n - status) > 4 &&
                               !memcmp(status, " 200", 4);
                run->a->retry_after[0] = '\0';
                run->a->encoded = false;
        } else if (header_is(line, "retry-after", &value)) {
                if (value.n < sizeof(run->a->retry_after))
                        snprintf(run->a->retry_after, sizeof(run->a->retry_after), "%.*s",
                                 (int) value.n, value.p);
        } else if (header_is(line, "content-encoding", &value))
                run->a->encoded =
                        value.n > 0 && !(value.n == 8 && !strncasecmp(value.p, "identity", 8));
        return n;
}

static bool same_address(const struct sockaddr *a, const struct sockaddr_storage *b) {
        if (a->sa_family != b->ss_family)
                return false;
        if (a->sa_family == AF_INET)
                return !memcmp(&((const struct sockaddr_in *) (const void *) a)->sin_addr,
                               &((const struct sockaddr_in *) (const void *) b)->sin_addr, 4);
        return a->sa_family == AF_INET6 &&
               !memcmp(&((const struct sockaddr_in6 *) (const void *) a)->sin6_addr,
                       &((const struct sockaddr_in6 *) (const void *) b)->sin6_addr, 16);
}

/* The last word on where a provider connection goes, whatever the resolver says meanwhile. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
        struct http_run *run = arg;
        bool known = false;

        (void) purpose;
        for (size_t i = 0; i < run->pinned.n && !known; i++)
                known = same_address(&address->addr, &run->pinned.v[i]);
        if (!known || (!run->rq->allow_private &&
                       iicp_endpoint_addr_allowed(&address->addr, IICP_ENDPOINT_DIAL) < 0)) {
                run->refused = true;
                return CURL_SOCKET_BAD;
        }
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- addresses ---- */

static enum iicp_http_fault refuse(struct http_run *run, const char *why) {
        snprintf(run->a->reason, sizeof(run->a->reason), "%s", why);
        return IICP_HTTP_REFUSED;
}

/* Rules 1 to 3 of 06 section 10.4; fills the pinned list. */
static enum iicp_http_fault check_provider(struct iicp_http *h, struct http_run *run,
                                           const char *text, int64_t until_ms,
                                           struct iicp_url *url) {
        int r;

        if (iicp_url_parse(iicp_str(text), url) < 0)
                return refuse(run, "the address of the node is malformed");
        if (!run->rq->allow_private && iicp_endpoint_host_allowed(url, IICP_ENDPOINT_DIAL) < 0)
                return refuse(run, "the address of the node is not public");
        r = iicp_resolve(url->host, url->port, until_ms, h->cancel, &run->pinned);
        if (r == -ECANCELED)
                return IICP_HTTP_CANCELLED;
        if (r == -ENOMEM)
                return IICP_HTTP_NO_MEMORY;
        if (r < 0) {
                snprintf(run->a->reason, sizeof(run->a->reason), "%s",
                         r == -ETIMEDOUT ? "name resolution took too long" : "name not found");
                return r == -ETIMEDOUT ? IICP_HTTP_TIMEOUT : IICP_HTTP_FAILED;
        }
        for (size_t i = 0; i < run->pinned.n && !run->rq->allow_private; i++)
                if (iicp_endpoint_addr_allowed((const struct sockaddr *) &run->pinned.v[i],
                                               IICP_ENDPOINT_DIAL) < 0)
                        return refuse(
                                run, "the name of the node leads to an address that is not public");
        return IICP_HTTP_OK;
}

static struct curl_slist *pin(const struct iicp_url *url, const struct iicp_addresses *a) {
        struct iicp_buf b = {0};
        struct curl_slist *list = NULL;
        char text[INET6_ADDRSTRLEN];

        iicp_buf_printf(&b, "%s:%u:", url->host, url->port);
        for (size_t i = 0; i < a->n; i++) {
                bool six = a->v[i].ss_family == AF_INET6;
                const void *src =
                        six ? (const void *) &((const struct sockaddr_in6 *) &a->v[i])->sin6_addr
                            : (const void *) &((const struct sockaddr_in *) &a->v[i])->sin_addr;

                inet_ntop(a->v[i].ss_family, src, text, sizeof(text));
                iicp_buf_printf(&b, six ? "%s[%s]" : "%s%s", i ? "," : "", text);
        }
        if (!b.error)
                list = curl_slist_append(NULL, b.p);
        iicp_buf_free(&b);
        return list;
}

/* ---- one request ---- */

static const char *reason_of(CURLcode code) {
        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return "name not found";
        case CURLE_COULDNT_CONNECT:
                return "connection refused or no route";
        case CURLE_PEER_FAILED_VERIFICATION:
                return "the certificate does not verify";
        case CURLE_SSL_CONNECT_ERROR:
                return "no TLS 1.3 handshake";
        case CURLE_GOT_NOTHING:
                return "connection closed without an answer";
        case CURLE_PARTIAL_FILE:
        case CURLE_RECV_ERROR:
                return "connection closed within the answer";
        case CURLE_OPERATION_TIMEDOUT:
                return "no answer in time";
        default:
                return curl_easy_strerror(code);
        }
}

static void set_options(struct iicp_http *h, struct http_run *run, CURL *e, const char *url,
                        struct curl_slist *headers, struct curl_slist *pinned, int64_t left_ms) {
        const struct iicp_http_request *rq = run->rq;

        curl_easy_setopt(e, CURLOPT_URL, url);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(e, CURLOPT_USERAGENT, "iicp-client-c/" PACKAGE_VERSION);
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
        /* always set, so that no environment variable has a say */
        curl_easy_setopt(e, CURLOPT_PROXY, rq->proxy && !rq->provider ? rq->proxy : "");
        curl_easy_setopt(e, CURLOPT_NOPROXY, "");
        curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(e, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_3);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
        if (h->ca_file)
                curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file);
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long) left_ms);
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                         (long) MIN(left_ms, (int64_t) IICP_CONNECT_TIMEOUT_MS));
        curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(e, CURLOPT_WRITEDATA, run);
        curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(e, CURLOPT_HEADERDATA, run);
        if (rq->body) {
                curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) rq->body->n);
                curl_easy_setopt(e, CURLOPT_POSTFIELDS, rq->body->p);
        }
        if (rq->provider) {
                /* A reused connection would let libcurl repeat a request on its own when the
                 * connection turns out to be dead, and would skip the address check. */
                curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
                curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
                curl_easy_setopt(e, CURLOPT_RESOLVE, pinned);
                curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
                curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, run);
        }
}

/* Drives the transfer; true with its result, false when cancelled. */
static bool drive(struct iicp_http *h, CURL *e, CURLcode *ret) {
        int running = 1, left;
        bool done = false;
        CURLMsg *m;

        *ret = CURLE_FAILED_INIT;
        if (curl_multi_add_handle(h->multi, e) != CURLM_OK)
                return true;
        while (!done && !atomic_load(h->cancel)) {
                if (curl_multi_perform(h->multi, &running) != CURLM_OK)
                        break;
                while ((m = curl_multi_info_read(h->multi, &left)))
                        if (m->msg == CURLMSG_DONE && m->easy_handle == e) {
                                *ret = m->data.result;
                                done = true;
                        }
                if (!done)
                        (void) curl_multi_poll(h->multi, NULL, 0, IICP_CANCEL_POLL_MS, NULL);
        }
        curl_multi_remove_handle(h->multi, e);
        return done || !atomic_load(h->cancel);
}

static enum iicp_http_fault fault_of(struct http_run *run, CURLcode code, int64_t until_ms) {
        if (run->too_large)
                return IICP_HTTP_TOO_LARGE;
        if (run->refused)
                return refuse(run, "the node's address changed to one that is not allowed");
        if (code == CURLE_OK)
                return IICP_HTTP_OK;
        snprintf(run->a->reason, sizeof(run->a->reason), "%s", reason_of(code));
        if (code == CURLE_OUT_OF_MEMORY || run->a->body.error == -ENOMEM)
                return IICP_HTTP_NO_MEMORY;
        /* a connect that timed out is a failed connect; only the whole budget is a timeout */
        if (code == CURLE_OPERATION_TIMEDOUT && iicp_clock_ms() + 1 >= until_ms)
                return IICP_HTTP_TIMEOUT;
        return IICP_HTTP_FAILED;
}

static struct curl_slist *make_headers(const struct iicp_http_request *rq) {
        struct curl_slist *list = curl_slist_append(NULL, rq->on_piece ? "Accept: text/event-stream"
                                                                       : "Accept: application/json"),
                          *next;
        const char *fixed[] = {"Expect:", "X-IICP-Version: " IICP_WIRE_VERSION,
                               rq->body ? "Content-Type: application/json" : NULL};

        for (size_t i = 0; list && i < ARRAY_SIZE(fixed); i++) {
                next = fixed[i] ? curl_slist_append(list, fixed[i]) : list;
                if (!next)
                        goto fail;
                list = next;
        }
        for (const char *const *p = rq->headers; list && p && *p; p++) {
                next = curl_slist_append(list, *p);
                if (!next)
                        goto fail;
                list = next;
        }
        return list;
fail:
        curl_slist_free_all(list);
        return NULL;
}

static enum iicp_http_fault exchange(struct iicp_http *h, struct http_run *run, const char *url,
                                     int64_t until_ms) {
        struct curl_slist *headers = NULL, *pinned = NULL;
        enum iicp_http_fault fault = IICP_HTTP_OK;
        struct iicp_url parsed;
        char origin[300], full[600];
        CURL *e = NULL;
        CURLcode code;
        curl_off_t t = 0, up = 0;
        long status = 0;
        char *to = NULL;
        int64_t left;

        if (run->rq->provider) {
                fault = check_provider(h, run, url, until_ms, &parsed);
                if (fault != IICP_HTTP_OK)
                        return fault;
                if (iicp_url_origin(&parsed, origin, sizeof(origin)) < 0)
                        return refuse(run, "the address of the node is malformed");
                snprintf(full, sizeof(full), "%s%s", origin, parsed.path);
                url = full;
                pinned = pin(&parsed, &run->pinned);
        }
        left = until_ms - iicp_clock_ms();
        e = curl_easy_init();
        headers = make_headers(run->rq);
        if (!e || !headers || (run->rq->provider && !pinned))
                fault = IICP_HTTP_NO_MEMORY;
        else if (left <= 0)
                fault = IICP_HTTP_TIMEOUT;
        if (fault == IICP_HTTP_OK) {
                set_options(h, run, e, url, headers, pinned, left);
                fault = drive(h, e, &code) ? fault_of(run, code, until_ms) : IICP_HTTP_CANCELLED;
                curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
                curl_easy_getinfo(e, CURLINFO_PRETRANSFER_TIME_T, &t);
                curl_easy_getinfo(e, CURLINFO_SIZE_UPLOAD_T, &up);
                curl_easy_getinfo(e, CURLINFO_REDIRECT_URL, &to);
                run->a->status = (int) status;
                run->a->sent = run->a->sent || t > 0;
                run->a->sent_all = run->a->sent_all || status > 0 ||
                                   (t > 0 && run->rq->body && (size_t) up >= run->rq->body->n);
                snprintf(run->location, sizeof(run->location), "%s", to ? to : "");
                if (to && strlen(to) >= sizeof(run->location))
                        run->location[0] = '\0';
        }
        if (e)
                curl_easy_cleanup(e);
        curl_slist_free_all(headers);
        curl_slist_free_all(pinned);
        return fault;
}

/* ---- redirects ---- */

/* A provider may point to itself only: same scheme, host and port. [06 section 10.4] */
static enum iicp_http_fault follow_provider(struct http_run *run, const char *from, int hops, char *url) {
        int status = run->a->status;

        if (hops == IICP_REDIRECTS_MAX || (status != 307 && status != 308) ||
            !iicp_same_origin(iicp_str(from), iicp_str(run->location)))
                return IICP_HTTP_REDIRECT_REFUSED;
        snprintf(url, IICP_REDIRECT_URL_MAX, "%s", run->location);
        return IICP_HTTP_OK;
}

static enum iicp_http_fault follow_directory(struct http_run *run, char *url) {
        const struct iicp_http_request *rq = run->rq;
        struct iicp_redirect_step step;

        switch (iicp_redirect(rq->redirect, run->a->status, rq->path, iicp_str(run->location),
                              iicp_str(run->a->retry_after), &step)) {
        case IICP_REDIRECT_FOLLOW:
                memcpy(url, step.url, sizeof(step.url));
                memcpy(run->a->base, step.base, sizeof(step.base));
                run->a->base_ms = step.base_ms;
                return IICP_HTTP_OK;
        case IICP_REDIRECT_ASK_SEED:
                run->a->wait_ms = step.wait_ms;
                return IICP_HTTP_ASK_SEED;
        default:
                return IICP_HTTP_REDIRECT_REFUSED;
        }
}

enum iicp_http_fault iicp_http_perform(struct iicp_http *h, const struct iicp_http_request *rq,
                                       struct iicp_http_answer *ret) {
        int64_t until = iicp_clock_ms() + rq->budget_ms;
        struct http_run run = {.rq = rq, .a = ret};
        char url[IICP_REDIRECT_URL_MAX];
        enum iicp_http_fault fault;

        *ret = (struct iicp_http_answer){.body = {.max = rq->body_max + 1}};
        if (rq->provider && strlen(rq->url) > IICP_URL_TEXT_MAX)
                return refuse(&run, "the address of the node is too long");
        for (int hops = 0;; hops++) {
                /* a directory URL carries its query and may be longer than `url` */
                const char *from = hops ? url : rq->url;

                fault = exchange(h, &run, from, until);
                ret->away = rq->redirect &&
                            !iicp_same_origin(iicp_str(from), iicp_str(rq->redirect->base));
                if (fault != IICP_HTTP_OK || ret->status < 300 || ret->status > 399)
                        return fault;
                /* any other 3xx of a directory is an answer without success */
                if (!rq->provider && (ret->status != 307 || !rq->redirect))
                        return IICP_HTTP_OK;
                fault = rq->provider ? follow_provider(&run, from, hops, url) : follow_directory(&run, url);
                if (fault != IICP_HTTP_OK) {
                        snprintf(ret->reason, sizeof(ret->reason), "redirect refused");
                        return fault;
                }
                iicp_buf_wipe(&ret->body);
                ret->body = (struct iicp_buf){.max = rq->body_max + 1};
        }
}
