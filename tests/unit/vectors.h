/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

/* Test vectors as json-c trees. Link tests/unit/libvectors.la. The caller frees with
 * json_object_put; everything looked up inside is borrowed from the tree. */

/* cmocka.h wants these four before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-c/json.h>

#include <iicp/base.h>

/* One of ours, "consumer/urn-validation.json" below tests/vectors. Absent or broken: the test
 * fails. */
struct json_object *vector_ours(const char *name);
/* One of the public ones, below $IICP_PUBLIC_VECTORS, which we do not carry. Absent: the test is
 * skipped with a message. */
struct json_object *vector_public(const char *name);

/* Member of an object; fails the test if absent. */
struct json_object *vector_get(struct json_object *object, const char *name);
/* The same, NULL if absent. */
struct json_object *vector_find(struct json_object *object, const char *name);
/* String member, length included: it may hold a NUL. Fails if absent or no string. */
struct iicp_str vector_str(struct json_object *object, const char *name);
/* The value as compact JSON text, borrowed from the tree. */
struct iicp_str vector_text(struct json_object *value);

/* Bytes of a string member in hex. Free with free(). */
struct iicp_str vector_hex(struct json_object *object, const char *name);
struct iicp_str vector_hex_of(struct iicp_str hex);

#define vector_each(array, item)                                                                   \
        for (size_t item##_i = 0, item##_n = json_object_array_length(array); item##_i < item##_n; \
             item##_i++)                                                                           \
                for (struct json_object *item = json_object_array_get_idx(array, item##_i),        \
                                        *item##_once = array;                                      \
                     item##_once; item##_once = NULL)

#endif
