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
