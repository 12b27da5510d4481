/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include "control/schema.h"

#include <stdio.h>

int cmd_schema(const struct options *o, int argc, char **argv) {
        struct iicp_buf out = {0};
        int r = no_more(o, argc > 0 ? argc - 1 : 0, argv + 1);

        if (r != EXIT_DONE)
                return r;
        if (argc > 0 && schema_print(argv[0], &out) < 0) {
                tell_error(o, "unknown_schema", "there is no schema of this name", "iicpctl schema lists them");
                return EXIT_REFUSED;
        }
        if (argc == 0 && o->json)
                schema_list(&out);
        if (out.n > 0)
                puts(out.p);
        else
                for (size_t i = 0; i < n_schemas; i++)
                        puts(schemas[i].name);
        iicp_buf_free(&out);
        return EXIT_DONE;
}
