# what needs attention
UNIT_TESTS += tests/unit/daemon/findings/test-findings
tests_unit_daemon_findings_test_findings_SOURCES = tests/unit/daemon/findings/test-findings.c
tests_unit_daemon_findings_test_findings_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_findings_test_findings_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_findings_test_findings_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/iicpctl/test-pseudonym
tests_unit_daemon_iicpctl_test_pseudonym_SOURCES = tests/unit/daemon/iicpctl/test-pseudonym.c daemon/iicpctl/pseudonym.c
tests_unit_daemon_iicpctl_test_pseudonym_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_iicpctl_test_pseudonym_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_iicpctl_test_pseudonym_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/test-daily
tests_unit_daemon_test_daily_SOURCES = tests/unit/daemon/test-daily.c
tests_unit_daemon_test_daily_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_test_daily_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_test_daily_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
