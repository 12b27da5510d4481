/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"
#include "listener.h"
#include "log.h"
#include "tls_port.h"

#include <stdio.h>

/* Does our own health route answer, seen from this machine? [01 sections 2.8, 6.1] */

#define SELF_ANSWER_MAX 1048576u

struct fetch *own_health_get(struct node *n, fetch_done_fn done, void *arg) {
        const char *address = n->config->listen_address;
        bool tls = tls_port_active(n->tls);
        char url[96];

        if (!address || strcmp(address, "::") == 0 || strcmp(address, "0.0.0.0") == 0)
                address = "127.0.0.1";
        snprintf(url, sizeof url, strchr(address, ':') ? "%s://[%s]:%u/iicp/health" : "%s://%s:%u/iicp/health",
                 tls ? "https" : "http", address, (unsigned) listener_port(n->listener));
        return fetch_start(n->fetch,
                           &(struct fetch_request){
                                   .method = "GET",
                                   .url = url,
                                   .headers = (const char *const[]){"Accept: application/json", "Connection: close", NULL},
                                   .connect_timeout_ms = RECOVERY_LOCAL_MS,
                                   .timeout_ms = RECOVERY_LOCAL_MS,
                                   .max_answer = SELF_ANSWER_MAX,
                           },
                           done, arg);
}

/* With TLS the certificate is for the name that others dial, not for this address: that it was shown and
 * refused is the answer of a port that lives. */
bool own_health_ok(struct node *n, const struct fetch_answer *a) {
        return a->error == FETCH_OK ? a->status == 200 : a->error == FETCH_TLS && tls_port_active(n->tls);
}

static void checked(void *arg, const struct fetch_answer *a) {
        struct directory *d = arg;

        d->listener_check = NULL;
        if (own_health_ok(d->node, a))
                log_info("listener_ok", "our own listener answers: what keeps the directory out is "
                         "between it and this machine (router, firewall, certificate)");
        else
                log_err("listener_silent", "our own listener does not answer on this machine (%s): "
                        "restart iicpd if that stays", fetch_error_name(a->error));
}

void listener_check(struct directory *d) {
        if (!d->listener_check)
                d->listener_check = own_health_get(d->node, checked, d);
}

void listener_check_cancel(struct directory *d) {
        if (d->listener_check)
                fetch_cancel(d->listener_check);
        d->listener_check = NULL;
}
