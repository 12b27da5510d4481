/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "secret_io.h"
#include "util.h"

#include <errno.h>
#include <getopt.h>
#include <iicp/manifest.h>
#include <iicp/operator.h>
#include <iicp/time.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The operator's key, where it lies: works without a daemon. Passphrases come from
 * IICP_OPERATOR_PASSPHRASE or the terminal, never from the command line. [05 section 8] */

#define TTL_MAX_S (366 * 86400)

struct wish {
        const struct options *o;
        const char *file, *node_id, *ttl, *out, *name, *word;
        char path[4096]; /* of operator.json */
        bool sealed;
};

static int complain(const struct wish *w, const char *code, const char *message, const char *todo) {
        tell_error(w->o, code, message, todo);
        return EXIT_REFUSED;
}

static int fault(const struct wish *w, enum iicp_operator_fault f) {
        char message[256];

        snprintf(message, sizeof(message), "%.100s: %s", w->path, iicp_operator_fault_text(f));
        return complain(w, "operator", message, "iicpctl operator show");
}

/* The identity with its seed, if wanted; the passphrase is asked for only where it is needed. */
static int open_identity(const struct wish *w, bool seed, struct iicp_operator *ret) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf file = {0}, pass = {0};
        enum iicp_operator_fault f;
        char why[256] = "";

        if (secret_file_read(w->path, IICP_OPERATOR_FILE_MAX, &file, why, sizeof(why)) < 0)
                return complain(w, "operator", why, "iicpctl operator init");
        f = iicp_operator_read(iicp_buf_str(&file), IICP_STR_NONE, ret);
        if (f == IICP_OPERATOR_OK && seed && !ret->has_seed) {
                if (passphrase_read("Passphrase: ", &pass) < 0)
                        return complain(w, "passphrase", "the seed is sealed and there is no passphrase",
                                        "set IICP_OPERATOR_PASSPHRASE");
                f = iicp_operator_read(iicp_buf_str(&file), iicp_buf_str(&pass), ret);
        }
        return f == IICP_OPERATOR_OK ? EXIT_DONE : fault(w, f);
}

static int write_identity(const struct wish *w, const struct iicp_operator *o, bool sealed, bool fresh) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf file = {.secret = true}, pass = {0};
        char why[256] = "";

        if (sealed && passphrase_read("New passphrase: ", &pass) < 0)
                return complain(w, "passphrase", "there is no passphrase", "set IICP_OPERATOR_PASSPHRASE");
        if (iicp_operator_write(o, sealed ? iicp_buf_str(&pass) : IICP_STR_NONE, &file) < 0)
                return complain(w, "operator", "the key could not be written", "");
        if (secret_file_write(w->path, iicp_buf_str(&file), fresh, why, sizeof(why)) < 0)
                return complain(w, "operator", why, fresh ? "iicpctl operator show" : "");
        return EXIT_DONE;
}

static void show_identity(const struct wish *w, const struct iicp_operator *o) {
        if (w->o->json) {
                _cleanup_(iicp_buf_free) struct iicp_buf out = {0};

                iicp_buf_printf(&out, "{\"schema\":\"iicp.operator/1\",\"operator_id\":\"%s\",\"created_at\":", o->id);
                iicp_buf_json_str(&out, iicp_str(o->created_at));
                iicp_buf_puts(&out, ",\"display_name\":");
                iicp_buf_json_str(&out, iicp_str(o->display_name));
                iicp_buf_printf(&out, ",\"sealed\":%s}", o->sealed ? "true" : "false");
                puts(out.p ? out.p : "");
                return;
        }
        printf("%-14s %s\n%-14s %s\n%-14s %s\n%-14s %s\n", "operator id", o->id, "created", o->created_at, "name",
               o->display_name[0] ? o->display_name : "-", "sealed", o->sealed ? "yes" : "no");
}

static int do_init(struct wish *w) {
        struct iicp_operator o;
        char when[IICP_TIME_TEXT];
        int r;

        if (w->name && !iicp_display_name_valid(iicp_str(w->name)))
                return complain(w, "usage", "the name has 1 to 64 characters, no spaces around it, no control characters", "");
        iicp_time_text((int64_t) time(NULL), when);
        if (iicp_operator_new(w->name ? w->name : "", when, &o) < 0)
                return complain(w, "operator", "no random bytes for a key", "");
        r = write_identity(w, &o, w->sealed, true);
        o.sealed = w->sealed;
        if (r == EXIT_DONE)
                show_identity(w, &o);
        iicp_operator_wipe(&o);
        return r;
}

static int do_show(struct wish *w) {
        struct iicp_operator o;
        int r = open_identity(w, false, &o);

        if (r == EXIT_DONE)
                show_identity(w, &o);
        iicp_operator_wipe(&o);
        return r;
}

static int reseal(struct wish *w, bool sealed) {
        struct iicp_operator o = {0};
        int r = open_identity(w, true, &o);

        if (r == EXIT_DONE)
                r = write_identity(w, &o, sealed, false);
        iicp_operator_wipe(&o);
        return r;
}

static int do_seal(struct wish *w) {
        return reseal(w, true);
}

static int do_unseal(struct wish *w) {
        return reseal(w, false);
}

/* "30d", "12h", "90m", "3600s"; 0 = none of them. */
static int64_t ttl_of(const char *text) {
        char *unit;
        long n = strtol(text, &unit, 10);
        long each = strcmp(unit, "d") == 0 ? 86400 : strcmp(unit, "h") == 0 ? 3600 : strcmp(unit, "m") == 0 ? 60
                    : strcmp(unit, "s") == 0 ? 1 : 0;

        return n < 1 || each == 0 || n > TTL_MAX_S / each ? 0 : (int64_t) n * each;
}

static int put(const struct wish *w, const struct iicp_buf *text) {
        char why[256] = "";

        if (!w->out)
                puts(text->p);
        else if (secret_file_write(w->out, iicp_buf_str(text), true, why, sizeof(why)) < 0)
                return complain(w, "operator", why, "move it away, or write to another --out");
        return EXIT_DONE;
}

static int do_delegate(struct wish *w) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {0};
        int64_t ttl = ttl_of(w->ttl ? w->ttl : "30d");
        struct iicp_operator o = {0};
        struct iicp_delegation d;
        int r;

        if (!w->node_id || !iicp_node_id_valid(iicp_str(w->node_id))) {
                complain(w, "usage", "iicpctl operator delegate --node-id ID [--ttl 30d] [--out FILE]",
                         "the node id: iicpctl --json status | jq -r .node.node_id");
                return EXIT_USAGE;
        }
        if (ttl <= IICP_DELEGATION_LEFT_S) {
                complain(w, "usage", "--ttl wants more than a minute and at most 366 days", "like 30d, 12h, 90m, 3600s");
                return EXIT_USAGE;
        }
        r = open_identity(w, true, &o);
        if (r == EXIT_DONE && iicp_delegation_sign(o.seed, w->node_id, (int64_t) time(NULL) + ttl, &d) < 0)
                r = complain(w, "operator", "the delegation could not be signed", "");
        iicp_operator_wipe(&o);
        if (r != EXIT_DONE)
                return r;
        iicp_delegation_json(&d, &text);
        return put(w, &text);
}

static int do_manifest(struct wish *w) {
        _cleanup_(iicp_buf_free) struct iicp_buf file = {0}, text = {0};
        struct iicp_operator o = {0};
        struct iicp_json m;
        char why[256] = "";
        const char *wrong;
        int r;

        if (!w->word) {
                complain(w, "usage", "iicpctl operator manifest FILE [--out FILE]", "");
                return EXIT_USAGE;
        }
        if (plain_file_read(w->word, IICP_MANIFEST_FILE_MAX, &file, why, sizeof(why)) < 0)
                return complain(w, "manifest", why, "");
        if (iicp_json_scan(iicp_buf_str(&file), NULL, NULL, &m) < 0)
                return complain(w, "manifest", "it is no JSON, or has a member twice", "");
        wrong = iicp_manifest_lint(&m);
        if (wrong)
                return complain(w, "manifest", wrong, "directories would change it and its signature would not fit");
        r = open_identity(w, true, &o);
        if (r == EXIT_DONE && iicp_manifest_sign(&m, o.seed, (int64_t) time(NULL), &text) < 0)
                r = complain(w, "manifest", "it could not be signed", "");
        iicp_operator_wipe(&o);
        return r == EXIT_DONE ? put(w, &text) : r;
}

static int usage(const struct options *o) {
        tell_error(o, "usage", "iicpctl operator init|show|seal|unseal|delegate|manifest [--file operator.json]", "man iicpctl");
        return EXIT_USAGE;
}

int cmd_operator(const struct options *o, int argc, char **argv) {
        static const struct option longs[] = {
                {"file", required_argument, NULL, 'f'}, {"node-id", required_argument, NULL, 'i'},
                {"ttl", required_argument, NULL, 't'}, {"out", required_argument, NULL, 'o'},
                {"name", required_argument, NULL, 'n'}, {"sealed", no_argument, NULL, 's'}, {0}};
        static const struct {
                const char *name;
                int (*fn)(struct wish *w);
        } verbs[] = {{"init", do_init}, {"show", do_show}, {"seal", do_seal}, {"unseal", do_unseal},
                     {"delegate", do_delegate}, {"manifest", do_manifest}};
        struct wish w = {.o = o};
        int c;

        if (argc < 1)
                return usage(o);
        optind = 0;
        opterr = 0;
        while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
                switch (c) {
                case 'f': w.file = optarg; break;
                case 'i': w.node_id = optarg; break;
                case 't': w.ttl = optarg; break;
                case 'o': w.out = optarg; break;
                case 'n': w.name = optarg; break;
                case 's': w.sealed = true; break;
                default: return usage(o);
                }
        if (optind < argc)
                w.word = argv[optind++];
        if (optind < argc)
                return usage(o);
        if (w.file)
                snprintf(w.path, sizeof(w.path), "%s", w.file);
        else
                sdk_home("operator.json", w.path, sizeof(w.path));
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (strcmp(verbs[i].name, argv[0]) == 0)
                        return verbs[i].fn(&w);
        return usage(o);
}
