/* SPDX-License-Identifier: Apache-2.0 */
#include "tickets.h"

#include "directory/key.h"
#include "log.h"
#include "node.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/codec.h>
#include <sys/stat.h>
#include <uthash.h>

#define MAGIC "iicp-bind-tickets 1\n"
#define FILE_MAX (sizeof(MAGIC) - 1 + 2 * RELAY_TICKETS_MAX * sizeof(struct record)) /* then it is written anew */

/* On the disk: what was used, in the order of use. An id is no secret once it is used up. */
struct record {
        uint8_t jti[16];
        int64_t expires_at;
};
_Static_assert(sizeof(struct record) == 24, "records are written as they are");

struct used {
        struct record r;
        UT_hash_handle hh;
};

struct relay_tickets {
        struct node *node;
        struct used *used;
        struct iicp_buf pending;       /* records that are not on the disk yet */
        size_t file_n;                 /* bytes in the file, with those under way */
        bool writing, said_unsaved;
};

static int64_t now_s(const struct relay_tickets *t) {
        return clock_wall_s(t->node->clock);
}

/* ---- the store ---- */

static struct used *find(const struct relay_tickets *t, const uint8_t jti[16]) {
        struct used *u = NULL;

        HASH_FIND(hh, t->used, jti, 16, u);
        return u;
}

static int remember(struct relay_tickets *t, const struct record *r) {
        struct used *u = calloc(1, sizeof *u);

        if (!u)
                return -ENOMEM;
        u->r = *r;
        HASH_ADD(hh, t->used, r.jti, sizeof u->r.jti, u);
        return 0;
}

static void forget(struct relay_tickets *t, struct used *u) {
        HASH_DEL(t->used, u);
        free(u);
}

void relay_tickets_expire(struct relay_tickets *t) {
        int64_t now = now_s(t);
        struct used *u, *next;

        for (u = t->used; u; u = next) {
                next = u->hh.next;
                if (u->r.expires_at <= now)
                        forget(t, u);
        }
}

unsigned relay_tickets_live(const struct relay_tickets *t) {
        return HASH_COUNT(t->used);
}

/* ---- on the disk ---- */

struct save {
        struct relay_tickets *tickets;
        int dir_fd, result;
        bool whole;                    /* instead of what is there */
        struct iicp_buf bytes;
};

static int append(int dir_fd, struct iicp_str bytes) {
        _cleanup_close_ int fd = openat(dir_fd, RELAY_TICKETS_FILE, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = write(fd, bytes.p, bytes.n);
        if (n < 0 || (size_t) n != bytes.n)
                return n < 0 ? -errno : -EIO;
        return fdatasync(fd) < 0 ? -errno : 0;
}

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = s->whole ? state_write_file(s->dir_fd, RELAY_TICKETS_FILE, iicp_buf_str(&s->bytes))
                             : append(s->dir_fd, iicp_buf_str(&s->bytes));
}

static void flush(struct relay_tickets *t);

static void save_done(void *arg) {
        struct save *s = arg;
        struct relay_tickets *t = s->tickets;

        t->writing = false;
        if (s->result < 0) {
                t->file_n = SIZE_MAX; /* whatever is there now: the next one writes all */
                if (!t->said_unsaved)
                        log_warn("state_save_failed", RELAY_TICKETS_FILE " is not on the disk (%s): after a restart a used "
                                 "ticket could bind again within its two minutes", strerror(-s->result));
                t->said_unsaved = true;
        } else
                t->said_unsaved = false;
        iicp_buf_free(&s->bytes);
        free(s);
        if (t->pending.n > 0)
                flush(t);
}

static void put_all(const struct relay_tickets *t, struct iicp_buf *out) {
        iicp_buf_puts(out, MAGIC);
        for (const struct used *u = t->used; u; u = u->hh.next)
                iicp_buf_add(out, &u->r, sizeof u->r);
}

/* One job at a time: what comes meanwhile goes together with the next one. */
static void flush(struct relay_tickets *t) {
        struct save *s;

        if (t->writing || !(s = calloc(1, sizeof *s)))
                return;
        s->tickets = t;
        s->dir_fd = state_dir_fd(t->node->state);
        s->whole = t->file_n > FILE_MAX || t->file_n == 0;
        if (s->whole)
                put_all(t, &s->bytes);
        else
                iicp_buf_add(&s->bytes, t->pending.p, t->pending.n);
        t->file_n = s->whole ? s->bytes.n : t->file_n + s->bytes.n;
        t->pending.n = 0;
        t->writing = true;
        if (s->bytes.error == 0 && loop_block(t->node->loop, save_work, save_done, s) == 0)
                return;
        t->writing = false;
        t->file_n = SIZE_MAX; /* the next one writes all */
        iicp_buf_free(&s->bytes);
        free(s);
}

static int read_file(int dir_fd, struct iicp_buf *out) {
        _cleanup_close_ int fd = openat(dir_fd, RELAY_TICKETS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        char *to;
        ssize_t n;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
                return -EPERM;
        if ((uint64_t) st.st_size > 2 * FILE_MAX)
                return -EFBIG;
        to = iicp_buf_reserve(out, (size_t) st.st_size + 1);
        if (!to)
                return -ENOMEM;
        while ((n = read(fd, out->p + out->n, (size_t) st.st_size - out->n)) > 0)
                out->n += (size_t) n;
        return n < 0 ? -errno : 0;
}

/* The end of a file may be half a record, after a crash: nobody was admitted by it yet. */
static int load(struct relay_tickets *t) {
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {};
        int r = read_file(state_dir_fd(t->node->state), &bytes);

        if (r == -ENOENT)
                return 0;
        if (r == 0 && (bytes.n < sizeof MAGIC - 1 || memcmp(bytes.p, MAGIC, sizeof MAGIC - 1) != 0))
                r = -EBADMSG;
        if (r < 0) {
                log_warn("state_corrupt", RELAY_TICKETS_FILE " cannot be used (%s): it is moved aside, used tickets are "
                         "forgotten once", strerror(-r));
                state_file_aside(state_dir_fd(t->node->state), RELAY_TICKETS_FILE, "bad", now_s(t));
                return 0;
        }
        for (size_t at = sizeof MAGIC - 1; at + sizeof(struct record) <= bytes.n; at += sizeof(struct record)) {
                struct record record;

                memcpy(&record, bytes.p + at, sizeof record);
                if (record.expires_at > now_s(t) && relay_tickets_live(t) < RELAY_TICKETS_MAX && !find(t, record.jti) &&
                    remember(t, &record) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* ---- life ---- */

int relay_tickets_new(struct node *node, struct relay_tickets **ret) {
        struct relay_tickets *t = calloc(1, sizeof *t);
        int r;

        if (!t)
                return -ENOMEM;
        t->node = node;
        r = load(t);
        if (r < 0) {
                relay_tickets_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

struct relay_tickets *relay_tickets_free(struct relay_tickets *t) {
        if (!t)
                return NULL;
        while (t->used)
                forget(t, t->used);
        iicp_buf_free(&t->pending);
        free(t);
        return NULL;
}

/* ---- judging ---- */

/* The configured key alone, or those of the directory. */
static size_t keys_of(const struct relay_tickets *t, uint8_t configured[1][IICP_SIGN_KEY],
                      const uint8_t (**ret)[IICP_SIGN_KEY]) {
        const char *hex = t->node->config->relay_ticket_key;
        size_t n;

        if (!hex)
                return directory_keys_current(t->node->keys, ret);
        if (iicp_hex_decode(iicp_str(hex), configured[0], IICP_SIGN_KEY, &n) < 0)
                return 0;
        *ret = (const uint8_t (*)[IICP_SIGN_KEY]) configured;
        return 1;
}

bool relay_tickets_key_known(const struct relay_tickets *t) {
        const uint8_t (*keys)[IICP_SIGN_KEY];
        uint8_t configured[1][IICP_SIGN_KEY];

        return keys_of(t, configured, &keys) > 0;
}

static void say(const struct iicp_bind_ticket *ticket) {
        /* what the directory issues lives 120 s; at most 12 digits of an id may be told */
        if (ticket->life_s > IICP_BIND_TICKET_LIFE_S)
                log_event(LOG_L_WARN, "relay_ticket_long", &(struct log_fields){.subject = "life"},
                          "bind ticket %.12s lives %lld s, more than %d: the directory issues tickets that can be stolen for long",
                          ticket->jti, (long long) ticket->life_s, IICP_BIND_TICKET_LIFE_S);
}

static void say_unchecked(const char *subject, const char *text) {
        log_event(LOG_L_WARN, "relay_ticket_unchecked", &(struct log_fields){.subject = subject},
                  "%s; relay.tickets=required admits none like that", text);
}

enum relay_ticket_verdict relay_tickets_check(struct relay_tickets *t, struct iicp_str ticket, struct iicp_str worker_id,
                                              struct iicp_bind_ticket *ret) {
        bool required = t->node->config->relay_tickets == TICKETS_REQUIRED;
        const uint8_t (*keys)[IICP_SIGN_KEY];
        uint8_t configured[1][IICP_SIGN_KEY];
        enum iicp_token_fault fault;
        size_t n;

        if (t->node->config->relay_tickets == TICKETS_OFF)
                return RELAY_TICKET_ABSENT_OK;
        if (!ticket.p) {
                if (!required)
                        say_unchecked("absent", "a worker binds without a ticket: that it is who it says is not shown");
                return required ? RELAY_TICKET_IS_REQUIRED : RELAY_TICKET_ABSENT_OK;
        }
        n = keys_of(t, configured, &keys);
        if (n == 0) {
                if (!required)
                        say_unchecked("no_key", "a worker binds with a ticket that cannot be checked: the directory's key is not known");
                return required ? RELAY_TICKET_IS_REQUIRED : RELAY_TICKET_ABSENT_OK;
        }
        fault = iicp_bind_ticket_check(ticket, keys, n, worker_id, iicp_str(state_identity(t->node->state)->node_id), now_s(t),
                                       ret);
        if (fault == IICP_TOKEN_SIGNATURE && !t->node->config->relay_ticket_key)
                directory_keys_did_not_fit(t->node->keys);
        if (fault != IICP_TOKEN_OK) {
                log_event(LOG_L_INFO, "relay_ticket_refused", &(struct log_fields){.subject = iicp_token_fault_name(fault)},
                          "bind ticket refused: %s", iicp_token_fault_name(fault));
                return RELAY_TICKET_IS_INVALID;
        }
        say(ret);
        return RELAY_TICKET_OK;
}

int relay_tickets_use(struct relay_tickets *t, const struct iicp_bind_ticket *ticket) {
        struct record record = {.expires_at = ticket->expires_at};
        size_t n;
        int r;

        if (iicp_hex_decode(iicp_str(ticket->jti), record.jti, sizeof record.jti, &n) < 0)
                return -EALREADY;
        if (find(t, record.jti))
                return -EALREADY;
        if (relay_tickets_live(t) >= RELAY_TICKETS_MAX)
                relay_tickets_expire(t);
        if (relay_tickets_live(t) >= RELAY_TICKETS_MAX)
                return -ENOSPC;
        r = remember(t, &record);
        if (r < 0)
                return r;
        iicp_buf_add(&t->pending, &record, sizeof record);
        flush(t);
        return 0;
}
