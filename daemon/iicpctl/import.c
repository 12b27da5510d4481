/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "keyring.h"
#include "secret_io.h"
#include "state.h"
#include "state_file.h"
#include "util.h"

#include <errno.h>
#include <getopt.h>
#include <iicp/operator.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Takes over a node of the SDKs: its id, its encryption key, its operator's file. The directory gives
 * it a new token when the node registers with the old key. [05 sections 3.2, 3.3, 8.1] */

#define KEY_FILE_MAX 16384

struct import {
        const struct options *o;
        const char *home, *node_id, *state_dir;
        bool yes;
        struct keyring key;
        bool has_key, has_operator;
        struct iicp_buf operator_;
        struct iicp_operator who;
};

static int complain(const struct import *i, const char *message, const char *todo) {
        tell_error(i->o, "import", message, todo);
        return EXIT_REFUSED;
}

/* EXIT_DONE with has_key false: there is none. */
static int find_key(struct import *i) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf text = {0};
        char name[KEYRING_SDK_NAME], path[4200], why[256] = "";
        int r;

        if (keyring_sdk_name(i->node_id, name) < 0)
                return complain(i, "no memory", "");
        snprintf(path, sizeof(path), "%s/cx/%s", i->home, name);
        r = secret_file_read(path, KEY_FILE_MAX, &text, why, sizeof(why));
        if (r == -ENOENT)
                return EXIT_DONE;
        if (r < 0)
                return complain(i, why, "");
        r = keyring_import_sdk(iicp_buf_str(&text), (int64_t) time(NULL), &i->key);
        if (r == -EBADMSG)
                return complain(i, "the encryption key's private half does not make its public half: the file was changed", "");
        if (r < 0)
                return complain(i, "the encryption key's file is not in the format of the SDKs", "");
        i->has_key = true;
        return EXIT_DONE;
}

static int find_operator(struct import *i) {
        char path[4200], why[256] = "", message[256];
        enum iicp_operator_fault f;
        int r;

        snprintf(path, sizeof(path), "%s/operator.json", i->home);
        r = secret_file_read(path, IICP_OPERATOR_FILE_MAX, &i->operator_, why, sizeof(why));
        if (r == -ENOENT)
                return EXIT_DONE;
        if (r < 0)
                return complain(i, why, "");
        f = iicp_operator_read(iicp_buf_str(&i->operator_), IICP_STR_NONE, &i->who);
        if (f != IICP_OPERATOR_OK) {
                snprintf(message, sizeof(message), "operator.json: %s", iicp_operator_fault_text(f));
                return complain(i, message, "");
        }
        i->has_operator = true;
        return EXIT_DONE;
}

static void show_it(const struct import *i) {
        printf("%-16s %s\n", "from", i->home);
        printf("%-16s %s\n", "node id", i->node_id);
        printf("%-16s %s\n", "encryption key", i->has_key ? i->key.keys[0].key_id : "none found: a new one is made");
        printf("%-16s %s\n", "operator", i->has_operator ? i->who.id : "none found");
        printf("%-16s %s\n", "to", i->state_dir);
}

/* The id first, as the state does it, then the key in place of the one that was made with it. */
static int write_state(const struct import *i) {
        _cleanup_(iicp_buf_wipe) struct iicp_buf ring = {.secret = true};
        _cleanup_close_ int cx = -1;
        struct state *s = NULL;
        char why[512] = "";
        int r = state_open(i->state_dir, i->node_id, (int64_t) time(NULL), &s, why, sizeof(why));

        if (r < 0)
                return complain(i, *why ? why : strerror(-r), r == -EBUSY ? "stop iicpd first" : "");
        if (i->has_key)
                r = state_dir_open(state_dir_fd(s), "cx", &cx, why, sizeof(why));
        if (r == 0 && i->has_key)
                r = keyring_write(&i->key, i->node_id, &ring);
        if (r == 0 && i->has_key)
                r = state_write_file(cx, "keyring.json", iicp_buf_str(&ring));
        if (r == 0 && i->has_operator)
                r = state_write_file(state_dir_fd(s), "operator.json", iicp_buf_str(&i->operator_));
        state_close(s);
        return r < 0 ? complain(i, *why ? why : strerror(-r), "") : EXIT_DONE;
}

/* What would stand in the way, found without writing: nothing of ours may be there yet that is another node's. */
static int look_at_state(const struct import *i) {
        char path[4352], message[4480];
        struct stat st;

        if (stat(i->state_dir, &st) < 0)
                return errno == ENOENT ? EXIT_DONE : complain(i, strerror(errno), i->state_dir);
        if (!S_ISDIR(st.st_mode)) {
                snprintf(message, sizeof(message), "%s is no folder", i->state_dir);
                return complain(i, message, "another --state-dir");
        }
        if (access(i->state_dir, R_OK | W_OK | X_OK) < 0) {
                snprintf(message, sizeof(message), "%s cannot be written: %s", i->state_dir, strerror(errno));
                return complain(i, message, "sudo iicpctl import ...");
        }
        snprintf(path, sizeof(path), "%s/identity.json", i->state_dir);
        if (!i->o->json && access(path, F_OK) == 0)
                printf("%-16s %s has an identity already; import keeps it only if it is this one\n", "note", i->state_dir);
        return EXIT_DONE;
}

static int look_at_home(const struct import *i) {
        char message[4352];
        struct stat st;

        if (stat(i->home, &st) == 0 && S_ISDIR(st.st_mode))
                return EXIT_DONE;
        snprintf(message, sizeof(message), "%s is no folder of the SDKs: %s", i->home, errno == ENOENT ? "it does not exist" : strerror(errno));
        return complain(i, message, "iicpctl import DIR --node-id ID, DIR is where the SDK kept its files (~/.iicp)");
}

static void show_plan(const struct import *i) {
        if (i->o->json)
                printf("{\"schema\":\"iicp.import/1\",\"done\":false,\"node_id\":\"%s\",\"encryption_key\":%s,\"operator\":%s}\n",
                       i->node_id, i->has_key ? "true" : "false", i->has_operator ? "true" : "false");
        else
                printf("Nothing is done yet. With iicpd stopped: iicpctl import %s --node-id %s --state-dir %s --yes\n", i->home,
                       i->node_id, i->state_dir);
}

static int run(struct import *i) {
        int r = look_at_home(i);

        if (r == EXIT_DONE)
                r = find_key(i);
        if (r == EXIT_DONE)
                r = find_operator(i);
        if (r != EXIT_DONE)
                return r;
        if (!i->o->json)
                show_it(i);
        r = look_at_state(i);
        if (r != EXIT_DONE)
                return r;
        if (!i->yes) {
                show_plan(i);
                return EXIT_DONE;
        }
        r = write_state(i);
        if (r == EXIT_DONE && i->has_operator && !i->o->json)
                printf("\nto sign delegations with it:\n[operator]\nidentity = file:%s/operator.json\n", i->state_dir);
        if (r == EXIT_DONE && i->o->json)
                printf("{\"schema\":\"iicp.import/1\",\"done\":true,\"node_id\":\"%s\",\"encryption_key\":%s,\"operator\":%s}\n", i->node_id,
                       i->has_key ? "true" : "false", i->has_operator ? "true" : "false");
        return r;
}

int cmd_import(const struct options *o, int argc, char **argv) {
        static const struct option longs[] = {{"node-id", required_argument, NULL, 'i'},
                                              {"state-dir", required_argument, NULL, 's'},
                                              {"yes", no_argument, NULL, 'y'}, {0}};
        struct import i = {.o = o, .state_dir = "/var/lib/iicp"};
        char home[4096], *words[12] = {(char *) "import"};
        bool bad = false;
        int c, r, n = 1;

        for (int k = 0; k < argc && n < 11; k++)
                words[n++] = argv[k];
        optind = 0;
        opterr = 0;
        while ((c = getopt_long(n, words, "", longs, NULL)) >= 0)
                if (c == 'i')
                        i.node_id = optarg;
                else if (c == 's')
                        i.state_dir = optarg;
                else if (c == 'y')
                        i.yes = true;
                else
                        bad = true;
        sdk_home("", home, sizeof(home));
        home[strlen(home) - 1] = '\0'; /* the slash */
        i.home = optind < n ? words[optind] : home;
        if (bad || !i.node_id || !iicp_node_id_valid(iicp_str(i.node_id)) || optind + 1 < n) {
                tell_error(o, "usage", "iicpctl import [~/.iicp] --node-id ID [--state-dir /var/lib/iicp] [--yes]",
                           "the SDK shows its node id at start");
                return EXIT_USAGE;
        }
        r = run(&i);
        keyring_wipe(&i.key);
        iicp_buf_wipe(&i.operator_);
        iicp_operator_wipe(&i.who);
        return r;
}
