/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <iicp/redirect.h>
#include <string.h>

#define PATH "/v1/discover?intent=urn%3Aiicp"

static const char *const listed[] = {"https://replica.example.org", NULL};

static enum iicp_redirect_verdict go(struct iicp_redirect_call *c, int status, const char *location, const char *after,
                                     struct iicp_redirect_step *step) {
        return iicp_redirect(c, status, PATH, iicp_str(location), iicp_str(after), step);
}

static struct iicp_redirect_call call(enum iicp_redirect_kind kind) {
        return (struct iicp_redirect_call){.base = "https://dir.example.org/api", .origins = listed, .kind = kind};
}

static void DIR_FED_05_the_location_is_used_as_given(void **state) {
        struct iicp_redirect_call c = call(IICP_REDIRECT_READ);
        struct iicp_redirect_step step;
        static const char to[] = "https://dir.example.org:443/other/v1/discover?intent=%41&x=1%20";

        (void) state;
        assert_int_equal(go(&c, 307, to, NULL, &step), IICP_REDIRECT_FOLLOW);
        assert_string_equal(step.url, to);
        assert_int_equal(c.hops, 1);
}

static void DIR_FED_06_at_most_three_in_a_row(void **state) {
        struct iicp_redirect_call c = call(IICP_REDIRECT_CREDENTIAL);
        struct iicp_redirect_step step;

        (void) state;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(go(&c, 307, "https://dir.example.org/x", NULL, &step), IICP_REDIRECT_FOLLOW);
        assert_int_equal(go(&c, 307, "https://dir.example.org/x", NULL, &step), IICP_REDIRECT_FAILED);
}

static void IICPD_01_24_only_307_and_https_only(void **state) {
        static const int others[] = {300, 301, 302, 303, 304, 308};
        static const char *const bad[] = {
                "", "/v1/discover", "//dir.example.org/", "http://dir.example.org/api/v1/discover",
                "https://user@dir.example.org/", "https://dir.example.org/#x", "ftp://dir.example.org/",
                "https://dir.example.org\\@evil.example/", "https://", "https://dir.example.org/a b",
        };
        struct iicp_redirect_step step;

        (void) state;
        for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
                struct iicp_redirect_call c = call(IICP_REDIRECT_READ);

                assert_int_equal(go(&c, others[i], "https://dir.example.org/", NULL, &step), IICP_REDIRECT_FAILED);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                struct iicp_redirect_call c = call(IICP_REDIRECT_READ);

                assert_int_equal(go(&c, 307, bad[i], NULL, &step), IICP_REDIRECT_FAILED);
        }
}

static void IICPD_01_24_http_when_the_base_is_http(void **state) {
        struct iicp_redirect_call c = {.base = "http://127.0.0.1:1/api", .kind = IICP_REDIRECT_CREDENTIAL};
        struct iicp_redirect_step step;

        (void) state;
        assert_int_equal(go(&c, 307, "http://127.0.0.1:1/v1/register", NULL, &step), IICP_REDIRECT_FOLLOW);
        assert_int_equal(go(&c, 307, "http://127.0.0.1:2/v1/register", NULL, &step), IICP_REDIRECT_REFUSED);
}

static void IICPD_01_25_writes_go_to_base_and_listed_origins_only(void **state) {
        static const char *const foreign[] = {
                "https://evil.example.org/api/v1/register", "https://dir.example.org:8443/api/v1/register",
                "https://dir.example.org.evil.example/", "https://replica.example.org:444/",
        };
        struct iicp_redirect_step step;

        (void) state;
        for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
                struct iicp_redirect_call c = call(IICP_REDIRECT_CREDENTIAL);

                assert_int_equal(go(&c, 307, foreign[i], "1", &step), IICP_REDIRECT_REFUSED);
                assert_string_equal(step.url, "");
        }
}

static void DIR_FED_18_a_write_is_repeated_at_the_seed(void **state) {
        struct iicp_redirect_call c = {.base = "https://replica.example.org/api", .kind = IICP_REDIRECT_CREDENTIAL};
        static const char *const seed[] = {"https://dir.example.org", NULL};
        struct iicp_redirect_step step;

        (void) state;
        assert_int_equal(go(&c, 307, "https://dir.example.org/api/v1/register", "0", &step), IICP_REDIRECT_REFUSED);
        c.origins = seed;
        assert_int_equal(go(&c, 307, "https://dir.example.org/api/v1/register", "0", &step), IICP_REDIRECT_FOLLOW);
        assert_string_equal(step.base, "");
}

static void IICPD_01_26_a_read_asks_the_seed_twice_more(void **state) {
        struct iicp_redirect_call c = call(IICP_REDIRECT_READ);
        struct iicp_redirect_step step;
        static const char to[] = "https://unlisted.example.org/api" PATH;

        (void) state;
        assert_int_equal(go(&c, 307, to, "3", &step), IICP_REDIRECT_ASK_SEED);
        assert_int_equal(step.wait_ms, 3000);
        assert_int_equal(go(&c, 307, to, NULL, &step), IICP_REDIRECT_ASK_SEED);
        assert_int_equal(step.wait_ms, 1000);
        assert_int_equal(go(&c, 307, to, "1", &step), IICP_REDIRECT_REFUSED);
        c = call(IICP_REDIRECT_READ);
        assert_int_equal(go(&c, 307, to, "60", &step), IICP_REDIRECT_ASK_SEED);
        c = call(IICP_REDIRECT_READ);
        assert_int_equal(go(&c, 307, to, "61", &step), IICP_REDIRECT_REFUSED);
}

static void IICPD_01_26_the_origin_is_remembered_as_long_as_told(void **state) {
        static const struct {
                const char *after;
                unsigned ms;
        } cases[] = {{NULL, 5000}, {"7", 7000}, {"0", 0}, {"soon", 5000}};
        struct iicp_redirect_step step;

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                struct iicp_redirect_call c = call(IICP_REDIRECT_READ);

                assert_int_equal(go(&c, 307, "https://replica.example.org/copy" PATH, cases[i].after, &step),
                                 IICP_REDIRECT_FOLLOW);
                assert_int_equal(step.base_ms, cases[i].ms);
                assert_string_equal(step.base, cases[i].ms ? "https://replica.example.org/copy" : "");
        }
        struct iicp_redirect_call c = call(IICP_REDIRECT_READ);

        assert_int_equal(go(&c, 307, "https://replica.example.org/elsewhere", "9", &step), IICP_REDIRECT_FOLLOW);
        assert_string_equal(step.base, "");
}

static void IICPD_05_39_the_key_comes_from_the_base_alone(void **state) {
        struct iicp_redirect_call c = call(IICP_REDIRECT_ANCHOR);
        struct iicp_redirect_step step;

        (void) state;
        assert_int_equal(go(&c, 307, "https://replica.example.org/api/v1/directory-key", "1", &step),
                         IICP_REDIRECT_REFUSED);
        assert_int_equal(go(&c, 307, "https://dir.example.org/v1/directory-key", "1", &step), IICP_REDIRECT_FOLLOW);
}

static void length_of_a_location(void **state) {
        struct iicp_redirect_step step;
        char url[IICP_REDIRECT_URL_MAX + 1];

        (void) state;
        for (size_t n = IICP_REDIRECT_URL_MAX - 1; n <= IICP_REDIRECT_URL_MAX; n++) {
                struct iicp_redirect_call c = call(IICP_REDIRECT_READ);

                memset(url, 'a', n);
                memcpy(url, "https://dir.example.org/", 24);
                url[n] = '\0';
                assert_int_equal(go(&c, 307, url, NULL, &step),
                                 n < IICP_REDIRECT_URL_MAX ? IICP_REDIRECT_FOLLOW : IICP_REDIRECT_FAILED);
        }
}

static void IICPD_01_06_the_first_404_without_our_words_drops_api(void **state) {
        char base[IICP_DIRECTORY_URL_MAX] = "https://dir.example.org/api";

        (void) state;
        assert_false(iicp_directory_without_api(base, 404, IICP_STR("{\"error\":{\"code\":\"IICP-E003\"}}")));
        assert_false(iicp_directory_without_api(base, 404, IICP_STR("{\"error\":\"not_found\"}")));
        assert_false(iicp_directory_without_api(base, 500, IICP_STR("oops")));
        assert_string_equal(base, "https://dir.example.org/api");
        assert_true(iicp_directory_without_api(base, 404, IICP_STR("<html>not found</html>")));
        assert_string_equal(base, "https://dir.example.org");
        assert_false(iicp_directory_without_api(base, 404, IICP_STR("<html>not found</html>")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(DIR_FED_05_the_location_is_used_as_given),
                cmocka_unit_test(DIR_FED_06_at_most_three_in_a_row),
                cmocka_unit_test(IICPD_01_24_only_307_and_https_only),
                cmocka_unit_test(IICPD_01_24_http_when_the_base_is_http),
                cmocka_unit_test(IICPD_01_25_writes_go_to_base_and_listed_origins_only),
                cmocka_unit_test(DIR_FED_18_a_write_is_repeated_at_the_seed),
                cmocka_unit_test(IICPD_01_26_a_read_asks_the_seed_twice_more),
                cmocka_unit_test(IICPD_01_26_the_origin_is_remembered_as_long_as_told),
                cmocka_unit_test(IICPD_05_39_the_key_comes_from_the_base_alone),
                cmocka_unit_test(length_of_a_location),
                cmocka_unit_test(IICPD_01_06_the_first_404_without_our_words_drops_api),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
