/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CURL_LIBRARY_H
#define IICPD_CURL_LIBRARY_H

/* libcurl brings some thirty libraries and three megabytes with it. A node that talks to plain-http
 * backends of the house only has no use for it, so it is loaded with the first call that has. */

#define CURL_DISABLE_TYPECHECK /* its macros know the linked functions only */
#include <curl/curl.h>

struct curl_library {
        __typeof__(curl_easy_init) *easy_init;
        __typeof__(curl_easy_cleanup) *easy_cleanup;
        __typeof__(curl_easy_setopt) *easy_setopt;
        __typeof__(curl_easy_getinfo) *easy_getinfo;
        __typeof__(curl_multi_init) *multi_init;
        __typeof__(curl_multi_cleanup) *multi_cleanup;
        __typeof__(curl_multi_setopt) *multi_setopt;
        __typeof__(curl_multi_assign) *multi_assign;
        __typeof__(curl_multi_add_handle) *multi_add_handle;
        __typeof__(curl_multi_remove_handle) *multi_remove_handle;
        __typeof__(curl_multi_info_read) *multi_info_read;
        __typeof__(curl_multi_socket_action) *multi_socket_action;
        __typeof__(curl_slist_append) *slist_append;
        __typeof__(curl_slist_free_all) *slist_free_all;
        __typeof__(curl_url) *url;
        __typeof__(curl_url_set) *url_set;
        __typeof__(curl_url_cleanup) *url_cleanup;
};

/* -ENOENT, with a line in the log: it is not there, or lacks a function. It stays loaded. */
int curl_library_load(struct curl_library *ret);

#endif
