/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONFIG_FILE_H
#define IICPD_CONFIG_FILE_H

#include "config_table.h"

/* One run of config_load: the object that is being filled and where its problems go. */
struct loading {
        const struct config_source *source;
        struct config *config;
        struct config_problems *problems;
};

/* One `key = value`, wherever it stood. place->column is that of the key, value_column that of the
 * value; both 0 outside of files. */
struct setting {
        enum config_from from;
        const char *section;    /* "limits", "backend" */
        const char *backend;    /* NAME of [backend NAME], or NULL */
        const char *key, *value;
        const char *origin;     /* file or variable, as shown */
        struct problem_place place;
        unsigned value_column;
};

void setting_apply(struct loading *l, const struct setting *s);
/* Section of the table by name, as far as this program may see it; NULL after a problem was added. */
bool section_check(struct loading *l, const char *section, const char *backend, const struct problem_place *place,
                   bool *ret_visible);
/* Reads one file (config_file.c). */
void file_load(struct loading *l, const char *path, unsigned rank, bool required, struct iicp_str text);

#endif
