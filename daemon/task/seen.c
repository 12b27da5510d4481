/* SPDX-License-Identifier: Apache-2.0 */
#include "seen.h"

#include "util.h"

#include <errno.h>
#include <iicp/hmac.h>
#include <uthash.h>

struct seen_entry {
        uint8_t key[16];
        uint64_t since_ms;
        UT_hash_handle hh; /* keeps the order of insertion: the first is the oldest */
};

struct seen {
        struct seen_entry *entries;
};

struct seen *seen_new(void) {
        return calloc(1, sizeof(struct seen));
}

static void drop(struct seen *s, struct seen_entry *e) {
        HASH_DEL(s->entries, e);
        free(e);
}

struct seen *seen_free(struct seen *s) {
        if (!s)
                return NULL;
        while (s->entries)
                drop(s, s->entries);
        free(s);
        return NULL;
}

static int digest(struct iicp_str text, uint8_t ret[16]) {
        uint8_t full[32];
        int r = iicp_sha256(text, full);

        if (r < 0)
                return r;
        memcpy(ret, full, 16);
        return 0;
}

static void expire(struct seen *s, uint64_t now_ms) {
        while (s->entries && now_ms - s->entries->since_ms >= SEEN_TTL_MS)
                drop(s, s->entries);
}

static struct seen_entry *find(struct seen *s, const uint8_t key[16]) {
        struct seen_entry *e = NULL;

        HASH_FIND(hh, s->entries, key, 16, e);
        return e;
}

bool seen_has(struct seen *s, struct iicp_str text, uint64_t now_ms) {
        uint8_t key[16];

        expire(s, now_ms);
        return digest(text, key) == 0 && find(s, key);
}

int seen_add(struct seen *s, struct iicp_str text, uint64_t now_ms) {
        struct seen_entry *e;
        uint8_t key[16];
        int r = digest(text, key);

        if (r < 0)
                return r;
        expire(s, now_ms);
        if (find(s, key))
                return -EEXIST;
        if (HASH_COUNT(s->entries) >= SEEN_ENTRIES_MAX)
                drop(s, s->entries);
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        memcpy(e->key, key, sizeof(e->key));
        e->since_ms = now_ms;
        HASH_ADD(hh, s->entries, key, sizeof(e->key), e);
        return 0;
}

void seen_remove(struct seen *s, struct iicp_str text) {
        struct seen_entry *e;
        uint8_t key[16];

        if (digest(text, key) < 0)
                return;
        e = find(s, key);
        if (e)
                drop(s, e);
}

unsigned seen_count(const struct seen *s) {
        return HASH_COUNT(s->entries);
}
