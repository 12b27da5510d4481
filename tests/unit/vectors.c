/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void path_of(const char *variable, const char *name, char *out, size_t cap) {
        const char *folder = getenv(variable);

        snprintf(out, cap, "%s/%s", folder ? folder : ".", name);
}

static struct json_object *load(const char *path) {
        struct json_object *o = json_object_from_file(path);

        if (!o)
                fail_msg("%s: %s", path, json_util_get_last_err());
        return o;
}

struct json_object *vector_ours(const char *name) {
        char path[4096];

        path_of("IICP_VECTORS", name, path, sizeof(path));
        return load(path);
}

struct json_object *vector_public(const char *name) {
        char path[4096];

        path_of("IICP_PUBLIC_VECTORS", name, path, sizeof(path));
        if (access(path, R_OK) < 0) {
                print_message("public vector %s is not here (IICP_PUBLIC_VECTORS): skipped\n",
                              name);
                skip();
        }
        return load(path);
}

struct json_object *vector_find(struct json_object *object, const char *name) {
        struct json_object *o = NULL;

        json_object_object_get_ex(object, name, &o);
        return o;
}

struct json_object *vector_get(struct json_object *object, const char *name) {
        struct json_object *o = NULL;

        if (!json_object_object_get_ex(object, name, &o))
                fail_msg("member \"%s\" is missing in %s", name,
                         json_object_to_json_string(object));
        return o;
}

struct iicp_str vector_str(struct json_object *object, const char *name) {
        struct json_object *o = vector_get(object, name);

        if (!json_object_is_type(o, json_type_string))
                fail_msg("member \"%s\" is no string in %s", name,
                         json_object_to_json_string(object));
        return (struct iicp_str){json_object_get_string(o), (size_t) json_object_get_string_len(o)};
}

struct iicp_str vector_text(struct json_object *value) {
        size_t n;
        const char *p = json_object_to_json_string_length(
                value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

        return (struct iicp_str){p, n};
}

struct iicp_str vector_hex_of(struct iicp_str hex) {
        char *p = malloc(hex.n / 2 + 1);

        assert_non_null(p);
        for (size_t i = 0; i < hex.n / 2; i++) {
                char pair[3] = {hex.p[2 * i], hex.p[2 * i + 1], '\0'};

                p[i] = (char) strtoul(pair, NULL, 16);
        }
        return (struct iicp_str){p, hex.n / 2};
}

struct iicp_str vector_hex(struct json_object *object, const char *name) {
        return vector_hex_of(vector_str(object, name));
}
