/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"
#include "state_file.h"

#include "keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define NOW 1790000000

static char dir[64];
static char why[512];

static int make_dir(void **state) {
        (void) state;
        strcpy(dir, "/tmp/iicp-state-XXXXXX");
        return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
        char command[128];

        (void) state;
        snprintf(command, sizeof(command), "rm -rf -- %s", dir);
        return system(command);
}

static const char *at(const char *name) {
        static char path[2][512];
        static int turn;

        turn = !turn;
        snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
        return path[turn];
}

static struct state *open_ok(const char *id) {
        struct state *s = NULL;

        why[0] = '\0';
        if (state_open(dir, id, NOW, &s, why, sizeof(why)) < 0)
                fail_msg("state_open: %s", why);
        return s;
}

static void put_file(const char *name, const char *text, mode_t mode) {
        FILE *f = fopen(at(name), "w");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
        assert_int_equal(chmod(at(name), mode), 0);
}

static bool has_aside(const char *folder, const char *prefix) {
        DIR *d = opendir(at(folder));
        struct dirent *e;
        bool found = false;

        assert_non_null(d);
        while ((e = readdir(d)))
                found |= strncmp(e->d_name, prefix, strlen(prefix)) == 0;
        closedir(d);
        return found;
}

static void SEC_PRIV_08_node_id_is_a_random_uuid(void **state) {
        struct state *s = open_ok(NULL);
        char first[37];

        (void) state;
        strcpy(first, state_identity(s)->node_id);
        assert_int_equal(strlen(first), 36);
        assert_int_equal(first[14], '4');
        state_close(s);
        s = open_ok(NULL);
        assert_string_equal(state_identity(s)->node_id, first);
        state_close(s);
        assert_int_equal(unlink(at("identity.json")), 0);
        s = open_ok(NULL);
        assert_string_not_equal(state_identity(s)->node_id, first);
        state_close(s);
}

static void IICPD_01_63_files_are_0600_in_a_0700_directory(void **state) {
        struct state *s = open_ok(NULL);
        struct stat st;

        (void) state;
        assert_int_equal(stat(dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(stat(at("identity.json"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(stat(at("cx"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(stat(at("cx/keyring.json"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        state_close(s);
}

static void IICPD_01_63_what_is_saved_is_read_again(void **state) {
        struct state *s = open_ok("gpu-1");
        struct identity *id = state_identity(s);
        struct state_job *job;

        (void) state;
        strcpy(id->node_token, "token \"with\" quotes");
        strcpy(id->node_hmac_key, "key");
        strcpy(id->challenge, "c1");
        strcpy(id->directory_base, "https://dir.example.org/api");
        strcpy(id->registered.endpoint, "http://192.0.2.1:9484");
        strcpy(id->registered.cx_key_id, "cx-1");
        id->registered_at = NOW;
        assert_int_equal(state_snapshot(s, &job), 0);
        strcpy(id->node_token, "changed after the snapshot");
        assert_int_equal(state_job_write(job), 0);
        state_job_free(job);
        state_close(s);
        s = open_ok("gpu-1");
        id = state_identity(s);
        assert_string_equal(id->node_token, "token \"with\" quotes");
        assert_string_equal(id->node_hmac_key, "key");
        assert_string_equal(id->challenge, "c1");
        assert_string_equal(id->directory_base, "https://dir.example.org/api");
        assert_string_equal(id->registered.endpoint, "http://192.0.2.1:9484");
        assert_string_equal(id->registered.cx_key_id, "cx-1");
        assert_int_equal(id->registered_at, NOW);
        state_close(s);
}

static void IICPD_01_64_corrupt_identity_is_kept_aside(void **state) {
        struct state *s = open_ok(NULL);
        char first[37];

        (void) state;
        strcpy(first, state_identity(s)->node_id);
        state_close(s);
        put_file("identity.json", "{\"node_id\":", 0600);
        s = open_ok(NULL);
        assert_string_not_equal(state_identity(s)->node_id, first);
        assert_true(has_aside(".", "identity.json.bad-"));
        /* the key belonged to the old node id */
        assert_true(has_aside("cx", "keyring.json.old-"));
        state_close(s);
}

static void IICPD_01_64_unusable_identities_are_corrupt(void **state) {
        static const char *const texts[] = {
                "", "[]", "{}", "{\"node_id\":\"\"}", "{\"node_id\":7}", "{\"node_id\":\"a b\"}",
                "{\"node_id\":\"-a\"}", "{\"node_id\":\"a/../b\"}",
                "{\"node_id\":\"0123456789012345678901234567890123456\"}",
                "{\"node_id\":\"a\",\"node_token\":[]}",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct state *s;

                state_close(open_ok(NULL));
                put_file("identity.json", texts[i], 0600);
                s = open_ok(NULL);
                assert_int_equal(strlen(state_identity(s)->node_id), 36);
                assert_string_equal(state_identity(s)->node_token, "");
                assert_true(has_aside(".", "identity.json.bad-"));
                state_close(s);
        }
}

/* A crash between writing and renaming leaves the old file whole and the way free. */
static void IICPD_01_63_left_overs_of_a_crash_do_no_harm(void **state) {
        struct state *s = open_ok("a");

        (void) state;
        put_file(".identity.json.new", "{\"node_id\":\"half", 0644);
        strcpy(state_identity(s)->node_token, "t1");
        assert_int_equal(state_save_identity(s), 0);
        assert_int_not_equal(access(at(".identity.json.new"), F_OK), 0);
        state_close(s);
        put_file(".identity.json.new", "{\"node_id\":\"half", 0644);
        s = open_ok("a");
        assert_string_equal(state_identity(s)->node_token, "t1");
        state_close(s);
}

static void IICPD_05_22_second_instance_is_refused_with_the_pid(void **state) {
        struct state *s = open_ok(NULL), *other = NULL;
        char pid[32];

        (void) state;
        assert_int_equal(state_open(dir, NULL, NOW, &other, why, sizeof(why)), -EBUSY);
        snprintf(pid, sizeof(pid), "pid %ld", (long) getpid());
        assert_non_null(strstr(why, pid));
        state_close(s);
        state_close(open_ok(NULL));
}

static void refused(int wanted, const char *word) {
        struct state *s = NULL;

        why[0] = '\0';
        assert_int_equal(state_open(dir, NULL, NOW, &s, why, sizeof(why)), wanted);
        assert_non_null(strstr(why, word));
        assert_null(s);
}

static void IICPD_05_31_wrong_mode_refuses_the_start(void **state) {
        (void) state;
        state_close(open_ok(NULL));
        assert_int_equal(chmod(at("identity.json"), 0640), 0);
        refused(-EPERM, "chmod 0600");
        assert_int_equal(chmod(at("identity.json"), 0600), 0);
        assert_int_equal(chmod(at("cx/keyring.json"), 0604), 0);
        refused(-EPERM, "chmod 0600");
        assert_int_equal(chmod(at("cx/keyring.json"), 0600), 0);
        assert_int_equal(chmod(dir, 0750), 0);
        refused(-EPERM, "chmod 0700");
        assert_int_equal(chmod(dir, 0700), 0);
        state_close(open_ok(NULL));
}

static void IICPD_05_31_links_are_not_followed(void **state) {
        (void) state;
        state_close(open_ok(NULL));
        assert_int_equal(rename(at("identity.json"), at("elsewhere.json")), 0);
        assert_int_equal(symlink(at("elsewhere.json"), at("identity.json")), 0);
        refused(-EPERM, "identity.json");
}

static void IICPD_05_31_corrupt_keyring_is_kept_aside(void **state) {
        struct state *s = open_ok(NULL);
        char id[IICP_CX_KEY_ID_TEXT];

        (void) state;
        strcpy(id, state_cx_key_id(s));
        state_close(s);
        put_file("cx/keyring.json", "{]", 0600);
        s = open_ok(NULL);
        assert_string_not_equal(state_cx_key_id(s), id);
        assert_true(has_aside("cx", "keyring.json.bad-"));
        state_close(s);
}

static void CX_NODE_02_key_is_stable_and_belongs_to_the_node_id(void **state) {
        struct state *s = open_ok("a");
        struct iicp_str published = state_cx_public(s);
        char first[512];

        (void) state;
        memcpy(first, published.p, published.n + 1);
        state_close(s);
        s = open_ok("a");
        assert_string_equal(state_cx_public(s).p, first);
        state_close(s);
        s = open_ok("b");
        assert_string_not_equal(state_cx_public(s).p, first);
        state_close(s);
}

static bool file_holds(const char *folder, const char *name, const char *word) {
        char path[256], text[8192] = "";
        FILE *f;
        size_t n;

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        f = fopen(at(path), "r");
        assert_non_null(f);
        n = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        return memmem(text, n, word, strlen(word)) != NULL;
}

static size_t files_with(const char *folder, const char *word) {
        DIR *d = opendir(at(folder));
        struct dirent *e;
        size_t n = 0;

        assert_non_null(d);
        while ((e = readdir(d)))
                n += e->d_type == DT_REG && file_holds(folder, e->d_name, word);
        closedir(d);
        return n;
}

static void DIR_REG_07_token_stands_in_the_protected_file_only(void **state) {
        struct state *s = open_ok("a");
        struct stat st;

        (void) state;
        strcpy(state_identity(s)->node_token, "token-4f1e9b01");
        assert_int_equal(state_save_identity(s), 0);
        assert_true(file_holds(".", "identity.json", "token-4f1e9b01"));
        assert_int_equal(files_with(".", "token-4f1e9b01"), 1);
        assert_int_equal(files_with("cx", "token-4f1e9b01"), 0);
        assert_int_equal(stat(at("identity.json"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        state_close(s);
}

/* Opaque, up to 512 characters; nothing that a directory may send is cut. */
static void IICPD_05_04_longest_token_and_key_are_kept(void **state) {
        struct state *s = open_ok("a");
        struct identity *id = state_identity(s);

        (void) state;
        memset(id->node_token, '~', STATE_TOKEN_MAX);
        memset(id->node_hmac_key, '"', STATE_HMAC_KEY_MAX);
        assert_int_equal(state_save_identity(s), 0);
        state_close(s);
        s = open_ok("a");
        id = state_identity(s);
        assert_int_equal(strlen(id->node_token), STATE_TOKEN_MAX);
        assert_int_equal(strlen(id->node_hmac_key), STATE_HMAC_KEY_MAX);
        assert_int_equal(id->node_hmac_key[STATE_HMAC_KEY_MAX - 1], '"');
        state_close(s);
}

static void CX_NODE_02_another_id_gets_a_new_key_and_keeps_the_old_one_for_a_day(void **state) {
        struct state *s = open_ok(NULL);
        char old[IICP_CX_KEY_ID_TEXT], new[IICP_CX_KEY_ID_TEXT];
        const struct iicp_cx_private *keys;
        size_t n;

        (void) state;
        strcpy(old, state_cx_key_id(s));
        strcpy(state_identity(s)->node_id, "given-by-directory");
        assert_int_equal(state_rekey(s, NOW), 0);
        strcpy(new, state_cx_key_id(s));
        assert_string_not_equal(new, old);
        assert_int_equal(state_save_identity(s), 0);
        state_close(s);
        s = open_ok(NULL);
        assert_string_equal(state_identity(s)->node_id, "given-by-directory");
        keys = state_cx_keys(s, &n);
        assert_int_equal(n, 2);
        assert_string_equal(keys[0].key_id, new);
        assert_string_equal(keys[1].key_id, old);
        state_close(s);
        assert_int_equal(state_open(dir, NULL, NOW + KEYRING_RETIRED_S, &s, why, sizeof(why)), 0);
        state_cx_keys(s, &n);
        assert_int_equal(n, 1);
        state_close(s);
}

static char *read_file(const char *name) {
        FILE *f = fopen(at(name), "r");
        char *text = calloc(1, 8192);

        assert_non_null(f);
        assert_true(fread(text, 1, 8191, f) > 0);
        fclose(f);
        return text;
}

static void IICPD_05_07_IICPD_05_31_private_key_must_match(void **state) {
        struct state *s = open_ok("a");
        char *text, *p;

        (void) state;
        state_close(s);
        text = read_file("cx/keyring.json");
        p = strstr(text, "\"private_key\":\"") + 15;
        p[5] = p[5] == 'A' ? 'B' : 'A';
        put_file("cx/keyring.json", text, 0600);
        free(text);
        assert_int_equal(state_open(dir, "a", NOW, &s, why, sizeof(why)), -EBADMSG);
        assert_non_null(strstr(why, "does not match"));
}

static void CX_NODE_01_expired_key_is_replaced(void **state) {
        struct state *s = open_ok("a");
        char id[IICP_CX_KEY_ID_TEXT];

        (void) state;
        strcpy(id, state_cx_key_id(s));
        state_close(s);
        assert_int_equal(state_open(dir, "a", NOW + KEYRING_LIFE_S - 1, &s, why, sizeof(why)), 0);
        assert_string_equal(state_cx_key_id(s), id);
        state_close(s);
        assert_int_equal(state_open(dir, "a", NOW + KEYRING_LIFE_S, &s, why, sizeof(why)), 0);
        assert_string_not_equal(state_cx_key_id(s), id);
        state_close(s);
}

static struct state *open_with(uint8_t first, int64_t now_s) {
        uint8_t key[32] = {first};
        struct state *s = NULL;

        why[0] = '\0';
        if (state_open_sealed(dir, "a", key, now_s, &s, why, sizeof(why)) < 0)
                fail_msg("state_open_sealed: %s", why);
        return s;
}

static bool holds(const char *name, const char *text) {
        char *got = read_file(name);
        bool found = strstr(got, text) != NULL;

        free(got);
        return found;
}

static void IICPD_05_31_state_is_sealed_and_unsealed_again(void **state) {
        bool sealed;
        struct state *s = open_ok("a");
        char id[IICP_CX_KEY_ID_TEXT];
        uint8_t wrong[32] = {9};

        (void) state;
        strcpy(state_identity(s)->node_token, "exampleNodeToken");
        strcpy(id, state_cx_key_id(s));
        assert_int_equal(state_save_identity(s), 0);
        state_close(s);
        assert_true(holds("identity.json", "exampleNodeToken"));
        /* the first start with a key seals what is there */
        s = open_with(1, NOW);
        assert_string_equal(state_identity(s)->node_token, "exampleNodeToken");
        state_close(s);
        assert_false(holds("identity.json", "exampleNodeToken"));
        assert_false(holds("cx/keyring.json", "private_key"));
        assert_true(holds("cx/keyring.json", "A256GCM"));
        /* without it, or with another one, nothing starts and nothing is moved away */
        assert_int_equal(state_open(dir, "a", NOW, &s, why, sizeof(why)), -EKEYREJECTED);
        assert_non_null(strstr(why, "node.state_key"));
        assert_int_equal(state_open_sealed(dir, "a", wrong, NOW, &s, why, sizeof(why)), -EKEYREJECTED);
        s = open_with(1, NOW);
        assert_string_equal(state_identity(s)->node_token, "exampleNodeToken");
        assert_string_equal(state_cx_key_id(s), id);
        /* and the way back */
        assert_int_equal(state_sealed_at(dir, &sealed), 0);
        assert_true(sealed);
        assert_int_equal(state_seal_end(s), 0);
        state_close(s);
        assert_int_equal(state_sealed_at(dir, &sealed), 0);
        assert_false(sealed);
        assert_int_equal(state_sealed_at("/nonexistent", &sealed), -ENOENT);
        s = open_ok("a");
        assert_string_equal(state_identity(s)->node_token, "exampleNodeToken");
        assert_string_equal(state_cx_key_id(s), id);
        state_close(s);
}

static void IICPD_05_08_a_new_key_is_offered_once_it_is_on_the_disk(void **state) {
        struct state *s = open_ok("a");
        char old[IICP_CX_KEY_ID_TEXT], fresh[IICP_CX_KEY_ID_TEXT];
        struct cx_times t;
        size_t n;

        (void) state;
        strcpy(old, state_cx_key_id(s));
        assert_int_equal(state_cx_rotate(s, NOW), 0);
        assert_string_equal(state_cx_key_id(s), old);
        state_cx_keys(s, &n);
        assert_int_equal(n, 2); /* it opens from the first moment */
        assert_int_equal(state_save_identity(s), 0);
        strcpy(fresh, state_cx_key_id(s));
        assert_string_not_equal(fresh, old);
        assert_string_equal(state_cx_current_id(s), old);
        state_close(s);
        /* killed before the directory answered: it is offered again */
        s = open_ok("a");
        assert_string_equal(state_cx_key_id(s), fresh);
        assert_false(state_cx_accepted(s, old, NOW));
        assert_true(state_cx_accepted(s, fresh, NOW));
        assert_string_equal(state_cx_current_id(s), fresh);
        state_cx_times(s, NOW, &t);
        assert_null(t.pending);
        assert_int_equal(t.next_expiry_s, KEYRING_RETIRED_S);
        assert_int_equal(state_save_identity(s), 0);
        state_close(s);
        s = open_ok("a");
        assert_string_equal(state_cx_current_id(s), fresh);
        assert_true(state_cx_expire(s, NOW + KEYRING_RETIRED_S));
        assert_int_equal(state_save_identity(s), 0);
        state_close(s);
        assert_false(holds("cx/keyring.json", old));
}

static void a_folder_of_the_root_file_system_or_of_memory_goes_with_a_container(void **state) {
        struct stat proc, root;

        (void) state;
        assert_true(state_dir_vanishes("/"));
        assert_false(state_dir_vanishes("/does/not/exist"));
        assert_int_equal(stat("/", &root), 0);
        if (stat("/proc/self", &proc) == 0 && proc.st_dev != root.st_dev)
                assert_false(state_dir_vanishes("/proc/self")); /* a mount that is no memory: like a volume */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(SEC_PRIV_08_node_id_is_a_random_uuid),
                TEST(IICPD_01_63_files_are_0600_in_a_0700_directory),
                TEST(IICPD_01_63_what_is_saved_is_read_again),
                TEST(IICPD_01_64_corrupt_identity_is_kept_aside),
                TEST(IICPD_01_64_unusable_identities_are_corrupt),
                TEST(IICPD_01_63_left_overs_of_a_crash_do_no_harm),
                TEST(IICPD_05_22_second_instance_is_refused_with_the_pid),
                TEST(IICPD_05_31_wrong_mode_refuses_the_start),
                TEST(IICPD_05_31_links_are_not_followed),
                TEST(IICPD_05_31_corrupt_keyring_is_kept_aside),
                TEST(DIR_REG_07_token_stands_in_the_protected_file_only),
                TEST(IICPD_05_04_longest_token_and_key_are_kept),
                TEST(CX_NODE_02_another_id_gets_a_new_key_and_keeps_the_old_one_for_a_day),
                TEST(CX_NODE_02_key_is_stable_and_belongs_to_the_node_id),
                TEST(IICPD_05_07_IICPD_05_31_private_key_must_match),
                TEST(CX_NODE_01_expired_key_is_replaced),
                TEST(IICPD_05_31_state_is_sealed_and_unsealed_again),
                TEST(a_folder_of_the_root_file_system_or_of_memory_goes_with_a_container),
                TEST(IICPD_05_08_a_new_key_is_offered_once_it_is_on_the_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
