/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_SYSTEMD_H
#define IICPD_SYSTEMD_H

/* The service manager, by libsystemd. The library brings a megabyte of others with it, so it is
 * loaded only where there is a manager: NOTIFY_SOCKET, LISTEN_FDS or JOURNAL_STREAM is set. Without
 * one, and without the library, every function says that nobody is there. */

#include <stdint.h>
#include <sys/uio.h>

/* 1: sent; 0: nobody wants to know; -errno. */
int systemd_notify(const char *text);
/* Interval that the manager expects; 0: no watchdog, or that of another process. */
uint64_t systemd_watchdog_us(void);
/* A listening stream socket of the internet among those that were passed; -1: none. role: the
 * FileDescriptorName= of its unit; NULL: under a name that is no role ("native", "relay"). */
int systemd_passed_socket(const char *role);
/* Fields "NAME=value". -errno: not delivered. */
int systemd_journal_send(const struct iovec *fields, int n);

#endif
