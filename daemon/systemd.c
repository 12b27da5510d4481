/* SPDX-License-Identifier: Apache-2.0 */
#include "systemd.h"

#include "build-config.h"
#include "util.h"

#include <errno.h>
#include <stdbool.h>

#if HAVE_SYSTEMD
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#define SONAME "libsystemd.so.0"

/* Written once, before anything reads it. */
static struct {
        __typeof__(sd_notify) *notify;
        __typeof__(sd_watchdog_enabled) *watchdog_enabled;
        __typeof__(sd_listen_fds_with_names) *listen_fds;
        __typeof__(sd_is_socket) *is_socket;
        __typeof__(sd_journal_sendv) *journal_sendv;
} library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
        void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

        if (!handle)
                return;
        *(void **) &library.notify = dlsym(handle, "sd_notify");
        *(void **) &library.watchdog_enabled = dlsym(handle, "sd_watchdog_enabled");
        *(void **) &library.listen_fds = dlsym(handle, "sd_listen_fds_with_names");
        *(void **) &library.is_socket = dlsym(handle, "sd_is_socket");
        *(void **) &library.journal_sendv = dlsym(handle, "sd_journal_sendv");
}

static bool managed(void) {
        if (!getenv("NOTIFY_SOCKET") && !getenv("LISTEN_FDS") && !getenv("JOURNAL_STREAM"))
                return false;
        pthread_once(&once, load);
        return true;
}

int systemd_notify(const char *text) {
        return managed() && library.notify ? library.notify(0, text) : 0;
}

uint64_t systemd_watchdog_us(void) {
        uint64_t us = 0;

        return managed() && library.watchdog_enabled && library.watchdog_enabled(0, &us) > 0 ? us : 0;
}

static bool has_role(const char *name, const char *role) {
        if (role)
                return strcmp(name, role) == 0;
        return strcmp(name, "native") != 0 && strcmp(name, "relay") != 0;
}

int systemd_passed_socket(const char *role) {
        char **names = NULL;
        int n = managed() && library.listen_fds && library.is_socket ? library.listen_fds(0, &names) : 0;
        int found = -1;

        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (found < 0 && has_role(names[i], role) &&
                    (library.is_socket(fd, AF_INET6, SOCK_STREAM, 1) > 0 ||
                     library.is_socket(fd, AF_INET, SOCK_STREAM, 1) > 0))
                        found = fd;
                free(names[i]);
        }
        free(names);
        return found;
}

int systemd_journal_send(const struct iovec *fields, int n) {
        return managed() && library.journal_sendv ? library.journal_sendv(fields, n) : -ENOENT;
}
#else
int systemd_notify(const char *text) {
        (void) text;
        return 0;
}

uint64_t systemd_watchdog_us(void) {
        return 0;
}

int systemd_passed_socket(const char *role) {
        (void) role;
        return -1;
}

int systemd_journal_send(const struct iovec *fields, int n) {
        (void) fields;
        (void) n;
        return -ENOENT;
}
#endif
