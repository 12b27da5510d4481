UNIT_TESTS += tests/unit/daemon/backend/test-assemble
tests_unit_daemon_backend_test_assemble_SOURCES = tests/unit/daemon/backend/test-assemble.c
tests_unit_daemon_backend_test_assemble_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_backend_test_assemble_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_backend_test_assemble_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/backend/test-stability
tests_unit_daemon_backend_test_stability_SOURCES = tests/unit/daemon/backend/test-stability.c
tests_unit_daemon_backend_test_stability_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_backend_test_stability_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_backend_test_stability_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/backend/test-messages
tests_unit_daemon_backend_test_messages_SOURCES = tests/unit/daemon/backend/test-messages.c
tests_unit_daemon_backend_test_messages_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_backend_test_messages_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_backend_test_messages_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/backend/test-sse
tests_unit_daemon_backend_test_sse_SOURCES = tests/unit/daemon/backend/test-sse.c
tests_unit_daemon_backend_test_sse_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_backend_test_sse_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_backend_test_sse_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/backend/test-call
tests_unit_daemon_backend_test_call_SOURCES = tests/unit/daemon/backend/test-call.c \
	tests/unit/daemon/backend/stand.c tests/unit/daemon/backend/stand.h
tests_unit_daemon_backend_test_call_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_backend_test_call_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_backend_test_call_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/backend/test-probe
tests_unit_daemon_backend_test_probe_SOURCES = tests/unit/daemon/backend/test-probe.c \
	tests/unit/daemon/backend/stand.c tests/unit/daemon/backend/stand.h
tests_unit_daemon_backend_test_probe_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_backend_test_probe_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_backend_test_probe_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
