/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONFIG_TEXT_H
#define IICPD_CONFIG_TEXT_H

/* Checks of single texts, named in the rows of config_table.c. Each says what is wrong in *f and may
 * hand back another spelling to store (malloc'd). */

#include "config_table.h"

bool text_node_id(const char *s, struct config_fault *f, char **ret_instead);
bool text_node_name(const char *s, struct config_fault *f, char **ret_instead);
bool text_region(const char *s, struct config_fault *f, char **ret_instead);
bool text_endpoint_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_backend_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_directory_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_proxy_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_origin(const char *s, struct config_fault *f, char **ret_instead);
bool text_address(const char *s, struct config_fault *f, char **ret_instead);
bool text_map_protocol(const char *s, struct config_fault *f, char **ret_instead);
bool text_probe_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_echo_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_tunnel_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_relay_worker(const char *s, struct config_fault *f, char **ret_instead);
bool text_listen(const char *s, struct config_fault *f, char **ret_instead);
bool text_network(const char *s, struct config_fault *f, char **ret_instead);
bool text_path(const char *s, struct config_fault *f, char **ret_instead);
bool text_group(const char *s, struct config_fault *f, char **ret_instead);
bool text_pattern(const char *s, struct config_fault *f, char **ret_instead);
bool text_model(const char *s, struct config_fault *f, char **ret_instead);
bool text_share(const char *s, struct config_fault *f, char **ret_instead);
bool text_urn(const char *s, struct config_fault *f, char **ret_instead);
bool text_key(const char *s, struct config_fault *f, char **ret_instead);
bool text_multiplier(const char *s, struct config_fault *f, char **ret_instead);
bool text_time(const char *s, struct config_fault *f, char **ret_instead);
bool text_display_name(const char *s, struct config_fault *f, char **ret_instead);
bool text_web_url(const char *s, struct config_fault *f, char **ret_instead);
bool text_refuse_yes(const char *s, struct config_fault *f, char **ret_instead);

bool text_backend_name(const char *s);

#endif
