/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include "relay/tickets.h"
#include "stage.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <iicp/codec.h>
#include <stdio.h>
#include <sys/stat.h>

#define RELAY (stage->node.relay)
#define TICKETS (stage->node.relay->tickets)

static const uint8_t seed[IICP_SEED] = {9};

/* A ticket of the directory for this relay, good for 120 s. */
static void ticket(const char *worker_id, unsigned jti, struct iicp_buf *out) {
        _cleanup_(iicp_buf_free) struct iicp_buf claims = {}, message = {};
        uint8_t sig[IICP_SIGNATURE];
        char hex[2 * IICP_SIGNATURE + 1];
        int64_t now = clock_wall_s(stage->node.clock);

        stage->key_known = true;
        assert_int_equal(iicp_sign_public(seed, stage->directory_key[0]), 0);
        iicp_buf_printf(&claims, "{\"v\":1,\"typ\":\"relay-bind-ticket\",\"jti\":\"%032x\",\"sub\":\"%s\",\"aud\":\"relay-node-1\","
                        "\"iat\":%lld,\"exp\":%lld}", jti, worker_id, (long long) now, (long long) now + 120);
        iicp_b64url_add(out, claims.p, claims.n);
        iicp_buf_puts(&message, IICP_DOMAIN_BIND_TICKET);
        iicp_buf_add_str(&message, iicp_buf_str(out));
        assert_int_equal(iicp_sign(seed, iicp_buf_str(&message), sig), 0);
        iicp_hex(sig, sizeof sig, hex);
        iicp_buf_printf(out, ".%s", hex);
}

static enum relay_verdict bind_with(const char *worker_id, unsigned jti, struct stage_link *link) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {};
        static unsigned n;
        char address[32];

        ticket(worker_id, jti, &text);
        snprintf(address, sizeof address, "203.0.%u.%u", (n >> 8) & 255, n & 255);
        n++;
        return stage_bind_from(worker_id, text.p, address, link);
}

static void DIR_RELAY_03_used_once_by_an_admitted_bind_only(void **state) {
        struct stage_link w = {}, again = {};

        (void) state;
        stage->config.relay_tickets = TICKETS_REQUIRED;
        assert_int_equal(bind_with("w", 1, &w), RELAY_BOUND);
        assert_int_equal(bind_with("w", 2, &again), RELAY_ALREADY_ALIVE); /* does not use it up */
        relay_unbind(w.session);
        assert_int_equal(bind_with("w", 1, &w), RELAY_TICKET_REPLAYED);
        assert_int_equal(bind_with("w", 2, &w), RELAY_BOUND);
        relay_unbind(w.session);
        stage->config.relay_max_sessions = 1;
        assert_int_equal(stage_bind_from("x", NULL, "203.0.113.1", &again), RELAY_TICKET_REQUIRED);
        assert_int_equal(bind_with("x", 3, &again), RELAY_BOUND);
        assert_int_equal(bind_with("w", 4, &w), RELAY_FULL);
        relay_unbind(again.session);
        assert_int_equal(bind_with("w", 4, &w), RELAY_BOUND);
        /* another worker's, a signature that does not fit */
        assert_int_equal(relay_tickets_live(TICKETS), 4);
}

static void DIR_RELAY_03_modes(void **state) {
        struct stage_link w = {};

        (void) state;
        assert_int_equal(stage_bind_from("a", "x.y", "203.0.113.1", &w), RELAY_BOUND); /* soft, no key: not verified */
        stage->key_known = true;
        assert_int_equal(stage_bind_from("b", "x.y", "203.0.113.1", &w), RELAY_TICKET_INVALID);
        assert_int_equal(stage_bind_from("b", NULL, "203.0.113.1", &w), RELAY_BOUND);
        stage->config.relay_tickets = TICKETS_OFF;
        assert_int_equal(stage_bind_from("c", "x.y", "203.0.113.1", &w), RELAY_BOUND);
        stage->config.relay_tickets = TICKETS_REQUIRED;
        assert_int_equal(stage_bind_from("d", NULL, "203.0.113.1", &w), RELAY_TICKET_REQUIRED);
        assert_int_equal(bind_with("d", 1, &w), RELAY_BOUND);
}

static void DIR_RELAY_03_keys(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {};
        char hex[2 * IICP_SIGN_KEY + 1];
        uint8_t key[IICP_SIGN_KEY];
        struct stage_link w = {};

        (void) state;
        ticket("w", 1, &text);
        stage->directory_key[0][0] ^= 1;
        assert_int_equal(stage_bind_from("w", text.p, "203.0.113.1", &w), RELAY_TICKET_INVALID);
        assert_int_equal(stage->asked_for_key, 1); /* perhaps there is a new one */
        /* a configured key counts alone */
        assert_int_equal(iicp_sign_public(seed, key), 0);
        iicp_hex(key, sizeof key, hex);
        stage->config.relay_ticket_key = hex;
        assert_int_equal(stage_bind_from("w", text.p, "203.0.113.1", &w), RELAY_BOUND);
        hex[0] = hex[0] == '0' ? '1' : '0';
        assert_int_equal(stage_bind_from("x", text.p, "203.0.113.1", &w), RELAY_TICKET_INVALID);
        assert_int_equal(stage->asked_for_key, 1);
}

static void IICPD_03_55_required_without_a_key_refuses(void **state) {
        _cleanup_(iicp_buf_free) struct iicp_buf text = {};
        struct stage_link w = {};

        (void) state;
        ticket("w", 1, &text);
        stage->config.relay_tickets = TICKETS_REQUIRED;
        stage->key_known = false;
        assert_int_equal(stage_bind_from("w", text.p, "203.0.113.1", &w), RELAY_TICKET_REQUIRED);
        assert_int_equal(relay_tickets_live(TICKETS), 0);
        stage->key_known = true;
        assert_int_equal(stage_bind_from("w", text.p, "203.0.113.1", &w), RELAY_BOUND);
}

static void DIR_RELAY_03_the_store_survives_a_restart(void **state) {
        struct stage_link w = {}, x = {};
        char path[128];
        struct stat st;
        int fd;

        (void) state;
        assert_int_equal(bind_with("w", 1, &w), RELAY_BOUND);
        assert_int_equal(bind_with("x", 2, &x), RELAY_BOUND);
        snprintf(path, sizeof path, "%s/" RELAY_TICKETS_FILE, stage->dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        stage_restart();
        assert_int_equal(relay_tickets_live(TICKETS), 2);
        assert_int_equal(bind_with("w", 1, &w), RELAY_TICKET_REPLAYED);
        assert_int_equal(bind_with("w", 3, &w), RELAY_BOUND);
        /* half a record at the end, after a crash */
        fd = open(path, O_WRONLY | O_APPEND);
        assert_int_equal(write(fd, "half", 4), 4);
        close(fd);
        stage_restart();
        assert_int_equal(relay_tickets_live(TICKETS), 3);
        assert_int_equal(bind_with("w", 4, &w), RELAY_BOUND);
        stage_restart();
        assert_int_equal(relay_tickets_live(TICKETS), 4);
        /* what has ended is forgotten, in memory and at the next start */
        stage->now_ms += 120000;
        relay_tickets_expire(TICKETS);
        assert_int_equal(relay_tickets_live(TICKETS), 0);
        stage_restart();
        assert_int_equal(relay_tickets_live(TICKETS), 0);
}

static void DIR_RELAY_03_a_damaged_store_is_moved_aside(void **state) {
        struct stage_link w = {};
        char path[128];
        int fd;

        (void) state;
        snprintf(path, sizeof path, "%s/" RELAY_TICKETS_FILE, stage->dir);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, "something else entirely", 23), 23);
        close(fd);
        stage_restart();
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(bind_with("w", 1, &w), RELAY_BOUND);
        assert_int_equal(access(path, F_OK), 0);
}

static void DIR_RELAY_03_a_full_store_takes_no_more(void **state) {
        struct iicp_bind_ticket t = {.expires_at = INT64_MAX};
        struct stage_link w = {};

        (void) state;
        stage->no_writes = true;
        for (unsigned i = 0; i < RELAY_TICKETS_MAX; i++) {
                snprintf(t.jti, sizeof t.jti, "%032x", i);
                t.expires_at = clock_wall_s(stage->node.clock) + (i < 10 ? 1 : 1000);
                if (relay_tickets_use(TICKETS, &t) != 0)
                        fail_msg("%u", i);
        }
        assert_int_equal(bind_with("w", RELAY_TICKETS_MAX, &w), RELAY_FULL);
        stage->now_ms += 1000;
        assert_int_equal(bind_with("w", RELAY_TICKETS_MAX, &w), RELAY_BOUND);
        assert_int_equal(bind_with("x", RELAY_TICKETS_MAX, &w), RELAY_TICKET_REPLAYED);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, stage_setup, stage_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(DIR_RELAY_03_used_once_by_an_admitted_bind_only),
                TEST(DIR_RELAY_03_modes),
                TEST(DIR_RELAY_03_keys),
                TEST(IICPD_03_55_required_without_a_key_refuses),
                TEST(DIR_RELAY_03_the_store_survives_a_restart),
                TEST(DIR_RELAY_03_a_damaged_store_is_moved_aside),
                TEST(DIR_RELAY_03_a_full_store_takes_no_more),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
