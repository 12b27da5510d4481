/* SPDX-License-Identifier: Apache-2.0 */
#include "iicpctl.h"

#include <stdio.h>
#include <string.h>

static int usage(const struct options *o) {
        tell_error(o, "usage", "no such level of the log", "err, warn, notice, info or debug");
        return EXIT_USAGE;
}

int cmd_log_level(const struct options *o, int argc, char **argv) {
        static const char *const words[] = {"err", "warn", "notice", "info", "debug"};
        struct answer a = {0};
        bool known = argc == 0;
        char body[32] = "";
        int r;

        for (size_t i = 0; argc > 0 && i < sizeof(words) / sizeof(words[0]); i++)
                known = known || strcmp(words[i], argv[0]) == 0;
        if (!known)
                return usage(o);
        r = no_more(o, argc > 0 ? argc - 1 : 0, argv + 1);
        if (r != EXIT_DONE)
                return r;
        if (argc > 0)
                snprintf(body, sizeof(body), "{\"level\":\"%s\"}", argv[0]);
        r = call(o, argc > 0 ? "PUT" : "GET", "/v1/log", argc > 0 ? body : NULL, &a);
        if (r != EXIT_DONE)
                return r;
        if (a.status != 200 || !a.doc)
                r = tell_refusal(o, &a);
        else if (o->json)
                puts(a.text);
        else if (strcmp(text_of(a.doc, "level"), text_of(a.doc, "configured")) == 0)
                printf("%s, as configured\n", text_of(a.doc, "level"));
        else
                printf("%s until a reload or restart (configured: %s)\n", text_of(a.doc, "level"), text_of(a.doc, "configured"));
        answer_done(&a);
        return r;
}
