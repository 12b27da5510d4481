lib_LTLIBRARIES += lib/libiicp.la
noinst_LTLIBRARIES += lib/libiicp-all.la

iicpincludedir = $(includedir)/iicp
iicpinclude_HEADERS = \
	lib/iicp/base.h \
	lib/iicp/buf.h \
	lib/iicp/cip.h lib/iicp/client.h lib/iicp/gossip.h \
	lib/iicp/codec.h \
	lib/iicp/cx.h \
	lib/iicp/directory.h \
	lib/iicp/address.h \
	lib/iicp/directory_read.h \
	lib/iicp/endpoint.h \
	lib/iicp/envelope.h \
	lib/iicp/hmac.h \
	lib/iicp/intents.h \
	lib/iicp/json.h \
	lib/iicp/lifecycle.h \
	lib/iicp/policy.h \
	lib/iicp/redirect.h \
	lib/iicp/refusal.h \
	lib/iicp/trace.h \
	lib/iicp/urn.h \
	lib/iicp/uuid.h

pkgconfigdir = $(libdir)/pkgconfig
nodist_pkgconfig_DATA = lib/libiicp.pc
EXTRA_DIST += lib/libiicp.map

# Everything once; the shared library exports the public symbols only, tests and daemon link the
# convenience library and see the internal ones too.
lib_libiicp_all_la_SOURCES = lib/util.h lib/version.c
lib_libiicp_all_la_CPPFLAGS = $(AM_CPPFLAGS)
lib_libiicp_all_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS) $(CURL_CFLAGS) $(JSON_CFLAGS) $(CBOR_CFLAGS) $(ZLIB_CFLAGS)
lib_libiicp_all_la_LIBADD = $(OPENSSL_LIBS) $(CURL_LIBS) $(JSON_LIBS)

lib_libiicp_la_SOURCES =
lib_libiicp_la_LIBADD = lib/libiicp-all.la
lib_libiicp_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -Wl,--version-script=$(top_srcdir)/lib/libiicp.map
EXTRA_lib_libiicp_la_DEPENDENCIES = $(top_srcdir)/lib/libiicp.map

include lib/wire.mk
include lib/crypto.mk
include lib/client.mk
include lib/trust.mk
include lib/native.mk
include lib/relay_worker.mk
