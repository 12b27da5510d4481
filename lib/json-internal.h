/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICP_JSON_INTERNAL_H
#define IICP_JSON_INTERNAL_H

/* Byte scanning that JSON reader and JSON writer share; not installed. */

#include <errno.h>

#include <iicp/json.h>

#define SWAR_ONES 0x0101010101010101ULL
#define SWAR_HIGH 0x8080808080808080ULL

/* High bit set in each byte of v that is zero; exact up to and including the first such byte. */
static inline uint64_t swar_zero(uint64_t v) {
        return (v - SWAR_ONES) & ~v & SWAR_HIGH;
}

/* True for bytes that a string may hold as they are: ASCII without controls, quote, backslash. */
static inline bool json_plain(unsigned char c) {
        return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* First byte at or after p that is not plain, or end. Eight bytes a step: texts are long. */
static inline const char *json_plain_run(const char *p, const char *end) {
        while (end - p >= 8) {
                uint64_t v, stop;

                memcpy(&v, p, 8);
                stop = (v & SWAR_HIGH) | swar_zero(v ^ (SWAR_ONES * '"')) |
                       swar_zero(v ^ (SWAR_ONES * '\\')) |
                       ((v - SWAR_ONES * 0x20) & ~v & SWAR_HIGH);
                if (stop)
                        break;
                p += 8;
        }
        while (p < end && json_plain((unsigned char) *p))
                p++;
        return p;
}

static inline bool utf8_tail(unsigned char c) {
        return (c & 0xc0) == 0x80;
}

/* Length (2-4) of the well-formed multi-byte sequence at p, 0 if there is none: no overlong form,
 * no surrogate, nothing above U+10FFFF. (RFC 3629) */
static inline size_t utf8_sequence(const char *s, const char *end) {
        const unsigned char *p = (const unsigned char *) s;
        size_t room = (size_t) (end - s);

        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                return room >= 2 && utf8_tail(p[1]) ? 2 : 0;
        if (p[0] >= 0xe0 && p[0] <= 0xef) {
                if (room < 3 || !utf8_tail(p[1]) || !utf8_tail(p[2]))
                        return 0;
                if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
                        return 0;
                return 3;
        }
        if (p[0] >= 0xf0 && p[0] <= 0xf4) {
                if (room < 4 || !utf8_tail(p[1]) || !utf8_tail(p[2]) || !utf8_tail(p[3]))
                        return 0;
                if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
                        return 0;
                return 4;
        }
        return 0;
}

static inline bool json_is_space(char c) {
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(char c) {
        return c >= '0' && c <= '9';
}

static inline const char *json_skip_space(const char *p, const char *end) {
        while (p < end && json_is_space(*p))
                p++;
        return p;
}

/* Reads the escape whose backslash is at p. Returns the place after it and the code point, or NULL
 * if it is none (a surrogate without its other half included). */
const char *json_read_escape(const char *p, const char *end, int32_t *ret_point);

/* Decoded bytes of a string, one at a time. */
struct json_bytes {
        const char *p, *end;
        unsigned char queue[4];
        unsigned n, at;
};

struct json_bytes json_bytes_of(const struct iicp_json *string);
/* -1 at the end */
int json_next_byte(struct json_bytes *b);

/* iicp_json_is for a literal, without a call in the usual case. */
#define json_name_is(name, literal)                                                                \
        ((name)->escaped ? iicp_json_is((name), (literal))                                         \
                         : (name)->text.n == sizeof(literal) - 1 &&                                \
                                   memcmp((name)->text.p, (literal), sizeof(literal) - 1) == 0)

/* An integer of at least 1, or nothing; false if it is something else. What int64 cannot hold
 * becomes the largest. */
static inline bool json_take_count(const struct iicp_json *v, int64_t *ret) {
        int64_t n;
        int r;

        if (v->type == IICP_JSON_NONE || v->type == IICP_JSON_NULL)
                return true;
        r = iicp_json_int(v, &n);
        if (r == -ERANGE && v->text.p[0] != '-')
                n = INT64_MAX;
        else if (r < 0 || n < 1)
                return false;
        *ret = n;
        return true;
}

#endif
