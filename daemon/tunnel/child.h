/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_TUNNEL_CHILD_H
#define IICPD_TUNNEL_CHILD_H

/* The one program that iicpd ever starts, and only with the operator's yes: the helper of the tunnel's
 * provider. Absolute path, fixed arguments, no shell, empty environment, no descriptor of ours, a process
 * group of its own, killed with us. [04 section 10, 05 section 15] */

#include "loop.h"

#include <stddef.h>

#define CHILD_LINE_MAX 1024        /* bytes of a line that are looked at */
#define CHILD_TERM_MS 5000         /* from SIGTERM to SIGKILL */

struct tunnel_child;

/* Absolute path of the program: the configured one, or "cloudflared" in PATH. false: there is none. */
bool tunnel_child_find(const char *configured, char *out, size_t cap);
/* line comes for each line of its output, ended once when it has ended by itself. NULL: it cannot be started. */
struct tunnel_child *tunnel_child_start(struct loop *l, const char *program, unsigned port,
                                        void (*line)(void *arg, const char *text, size_t n), void (*ended)(void *arg), void *arg);
/* SIGTERM, 5 s, SIGKILL; then fn, which may be NULL. No other callback any more; it frees itself. */
void tunnel_child_stop(struct tunnel_child *c, void (*fn)(void *arg), void *arg);
/* At the end of the process: SIGKILL and away. Also after tunnel_child_stop, before fn. */
void tunnel_child_kill(struct tunnel_child *c);

#endif
