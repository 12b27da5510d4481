/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONTROL_PAGE_H
#define IICPD_CONTROL_PAGE_H

/* Pieces of the status page. */

#include <iicp/buf.h>
#include <json-c/json.h>

/* As text of HTML: markup in it does nothing. */
void page_text(struct iicp_buf *out, const char *text);
/* Members of an object; NULL, "" and 0 where there is none. */
json_object *page_get(json_object *o, const char *name);
const char *page_str(json_object *o, const char *name);
int64_t page_int(json_object *o, const char *name);
/* page_tables.c: tasks, backends and models, route, directory. */
void page_tables(json_object *status, json_object *tasks, json_object *models, struct iicp_buf *out);

#endif
