/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_STATE_FILE_H
#define IICPD_STATE_FILE_H

/* Files of the state directory: read with checks, written safely. [05 section 9] */

#include <iicp/buf.h>

#define STATE_FILE_MAX 262144 /* bytes */

/* Opens a state directory below parent_fd (or AT_FDCWD), made with 0700 if missing. -EPERM and a
 * text: wrong owner or mode. */
int state_dir_open(int parent_fd, const char *path, int *ret_fd, char *why, size_t why_cap);
/* -ENOENT; -EPERM (owner or mode, text in why); -EFBIG. */
int state_file_read(int dir_fd, const char *name, struct iicp_buf *ret, char *why, size_t why_cap);
/* Renames to NAME.<tag>-<now>, for the operator to look at. */
int state_file_aside(int dir_fd, const char *name, const char *tag, int64_t now_s);
/* Called at each step of a write, in this order: begin, created, written, synced, renamed, done. It
 * is the only function of state_point.c and does nothing; a test program that defines one of its own
 * is linked with that instead. */
void state_write_point(const char *file, const char *step);
/* In a container: a folder of the container's own file system or of memory goes with it. */
bool state_dir_vanishes(const char *path);
/* flock on the file "lock" with our pid in it. -EBUSY: *ret_pid is the holder, 0 if unknown. */
int state_lock(int dir_fd, int *ret_fd, long *ret_pid);

#endif
