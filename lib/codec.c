/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <iicp/codec.h>

static const char alphabet_url[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char alphabet_std[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(struct iicp_buf *b, const void *bytes, size_t n, const char *alphabet,
                   bool pad) {
        const unsigned char *p = bytes;
        char *out;
        size_t k = 0;

        if (n > SIZE_MAX / 8) {
                if (!b->error)
                        b->error = -E2BIG;
                return;
        }
        out = iicp_buf_reserve(b, (n + 2) / 3 * 4);
        if (!out)
                return;
        for (; n >= 3; n -= 3, p += 3) {
                uint32_t v = (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];

                out[k++] = alphabet[v >> 18];
                out[k++] = alphabet[v >> 12 & 63];
                out[k++] = alphabet[v >> 6 & 63];
                out[k++] = alphabet[v & 63];
        }
        if (n > 0) {
                uint32_t v = (uint32_t) p[0] << 16 | (n > 1 ? (uint32_t) p[1] << 8 : 0);

                out[k++] = alphabet[v >> 18];
                out[k++] = alphabet[v >> 12 & 63];
                if (n > 1)
                        out[k++] = alphabet[v >> 6 & 63];
                for (size_t missing = 3 - n; pad && missing > 0; missing--)
                        out[k++] = '=';
        }
        b->n += k;
        b->p[b->n] = '\0';
}

void iicp_b64url_add(struct iicp_buf *b, const void *p, size_t n) {
        encode(b, p, n, alphabet_url, false);
}

void iicp_b64_add(struct iicp_buf *b, const void *p, size_t n) {
        encode(b, p, n, alphabet_std, true);
}

/* Value of a digit, -1 if it is none. */
static int digit(unsigned char c, bool url) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == (url ? '-' : '+'))
                return 62;
        if (c == (url ? '_' : '/'))
                return 63;
        return -1;
}

static int decode(struct iicp_str text, bool url, bool need_padding, void *out, size_t cap,
                  size_t *ret_n) {
        unsigned char *to = out;
        size_t n = text.n, size;
        uint32_t v = 0;

        if (n > 0 && n % 4 == 0 && text.p[n - 1] == '=')
                n -= text.p[n - 2] == '=' ? 2 : 1;
        else if (need_padding && n % 4 != 0)
                return -EINVAL;
        if (n % 4 == 1)
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (digit((unsigned char) text.p[i], url) < 0)
                        return -EINVAL;
        /* the bits that no byte takes must be zero, so that one value has one spelling */
        if (n % 4 == 2 && digit((unsigned char) text.p[n - 1], url) & 15)
                return -EINVAL;
        if (n % 4 == 3 && digit((unsigned char) text.p[n - 1], url) & 3)
                return -EINVAL;
        size = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
        if (size > cap)
                return -ENOSPC;

        for (size_t i = 0; i < n; i++) {
                v = v << 6 | (uint32_t) digit((unsigned char) text.p[i], url);
                if (i % 4 != 0)
                        *to++ = (unsigned char) (v >> (6 - 2 * (i % 4)));
        }
        *ret_n = size;
        return 0;
}

int iicp_b64url_decode(struct iicp_str text, void *out, size_t cap, size_t *ret_n) {
        return decode(text, true, false, out, cap, ret_n);
}

int iicp_b64_decode(struct iicp_str text, void *out, size_t cap, size_t *ret_n) {
        return decode(text, false, true, out, cap, ret_n);
}

void iicp_hex(const void *bytes, size_t n, char *out) {
        static const char digits[] = "0123456789abcdef";
        const unsigned char *p = bytes;

        for (size_t i = 0; i < n; i++) {
                *out++ = digits[p[i] >> 4];
                *out++ = digits[p[i] & 15];
        }
        *out = '\0';
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int iicp_hex_decode(struct iicp_str text, void *out, size_t cap, size_t *ret_n) {
        unsigned char *to = out;

        if (text.n % 2 != 0)
                return -EINVAL;
        for (size_t i = 0; i < text.n; i++)
                if (hex_digit(text.p[i]) < 0)
                        return -EINVAL;
        if (text.n / 2 > cap)
                return -ENOSPC;
        for (size_t i = 0; i < text.n; i += 2)
                *to++ = (unsigned char) (hex_digit(text.p[i]) << 4 | hex_digit(text.p[i + 1]));
        *ret_n = text.n / 2;
        return 0;
}
