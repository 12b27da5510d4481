/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <openssl/rand.h>

#include <iicp/codec.h>
#include <iicp/uuid.h>

int iicp_random(void *out, size_t n) {
        if (n > INT_MAX || RAND_bytes(out, (int) n) != 1)
                return -EIO;
        return 0;
}

int iicp_uuid4(char out[IICP_UUID_TEXT]) {
        unsigned char raw[16];
        char hex[33];
        int r;

        r = iicp_random(raw, sizeof(raw));
        if (r < 0)
                return r;
        raw[6] = (unsigned char) ((raw[6] & 0x0f) | 0x40); /* version 4 */
        raw[8] = (unsigned char) ((raw[8] & 0x3f) | 0x80); /* variant 10 */
        iicp_hex(raw, sizeof(raw), hex);
        for (size_t i = 0, k = 0; i < 32; i++) {
                if (i == 8 || i == 12 || i == 16 || i == 20)
                        out[k++] = '-';
                out[k++] = hex[i];
        }
        out[IICP_UUID_TEXT - 1] = '\0';
        return 0;
}

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool iicp_uuid_valid(struct iicp_str text) {
        if (!text.p || text.n != IICP_UUID_TEXT - 1)
                return false;
        for (size_t i = 0; i < text.n; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? text.p[i] != '-' : !is_hex(text.p[i]))
                        return false;
        }
        return true;
}

bool iicp_uuid4_valid(struct iicp_str text) {
        return iicp_uuid_valid(text) && text.p[14] == '4' && strchr("89abAB", text.p[19]);
}
