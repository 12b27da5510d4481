/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a directory: base URL, endpoint URL, refusals. First byte chooses. */

#include "fuzz.h"

#include <iicp/directory.h>
#include <iicp/endpoint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct iicp_str text;

        if (size == 0)
                return 0;
        text = (struct iicp_str){(const char *) data + 1, size - 1};
        switch (data[0] % 3) {
        case 0: {
                char base[IICP_DIRECTORY_URL_MAX], again[IICP_DIRECTORY_URL_MAX];
                if (iicp_directory_url(text, true, base, NULL) != IICP_DIRECTORY_URL_OK)
                        break;
                FUZZ_CHECK(strlen(base) < sizeof base && base[strlen(base) - 1] != '/');
                if (strlen(base) > 255) /* "/api" made it longer than a URL may be */
                        break;
                /* what is normal is a base itself */
                FUZZ_CHECK(iicp_directory_url(iicp_str(base), true, again, NULL) == IICP_DIRECTORY_URL_OK);
                iicp_directory_issuer(base, again);
                break;
        }
        case 1: {
                struct iicp_url url;
                char origin[512];
                if (iicp_url_parse(text, &url) < 0)
                        break;
                FUZZ_CHECK(url.port > 0 && strlen(url.host) > 0);
                iicp_url_origin(&url, origin, sizeof origin);
                iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_DIAL);
                iicp_endpoint_host_allowed(&url, IICP_ENDPOINT_REGISTER);
                break;
        }
        default: {
                struct iicp_directory_error error;
                int status = 400 + data[0] / 3;
                iicp_directory_error_read(data[0] & 1 ? IICP_DIR_CALL_REGISTER : IICP_DIR_CALL_HEARTBEAT,
                                          status, text, IICP_STR("3"), &error);
                FUZZ_CHECK(memchr(error.code, 0, sizeof error.code) && error.code[0]);
                FUZZ_CHECK(memchr(error.fields, 0, sizeof error.fields));
                FUZZ_CHECK(error.retry_after_ms >= -1);
        }
        }
        return 0;
}
