# snapshot, events, spans, ops listener
UNIT_TESTS += tests/unit/daemon/observe/test-snapshot tests/unit/daemon/observe/test-events \
	tests/unit/daemon/observe/test-ops tests/unit/daemon/observe/test-feed
tests_unit_daemon_observe_test_snapshot_SOURCES = tests/unit/daemon/observe/test-snapshot.c
tests_unit_daemon_observe_test_snapshot_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_observe_test_snapshot_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_observe_test_snapshot_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
tests_unit_daemon_observe_test_events_SOURCES = tests/unit/daemon/observe/test-events.c
tests_unit_daemon_observe_test_events_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_observe_test_events_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_observe_test_events_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
tests_unit_daemon_observe_test_ops_SOURCES = tests/unit/daemon/observe/test-ops.c
tests_unit_daemon_observe_test_ops_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_observe_test_ops_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_observe_test_ops_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
tests_unit_daemon_observe_test_feed_SOURCES = tests/unit/daemon/observe/test-feed.c
tests_unit_daemon_observe_test_feed_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_observe_test_feed_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_observe_test_feed_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
