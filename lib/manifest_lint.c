/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/manifest.h>

#include "json-internal.h"
#include "util.h"

#include <iicp/canonical.h>
#include <iicp/urn.h>

/* Directories drop, trim or rewrite what they do not like before they check a signature; so nothing
 * of that kind is declared, signed or not. [05 section 10] */

#define TEXT_MAX 1024
#define SUBPROCESSORS_MAX 20
#define SUBPROCESSOR_MAX 80
#define INTENTS_MAX 100
#define LOGS_DAYS_MAX 3650

typedef const char *(*check_fn)(const struct iicp_json *v);

/* Trimmed, not empty, of at most `max` bytes, without controls and U+2028, U+2029. */
static bool text(const struct iicp_json *v, char out[TEXT_MAX + 1], size_t max) {
        size_t n;

        if (v->type != IICP_JSON_STRING || iicp_json_copy(v, out, max + 1) < 0)
                return false;
        n = strlen(out);
        if (n == 0 || out[0] == ' ' || out[n - 1] == ' ')
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) out[i] < 0x20 || out[i] == 0x7f ||
                    strncmp(out + i, "\xe2\x80\xa8", 3) == 0 || strncmp(out + i, "\xe2\x80\xa9", 3) == 0)
                        return false;
        return true;
}

static const char *check_version(const struct iicp_json *v) {
        char out[TEXT_MAX + 1];

        return text(v, out, 32) ? NULL : "version is no trimmed text of 1 to 32 characters";
}

static bool jurisdiction_char(char c, bool first) {
        bool word = json_is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        return word || (!first && c && strchr(" ._:-", c));
}

static const char *check_jurisdiction(const struct iicp_json *v) {
        char out[TEXT_MAX + 1];
        bool good = text(v, out, 64);

        for (size_t i = 0; good && out[i]; i++)
                good = jurisdiction_char(out[i], i == 0);
        return good ? NULL : "jurisdiction is no text of letters, digits and \" ._:-\" of 1 to 64 characters";
}

static const char *url(const struct iicp_json *v, const char *fault) {
        char out[TEXT_MAX + 1];
        bool good = text(v, out, 256);
        const char *host = good && strncmp(out, "https://", 8) == 0  ? out + 8
                           : good && strncmp(out, "http://", 7) == 0 ? out + 7
                                                                      : "";

        for (const char *p = out; good && *p; p++)
                good = *p > 0x20 && *p < 0x7f && *p != '\\';
        return good && *host && *host != '/' ? NULL : fault;
}

static const char *check_policy_url(const struct iicp_json *v) {
        return url(v, "policy_url is no http or https URL of at most 256 characters");
}

static const char *check_contact_url(const struct iicp_json *v) {
        return url(v, "contact_url is no http or https URL of at most 256 characters");
}

static const char *check_can_read(const struct iicp_json *v) {
        return v->type == IICP_JSON_TRUE || v->type == IICP_JSON_FALSE
                       ? NULL : "remote_executor_can_read_prompt is neither true nor false";
}

static bool one_of(const struct iicp_json *v, const char *a, const char *b, const char *c) {
        return v->type == IICP_JSON_STRING && (iicp_json_is(v, a) || iicp_json_is(v, b) || iicp_json_is(v, c));
}

static const char *check_training(const struct iicp_json *v) {
        return one_of(v, "none", "opt_in", "provider_defined")
                       ? NULL : "training_use is not none, opt_in or provider_defined";
}

static const char *check_retention(const struct iicp_json *v) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool any = false;
        int64_t days;

        if (v->type != IICP_JSON_OBJECT)
                return "retention is no object";
        iicp_json_iter_init(&it, v);
        for (; iicp_json_next(&it, &name, &value); any = true) {
                if (iicp_json_is(&name, "task_payload")) {
                        if (!one_of(&value, "none", "transient", "provider_defined"))
                                return "retention.task_payload is not none, transient or provider_defined";
                } else if (iicp_json_is(&name, "logs_days")) {
                        if (iicp_json_int(&value, &days) < 0 || days < 0 || days > LOGS_DAYS_MAX)
                                return "retention.logs_days is no integer from 0 to 3650";
                } else
                        return "retention has a member that is not known";
        }
        return any ? NULL : "retention is an empty object";
}

static const char *check_subprocessors(const struct iicp_json *v) {
        char out[TEXT_MAX + 1];
        struct iicp_json_iter it;
        struct iicp_json item;
        size_t n = 0;

        if (v->type != IICP_JSON_ARRAY)
                return "subprocessors is no list";
        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, NULL, &item))
                if (!text(&item, out, SUBPROCESSOR_MAX) || strpbrk(out, "<>") || ++n > SUBPROCESSORS_MAX)
                        return "subprocessors is no list of at most 20 plain texts of at most 80 characters";
        return NULL;
}

static const char *check_unsupported(const struct iicp_json *v) {
        struct iicp_json_iter it;
        struct iicp_json item;
        size_t n = 0;

        if (v->type != IICP_JSON_ARRAY)
                return "unsupported_intents is no list";
        iicp_json_iter_init(&it, v);
        while (iicp_json_next(&it, NULL, &item))
                if (item.type != IICP_JSON_STRING || iicp_urn_check(item.text) != IICP_URN_OK || ++n > INTENTS_MAX)
                        return "unsupported_intents is no list of at most 100 intents";
        return NULL;
}

static const char *check_statement(const struct iicp_json *v) {
        char out[TEXT_MAX + 1];

        return text(v, out, 1024) ? NULL : "signed_statement is no trimmed line of 1 to 1024 characters";
}

/* The values of a signature are judged when it is verified. */
static const char *check_signature(const struct iicp_json *v) {
        static const char *const known[] = {"algorithm", "key_id", "public_key", "signed_at", "expires_at",
                                            "rotation_epoch", "revoked_at", "revocation_reason_class", "signature"};
        char out[TEXT_MAX + 1];
        struct iicp_json_iter it;
        struct iicp_json name, value;
        int64_t epoch;
        bool any = false;

        if (v->type != IICP_JSON_OBJECT)
                return "signature is no object";
        iicp_json_iter_init(&it, v);
        for (; iicp_json_next(&it, &name, &value); any = true) {
                size_t i = 0;

                while (i < ARRAY_SIZE(known) && !iicp_json_is(&name, known[i]))
                        i++;
                if (i == ARRAY_SIZE(known))
                        return "signature has a member that is not known";
                if (iicp_json_is(&name, "rotation_epoch") ? iicp_json_int(&value, &epoch) < 0
                                                          : !text(&value, out, 256))
                        return "signature has a member of a wrong kind";
        }
        return any ? NULL : "signature is an empty object";
}

static const struct {
        const char *name;
        check_fn fn;
} members[] = {
        {"version", check_version},
        {"jurisdiction", check_jurisdiction},
        {"policy_url", check_policy_url},
        {"contact_url", check_contact_url},
        {"remote_executor_can_read_prompt", check_can_read},
        {"training_use", check_training},
        {"retention", check_retention},
        {"subprocessors", check_subprocessors},
        {"unsupported_intents", check_unsupported},
        {"signed_statement", check_statement},
        {"signature", check_signature},
};

const char *iicp_manifest_lint(const struct iicp_json *manifest) {
        struct iicp_json_iter it;
        struct iicp_json name, value;
        bool any = false;

        if (manifest->type != IICP_JSON_OBJECT)
                return "it is no JSON object";
        if (iicp_json_unique(manifest) < 0)
                return "it has a member twice";
        iicp_json_iter_init(&it, manifest);
        for (; iicp_json_next(&it, &name, &value); any = true) {
                const char *fault = "it has a member that is not known";

                for (size_t i = 0; i < ARRAY_SIZE(members); i++)
                        if (iicp_json_is(&name, members[i].name))
                                fault = members[i].fn(&value);
                if (fault)
                        return fault;
        }
        return any ? NULL : "it is an empty object";
}
