/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/hmac.h>

#include <errno.h>
#include <iicp/codec.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

int iicp_sha256(struct iicp_str message, uint8_t out[32]) {
        return EVP_Digest(message.p ? message.p : "", message.n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int iicp_hmac_sha256_hex(struct iicp_str key, struct iicp_str message, char out[65]) {
        uint8_t mac[32];
        unsigned n = sizeof(mac);

        if (key.n > INT32_MAX ||
            !HMAC(EVP_sha256(), key.p ? key.p : "", (int) key.n, (const uint8_t *) (message.p ? message.p : ""),
                  message.n, mac, &n))
                return -EIO;
        iicp_hex(mac, sizeof(mac), out);
        return 0;
}

bool iicp_secret_eq(struct iicp_str a, struct iicp_str b) {
        uint8_t da[32], db[32];

        if (a.n == 0 || b.n == 0 || iicp_sha256(a, da) < 0 || iicp_sha256(b, db) < 0)
                return false;
        return CRYPTO_memcmp(da, db, sizeof(da)) == 0;
}
