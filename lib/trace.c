/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <iicp/codec.h>
#include <iicp/trace.h>
#include <iicp/uuid.h>

#define V0_LENGTH (IICP_TRACEPARENT_TEXT - 1) /* 2 + 1 + 32 + 1 + 16 + 1 + 2 */

static bool lower_hex(const char *p, size_t n, bool *ret_zero) {
        bool zero = true;

        for (size_t i = 0; i < n; i++) {
                if (!(p[i] >= '0' && p[i] <= '9') && !(p[i] >= 'a' && p[i] <= 'f'))
                        return false;
                zero = zero && p[i] == '0';
        }
        *ret_zero = zero;
        return true;
}

bool iicp_trace_id_valid(struct iicp_str text) {
        bool zero;

        return text.p && text.n == 32 && lower_hex(text.p, 32, &zero) && !zero;
}

int iicp_trace_parse(struct iicp_str header, struct iicp_trace *ret) {
        const char *p = header.p;
        bool zero;

        if (!p || header.n < V0_LENGTH || p[2] != '-' || p[35] != '-' || p[52] != '-')
                return -EINVAL;
        if (!lower_hex(p, 2, &zero) || memcmp(p, "ff", 2) == 0)
                return -EINVAL;
        /* version 00 has exactly four fields, a later one may have more */
        if (header.n > V0_LENGTH && (zero || p[V0_LENGTH] != '-'))
                return -EINVAL;
        if (!lower_hex(p + 3, 32, &zero) || zero)
                return -EINVAL;
        if (!lower_hex(p + 36, 16, &zero) || zero)
                return -EINVAL;
        if (!lower_hex(p + 53, 2, &zero))
                return -EINVAL;

        *ret = (struct iicp_trace){};
        memcpy(ret->trace_id, p + 3, 32);
        memcpy(ret->span_id, p + 36, 16);
        memcpy(ret->flags, p + 53, 2);
        return 0;
}

/* n random bytes as hex, never all zero */
static int random_id(size_t n, char *out) {
        unsigned char raw[16];
        bool zero = true;

        while (zero) {
                int r = iicp_random(raw, n);

                if (r < 0)
                        return r;
                for (size_t i = 0; i < n; i++)
                        zero = zero && raw[i] == 0;
        }
        iicp_hex(raw, n, out);
        return 0;
}

int iicp_trace_of(const unsigned char random[IICP_TRACE_RANDOM], struct iicp_trace *ret) {
        struct iicp_trace t = {.flags = "01"};
        bool trace_zero, span_zero;

        iicp_hex(random, 16, t.trace_id);
        iicp_hex(random + 16, 8, t.span_id);
        lower_hex(t.trace_id, 32, &trace_zero);
        lower_hex(t.span_id, 16, &span_zero);
        if (trace_zero || span_zero)
                return -EINVAL;
        *ret = t;
        return 0;
}

int iicp_trace_new(struct iicp_trace *ret) {
        unsigned char random[IICP_TRACE_RANDOM];
        int r = iicp_random(random, sizeof(random));

        return r < 0 ? r : iicp_trace_of(random, ret);
}

int iicp_trace_child(const struct iicp_trace *parent, struct iicp_trace *ret) {
        struct iicp_trace t = *parent;
        int r;

        r = random_id(8, t.span_id);
        if (r < 0)
                return r;
        *ret = t;
        return 0;
}

void iicp_trace_format(const struct iicp_trace *t, char out[IICP_TRACEPARENT_TEXT]) {
        memcpy(out, "00-", 3);
        memcpy(out + 3, t->trace_id, 32);
        out[35] = '-';
        memcpy(out + 36, t->span_id, 16);
        out[52] = '-';
        memcpy(out + 53, t->flags, 2);
        out[55] = '\0';
}
