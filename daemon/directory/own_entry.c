/* SPDX-License-Identifier: Apache-2.0 */
#include "own_entry.h"

#include "internal.h"
#include "log.h"
#include "util.h"

#include <iicp/redirect.h>
#include <stdio.h>

/* ---- comparing ---- */

/* Behind scheme, host and port, without a slash at the end. */
static struct iicp_str path_of(struct iicp_str url) {
        const char *slashes = memmem(url.p, url.n, "://", 3), *path;

        if (!slashes)
                return (struct iicp_str){"", 0};
        slashes += 3;
        path = memchr(slashes, '/', (size_t) (url.p + url.n - slashes));
        if (!path)
                return (struct iicp_str){"", 0};
        url = (struct iicp_str){path, (size_t) (url.p + url.n - path)};
        while (url.n > 0 && url.p[url.n - 1] == '/')
                url.n--;
        return url;
}

static bool same_endpoint(struct iicp_str a, struct iicp_str b) {
        return iicp_same_origin(a, b) && iicp_str_eq(path_of(a), path_of(b));
}

/* One directory shows the task key as "cx_public_key", another as an object in "public_key". */
static struct iicp_json key_of(const struct iicp_json *node) {
        struct iicp_json o = iicp_json_get(node, "cx_public_key");

        if (o.type != IICP_JSON_OBJECT)
                o = iicp_json_get(node, "public_key");
        return iicp_json_get(&o, "key");
}

enum own_entry_verdict own_entry_compare(const struct iicp_json *record, const char *endpoint, const char *cx_key) {
        struct iicp_json node = iicp_json_get(record, "node"), v, key;
        char there[512];

        if (node.type != IICP_JSON_OBJECT)
                node = *record;
        v = iicp_json_get(&node, "endpoint");
        if (iicp_json_copy(&v, there, sizeof there) < 0)
                return OWN_ENTRY_UNKNOWN;
        if (!same_endpoint(iicp_str(there), iicp_str(endpoint)))
                return OWN_ENTRY_OTHER_ENDPOINT;
        key = key_of(&node);
        if (cx_key && key.type == IICP_JSON_STRING && !iicp_json_is(&key, cx_key))
                return OWN_ENTRY_OTHER_KEY;
        return OWN_ENTRY_SAME;
}

const char *own_entry_name(enum own_entry_verdict v) {
        static const char *const names[] = {"unknown", "same", "other_endpoint", "other_key"};

        return names[v];
}

/* ---- asking ---- */

/* The key that the directory has taken; a newer one is on its way there. */
static bool our_key(const struct directory *d, char *out, size_t cap) {
        const struct identity *id = state_identity(d->node->state);
        struct iicp_json doc, key;

        if (!d->node->config->cx_enabled || strcmp(id->registered.cx_key_id, state_cx_key_id(d->node->state)) != 0 ||
            iicp_json_scan(state_cx_public(d->node->state), NULL, NULL, &doc) < 0)
                return false;
        key = iicp_json_get(&doc, "key");
        return iicp_json_copy(&key, out, cap) == 0;
}

static void say(const struct own_entry *e) {
        const char *what = e->verdict == OWN_ENTRY_OTHER_KEY ? "another encryption key" : "another endpoint";

        log_warn("entry_foreign", "the directory tells others %s for this node than we registered: %s", what,
                 e->repaired ? "registering again did not help; somebody may answer in our name"
                             : "registering again, with proof");
}

static void judge(struct directory *d, const struct fetch_answer *a) {
        struct own_entry *e = &d->own_entry;
        struct iicp_json record;
        char key[128];

        if (!directory_answer_ok(a, 200, &record))
                return;
        e->looked_ms = directory_now(d);
        e->verdict = own_entry_compare(&record, state_identity(d->node->state)->registered.endpoint,
                                       our_key(d, key, sizeof key) ? key : NULL);
        if (e->verdict != OWN_ENTRY_OTHER_ENDPOINT && e->verdict != OWN_ENTRY_OTHER_KEY) {
                e->repaired = false;
                return;
        }
        say(e);
        if (e->repaired)
                return;
        e->repaired = true;
        directory_want(d, "our entry at the directory was not ours");
        directory_advance(d);
}

static void on_answer(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;

        d->own_entry.call = NULL;
        /* What is being replaced says nothing. */
        if (d->registered && !d->reg && !d->wanted)
                judge(d, a);
}

static void look(void *arg) {
        struct directory *d = arg;
        struct own_entry *e = &d->own_entry;

        timer_set_ms(&e->timer, OWN_ENTRY_EVERY_MS);
        if (e->call || !d->registered || d->stopping)
                return;
        e->call = directory_call(
                d,
                &(struct directory_request){.route = DIRECTORY_NODE, .tail = state_identity(d->node->state)->node_id},
                on_answer, d);
}

void own_entry_init(struct directory *d) {
        timer_init(&d->own_entry.timer, d->node->loop, look, d);
}

void own_entry_registered(struct directory *d) {
        d->own_entry.call = directory_call_cancel(d->own_entry.call);
        timer_set_ms(&d->own_entry.timer, OWN_ENTRY_FIRST_MS);
}

void own_entry_cancel(struct directory *d) {
        timer_clear(&d->own_entry.timer);
        d->own_entry.call = directory_call_cancel(d->own_entry.call);
}
