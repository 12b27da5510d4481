bin_PROGRAMS += daemon/iicpctl/iicpctl
daemon_iicpctl_iicpctl_SOURCES = \
	daemon/iicpctl/iicpctl.h daemon/iicpctl/check.c daemon/iicpctl/main.c daemon/iicpctl/call.c daemon/iicpctl/directory.c daemon/iicpctl/render.c daemon/iicpctl/render_status.c \
	daemon/iicpctl/account.c daemon/iicpctl/operator.c daemon/iicpctl/import.c daemon/iicpctl/secret_io.h \
	daemon/iicpctl/secret_io.c daemon/iicpctl/peers.c daemon/iicpctl/routes.c daemon/iicpctl/relays.c daemon/iicpctl/wait.c daemon/iicpctl/explain.h daemon/iicpctl/explain.c \
	daemon/iicpctl/explain_words.c daemon/iicpctl/events.c daemon/iicpctl/help.c daemon/iicpctl/top.c daemon/iicpctl/page.c daemon/iicpctl/schema.c daemon/iicpctl/log_level.c daemon/iicpctl/config.c daemon/iicpctl/tasks.c daemon/edit_distance.c daemon/guidance.c
daemon_iicpctl_iicpctl_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/daemon
daemon_iicpctl_iicpctl_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(JSON_CFLAGS)
daemon_iicpctl_iicpctl_LDADD = daemon/libiicpd.la lib/libiicp-all.la $(CURL_LIBS) $(JSON_LIBS)
# workers of a relay
daemon_iicpctl_iicpctl_SOURCES += daemon/iicpctl/sessions.c
include daemon/iicpctl/oper.mk
