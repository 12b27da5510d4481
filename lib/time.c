/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/time.h>

#include "util.h"

#include <time.h>

int64_t iicp_time_parse(const char *text) {
        struct tm tm = {0};
        const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
        int sign, hours, minutes;

        if (!p)
                return -1;
        if (*p == '.') {
                size_t digits = strspn(++p, "0123456789");

                if (digits == 0)
                        return -1;
                p += digits;
        }
        if ((*p == 'Z' || *p == 'z') && p[1] == '\0')
                return timegm(&tm);
        if ((*p != '+' && *p != '-') || strlen(p) != 6 || p[3] != ':' || strspn(p + 1, "0123456789") != 2 ||
            strspn(p + 4, "0123456789") != 2)
                return -1;
        sign = *p == '-' ? -1 : 1;
        hours = (p[1] - '0') * 10 + p[2] - '0';
        minutes = (p[4] - '0') * 10 + p[5] - '0';
        return timegm(&tm) - sign * (hours * 3600 + minutes * 60);
}

void iicp_time_text(int64_t unix_s, char out[IICP_TIME_TEXT]) {
        time_t t = (time_t) MIN(MAX(unix_s, INT64_C(-62135596800)), INT64_C(253402300799));
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(out, IICP_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) != IICP_TIME_TEXT - 1)
                memcpy(out, "1970-01-01T00:00:00Z", IICP_TIME_TEXT);
}
