UNIT_TESTS += tests/unit/daemon/reach/test-facts
tests_unit_daemon_reach_test_facts_SOURCES = tests/unit/daemon/reach/test-facts.c
tests_unit_daemon_reach_test_facts_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_reach_test_facts_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_reach_test_facts_LDADD = $(UNIT_DAEMON_LIBS)
