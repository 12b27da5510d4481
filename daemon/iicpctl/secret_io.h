/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPCTL_SECRET_IO_H
#define IICPCTL_SECRET_IO_H

/* Files that hold secrets, and passphrases. Errors are texts for people, -errno the result. */

#include <iicp/buf.h>

/* A regular file of ours that nobody else may read. */
int secret_file_read(const char *path, size_t max, struct iicp_buf *ret, char *why, size_t cap);
int plain_file_read(const char *path, size_t max, struct iicp_buf *ret, char *why, size_t cap);
/* 0600 from the first byte, by a temporary name. fresh: -EEXIST if it is there already. */
int secret_file_write(const char *path, struct iicp_str text, bool fresh, char *why, size_t cap);
/* IICP_OPERATOR_PASSPHRASE, else asked for at the terminal. */
int passphrase_read(const char *prompt, struct iicp_buf *ret);
/* $IICP_HOME/NAME, else ~/.iicp/NAME. */
void sdk_home(const char *name, char *out, size_t cap);

#endif
