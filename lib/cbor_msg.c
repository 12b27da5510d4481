/* SPDX-License-Identifier: Apache-2.0 */
#include "cbor_msg-internal.h"
#include "util.h"

#include <iicp/cbor_msg.h>

enum iicp_close iicp_msg_scan(struct iicp_str payload, unsigned options, struct iicp_cbor *ret) {
        unsigned flags = IICP_CBOR_MESSAGE | (options & IICP_FRAME_STRICT ? IICP_CBOR_STRICT : 0u);

        switch (iicp_cbor_scan(payload, flags, ret)) {
        case IICP_CBOR_OK:
                return IICP_CLOSE_NONE;
        case IICP_CBOR_MALFORMED:
                return IICP_CLOSE_CBOR_DECODE_ERROR;
        case IICP_CBOR_FORBIDDEN:
                return IICP_CLOSE_INVALID_PAYLOAD;
        case IICP_CBOR_BAD_UTF8:
                return IICP_CLOSE_EXACT_LENGTH;
        case IICP_CBOR_NO_MEMORY:
                break;
        }
        return IICP_CLOSE_NO_MEMORY;
}

enum iicp_close msg_take(const struct iicp_cbor *map, const struct msg_key *keys, size_t n, struct iicp_cbor *slots) {
        struct iicp_cbor_iter it;
        struct iicp_cbor key, value;

        memset(slots, 0, n * sizeof(*slots));
        iicp_cbor_iter_init(&it, map);
        while (iicp_cbor_next(&it, &key, &value)) {
                for (size_t i = 0; i < n && key.type == IICP_CBOR_UINT; i++)
                        if (keys[i].key == key.number)
                                slots[i] = value;
        }
        for (size_t i = 0; i < n; i++) {
                if (slots[i].type == IICP_CBOR_NONE ? keys[i].required
                                                    : keys[i].type != IICP_CBOR_NONE && slots[i].type != keys[i].type)
                        return IICP_CLOSE_INVALID_PAYLOAD;
        }
        return IICP_CLOSE_NONE;
}

enum iicp_close msg_read(struct iicp_str payload, unsigned options, const struct msg_key *keys, size_t n,
                         struct iicp_cbor *slots) {
        struct iicp_cbor map = {};
        enum iicp_close c = iicp_msg_scan(payload, options, &map);

        return c == IICP_CLOSE_NONE ? msg_take(&map, keys, n, slots) : c;
}

bool msg_all_text(const struct iicp_cbor *array) {
        struct iicp_cbor_iter it;
        struct iicp_cbor item;

        iicp_cbor_iter_init(&it, array);
        while (iicp_cbor_next(&it, NULL, &item))
                if (item.type != IICP_CBOR_TSTR)
                        return false;
        return true;
}

static bool has_text(const struct iicp_cbor *array, const char *wanted) {
        struct iicp_cbor_iter it;
        struct iicp_cbor item;

        iicp_cbor_iter_init(&it, array);
        while (iicp_cbor_next(&it, NULL, &item))
                if (item.type == IICP_CBOR_TSTR && iicp_str_is(item.text, wanted))
                        return true;
        return false;
}

/* ---- handshake ---- */

enum iicp_close iicp_msg_init_read(struct iicp_str payload, unsigned options, struct iicp_msg_init *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_UINT, true}, {2, IICP_CBOR_UINT, false}, {3, IICP_CBOR_TSTR, false},
                {4, IICP_CBOR_TSTR, false}, {5, IICP_CBOR_ARRAY, false}, {6, IICP_CBOR_ARRAY, false},
                {7, IICP_CBOR_UINT, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c;

        if (payload.n == 0 && !(options & IICP_FRAME_STRICT)) {
                *ret = (struct iicp_msg_init){.version = 1, .min_version = 1};
                return IICP_CLOSE_NONE;
        }
        c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);
        if (c != IICP_CLOSE_NONE)
                return c;
        if (!msg_all_text(&v[4]) || !msg_all_text(&v[5]))
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = (struct iicp_msg_init){
                .version = v[0].number,
                .min_version = v[1].type == IICP_CBOR_NONE ? 1 : v[1].number,
                .node_id = v[2].text,
                .node_token = v[3].text,
                .gzip = has_text(&v[5], "gzip"),
                .has_max_frame = v[6].type != IICP_CBOR_NONE,
                .max_frame = v[6].number,
        };
        return IICP_CLOSE_NONE;
}

enum iicp_close iicp_msg_negotiate(const struct iicp_msg_init *offer) {
        if (offer->version == 0)
                return IICP_CLOSE_VERSION_TOO_OLD;
        if (offer->min_version > offer->version)
                return IICP_CLOSE_INVALID_PAYLOAD;
        return offer->min_version > IICP_FRAME_VERSION ? IICP_CLOSE_VERSION_MISMATCH : IICP_CLOSE_NONE;
}

void iicp_msg_init_put(struct iicp_buf *out, const struct iicp_msg_init *m) {
        bool identity = m->node_id.p && m->node_token.p;

        iicp_cbor_put_map(out, 3u + 2u * identity + m->gzip + m->has_max_frame);
        iicp_cbor_put_uint(out, 1);
        iicp_cbor_put_uint(out, m->version);
        iicp_cbor_put_uint(out, 2);
        iicp_cbor_put_uint(out, m->min_version);
        if (identity) {
                msg_put_text(out, 3, m->node_id);
                msg_put_text(out, 4, m->node_token);
        }
        iicp_cbor_put_uint(out, 5);
        iicp_cbor_put_array(out, 0);
        if (m->gzip) {
                iicp_cbor_put_uint(out, 6);
                iicp_cbor_put_array(out, 1);
                iicp_cbor_put_tstr(out, IICP_STR("gzip"));
        }
        if (m->has_max_frame) {
                iicp_cbor_put_uint(out, 7);
                iicp_cbor_put_uint(out, m->max_frame);
        }
}

enum iicp_close iicp_msg_ack_read(struct iicp_str payload, unsigned options, struct iicp_msg_ack *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_UINT, true}, {2, IICP_CBOR_TSTR, false}, {4, IICP_CBOR_TSTR, false}, {5, IICP_CBOR_UINT, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        *ret = (struct iicp_msg_ack){
                .version = v[0].number,
                .node_id = v[1].text,
                .gzip = iicp_str_is(v[2].text, "gzip"),
                .has_max_frame = v[3].type != IICP_CBOR_NONE,
                .max_frame = v[3].number,
        };
        return IICP_CLOSE_NONE;
}

void iicp_msg_ack_put(struct iicp_buf *out, const struct iicp_msg_ack *m) {
        iicp_cbor_put_map(out, 2u + (m->node_id.p != NULL) + m->gzip + m->has_max_frame);
        iicp_cbor_put_uint(out, 1);
        iicp_cbor_put_uint(out, m->version);
        if (m->node_id.p)
                msg_put_text(out, 2, m->node_id);
        iicp_cbor_put_uint(out, 3);
        iicp_cbor_put_array(out, 0);
        if (m->gzip)
                msg_put_text(out, 4, IICP_STR("gzip"));
        if (m->has_max_frame) {
                iicp_cbor_put_uint(out, 5);
                iicp_cbor_put_uint(out, m->max_frame);
        }
}

/* ---- fragments, CLOSE, PING ---- */

enum iicp_close iicp_msg_fragment_read(struct iicp_str payload, unsigned options, struct iicp_msg_fragment *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_UINT, true}, {3, IICP_CBOR_UINT, true}, {4, IICP_CBOR_BSTR, true},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        if (v[2].number == 0)
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = (struct iicp_msg_fragment){v[0].text, v[1].number, v[2].number, v[3].text};
        return IICP_CLOSE_NONE;
}

enum iicp_close iicp_msg_close_read(struct iicp_str payload, unsigned options, struct iicp_msg_close *ret) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, false}, {2, IICP_CBOR_TSTR, false}, {3, IICP_CBOR_TSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c;

        if (payload.n == 0) {
                *ret = (struct iicp_msg_close){.reason = IICP_STR("graceful")};
                return IICP_CLOSE_NONE;
        }
        c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);
        if (c == IICP_CLOSE_NONE)
                *ret = (struct iicp_msg_close){v[0].text, v[1].text, v[2].text};
        return c;
}

void iicp_msg_close_put(struct iicp_buf *out, enum iicp_close c) {
        bool message = *iicp_close_message(c) != '\0';

        iicp_cbor_put_map(out, 1u + message);
        msg_put_text(out, 1, iicp_str(iicp_close_reason(c)));
        if (message)
                msg_put_text(out, 2, iicp_str(iicp_close_message(c)));
}

enum iicp_close iicp_msg_ping_read(struct iicp_str payload, unsigned options, struct iicp_str *ret) {
        static const struct msg_key keys[] = {{1, IICP_CBOR_BSTR, false}};
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c;

        *ret = IICP_STR_NONE;
        if (payload.n == 0)
                return IICP_CLOSE_NONE;
        c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);
        if (c != IICP_CLOSE_NONE)
                return c;
        if (v[0].text.n > IICP_PING_ECHO_MAX)
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = v[0].text;
        return IICP_CLOSE_NONE;
}

enum iicp_close iicp_msg_pong_put(struct iicp_buf *out, struct iicp_str ping, unsigned options) {
        struct iicp_str echo;
        enum iicp_close c = iicp_msg_ping_read(ping, options, &echo);

        if (c != IICP_CLOSE_NONE || ping.n == 0)
                return c;
        iicp_cbor_put_map(out, echo.p != NULL);
        if (echo.p)
                msg_put_bytes(out, 1, echo);
        return IICP_CLOSE_NONE;
}

/* ---- the small ones ---- */

static bool within_unit(const struct iicp_cbor *v) {
        if (v->type == IICP_CBOR_UINT)
                return v->number <= 1;
        return v->type == IICP_CBOR_FLOAT && v->real >= 0 && v->real <= 1;
}

enum iicp_close iicp_msg_discover_read(struct iicp_str payload, unsigned options, struct iicp_msg_discover *ret) {
        static const struct msg_key spec[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_UINT, false}, {3, IICP_CBOR_TSTR, false},
                {4, IICP_CBOR_ARRAY, false}, {5, IICP_CBOR_NONE, false},
        };
        static const struct msg_key shipped[] = {{2, IICP_CBOR_TSTR, false}, {3, IICP_CBOR_TSTR, true}};
        static const char prefix[] = "urn:iicp:intent:";
        struct iicp_cbor map = {}, v[ARRAY_SIZE(spec)];
        enum iicp_close c = iicp_msg_scan(payload, options, &map);

        if (c != IICP_CLOSE_NONE)
                return c;
        if (iicp_cbor_get(&map, 1).type == IICP_CBOR_TSTR) {
                c = msg_take(&map, spec, ARRAY_SIZE(spec), v);
                if (c != IICP_CLOSE_NONE)
                        return c;
                if (v[4].type != IICP_CBOR_NONE && !within_unit(&v[4]))
                        return IICP_CLOSE_INVALID_PAYLOAD;
                *ret = (struct iicp_msg_discover){
                        .intent = v[0].text, .region = v[2].text, .exclude = v[3],
                        .limit = v[1].type == IICP_CBOR_NONE ? 10 : v[1].number,
                        .min_score = v[4].type == IICP_CBOR_UINT ? (double) v[4].number : v[4].real};
                return IICP_CLOSE_NONE;
        }
        c = msg_take(&map, shipped, ARRAY_SIZE(shipped), v);
        if (c != IICP_CLOSE_NONE)
                return c;
        if (v[1].text.n < sizeof(prefix) - 1 || memcmp(v[1].text.p, prefix, sizeof(prefix) - 1) != 0)
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret = (struct iicp_msg_discover){.session_id = v[0].text, .intent = v[1].text, .limit = 10};
        return IICP_CLOSE_NONE;
}

enum iicp_close iicp_msg_sub_protocol_read(struct iicp_str payload, unsigned options, struct iicp_str *ret_urn) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_TSTR, true}, {3, IICP_CBOR_MAP, false}, {4, IICP_CBOR_TSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        if (!iicp_str_is(v[1].text, "propose") && !iicp_str_is(v[1].text, "accept") && !iicp_str_is(v[1].text, "reject"))
                return IICP_CLOSE_INVALID_PAYLOAD;
        *ret_urn = iicp_str_is(v[1].text, "propose") ? v[0].text : IICP_STR_NONE;
        return IICP_CLOSE_NONE;
}

void iicp_msg_sub_protocol_reject(struct iicp_buf *out, struct iicp_str urn) {
        iicp_cbor_put_map(out, 3);
        msg_put_text(out, 1, urn);
        msg_put_text(out, 2, IICP_STR("reject"));
        msg_put_text(out, 4, IICP_STR("unsupported_sub_protocol"));
}

enum iicp_close iicp_msg_feedback_read(struct iicp_str payload, unsigned options) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_NONE, true}, {3, IICP_CBOR_UINT, false},
                {4, IICP_CBOR_NONE, false}, {5, IICP_CBOR_TSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);
        size_t characters = 0;

        if (c != IICP_CLOSE_NONE)
                return c;
        for (size_t i = 0; i < v[4].text.n; i++)
                characters += ((unsigned char) v[4].text.p[i] & 0xc0) != 0x80;
        return within_unit(&v[1]) && characters <= IICP_FEEDBACK_COMMENT_MAX ? IICP_CLOSE_NONE
                                                                             : IICP_CLOSE_INVALID_PAYLOAD;
}

enum iicp_close iicp_msg_control_read(struct iicp_str payload, unsigned options) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_NONE, false}, {4, IICP_CBOR_TSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        /* the shape of a RELAY_BIND, on a port that is no relay's */
        if (v[1].type == IICP_CBOR_TSTR)
                return IICP_CLOSE_PROTOCOL_ERROR;
        return v[1].type == IICP_CBOR_NONE || v[1].type == IICP_CBOR_UINT ? IICP_CLOSE_NONE : IICP_CLOSE_INVALID_PAYLOAD;
}

static bool is_one_of(struct iicp_str s, const char *const *words, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (iicp_str_is(s, words[i]))
                        return true;
        return false;
}

enum iicp_close iicp_msg_observe_read(struct iicp_str payload, unsigned options) {
        static const char *const subjects[] = {"session", "node", "call"};
        static const char *const events[] = {"start", "update", "end", "error"};
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_TSTR, true}, {3, IICP_CBOR_TSTR, true},
                {4, IICP_CBOR_MAP, false}, {5, IICP_CBOR_UINT, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)];
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        return is_one_of(v[0].text, subjects, ARRAY_SIZE(subjects)) && is_one_of(v[2].text, events, ARRAY_SIZE(events))
                       ? IICP_CLOSE_NONE
                       : IICP_CLOSE_INVALID_PAYLOAD;
}

enum iicp_close iicp_msg_telemetry_read(struct iicp_str payload, unsigned options) {
        static const struct msg_key keys[] = {
                {1, IICP_CBOR_TSTR, true}, {2, IICP_CBOR_UINT, true}, {3, IICP_CBOR_MAP, true},
                {4, IICP_CBOR_BSTR, false}, {5, IICP_CBOR_BSTR, false},
        };
        struct iicp_cbor v[ARRAY_SIZE(keys)], key, value;
        struct iicp_cbor_iter it;
        enum iicp_close c = msg_read(payload, options, keys, ARRAY_SIZE(keys), v);

        if (c != IICP_CLOSE_NONE)
                return c;
        if ((v[3].text.p && v[3].text.n != 16) || (v[4].text.p && v[4].text.n != 8))
                return IICP_CLOSE_EXACT_LENGTH;
        iicp_cbor_iter_init(&it, &v[2]);
        while (iicp_cbor_next(&it, &key, &value))
                if (key.type != IICP_CBOR_TSTR)
                        return IICP_CLOSE_INVALID_PAYLOAD;
        return IICP_CLOSE_NONE;
}
