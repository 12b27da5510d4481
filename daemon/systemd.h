/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_SYSTEMD_H
#define IICPD_SYSTEMD_H

/* The three small protocols of the service manager that we speak, as sd_notify(3),
 * sd_listen_fds(3), sd_watchdog_enabled(3) and systemd.io/JOURNAL_NATIVE_PROTOCOL describe them.
 * libsystemd would be a megabyte for this. */

#include <stdint.h>
#include <sys/uio.h>

#define SYSTEMD_LISTEN_FDS_START 3
#define SYSTEMD_JOURNAL_FIELDS_MAX 24
#define SYSTEMD_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* 1: sent; 0: nobody wants to know; -errno. */
int systemd_notify(const char *text);
/* Interval that the manager expects; 0: no watchdog, or that of another process. */
uint64_t systemd_watchdog_us(void);
/* A listening stream socket, not a local one, among those that were passed; -1: none. */
int systemd_passed_socket(void);
/* Fields "NAME=value". -errno: not delivered. */
int systemd_journal_send(const char *socket_path, const struct iovec *fields, unsigned n);

#endif
