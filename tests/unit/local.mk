# Unit tests mirror the tree: tests/unit/lib/test-urn.c tests lib/urn.c.
UNIT_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/daemon -I$(top_srcdir)/tests/unit
UNIT_CFLAGS = $(daemon_libiicpd_la_CFLAGS) $(CMOCKA_CFLAGS)
UNIT_LIB_LIBS = lib/libiicp-all.la $(CMOCKA_LIBS) $(JSON_LIBS)
UNIT_DAEMON_LIBS = daemon/libiicpd.la $(CMOCKA_LIBS) $(JSON_LIBS)
UNIT_TESTS =

include tests/unit/wire.mk
include tests/unit/native.mk
include tests/unit/relay.mk
include tests/unit/crypto.mk
include tests/unit/client.mk
include tests/unit/skeleton.mk
include tests/unit/task.mk
include tests/unit/backend.mk
include tests/unit/directory.mk
include tests/unit/reach.mk
include tests/unit/doors.mk
include tests/unit/fetch.mk
include tests/unit/trust.mk
include tests/unit/observe.mk
include tests/unit/mesh.mk
include tests/unit/findings.mk

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
EXTRA_PROGRAMS += $(UNIT_TESTS)
EXTRA_DIST += tests/vectors
include tests/unit/worker.mk
