# Everything of the daemon but main(), so that unit tests link the same objects.
noinst_LTLIBRARIES += daemon/libiicpd.la
daemon_libiicpd_la_SOURCES = \
	daemon/clock.h daemon/config.h daemon/curl_library.h \
	daemon/fetch.h daemon/fetch_internal.h daemon/fetch_reader.h daemon/health.h daemon/listener.h daemon/log.h \
	daemon/loop.h daemon/metrics.h daemon/node.h daemon/notify.h daemon/state.h daemon/systemd.h daemon/door_http.h
daemon_libiicpd_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/daemon
daemon_libiicpd_la_CFLAGS = $(AM_CFLAGS) $(MHD_CFLAGS) $(CURL_CFLAGS) $(JSON_CFLAGS) $(EVENT_CFLAGS) \
	$(INIH_CFLAGS) $(SYSTEMD_CFLAGS) $(OPENSSL_CFLAGS)
daemon_libiicpd_la_LIBADD = lib/libiicp-all.la $(MHD_LIBS) $(JSON_LIBS) $(EVENT_LIBS) $(UPNP_LIBS) $(NATPMP_LIBS) \
	$(INIH_LIBS) $(OPENSSL_LIBS)

sbin_PROGRAMS += daemon/iicpd
daemon_iicpd_SOURCES = daemon/gnutls_unused.c daemon/main.c
daemon_iicpd_CPPFLAGS = $(daemon_libiicpd_la_CPPFLAGS)
daemon_iicpd_CFLAGS = $(daemon_libiicpd_la_CFLAGS)
daemon_iicpd_LDADD = daemon/libiicpd.la
# libraries must find them here
daemon_iicpd_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic-symbol=_gnutls_global_init_skip \
	-Wl,--export-dynamic-symbol=gnutls_global_init -Wl,--export-dynamic-symbol=gnutls_global_deinit

include daemon/skeleton.mk
include daemon/doors.mk
include daemon/native.mk
include daemon/fetch.mk
include daemon/state.mk
include daemon/trust.mk
include daemon/mesh.mk
include daemon/tunnel.mk
include daemon/findings.mk
