/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPCTL_PSEUDONYM_H
#define IICPCTL_PSEUDONYM_H

/* Text for strangers' eyes: addresses become addr-1, ids node-1, names of hosts host-1, each the same
 * wherever it stands; words that look like keys or tokens are taken out. [operator design 6.7] */

#include <iicp/buf.h>

#define PSEUDONYMS_MAX 512
#define PSEUDONYM_WORD 40 /* a word of letters and digits that is so long is no word */

struct pseudonyms {
        struct alias {
                char text[256];
                const char *kind;   /* "addr", "node", "host" */
                unsigned number;
        } v[PSEUDONYMS_MAX];
        size_t n;
        unsigned addresses, ids, hosts, removed;
};

/* A name that is a host's, wherever it stands: of this machine, of the node. Short ones are left. */
void pseudonym_host(struct pseudonyms *p, const char *name);
/* The first 8 characters of an id, as our own views show it. */
void pseudonym_id(struct pseudonyms *p, const char *id);
/* Learns the hosts of URLs in a text; all texts are learnt before any is written. */
void pseudonym_learn(struct pseudonyms *p, const char *text);
void pseudonym_write(struct pseudonyms *p, const char *text, struct iicp_buf *out);

#endif
