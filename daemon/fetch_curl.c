/* SPDX-License-Identifier: Apache-2.0 */
#include "curl_library.h"
#include "fetch_internal.h"

#include "build-config.h"
#include "util.h"

#include <iicp/endpoint.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define HEADER_VALUE_MAX 256  /* bytes kept of one header */
#define LOCATION_MAX 2048     /* a directory sends a whole query along */
#define READ_BUFFER 16384     /* bytes per handle, curl's default */

struct transfer {
        struct fetch base;
        struct transfer *next, **link; /* in running or spare */
        struct curl_pool *pool;
        CURL *easy;
        struct curl_slist *headers;
        fetch_done_fn done;
        void *arg;
        bool (*on_data)(void *arg, struct iicp_str piece);
        struct iicp_buf body;
        size_t max_answer, max_stream, received, header_bytes;
        uint64_t timeout_ms;
        enum fetch_error error; /* our own reason for an abort, FETCH_OK otherwise */
        int status;
        char content_type[HEADER_VALUE_MAX], retry_after[HEADER_VALUE_MAX], server[HEADER_VALUE_MAX],
                powered_by[HEADER_VALUE_MAX], location[LOCATION_MAX], date[HEADER_VALUE_MAX];
        bool any_byte, added, cancelled, fresh, public_only;
};

struct curl_pool {
        struct loop *loop;
        struct curl_library library;
        CURLM *multi;
        struct timer timer;
        struct transfer *running, *spare;
        size_t n_spare, max_spare;
        unsigned depth; /* > 0: inside of curl, which takes no calls then */
        bool dirty;     /* something was started or cancelled meanwhile */
};

/* One for each socket that curl wants watched. */
struct watch {
        struct event ev;
        struct curl_pool *pool;
        short what;
};

static void list_put(struct transfer **head, struct transfer *f) {
        f->next = *head;
        f->link = head;
        if (f->next)
                f->next->link = &f->next;
        *head = f;
}

static void list_take(struct transfer *f) {
        *f->link = f->next;
        if (f->next)
                f->next->link = f->link;
        f->next = NULL;
        f->link = NULL;
}

/* ---- callbacks of a transfer ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
        struct transfer *f = arg;

        bool stream = f->on_data && f->status >= 200 && f->status < 300;

        n *= size;
        f->any_byte = true;
        if (f->cancelled)
                return CURL_WRITEFUNC_ERROR;
        if (n > (stream ? f->max_stream : f->max_answer) - f->received) {
                f->error = FETCH_TOO_LARGE;
                return CURL_WRITEFUNC_ERROR;
        }
        f->received += n;
        if (stream) {
                if (!f->on_data(f->arg, (struct iicp_str){p, n})) {
                        f->error = FETCH_PROTOCOL;
                        return CURL_WRITEFUNC_ERROR;
                }
                return n;
        }
        iicp_buf_add(&f->body, p, n);
        if (f->body.error) {
                f->error = f->body.error == -E2BIG ? FETCH_TOO_LARGE : FETCH_FAILED;
                return CURL_WRITEFUNC_ERROR;
        }
        return n;
}

/* Half an address would be another one: what does not fit is cut, a Location dropped. */
static void header_keep(char *out, size_t cap, const char *p, size_t n) {
        while (n && (*p == ' ' || *p == '\t')) {
                p++;
                n--;
        }
        while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' ' || p[n - 1] == '\t'))
                n--;
        if (n >= cap)
                n = cap == LOCATION_MAX ? 0 : cap - 1;
        memcpy(out, p, n);
        out[n] = 0;
}

static void headers_forget(struct transfer *f) {
        f->content_type[0] = f->retry_after[0] = f->server[0] = 0;
        f->powered_by[0] = f->location[0] = f->date[0] = 0;
}

/* What a name leads to is known here only. One private address refuses the name as a whole. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
        struct transfer *f = arg;

        (void) purpose;
        if (f->public_only && iicp_endpoint_addr_allowed(&a->addr, IICP_ENDPOINT_DIAL) < 0)
                f->error = FETCH_UNREACHABLE;
        if (f->public_only && f->error != FETCH_OK)
                return CURL_SOCKET_BAD;
        return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

static void header_named(struct transfer *f, const char *p, size_t n) {
        const struct {
                const char *name;
                size_t n;
                char *out;
                size_t cap;
        } kept[] = {
                {"content-type:", 13, f->content_type, sizeof f->content_type},
                {"retry-after:", 12, f->retry_after, sizeof f->retry_after},
                {"server:", 7, f->server, sizeof f->server},
                {"x-powered-by:", 13, f->powered_by, sizeof f->powered_by},
                {"location:", 9, f->location, sizeof f->location},
                {"date:", 5, f->date, sizeof f->date},
        };

        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (n > kept[i].n && strncasecmp(p, kept[i].name, kept[i].n) == 0) {
                        header_keep(kept[i].out, kept[i].cap, p + kept[i].n, n - kept[i].n);
                        return;
                }
}

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
        struct transfer *f = arg;
        const struct curl_library *c = &f->pool->library;

        n *= size;
        f->any_byte = true;
        f->header_bytes += n;
        if (f->cancelled || f->header_bytes > FETCH_HEADERS_MAX) {
                f->error = FETCH_PROTOCOL;
                return 0;
        }
        if (n > 12 && memcmp(p, "HTTP/", 5) == 0) {
                long status = 0;

                c->easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
                f->status = (int) status;
                headers_forget(f);
                /* Servers close after an error, some without saying so. [02 section 10.10 rule 9] */
                if (status >= 300)
                        c->easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
                return n;
        }
        header_named(f, p, n);
        return n;
}

/* ---- handles ---- */

static bool easy_setup(struct transfer *f) {
        CURL *e = f->easy;
        const struct curl_library *c = &f->pool->library;

        return c->easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_PRIVATE, f) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_WRITEDATA, f) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_HEADERDATA, f) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_OPENSOCKETDATA, f) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_BUFFERSIZE, (long) READ_BUFFER) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long) READ_BUFFER) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_USERAGENT, "iicpd/" PACKAGE_VERSION) == CURLE_OK;
}

static struct transfer *fetch_destroy(struct transfer *f) {
        if (!f)
                return NULL;
        const struct curl_library *c = &f->pool->library;

        if (f->easy)
                c->easy_cleanup(f->easy);
        c->slist_free_all(f->headers);
        iicp_buf_wipe(&f->body);
        free(f);
        return NULL;
}

/* What a handle remembers of its request goes; connections live in the pool. */
static void fetch_put_back(struct transfer *f) {
        struct curl_pool *p = f->pool;
        const struct curl_library *c = &p->library;

        list_take(f);
        c->slist_free_all(TAKE_PTR(f->headers));
        iicp_buf_wipe(&f->body);
        if (p->n_spare >= p->max_spare) {
                fetch_destroy(f);
                return;
        }
        list_put(&p->spare, f);
        p->n_spare++;
}

static struct transfer *fetch_get(struct curl_pool *p) {
        struct transfer *f = p->spare;
        const struct curl_library *c = &p->library;

        if (f) {
                list_take(f);
                p->n_spare--;
                return f;
        }
        f = calloc(1, sizeof *f);
        if (!f)
                return NULL;
        f->pool = p;
        f->easy = c->easy_init();
        if (!f->easy || !easy_setup(f))
                return fetch_destroy(f);
        return f;
}

static bool headers_set(struct transfer *f, const struct fetch_request *r) {
        const struct curl_library *c = &f->pool->library;
        struct curl_slist *l = c->slist_append(NULL, "Expect:");

        for (size_t i = 0; l && r->headers && r->headers[i]; i++) {
                struct curl_slist *more = c->slist_append(l, r->headers[i]);

                if (!more)
                        c->slist_free_all(l);
                l = more;
        }
        f->headers = l;
        return l && c->easy_setopt(f->easy, CURLOPT_HTTPHEADER, l) == CURLE_OK;
}

static bool method_set(struct transfer *f, const struct fetch_request *r) {
        CURL *e = f->easy;
        const struct curl_library *c = &f->pool->library;
        bool get = strcmp(r->method, "GET") == 0, post = strcmp(r->method, "POST") == 0;

        if (c->easy_setopt(e, CURLOPT_HTTPGET, 1L) != CURLE_OK ||
            c->easy_setopt(e, CURLOPT_CUSTOMREQUEST, get || post ? NULL : r->method) != CURLE_OK)
                return false;
        if (get || (!post && r->body.n == 0))
                return true;
        return c->easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_POSTFIELDS, r->body.p ? r->body.p : "") == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body.n) == CURLE_OK;
}

static bool request_set(struct transfer *f, const struct fetch_request *r) {
        CURL *e = f->easy;
        const struct curl_library *c = &f->pool->library;
        long tls = r->tls_min == 12 ? CURL_SSLVERSION_TLSv1_2 : CURL_SSLVERSION_TLSv1_3;
        uint64_t connect_ms = MIN(r->connect_timeout_ms ? r->connect_timeout_ms : UINT64_MAX,
                                  MAX(r->timeout_ms, 1u));
        char *ca_default = NULL;

        /* A handle that is used again must forget the file of the request before. */
        c->easy_getinfo(e, CURLINFO_CAINFO, &ca_default);
        return c->easy_setopt(e, CURLOPT_URL, r->url) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long) MAX(r->timeout_ms, 1u)) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long) connect_ms) == CURLE_OK &&
               /* "" and not NULL: NULL would ask the environment. */
               c->easy_setopt(e, CURLOPT_PROXY, r->proxy ? r->proxy : "") == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_CAINFO, r->ca_file ? r->ca_file : ca_default) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_SSLVERSION, tls) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_FORBID_REUSE, 0L) == CURLE_OK &&
               c->easy_setopt(e, CURLOPT_FRESH_CONNECT, r->once ? 1L : 0L) == CURLE_OK && method_set(f, r) &&
               headers_set(f, r);
}

static bool url_valid(const struct curl_library *c, const char *url) {
        CURLU *u = c->url();
        bool ok = u && c->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;

        c->url_cleanup(u);
        return ok && (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
}

/* ---- end of a transfer ---- */

static enum fetch_error error_of(struct transfer *f, CURLcode code, uint64_t total_ms) {
        const struct curl_library *c = &f->pool->library;
        curl_off_t connected = 0;

        if (f->error != FETCH_OK)
                return f->error;
        switch (code) {
        case CURLE_OK:
                return FETCH_OK;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                return FETCH_NAME;
        case CURLE_COULDNT_CONNECT:
                return FETCH_UNREACHABLE;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS:
                return FETCH_TLS;
        case CURLE_OPERATION_TIMEDOUT:
                /* The connect time ran out while the budget did not. */
                c->easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &connected);
                return connected == 0 && total_ms + 20 < f->timeout_ms ? FETCH_UNREACHABLE : FETCH_TIMEOUT;
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
                return FETCH_RESET;
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_BAD_CONTENT_ENCODING:
        case CURLE_HTTP2:
                return FETCH_PROTOCOL;
        case CURLE_FILESIZE_EXCEEDED:
                return FETCH_TOO_LARGE;
        default:
                return FETCH_FAILED;
        }
}

static struct iicp_str kept(const char *value) {
        return *value ? iicp_str(value) : IICP_STR_NONE;
}

static void fetch_finish(struct transfer *f, CURLcode code) {
        const struct curl_library *c = &f->pool->library;
        curl_off_t connect = 0, total = 0;
        struct fetch_answer a;

        c->easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &connect);
        c->easy_getinfo(f->easy, CURLINFO_TOTAL_TIME_T, &total);
        a = (struct fetch_answer){
                .error = error_of(f, code, (uint64_t) total / 1000),
                .status = f->status,
                .body = iicp_buf_str(&f->body),
                .content_type = kept(f->content_type),
                .retry_after = kept(f->retry_after),
                .server = kept(f->server),
                .powered_by = kept(f->powered_by),
                .location = kept(f->location),
                .date = kept(f->date),
                .connect_ms = (uint64_t) connect / 1000,
                .total_ms = (uint64_t) total / 1000,
                .any_byte = f->any_byte,
        };
        f->done(f->arg, &a);
}

/* curl itself asks once more when a connection it had kept turns out dead; that may take another
 * old one, and the last try is to be on a new one. */
static bool retry_fresh(struct transfer *f, CURLcode code) {
        const struct curl_library *c = &f->pool->library;
        long made = 1;

        if ((code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR && code != CURLE_GOT_NOTHING) ||
            f->any_byte || f->fresh || f->cancelled)
                return false;
        c->easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &made);
        if (made > 0 || c->easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK)
                return false;
        f->fresh = true;
        return c->multi_add_handle(f->pool->multi, f->easy) == CURLM_OK;
}

static void fetch_drop(struct transfer *f) {
        const struct curl_library *c = &f->pool->library;

        if (f->added)
                c->multi_remove_handle(f->pool->multi, f->easy);
        fetch_put_back(f);
}

/* Does what was asked for while curl was busy. */
static void pool_sweep(struct curl_pool *p) {
        const struct curl_library *c = &p->library;

        p->dirty = false;
        for (struct transfer *f = p->running, *next; f; f = next) {
                next = f->next;
                if (f->cancelled)
                        fetch_drop(f);
                else if (!f->added)
                        f->added = c->multi_add_handle(p->multi, f->easy) == CURLM_OK;
        }
}

static void pool_collect(struct curl_pool *p) {
        const struct curl_library *c = &p->library;
        CURLMsg *m;
        int left;

        if (p->dirty)
                pool_sweep(p);
        while ((m = c->multi_info_read(p->multi, &left))) {
                struct transfer *f = NULL;
                CURLcode code = m->data.result;

                if (m->msg != CURLMSG_DONE)
                        continue;
                c->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
                c->multi_remove_handle(p->multi, f->easy);
                if (retry_fresh(f, code))
                        continue;
                f->added = false;
                /* done() may cancel what it likes, this one is over: out of its reach. */
                list_take(f);
                f->link = &f->next;
                if (!f->cancelled)
                        fetch_finish(f, code);
                list_put(&p->running, f);
                fetch_put_back(f);
        }
}

/* ---- curl on the loop ---- */

static void pool_act(struct curl_pool *p, curl_socket_t s, int what) {
        const struct curl_library *c = &p->library;
        int running;

        p->depth++;
        c->multi_socket_action(p->multi, s, what, &running);
        p->depth--;
        pool_collect(p);
}

static void on_socket(evutil_socket_t fd, short what, void *arg) {
        struct watch *w = arg;

        pool_act(w->pool, fd,
                 (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timeout(void *arg) {
        pool_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_want_timer(CURLM *m, long ms, void *arg) {
        struct curl_pool *p = arg;

        (void) m;
        if (ms < 0)
                timer_clear(&p->timer);
        else
                timer_set_ms(&p->timer, (uint64_t) ms);
        return 0;
}

static int on_want_socket(CURL *e, curl_socket_t s, int what, void *arg, void *socket_arg) {
        struct curl_pool *p = arg;
        const struct curl_library *c = &p->library;
        struct watch *w = socket_arg;
        short events = (short) ((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) |
                                EV_PERSIST);

        (void) e;
        if (what == CURL_POLL_REMOVE) {
                if (w) {
                        event_del(&w->ev);
                        free(w);
                        c->multi_assign(p->multi, s, NULL);
                }
                return 0;
        }
        if (w && w->what == events)
                return 0;
        if (w)
                event_del(&w->ev);
        else if (!(w = calloc(1, sizeof *w)))
                return -1;
        w->pool = p;
        w->what = events;
        event_assign(&w->ev, loop_base(p->loop), s, events, on_socket, w);
        c->multi_assign(p->multi, s, w);
        return event_add(&w->ev, NULL);
}

/* ---- the interface ---- */

struct curl_pool *fetch_curl_new(struct loop *l, size_t max_idle) {
        struct curl_pool *p = calloc(1, sizeof *p);
        const struct curl_library *c;

        if (!p || curl_library_load(&p->library) < 0) {
                free(p);
                return NULL;
        }
        c = &p->library;
        p->loop = l;
        p->max_spare = MAX(max_idle, 4u);
        p->multi = c->multi_init();
        timer_init(&p->timer, l, on_timeout, p);
        if (!p->multi || c->multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket) != CURLM_OK ||
            c->multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p) != CURLM_OK ||
            c->multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_want_timer) != CURLM_OK ||
            c->multi_setopt(p->multi, CURLMOPT_TIMERDATA, p) != CURLM_OK ||
            c->multi_setopt(p->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING) != CURLM_OK ||
            c->multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long) p->max_spare) != CURLM_OK)
                return fetch_curl_free(p);
        return p;
}

struct curl_pool *fetch_curl_free(struct curl_pool *p) {
        const struct curl_library *c;

        if (!p)
                return NULL;
        c = &p->library;
        while (p->running) {
                p->running->cancelled = true;
                fetch_drop(p->running);
        }
        while (p->spare) {
                struct transfer *f = p->spare;

                list_take(f);
                fetch_destroy(f);
        }
        if (p->multi)
                c->multi_cleanup(p->multi);
        timer_clear(&p->timer);
        free(p);
        return NULL;
}

struct fetch *fetch_curl_start(struct curl_pool *p, const struct fetch_request *r, fetch_done_fn done, void *arg) {
        const struct curl_library *c = &p->library;
        struct transfer *f;

        if (!url_valid(&p->library, r->url) || !(f = fetch_get(p)))
                return NULL;
        f->done = done;
        f->arg = arg;
        f->on_data = r->on_data;
        f->body = (struct iicp_buf){.max = r->max_answer, .secret = true};
        f->max_answer = r->max_answer;
        f->max_stream = r->max_stream ? r->max_stream : r->max_answer;
        f->timeout_ms = r->timeout_ms;
        f->received = f->header_bytes = 0;
        f->error = FETCH_OK;
        f->status = 0;
        f->any_byte = f->added = f->cancelled = f->fresh = false;
        f->public_only = r->public_only;
        headers_forget(f);
        list_put(&p->running, f);
        if (!request_set(f, r)) {
                fetch_put_back(f);
                return NULL;
        }
        if (p->depth) {
                p->dirty = true;
                return &f->base;
        }
        if (c->multi_add_handle(p->multi, f->easy) != CURLM_OK) {
                fetch_put_back(f);
                return NULL;
        }
        f->added = true;
        return &f->base;
}

void fetch_curl_cancel(struct fetch *fetch) {
        struct transfer *f = (struct transfer *) fetch; /* its first member */

        f->cancelled = true;
        if (f->pool->depth) {
                f->pool->dirty = true;
                return;
        }
        fetch_drop(f);
}
