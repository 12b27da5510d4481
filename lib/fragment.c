/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <errno.h>
#include <iicp/cbor_msg.h>
#include <iicp/fragment.h>

struct part {
        char *p;
        size_t n;
};

struct message {
        struct message *next;          /* in order of the first part: the oldest first */
        char id[IICP_FRAGMENT_ID_MAX];
        size_t n_id;
        uint8_t type, flags;
        unsigned total, have;
        size_t bytes;
        uint64_t due_ms;
        struct part parts[];
};

struct iicp_fragments {
        size_t message_bytes, all_bytes;
        struct message *first;
        unsigned messages, parts;
        size_t bytes;
};

struct iicp_fragments *iicp_fragments_new(size_t message_bytes, size_t all_bytes) {
        struct iicp_fragments *f = calloc(1, sizeof(*f));

        if (!f)
                return NULL;
        f->message_bytes = MAX(message_bytes, (size_t) IICP_FRAGMENT_MESSAGE_BYTES);
        f->all_bytes = MAX(all_bytes, (size_t) IICP_FRAGMENT_ALL_BYTES);
        return f;
}

static void message_drop(struct iicp_fragments *f, struct message *m) {
        struct message **at = &f->first;

        while (*at != m)
                at = &(*at)->next;
        *at = m->next;
        f->messages--;
        f->parts -= m->have;
        f->bytes -= m->bytes;
        for (unsigned i = 0; i < m->total; i++) {
                if (!m->parts[i].p)
                        continue;
                explicit_bzero(m->parts[i].p, m->parts[i].n);
                free(m->parts[i].p);
        }
        free(m);
}

struct iicp_fragments *iicp_fragments_free(struct iicp_fragments *f) {
        if (!f)
                return NULL;
        while (f->first)
                message_drop(f, f->first);
        free(f);
        return NULL;
}

static struct message *find(const struct iicp_fragments *f, struct iicp_str id) {
        for (struct message *m = f->first; m; m = m->next)
                if (iicp_str_eq(id, (struct iicp_str){m->id, m->n_id}))
                        return m;
        return NULL;
}

static enum iicp_close begin(struct iicp_fragments *f, const struct iicp_frame_header *h,
                             const struct iicp_msg_fragment *part, uint64_t now_ms, struct message **ret) {
        struct message *m, **at = &f->first;

        if (f->messages == IICP_FRAGMENT_MESSAGES_MAX)
                return IICP_CLOSE_REASSEMBLY_LIMIT;
        m = calloc(1, sizeof(*m) + part->total * sizeof(m->parts[0]));
        if (!m)
                return IICP_CLOSE_NO_MEMORY;
        memcpy(m->id, part->id.p, part->id.n);
        m->n_id = part->id.n;
        m->type = h->type;
        m->flags = h->flags & IICP_FRAME_COMPRESSED;
        m->total = (unsigned) part->total;
        m->due_ms = now_ms + IICP_FRAGMENT_TIMEOUT_MS;
        while (*at)
                at = &(*at)->next;
        *at = m;
        f->messages++;
        *ret = m;
        return IICP_CLOSE_NONE;
}

/* The limits, before anything is allocated for the part. */
static enum iicp_close judge(const struct iicp_fragments *f, const struct message *m, const struct iicp_frame_header *h,
                             const struct iicp_msg_fragment *part) {
        if (m->type != h->type || m->flags != (h->flags & IICP_FRAME_COMPRESSED) || m->total != part->total)
                return IICP_CLOSE_INVALID_PAYLOAD;
        if (m->parts[part->seq].p)
                return IICP_CLOSE_NONE;
        if (f->parts == IICP_FRAGMENT_TOTAL_MAX)
                return IICP_CLOSE_FRAGMENT_LIMIT;
        if (part->data.n > f->message_bytes - m->bytes)
                return IICP_CLOSE_FRAME_TOO_LARGE;
        return part->data.n > f->all_bytes - f->bytes ? IICP_CLOSE_REASSEMBLY_LIMIT : IICP_CLOSE_NONE;
}

static enum iicp_close keep(struct iicp_fragments *f, struct message *m, const struct iicp_msg_fragment *part) {
        struct part *at = &m->parts[part->seq];

        if (at->p) {
                bool same = at->n == part->data.n && memcmp(at->p, part->data.p, at->n) == 0;

                return same ? IICP_CLOSE_NONE : IICP_CLOSE_INVALID_PAYLOAD;
        }
        at->p = malloc(part->data.n + 1);
        if (!at->p)
                return IICP_CLOSE_NO_MEMORY;
        memcpy(at->p, part->data.p, part->data.n);
        at->n = part->data.n;
        m->bytes += at->n;
        m->have++;
        f->bytes += at->n;
        f->parts++;
        return IICP_CLOSE_NONE;
}

static enum iicp_close deliver(struct iicp_fragments *f, struct message *m, struct iicp_buf *ret, uint8_t *ret_flags) {
        enum iicp_close c = IICP_CLOSE_NONE;

        ret->max = f->message_bytes;
        if (!iicp_buf_reserve(ret, m->bytes))
                c = IICP_CLOSE_NO_MEMORY;
        for (unsigned i = 0; i < m->total && c == IICP_CLOSE_NONE; i++)
                iicp_buf_add(ret, m->parts[i].p, m->parts[i].n);
        *ret_flags = m->flags;
        if (m->flags && m->type == IICP_FRAME_CALL && m->bytes > IICP_FRAME_GZIP_CALL_MAX)
                c = IICP_CLOSE_PAYLOAD_TOO_LARGE;
        message_drop(f, m);
        return c;
}

int iicp_fragments_add(struct iicp_fragments *f, const struct iicp_frame *frame, unsigned options, uint64_t now_ms,
                       struct iicp_buf *ret, uint8_t *ret_flags, enum iicp_close *ret_fault) {
        struct iicp_msg_fragment part;
        struct message *m;
        enum iicp_close c = iicp_msg_fragment_read(frame->payload, options, &part);

        if (c == IICP_CLOSE_NONE && part.total > IICP_FRAGMENT_TOTAL_MAX)
                c = IICP_CLOSE_FRAGMENT_LIMIT;
        if (c == IICP_CLOSE_NONE && (part.seq >= part.total || part.id.n > IICP_FRAGMENT_ID_MAX))
                c = IICP_CLOSE_INVALID_PAYLOAD;
        if (c != IICP_CLOSE_NONE) {
                *ret_fault = c;
                return -EBADMSG;
        }
        m = find(f, part.id);
        if (!m)
                c = begin(f, &frame->header, &part, now_ms, &m);
        if (c == IICP_CLOSE_NONE)
                c = judge(f, m, &frame->header, &part);
        if (c == IICP_CLOSE_NONE)
                c = keep(f, m, &part);
        if (c == IICP_CLOSE_NONE && m->have < m->total)
                return 0;
        if (c == IICP_CLOSE_NONE)
                c = deliver(f, m, ret, ret_flags);
        if (c == IICP_CLOSE_NONE)
                return 1;
        *ret_fault = c;
        return -EBADMSG;
}

uint64_t iicp_fragments_due_ms(const struct iicp_fragments *f) {
        return f && f->first ? f->first->due_ms : UINT64_MAX;
}

size_t iicp_fragments_held(const struct iicp_fragments *f) {
        return f ? f->bytes : 0;
}

int iicp_fragment_put(struct iicp_buf *out, uint8_t type, uint8_t flags, struct iicp_str payload, size_t part,
                      struct iicp_str id) {
        size_t total = payload.n ? (payload.n - 1) / part + 1 : 1;

        if (total > IICP_FRAGMENT_TOTAL_MAX)
                return -E2BIG;
        for (size_t seq = 0; seq < total; seq++) {
                _cleanup_(iicp_buf_wipe) struct iicp_buf map = {};
                size_t from = seq * part;

                iicp_cbor_put_map(&map, 4);
                iicp_cbor_put_uint(&map, 1);
                iicp_cbor_put_tstr(&map, id);
                iicp_cbor_put_uint(&map, 2);
                iicp_cbor_put_uint(&map, seq);
                iicp_cbor_put_uint(&map, 3);
                iicp_cbor_put_uint(&map, total);
                iicp_cbor_put_uint(&map, 4);
                iicp_cbor_put_bstr(&map, (struct iicp_str){payload.p + from, MIN(part, payload.n - from)});
                if (map.error < 0)
                        return map.error;
                iicp_frame_put(out, type, (uint8_t) (flags | IICP_FRAME_FRAGMENTED), iicp_buf_str(&map));
        }
        return out->error;
}
