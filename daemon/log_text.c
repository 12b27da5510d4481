/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdio.h>

/* Length of the UTF-8 sequence at p, its code point in *ret; 0 when it is not valid UTF-8. */
static size_t utf8_read(const unsigned char *p, size_t n, uint32_t *ret) {
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t len = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3
                   : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
        uint32_t c;

        if (len == 0 || len > n)
                return 0;
        c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3fu);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return len;
}

/* What may move the cursor, hide or turn text in a terminal or log viewer. */
static bool is_unsafe(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f ||
               (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

const char *log_text_cut(struct iicp_str text, char *buf, size_t cap, size_t max) {
        const unsigned char *p = (const unsigned char *) text.p;
        size_t room = (cap - 1 < max ? cap - 1 : max), used = 0, safe = 0;

        for (size_t i = 0; i < text.n;) {
                char piece[16];
                uint32_t c = 0;
                size_t len = utf8_read(p + i, text.n - i, &c), n;

                if (len == 0 || (len == 1 && is_unsafe(c)))
                        n = (size_t) snprintf(piece, sizeof piece, "\\x%02x", p[i]);
                else if (is_unsafe(c))
                        n = (size_t) snprintf(piece, sizeof piece, "\\u{%x}", c);
                else
                        memcpy(piece, p + i, n = len);
                if (used + n > room) {
                        memcpy(buf + safe, "...", 3);
                        used = safe + 3;
                        break;
                }
                memcpy(buf + used, piece, n);
                used += n;
                /* Last place where the three dots still fit. */
                if (used + 3 <= room)
                        safe = used;
                i += len ? len : 1;
        }
        buf[used] = '\0';
        return buf;
}

const char *log_text(struct iicp_str text, char *buf, size_t cap) {
        return log_text_cut(text, buf, cap, LOG_TEXT_MAX);
}
