# the consumer program
bin_PROGRAMS += daemon/iicp/iicp
daemon_iicp_iicp_SOURCES = \
	daemon/iicp/iicp.h daemon/iicp/main.c daemon/iicp/ask.c daemon/iicp/tokens.c daemon/iicp/discover.c daemon/iicp/messages.c
daemon_iicp_iicp_CPPFLAGS = $(daemon_libiicpd_la_CPPFLAGS) -I$(top_srcdir)
daemon_iicp_iicp_CFLAGS = $(daemon_libiicpd_la_CFLAGS)
daemon_iicp_iicp_LDADD = daemon/libiicpd.la
