/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util.h"
#include "world.h"

#include <stdio.h>

#define TOKEN_A "exampleNodeTokenA1AAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN_B "exampleNodeTokenB2BBBBBBBBBBBBBBBBBBBBBB"
#define KEY_A "39a6231a109af5f458cee9fe4c3ff0b18d7d421802942ba51e13c29919de3a9c"
#define DIR (world->node.directory)
#define GOOD "{\"ok\":true,\"next_heartbeat_ms\":60000}"

static unsigned calls(const char *what) {
        unsigned n = 0;

        for (unsigned i = 0; i < world->n_calls; i++)
                n += strstr(world->calls[i].url, what) != NULL;
        return n;
}

/* Lets time pass at a directory that answers. */
static void live_s(unsigned seconds) {
        for (unsigned s = 0; s < seconds; s += 5) {
                world_run(5000);
                for (unsigned i = 0; i < world->n_calls; i++) {
                        struct fetch *f = &world->calls[i];

                        if (f->over || !strstr(f->url, "/v1/"))
                                continue;
                        if (strstr(f->url, "/register"))
                                world_accept(TOKEN_B, KEY_A);
                        else if (strstr(f->url, "/heartbeat"))
                                world_answer(f, 200, GOOD);
                        else if (!f->side)
                                world_answer(f, 404, "");
                }
        }
}

static void live(unsigned minutes) {
        live_s(minutes * 60);
}

static void start(void) {
        directory_start(DIR);
        world_accept(TOKEN_A, KEY_A);
}

static enum own_entry_verdict compare(const char *record) {
        struct iicp_json doc;

        assert_int_equal(iicp_json_scan(iicp_str(record), NULL, NULL, &doc), 0);
        return own_entry_compare(&doc, "https://node.example.com", "AAAA");
}

static void IICPD_05_49_what_counts_as_another(void **state) {
        (void) state;
        assert_int_equal(compare("{\"endpoint\":\"https://node.example.com\"}"), OWN_ENTRY_SAME);
        assert_int_equal(compare("{\"endpoint\":\"https://NODE.example.com:443/\"}"), OWN_ENTRY_SAME);
        assert_int_equal(compare("{\"node\":{\"endpoint\":\"https://node.example.com\"}}"), OWN_ENTRY_SAME);
        assert_int_equal(compare("{\"endpoint\":\"https://evil.example.com\"}"), OWN_ENTRY_OTHER_ENDPOINT);
        assert_int_equal(compare("{\"endpoint\":\"http://node.example.com\"}"), OWN_ENTRY_OTHER_ENDPOINT);
        assert_int_equal(compare("{\"endpoint\":\"https://node.example.com/v1/relay-for/x\"}"), OWN_ENTRY_OTHER_ENDPOINT);
        assert_int_equal(compare("{\"endpoint\":\"https://node.example.com\",\"cx_public_key\":{\"key\":\"BBBB\"}}"),
                         OWN_ENTRY_OTHER_KEY);
        assert_int_equal(compare("{\"endpoint\":\"https://node.example.com\",\"public_key\":{\"key\":\"AAAA\"}}"),
                         OWN_ENTRY_SAME);
        /* a gossip key is no task key */
        assert_int_equal(compare("{\"endpoint\":\"https://node.example.com\",\"public_key\":\"00ff\"}"), OWN_ENTRY_SAME);
        assert_int_equal(compare("{}"), OWN_ENTRY_UNKNOWN);
        assert_int_equal(compare("{\"endpoint\":7}"), OWN_ENTRY_UNKNOWN);
}

static void IICPD_05_49_after_registration_and_hourly(void **state) {
        unsigned at_start;

        (void) state;
        world->entry = "{\"endpoint\":\"https://node.example.com\"}";
        start();
        live_s(55);
        at_start = calls("/v1/node/"); /* the look after the first beat */
        live_s(65);
        assert_int_equal(calls("/v1/node/"), at_start + 1);
        live(58);
        assert_int_equal(calls("/v1/node/"), at_start + 1);
        live(3);
        assert_int_equal(calls("/v1/node/"), at_start + 2);
        assert_int_equal(calls("/v1/register"), 1);
}

static void IICPD_05_49_a_foreign_endpoint_is_replaced_with_proof(void **state) {
        (void) state;
        start();
        live(2);
        world->entry = "{\"endpoint\":\"https://evil.example.com\"}";
        live(61);
        assert_int_equal(calls("/v1/register"), 2);
        for (unsigned i = 0; i < world->n_calls; i++)
                if (i > 0 && strstr(world->calls[i].url, "/v1/register"))
                        assert_non_null(strstr(world->calls[i].body, "\"current_node_token\":\"" TOKEN_A "\""));
        /* it did not help: told, not tried again and again */
        live(120);
        assert_int_equal(calls("/v1/register"), 2);
        assert_int_equal(DIR->own_entry.verdict, OWN_ENTRY_OTHER_ENDPOINT);
        world->entry = "{\"endpoint\":\"https://node.example.com\"}";
        live(61);
        assert_int_equal(DIR->own_entry.verdict, OWN_ENTRY_SAME);
        world->entry = "{\"endpoint\":\"https://evil.example.com\"}";
        live(61);
        assert_int_equal(calls("/v1/register"), 3);
}

static void IICPD_05_49_no_answer_says_nothing(void **state) {
        (void) state;
        start();
        live(130); /* 404 each time */
        assert_int_equal(calls("/v1/register"), 1);
        assert_int_equal(DIR->own_entry.looked_ms, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(IICPD_05_49_what_counts_as_another),
                T(IICPD_05_49_after_registration_and_hourly),
                T(IICPD_05_49_a_foreign_endpoint_is_replaced_with_proof),
                T(IICPD_05_49_no_answer_says_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
