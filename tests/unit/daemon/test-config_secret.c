/* SPDX-License-Identifier: Apache-2.0 */
#include "config-help.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* A folder of its own with one secret file in it. */
struct folder {
        char path[PATH_MAX], file[PATH_MAX + 32], text[PATH_MAX + 128];
};

static void write_secret(const struct folder *f, const char *bytes, size_t n, mode_t mode) {
        int fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), (ssize_t) n);
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static int setup(void **state) {
        static struct folder f;

        char here[PATH_MAX];

        if (!getcwd(here, sizeof here) || snprintf(f.path, sizeof f.path, "%s/secret-XXXXXX", here) >= (int) sizeof f.path ||
            !mkdtemp(f.path))
                return -1;
        snprintf(f.file, sizeof f.file, "%s/caller-tokens", f.path);
        snprintf(f.text, sizeof f.text, "[auth]\ncaller_tokens = file:%s\n", f.file);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        struct folder *f = *state;

        chmod(f->path, 0700);
        unlink(f->file);
        return rmdir(f->path);
}

static void expect_refused(const struct folder *f, char *const *env, const char *why) {
        struct loaded l = load_full(f->text, env, NULL, false, true);

        assert_null(l.c);
        assert_int_equal(l.p.n_errors, 1);
        if (!problem_with(&l, why))
                fail_msg("'%s' is not in: %s", why, l.p.v[0].text);
        assert_null(strstr(l.p.v[0].text, "s3cret"));
        unload(&l);
}

static void IICPD_05_30_file_is_read_without_its_line_end(void **state) {
        struct folder *f = *state;
        struct loaded l;

        write_secret(f, "alice:s3cret\nbob:x\r\n\n", 21, 0600);
        l = load_full(f->text, NULL, NULL, false, true);
        assert_non_null(l.c);
        assert_string_equal(l.c->caller_tokens.value, "alice:s3cret\nbob:x");
        assert_int_equal(l.c->caller_tokens.n, 18);
        unload(&l);
}

static void IICPD_05_30_file_checks(void **state) {
        struct folder *f = *state;

        expect_refused(f, NULL, "caller-tokens cannot be read");
        write_secret(f, "s3cret", 6, 0640);
        expect_refused(f, NULL, "may be read by others (mode 0640)");
        write_secret(f, "s3cret", 6, 0604);
        expect_refused(f, NULL, "may be read by others");
        write_secret(f, "\r\n", 2, 0600);
        expect_refused(f, NULL, "is empty");
        write_secret(f, "s3\0cret", 7, 0600);
        expect_refused(f, NULL, "is no text");
        write_secret(f, "s3cret", 6, 0600);
        chmod(f->path, 0777);
        expect_refused(f, NULL, "folder may be written by others");
        chmod(f->path, 0700);
        unlink(f->file);
        assert_int_equal(symlink("/dev/null", f->file), 0);
        expect_refused(f, NULL, "symbolic link");
        unlink(f->file);
        assert_int_equal(mkdir(f->file, 0700), 0);
        expect_refused(f, NULL, "no regular file");
        rmdir(f->file);
        assert_int_equal(mkfifo(f->file, 0600), 0);
        expect_refused(f, NULL, "no regular file");
}

static void IICPD_05_30_file_of_another_owner(void **state) {
        struct folder *f = *state;

        if (geteuid() != 0)
                skip();
        write_secret(f, "s3cret", 6, 0600);
        assert_int_equal(chown(f->file, 12345, 12345), 0);
        expect_refused(f, NULL, "belongs to another user (uid 12345)");
}

static void IICPD_05_30_file_has_a_bound(void **state) {
        struct folder *f = *state;
        char *big = malloc(CONFIG_SECRET_MAX + 1);
        struct loaded l;

        memset(big, 's', CONFIG_SECRET_MAX + 1);
        write_secret(f, big, CONFIG_SECRET_MAX, 0600);
        l = load_full(f->text, NULL, NULL, false, true);
        assert_non_null(l.c);
        unload(&l);
        write_secret(f, big, CONFIG_SECRET_MAX + 1, 0600);
        free(big);
        expect_refused(f, NULL, "larger than 65536 bytes");
}

static void IICPD_05_30_credentials(void **state) {
        struct folder *f = *state;
        char entry[PATH_MAX + 32];
        char *env[] = {entry, NULL};
        struct loaded l;

        snprintf(entry, sizeof entry, "CREDENTIALS_DIRECTORY=%s", f->path);
        write_secret(f, "s3cret", 6, 0440); /* as systemd shows it with an ACL */
        /* the name of the table needs no key */
        l = load_full("", env, NULL, false, true);
        assert_non_null(l.c);
        assert_string_equal(l.c->caller_tokens.ref, "credential:caller-tokens");
        assert_string_equal(l.c->caller_tokens.value, "s3cret");
        unload(&l);
        l = load_full("[auth]\ncaller_tokens = credential:caller-tokens\n", env, NULL, false, true);
        assert_non_null(l.c);
        assert_string_equal(l.c->caller_tokens.value, "s3cret");
        unload(&l);
        snprintf(f->text, sizeof f->text, "[auth]\ncaller_tokens = credential:caller-tokens\n");
        expect_refused(f, NULL, "credential:caller-tokens: the service manager passed no credentials");
        write_secret(f, "s3cret", 6, 0444);
        expect_refused(f, env, "may be read by others");
        write_secret(f, "s3cret", 6, 0460);
        expect_refused(f, env, "may be read by others");
        snprintf(f->text, sizeof f->text, "[auth]\ncaller_tokens = credential:../x\n");
        expect_refused(f, NULL, "malformed reference");
}

static void IICPD_05_30_environment_warns(void **state) {
        char *env[] = {"MY_TOKENS=s3cret", "IICP_BACKEND_API_KEY=k3y", NULL};
        struct folder *f = *state;
        struct loaded l = load_full("[auth]\ncaller_tokens = env:MY_TOKENS\n", env, NULL, false, true);

        assert_non_null(l.c);
        assert_string_equal(l.c->caller_tokens.value, "s3cret");
        assert_string_equal(l.c->backends[0].api_key.value, "k3y");
        assert_string_equal(l.c->backends[0].api_key.ref, "env:IICP_BACKEND_API_KEY");
        assert_int_equal(l.p.n_warnings, 2);
        for (size_t i = 0; i < l.p.n; i++)
                assert_null(strstr(l.p.v[i].text, "k3y"));
        unload(&l);
        snprintf(f->text, sizeof f->text, "[auth]\ncaller_tokens = env:NOT_THERE\n");
        l = load_full(f->text, env, NULL, false, true);
        assert_null(l.c);
        assert_non_null(problem_with(&l, "env:NOT_THERE is not set"));
        unload(&l);
}

static void OX_12_check_reads_no_secret(void **state) {
        struct folder *f = *state;
        struct loaded l = load_full(f->text, NULL, NULL, false, false);

        assert_non_null(l.c);
        assert_null(l.c->caller_tokens.value);
        unload(&l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(IICPD_05_30_file_is_read_without_its_line_end, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_30_file_checks, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_30_file_of_another_owner, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_30_file_has_a_bound, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_30_credentials, setup, teardown),
                cmocka_unit_test_setup_teardown(IICPD_05_30_environment_warns, setup, teardown),
                cmocka_unit_test_setup_teardown(OX_12_check_reads_no_secret, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
