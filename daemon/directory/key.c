/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include "internal.h"
#include "log.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <iicp/codec.h>
#include <iicp/time.h>
#include <stdio.h>

enum { NOW, BEFORE, KEYS }; /* places in keys[] */

struct directory_keys {
        struct node *node;
        uint8_t keys[KEYS][IICP_SIGN_KEY];
        bool known;                     /* there is a key in keys[NOW] */
        bool pinned;
        uint64_t before_until_ms;       /* keys[BEFORE] verifies until then */
        int64_t fetched_at;
        char url[IICP_DIRECTORY_URL_MAX]; /* of the directory that keys[NOW] is from */
        struct directory_call *call;
        struct timer timer;
        uint64_t asked_for_signature_ms; /* 0 = never */
        bool said_none, said_differs;
};

static uint64_t now_ms(const struct directory_keys *k) {
        return clock_mono_ms(k->node->clock);
}

/* ---- on the disk ---- */

struct save {
        int dir_fd, result;
        struct iicp_buf bytes;
};

static void save_work(void *arg) {
        struct save *s = arg;

        s->result = state_write_file(s->dir_fd, KEY_FILE, iicp_buf_str(&s->bytes));
}

static void save_done(void *arg) {
        struct save *s = arg;

        if (s->result < 0)
                log_warn("state_save_failed", KEY_FILE " is not on the disk (%s): after a restart the key is fetched "
                         "again", strerror(-s->result));
        iicp_buf_free(&s->bytes);
        free(s);
}

static void save(const struct directory_keys *k) {
        struct save *s = calloc(1, sizeof *s);
        char hex[2 * IICP_SIGN_KEY + 1], when[IICP_TIME_TEXT];

        if (!s)
                return;
        s->dir_fd = state_dir_fd(k->node->state);
        iicp_hex(k->keys[NOW], IICP_SIGN_KEY, hex);
        iicp_time_text(k->fetched_at, when);
        iicp_buf_puts(&s->bytes, "{\"url\":");
        iicp_buf_json_str(&s->bytes, iicp_str(k->url));
        iicp_buf_printf(&s->bytes, ",\"public_key\":\"%s\",\"algorithm\":\"ed25519\",\"fetched_at\":\"%s\"}\n", hex, when);
        if (s->bytes.error == 0 && loop_block(k->node->loop, save_work, save_done, s) == 0)
                return;
        iicp_buf_free(&s->bytes);
        free(s);
}

/* A key of another directory, or a file that cannot be read, is none; the next fetch writes it. */
static void load(struct directory_keys *k) {
        _cleanup_(iicp_buf_free) struct iicp_buf bytes = {0};
        struct iicp_json file, url, when;
        char why[256] = "", text[64];
        int r = state_file_read(state_dir_fd(k->node->state), KEY_FILE, &bytes, why, sizeof why);

        if (r == -ENOENT)
                return;
        if (r < 0 || iicp_json_scan(iicp_buf_str(&bytes), NULL, NULL, &file) < 0 ||
            iicp_directory_key_parse(&file, k->keys[NOW]) < 0) {
                log_warn("state_corrupt", KEY_FILE " cannot be used (%s): the key is fetched again",
                         *why ? why : "not in its format");
                return;
        }
        url = iicp_json_get(&file, "url");
        when = iicp_json_get(&file, "fetched_at");
        if (url.type != IICP_JSON_STRING || !iicp_json_is(&url, k->url))
                return;
        if (iicp_json_copy(&when, text, sizeof text) == 0)
                k->fetched_at = iicp_time_parse(text);
        k->known = true;
}

/* ---- fetching ---- */

static void fetch_key(struct directory_keys *k);

static void due(void *arg) {
        fetch_key(arg);
}

/* A fetched key beside a pinned one changes nothing, but the operator must know. */
static void compare_pinned(struct directory_keys *k, const uint8_t key[IICP_SIGN_KEY]) {
        char ours[IICP_FINGERPRINT], theirs[IICP_FINGERPRINT];
        bool same = memcmp(key, k->keys[NOW], IICP_SIGN_KEY) == 0;

        if (!same && !k->said_differs) {
                iicp_sign_fingerprint(k->keys[NOW], ours);
                iicp_sign_fingerprint(key, theirs);
                log_err("directory_key_differs", "the directory shows key %s, directory.key pins %s: the pinned one is "
                        "used; if the directory has really changed it, pin the new one", theirs, ours);
        }
        k->said_differs = !same;
}

static void adopt(struct directory_keys *k, const uint8_t key[IICP_SIGN_KEY]) {
        char before[IICP_FINGERPRINT], after[IICP_FINGERPRINT];
        bool same = k->known && memcmp(key, k->keys[NOW], IICP_SIGN_KEY) == 0;

        if (k->known && !same) {
                iicp_sign_fingerprint(k->keys[NOW], before);
                iicp_sign_fingerprint(key, after);
                log_warn("directory_key_changed", "the directory changed its signing key from %s to %s; tokens under the "
                         "old one are taken for 5 minutes more", before, after);
                memcpy(k->keys[BEFORE], k->keys[NOW], IICP_SIGN_KEY);
                k->before_until_ms = now_ms(k) + KEY_OVERLAP_MS;
        }
        memcpy(k->keys[NOW], key, IICP_SIGN_KEY);
        k->known = true;
        k->fetched_at = clock_wall_s(k->node->clock);
        k->said_none = false;
        save(k);
}

static void say_none(struct directory_keys *k, const struct fetch_answer *a) {
        if (k->said_none || k->known)
                return;
        k->said_none = true;
        if (a->error == FETCH_OK && a->status == 503)
                log_info("directory_key_none", "the directory has no signing key: consumer tokens count as absent");
        else
                log_info("directory_key_none", "the directory's signing key could not be fetched (%s): consumer tokens "
                         "count as absent until then", directory_failure_reason(a));
}

static void fetched(void *arg, const struct fetch_answer *a) {
        struct directory_keys *k = arg;
        uint8_t key[IICP_SIGN_KEY];
        struct iicp_json answer;
        bool good = directory_answer_ok(a, 200, &answer) && iicp_directory_key_parse(&answer, key) == 0;

        k->call = NULL;
        timer_set_ms(&k->timer, good ? KEY_REFRESH_MS : KEY_RETRY_MS);
        if (!good)
                say_none(k, a);
        else if (k->pinned)
                compare_pinned(k, key);
        else
                adopt(k, key);
}

static void fetch_key(struct directory_keys *k) {
        if (k->call || k->node->phase == NODE_STOPPING)
                return;
        k->call = directory_call(k->node->directory, &(struct directory_request){.route = DIRECTORY_KEY}, fetched, k);
        if (!k->call)
                timer_set_ms(&k->timer, KEY_RETRY_MS);
}

/* ---- verifying ---- */

void directory_keys_did_not_fit(struct directory_keys *k) {
        uint64_t now = k ? now_ms(k) : 0;

        if (!k || k->pinned || (k->asked_for_signature_ms && now - k->asked_for_signature_ms < KEY_RETRY_MS))
                return;
        k->asked_for_signature_ms = now;
        fetch_key(k);
}

size_t directory_keys_current(const struct directory_keys *k, const uint8_t (**ret)[IICP_SIGN_KEY]) {
        if (!k || !k->known)
                return 0;
        *ret = (const uint8_t (*)[IICP_SIGN_KEY]) k->keys;
        return !k->pinned && now_ms(k) < k->before_until_ms ? KEYS : 1;
}

bool directory_keys_check(struct directory_keys *k, struct iicp_str token, struct iicp_str intent,
                          struct iicp_consumer_claims *ret, enum iicp_token_fault *ret_fault) {
        const uint8_t (*keys)[IICP_SIGN_KEY];
        size_t n = directory_keys_current(k, &keys);

        *ret_fault = IICP_TOKEN_OK;
        if (n == 0)
                return false;
        *ret_fault = iicp_consumer_token_check(token, keys, n,
                                               state_identity(k->node->state)->node_id, intent,
                                               clock_wall_s(k->node->clock), ret);
        if (*ret_fault == IICP_TOKEN_SIGNATURE)
                directory_keys_did_not_fit(k);
        return *ret_fault == IICP_TOKEN_OK;
}

/* ---- life ---- */

struct directory_keys *directory_keys_new(struct node *node) {
        struct directory_keys *k = calloc(1, sizeof *k);

        if (!k)
                return NULL;
        k->node = node;
        timer_init(&k->timer, node->loop, due, k);
        return k;
}

struct directory_keys *directory_keys_free(struct directory_keys *k) {
        if (!k)
                return NULL;
        k->call = directory_call_cancel(k->call);
        timer_clear(&k->timer);
        free(k);
        return NULL;
}

static bool take_pin(struct directory_keys *k) {
        const char *pin = k->node->config->directory_key;
        size_t n;

        return pin && iicp_hex_decode(iicp_str(pin), k->keys[NOW], IICP_SIGN_KEY, &n) == 0;
}

void directory_keys_start(struct directory_keys *k) {
        snprintf(k->url, sizeof k->url, "%s", k->node->config->directory_url);
        k->before_until_ms = 0;
        k->said_none = k->said_differs = false;
        k->pinned = k->known = take_pin(k);
        if (!k->pinned)
                load(k);
}

void directory_keys_reload(struct directory_keys *k) {
        const struct config *c = k->node->config;
        uint8_t before[IICP_SIGN_KEY];
        bool pinned = k->pinned;

        memcpy(before, k->keys[NOW], sizeof before);
        if (strcmp(k->url, c->directory_url) != 0 || pinned != (c->directory_key != NULL) ||
            (pinned && take_pin(k) && memcmp(before, k->keys[NOW], sizeof before) != 0)) {
                k->call = directory_call_cancel(k->call);
                directory_keys_start(k);
                fetch_key(k);
        }
}

void directory_keys_registered(struct directory_keys *k) {
        if (k)
                fetch_key(k);
}

void directory_keys_json(const struct directory_keys *k, struct iicp_buf *out) {
        char fingerprint[IICP_FINGERPRINT], when[IICP_TIME_TEXT];

        if (!k || !k->known) {
                iicp_buf_puts(out, "null");
                return;
        }
        iicp_sign_fingerprint(k->keys[NOW], fingerprint);
        iicp_buf_printf(out, "{\"fingerprint\":\"%s\",\"pinned\":%s", fingerprint, k->pinned ? "true" : "false");
        if (!k->pinned) {
                iicp_time_text(k->fetched_at, when);
                iicp_buf_printf(out, ",\"fetched_at\":\"%s\"", when);
        }
        if (now_ms(k) < k->before_until_ms) {
                iicp_sign_fingerprint(k->keys[BEFORE], fingerprint);
                iicp_buf_printf(out, ",\"previous\":\"%s\"", fingerprint);
        }
        iicp_buf_puts(out, "}");
}
