/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/admission.h>

#include <errno.h>
#include <string.h>

const char *iicp_admission_name(enum iicp_admission outcome) {
        static const char *const names[] = {
                [IICP_ADMISSION_ACCEPTED] = "accepted",
                [IICP_ADMISSION_ISSUER_KEY] = "reject_issuer_key",
                [IICP_ADMISSION_INVALID_JTI] = "reject_invalid_jti",
                [IICP_ADMISSION_PROVIDER_BINDING] = "reject_provider_binding",
                [IICP_ADMISSION_INTENT_BINDING] = "reject_intent_binding",
                [IICP_ADMISSION_NOT_YET_VALID] = "reject_not_yet_valid",
                [IICP_ADMISSION_EXPIRED] = "reject_expired",
                [IICP_ADMISSION_REPLAY] = "reject_replay",
                [IICP_ADMISSION_TERMINAL] = "reject_terminal",
                [IICP_ADMISSION_STORE_UNAVAILABLE] = "reject_store_unavailable",
        };

        return names[outcome];
}

static bool text_of(const struct iicp_json *claims, const char *name, struct iicp_str *ret) {
        struct iicp_json v = iicp_json_get(claims, name);

        if (v.type != IICP_JSON_STRING)
                return false;
        *ret = v.text;
        return true;
}

static bool time_of(const struct iicp_json *claims, const char *name, int64_t *ret) {
        struct iicp_json v = iicp_json_get(claims, name);

        return iicp_json_int(&v, ret) == 0;
}

int iicp_admission_claim_parse(const struct iicp_json *claims, struct iicp_admission_claim *ret) {
        struct iicp_admission_claim c = {0};

        if (claims->type != IICP_JSON_OBJECT || !text_of(claims, "jti", &c.jti) ||
            !text_of(claims, "provider_id", &c.provider_id) || !text_of(claims, "intent", &c.intent) ||
            !time_of(claims, "not_before", &c.not_before) || !time_of(claims, "expires_at", &c.expires_at))
                return -EINVAL;
        *ret = c;
        return 0;
}

static bool jti_is_valid(struct iicp_str jti) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";

        if (jti.n < IICP_ADMISSION_JTI_MIN || jti.n > IICP_ADMISSION_JTI_MAX)
                return false;
        for (size_t i = 0; i < jti.n; i++)
                if (!memchr(allowed, jti.p[i], sizeof(allowed) - 1))
                        return false;
        return true;
}

static bool same(struct iicp_str a, struct iicp_str b) {
        return a.n == b.n && a.n > 0 && memcmp(a.p, b.p, a.n) == 0;
}

/* Sum that stays at the ends of the range. */
static int64_t later(int64_t t, int64_t by) {
        int64_t sum;

        if (__builtin_add_overflow(t, by, &sum))
                return by > 0 ? INT64_MAX : INT64_MIN;
        return sum;
}

enum iicp_admission iicp_admission_decide(const struct iicp_admission_claim *claim, bool verified,
                                          const struct iicp_admission_provider *provider, int64_t now_s) {
        if (!verified)
                return IICP_ADMISSION_ISSUER_KEY;
        if (!jti_is_valid(claim->jti))
                return IICP_ADMISSION_INVALID_JTI;
        if (!same(claim->provider_id, provider->id))
                return IICP_ADMISSION_PROVIDER_BINDING;
        if (!same(claim->intent, provider->intent))
                return IICP_ADMISSION_INTENT_BINDING;
        if (later(now_s, IICP_ADMISSION_SKEW_S) < claim->not_before)
                return IICP_ADMISSION_NOT_YET_VALID;
        if (later(now_s, -IICP_ADMISSION_SKEW_S) >= claim->expires_at)
                return IICP_ADMISSION_EXPIRED;
        return provider->redeem(provider->store, claim->jti, later(claim->expires_at, IICP_ADMISSION_SKEW_S));
}
