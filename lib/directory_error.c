/* SPDX-License-Identifier: Apache-2.0 */
#include <iicp/directory.h>

#include "util.h"

#include <json-c/json.h>
#include <stdio.h>
#include <strings.h>

/* Error bodies come in many shapes; this reads all of them the same way. [01 section 1.6] */

static const char *const class_names[] = {
        [IICP_DIR_OK] = "ok",
        [IICP_DIR_RATE_LIMITED] = "rate_limited",
        [IICP_DIR_ENDPOINT_NOT_ROUTABLE] = "endpoint_not_routable",
        [IICP_DIR_LIVENESS_FAILED] = "liveness_failed",
        [IICP_DIR_OWNERSHIP_DENIED] = "ownership_denied",
        [IICP_DIR_INTENT_REFUSED] = "intent_refused",
        [IICP_DIR_CAPACITY_REFUSED] = "capacity_refused",
        [IICP_DIR_OPERATOR_REFUSED] = "operator_refused",
        [IICP_DIR_PRICING_REFUSED] = "pricing_refused",
        [IICP_DIR_VALIDATION_ERROR] = "validation_error",
        [IICP_DIR_MEMBERSHIP_DENIED] = "membership_denied",
        [IICP_DIR_UNAUTHORIZED] = "unauthorized",
        [IICP_DIR_UNKNOWN_NODE] = "unknown_node",
        [IICP_DIR_SERVER_ERROR] = "server_error",
        [IICP_DIR_TRANSPORT] = "transport",
        [IICP_DIR_OTHER] = "other",
};

const char *iicp_directory_class_name(enum iicp_directory_class c) {
        return (size_t) c < ARRAY_SIZE(class_names) ? class_names[c] : "other";
}

static json_object *member(json_object *o, const char *name, json_type type) {
        json_object *v = NULL;

        if (!o || !json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v))
                return NULL;
        return v && json_object_is_type(v, type) ? v : NULL;
}

static const char *text(json_object *o, const char *name) {
        json_object *v = member(o, name, json_type_string);

        return v ? json_object_get_string(v) : NULL;
}

/* Codes are short words; anything else in their place is not shown. */
static bool set_code(struct iicp_directory_error *e, const char *code) {
        size_t n = code ? strlen(code) : 0;

        if (n == 0 || n >= sizeof(e->code))
                return false;
        for (size_t i = 0; i < n; i++)
                if (code[i] < 0x21 || code[i] > 0x7e)
                        return false;
        memcpy(e->code, code, n + 1);
        return true;
}

static bool digits(const char *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i] < '0' || p[i] > '9')
                        return false;
        return true;
}

/* First IICP-Ennn or IICP-POLICY-nnn in a text. */
static bool code_in(struct iicp_directory_error *e, const char *s) {
        for (const char *p = s; p && (p = strstr(p, "IICP-")); p += 5) {
                size_t n = 0;
                char code[24];

                if (p[5] == 'E' && digits(p + 6, strnlen(p + 6, 3)) && strnlen(p + 6, 3) == 3)
                        n = 9;
                else if (strncmp(p + 5, "POLICY-", 7) == 0 && strnlen(p + 12, 3) == 3 && digits(p + 12, 3))
                        n = 15;
                if (n == 0)
                        continue;
                memcpy(code, p, n);
                code[n] = '\0';
                return set_code(e, code);
        }
        return false;
}

static bool refused_intent(const char *field, json_object *texts) {
        size_t n = strlen(field);

        if (n < 7 || strcmp(field + n - 7, ".intent") != 0)
                return false;
        for (size_t i = 0; i < json_object_array_length(texts); i++) {
                const char *s = json_object_get_string(json_object_array_get_idx(texts, i));

                if (s && strncmp(s, "Intent refused", 14) == 0)
                        return true;
        }
        return false;
}

static void note_field(struct iicp_directory_error *e, const char *field) {
        size_t have = strlen(e->fields), n = strlen(field);

        if (have + n + 3 > sizeof(e->fields))
                return;
        for (size_t i = 0; i < n; i++)
                if (field[i] < 0x21 || field[i] > 0x7e)
                        return;
        snprintf(e->fields + have, sizeof(e->fields) - have, "%s%s", have ? "," : "", field);
}

/* The real code of a validation error hides in its texts. */
static void read_validation(struct iicp_directory_error *e, json_object *error, bool *ret_intent) {
        json_object *fields = member(error, "fields", json_type_object);
        bool found = code_in(e, text(error, "message"));

        if (!fields)
                return;
        json_object_object_foreach(fields, name, texts) {
                note_field(e, name);
                if (!json_object_is_type(texts, json_type_array))
                        continue;
                if (refused_intent(name, texts))
                        *ret_intent = true;
                for (size_t i = 0; !found && i < json_object_array_length(texts); i++)
                        found = code_in(e, json_object_get_string(json_object_array_get_idx(texts, i)));
        }
}

static int64_t retry_ms(struct iicp_str header, json_object *body, json_object *error) {
        static const struct { const char *name; int64_t factor; } members[] = {
                {"retry_after", 1}, {"retry_after_seconds", 1}, {"retry_after_hours", 3600},
        };
        json_object *const places[] = {body, error};

        if (header.n > 0 && header.n <= 9 && digits(header.p, header.n)) {
                int64_t s = 0;

                for (size_t i = 0; i < header.n; i++)
                        s = s * 10 + (header.p[i] - '0');
                return s * 1000;
        }
        for (size_t i = 0; i < ARRAY_SIZE(members); i++)
                for (size_t j = 0; j < ARRAY_SIZE(places); j++) {
                        json_object *v = member(places[j], members[i].name, json_type_int);
                        int64_t s = v ? json_object_get_int64(v) : -1;

                        if (s >= 0 && s <= 31536000)
                                return s * members[i].factor * 1000;
                }
        return -1;
}

static bool is(const struct iicp_directory_error *e, const char *code) {
        return strcmp(e->code, code) == 0;
}

/* These mean something else on other routes. [05 section 18] */
static enum iicp_directory_class class_at_register(const struct iicp_directory_error *e) {
        if (is(e, "liveness_failed") || is(e, "IICP-E036"))
                return IICP_DIR_LIVENESS_FAILED;
        if (is(e, "IICP-E049") || is(e, "IICP-E050"))
                return IICP_DIR_OWNERSHIP_DENIED;
        if (is(e, "IICP-E052"))
                return IICP_DIR_CAPACITY_REFUSED;
        if (is(e, "IICP-E051") || is(e, "IICP-E063"))
                return IICP_DIR_OPERATOR_REFUSED;
        return IICP_DIR_OTHER;
}

static enum iicp_directory_class class_by_code(const struct iicp_directory_error *e, enum iicp_directory_call call) {
        if (is(e, "restricted_domain_denied"))
                return IICP_DIR_MEMBERSHIP_DENIED;
        if (is(e, "IICP-E034") || is(e, "rate_limited"))
                return IICP_DIR_RATE_LIMITED;
        if (is(e, "IICP-E035"))
                return IICP_DIR_ENDPOINT_NOT_ROUTABLE;
        if (is(e, "IICP-POLICY-001"))
                return IICP_DIR_INTENT_REFUSED;
        if (is(e, "IICP-E010") && call != IICP_DIR_CALL_OTHER)
                return IICP_DIR_PRICING_REFUSED;
        return call == IICP_DIR_CALL_REGISTER ? class_at_register(e) : IICP_DIR_OTHER;
}

static enum iicp_directory_class class_of(const struct iicp_directory_error *e, enum iicp_directory_call call) {
        enum iicp_directory_class c = class_by_code(e, call);

        if (e->status >= 500)
                return IICP_DIR_SERVER_ERROR;
        if (c != IICP_DIR_OTHER)
                return c;
        switch (e->status) {
        case 400:
        case 422: return IICP_DIR_VALIDATION_ERROR;
        case 401: return IICP_DIR_UNAUTHORIZED;
        case 404:
        case 410: return IICP_DIR_UNKNOWN_NODE;
        case 429: return IICP_DIR_RATE_LIMITED;
        /* A listed success whose body is no JSON object counts as the server's fault. */
        case 200:
        case 201: return IICP_DIR_SERVER_ERROR;
        default: return IICP_DIR_OTHER;
        }
}

static json_object *parse(struct iicp_str body) {
        json_tokener *tok;
        json_object *o;

        if (body.n == 0 || body.n > 1048576)
                return NULL;
        tok = json_tokener_new();
        if (!tok)
                return NULL;
        o = json_tokener_parse_ex(tok, body.p, (int) body.n);
        json_tokener_free(tok);
        return o;
}

void iicp_directory_error_read(enum iicp_directory_call call, int status, struct iicp_str body,
                               struct iicp_str retry_after, struct iicp_directory_error *ret) {
        struct iicp_directory_error e = {.status = status};
        json_object *doc = parse(body), *error = member(doc, "error", json_type_object);
        bool intent = false;

        if (!(error ? set_code(&e, text(error, "code"))
                    : set_code(&e, text(doc, "error")) || set_code(&e, text(doc, "reason")) ||
                              set_code(&e, text(doc, "code"))))
                snprintf(e.code, sizeof(e.code), "http_%d", status);
        if (is(&e, "validation_error"))
                read_validation(&e, error ? error : doc, &intent);
        e.retry_after_ms = retry_ms(retry_after, doc, error);
        e.cls = intent ? IICP_DIR_INTENT_REFUSED : class_of(&e, call);
        json_object_put(doc);
        *ret = e;
}

bool iicp_directory_without_api(char *base, int status, struct iicp_str body) {
        struct iicp_directory_error e;
        size_t n = strlen(base);

        if (status != 404 || n < 4 || strcmp(base + n - 4, "/api") != 0)
                return false;
        iicp_directory_error_read(IICP_DIR_CALL_OTHER, status, body, IICP_STR_NONE, &e);
        if (strncmp(e.code, "http_", 5) != 0)
                return false;
        base[n - 4] = '\0';
        return true;
}
