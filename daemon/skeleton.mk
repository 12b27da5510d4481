# clock, loop, log, configuration, node
daemon_libiicpd_la_SOURCES += daemon/clock.c daemon/clock_watch.c daemon/clock_watch.h daemon/log.c daemon/log_text.c daemon/loop.c \
	daemon/config.c daemon/config_check.c daemon/config_doc.c daemon/config_file.c daemon/config_file.h \
	daemon/config_print.c daemon/config_problem.c daemon/config_secret.c daemon/config_table.c \
	daemon/config_table.h daemon/config_text.c daemon/config_text.h daemon/config_value.c daemon/edit_distance.c daemon/edit_distance.h \
	daemon/policy.c daemon/policy.h daemon/policy-internal.h daemon/policy_read.c \
	daemon/node.c daemon/endpoint_name.c daemon/endpoint_name.h daemon/node_endpoint.c daemon/node_life.h daemon/node_stop.c daemon/node_watch.c daemon/systemd.c
