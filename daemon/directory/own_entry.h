/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_OWN_ENTRY_H
#define IICPD_OWN_ENTRY_H

/* What the directory tells others about us, compared with what we said: after each registration and
 * hourly. Another endpoint there means that somebody else answers in our name. [05 section 15] */

#include "../loop.h"

#include <iicp/json.h>
#include <stdbool.h>

#define OWN_ENTRY_FIRST_MS 60000u
#define OWN_ENTRY_EVERY_MS 3600000u

struct directory;
struct directory_call;

enum own_entry_verdict { OWN_ENTRY_UNKNOWN, OWN_ENTRY_SAME, OWN_ENTRY_OTHER_ENDPOINT, OWN_ENTRY_OTHER_KEY };

struct own_entry {
        struct timer timer;
        struct directory_call *call;
        enum own_entry_verdict verdict;
        uint64_t looked_ms;     /* 0 = never */
        bool repaired;          /* registered because of it; the next look only tells */
};

/* The record of GET /v1/node/{id}: may be wrapped in "node"; members of either directory, or none.
 * cx_key is what we published, as text of the member "key". */
enum own_entry_verdict own_entry_compare(const struct iicp_json *record, const char *endpoint, const char *cx_key);

void own_entry_init(struct directory *d);
void own_entry_cancel(struct directory *d);
void own_entry_registered(struct directory *d);
const char *own_entry_name(enum own_entry_verdict v);

#endif
