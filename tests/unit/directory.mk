UNIT_TESTS += tests/unit/daemon/directory/test-directory
tests_unit_daemon_directory_test_directory_SOURCES = tests/unit/daemon/directory/test-directory.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h
tests_unit_daemon_directory_test_directory_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_directory_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_directory_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-rekey
tests_unit_daemon_directory_test_rekey_SOURCES = tests/unit/daemon/directory/test-rekey.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h
tests_unit_daemon_directory_test_rekey_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_rekey_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_rekey_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-batch
tests_unit_daemon_directory_test_batch_SOURCES = tests/unit/daemon/directory/test-batch.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h
tests_unit_daemon_directory_test_batch_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_batch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_batch_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-recovery_table
tests_unit_daemon_directory_test_recovery_table_SOURCES = tests/unit/daemon/directory/test-recovery_table.c
tests_unit_daemon_directory_test_recovery_table_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_recovery_table_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_recovery_table_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-recovery
tests_unit_daemon_directory_test_recovery_SOURCES = tests/unit/daemon/directory/test-recovery.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h
tests_unit_daemon_directory_test_recovery_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_recovery_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_recovery_LDADD = $(UNIT_DAEMON_LIBS)
