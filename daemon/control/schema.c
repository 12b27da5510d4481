/* SPDX-License-Identifier: Apache-2.0 */
#include "control/schema.h"

#include <errno.h>
#include <string.h>

/* From the short text of schemas.c to JSON Schema. The short text is ours: it is well-formed, and a test
 * prints each one. */

static const char *print_object(const char *p, struct iicp_buf *out, const char *schema);

static void print_type(struct iicp_buf *out, const char *type, bool null) {
        if (null)
                iicp_buf_printf(out, "\"type\":[\"%s\",\"null\"]", type);
        else
                iicp_buf_printf(out, "\"type\":\"%s\"", type);
}

/* The place behind the bracket that ends what begins at p. */
static const char *group_end(const char *p) {
        int depth = 0;

        do {
                depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
                p++;
        } while (depth > 0 && *p);
        return p;
}

/* A type without braces around it; returns the place behind it. */
static const char *print_value(const char *p, struct iicp_buf *out) {
        static const struct {
                char letter;
                const char *type;
        } letters[] = {{'s', "string"}, {'i', "integer"}, {'n', "number"}, {'b', "boolean"}};
        const char *end;

        if (*p == '{') {
                end = group_end(p);
                print_type(out, "object", *end == '?');
                iicp_buf_puts(out, ",");
                print_object(p + 1, out, NULL);
                return *end == '?' ? end + 1 : end;
        }
        if (*p == '[') {
                end = group_end(p);
                print_type(out, "array", *end == '?');
                iicp_buf_puts(out, ",\"items\":{");
                if (strchr("sinba", p[1]) && p[2] == ']')
                        print_value(p + 1, out);
                else {
                        iicp_buf_puts(out, "\"type\":\"object\",");
                        print_object(p + 1, out, NULL);
                }
                iicp_buf_puts(out, "}");
                return *end == '?' ? end + 1 : end;
        }
        for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
                if (letters[i].letter == *p)
                        print_type(out, letters[i].type, p[1] == '?');
        return p + 1 + (p[1] == '?');
}

static const char *name_end(const char *p) {
        return p + strcspn(p, ":");
}

static const char *skip_value(const char *p) {
        p = *p == '{' || *p == '[' ? group_end(p) : p + 1;
        return *p == '?' ? p + 1 : p;
}

static void print_required(const char *p, struct iicp_buf *out, const char *schema) {
        const char *comma = "";

        iicp_buf_puts(out, "\"required\":[");
        if (schema) {
                iicp_buf_puts(out, "\"schema\"");
                comma = ",";
        }
        for (; *p && *p != '}' && *p != ']'; p += strspn(p, " ")) {
                const char *end = name_end(p);

                if (*p != '*') {
                        iicp_buf_printf(out, "%s\"%.*s\"", comma, (int) (end - p), p);
                        comma = ",";
                }
                p = skip_value(end + 1);
        }
        iicp_buf_puts(out, "]");
}

/* "properties" and "required" of the members at p. */
static const char *print_object(const char *p, struct iicp_buf *out, const char *schema) {
        const char *comma = "", *from = p;

        iicp_buf_puts(out, "\"properties\":{");
        if (schema) {
                iicp_buf_printf(out, "\"schema\":{\"const\":\"iicp.%s/1\"}", schema);
                comma = ",";
        }
        for (; *p && *p != '}' && *p != ']'; p += strspn(p, " ")) {
                const char *name = p + (*p == '*'), *end = name_end(name);

                iicp_buf_printf(out, "%s\"%.*s\":{", comma, (int) (end - name), name);
                p = print_value(end + 1, out);
                iicp_buf_puts(out, "}");
                comma = ",";
        }
        iicp_buf_puts(out, "},");
        print_required(from, out, schema);
        return p;
}

int schema_print(const char *name, struct iicp_buf *out) {
        for (size_t i = 0; i < n_schemas; i++) {
                if (strcmp(schemas[i].name, name) != 0)
                        continue;
                iicp_buf_printf(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"iicp.%s/1\","
                                     "\"type\":\"object\",", name);
                print_object(schemas[i].members, out, name);
                iicp_buf_puts(out, "}");
                return 0;
        }
        return -ENOENT;
}

void schema_list(struct iicp_buf *out) {
        iicp_buf_puts(out, "{\"schema\":\"iicp.schemas/1\",\"names\":[");
        for (size_t i = 0; i < n_schemas; i++)
                iicp_buf_printf(out, "%s\"%s\"", i ? "," : "", schemas[i].name);
        iicp_buf_puts(out, "]}");
}
