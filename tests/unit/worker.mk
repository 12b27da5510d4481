# relay worker: election, decisions, sessions
UNIT_TESTS += tests/unit/lib/test-elect
tests_unit_lib_test_elect_SOURCES = tests/unit/lib/test-elect.c
tests_unit_lib_test_elect_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_elect_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_elect_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/daemon/relay/test-worker_core
tests_unit_daemon_relay_test_worker_core_SOURCES = tests/unit/daemon/relay/test-worker_core.c
tests_unit_daemon_relay_test_worker_core_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_worker_core_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_worker_core_LDADD = $(UNIT_DAEMON_LIBS)
