/* SPDX-License-Identifier: Apache-2.0 */
/* Writes what follows from the table of keys: `generate sample` is conf/iicp.conf, `generate manual`
 * is docs/iicp.conf.5, `generate findings` is docs/iicpd-findings.7. A program of the build, not installed. */

#include "config.h"
#include "generate.h"

#include <string.h>

int main(int argc, char **argv) {
        if (argc == 2 && strcmp(argv[1], "sample") == 0)
                config_write_sample(stdout);
        else if (argc == 2 && strcmp(argv[1], "manual") == 0)
                config_write_manual(stdout);
        else if (argc == 2 && strcmp(argv[1], "findings") == 0)
                findings_write_manual(stdout);
        else {
                fprintf(stderr, "generate sample|manual|findings\n");
                return 2;
        }
        return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
